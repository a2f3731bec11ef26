/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The composefs dump text (composefs-dump(5)): one line per name, parents first.
 * Reading and writing are inverse on what the writer gives.
 */
#pragma once

#include "base/buf.h"
#include "tree/tree.h"

/* tree_to_dump() - appended to @buf, in the order of tree_next(), escaped as
 * composefs-info does; the size of directories is that of their entries in an image */
int tree_to_dump(const struct tree *tree, struct buf *buf, struct cop_error *err);

/* tree_from_dump() - every rule of the format checked; errors (-EBADMSG) name the line.
 * The tree is finished but not canonicalised: links stay where the text has them. */
int tree_from_dump(const char *text, size_t size, struct tree **ret_tree,
		   struct cop_error *err);
