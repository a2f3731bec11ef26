/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lower tree + upper directory of an overlay = new tree.
 *
 * The upper is what Linux leaves there with metacopy=on, redirect_dir=on and index=on:
 * entries that are new or changed, whiteouts, and xattrs that say from where in the lower
 * tree an entry comes.  docs/merge.md tells the rule.  An upper directory is data from a
 * disk: whatever stands in it, the result has at most the names of both together.
 */
#pragma once

#include "tree/scan.h"

/* Positive outcome of tree_merge(): nothing at all was changed. */
#define TREE_UNCHANGED 1

struct tree_merge_report {
	uint64_t n_entries;   /* names in the upper without its root */
	uint64_t n_whiteouts; /* of these, names that hide one of the lower tree */
	uint64_t n_metadata;  /* files with their data still in the lower tree */
	uint64_t n_files;     /* files with their data in the upper or the index */
	uint64_t n_bytes;     /* of these */
	uint64_t n_taken;     /* names taken from the lower tree */
};

/*
 * struct tree_merge_options
 * @upper:     gets the files whose data is in the upper, as in tree_scan(), its paths
 *	       relative to the upper.  A file must not change any more: its metadata and
 *	       xattrs are those of the overlay by now, and cannot be read again.
 * @index_fd:  the directory index/ of the overlay's workdir; negative: none, which is
 *	       right only where the overlay was mounted without one
 * @index:     gets files that have no name left in the upper but stand for hard links of
 *	       the lower tree; its paths are names in the index.  Locks like @upper.
 * @nids:      the inode number of each node of @lower in the image that was mounted, by
 *	       node->index, in a heap block that becomes the caller's; called at most
 *	       once, and only when the index holds something
 * @nids_data: handed to @nids
 * @report:    may be NULL; complete when tree_merge() returned 0 or more
 */
struct tree_merge_options {
	const struct tree_scan_options *upper;
	int index_fd;
	const struct tree_scan_options *index;
	int (*nids)(void *data, const struct tree *lower, uint64_t **ret_nids,
		    struct cop_error *err);
	void *nids_data;
	struct tree_merge_report *report;
};

/*
 * overlay_index_nid() - the inode number that a name in an index directory stands for
 *
 * Return: 0; 1: the name is no entry for a file of the lower tree (a leftover); -EUCLEAN:
 * it is one, but not for an EROFS image.
 */
int overlay_index_nid(const char *name, uint64_t *ret_nid);

/*
 * tree_merge() - what the overlay of @upper_fd over @lower shows
 * @lower:    as image_read() gives it or canonical; its image was mounted.  It becomes
 *	      part of the result, and *@lower NULL; untouched with TREE_UNCHANGED.  After
 *	      a failure it is either.
 * @upper_fd: its upper directory, not mounted any more (not O_PATH); never written to
 *
 * The tree is not finished: that is left to tree_canonicalise(), as data may still be on
 * its way.  What only speaks to the overlay file system is gone: its own xattrs are
 *dropped, escaped ones have their own names again, and marks of whiteouts that are no
 *longer there are dropped from directories that had some.
 *
 * Return: 0; TREE_UNCHANGED (the result is @lower, *@ret_tree is untouched); -EUCLEAN:
 * the upper does not belong to this lower tree or was made by nobody's overlay;
 * -EOPNOTSUPP: an attribute flag or an xattr that no tree can keep; others as
 * tree_scan().  All name the path.
 */
int tree_merge(struct tree **lower, int upper_fd,
	       const struct tree_merge_options *options, struct tree **ret_tree,
	       struct cop_error *err);
