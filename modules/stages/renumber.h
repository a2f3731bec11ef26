/* SPDX-License-Identifier: Apache-2.0 */
/* Owners of everything in a tree, changed by a table. */
#pragma once

#include "base/error.h"

#define RENUMBER_END 1000

/* struct renumber - new numbers by old ones; 0: it stays */
struct renumber {
	uint32_t users[RENUMBER_END];
	uint32_t groups[RENUMBER_END];
};

/*
 * renumber_tree() - owners and entries of ACLs of all below @tree_fd
 *
 * Set-id bits and capabilities stay, as do times of modification; an inode with several
 * names is changed once.  Needs /proc.  Return: 0, or a negative errno with the path.
 */
int renumber_tree(int tree_fd, const struct renumber *map, struct cop_error *err);
