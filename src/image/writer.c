/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A finished plan as bytes, front to back, in pieces that stay in the processor's cache.
 * A piece is zeroed first, so that every gap and reserved field needs no code.
 */
#include <assert.h>

#include "image/image.h"
#include "image/plan.h"

/* An entry takes at least 13 bytes. */
#define ENTRIES_PER_BLOCK (IMAGE_BLOCK / (DIRENT_SIZE + 1) + 1)

/* What a pair takes is less. */
#define PAIR_ROOM 256

/* Directory entries that share a block or tail. */
struct group {
	struct plan_entry entries[ENTRIES_PER_BLOCK];
	size_t n;
	uint64_t size;
};

/*
 * struct writer
 * @piece:	what is being filled, NULL between two pieces
 * @start:	its place in the image
 * @shared:	the table of shared xattrs
 * @pair:	the two entries of a file in the pool, @pair_size bytes, but for its
 *digest, which belongs at @digest_at, and the payload, which belongs at @payload_at
 * @next_block: the data block that the next inode with blocks gets
 */
struct writer {
	const struct image_plan *plan;
	const struct image_sink *sink;
	uint8_t *piece;
	uint64_t start;
	uint8_t *shared;
	uint8_t pair[PAIR_ROOM];
	size_t pair_size, digest_at, payload_at;
	uint32_t next_block;
	struct group group;
};

static int begin_piece(struct writer *writer, const uint8_t *rest, size_t size,
		       struct cop_error *err)
{
	int r = writer->sink->take(writer->sink->data, &writer->piece, err);

	if (r < 0)
		return r;
	if (size > 0)
		memcpy(writer->piece, rest, size);
	memset(writer->piece + size, 0, IMAGE_PIECE - size);
	return 0;
}

/* Hand over the whole blocks before @offset, before which nothing is left to be written.
 */
static int hand_over(struct writer *writer, uint64_t offset, struct cop_error *err)
{
	size_t filled = (size_t)min_u64(offset - writer->start, IMAGE_PIECE);
	size_t rest = filled % IMAGE_BLOCK;
	uint8_t kept[IMAGE_BLOCK];
	int r;

	memcpy(kept, writer->piece + filled - rest, rest);
	r = writer->sink->give(writer->sink->data, TAKE_PTR(writer->piece), filled - rest,
			       err);
	if (r < 0)
		return r;
	writer->start += filled - rest;
	return begin_piece(writer, kept, rest, err);
}

/* reach() - @size bytes at @offset, behind all that was reached before */
static int reach(struct writer *writer, uint64_t offset, uint64_t size, uint8_t **ret_at,
		 struct cop_error *err)
{
	if (offset + size > writer->start + IMAGE_PIECE) {
		int r = hand_over(writer, offset, err);

		if (r < 0)
			return r;
	}
	assert(offset >= writer->start);
	assert(offset + size <= writer->start + IMAGE_PIECE);
	*ret_at = writer->piece + (offset - writer->start);
	return 0;
}

static void emit_head(const struct image_plan *plan, uint8_t *data)
{
	uint8_t *super = data + SUPER;

	put_le32(data + HEADER_MAGIC, HEADER_MAGIC_VALUE);
	put_le32(data + HEADER_VERSION, 1);
	put_le32(data + HEADER_FLAGS, plan->has_acl ? HEADER_FLAG_ACL : 0);
	put_le32(data + HEADER_FORMAT, plan->version);

	put_le32(super + SUPER_MAGIC, SUPER_MAGIC_VALUE);
	put_le32(super + SUPER_COMPAT, COMPAT_MTIME_AND_FILTER);
	super[SUPER_BLOCK_BITS] = IMAGE_BLOCK_BITS;
	put_le16(super + SUPER_ROOT, (uint16_t)(plan->inodes[0].offset / IMAGE_SLOT));
	put_le64(super + SUPER_INODES, plan->n_inodes);
	put_le64(super + SUPER_TIME_SEC, (uint64_t)plan->time_sec);
	put_le32(super + SUPER_TIME_NSEC, plan->time_nsec);
	put_le32(super + SUPER_BLOCKS, (uint32_t)(plan->image_size / IMAGE_BLOCK));
	put_le32(super + SUPER_XATTRS, (uint32_t)(plan->inodes_end / IMAGE_BLOCK));
}

