/* SPDX-License-Identifier: Apache-2.0 */
/* From names to nodes and back. */
#include <string.h>

#include "tree/private.h"

static int compare_name(const char *a, size_t a_size, const char *b)
{
	size_t b_size = strlen(b);
	int r = memcmp(a, b, a_size < b_size ? a_size : b_size);

	if (r != 0)
		return r;
	return a_size < b_size ? -1 : a_size > b_size;
}

struct tree_node **tree_child_slot(const struct tree_node *dir, const char *name,
				   size_t size)
{
	uint32_t low = 0, high = dir->n_children;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		int r = compare_name(name, size, dir->children[middle]->name);

		if (r == 0)
			return &dir->children[middle];
		if (r < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

struct tree_node *tree_child(const struct tree_node *dir, const char *name, size_t size)
{
	struct tree_node **slot = tree_child_slot(dir, name, size);

	return slot ? *slot : NULL;
}

struct tree_node *tree_find(const struct tree *tree, const char *path)
{
	struct tree_node *node = tree->root;

	for (;;) {
		size_t size;

		path += strspn(path, "/");
		if (!*path)
			return node;
		size = strcspn(path, "/");
		if (size != 1 || path[0] != '.')
			node = tree_child(node, path, size);
		if (!node)
			return NULL;
		path += size;
	}
}

char *tree_path(const struct tree_node *node)
{
	size_t size = 0;
	char *path, *end;

	for (const struct tree_node *n = node; n->parent; n = n->parent)
		size += 1 + strlen(n->name);
	path = malloc(size + 2);
	if (!path)
		return NULL;
	memcpy(path, "/", 2);
	if (size == 0)
		return path;
	end = path + size;
	*end = '\0';
	for (const struct tree_node *n = node; n->parent; n = n->parent) {
		size_t name_size = strlen(n->name);

		end -= name_size;
		memcpy(end, n->name, name_size);
		*--end = '/';
	}
	return path;
}
