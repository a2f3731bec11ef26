/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What went wrong, in one line.
 *
 * Every function of coppice that can fail returns 0 or a documented positive outcome on
 * success and a negative errno on failure, and takes a struct cop_error that it fills on
 * failure.  The error lives on the caller's stack: it cannot leak and needs no memory.
 */
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

#define COP_API __attribute__((visibility("default")))

/* Longest message, with the final NUL; longer ones are cut. */
#define COP_ERROR_MAX 1024

/*
 * struct cop_error - the reason of a failure
 * @code:    the negative errno that was returned, 0 as long as nothing failed
 * @message: operation, object and reason, outermost first, without a final newline
 *
 * Initialise with `= {}` (or `= { 0 }`).  Every function accepts NULL in its place.
 */
struct cop_error {
	int code;
	char message[COP_ERROR_MAX];
};

#ifdef __cplusplus
}
#endif