static void emit_value(const struct plan_item *item, uint8_t *value)
{
	if (item->lead == LEAD_PAYLOAD) {
		not_zeroed char text[TREE_PAYLOAD_SIZE];

		*value = '/';
		memcpy(value + 1,
		       tree_payload((const struct cop_digest *)item->value, text),
		       TREE_PAYLOAD_SIZE - 1);
		return;
	}
	if (item->lead == LEAD_METACOPY)
		memcpy(value, METACOPY_HEAD, METACOPY_HEAD_SIZE);
	else if (item->lead == LEAD_REDIRECT)
		*value = '/';
	memcpy(value + plan_lead_size(item), item->value, item->size);
}

/* emit_item() - an xattr entry; returns its padded size */
static uint64_t emit_item(const struct image_plan *plan, const struct plan_item *item,
			  uint8_t *at, uint32_t *filter)
{
	size_t prefix_size = strlen(image_key_prefix(item->index));
	size_t name_size = plan_name_size(item, prefix_size);
	size_t lead_size = plan_lead_size(item);
	uint8_t *name = at + ENTRY_HEAD;
	uint8_t *value = name + name_size;

	at[ENTRY_NAME_SIZE] = (uint8_t)name_size;
	at[ENTRY_INDEX] = item->index;
	put_le16(at + ENTRY_VALUE_SIZE, (uint16_t)(lead_size + item->size));
	if (item->escaped) {
		size_t kept = OVERLAY_PREFIX_SIZE - prefix_size;

		memcpy(name, item->key + prefix_size, kept);
		memcpy(name + kept, OVERLAY_ESCAPE, OVERLAY_ESCAPE_SIZE);
		memcpy(name + kept + OVERLAY_ESCAPE_SIZE, item->key + OVERLAY_PREFIX_SIZE,
		       item->key_size - OVERLAY_PREFIX_SIZE);
	} else {
		memcpy(name, item->key + prefix_size, name_size);
	}
	emit_value(item, value);
	*filter &= ~(item->lead != LEAD_NONE
			     ? plan->lead_bits[item->lead]
			     : image_filter_bit(item->index, name, name_size));
	return image_entry_size(name_size, lead_size + item->size);
}

/* The filter needs the name as it is written, and that of a shared one is in the table.
 */
static uint32_t shared_filter(const struct writer *writer, uint32_t reference)
{
	uint64_t start = writer->plan->inodes_end % IMAGE_BLOCK;
	const uint8_t *entry = writer->shared + ((uint64_t)reference * 4 - start);

	return image_filter_bit(entry[ENTRY_INDEX], entry + ENTRY_HEAD,
				entry[ENTRY_NAME_SIZE]);
}

/* @shared: one more than the reference; returns where the next one stands */
static uint8_t *refer(const struct writer *writer, uint8_t *at, uint32_t shared,
		      uint32_t *filter)
{
	*filter &= ~shared_filter(writer, shared - 1);
	put_le32(at, shared - 1);
	return at + 4;
}

/* Nearly every inode has one, and nothing else. */
static void prepare_pair(struct writer *writer)
{
	static const struct cop_digest digest;
	const struct plan_item pair = {
		.value = (const char *)digest.bytes,
		.size = sizeof(digest.bytes),
		.lead = LEAD_PAIR,
	};
	struct plan_item metacopy = plan_part(&pair, false);
	struct plan_item redirect = plan_part(&pair, true);
	uint32_t unused = 0;
	size_t size;

	writer->pair_size = (size_t)plan_item_size(&pair);
	assert(writer->pair_size <= PAIR_ROOM);
	size = (size_t)emit_item(writer->plan, &metacopy, writer->pair, &unused);
	(void)emit_item(writer->plan, &redirect, writer->pair + size, &unused);
	writer->digest_at =
		ENTRY_HEAD + writer->pair[ENTRY_NAME_SIZE] + plan_lead_size(&metacopy);
	writer->payload_at = size + ENTRY_HEAD + writer->pair[size + ENTRY_NAME_SIZE] +
			     sizeof("/") - 1;
}

