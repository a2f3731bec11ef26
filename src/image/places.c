/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where each inode stands, how large it is and how many blocks its data takes: one pass
 * in file order.  After it every node id is known, so the image is written front to back.
 */
#include "image/plan.h"

#include <assert.h>

static void split_data(struct plan_inode *inode, uint64_t size)
{
	uint64_t tail = size % IMAGE_BLOCK;

	inode->n_blocks = (uint32_t)(size / IMAGE_BLOCK);
	if (tail > IMAGE_TAIL_MAX) {
		inode->n_blocks++;
		tail = 0;
	}
	inode->tail = (uint16_t)tail;
}

/* The size that decides between compact and extended: for what is neither a file, a
 * directory nor a symlink it is what the tree says, though 0 is written. */
static uint64_t measure_data(struct plan_inode *inode)
{
	const struct tree_node *node = inode->node;

	if (!node || inode->flags & PLAN_WHITEOUT)
		return 0;
	switch (node->mode & S_IFMT) {
	case S_IFDIR:
		return inode->n_blocks * IMAGE_BLOCK + inode->tail;
	case S_IFLNK:
		inode->tail = (uint16_t)strlen(node->target);
		return inode->tail;
	case S_IFREG:
		if (node->content)
			split_data(inode, node->size);
		else if (node->size > 0)
			inode->tail = (uint16_t)(4 * image_chunks(node->size));
		return node->size;
	default:
		return node->size;
	}
}

static bool fits_compact(const struct image_plan *plan, const struct plan_inode *inode,
			 uint64_t size)
{
	const struct tree_node *owner = plan_owner(plan, inode);

	return owner->mtime_sec == plan->time_sec &&
	       owner->mtime_nsec == plan->time_nsec && inode->nlink <= UINT16_MAX &&
	       owner->uid <= UINT16_MAX && owner->gid <= UINT16_MAX && size <= UINT32_MAX;
}

/* A symlink and its text stand within one block; a text that is too long for that gets a
 * block of its own, after which the inode is placed as if the text were still there. */
static uint64_t place_symlink(struct plan_inode *inode, uint64_t position, uint64_t head)
{
	uint64_t total = head + inode->tail;

	if (total >= IMAGE_BLOCK) {
		inode->n_blocks++;
		inode->tail = 0;
	}
	if (position / IMAGE_BLOCK != (position + total - 1) / IMAGE_BLOCK)
		position = round_up_u64(position, IMAGE_BLOCK);
	return position;
}

/* For others only the tail must not cross the border of a block. */
static uint64_t place_other(struct plan_inode *inode, uint64_t position, uint64_t head)
{
	uint64_t room = IMAGE_BLOCK - (position + head) % IMAGE_BLOCK;
	uint64_t skip;

	if (inode->tail <= room)
		return position;
	skip = round_up_u64(room, IMAGE_SLOT);
	room = IMAGE_BLOCK - (position + head + skip) % IMAGE_BLOCK;
	if (inode->tail <= room)
		return position + skip;
	/* Only the chunk map of a file beyond 7.9 PiB gets here. */
	inode->n_blocks++;
	inode->tail = 0;
	return round_up_u64(position, IMAGE_BLOCK);
}

static uint64_t place(const struct image_plan *plan, struct plan_inode *inode,
		      uint64_t position)
{
	uint64_t size = measure_data(inode);
	uint64_t head = INODE_COMPACT_SIZE;

	if (!fits_compact(plan, inode, size)) {
		inode->flags |= PLAN_EXTENDED;
		head = INODE_EXTENDED_SIZE;
	}
	head += inode->xattr_size;
	position = round_up_u64(position, IMAGE_SLOT);
	if (inode->node && S_ISLNK(inode->node->mode))
		inode->offset = place_symlink(inode, position, head);
	else
		inode->offset = place_other(inode, position, head);
	return inode->offset + head + inode->tail;
}

/* From now on @count of a shared item is one more than the reference that stands for it,
 * for a reference can be 0. */
static void place_shared(struct image_plan *plan)
{
	uint64_t start = plan->inodes_end % IMAGE_BLOCK;

	for (uint32_t i = 0; i < plan->n_items; i++)
		plan->items[i].count = 0;
	for (uint32_t i = 0; i < plan->n_shared; i++) {
		const struct plan_shared *shared = &plan->shared[i];
		struct plan_item *item = &plan->items[shared->item];
		struct plan_item part = plan_part(item, shared->is_redirect);
		uint32_t reference = (uint32_t)((start + plan->shared_size) / 4) + 1;

		if (shared->is_redirect)
			item->redirect = reference;
		else
			item->count = reference;
		plan->shared_size += plan_item_size(&part);
	}
}

int image_plan_places(struct image_plan *plan, struct cop_error *err)
{
	uint64_t position = FIRST_INODE, n_blocks = 0;

	for (uint32_t i = 0; i < plan->n_inodes; i++) {
		position = place(plan, &plan->inodes[i], position);
		n_blocks += plan->inodes[i].n_blocks;
	}
	/* Nothing but its own xattrs and padding stands before the root's end. */
	assert(plan->inodes[0].offset / IMAGE_SLOT <= IMAGE_NID_MAX);
	plan->inodes_end = round_up_u64(position, IMAGE_SLOT);
	place_shared(plan);
	plan->data_start =
		round_up_u64(plan->inodes_end + plan->shared_size, IMAGE_BLOCK);
	plan->image_size = plan->data_start + n_blocks * IMAGE_BLOCK;
	if (plan->image_size / IMAGE_BLOCK > UINT32_MAX || plan->image_size > SIZE_MAX)
		return err_set(err, -EFBIG,
			       "write image: the tree is too large for one image");
	return 0;
}
