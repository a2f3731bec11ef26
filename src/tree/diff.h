/* SPDX-License-Identifier: Apache-2.0 */
/* What differs between two trees, without a look at any file. */
#pragma once

#include "tree/tree.h"

enum tree_change {
	TREE_ADDED = 1u << 0,
	TREE_DELETED = 1u << 1,
	TREE_TYPE = 1u << 2,
	TREE_CONTENT = 1u << 3, /* file content, symlink text, device number */
	TREE_MODE = 1u << 4,
	TREE_OWNER = 1u << 5,
	TREE_MTIME = 1u << 6,
	TREE_XATTR = 1u << 7,
	TREE_LINKS = 1u << 8, /* belongs to other names than before */
};

/*
 * tree_diff() - call @report for every path that differs, in the order of tree_next()
 * over both; children of an added or deleted directory are reported too
 * @report: a negative return ends the walk and is returned
 *
 * Both trees must be canonical.
 */
int tree_diff(const struct tree *a, const struct tree *b,
	      int (*report)(void *data, const char *path, unsigned int changes,
			    const struct tree_node *in_a, const struct tree_node *in_b),
	      void *data, struct cop_error *err);