static uint64_t emit_pair(const struct writer *writer, const struct plan_item *pair,
			  uint8_t *at, uint32_t *filter)
{
	not_zeroed char text[TREE_PAYLOAD_SIZE];

	memcpy(at, writer->pair, writer->pair_size);
	memcpy(at + writer->digest_at, pair->value, COP_DIGEST_SIZE);
	memcpy(at + writer->payload_at,
	       tree_payload((const struct cop_digest *)pair->value, text),
	       TREE_PAYLOAD_SIZE - 1);
	*filter &= ~writer->plan->lead_bits[LEAD_PAIR];
	return writer->pair_size;
}

static void emit_xattrs(const struct writer *writer, const struct plan_inode *inode,
			uint8_t *at)
{
	const struct plan_item *items = &writer->plan->items[inode->first_item];
	uint8_t *reference = at + XATTRS_HEAD;
	uint8_t *entry = reference + 4 * (size_t)inode->n_shared;
	uint32_t filter = UINT32_MAX, n_shared = 0;

	for (uint32_t i = 0; i < inode->n_items; i++) {
		const struct plan_item *first = &writer->plan->items[items[i].same];
		bool is_pair = items[i].lead == LEAD_PAIR;

		if (first->count != 0 && n_shared < inode->n_shared) {
			reference = refer(writer, reference, first->count, &filter);
			if (is_pair)
				reference = refer(writer, reference, first->redirect,
						  &filter);
			n_shared += plan_n_entries(&items[i]);
		} else if (is_pair) {
			entry += emit_pair(writer, &items[i], entry, &filter);
		} else {
			entry += emit_item(writer->plan, &items[i], entry, &filter);
		}
	}
	assert(entry == at + inode->xattr_size);
	put_le32(at + XATTRS_FILTER, filter);
	at[XATTRS_N_SHARED] = inode->n_shared;
}

static int make_shared(struct writer *writer, struct cop_error *err)
{
	const struct image_plan *plan = writer->plan;
	uint8_t *at = calloc(1, (size_t)plan->shared_size + 1);
	uint32_t unused = 0;

	if (!at)
		return err_oom(err);
	writer->shared = at;
	for (uint32_t i = 0; i < plan->n_shared; i++) {
		struct plan_item part = plan_part(&plan->items[plan->shared[i].item],
						  plan->shared[i].is_redirect);

		at += emit_item(plan, &part, at, &unused);
	}
	return 0;
}

static int emit_shared(struct writer *writer, struct cop_error *err)
{
	uint64_t size, done = 0;
	uint8_t *at;

	for (; done < writer->plan->shared_size; done += size) {
		int r;

		size = min_u64(writer->plan->shared_size - done, IMAGE_BLOCK);
		r = reach(writer, writer->plan->inodes_end + done, size, &at, err);
		if (r < 0)
			return r;
		memcpy(at, writer->shared + done, size);
	}
	return 0;
}

static uint32_t entry_position(const struct image_plan *plan, uint32_t directory,
			       const struct plan_entry *entry)
{
	switch (entry->kind) {
	case ENTRY_SELF:
		return directory;
	case ENTRY_PARENT:
		return plan->inodes[directory].parent;
	case ENTRY_WHITEOUT:
		return plan->hex_positions[entry->number];
	case ENTRY_CHILD:
		break;
	}
	return plan->positions[tree_inode(entry->node)->index];
}

/* The entries of one block or tail: heads, then names, without a NUL between. */
static void emit_group(const struct writer *writer, uint32_t directory, uint8_t *at)
{
	const struct image_plan *plan = writer->plan;
	const struct group *group = &writer->group;
	size_t name_offset = group->n * DIRENT_SIZE;

	for (size_t i = 0; i < group->n; i++) {
		const struct plan_entry *entry = &group->entries[i];
		uint8_t *head = at + i * DIRENT_SIZE;
		uint32_t position = entry_position(plan, directory, entry);
		const struct plan_inode *inode = &plan->inodes[position];

		put_le64(head + DIRENT_NID, inode->offset / IMAGE_SLOT);
		put_le16(head + DIRENT_NAME, (uint16_t)name_offset);
		head[DIRENT_TYPE] = image_type(plan_mode(inode));
		memcpy(at + name_offset, entry->name, entry->name_size);
		name_offset += entry->name_size;
	}
	assert(name_offset == group->size);
}

