/* SPDX-License-Identifier: Apache-2.0 */
/* Everything below a directory, parents first, sorted; symlinks are not followed. */
#pragma once

#include <sys/stat.h>

#include "base/error.h"

/* struct walk_ops - what to do with each entry; @visit: @name in @parent_fd, as it was
 * before the visit; @leave (may be NULL): behind the last entry of a directory that was
 * visited */
struct walk_ops {
	int (*visit)(void *data, int parent_fd, const char *name, const struct stat *st,
		     struct cop_error *err);
	void *data;
	int (*leave)(void *data, struct cop_error *err);
};

/* walk_below() - Return: 0, or the first negative return, with the path in @err */
int walk_below(int dir_fd, const struct walk_ops *ops, struct cop_error *err);

/* walk_newest() - the latest time of change of @dir_fd and everything below, in seconds
 */
int walk_newest(int dir_fd, int64_t *ret, struct cop_error *err);
