/* SPDX-License-Identifier: Apache-2.0 */
/* Random changes to a directory, as programs make them; the seed alone decides which. */
#pragma once

#include "base/defs.h"

struct changes {
	uint64_t state; /* of the random numbers; begin with the seed */
	const char *root;
	uint64_t n_done, n_refused; /* by the kernel, which is fine */
	struct change_path *paths;
	size_t n_paths;
	bool verbose; /* say each one on standard error */
	char words[256];
};

/* changes_random() - 0 to @n - 1 */
uint32_t changes_random(struct changes *changes, uint32_t n);

/* changes_make() - one change somewhere below changes->root, or of it itself */
void changes_make(struct changes *changes);

/* changes_make_whiteouts() - what only a plain directory lets us make: a directory with
 * whiteouts that are part of the tree */
void changes_make_whiteouts(struct changes *changes);

void changes_done(struct changes *changes);
