/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one form of a tree that has a digest.  Two trees that a store would give back alike
 * become equal here, and what it could not give back is refused.
 */
#include <string.h>

#include "tree/private.h"

#define NSEC_PER_SEC 1000000000u
/* 1024 chunks of 2^43 bytes */
#define SIZE_LIMIT ((uint64_t)1 << 53)

/*
 * What an image says of whiteouts, in place of the devices.  A tree has only the devices:
 * one that was scanned from a mounted image may have the marks.
 */
struct mark {
	const char *key;
	const char *value;
};

static const struct mark file_marks[] = {
	{"trusted.overlay.whiteout", ""},
	{"user.overlay.whiteout", ""},
};

static const struct mark directory_marks[] = {
	{"trusted.overlay.whiteouts", ""},
	{"user.overlay.whiteouts", ""},
	{"trusted.overlay.opaque", "x"},
	{"user.overlay.opaque", "x"},
};

static void swap_roles(struct tree_node *link, struct tree_node *inode)
{
	const struct tree_node to_link = {.link = link};

	tree_become(link, inode);
	tree_become(inode, &to_link);
}

/* Names in the order of tree_next(); a link that comes before its inode takes it over.
 * Links further on find it by one step more.  *@link stays what is a link. */
static void place_link(struct tree_node **link)
{
	struct tree_node *name = *link, *inode = name->link;

	if (inode->link)
		inode = inode->link;
	name->link = inode;
	inode->nlink++;
	if (name->index < inode->index) {
		swap_roles(name, inode);
		*link = inode;
	}
}

static int settle_pooled(struct tree_node *node, struct cop_error *err)
{
	if (!node->digest)
		return err_set(err, -EINVAL, "a file of %llu bytes has no digest",
			       (unsigned long long)node->size);
	node->content = NULL;
	node->payload = NULL;
	node->payload_follows = true;
	return 0;
}

static void forget_pooled(struct tree_node *node)
{
	node->digest = NULL;
	node->payload = NULL;
	node->payload_follows = false;
}

static int settle_regular(struct tree_node *node, struct cop_error *err)
{
	if (node->size > SIZE_LIMIT)
		return err_set(err, -EFBIG, "%llu bytes are more than an image can hold",
			       (unsigned long long)node->size);
	if (node->size > TREE_INLINE_MAX)
		return settle_pooled(node, err);
	if (node->size > 0 && !node->content)
		return err_set(err, -EINVAL, "a file of %llu bytes has no content",
			       (unsigned long long)node->size);
	if (node->size == 0)
		node->content = NULL;
	forget_pooled(node);
	return 0;
}

static int settle_data(struct tree_node *node, struct cop_error *err)
{
	if (!S_ISCHR(node->mode) && !S_ISBLK(node->mode))
		node->rdev = 0;
	if (S_ISREG(node->mode)) {
		node->target = NULL;
		return settle_regular(node, err);
	}
	node->size = 0;
	node->content = NULL;
	forget_pooled(node);
	if (!S_ISLNK(node->mode)) {
		node->target = NULL;
	} else {
		size_t size = node->target ? strlen(node->target) : 0;

		if (size == 0)
			return err_set(err, -EINVAL, "a symlink is empty");
		if (size > TREE_SYMLINK_MAX)
			return err_set(err, -ERANGE, "a symlink has %zu bytes of %d",
				       size, TREE_SYMLINK_MAX);
	}
	return 0;
}

static bool is_mark(const struct tree_xattr *xattr, const struct mark *mark)
{
	return xattr->size == strlen(mark->value) &&
	       memcmp(xattr->value, mark->value, xattr->size) == 0;
}

static bool has_marks(const struct tree_node *node, const struct mark *marks, size_t n)
{
	if (node->n_xattrs < n)
		return false;
	for (size_t i = 0; i < n; i++) {
		const struct tree_xattr *xattr = tree_find_xattr(node, marks[i].key);

		if (!xattr || !is_mark(xattr, &marks[i]))
			return false;
	}
	return true;
}

