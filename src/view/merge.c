/* SPDX-License-Identifier: Apache-2.0 */
#include "view/merge.h"

#include <string.h>
#include <sys/stat.h>

#define PERMISSIONS 07777u

static int refuse(struct cop_error *err, const char *what)
{
	return err_set(
		err, -EPERM,
		"its %s was changed, but is not what the base has, as we could not "
		"set that here; undo the change, or do it as root",
		what);
}

/* One number by the rule in the header. */
static int merge_number(uint32_t base, uint32_t out, uint32_t *now, const char *what,
			struct cop_error *err)
{
	if (*now == out)
		*now = base;
	else if (out != base)
		return refuse(err, what);
	return 0;
}

static bool same_xattr(const struct tree_xattr *a, const struct tree_xattr *b)
{
	if (!a || !b)
		return !a && !b;
	return a->size == b->size && memcmp(a->value, b->value, a->size) == 0;
}

bool merge_same_xattrs(const struct tree_xattr *a, uint32_t n_a,
		       const struct tree_xattr *b, uint32_t n_b)
{
	if (n_a != n_b)
		return false;
	for (uint32_t i = 0; a != b && i < n_a; i++)
		if (strcmp(a[i].key, b[i].key) != 0 || !same_xattr(&a[i], &b[i]))
			return false;
	return true;
}

static const struct tree_xattr *find_xattr(const struct tree_xattr *list, uint32_t n,
					   const char *key)
{
	for (uint32_t i = 0; i < n; i++)
		if (strcmp(list[i].key, key) == 0)
			return &list[i];
	return NULL;
}

static int set_xattr(struct tree *tree, struct tree_node *node, const char *key,
		     const struct tree_xattr *xattr, struct cop_error *err)
{
	if (xattr)
		return tree_set_xattr(tree, node, key, xattr->value, xattr->size, err);
	(void)tree_remove_xattr(node, key);
	return 0;
}

static int merge_xattr(struct tree *tree, struct tree_node *node,
		       const struct record *record, const struct tree_xattr *now,
		       const char *key, struct cop_error *err)
{
	const struct tree_xattr *base = tree_find_xattr(tree_inode(record->base), key);
	const struct tree_xattr *out = find_xattr(record->xattrs, record->n_xattrs, key);

	if (same_xattr(out, now))
		return same_xattr(base, now) ? 0 : set_xattr(tree, node, key, base, err);
	if (same_xattr(base, out))
		return 0;
	return err_set(err, -EPERM,
		       "its xattr '%s' was changed, but is not what the base has, as we "
		       "could not set that here; undo the change, or do it as root",
		       key);
}

static int merge_xattrs(struct tree *tree, struct tree_node *node,
			const struct record *was, const struct record *now,
			struct cop_error *err)
{
	const struct tree_node *base = tree_inode(was->base);
	int r = 0;

	if (merge_same_xattrs(base->xattrs, base->n_xattrs, was->xattrs, was->n_xattrs))
		return 0;
	for (uint32_t i = 0; i < now->n_xattrs && r == 0; i++)
		r = merge_xattr(tree, node, was, &now->xattrs[i], now->xattrs[i].key,
				err);
	for (uint32_t i = 0; i < base->n_xattrs && r == 0; i++)
		if (!find_xattr(now->xattrs, now->n_xattrs, base->xattrs[i].key))
			r = merge_xattr(tree, node, was, NULL, base->xattrs[i].key, err);
	return r;
}

/* A device that could not be made: an empty file stands for it. */
static int merge_placeholder(struct tree_node *node, const struct tree_node *base,
			     struct cop_error *err)
{
	if (node->size > 0)
		return err_set(
			err, -EPERM,
			"it was written to, but stands for a device that could not "
			"be made here; undo the change, or do it as root");
	node->mode = (node->mode & PERMISSIONS) | (base->mode & (uint32_t)S_IFMT);
	node->rdev = base->rdev;
	return 0;
}

static int merge_numbers(struct tree_node *node, const struct record *record,
			 struct cop_error *err)
{
	const struct tree_node *base = tree_inode(record->base);
	uint32_t mode = node->mode & PERMISSIONS;
	int r;

	r = merge_number(base->uid, record->out.uid, &node->uid, "owner", err);
	if (r == 0)
		r = merge_number(base->gid, record->out.gid, &node->gid, "group", err);
	if (r == 0)
		r = merge_number(base->mode & PERMISSIONS, record->out.mode & PERMISSIONS,
				 &mode, "mode", err);
	node->mode = (node->mode & ~PERMISSIONS) | mode;
	return r;
}

int merge_inode(struct tree *tree, struct tree_node *node, const struct record *was,
		const struct record *now, struct cop_error *err)
{
	const struct tree_node *base = tree_inode(was->base);
	int r;

	r = merge_xattrs(tree, node, was, now, err);
	if (r == 0)
		r = merge_numbers(node, was, err);
	if (r == 0 && (base->mode & S_IFMT) != (was->out.mode & S_IFMT))
		r = merge_placeholder(node, base, err);
	if (r < 0)
		return r;
	if (seen_same_time(&was->out.mtime, &now->out.mtime)) {
		node->mtime_sec = base->mtime_sec;
		node->mtime_nsec = base->mtime_nsec;
	}
	return 0;
}
