/* SPDX-License-Identifier: Apache-2.0 */
/* Users and groups of a tree, from its own etc/passwd and etc/group and nothing else. */
#pragma once

#include <sys/types.h>

#include "base/error.h"

/* users_find() - a user by name.  Return: 0; -ENOENT when the tree does not know it;
 * -EBADMSG when its line is broken; another negative errno. */
int users_find(int tree_fd, const char *name, uid_t *ret_uid, gid_t *ret_gid,
	       struct cop_error *err);

/* users_find_group() - the same for a group */
int users_find_group(int tree_fd, const char *name, gid_t *ret_gid,
		     struct cop_error *err);
