/* SPDX-License-Identifier: Apache-2.0 */
/* Making segments. */
#include <string.h>

#include "remote/block.h"
#include "remote/index-format.h"
#include "remote/index.h"

#define ROWS_MAX (UINT32_MAX / 2)

/* A table that grows. */
struct rows {
	void *rows;
	uint32_t n, room;
};

struct segment_writer {
	struct arena *arena;
	struct map *known_packs, *known_files, *known_trees, *copied;
	struct rows packs, blocks, files, trees, parts;
};

struct segment_writer *segment_writer_new(struct cop_error *err)
{
	struct segment_writer *writer = calloc(1, sizeof(*writer));

	if (writer) {
		writer->arena = arena_new();
		writer->known_packs = map_new();
		writer->known_files = map_new();
		writer->known_trees = map_new();
		writer->copied = map_new();
	}
	if (writer && writer->arena && writer->known_packs && writer->known_files &&
	    writer->known_trees && writer->copied)
		return writer;
	(void)err_oom(err);
	return segment_writer_free(writer);
}

struct segment_writer *segment_writer_free(struct segment_writer *writer)
{
	if (!writer)
		return NULL;
	map_free(writer->known_packs);
	map_free(writer->known_files);
	map_free(writer->known_trees);
	map_free(writer->copied);
	arena_free(writer->arena);
	free(writer->packs.rows);
	free(writer->blocks.rows);
	free(writer->files.rows);
	free(writer->trees.rows);
	free(writer->parts.rows);
	free(writer);
	return NULL;
}

static int add_row(struct rows *rows, const void *row, size_t size, uint32_t *ret_number,
		   struct cop_error *err)
{
	if (rows->n == rows->room) {
		uint32_t room = rows->room ? rows->room * 2 : 64;
		void *grown = rows->room < ROWS_MAX ? reallocarray(rows->rows, room, size)
						    : NULL;

		if (!grown)
			return err_oom(err);
		rows->rows = grown;
		rows->room = room;
	}
	memcpy((uint8_t *)rows->rows + rows->n * size, row, size);
	if (ret_number)
		*ret_number = rows->n;
	rows->n++;
	return 0;
}

/* A number by a key; @ret_slot to be filled when it is new.  Return: 1 when it was there.
 */
static int find_number(struct segment_writer *writer, struct map *map, const void *key,
		       size_t key_size, uint32_t **ret_number, struct cop_error *err)
{
	void *kept = map_get(map, key, key_size);
	void **slot;

	if (kept) {
		*ret_number = kept;
		return 1;
	}
	kept = arena_alloc(writer->arena, key_size + sizeof(uint64_t));
	slot = kept ? map_slot(map,
			       memcpy((uint8_t *)kept + sizeof(uint64_t), key, key_size),
			       key_size)
		    : NULL;
	if (!slot)
		return err_oom(err);
	*slot = kept;
	*ret_number = kept;
	return 0;
}

int segment_writer_add_pack(struct segment_writer *writer, const uint8_t id[SHA256_SIZE],
			    uint64_t size, uint32_t *ret_number, struct cop_error *err)
{
	struct index_pack pack = {.size = size};
	uint32_t *number = NULL;
	int r = find_number(writer, writer->known_packs, id, SHA256_SIZE, &number, err);

	memcpy(pack.id, id, SHA256_SIZE);
	if (r == 0)
		r = add_row(&writer->packs, &pack, sizeof(pack), number, err);
	if (r < 0)
		return r;
	*ret_number = *number;
	return 0;
}

int segment_writer_add_block(struct segment_writer *writer, const struct block *block,
			     uint32_t *ret_number, struct cop_error *err)
{
	return add_row(&writer->blocks, block, sizeof(*block), ret_number, err);
}

static int add_known(struct segment_writer *writer, struct map *map, struct rows *rows,
		     const struct cop_digest *id, const void *row, size_t size,
		     struct cop_error *err)
{
	uint32_t *number = NULL;
	int r = find_number(writer, map, id, sizeof(*id), &number, err);

	if (r == 0)
		r = add_row(rows, row, size, number, err);
	return r < 0 ? r : 0;
}

int segment_writer_add_file(struct segment_writer *writer, const struct index_file *file,
			    struct cop_error *err)
{
	return add_known(writer, writer->known_files, &writer->files, &file->id, file,
			 sizeof(*file), err);
}

int segment_writer_add_tree(struct segment_writer *writer, const struct index_tree *tree,
			    struct cop_error *err)
{
	return add_known(writer, writer->known_trees, &writer->trees, &tree->id, tree,
			 sizeof(*tree), err);
}

int segment_writer_add_part(struct segment_writer *writer, const struct index_part *part,
			    struct cop_error *err)
{
	return add_row(&writer->parts, part, sizeof(*part), NULL, err);
}

