/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two walks in step.  Both go in the same order, so the deeper of two cursors is in a
 * directory that the other has left already, and at equal depth the names decide.
 */
#include "tree/diff.h"

#include <string.h>

struct cursor {
	const struct tree_node *node;
	unsigned int depth;
};

struct pair {
	struct cursor a, b;
	/* What the cursors stand on together: one of them may be NULL. */
	const struct tree_node *in_a, *in_b;
};

/* Of an inode of the first tree: how many of its names one inode of the second has. */
struct partner {
	const struct tree_node *inode;
	uint32_t n_names;
};

static void advance(struct cursor *cursor)
{
	const struct tree_node *before = cursor->node;

	cursor->node = tree_next(before);
	if (!cursor->node)
		return;
	for (; before != cursor->node->parent; before = before->parent)
		cursor->depth--;
	cursor->depth++;
}

static int order(const struct pair *pair)
{
	if (!pair->a.node || !pair->b.node)
		return pair->a.node ? -1 : 1;
	if (pair->a.depth != pair->b.depth)
		return pair->a.depth > pair->b.depth ? -1 : 1;
	return strcmp(pair->a.node->name, pair->b.node->name);
}

static void pair_start(struct pair *pair, const struct tree *a, const struct tree *b)
{
	*pair = (struct pair){.a = {.node = a->root}, .b = {.node = b->root}};
}

/* False at the end of both. */
static bool pair_next(struct pair *pair)
{
	int r;

	if (!pair->a.node && !pair->b.node)
		return false;
	r = order(pair);
	pair->in_a = r <= 0 ? pair->a.node : NULL;
	pair->in_b = r >= 0 ? pair->b.node : NULL;
	if (pair->in_a)
		advance(&pair->a);
	if (pair->in_b)
		advance(&pair->b);
	return true;
}

static bool has_links(const struct tree *tree)
{
	for (const struct tree_node *node = tree->root; node; node = tree_next(node))
		if (node->link)
			return true;
	return false;
}

static void find_partners(const struct tree *a, const struct tree *b,
			  struct partner *partners)
{
	struct pair pair;

	pair_start(&pair, a, b);
	while (pair_next(&pair)) {
		const struct tree_node *inode;
		struct partner *partner;

		if (!pair.in_a || !pair.in_b)
			continue;
		inode = tree_inode(pair.in_b);
		partner = &partners[tree_inode(pair.in_a)->index];
		if (!partner->inode)
			partner->inode = inode;
		partner->n_names += partner->inode == inode;
	}
}

/* Whether two inodes of one type and path have the same names; @partners is NULL when the
 * first tree has no links. */
static bool same_names(const struct tree_node *a, const struct tree_node *b,
		       const struct partner *partners)
{
	if (S_ISDIR(a->mode))
		return true;
	if (a->nlink != b->nlink)
		return false;
	return !partners ||
	       (partners[a->index].inode == b && partners[a->index].n_names == a->nlink);
}

static bool same_file(const struct tree_node *a, const struct tree_node *b)
{
	if (a->size != b->size || !a->digest != !b->digest || !a->content != !b->content)
		return false;
	if (a->digest)
		return memcmp(a->digest, b->digest, sizeof(*a->digest)) == 0;
	return !a->content || memcmp(a->content, b->content, a->size) == 0;
}

static bool same_content(const struct tree_node *a, const struct tree_node *b)
{
	switch (a->mode & S_IFMT) {
	case S_IFREG:
		return same_file(a, b);
	case S_IFLNK:
		return strcmp(a->target, b->target) == 0;
	case S_IFCHR:
	case S_IFBLK:
		return a->rdev == b->rdev;
	default:
		return true;
	}
}

static bool same_xattrs(const struct tree_node *a, const struct tree_node *b)
{
	if (a->n_xattrs != b->n_xattrs)
		return false;
	for (uint32_t i = 0; i < a->n_xattrs; i++) {
		const struct tree_xattr *x = &a->xattrs[i], *y = &b->xattrs[i];

		if (x->size != y->size || strcmp(x->key, y->key) != 0 ||
		    memcmp(x->value, y->value, x->size) != 0)
			return false;
	}
	return true;
}

static unsigned int compare(const struct tree_node *in_a, const struct tree_node *in_b,
			    const struct partner *partners)
{
	const struct tree_node *a = tree_inode(in_a), *b = tree_inode(in_b);
	unsigned int changes = 0;

	if ((a->mode & S_IFMT) != (b->mode & S_IFMT))
		changes |= TREE_TYPE;
	else if (!same_content(a, b))
		changes |= TREE_CONTENT;
	if ((a->mode & 07777) != (b->mode & 07777))
		changes |= TREE_MODE;
	if (a->uid != b->uid || a->gid != b->gid)
		changes |= TREE_OWNER;
	if (a->mtime_sec != b->mtime_sec || a->mtime_nsec != b->mtime_nsec)
		changes |= TREE_MTIME;
	if (!same_xattrs(a, b))
		changes |= TREE_XATTR;
	if (!(changes & TREE_TYPE) && !same_names(a, b, partners))
		changes |= TREE_LINKS;
	return changes;
}

int tree_diff(const struct tree *a, const struct tree *b,
	      int (*report)(void *data, const char *path, unsigned int changes,
			    const struct tree_node *in_a, const struct tree_node *in_b),
	      void *data, struct cop_error *err)
{
	auto_free struct partner *partners = NULL;
	struct pair pair;

	if (has_links(a)) {
		partners = calloc(a->n_nodes, sizeof(*partners));
		if (!partners)
			return err_oom(err);
		find_partners(a, b, partners);
	}
	pair_start(&pair, a, b);
	while (pair_next(&pair)) {
		unsigned int changes = TREE_ADDED;
		auto_free char *path = NULL;
		int r;

		if (pair.in_a)
			changes = pair.in_b ? compare(pair.in_a, pair.in_b, partners)
					    : TREE_DELETED;
		if (!changes)
			continue;
		path = tree_path(pair.in_a ? pair.in_a : pair.in_b);
		if (!path)
			return err_oom(err);
		r = report(data, path, changes, pair.in_a, pair.in_b);
		if (r < 0)
			return r;
	}
	return 0;
}
