/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inodes of an image in the order of the file: breadth first, children by unsigned
 * bytes of their names.  A hard link is a name only; its inode stands where the node
 * without a link is.  Directories are measured on the way, as all names come by.
 */
#include "image/plan.h"

#include <assert.h>

#define SHOWN_PATH_MAX 600

void image_plan_done(struct image_plan *plan)
{
	free(plan->inodes);
	free(plan->positions);
	free(plan->items);
	free(plan->shared);
	free(plan->texts);
	*plan = (struct image_plan){};
}

int image_refuse(const struct tree_node *node, int code, const char *reason,
		 struct cop_error *err)
{
	auto_free char *path = tree_path(node);
	const char *shown = path ? path : node->name;
	size_t size = strlen(shown);

	/* The reason must not be cut off behind a path that fills the message. */
	if (size > SHOWN_PATH_MAX)
		return err_set(err, code, "write image: '...%s': %s",
			       shown + size - SHOWN_PATH_MAX, reason);
	return err_set(err, code, "write image: '%s': %s", shown, reason);
}

/* "." and ".." come before the hexadecimal names in every order. */
static void extra_entry(const struct plan_walk *walk, uint32_t i,
			struct plan_entry *entry)
{
	*entry = (struct plan_entry){.name_size = 2};
	if (i == 0) {
		entry->kind = ENTRY_SELF;
		entry->name = ".";
		entry->name_size = 1;
	} else if (i == 1) {
		entry->kind = ENTRY_PARENT;
		entry->name = "..";
	} else {
		entry->kind = ENTRY_WHITEOUT;
		entry->number = i - 2;
		entry->name = walk->plan->hex[entry->number];
	}
}

void plan_walk_init(struct plan_walk *walk, const struct image_plan *plan,
		    const struct tree_node *directory)
{
	*walk = (struct plan_walk){
		.plan = plan,
		.directory = directory,
		.n_extras = directory->parent ? 2 : 2 + PLAN_N_HEX,
	};
}

bool plan_walk_next(struct plan_walk *walk, struct plan_entry *entry)
{
	bool child_left = walk->next_child < walk->directory->n_children;
	const struct tree_node *child =
		child_left ? walk->directory->children[walk->next_child] : NULL;

	if (walk->next_extra < walk->n_extras) {
		struct plan_entry extra;
		int order = 1;

		extra_entry(walk, walk->next_extra, &extra);
		if (child)
			order = strcmp(child->name, extra.name);
		if (order >= 0)
			walk->next_extra++;
		if (order > 0) {
			*entry = extra;
			return true;
		}
		/* Equal: the tree's own name takes the place of the whiteout. */
	}
	if (!child)
		return false;
	walk->next_child++;
	*entry = (struct plan_entry){
		.kind = ENTRY_CHILD,
		.node = child,
		.name = child->name,
		.name_size = child->name_size,
	};
	return true;
}

static int check_content(const struct tree_node *node, struct cop_error *err)
{
	size_t size;

	if (S_ISLNK(node->mode)) {
		size = node->target ? strlen(node->target) : 0;
		if (size == 0 || size > TREE_SYMLINK_MAX)
			return image_refuse(node, -EINVAL,
					    "a symlink holds 1 to 4095 bytes", err);
	}
	if (!S_ISREG(node->mode))
		return 0;
	if (node->content && node->size > TREE_CONTENT_MAX)
		return image_refuse(node, -EFBIG, "inline content is over 5000 bytes",
				    err);
	if (!node->content && node->size > CHUNK_SIZE_MAX)
		return image_refuse(node, -EFBIG,
				    "the file is larger than 1024 chunks of 8 TiB", err);
	if (plan_is_pooled(node) && node->payload &&
	    strlen(node->payload) > XATTR_VALUE_MAX - 1)
		return image_refuse(node, -ERANGE, "the payload is over 65534 bytes",
				    err);
	return 0;
}

static int check_node(const struct tree_node *node, struct cop_error *err)
{
	if (image_type(node->mode) == 0)
		return image_refuse(node, -EINVAL, "unknown file type", err);
	if (node->parent &&
	    (node->name_size == 0 || memchr(node->name, '/', node->name_size)))
		return image_refuse(node, -EINVAL, "a name is 1 to 255 bytes without '/'",
				    err);
	return check_content(node, err);
}

/* An upper bound, so that the items are one block of memory. */
static uint64_t count_items(const struct tree_node *node, bool is_whiteout)
{
	uint64_t n = node->n_xattrs;

	if (!node->parent)
		n++;
	if (is_whiteout || plan_is_pooled(node))
		n += 2;
	return n;
}

/* Metacopy and redirect are neighbours among the xattrs, and if one is shared both are.
 */
static bool can_be_pair(const struct tree_node *node)
{
	if (!node->payload_follows || node->n_xattrs + 2 > XATTRS_SHARED_MAX)
		return false;
	for (uint32_t i = 0; i < node->n_xattrs; i++)
		if (strncmp(node->xattrs[i].key, OVERLAY_PREFIX, OVERLAY_PREFIX_SIZE) ==
		    0)
			return false;
	return true;
}