/* Some entries of a directory fill a block, the last may fit behind its inode. */
struct directory_walk {
	struct plan_walk walk;
	struct plan_entry next;
	bool has_next;
};

static void begin_directory(struct writer *writer, const struct plan_inode *inode,
			    struct directory_walk *directory)
{
	plan_walk_init(&directory->walk, writer->plan, inode->node);
	directory->has_next = plan_walk_next(&directory->walk, &directory->next);
}

/* The entries that share a block or tail. */
static void next_group(struct writer *writer, struct directory_walk *directory)
{
	struct group *group = &writer->group;

	group->n = 0;
	group->size = 0;
	while (directory->has_next) {
		uint64_t cost = DIRENT_SIZE + directory->next.name_size;

		if (group->size + cost > IMAGE_BLOCK)
			break;
		group->entries[group->n++] = directory->next;
		group->size += cost;
		directory->has_next = plan_walk_next(&directory->walk, &directory->next);
	}
}

static void emit_directory_tail(struct writer *writer, uint32_t position, uint8_t *tail)
{
	struct directory_walk directory;

	begin_directory(writer, &writer->plan->inodes[position], &directory);
	do
		next_group(writer, &directory);
	while (directory.has_next);
	emit_group(writer, position, tail);
}

/* What stands right behind the xattrs of an inode. */
static void emit_tail(struct writer *writer, uint32_t position, uint8_t *tail)
{
	const struct plan_inode *inode = &writer->plan->inodes[position];
	const struct tree_node *node = inode->node;

	if (S_ISDIR(node->mode))
		emit_directory_tail(writer, position, tail);
	else if (S_ISLNK(node->mode))
		memcpy(tail, node->target, inode->tail);
	else if (plan_is_pooled(node))
		memset(tail, 0xff, inode->tail); /* a chunk map without chunks */
	else
		memcpy(tail, node->content + (node->size - inode->tail), inode->tail);
}

static int emit_directory_blocks(struct writer *writer, uint32_t position,
				 uint64_t offset, struct cop_error *err)
{
	const struct plan_inode *inode = &writer->plan->inodes[position];
	struct directory_walk directory;
	uint8_t *at;

	begin_directory(writer, inode, &directory);
	for (uint32_t i = 0; i < inode->n_blocks; i++) {
		int r = reach(writer, offset + i * IMAGE_BLOCK, IMAGE_BLOCK, &at, err);

		if (r < 0)
			return r;
		next_group(writer, &directory);
		emit_group(writer, position, at);
	}
	return 0;
}

/* What an inode has in blocks of its own, which begin at @offset. */
static int emit_blocks(struct writer *writer, uint32_t position, uint64_t offset,
		       struct cop_error *err)
{
	const struct plan_inode *inode = &writer->plan->inodes[position];
	const struct tree_node *node = inode->node;
	uint8_t *at;
	int r;

	if (S_ISDIR(node->mode))
		return emit_directory_blocks(writer, position, offset, err);
	r = reach(writer, offset, inode->n_blocks * IMAGE_BLOCK, &at, err);
	if (r < 0)
		return r;
	if (S_ISLNK(node->mode))
		memcpy(at, node->target, strlen(node->target));
	else if (plan_is_pooled(node))
		/* A chunk map that did not fit behind its inode fills a block. */
		memset(at, 0xff, IMAGE_BLOCK);
	else
		memcpy(at, node->content, node->size - inode->tail);
	return 0;
}

static uint64_t written_size(const struct plan_inode *inode)
{
	const struct tree_node *node = inode->node;

	if (!node || inode->flags & PLAN_WHITEOUT)
		return 0;
	if (S_ISDIR(node->mode))
		return inode->n_blocks * IMAGE_BLOCK + inode->tail;
	if (S_ISLNK(node->mode))
		return strlen(node->target);
	return S_ISREG(node->mode) ? node->size : 0;
}

