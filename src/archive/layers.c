/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Items are names in directories; they are found by parent and name in one table.  What
 * is removed leaves the table and is marked, so that no list has to be searched.
 */
#include "archive/layers.h"

#include <stdio.h>

/* More cannot be told apart in an image anyway. */
#define ITEMS_MAX ((uint64_t)1 << 26)

struct layer_item {
	struct layer_item *parent;
	struct layer_item *first; /* children, newest first */
	struct layer_item *next;
	struct layer_inode *inode;
	const char *name;
	unsigned int layer;
	unsigned int depth;
	bool is_gone;
};

struct layers {
	struct arena *arena; /* of items; that of the tree is shared with other threads */
	struct tree *tree;
	struct tree_scan_options guard;
	struct map *table; /* parent and name -> item; NULL: removed */
	struct layer_item *root;
	uint64_t n_items;
	unsigned int layer;
};

/* The key of an item in the table. */
struct key {
	const struct layer_item *parent;
	char name[TREE_NAME_MAX + 1];
};
#define KEY_SIZE(name_size) (offsetof(struct key, name) + (name_size))

struct layers *layers_free(struct layers *layers)
{
	if (!layers)
		return NULL;
	map_free(layers->table);
	tree_free(layers->tree);
	arena_free(layers->arena);
	free(layers);
	return NULL;
}

static struct layer_inode *new_inode(struct layers *layers, bool is_directory)
{
	struct layer_inode *inode = arena_alloc(layers->arena, sizeof(*inode));

	if (!inode)
		return NULL;
	inode->node.name = "";
	inode->node.nlink = 1;
	/* A directory that no entry describes. */
	inode->node.mode = is_directory ? S_IFDIR | 0755 : 0;
	return inode;
}

int layers_new(const struct tree_scan_options *scan_options, struct layers **ret_layers,
	       struct cop_error *err)
{
	auto_ptr(layers) layers = calloc(1, sizeof(*layers));

	if (!layers)
		return err_oom(err);
	layers->guard = *scan_options;
	layers->arena = arena_new();
	layers->table = map_new();
	layers->tree = tree_new(err);
	if (layers->arena)
		layers->root = arena_alloc(layers->arena, sizeof(*layers->root));
	if (!layers->root || !layers->table || !layers->tree)
		return err_oom(err);
	layers->root->name = "";
	layers->root->inode = new_inode(layers, true);
	if (!layers->root->inode)
		return err_oom(err);
	*ret_layers = TAKE_PTR(layers);
	return 0;
}

struct tree *layers_tree(struct layers *layers)
{
	return layers->tree;
}

void layers_begin(struct layers *layers)
{
	layers->layer++;
}

static bool is_directory(const struct layer_item *item)
{
	return S_ISDIR(item->inode->node.mode);
}

static struct layer_item *find(const struct layers *layers,
			       const struct layer_item *parent, const char *name,
			       size_t size)
{
	struct key key = {.parent = parent};

	if (size > TREE_NAME_MAX)
		return NULL;
	memcpy(key.name, name, size);
	return map_get(layers->table, &key, KEY_SIZE(size));
}

static int count_item(struct layers *layers, struct cop_error *err)
{
	if (++layers->n_items <= ITEMS_MAX)
		return 0;
	return err_set(err, -E2BIG, "more than %llu entries",
		       (unsigned long long)ITEMS_MAX);
}

static int add(struct layers *layers, struct layer_item *parent, const char *name,
	       size_t size, bool directory, struct layer_item **ret_item,
	       struct cop_error *err)
{
	struct layer_item *item = arena_alloc(layers->arena, sizeof(*item));
	struct key *key = arena_alloc(layers->arena, KEY_SIZE(size) + 1);
	void **slot;
	int r = count_item(layers, err);

	if (r < 0)
		return r;
	if (!item || !key)
		return err_oom(err);
	key->parent = parent;
	memcpy(key->name, name, size);
	item->name = key->name;
	item->parent = parent;
	item->depth = parent->depth + 1;
	item->layer = layers->layer;
	item->inode = new_inode(layers, directory);
	slot = map_slot(layers->table, key, KEY_SIZE(size));
	if (!slot || !item->inode)
		return err_oom(err);
	*slot = item;
	item->next = parent->first;
	parent->first = item;
	*ret_item = item;
	return 0;
}

