/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Building a tree and walking it.
 *
 * The room in the lists of a node is never stored: it is the next power of two of their
 * length, so a list is moved when its length reaches one.  Walks need no stack: a node
 * knows its parent and its position there.
 */
#include "tree/tree.h"

#include <assert.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "base/text.h"
#include "tree/private.h"

#define MOST_XATTRS   4096
#define NODES_AT_ONCE 32
#define CACHE_LINE    64
/* What small trees may gather. */
#define WORN_BYTES ((size_t)4 * 1024 * 1024)
#define MAJOR_MAX  0xfffu
#define MINOR_MAX  0xfffffu

_Static_assert(sizeof(void *) != 8 || sizeof(struct tree_node) == 2 * CACHE_LINE,
	       "a node is two lines");

struct tree *tree_new(struct cop_error *err)
{
	auto_ptr(tree) tree = calloc(1, sizeof(*tree));

	if (tree)
		tree->arena = arena_new();
	if (tree && tree->arena)
		tree->root = arena_alloc(tree->arena, sizeof(*tree->root));
	if (!tree || !tree->root) {
		(void)err_oom(err);
		return NULL;
	}
	tree->root->name = "";
	tree->root->mode = S_IFDIR | 0755;
	tree->root->nlink = 1;
	tree->n_nodes = 1;
	return TAKE_PTR(tree);
}

struct tree *tree_free(struct tree *tree)
{
	if (tree) {
		tree->arena = arena_free(tree->arena);
		free(tree->links);
	}
	free(tree);
	return NULL;
}

/* A list of @n items that has to take one more: itself, or its copy with twice the room.
 */
static void *room_for_one_more(struct arena *arena, void *list, uint32_t n,
			       size_t item_size)
{
	size_t wanted = n > 0 ? (size_t)n * 2 : 1;
	void *larger;

	if ((n & (n - 1)) != 0)
		return list;
	larger = arena_alloc(arena, wanted * item_size);
	if (larger && n > 0)
		memcpy(larger, list, n * item_size);
	return larger;
}

/* Side by side, so that a walk meets nothing but nodes. */
static struct tree_node *take_node(struct tree *tree)
{
	if (tree->n_spare == 0) {
		tree->spare = arena_alloc_aligned(
			tree->arena, NODES_AT_ONCE * sizeof(*tree->spare), CACHE_LINE);
		if (!tree->spare)
			return NULL;
		tree->n_spare = NODES_AT_ONCE;
	}
	tree->n_spare--;
	return tree->spare++;
}

static int check_name(const char *name, size_t size, struct cop_error *err)
{
	if (size == 0)
		return err_set(err, -EINVAL, "a name is empty");
	if (size > TREE_NAME_MAX)
		return err_set(err, -ENAMETOOLONG, "name '%.32s...' has %zu bytes of %d",
			       name, size, TREE_NAME_MAX);
	if (memchr(name, '/', size) || memchr(name, '\0', size) ||
	    (name[0] == '.' && (size == 1 || (size == 2 && name[1] == '.'))))
		return err_set(err, -EINVAL, "'%.*s' cannot be a name", (int)size, name);
	return 0;
}

bool tree_mode_is_valid(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
	case S_IFDIR:
	case S_IFLNK:
	case S_IFCHR:
	case S_IFBLK:
	case S_IFIFO:
	case S_IFSOCK:
		return (mode & ~(uint32_t)(S_IFMT | 07777)) == 0;
	default:
		return false;
	}
}

static int append_node(struct tree *tree, struct tree_node *parent, const char *name,
		       size_t name_size, struct tree_node **ret_node,
		       struct cop_error *err)
{
	struct tree_node **children;
	struct tree_node *node;

	children = room_for_one_more(tree->arena, parent->children, parent->n_children,
				     sizeof(struct tree_node *));
	if (!children)
		return err_oom(err);
	parent->children = children;
	node = take_node(tree);
	if (!node)
		return err_oom(err);
	node->name = arena_memdup(tree->arena, name, name_size);
	if (!node->name)
		return err_oom(err);
	node->name_size = (uint8_t)name_size;
	node->parent = parent;
	node->position = parent->n_children;
	parent->children[parent->n_children++] = node;
	*ret_node = node;
	return 0;
}

