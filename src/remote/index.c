/* SPDX-License-Identifier: Apache-2.0 */
/* Reading segments, and the catalogue of all of them. */
#include "remote/index.h"

#include <string.h>

#include "remote/block.h"
#include "remote/index-format.h"

struct segment *segment_free(struct segment *segment)
{
	if (!segment)
		return NULL;
	free(segment->packs);
	free(segment->blocks);
	free(segment->files);
	free(segment->trees);
	free(segment->parts);
	free(segment);
	return NULL;
}

static int damaged(const char *why, struct cop_error *err)
{
	return err_set(err, -EBADMSG, "an index segment is damaged: %s", why);
}

static int read_counts(struct segment *segment, const uint8_t *at, size_t size,
		       size_t *ret_text_size, struct cop_error *err)
{
	uint64_t text_size, wanted;

	if (size < SEGMENT_HEADER_SIZE || memcmp(at, "CSIX", 4) != 0)
		return damaged("it does not begin as one", err);
	at += 4;
	if (get_u16(&at) != REMOTE_FORMAT || get_u16(&at) != 0)
		return damaged("unknown version", err);
	segment->n_packs = get_u32(&at);
	segment->n_blocks = get_u32(&at);
	segment->n_files = get_u32(&at);
	segment->n_trees = get_u32(&at);
	segment->n_parts = get_u32(&at);
	text_size = get_u32(&at);
	wanted = (uint64_t)segment->n_packs * SEGMENT_PACK_SIZE +
		 (uint64_t)segment->n_blocks * SEGMENT_BLOCK_SIZE +
		 (uint64_t)segment->n_files * SEGMENT_FILE_SIZE +
		 (uint64_t)segment->n_trees * SEGMENT_TREE_SIZE +
		 (uint64_t)segment->n_parts * SEGMENT_PART_SIZE;
	if (text_size != wanted || text_size > SEGMENT_MAX)
		return damaged("it has another size than its counts say", err);
	*ret_text_size = text_size;
	return 0;
}

static int make_room(struct segment *segment, struct cop_error *err)
{
	segment->packs = calloc(segment->n_packs + 1, sizeof(*segment->packs));
	segment->blocks = calloc(segment->n_blocks + 1, sizeof(*segment->blocks));
	segment->files = calloc(segment->n_files + 1, sizeof(*segment->files));
	segment->trees = calloc(segment->n_trees + 1, sizeof(*segment->trees));
	segment->parts = calloc(segment->n_parts + 1, sizeof(*segment->parts));
	return segment->packs && segment->blocks && segment->files && segment->trees &&
			       segment->parts
		       ? 0
		       : err_oom(err);
}

static int read_block(const struct segment *segment, const uint8_t **at,
		      struct block *block, struct cop_error *err)
{
	uint32_t codec;

	block->pack = get_u32(at);
	block->stored_size = get_u32(at);
	block->size = get_u32(at);
	codec = get_u32(at);
	block->offset = get_u64(at);
	if (codec > BLOCK_TREE)
		return damaged("an unknown kind of block", err);
	block->codec = (enum block_codec)codec;
	if (block->pack >= segment->n_packs)
		return damaged("a block is in no pack", err);
	if (block->stored_size == 0 || block->offset > segment->packs[block->pack].size ||
	    block->stored_size > segment->packs[block->pack].size - block->offset)
		return damaged("a block is outside of its pack", err);
	if (block->size > (block->codec == BLOCK_TREE ? DUMP_MAX : FILE_BLOCK))
		return damaged("a block is too large", err);
	return 0;
}

static int read_file(const struct segment *segment, const uint8_t **at, uint32_t i,
		     struct cop_error *err)
{
	struct index_file *file = &segment->files[i];
	const struct block *block;

	get_bytes(at, file->id.bytes, COP_DIGEST_SIZE);
	file->size = get_u64(at);
	file->block = get_u32(at);
	file->inner = get_u32(at);
	if (i > 0 && memcmp(&segment->files[i - 1].id, &file->id, COP_DIGEST_SIZE) >= 0)
		return damaged("files are not in order", err);
	if (file->block >= segment->n_blocks)
		return damaged("a file is in no block", err);
	block = &segment->blocks[file->block];
	if (block->codec == BLOCK_TREE || file->size == 0 || file->inner > block->size ||
	    (file->size > FILE_BLOCK && file->inner != 0) ||
	    (file->size <= FILE_BLOCK && file->size > block->size - file->inner))
		return damaged("a file is outside of its block", err);
	return 0;
}