static void take_out(struct layers *layers, struct layer_item *item)
{
	struct key key = {.parent = item->parent};
	size_t size = strlen(item->name);
	void **slot;

	memcpy(key.name, item->name, size);
	slot = map_slot(layers->table, &key, KEY_SIZE(size));
	if (slot)
		*slot = NULL;
	item->is_gone = true;
}

/* What is below a directory that is taken out needs no look: no path leads there. */
static void remove_lower(struct layers *layers, struct layer_item *top, bool only_below)
{
	struct layer_item *item = top;

	while (item) {
		struct layer_item *next = NULL;

		if (!item->is_gone && item->layer < layers->layer &&
		    (item != top || !only_below))
			take_out(layers, item);
		else if (!item->is_gone)
			next = item->first;
		while (!next && item != top) {
			next = item->next;
			item = item->parent;
		}
		item = next;
	}
}

/* One step of a path.  Return: the size of the next part, 0 at the end. */
static size_t next_part(const char **path)
{
	const char *at = *path;
	size_t size;

	for (;;) {
		while (*at == '/')
			at++;
		size = strcspn(at, "/");
		if (size != 1 || *at != '.')
			break;
		at++;
	}
	*path = at;
	return size;
}

static int refuse(struct cop_error *err, const char *path, const char *why)
{
	/* The reason must not be cut off. */
	(void)err_set(err, -EBADMSG, "'%.300s%s': %s", path,
		      strlen(path) > 300 ? "..." : "", why);
	return -EBADMSG;
}

static int check_path(const char *path, struct cop_error *err)
{
	if (!*path)
		return refuse(err, path, "an entry without a name");
	if (*path == '/')
		return refuse(err, path,
			      "its name is absolute; archives with relative "
			      "names can be imported");
	for (size_t size; (size = next_part(&path)) > 0; path += size) {
		if (size == 2 && path[0] == '.' && path[1] == '.')
			return refuse(err, path, "its name leads upwards");
		if (size > TREE_NAME_MAX)
			return err_set(err, -ENAMETOOLONG,
				       "'%.40s...': a name of %zu bytes", path, size);
	}
	return 0;
}

/*
 * The directory of the last part of @path, made where it is missing.
 * Return: 0; *@ret_parent is NULL for the root itself.
 */
static int enter(struct layers *layers, const char *path, struct layer_item **ret_parent,
		 const char **ret_name, size_t *ret_size, struct cop_error *err)
{
	struct layer_item *here = layers->root, *item;
	const char *at = path, *name = NULL;
	size_t size, name_size = 0;
	int r = check_path(path, err);

	for (; r == 0 && (size = next_part(&at)) > 0; at += size) {
		if (name) {
			item = find(layers, here, name, name_size);
			if (!item)
				r = add(layers, here, name, name_size, true, &item, err);
			else if (!is_directory(item))
				r = err_set(err, -EBADMSG,
					    "'%s': '%s' in it is no directory", path,
					    item->name);
			if (r < 0)
				return r;
			if (item->depth >= TREE_DEPTH_MAX)
				return refuse(err, path, "too many levels");
			item->layer = layers->layer;
			here = item;
		}
		name = at;
		name_size = size;
	}
	*ret_parent = name ? here : NULL;
	*ret_name = name;
	*ret_size = name_size;
	return r;
}

/* The item at @path, made or emptied. */
static int take_place(struct layers *layers, const char *path, bool directory,
		      struct layer_item **ret_item, struct cop_error *err)
{
	struct layer_item *parent = NULL, *item;
	const char *name = NULL;
	size_t size = 0;
	int r = enter(layers, path, &parent, &name, &size, err);