static int drop_marks(struct tree_node *node, const struct mark *marks, size_t n,
		      struct cop_error *err)
{
	for (size_t i = 0; i < n; i++) {
		const struct tree_xattr *xattr = tree_find_xattr(node, marks[i].key);

		if (!xattr)
			continue;
		if (!is_mark(xattr, &marks[i]))
			return err_set(
				err, -EINVAL, "%s cannot have an xattr '%s' of its own",
				S_ISDIR(node->mode) ? "a directory that holds whiteouts"
						    : "a whiteout",
				marks[i].key);
		(void)tree_remove_xattr(node, marks[i].key);
	}
	return 0;
}

static bool holds_whiteouts(const struct tree_node *dir)
{
	for (uint32_t i = 0; i < dir->n_children; i++)
		if (!dir->children[i]->link && tree_is_whiteout(dir->children[i]))
			return true;
	return false;
}

void tree_drop_whiteout_marks(struct tree_node *dir)
{
	for (size_t i = 0; i < ARRAY_SIZE(directory_marks); i++) {
		const struct mark *mark = &directory_marks[i];
		const struct tree_xattr *xattr = tree_find_xattr(dir, mark->key);

		if (xattr && is_mark(xattr, mark))
			(void)tree_remove_xattr(dir, mark->key);
	}
}

bool tree_shows_whiteouts(const struct tree_node *dir)
{
	for (uint32_t i = 0; i < dir->n_children; i++) {
		const struct tree_node *inode = tree_inode(dir->children[i]);

		if (tree_is_whiteout(inode))
			return true;
		if (S_ISREG(inode->mode) && inode->size == 0 &&
		    has_marks(inode, file_marks, ARRAY_SIZE(file_marks)))
			return true;
	}
	return false;
}

/* An image marks each directory that holds a whiteout, and in a marked directory a marked
 * file is one.  So files become what they would be read as. */
static int settle_whiteouts(struct tree_node *dir, struct cop_error *err)
{
	bool marked = has_marks(dir, directory_marks, ARRAY_SIZE(directory_marks));

	if (!marked && !holds_whiteouts(dir))
		return 0;
	for (uint32_t i = 0; i < dir->n_children; i++) {
		struct tree_node *child = dir->children[i];

		if (!S_ISREG(child->mode) || child->size > 0 ||
		    !has_marks(child, file_marks, ARRAY_SIZE(file_marks)))
			continue;
		child->mode = S_IFCHR | (child->mode & 07777);
		child->rdev = 0;
	}
	if (!holds_whiteouts(dir))
		return 0;
	return drop_marks(dir, directory_marks, ARRAY_SIZE(directory_marks), err);
}

static int settle_xattrs(struct tree_node *node, struct cop_error *err)
{
	int r = 0;

	if (S_ISDIR(node->mode))
		r = settle_whiteouts(node, err);
	else if (tree_is_whiteout(node))
		r = drop_marks(node, file_marks, ARRAY_SIZE(file_marks), err);
	return r < 0 ? r : tree_check_xattrs(node, err);
}

static int settle_inode(struct tree_node *node, struct cop_error *err)
{
	int r;

	if (!tree_mode_is_valid(node->mode))
		return err_set(err, -EINVAL, "%o is no mode of a file", node->mode);
	if (node->mtime_nsec >= NSEC_PER_SEC)
		return err_set(err, -EINVAL, "an mtime has %u nanoseconds",
			       node->mtime_nsec);
	r = settle_data(node, err);
	return r < 0 ? r : settle_xattrs(node, err);
}

static int settle_all(struct tree *tree, struct cop_error *err)
{
	const struct tree_node *before = NULL;
	unsigned int depth = 0;

	for (struct tree_node *node = tree->root; node; node = tree_next(node)) {
		int r = 0;

		for (; before && before != node->parent; before = before->parent)
			depth--;
		if (depth > TREE_DEPTH_MAX)
			r = err_set(err, -ERANGE, "more than %d directories deep",
				    TREE_DEPTH_MAX);
		else if (!node->link)
			r = settle_inode(node, err);
		if (r < 0) {
			auto_free char *path = tree_path(node);

			return err_prefix(err, r, "'%s'", path ? path : node->name);
		}
		before = node;
		depth++;
	}
	return 0;
}

int tree_canonicalise(struct tree *tree, struct cop_error *err)
{
	int r = tree_order(tree, NULL, true, err);

	/* Only now: every inode has to have been counted once. */
	for (uint32_t i = 0; r == 0 && i < tree->n_links; i++)
		place_link(&tree->links[i]);
	return r < 0 ? r : settle_all(tree, err);
}