static int read_tables(struct segment *segment, const uint8_t *at, struct cop_error *err)
{
	int r = 0;

	for (uint32_t i = 0; i < segment->n_packs && r == 0; i++) {
		get_bytes(&at, segment->packs[i].id, SHA256_SIZE);
		segment->packs[i].size = get_u64(&at);
		if (segment->packs[i].size > PACK_MAX)
			r = damaged("a pack is too large", err);
	}
	for (uint32_t i = 0; i < segment->n_blocks && r == 0; i++)
		r = read_block(segment, &at, &segment->blocks[i], err);
	for (uint32_t i = 0; i < segment->n_files && r == 0; i++)
		r = read_file(segment, &at, i, err);
	for (uint32_t i = 0; i < segment->n_trees && r == 0; i++) {
		struct index_tree *tree = &segment->trees[i];

		get_bytes(&at, tree->id.bytes, COP_DIGEST_SIZE);
		get_bytes(&at, tree->base.bytes, COP_DIGEST_SIZE);
		tree->block = (uint32_t)get_u64(&at);
		if (tree->block >= segment->n_blocks ||
		    segment->blocks[tree->block].codec != BLOCK_TREE)
			r = damaged("a tree is in no block of its own", err);
	}
	for (uint32_t i = 0; i < segment->n_parts && r == 0; i++) {
		get_bytes(&at, segment->parts[i].hash, SHA256_SIZE);
		segment->parts[i].block = (uint32_t)get_u64(&at);
		if (segment->parts[i].block >= segment->n_blocks)
			r = damaged("a part is in no block", err);
	}
	return r;
}

int segment_read(const void *data, size_t size, struct segment **ret_segment,
		 struct cop_error *err)
{
	auto_ptr(segment) segment = calloc(1, sizeof(*segment));
	auto_free uint8_t *text = NULL;
	size_t text_size = 0;
	int r;

	if (!segment)
		return err_oom(err);
	r = read_counts(segment, data, size, &text_size, err);
	if (r < 0)
		return r;
	text = malloc(text_size + 1);
	if (!text)
		return err_oom(err);
	r = frame_unpack((const uint8_t *)data + SEGMENT_HEADER_SIZE,
			 size - SEGMENT_HEADER_SIZE, text, text_size, err);
	if (r == 0)
		r = make_room(segment, err);
	if (r == 0)
		r = read_tables(segment, text, err);
	if (r == 0)
		r = sha256_bytes(data, size, segment->name, err);
	if (r == 0)
		*ret_segment = TAKE_PTR(segment);
	return r;
}

int64_t segment_file_blocks(const struct segment *segment, const struct index_file *file,
			    struct cop_error *err)
{
	uint64_t n = file->size / FILE_BLOCK + (file->size % FILE_BLOCK != 0);

	if (file->size <= FILE_BLOCK)
		return 1;
	if (n > segment->n_blocks - file->block)
		return damaged("a file has more blocks than there are", err);
	for (uint64_t i = 0; i < n; i++) {
		const struct block *block = &segment->blocks[file->block + i];
		uint64_t wanted = min_u64(file->size - i * FILE_BLOCK, FILE_BLOCK);

		if (block->size != wanted || block->codec == BLOCK_TREE)
			return damaged("the blocks of a file do not fit its size", err);
	}
	return (int64_t)n;
}

/* --- the catalogue --- */

struct known {
	const struct segment *segment;
	uint32_t number;
};

struct catalogue {
	struct segment **segments;
	size_t n_segments, room;
	struct arena *arena;
	struct map *files, *trees, *parts;
};

struct catalogue *catalogue_new(struct cop_error *err)
{
	struct catalogue *catalogue = calloc(1, sizeof(*catalogue));

