/* SPDX-License-Identifier: Apache-2.0 */
/* The differences between what came out on disk and what is there now, put on the base.
 */
#pragma once

#include "view/table.h"

/*
 * merge_inode() - turn @node, scanned from disk, into what shall be committed
 * @tree:   of @node
 * @record: of the same inode
 * @now:    what was seen of it now
 *
 * Per field: as it came out: the base's value; changed and it had come out as in the
 * base: the disk's; changed and it could not be set in the first place: -EPERM, named
 * without the path.  An mtime is everybody's to change.  *@ret_xattrs is the list that
 * the disk has.
 */
int merge_inode(struct tree *tree, struct tree_node *node, const struct record *record,
		const struct seen *now, const struct tree_xattr **ret_xattrs,
		uint32_t *ret_n_xattrs, struct cop_error *err);

/* merge_same_xattrs() - both lists, sorted by key, hold the same */
bool merge_same_xattrs(const struct tree_xattr *a, uint32_t n_a,
		       const struct tree_xattr *b, uint32_t n_b);
