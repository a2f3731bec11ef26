/* SPDX-License-Identifier: Apache-2.0 */
/* Paths through symlinks, inside a tree. */
#pragma once

#include "tree/tree.h"

/*
 * tree_resolve() - the node at @path as a process with the tree as / would find it
 * @follow: follow a symlink at the end too
 *
 * Return: 0; -ENOENT, -ENOTDIR, -ELOOP (40 symlinks), naming @path.
 */
int tree_resolve(const struct tree *tree, const char *path, bool follow,
		 const struct tree_node **ret_node, struct cop_error *err);