	if (r < 0)
		return r;
	if (!parent && !directory)
		return refuse(err, path, "the root of a tree is a directory");
	item = parent ? find(layers, parent, name, size) : layers->root;
	if (item && is_directory(item) && !directory) {
		if (item->layer == layers->layer)
			return refuse(err, path, "it was a directory before");
		take_out(layers, item);
		item = NULL;
	}
	if (!item) {
		r = add(layers, parent, name, size, directory, &item, err);
		if (r < 0)
			return r;
	}
	item->layer = layers->layer;
	*ret_item = item;
	return 0;
}

int layers_place(struct layers *layers, const char *path, bool is_dir,
		 struct layer_inode **ret_inode, struct cop_error *err)
{
	struct layer_item *item = NULL;
	int r = take_place(layers, path, is_dir, &item, err);

	if (r < 0)
		return r;
	item->inode = new_inode(layers, is_dir);
	if (!item->inode)
		return err_oom(err);
	*ret_inode = item->inode;
	return 0;
}

static struct layer_item *find_path(const struct layers *layers, const char *path)
{
	struct layer_item *item = layers->root;

	for (size_t size; item && (size = next_part(&path)) > 0; path += size)
		item = find(layers, item, path, size);
	return item;
}

struct layer_inode *layers_find(struct layers *layers, const char *path)
{
	struct layer_item *item = find_path(layers, path);

	return item ? item->inode : NULL;
}

int layers_link(struct layers *layers, const char *path, const char *target,
		struct cop_error *err)
{
	struct layer_item *item = NULL, *old;
	struct layer_inode *inode;
	int r = check_path(target, err);

	if (r < 0)
		return err_prefix(err, r, "'%s': hard link", path);
	old = find_path(layers, target);
	if (!old || is_directory(old))
		return err_set(err, -EBADMSG, "'%s': hard link to '%s', which is %s",
			       path, target, old ? "a directory" : "not there");
	inode = old->inode;
	r = take_place(layers, path, false, &item, err);
	if (r == 0)
		item->inode = inode;
	return r;
}

int layers_hide(struct layers *layers, const char *path, bool only_below,
		struct cop_error *err)
{
	int r = check_path(path, err);
	struct layer_item *item = r == 0 ? find_path(layers, path) : NULL;

	if (item)
		remove_lower(layers, item, only_below || item == layers->root);
	return r;
}

/* The tree has its node from tree_add(), which knows name and parent only. */
static void copy_inode(struct tree_node *to, const struct tree_node *from)
{
	to->xattrs = from->xattrs;
	to->n_xattrs = from->n_xattrs;
	to->target = from->target;
	to->payload = from->payload;
	to->payload_follows = from->payload_follows;
	to->content = from->content;
	to->digest = from->digest;
	to->size = from->size;
	to->mtime_sec = from->mtime_sec;
	to->mtime_nsec = from->mtime_nsec;
	to->mode = from->mode;
	to->uid = from->uid;
	to->gid = from->gid;
	to->rdev = from->rdev;
}

static int settle(struct layers *layers, struct layer_item *item, struct cop_error *err)
{
	struct layer_inode *inode = item->inode;
	struct tree_node *parent = item->parent->inode->final;
	size_t size = strlen(item->name);
	struct tree_node *node;
	int r;

	if (inode->final)
		return tree_add_link(layers->tree, parent, item->name, size, inode->final,
				     &node, err);
	r = tree_add(layers->tree, parent, item->name, size, inode->node.mode, &node,
		     err);
	if (r == 0) {
		copy_inode(node, &inode->node);
		inode->final = node;
	}
	return r;
}

int layers_finish(struct layers *layers, struct tree **ret_tree, struct cop_error *err)
{
	struct layer_item *item = layers->root;
	int r = 0;

	copy_inode(layers->tree->root, &item->inode->node);
	item->inode->final = layers->tree->root;
	while (item && r == 0) {
		struct layer_item *next = NULL;

		if (item != layers->root && !item->is_gone)
			r = settle(layers, item, err);
		if (!item->is_gone)
			next = item->first;
		while (!next && item != layers->root) {
			next = item->next;
			item = item->parent;
		}
		item = next;
	}
	if (r == 0)
		r = tree_finish(layers->tree, err);
	if (r < 0)
		return r;
	*ret_tree = TAKE_PTR(layers->tree);
	return 0;
}