static int add_node(struct tree *tree, struct tree_node *parent, const char *name,
		    size_t name_size, struct tree_node **ret_node, struct cop_error *err)
{
	int r = check_name(name, name_size, err);

	if (r < 0)
		return r;
	if (parent->link || !S_ISDIR(parent->mode))
		return err_set(err, -ENOTDIR, "add '%.*s': its parent is no directory",
			       (int)name_size, name);
	tree->is_sorted = false;
	return append_node(tree, parent, name, name_size, ret_node, err);
}

int tree_append(struct tree *tree, struct tree_node *parent, const char *name,
		size_t name_size, uint32_t mode, struct tree_node **ret_node,
		struct cop_error *err)
{
	int r = append_node(tree, parent, name, name_size, ret_node, err);

	if (r < 0)
		return r;
	(*ret_node)->mode = mode;
	(*ret_node)->nlink = 1;
	return 0;
}

int tree_add(struct tree *tree, struct tree_node *parent, const char *name,
	     size_t name_size, uint32_t mode, struct tree_node **ret_node,
	     struct cop_error *err)
{
	struct tree_node *node = NULL;
	int r;

	if (!tree_mode_is_valid(mode))
		return err_set(err, -EINVAL, "add '%.*s': %o is no mode of a file",
			       (int)name_size, name, mode);
	r = add_node(tree, parent, name, name_size, &node, err);
	if (!node)
		return r;
	node->mode = mode;
	node->nlink = 1;
	*ret_node = node;
	return 0;
}

int tree_add_link(struct tree *tree, struct tree_node *parent, const char *name,
		  size_t name_size, struct tree_node *inode, struct tree_node **ret_node,
		  struct cop_error *err)
{
	struct tree_node *node = NULL;
	int r;

	if (inode->link || S_ISDIR(inode->mode))
		return err_set(err, -EINVAL, "add '%.*s': '%s' cannot be linked to",
			       (int)name_size, name, inode->name);
	r = add_node(tree, parent, name, name_size, &node, err);
	if (!node)
		return r;
	node->link = inode;
	*ret_node = node;
	return 0;
}