/* The field that means a device number, a chunk size or the first data block. */
static uint32_t union_field(const struct plan_inode *inode, uint32_t first_block)
{
	const struct tree_node *node = inode->node;

	if (!node || inode->flags & PLAN_WHITEOUT)
		return 0;
	if (S_ISCHR(node->mode) || S_ISBLK(node->mode))
		return node->rdev;
	if (plan_is_pooled(node))
		return image_chunk_bits(node->size) - IMAGE_BLOCK_BITS;
	return inode->n_blocks ? first_block : 0;
}

static unsigned int layout(const struct plan_inode *inode)
{
	if (inode->node && plan_is_pooled(inode->node))
		return LAYOUT_CHUNKS;
	return inode->tail ? LAYOUT_INLINE : LAYOUT_PLAIN;
}

/* emit_inode() - the head only; returns its size */
static uint64_t emit_inode(const struct writer *writer, uint32_t position, uint8_t *at)
{
	const struct plan_inode *inode = &writer->plan->inodes[position];
	const struct tree_node *owner = plan_owner(writer->plan, inode);
	bool extended = inode->flags & PLAN_EXTENDED;
	unsigned int n_words = 0;

	if (inode->xattr_size)
		n_words = (inode->xattr_size - XATTRS_HEAD) / 4 + 1;
	put_le16(at + INODE_FORMAT, (uint16_t)(layout(inode) << 1 | extended));
	put_le16(at + INODE_XATTR_COUNT, (uint16_t)n_words);
	put_le16(at + INODE_MODE, (uint16_t)plan_mode(inode));
	put_le32(at + INODE_UNION, union_field(inode, writer->next_block));
	put_le32(at + INODE_NUMBER, position);
	if (!extended) {
		put_le16(at + INODE_COMPACT_NLINK, (uint16_t)inode->nlink);
		put_le32(at + INODE_FILE_SIZE, (uint32_t)written_size(inode));
		put_le16(at + INODE_COMPACT_UID, (uint16_t)owner->uid);
		put_le16(at + INODE_COMPACT_GID, (uint16_t)owner->gid);
		return INODE_COMPACT_SIZE;
	}
	put_le64(at + INODE_FILE_SIZE, written_size(inode));
	put_le32(at + INODE_EXTENDED_UID, owner->uid);
	put_le32(at + INODE_EXTENDED_GID, owner->gid);
	put_le64(at + INODE_EXTENDED_MTIME, (uint64_t)owner->mtime_sec);
	put_le32(at + INODE_EXTENDED_NSEC, owner->mtime_nsec);
	put_le32(at + INODE_EXTENDED_NLINK, inode->nlink);
	return INODE_EXTENDED_SIZE;
}

static int emit_inodes(struct writer *writer, struct cop_error *err)
{
	const struct image_plan *plan = writer->plan;
	uint8_t *at;

	for (uint32_t i = 0; i < plan->n_inodes; i++) {
		const struct plan_inode *inode = &plan->inodes[i];
		uint64_t size = INODE_EXTENDED_SIZE + inode->xattr_size + inode->tail;
		int r = reach(writer, inode->offset, size, &at, err);

		if (r < 0)
			return r;
		at += emit_inode(writer, i, at);
		if (inode->n_items)
			emit_xattrs(writer, inode, at);
		if (inode->tail)
			emit_tail(writer, i, at + inode->xattr_size);
		writer->next_block += inode->n_blocks;
	}
	return 0;
}

static int emit_all_blocks(struct writer *writer, struct cop_error *err)
{
	const struct image_plan *plan = writer->plan;
	uint64_t offset = plan->data_start;
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < plan->n_inodes; i++) {
		if (plan->inodes[i].n_blocks == 0)
			continue;
		r = emit_blocks(writer, i, offset, err);
		offset += plan->inodes[i].n_blocks * IMAGE_BLOCK;
	}
	return r;
}

