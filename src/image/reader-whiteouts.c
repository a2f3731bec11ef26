/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whiteouts of the tree stand in an image as empty files with two marks, in a directory
 * with two or four marks.  Only where every mark is there, as the writer puts it, is it a
 * whiteout and are the marks taken off; else they are xattrs like others.  So what the
 * reader gives is always written again as it was.
 */
#include "image/reader.h"

struct mark {
	const char *key;
	const char *value;
	unsigned int since; /* format version */
};

static const struct mark file_marks[] = {
	{OVERLAY_WHITEOUT, "", 0},
	{USER_WHITEOUT, "", 0},
};

static const struct mark directory_marks[] = {
	{OVERLAY_WHITEOUTS, "", 0},
	{USER_WHITEOUTS, "", 0},
	{OVERLAY_OPAQUE, "x", 1},
	{USER_OPAQUE, "x", 1},
};

static bool has_marks(const struct image_reader *reader, const struct tree_node *node,
		      const struct mark *marks, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct tree_xattr *xattr;

		if (marks[i].since > reader->version)
			continue;
		xattr = tree_find_xattr(node, marks[i].key);
		if (!xattr || xattr->size != strlen(marks[i].value) ||
		    memcmp(xattr->value, marks[i].value, xattr->size) != 0)
			return false;
	}
	return true;
}

static void remove_marks(const struct image_reader *reader, struct tree_node *node,
			 const struct mark *marks, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (marks[i].since <= reader->version)
			(void)tree_remove_xattr(node, marks[i].key);
}

static bool is_marked(const struct image_reader *reader, const struct tree_node *node)
{
	return node->parent && S_ISREG(node->mode) && node->size == 0 &&
	       node->n_xattrs >= ARRAY_SIZE(file_marks) &&
	       has_marks(reader, node, file_marks, ARRAY_SIZE(file_marks)) &&
	       has_marks(reader, node->parent, directory_marks,
			 ARRAY_SIZE(directory_marks));
}

int image_undo_whiteouts(struct image_reader *reader)
{
	size_t n_undone = 0;

	/* Most images have none. */
	if (!reader->has_marks)
		return 0;
	for (size_t i = 0; i < reader->n_inodes; i++) {
		struct tree_node *node = reader->inodes[i].node;

		if (reader->inodes[i].is_hidden || !is_marked(reader, node))
			continue;
		remove_marks(reader, node, file_marks, ARRAY_SIZE(file_marks));
		node->mode = S_IFCHR | (node->mode & 07777);
		n_undone++;
	}
	/* Only now: a directory's marks were needed for all of its children. */
	for (size_t i = 0; n_undone > 0 && i < reader->n_inodes; i++) {
		struct tree_node *node = reader->inodes[i].node;

		if (reader->inodes[i].is_hidden || !tree_is_whiteout(node))
			continue;
		remove_marks(reader, node->parent, directory_marks,
			     ARRAY_SIZE(directory_marks));
	}
	return 0;
}
