/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this room share and nobody else needs. */
#pragma once

#include "base/buf.h"
#include "tree/tree.h"

/*
 * tree_order() - tree_finish() for a reader that knows where a node came from
 * @ret_later: with -EEXIST, of the two nodes of one name that with the larger @index,
 *             which holds what the reader put there; may be NULL
 */
int tree_order(struct tree *tree, const struct tree_node **ret_later,
	       struct cop_error *err);

/* tree_mode_is_valid() - a known type, and nothing beyond the permission bits */
bool tree_mode_is_valid(uint32_t mode);

struct tree_scan_options;

/* struct xattr_reader - memory that reading one inode after another shares; zero is fine
 */
struct xattr_reader {
	const struct tree_scan_options *options; /* for its lock; may be NULL */
	struct buf names;
	char *value;
	uint64_t n_foreign;
};

void xattr_reader_done(struct xattr_reader *reader);

/*
 * xattr_read() - tree_read_xattrs() of an open file, or of a path
 * @fd:	       open file or directory; negative: @proc_path says which
 * @proc_path: does not follow a last symlink
 */
int xattr_read(struct xattr_reader *reader, struct tree *tree, struct tree_node *node,
	       int fd, const char *proc_path, const char *path, struct cop_error *err);
