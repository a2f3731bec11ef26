/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this room share and nobody else needs. */
#pragma once

#include "base/buf.h"
#include "tree/tree.h"

/*
 * tree_order() - tree_finish() for those who want more of it
 * @ret_later: with -EEXIST, of the two nodes of one name that with the larger @index,
 *             which holds what the reader put there; may be NULL
 * @one_name:  give whatever is no link and no directory an nlink of 1
 */
int tree_order(struct tree *tree, const struct tree_node **ret_later, bool one_name,
	       struct cop_error *err);

/* tree_put_at() - give @node the name that @place has, and its place */
static inline void tree_put_at(struct tree_node *node, const struct tree_node *place)
{
	node->parent = place->parent;
	node->name = place->name;
	node->name_size = place->name_size;
	node->position = place->position;
	node->index = place->index;
}

/* tree_child_slot() - where in the list of @dir tree_child() finds it, or NULL */
struct tree_node **tree_child_slot(const struct tree_node *dir, const char *name,
				   size_t size);

/* tree_become() - @node is what @inode is, at its own place */
static inline void tree_become(struct tree_node *node, const struct tree_node *inode)
{
	const struct tree_node place = *node;

	*node = *inode;
	tree_put_at(node, &place);
}

/* tree_mode_is_valid() - a known type, and nothing beyond the permission bits */
bool tree_mode_is_valid(uint32_t mode);

struct tree_scan_options;

/* struct xattr_reader - memory that reading one inode after another shares; zero is fine
 */
struct xattr_reader {
	const struct tree_scan_options *options; /* for its lock; may be NULL */
	bool any_size; /* leave the limits of the format to somebody else */
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

/*
 * tree_scan_upper() - tree_scan() of the upper directory of an overlay, and of its index
 * @index_fd:	   negative: none
 * @index_options: for the files of the index; locks like @options
 * @ret_index:	   a directory outside the tree with what the index holds, not sorted;
 *NULL without an index
 *
 * Names of one inode are links, be they here or there; the inode stands in the tree when
 * it has a name in it.  Whether the xattrs fit an image is not looked at.
 */
int tree_scan_upper(int upper_fd, int index_fd, const struct tree_scan_options *options,
		    const struct tree_scan_options *index_options, struct tree **ret_tree,
		    struct tree_node **ret_index, struct cop_error *err);

/* tree_list_room() - items that a list of @n in a node has room for: see tree.c */
static inline size_t tree_list_room(uint32_t n)
{
	size_t room = 1;

	while (room < n)
		room *= 2;
	return room;
}

#define OVERLAY_XATTR_PREFIX "trusted.overlay."

/* What the overlay says of an entry of its upper directory.  @redirect: @redirect_size
 * bytes and a NUL, or NULL; lives as long as the tree. */
struct overlay_marks {
	bool opaque;
	bool metacopy;
	const char *redirect;
	uint32_t redirect_size;
};

/* overlay_take_marks() - take from the xattrs of @node what is the overlay's, and give
 * the others the names that a user of the view knows.  -EOPNOTSUPP: one of them cannot be
 * left out. */
int overlay_take_marks(struct tree *tree, struct tree_node *node,
		       struct overlay_marks *ret_marks, struct cop_error *err);

/*
 * The marks that an image puts on directories that hold whiteouts, and on whiteouts.
 * tree_drop_whiteout_marks() takes those from @dir that say nothing else than that;
 * tree_shows_whiteouts() tells whether @dir holds a name of a whiteout, or of a file with
 * the marks of one.
 */
void tree_drop_whiteout_marks(struct tree_node *dir);
bool tree_shows_whiteouts(const struct tree_node *dir);
