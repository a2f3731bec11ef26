/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A directory on disk -> a tree.  Goes by directory fds, follows no symlink, crosses no
 * mount point (a directory that is one is refused by name, -EXDEV).
 *
 * Xattrs taken: user.*, trusted.*, security.* but ima and evm, the POSIX ACLs.  Those of
 * a file system's own (btrfs.*, lustre.*, system.nfs4*...) are counted and left out;
 * others are refused by name.
 */
#pragma once

#include "tree/tree.h"

struct tree_scan_report {
	uint64_t n_foreign_xattrs; /* left out because they belong to a file system */
	uint64_t n_entries;
	uint64_t n_bytes; /* of regular files */
};

struct tree_scan_options {
	/*
	 * @content is called for every regular file that is not empty, once per inode, by
	 * the scanning thread.  It owns @fd (read-only, at offset 0, position shared with
	 * nobody).  It must give @node content or a digest, now or from another thread
	 * before the tree is used; while that goes on it may touch only fields of @node,
	 * under a lock of its own where it uses the tree's arena, which the scan holds
	 * through @lock and @unlock.  @path is relative to the directory and dies with
	 * the call.  The file may have changed since @st was taken: comparing is its
	 * task.
	 */
	int (*content)(void *data, struct tree *tree, struct tree_node *node, int fd,
		       const struct stat *st, const char *path, struct cop_error *err);
	void (*lock)(void *data); /* taken around each use of the arena; may be NULL */
	void (*unlock)(void *data);
	/* After a failure, before the tree is freed: nothing may work on it from then on.
	 * Needed where @content leaves work to other threads. */
	void (*settle)(void *data);
	void *data;
	struct tree_scan_report
		*report; /* may be NULL; n_entries grows as the scan goes */
};

/*
 * tree_scan() - scan @dir_fd (not O_PATH)
 *
 * The tree is finished, not canonicalised; hard links are found by device and inode among
 * the names scanned.  Return: 0; -EACCES (named; nothing is left out in silence); -EXDEV;
 * -ESTALE (a file changed its type while we looked); others, all naming the path.
 */
int tree_scan(int dir_fd, const struct tree_scan_options *options, struct tree **ret_tree,
	      struct cop_error *err);

/* What becomes of an xattr by the rule above. */
enum tree_xattr_kind {
	TREE_XATTR_TAKEN,
	TREE_XATTR_LEFT_OUT, /* measurements of the file as it lies on this machine */
	TREE_XATTR_FOREIGN,  /* of a file system's own */
	TREE_XATTR_UNKNOWN,
};
enum tree_xattr_kind tree_xattr_kind(const char *key);

/* tree_read_xattrs() - the xattrs of one inode by the rule above; @proc_path is a path
 * that does not follow a last symlink, such as /proc/self/fd/DIRFD/NAME; @path is for
 * messages */
int tree_read_xattrs(struct tree *tree, struct tree_node *node, const char *proc_path,
		     const char *path, uint64_t *n_foreign, struct cop_error *err);