static void see_time(struct image_plan *plan, const struct tree_node *node)
{
	if (node->mtime_sec > plan->time_sec)
		return;
	if (node->mtime_sec == plan->time_sec && node->mtime_nsec >= plan->time_nsec)
		return;
	plan->time_sec = node->mtime_sec;
	plan->time_nsec = node->mtime_nsec;
}

static int append_node(struct image_plan *plan, uint32_t parent,
		       const struct tree_node *node, struct cop_error *err)
{
	struct plan_inode *inode = &plan->inodes[plan->n_inodes];
	bool is_whiteout = tree_is_whiteout(node);
	int r = check_node(node, err);

	if (r < 0)
		return r;
	*inode = (struct plan_inode){
		.node = node,
		.parent = parent,
		.depth = node->parent ? (uint16_t)(plan->inodes[parent].depth + 1) : 0,
		.nlink = S_ISDIR(node->mode) ? 2 : node->nlink,
		.flags = is_whiteout ? PLAN_WHITEOUT : 0,
	};
	plan->n_items_max += count_items(node, is_whiteout);
	if (plan_is_pooled(node) && !can_be_pair(node))
		plan->has_pairs = false;
	assert(node->index < plan->tree->n_nodes);
	plan->positions[node->index] = plan->n_inodes++;
	see_time(plan, node);
	return 0;
}

static void append_whiteout(struct image_plan *plan, uint32_t number)
{
	plan->inodes[plan->n_inodes] = (struct plan_inode){.nlink = 1};
	plan->hex_positions[number] = plan->n_inodes++;
	plan->n_items_max++;
}

/* @room: what is taken of the block or tail that is being filled */
static void measure_entry(struct plan_inode *directory, const struct plan_entry *entry,
			  uint64_t *room)
{
	uint64_t cost = DIRENT_SIZE + entry->name_size;

	if (*room + cost > IMAGE_BLOCK) {
		directory->n_blocks++;
		*room = 0;
	}
	*room += cost;
}

static int append_child(struct image_plan *plan, uint32_t position,
			const struct tree_node *child, struct cop_error *err)
{
	struct plan_inode *directory = &plan->inodes[position];
	int r;

	if (directory->depth >= TREE_DEPTH_MAX)
		return image_refuse(child, -EFBIG,
				    "the tree is more than 1024 levels deep", err);
	if (child->link)
		return 0;
	r = append_node(plan, position, child, err);
	if (r < 0)
		return r;
	if (S_ISDIR(child->mode))
		directory->nlink++;
	if (tree_is_whiteout(child))
		directory->flags |= PLAN_HOLDS_WHITEOUTS;
	return 0;
}

static int append_children(struct image_plan *plan, uint32_t position,
			   struct cop_error *err)
{
	struct plan_inode *directory = &plan->inodes[position];
	struct plan_entry entry;
	struct plan_walk walk;
	uint64_t room = 0;
	int r = 0;

	plan_walk_init(&walk, plan, directory->node);
	while (r == 0 && plan_walk_next(&walk, &entry)) {
		measure_entry(directory, &entry, &room);
		if (entry.kind == ENTRY_WHITEOUT)
			append_whiteout(plan, entry.number);
		else if (entry.kind == ENTRY_CHILD)
			r = append_child(plan, position, entry.node, err);
	}
	if (r < 0)
		return r;
	if (room > IMAGE_TAIL_MAX) {
		directory->n_blocks++;
		room = 0;
	}
	directory->tail = (uint16_t)room;
	if (directory->flags & PLAN_HOLDS_WHITEOUTS)
		plan->n_items_max += 4;
	return 0;
}

int image_plan_inodes(struct image_plan *plan, struct cop_error *err)
{
	const struct tree_node *root = plan->tree->root;
	size_t n = (size_t)plan->tree->n_nodes + PLAN_N_HEX;
	int r;

	if (n > UINT32_MAX)
		return err_set(err, -EFBIG, "write image: the tree has too many names");
	plan->inodes = malloc(n * sizeof(*plan->inodes));
	plan->positions = calloc(n, sizeof(*plan->positions));
	if (!plan->inodes || !plan->positions)
		return err_oom(err);
	for (unsigned int i = 0; i < PLAN_N_HEX; i++) {
		plan->hex[i][0] = "0123456789abcdef"[i >> 4];
		plan->hex[i][1] = "0123456789abcdef"[i & 15];
	}
	if (!S_ISDIR(root->mode))
		return image_refuse(root, -EINVAL, "the root is not a directory", err);
	plan->time_sec = root->mtime_sec;
	plan->time_nsec = root->mtime_nsec;
	plan->has_pairs = true;

	r = append_node(plan, 0, root, err);
	for (uint32_t i = 0; r == 0 && i < plan->n_inodes; i++)
		if (plan_is_directory(&plan->inodes[i]))
			r = append_children(plan, i, err);
	return r;
}