/* Index of the first xattr whose key is not before @key. */
static uint32_t xattr_position(const struct tree_node *node, const char *key)
{
	uint32_t low = 0, high = node->n_xattrs;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (strcmp(node->xattrs[middle].key, key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct tree_xattr *tree_find_xattr(const struct tree_node *node, const char *key)
{
	uint32_t i = xattr_position(node, key);

	if (i == node->n_xattrs || strcmp(node->xattrs[i].key, key) != 0)
		return NULL;
	return &node->xattrs[i];
}

/* Make place at @i; the key and value of the new xattr are still to be set. */
static int insert_xattr(struct tree *tree, struct tree_node *node, uint32_t i,
			struct cop_error *err)
{
	struct tree_xattr *xattrs;

	if (node->n_xattrs == MOST_XATTRS)
		return err_set(err, -ERANGE, "'%s' has more than %d xattrs", node->name,
			       MOST_XATTRS);
	xattrs = room_for_one_more(tree->arena, node->xattrs, node->n_xattrs,
				   sizeof(*xattrs));
	if (!xattrs)
		return err_oom(err);
	memmove(xattrs + i + 1, xattrs + i, (node->n_xattrs - i) * sizeof(*xattrs));
	node->xattrs = xattrs;
	node->n_xattrs++;
	return 0;
}

int tree_set_xattr(struct tree *tree, struct tree_node *node, const char *key,
		   const void *value, size_t size, struct cop_error *err)
{
	struct tree_xattr xattr = {.size = (uint32_t)size};
	size_t key_size = strlen(key);
	uint32_t i;

	if (key_size == 0 || key_size > TREE_NAME_MAX)
		return err_set(err, -ERANGE, "xattr key '%.32s' of %zu bytes", key,
			       key_size);
	if (size > UINT16_MAX)
		return err_set(err, -ERANGE, "xattr '%s' has a value of %zu bytes", key,
			       size);
	xattr.value = arena_memdup(tree->arena, value, size);
	if (!xattr.value)
		return err_oom(err);
	i = xattr_position(node, key);
	if (i < node->n_xattrs && strcmp(node->xattrs[i].key, key) == 0) {
		xattr.key = node->xattrs[i].key;
	} else {
		int r;

		xattr.key = arena_memdup(tree->arena, key, key_size);
		if (!xattr.key)
			return err_oom(err);
		r = insert_xattr(tree, node, i, err);
		if (r < 0)
			return r;
	}
	node->xattrs[i] = xattr;
	return 0;
}

bool tree_remove_xattr(struct tree_node *node, const char *key)
{
	uint32_t i = xattr_position(node, key);

	if (i == node->n_xattrs || strcmp(node->xattrs[i].key, key) != 0)
		return false;
	node->n_xattrs--;
	memmove(node->xattrs + i, node->xattrs + i + 1,
		(node->n_xattrs - i) * sizeof(*node->xattrs));
	return true;
}

int tree_check_xattrs(const struct tree_node *node, struct cop_error *err)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < node->n_xattrs; i++)
		sum += 7 + strlen(node->xattrs[i].key) + node->xattrs[i].size;
	if (sum > TREE_XATTRS_MAX)
		return err_set(err, -ERANGE, "its xattrs need %llu bytes of %d",
			       (unsigned long long)sum, TREE_XATTRS_MAX);
	return 0;
}

int tree_set_digest(struct tree *tree, struct tree_node *node,
		    const struct cop_digest *digest, struct cop_error *err)
{
	struct cop_digest *copy;

	assert(S_ISREG(node->mode));
	copy = (struct cop_digest *)arena_memdup(tree->arena, digest, sizeof(*digest));
	if (!copy)
		return err_oom(err);
	node->digest = copy;
	node->payload = NULL;
	node->payload_follows = true;
	node->content = NULL;
	return 0;
}

int tree_set_content(struct tree *tree, struct tree_node *node, const void *data,
		     size_t size, struct cop_error *err)
{
	const char *content = NULL;

	assert(S_ISREG(node->mode));
	if (size > TREE_CONTENT_MAX)
		return err_set(err, -EFBIG, "'%s': inline content of %zu bytes",
			       node->name, size);
	if (size > 0) {
		content = arena_memdup(tree->arena, data, size);
		if (!content)
			return err_oom(err);
	}
	node->content = content;
	node->digest = NULL;
	node->payload = NULL;
	node->payload_follows = false;
	node->size = size;
	return 0;
}

int tree_set_target(struct tree *tree, struct tree_node *node, const char *target,
		    size_t size, struct cop_error *err)
{
	assert(S_ISLNK(node->mode));
	if (size == 0)
		return err_set(err, -EINVAL, "symlink '%s' is empty", node->name);
	if (size > TREE_SYMLINK_MAX)
		return err_set(err, -ENAMETOOLONG, "symlink '%s' has %zu bytes of %d",
			       node->name, size, TREE_SYMLINK_MAX);
	if (memchr(target, '\0', size))
		return err_set(err, -EINVAL, "symlink '%s' holds a NUL", node->name);
	node->target = arena_memdup(tree->arena, target, size);
	return node->target ? 0 : err_oom(err);
}

static int compare_nodes(const void *a, const void *b)
{
	return strcmp((*(struct tree_node *const *)a)->name,
		      (*(struct tree_node *const *)b)->name);
}

static int refuse_twins(const struct tree_node *a, const struct tree_node *b,
			const struct tree_node **ret_later, struct cop_error *err)
{
	auto_free char *path = tree_path(a);

	if (ret_later)
		*ret_later = a->index > b->index ? a : b;
	return err_set(err, -EEXIST, "'%s' is there twice", path ? path : a->name);
}

/* How many children stand in order, each behind the one before. */
static uint32_t count_sorted(const struct tree_node *dir)
{
	uint32_t n = 1;

	while (n < dir->n_children &&
	       strcmp(dir->children[n - 1]->name, dir->children[n]->name) < 0)
		n++;
	return n;
}

static int sort_children(struct tree_node *dir, const struct tree_node **ret_later,
			 struct cop_error *err)
{
	if (count_sorted(dir) < dir->n_children) {
		uint32_t n;

		qsort(dir->children, dir->n_children, sizeof(*dir->children),
		      compare_nodes);
		n = count_sorted(dir);
		if (n < dir->n_children)
			return refuse_twins(dir->children[n - 1], dir->children[n],
					    ret_later, err);
	}
	return 0;
}

/* The next of all nodes, in the order of tree_next().  Nothing of the arena is taken:
 * threads that hash may take some of it meanwhile. */
static int count_node(struct tree *tree, struct tree_node *node, struct cop_error *err)
{
	node->index = tree->n_nodes++;
	if (!node->link)
		return 0;
	if (tree->n_links == tree->links_room) {
		uint32_t room = tree->links_room ? tree->links_room * 2 : 16;
		struct tree_node **larger =
			realloc(tree->links, room * sizeof(struct tree_node *));

		if (!larger)
			return err_oom(err);
		tree->links = larger;
		tree->links_room = room;
	}
	tree->links[tree->n_links++] = node;
	return 0;
}

int tree_order(struct tree *tree, const struct tree_node **ret_later, bool one_name,
	       struct cop_error *err)
{
	tree->n_nodes = tree->n_links = 0;
	/* A directory is sorted when the walk stands on it, before it goes below. */
	for (struct tree_node *node = tree->root; node; node = tree_next(node)) {
		int r = tree->is_sorted ? 0 : sort_children(node, ret_later, err);

		for (uint32_t i = 0; r == 0 && i < node->n_children; i++)
			node->children[i]->position = i;
		if (r == 0)
			r = count_node(tree, node, err);
		if (r < 0)
			return r;
		if (one_name && !node->link && !S_ISDIR(node->mode))
			node->nlink = 1;
	}
	tree->is_sorted = true;
	return 0;
}

int tree_finish(struct tree *tree, struct cop_error *err)
{
	return tree_order(tree, NULL, false, err);
}

int tree_number(struct tree *tree, struct cop_error *err)
{
	int r = 0;

	tree->n_nodes = tree->n_links = 0;
	for (struct tree_node *node = tree->root; r == 0 && node; node = tree_next(node))
		r = count_node(tree, node, err);
	tree->is_sorted = r == 0;
	return r;
}

struct tree_node *tree_next(const struct tree_node *node)
{
	if (node->n_children > 0)
		return node->children[0];
	for (; node->parent; node = node->parent)
		if (node->position + 1 < node->parent->n_children)
			return node->parent->children[node->position + 1];
	return NULL;
}

bool tree_is_worn(const struct tree *tree)
{
	return tree->n_bytes_first > 0 &&
	       arena_size(tree->arena) > 2 * tree->n_bytes_first + WORN_BYTES;
}

uint64_t tree_clamp(struct tree *tree, int64_t epoch)
{
	uint64_t n_clamped = 0;

	for (struct tree_node *node = tree->root; node; node = tree_next(node)) {
		if (node->link || node->mtime_sec < epoch ||
		    (node->mtime_sec == epoch && node->mtime_nsec == 0))
			continue;
		node->mtime_sec = epoch;
		node->mtime_nsec = 0;
		n_clamped++;
	}
	return n_clamped;
}

int tree_rdev(dev_t dev, uint32_t *ret_rdev)
{
	unsigned int major_number = major(dev), minor_number = minor(dev);

	if (major_number > MAJOR_MAX || minor_number > MINOR_MAX)
		return -ERANGE;
	*ret_rdev =
		(minor_number & 0xff) | major_number << 8 | (minor_number & ~0xffu) << 12;
	return 0;
}

dev_t tree_rdev_to_dev(uint32_t rdev)
{
	return makedev(rdev >> 8 & MAJOR_MAX, (rdev & 0xff) | (rdev >> 12 & 0xfff00));
}

bool tree_is_whiteout(const struct tree_node *node)
{
	const struct tree_node *inode = tree_inode(node);

	return S_ISCHR(inode->mode) && inode->rdev == 0;
}

bool tree_payload_is(const char *text, size_t size, const struct cop_digest *digest)
{
	return size == TREE_PAYLOAD_SIZE - 1 && text[2] == '/' &&
	       hex_is(text, digest->bytes, 1) &&
	       hex_is(text + 3, digest->bytes + 1, COP_DIGEST_SIZE - 1);
}

const char *tree_payload_of(const struct tree_node *node, char text[TREE_PAYLOAD_SIZE])
{
	return node->payload_follows ? tree_payload(node->digest, text) : node->payload;
}

char *tree_payload(const struct cop_digest *digest, char text[TREE_PAYLOAD_SIZE])
{
	hex_encode(digest->bytes, 1, text);
	text[2] = '/';
	hex_encode(digest->bytes + 1, COP_DIGEST_SIZE - 1, text + 3);
	return text;
}