	if (catalogue) {
		catalogue->arena = arena_new();
		catalogue->files = map_new();
		catalogue->trees = map_new();
		catalogue->parts = map_new();
	}
	if (catalogue && catalogue->arena && catalogue->files && catalogue->trees &&
	    catalogue->parts)
		return catalogue;
	(void)err_oom(err);
	return catalogue_free(catalogue);
}

struct catalogue *catalogue_free(struct catalogue *catalogue)
{
	if (!catalogue)
		return NULL;
	map_free(catalogue->files);
	map_free(catalogue->trees);
	map_free(catalogue->parts);
	arena_free(catalogue->arena);
	for (size_t i = 0; i < catalogue->n_segments; i++)
		segment_free(catalogue->segments[i]);
	free(catalogue->segments);
	free(catalogue);
	return NULL;
}

/* The first segment that has something is the one that is used for it. */
static int know(struct catalogue *catalogue, struct map *map, const void *key,
		const struct segment *segment, uint32_t number)
{
	void **slot = map_slot(map, key, COP_DIGEST_SIZE);
	struct known *known;

	if (!slot)
		return -ENOMEM;
	if (*slot)
		return 0;
	known = arena_alloc(catalogue->arena, sizeof(*known));
	if (!known)
		return -ENOMEM;
	*known = (struct known){.segment = segment, .number = number};
	*slot = known;
	return 0;
}

static int know_all(struct catalogue *catalogue, const struct segment *segment)
{
	int r = 0;

	for (uint32_t i = 0; i < segment->n_files && r == 0; i++)
		r = know(catalogue, catalogue->files, &segment->files[i].id, segment, i);
	for (uint32_t i = 0; i < segment->n_trees && r == 0; i++)
		r = know(catalogue, catalogue->trees, &segment->trees[i].id, segment, i);
	for (uint32_t i = 0; i < segment->n_parts && r == 0; i++)
		r = know(catalogue, catalogue->parts, segment->parts[i].hash, segment, i);
	return r;
}

int catalogue_add(struct catalogue *catalogue, struct segment *segment,
		  struct cop_error *err)
{
	auto_ptr(segment) taken = segment;

	if (catalogue_segment(catalogue, segment->name))
		return 0;
	if (catalogue->n_segments == catalogue->room) {
		size_t room = catalogue->room ? catalogue->room * 2 : 16;
		struct segment **grown =
			reallocarray(catalogue->segments, room, sizeof(*grown));

		if (!grown)
			return err_oom(err);
		catalogue->segments = grown;
		catalogue->room = room;
	}
	catalogue->segments[catalogue->n_segments++] = TAKE_PTR(taken);
	return know_all(catalogue, segment) < 0 ? err_oom(err) : 0;
}

const struct segment *catalogue_segment(const struct catalogue *catalogue,
					const char *name)
{
	for (size_t i = 0; i < catalogue->n_segments; i++)
		if (strcmp(catalogue->segments[i]->name, name) == 0)
			return catalogue->segments[i];
	return NULL;
}

const struct segment *catalogue_at(const struct catalogue *catalogue, size_t i)
{
	return i < catalogue->n_segments ? catalogue->segments[i] : NULL;
}

static const struct known *find(const struct map *map, const void *key,
				const struct segment **ret_segment)
{
	const struct known *known = map_get(map, key, COP_DIGEST_SIZE);

	if (known)
		*ret_segment = known->segment;
	return known;
}

const struct index_file *catalogue_file(const struct catalogue *catalogue,
					const struct cop_digest *id,
					const struct segment **ret_segment)
{
	const struct known *known = find(catalogue->files, id, ret_segment);

	return known ? &known->segment->files[known->number] : NULL;
}

const struct index_tree *catalogue_tree(const struct catalogue *catalogue,
					const struct cop_digest *id,
					const struct segment **ret_segment)
{
	const struct known *known = find(catalogue->trees, id, ret_segment);

	return known ? &known->segment->trees[known->number] : NULL;
}

const struct index_part *catalogue_part(const struct catalogue *catalogue,
					const uint8_t hash[SHA256_SIZE],
					const struct segment **ret_segment)
{
	const struct known *known = find(catalogue->parts, hash, ret_segment);

	return known ? &known->segment->parts[known->number] : NULL;
}
