/* SPDX-License-Identifier: Apache-2.0 */
/* The rest of the path is kept as text; a symlink's target is put before it. */
#include "tree/resolve.h"

#include <string.h>

#include "base/buf.h"

#define SYMLINKS_MAX 40

struct walk {
	const struct tree *tree;
	const struct tree_node *here;
	char *rest; /* owned */
	const char *position;
	unsigned int n_symlinks;
};

static int push_target(struct walk *walk, const struct tree_node *link)
{
	auto_buf rest = {};
	char *text;

	if (++walk->n_symlinks > SYMLINKS_MAX)
		return -ELOOP;
	(void)buf_append_text(&rest, link->target);
	(void)buf_append_char(&rest, '/');
	(void)buf_append_text(&rest, walk->position);
	text = buf_take(&rest);
	if (!text)
		return -ENOMEM;
	free(walk->rest);
	walk->rest = text;
	walk->position = text;
	if (link->target[0] == '/')
		walk->here = walk->tree->root;
	return 0;
}

/* Returns 1 when there is nothing left. */
static int step(struct walk *walk, bool follow)
{
	const struct tree_node *child;
	const char *name;
	size_t size;

	walk->position += strspn(walk->position, "/");
	if (!*walk->position)
		return 1;
	name = walk->position;
	size = strcspn(name, "/");
	walk->position += size;
	if (!S_ISDIR(walk->here->mode))
		return -ENOTDIR;
	if (size == 1 && name[0] == '.')
		return 0;
	if (size == 2 && name[0] == '.' && name[1] == '.') {
		if (walk->here->parent)
			walk->here = walk->here->parent;
		return 0;
	}
	child = tree_child(walk->here, name, size);
	if (!child)
		return -ENOENT;
	if (S_ISLNK(tree_inode(child)->mode) &&
	    (follow || walk->position[strspn(walk->position, "/")]))
		return push_target(walk, tree_inode(child));
	walk->here = child;
	return 0;
}

int tree_resolve(const struct tree *tree, const char *path, bool follow,
		 const struct tree_node **ret_node, struct cop_error *err)
{
	struct walk walk = {.tree = tree, .here = tree->root, .position = path};
	int r;

	do
		r = step(&walk, follow);
	while (r == 0);
	free(walk.rest);
	if (r < 0)
		return err_code(err, r, "'%s'", path);
	*ret_node = walk.here;
	return 0;
}
