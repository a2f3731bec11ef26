/* SPDX-License-Identifier: Apache-2.0 */
/* How long work tells where it is.  Libraries never print; they call this. */
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * struct cop_progress - a receiver of progress, owned by the caller
 * @update: called from any thread, at most every few milliseconds per thread; must be
 *          quick and must not call back into coppice.  @what is a short present
 *          participle ("hashing"); @unit is "files", "bytes" or "entries"; @total is 0
 *          while it is not known.  The last call of a piece of work has done == total.
 * @data:   handed to @update
 *
 * NULL in its place means that nobody listens.
 */
struct cop_progress {
	void (*update)(void *data, const char *what, uint64_t done, uint64_t total,
		       const char *unit);
	void *data;
};

#ifdef __cplusplus
}
#endif
