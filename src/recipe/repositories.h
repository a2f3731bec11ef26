/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Repositories of a recipe besides Debian's own.  Each has keys of its own: what it says
 * is believed when one of them has signed it, and they speak for no other repository.
 * Each of its suites is a repository of the lock, with the id "ID/SUITE".
 */
#pragma once

#include "recipe/decode.h"

/* decode_repositories() - the key `repositories` */
int decode_repositories(struct decode *decode, const struct node *node,
			struct cop_error *err);

/* repositories_add_to_request() - what of them decides the answer of the solver;
 * addresses do not */
void repositories_add_to_request(const struct recipe *recipe, struct buf *text);

/* repositories_lock_id() - "ID/SUITE" on @arena; NULL when memory is out */
const char *repositories_lock_id(struct arena *arena,
				 const struct recipe_repository *repository,
				 const char *suite);

/* repositories_of() - whose repository of a lock that is; NULL: one of Debian's, or gone
 */
const struct recipe_repository *repositories_of(const struct recipe *recipe,
						const char *lock_id);

/* repositories_pin() - preferences for apt; nothing where the recipe names no priority */
void repositories_pin(const struct recipe_repository *repository,
		      const struct lock_repository *lock, struct buf *preferences);

struct recipe_files {
	struct recipe_file *files;
	size_t n_files;
};

/* repositories_files() - what the tree's apt needs to reach them: keys, sources,
 * preferences; on @arena */
int repositories_files(const struct recipe *recipe, const struct lock *lock,
		       struct arena *arena, struct recipe_files *ret_files,
		       struct cop_error *err);
