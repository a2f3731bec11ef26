/* SPDX-License-Identifier: Apache-2.0 */
/* The differences between what came out on disk and what is there now, put on the base.
 */
#pragma once

#include "view/table.h"

/*
 * merge_inode() - turn @node, scanned from disk, into what shall be committed
 * @tree: of @node
 * @was:  the record of the same inode
 * @now:  a record of how it is now, whose list of xattrs is not that of @node
 *
 * Per field: as it came out: the base's value; changed and it had come out as in the
 * base: the disk's; changed and it could not be set in the first place: -EPERM, named
 * without the path.  An mtime is everybody's to change.
 */
int merge_inode(struct tree *tree, struct tree_node *node, const struct record *was,
		const struct record *now, struct cop_error *err);

/* merge_same_xattrs() - both lists, sorted by key, hold the same */
bool merge_same_xattrs(const struct tree_xattr *a, uint32_t n_a,
		       const struct tree_xattr *b, uint32_t n_b);
