/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layers of entries on top of each other, in memory, and the tree that they make.
 *
 * A path leads through directories only.  A later entry replaces an earlier one of the
 * same name; a directory over a directory only renews its attributes.
 */
#pragma once

#include "base/map.h"
#include "tree/scan.h"

/* One inode; several names may have it.  @node carries attributes and content only. */
struct layer_inode {
	struct tree_node node;
	struct tree_node *final; /* its first place in the finished tree */
	uint64_t number;	 /* of the file that holds its content; 0: none */
};

struct layer_item;
struct layers;

/* layers_new() - @scan_options: lock and unlock guard the arena of the tree; they may be
 * called by other threads for nodes that are being filled */
int layers_new(const struct tree_scan_options *scan_options, struct layers **ret_layers,
	       struct cop_error *err);
struct layers *layers_free(struct layers *layers);
DEFINE_AUTO_PTR(layers)

/* layers_tree() - the tree in whose arena nodes keep their strings; borrowed */
struct tree *layers_tree(struct layers *layers);

/* layers_begin() - what comes now lies on top of what was there */
void layers_begin(struct layers *layers);

/*
 * layers_place() - a fresh inode at @path, for the caller to fill
 * @is_directory: then a directory that is there keeps what is in it
 *
 * Return: 0; -EBADMSG: @path is empty, absolute, has "..", or leads through what is no
 * directory, or would replace a directory of the same layer; -ENAMETOOLONG; -E2BIG.
 */
int layers_place(struct layers *layers, const char *path, bool is_directory,
		 struct layer_inode **ret_inode, struct cop_error *err);

/* layers_link() - @path becomes one more name of the file at @target */
int layers_link(struct layers *layers, const char *path, const char *target,
		struct cop_error *err);

/* layers_hide() - remove what lower layers have at @path; with @only_below only what they
 * have in that directory.  Nothing there: fine. */
int layers_hide(struct layers *layers, const char *path, bool only_below,
		struct cop_error *err);

/* layers_find() - the inode at @path, or NULL */
struct layer_inode *layers_find(struct layers *layers, const char *path);

/* layers_finish() - the tree, finished, not canonical; nothing can be added any more.
 * @ret_tree belongs to the caller. */
int layers_finish(struct layers *layers, struct tree **ret_tree, struct cop_error *err);