int segment_writer_copy_block(struct segment_writer *writer, const struct segment *from,
			      uint32_t block, bool shared, uint32_t *ret_number,
			      struct cop_error *err)
{
	struct block copy = from->blocks[block];
	const struct index_pack *pack = &from->packs[copy.pack];
	struct {
		const struct segment *from;
		uint64_t block;
	} key = {from, block};
	uint32_t *number = NULL;
	int r = 0;

	if (shared)
		r = find_number(writer, writer->copied, &key, sizeof(key), &number, err);
	if (r == 0)
		r = segment_writer_add_pack(writer, pack->id, pack->size, &copy.pack,
					    err);
	else if (r > 0)
		*ret_number = *number;
	if (r != 0)
		return r < 0 ? r : 0;
	r = segment_writer_add_block(writer, &copy, ret_number, err);
	if (r == 0 && number)
		*number = *ret_number;
	return r;
}

int segment_writer_copy_file(struct segment_writer *writer, const struct segment *from,
			     const struct index_file *file, struct cop_error *err)
{
	int64_t n = segment_file_blocks(from, file, err);
	struct index_file copy = *file;
	int r = 0;

	if (n < 0)
		return (int)n;
	if (map_get(writer->known_files, &file->id, sizeof(file->id)))
		return 0;
	for (int64_t i = 0; i < n && r == 0; i++) {
		uint32_t number = 0;

		r = segment_writer_copy_block(writer, from, file->block + (uint32_t)i,
					      n == 1, &number, err);
		if (i == 0)
			copy.block = number;
	}
	return r < 0 ? r : segment_writer_add_file(writer, &copy, err);
}

int segment_writer_copy_tree(struct segment_writer *writer, const struct segment *from,
			     const struct index_tree *tree, struct cop_error *err)
{
	struct index_tree copy = *tree;
	int r = segment_writer_copy_block(writer, from, tree->block, true, &copy.block,
					  err);

	return r < 0 ? r : segment_writer_add_tree(writer, &copy, err);
}

bool segment_writer_is_empty(const struct segment_writer *writer)
{
	return writer->files.n == 0 && writer->trees.n == 0;
}

static int compare_files(const void *a, const void *b)
{
	const struct index_file *x = a, *y = b;

	return memcmp(&x->id, &y->id, sizeof(x->id));
}

static void put_tables(const struct segment_writer *writer, struct buf *text)
{
	const struct index_pack *packs = writer->packs.rows;
	const struct block *blocks = writer->blocks.rows;
	const struct index_file *files = writer->files.rows;
	const struct index_tree *trees = writer->trees.rows;
	const struct index_part *parts = writer->parts.rows;

	for (uint32_t i = 0; i < writer->packs.n; i++) {
		(void)buf_append(text, packs[i].id, SHA256_SIZE);
		put_u64(text, packs[i].size);
	}
	for (uint32_t i = 0; i < writer->blocks.n; i++) {
		put_u32(text, blocks[i].pack);
		put_u32(text, blocks[i].stored_size);
		put_u32(text, blocks[i].size);
		put_u32(text, blocks[i].codec);
		put_u64(text, blocks[i].offset);
	}
	for (uint32_t i = 0; i < writer->files.n; i++) {
		(void)buf_append(text, files[i].id.bytes, COP_DIGEST_SIZE);
		put_u64(text, files[i].size);
		put_u32(text, files[i].block);
		put_u32(text, files[i].inner);
	}
	for (uint32_t i = 0; i < writer->trees.n; i++) {
		(void)buf_append(text, trees[i].id.bytes, COP_DIGEST_SIZE);
		(void)buf_append(text, trees[i].base.bytes, COP_DIGEST_SIZE);
		put_u64(text, trees[i].block);
	}
	for (uint32_t i = 0; i < writer->parts.n; i++) {
		(void)buf_append(text, parts[i].hash, SHA256_SIZE);
		put_u64(text, parts[i].block);
	}
}

int segment_writer_finish(struct segment_writer *writer, struct buf *bytes,
			  char name[SHA256_HEX + 1], struct cop_error *err)
{
	auto_buf text = {};
	int r;

	if (writer->files.n > 0)
		qsort(writer->files.rows, writer->files.n, sizeof(struct index_file),
		      compare_files);
	put_tables(writer, &text);
	(void)buf_append(bytes, "CSIX", 4);
	put_u16(bytes, REMOTE_FORMAT);
	put_u16(bytes, 0);
	put_u32(bytes, writer->packs.n);
	put_u32(bytes, writer->blocks.n);
	put_u32(bytes, writer->files.n);
	put_u32(bytes, writer->trees.n);
	put_u32(bytes, writer->parts.n);
	put_u32(bytes, text.size);
	if (text.failed || bytes->failed)
		return err_oom(err);
	if (text.size > SEGMENT_MAX)
		return err_set(err, -EFBIG, "the index of one push is too large");
	r = frame_pack(text.data ? text.data : "", text.size, bytes, err);
	return r < 0 ? r : sha256_bytes(bytes->data, bytes->size, name, err);
}
