/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where we are in a directory tree: one fd, however deep.  Going up uses ".." and checks
 * that it leads back to where we came from, so that nobody can move us elsewhere.
 */
#pragma once

#include <sys/types.h>

#include "base/defs.h"

struct descent_place;

struct descent {
	int fd; /* the directory we are in */
	unsigned int depth;
	struct descent_place *above;
	size_t capacity;
};

/* descent_begin() - at @root_fd, of which a new fd is made.  Return: 0 or an errno. */
int descent_begin(struct descent *descent, int root_fd);
void descent_done(struct descent *descent);

/* descent_enter() - into @name, which must be a directory and no symlink.  Return: 0;
 * -ELOOP deeper than TREE_DEPTH_MAX; another negative errno. */
int descent_enter(struct descent *descent, const char *name);

/*
 * descent_leave() - back to the directory above
 * @ret_left: the fd of the directory that was left, owned by the caller; NULL: closed
 *
 * Return: 0; -ESTALE when ".." is not where we came from; another negative errno.
 */
int descent_leave(struct descent *descent, int *ret_left);