static int emit_image(struct writer *writer, struct cop_error *err)
{
	int r = begin_piece(writer, NULL, 0, err);

	if (r == 0)
		emit_head(writer->plan, writer->piece);
	prepare_pair(writer);
	if (r == 0)
		r = make_shared(writer, err);
	if (r == 0)
		r = emit_inodes(writer, err);
	if (r == 0)
		r = emit_shared(writer, err);
	return r < 0 ? r : emit_all_blocks(writer, err);
}

/* A gap at the end may reach into one more piece. */
static int emit_end(struct writer *writer, struct cop_error *err)
{
	uint64_t end = writer->plan->image_size;
	int r = 0;

	while (r == 0 && writer->start + IMAGE_PIECE < end)
		r = hand_over(writer, end, err);
	if (r < 0)
		return r;
	return writer->sink->give(writer->sink->data, TAKE_PTR(writer->piece),
				  (size_t)(end - writer->start), err);
}

static int emit(const struct image_plan *plan, const struct image_sink *sink,
		struct cop_error *err)
{
	struct writer writer = {
		.plan = plan,
		.sink = sink,
		.next_block = (uint32_t)(plan->data_start / IMAGE_BLOCK),
	};
	int r = emit_image(&writer, err);

	if (r == 0)
		r = emit_end(&writer, err);
	else if (writer.piece)
		(void)sink->give(sink->data, writer.piece, 0, NULL);
	free(writer.shared);
	return r;
}

static int make_plan(struct image_plan *plan, struct cop_error *err)
{
	int r;

	assert(plan->version <= IMAGE_VERSION_MAX);
	r = image_plan_inodes(plan, err);
	if (r == 0)
		r = image_plan_xattrs(plan, err);
	return r < 0 ? r : image_plan_places(plan, err);
}

int image_write_to(const struct tree *tree, unsigned int version,
		   const struct image_sink *sink, uint64_t *ret_size,
		   struct cop_error *err)
{
	struct image_plan plan = {.tree = tree, .version = version};
	int r = make_plan(&plan, err);

	if (r == 0) {
		*ret_size = plan.image_size;
		r = emit(&plan, sink, err);
	}
	image_plan_done(&plan);
	return r;
}

struct memory {
	uint8_t *data;
	size_t used;
};

static int take_memory(void *data, uint8_t **ret_piece, struct cop_error *err)
{
	struct memory *memory = data;

	(void)err;
	*ret_piece = memory->data + memory->used;
	return 0;
}

static int give_memory(void *data, uint8_t *piece, size_t size, struct cop_error *err)
{
	struct memory *memory = data;

	(void)err;
	assert(piece == memory->data + memory->used);
	memory->used += size;
	return 0;
}

int image_write(const struct tree *tree, unsigned int version, uint8_t **ret_data,
		size_t *ret_size, struct cop_error *err)
{
	struct image_plan plan = {.tree = tree, .version = version};
	struct memory memory = {};
	const struct image_sink sink = {
		.take = take_memory,
		.give = give_memory,
		.data = &memory,
	};
	int r = make_plan(&plan, err);

	if (r == 0) {
		memory.data = malloc((size_t)plan.image_size + IMAGE_PIECE);
		r = memory.data ? emit(&plan, &sink, err) : err_oom(err);
	}
	if (r == 0) {
		*ret_data = TAKE_PTR(memory.data);
		*ret_size = memory.used;
	}
	free(memory.data);
	image_plan_done(&plan);
	return r;
}

int image_nids(const struct tree *tree, unsigned int version, uint64_t **ret_nids,
	       struct cop_error *err)
{
	struct image_plan plan = {.tree = tree, .version = version};
	auto_free uint64_t *nids = calloc(tree->n_nodes, sizeof(*nids));
	int r = nids ? make_plan(&plan, err) : err_oom(err);

	for (const struct tree_node *node = tree->root; r == 0 && node;
	     node = tree_next(node)) {
		uint32_t position = plan.positions[tree_inode(node)->index];

		nids[node->index] = plan.inodes[position].offset / IMAGE_SLOT;
	}
	image_plan_done(&plan);
	if (r == 0)
		*ret_nids = TAKE_PTR(nids);
	return r;
}
