/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packs of which little is needed any more: what is needed moves to new packs, the index
 * segments that named the old ones are written anew with the rows that are needed, and
 * the plans name these.  In this order: killed at any point, every plan leads to what is
 * there; the collection then removes what no plan names.
 */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "remote/pack.h"
#include "remote/private.h"
#include "tree/tree.h"

/* Less than that is not worth a pack's way here and back. */
#define DEAD_MIN (64 * KIB)

/* A pack that is named. */
struct old_pack {
	struct old_pack *next;
	uint8_t id[SHA256_SIZE];
	uint64_t size, n_live; /* bytes of blocks that are needed */
	bool goes;
};

struct new_pack {
	uint8_t id[SHA256_SIZE];
	uint64_t size;
};

/* A block that is needed; @to: where it is from now on, NULL: where it was. */
struct live_block {
	struct {
		const struct old_pack *pack;
		uint64_t offset;
	} key;
	const struct new_pack *to;
	uint64_t new_offset;
};

struct repack {
	struct remote *remote;
	struct arena *arena;
	struct plan *plans;
	size_t n_plans, plans_room;
	struct repack_segment *segments;
	size_t n_segments, segments_room;
	struct map *files, *trees; /* digests of what is needed */
	struct map *packs;	   /* id -> struct old_pack */
	struct map *blocks;	   /* key -> struct live_block */
	struct old_pack *all_packs;
	uint64_t n_packs, n_bytes; /* that go */
};

struct repack *repack_new(struct remote *remote, struct cop_error *err)
{
	struct repack *repack = calloc(1, sizeof(*repack));

	if (repack) {
		repack->remote = remote;
		repack->arena = arena_new();
		repack->files = map_new();
		repack->trees = map_new();
		repack->packs = map_new();
		repack->blocks = map_new();
	}
	if (repack && repack->arena && repack->files && repack->trees && repack->packs &&
	    repack->blocks)
		return repack;
	(void)err_oom(err);
	return repack_free(repack);
}

struct repack *repack_free(struct repack *repack)
{
	if (!repack)
		return NULL;
	for (size_t i = 0; i < repack->n_segments; i++) {
		(void)segment_free(repack->segments[i].segment);
		(void)segment_free(repack->segments[i].next);
	}
	free(repack->segments);
	free(repack->plans);
	map_free(repack->files);
	map_free(repack->trees);
	map_free(repack->packs);
	map_free(repack->blocks);
	arena_free(repack->arena);
	free(repack);
	return NULL;
}

/* Room for one more. */
static void *grow(void *list, size_t n, size_t *room, size_t size)
{
	size_t wanted = *room ? *room * 2 : 64;
	void *grown = n < *room ? list : reallocarray(list, wanted, size);

	if (grown && n == *room)
		*room = wanted;
	return grown;
}

int repack_add_plan(struct repack *repack, const struct plan *plan, struct cop_error *err)
{
	void *grown = grow(repack->plans, repack->n_plans, &repack->plans_room,
			   sizeof(*repack->plans));

	if (!grown)
		return err_oom(err);
	repack->plans = grown;
	repack->plans[repack->n_plans++] = *plan;
	return 0;
}

int repack_add_segment(struct repack *repack, struct segment *segment,
		       struct cop_error *err)
{
	void *grown = grow(repack->segments, repack->n_segments, &repack->segments_room,
			   sizeof(*repack->segments));

	if (!grown) {
		(void)segment_free(segment);
		return err_oom(err);
	}
	repack->segments = grown;
	repack->segments[repack->n_segments++] =
		(struct repack_segment){.segment = segment};
	return 0;
}

const struct repack_segment *repack_segments(const struct repack *repack, size_t *ret_n)
{
	*ret_n = repack->n_segments;
	return repack->segments;
}

/* --- what is needed --- */

static int need(struct repack *repack, struct map *map, const struct cop_digest *digest)
{
	void *copy;
	void **slot;

	if (map_get(map, digest, sizeof(*digest)))
		return 0;
	copy = arena_memdup(repack->arena, digest, sizeof(*digest));
	slot = copy ? map_slot(map, copy, sizeof(*digest)) : NULL;
	if (!slot)
		return -ENOMEM;
	*slot = copy;
	return 0;
}

static int need_object(struct repack *repack, const struct plan *plan,
		       struct cop_error *err)
{
	auto_ptr(tree) tree = NULL;
	int r = pull_read_tree(repack->remote, plan, &tree, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < plan->n_trees && r == 0; i++)
		r = need(repack, repack->trees, &plan->trees[i]);
	for (const struct tree_node *node = tree->root; node && r == 0;
	     node = tree_next(node))
		if (!node->link && node->digest)
			r = need(repack, repack->files, node->digest);
	return r < 0 ? err_oom(err) : 0;
}

static struct old_pack *pack_of(struct repack *repack, const struct index_pack *row)
{
	struct old_pack *pack = map_get(repack->packs, row->id, sizeof(row->id));
	void **slot;

	if (pack)
		return pack;
	pack = arena_alloc(repack->arena, sizeof(*pack));
	if (!pack)
		return NULL;
	memcpy(pack->id, row->id, sizeof(pack->id));
	pack->size = row->size;
	slot = map_slot(repack->packs, pack->id, sizeof(pack->id));
	if (!slot)
		return NULL;
	*slot = pack;
	pack->next = repack->all_packs;
	return repack->all_packs = pack;
}

static struct live_block *find_block(const struct repack *repack,
				     const struct old_pack *pack, uint64_t offset)
{
	struct live_block key = {.key = {pack, offset}};

	return map_get(repack->blocks, &key.key, sizeof(key.key));
}

static int need_block(struct repack *repack, const struct segment *segment,
		      uint32_t number)
{
	const struct block *row = &segment->blocks[number];
	struct old_pack *pack = pack_of(repack, &segment->packs[row->pack]);
	struct live_block *block;
	void **slot;

	if (!pack)
		return -ENOMEM;
	if (find_block(repack, pack, row->offset))
		return 0;
	block = arena_alloc(repack->arena, sizeof(*block));
	if (!block)
		return -ENOMEM;
	block->key.pack = pack;
	block->key.offset = row->offset;
	slot = map_slot(repack->blocks, &block->key, sizeof(block->key));
	if (!slot)
		return -ENOMEM;
	*slot = block;
	pack->n_live += row->stored_size;
	return 0;
}

static int need_blocks(struct repack *repack, const struct segment *segment,
		       struct cop_error *err)
{
	int r = 0;

	for (uint32_t i = 0; i < segment->n_packs && r == 0; i++)
		r = pack_of(repack, &segment->packs[i]) ? 0 : -ENOMEM;
	for (uint32_t i = 0; i < segment->n_files && r == 0; i++) {
		const struct index_file *file = &segment->files[i];
		int64_t n;

		if (!map_get(repack->files, &file->id, sizeof(file->id)))
			continue;
		n = segment_file_blocks(segment, file, err);
		if (n < 0)
			return (int)n;
		for (int64_t k = 0; k < n && r == 0; k++)
			r = need_block(repack, segment, file->block + (uint32_t)k);
	}
	for (uint32_t i = 0; i < segment->n_trees && r == 0; i++)
		if (map_get(repack->trees, &segment->trees[i].id,
			    sizeof(struct cop_digest)))
			r = need_block(repack, segment, segment->trees[i].block);
	return r < 0 ? err_oom(err) : 0;
}

/* --- which packs go --- */

static void key_of_pack(const uint8_t id[SHA256_SIZE], char key[REQUEST_KEY_SIZE])
{
	char hex[SHA256_HEX + 1];

	(void)hex_encode(id, SHA256_SIZE, hex);
	(void)snprintf(key, REQUEST_KEY_SIZE, "v1/p/%.2s/%s", hex, hex);
}

/* A pack of many small files has a directory that is no small part of it. */
static int size_of_blocks(struct repack *repack, const struct old_pack *pack,
			  uint64_t *ret_size, struct cop_error *err)
{
	char key[REQUEST_KEY_SIZE];
	auto_request request;
	const uint8_t *at;
	uint32_t directory;
	int r;

	key_of_pack(pack->id, key);
	request_init(&request, REQUEST_GET, "%s", key);
	request.offset = pack->size - PACK_TRAILER_SIZE;
	request.length = PACK_TRAILER_SIZE;
	r = transport_run(repack->remote->transport, &request, 1, err);
	if (r < 0)
		return r;
	if (request.result < 0)
		return err_copy(err, &request.error);
	at = (const uint8_t *)request.data.data;
	directory = get_u32(&at);
	if (directory > pack->size - PACK_TRAILER_SIZE)
		return err_set(err, -EBADMSG, "'%s' is damaged", key);
	*ret_size = pack->size - PACK_TRAILER_SIZE - directory;
	return 0;
}

static bool is_mostly_dead(const struct old_pack *pack, uint64_t size)
{
	return size >= pack->n_live + DEAD_MIN && pack->n_live < size / 2;
}

static int choose(struct repack *repack, struct cop_error *err)
{
	for (struct old_pack *pack = repack->all_packs; pack; pack = pack->next) {
		uint64_t size = 0;
		int r;

		if (pack->size < PACK_TRAILER_SIZE || !is_mostly_dead(pack, pack->size))
			continue;
		r = size_of_blocks(repack, pack, &size, err);
		if (r < 0)
			return r;
		pack->goes = is_mostly_dead(pack, size);
		if (pack->goes) {
			repack->n_packs++;
			repack->n_bytes += pack->size;
		}
	}
	return 0;
}

static bool names_what_goes(const struct repack *repack, const struct segment *segment)
{
	for (uint32_t i = 0; i < segment->n_packs; i++) {
		const struct old_pack *pack = map_get(repack->packs, segment->packs[i].id,
						      sizeof(segment->packs[i].id));

		if (pack && pack->goes)
			return true;
	}
	return false;
}

int repack_plan(struct repack *repack, uint64_t *ret_packs, uint64_t *ret_bytes,
		struct cop_error *err)
{
	int r = 0;

	for (size_t i = 0; i < repack->n_plans && r == 0; i++)
		r = need_object(repack, &repack->plans[i], err);
	for (size_t i = 0; i < repack->n_segments && r == 0; i++)
		r = need_blocks(repack, repack->segments[i].segment, err);
	if (r == 0)
		r = choose(repack, err);
	for (size_t i = 0; i < repack->n_segments && r == 0; i++)
		repack->segments[i].goes =
			names_what_goes(repack, repack->segments[i].segment);
	*ret_packs = repack->n_packs;
	*ret_bytes = repack->n_bytes;
	return r;
}

bool repack_keeps(const struct repack *repack, const struct repack_segment *segment,
		  const uint8_t pack[SHA256_SIZE])
{
	const struct old_pack *old = map_get(repack->packs, pack, SHA256_SIZE);

	return !old || (!old->goes && (old->n_live > 0 || !segment->goes));
}

/* --- the packs --- */

struct copying {
	struct repack *repack;
	struct pack *pack;	/* that is being filled; NULL: none */
	struct new_pack *place; /* what its blocks point to */
};

static int put_pack(struct copying *copying, struct cop_error *err)
{
	struct remote *remote = copying->repack->remote;
	struct pack *pack = copying->pack;
	char key[REQUEST_KEY_SIZE];
	int r;

	if (!pack)
		return 0;
	r = pack_finish(pack, err);
	if (r == 0) {
		(void)hex_decode(pack->id, copying->place->id, SHA256_SIZE);
		copying->place->size = pack->bytes.size;
		key_of_pack(copying->place->id, key);
		r = transport_put_once(remote->transport, key, pack->bytes.data,
				       pack->bytes.size, remote->has_conditions, err);
	}
	copying->pack = pack_free(pack);
	return r;
}

static int copy_block(struct copying *copying, const struct pack_directory *directory,
		      uint32_t number, const char *bytes, struct live_block *block,
		      struct cop_error *err)
{
	const struct block *row = &directory->blocks[number];
	auto_buf stored = {};
	uint32_t to = 0;
	int r;

	if (!copying->pack) {
		copying->pack = pack_new(err);
		copying->place =
			arena_alloc(copying->repack->arena, sizeof(*copying->place));
		if (!copying->pack || !copying->place)
			return err_oom(err);
	}
	if (buf_append(&stored, bytes + row->offset, row->stored_size) < 0)
		return err_oom(err);
	r = pack_add_block(copying->pack, &stored, row->size, row->codec, &to, err);
	if (r < 0)
		return r;
	block->to = copying->place;
	block->new_offset = copying->pack->directory.blocks[to].offset;
	for (uint32_t i = 0; i < directory->n_files && r == 0; i++)
		if (directory->files[i].block == number) {
			struct pack_file file = directory->files[i];

			file.block = to;
			r = pack_add_file(copying->pack, &file, err);
		}
	for (uint32_t i = 0; i < directory->n_trees && r == 0; i++)
		if (directory->trees[i].block == number)
			r = pack_add_tree(copying->pack,
					  &(struct pack_tree){directory->trees[i].id, to},
					  err);
	return r < 0 || copying->pack->bytes.size < PACK_TARGET ? r
								: put_pack(copying, err);
}

/* The whole pack, since only as a whole it can be verified. */
static int get_pack(struct repack *repack, const struct old_pack *pack, struct buf *bytes,
		    struct pack_directory *directory, struct cop_error *err)
{
	char key[REQUEST_KEY_SIZE], hex[SHA256_HEX + 1], found[SHA256_HEX + 1];
	int r;

	key_of_pack(pack->id, key);
	r = transport_get(repack->remote->transport, key, PACK_MAX, bytes, NULL, err);
	if (r == 0)
		r = sha256_bytes(buf_text(bytes), bytes->size, found, err);
	if (r < 0)
		return r;
	if (strcmp(found, hex_encode(pack->id, SHA256_SIZE, hex)) != 0)
		return err_set(err, -EBADMSG, "'%s' is damaged", key);
	return pack_read_directory((const uint8_t *)bytes->data, bytes->size, bytes->size,
				   directory, err);
}

static int copy_pack(struct copying *copying, const struct old_pack *pack,
		     struct cop_error *err)
{
	cleanup_with(pack_directory_done) struct pack_directory directory = {};
	auto_buf bytes = {};
	int r = 0;

	if (pack->n_live > 0)
		r = get_pack(copying->repack, pack, &bytes, &directory, err);
	for (uint32_t i = 0; i < directory.n_blocks && r == 0; i++) {
		struct live_block *block =
			find_block(copying->repack, pack, directory.blocks[i].offset);

		if (block)
			r = copy_block(copying, &directory, i, bytes.data, block, err);
	}
	return r;
}

static int copy_packs(struct repack *repack, struct cop_error *err)
{
	struct copying copying = {.repack = repack};
	int r = 0;

	for (const struct old_pack *pack = repack->all_packs; pack && r == 0;
	     pack = pack->next)
		if (pack->goes)
			r = copy_pack(&copying, pack, err);
	if (r == 0)
		r = put_pack(&copying, err);
	(void)pack_free(copying.pack);
	return r;
}

/* --- the segments --- */

static int add_block(const struct repack *repack, const struct segment *segment,
		     uint32_t number, struct segment_writer *writer, uint32_t *ret_number,
		     struct cop_error *err)
{
	struct block row = segment->blocks[number];
	const struct index_pack *pack = &segment->packs[row.pack];
	const struct old_pack *old = map_get(repack->packs, pack->id, sizeof(pack->id));
	const struct live_block *block = find_block(repack, old, row.offset);
	int r;

	if (block && block->to) {
		row.offset = block->new_offset;
		r = segment_writer_add_pack(writer, block->to->id, block->to->size,
					    &row.pack, err);
	} else if (old->goes) {
		r = err_set(err, -EBADMSG,
			    "an index names a block that its pack has not");
	} else {
		r = segment_writer_add_pack(writer, pack->id, pack->size, &row.pack, err);
	}
	return r < 0 ? r : segment_writer_add_block(writer, &row, ret_number, err);
}

/* Blocks that several files share are entered once; those of a large file in a row. */
static int add_file(const struct repack *repack, const struct segment *segment,
		    const struct index_file *file, uint32_t *numbers,
		    struct segment_writer *writer, struct cop_error *err)
{
	int64_t n = segment_file_blocks(segment, file, err);
	struct index_file row = *file;
	int r = n < 0 ? (int)n : 0;

	for (int64_t i = 0; i < n && r == 0; i++) {
		uint32_t *number = &numbers[file->block + (uint32_t)i];

		if (n > 1 || *number == UINT32_MAX)
			r = add_block(repack, segment, file->block + (uint32_t)i, writer,
				      number, err);
		if (i == 0)
			row.block = *number;
	}
	return r < 0 ? r : segment_writer_add_file(writer, &row, err);
}

static int add_rows(const struct repack *repack, const struct segment *segment,
		    uint32_t *numbers, struct segment_writer *writer,
		    struct cop_error *err)
{
	int r = 0;

	for (uint32_t i = 0; i < segment->n_files && r == 0; i++)
		if (map_get(repack->files, &segment->files[i].id,
			    sizeof(struct cop_digest)))
			r = add_file(repack, segment, &segment->files[i], numbers, writer,
				     err);
	for (uint32_t i = 0; i < segment->n_trees && r == 0; i++) {
		struct index_tree row = segment->trees[i];

		if (!map_get(repack->trees, &row.id, sizeof(row.id)))
			continue;
		r = add_block(repack, segment, row.block, writer, &row.block, err);
		if (r == 0)
			r = segment_writer_add_tree(writer, &row, err);
	}
	for (uint32_t i = 0; i < segment->n_parts && r == 0; i++) {
		struct index_part row = segment->parts[i];

		row.block = numbers[row.block];
		if (row.block != UINT32_MAX)
			r = segment_writer_add_part(writer, &row, err);
	}
	return r;
}

static int put_segment(struct repack *repack, struct repack_segment *old,
		       struct cop_error *err)
{
	struct remote *remote = repack->remote;
	auto_ptr(segment_writer) writer = segment_writer_new(err);
	auto_free uint32_t *numbers =
		calloc(old->segment->n_blocks + 1, sizeof(*numbers));
	char key[REQUEST_KEY_SIZE], name[SHA256_HEX + 1];
	auto_buf bytes = {};
	int r;

	if (!writer || !numbers)
		return err_oom(err);
	memset(numbers, 0xff, old->segment->n_blocks * sizeof(*numbers));
	r = add_rows(repack, old->segment, numbers, writer, err);
	if (r < 0 || segment_writer_is_empty(writer))
		return r;
	r = segment_writer_finish(writer, &bytes, name, err);
	if (r < 0)
		return r;
	(void)snprintf(key, sizeof(key), "v1/i/%.2s/%s", name, name);
	r = transport_put_once(remote->transport, key, bytes.data, bytes.size,
			       remote->has_conditions, err);
	if (r == 0)
		r = segment_read(bytes.data, bytes.size, &old->next, err);
	return r;
}

/* --- the plans --- */

static int put_plan(struct repack *repack, const struct plan *plan, struct cop_error *err)
{
	struct plan next = *plan;
	char key[REQUEST_KEY_SIZE], hex[COP_DIGEST_HEX + 1];
	bool differs = false;
	auto_buf text = {};
	int r = 0;

	next.n_segments = 0;
	for (size_t i = 0; i < plan->n_segments && r == 0; i++) {
		const char *name = plan->segments[i];

		for (size_t k = 0; k < repack->n_segments; k++) {
			const struct repack_segment *segment = &repack->segments[k];

			if (!segment->goes || strcmp(segment->segment->name, name) != 0)
				continue;
			differs = true;
			name = segment->next ? segment->next->name : NULL;
			break;
		}
		if (name)
			r = plan_add_segment(&next, name, err);
	}
	if (r < 0 || !differs)
		return r;
	r = plan_write(&next, &text, err);
	if (r < 0)
		return r;
	(void)cop_digest_to_hex(&plan->object, hex);
	(void)snprintf(key, sizeof(key), "v1/m/%.2s/%s", hex, hex);
	return transport_put(repack->remote->transport, key, buf_text(&text), text.size,
			     false, NULL, err);
}

int repack_run(struct repack *repack, struct cop_error *err)
{
	int r;

	if (repack->n_packs == 0)
		return 0;
	r = copy_packs(repack, err);
	for (size_t i = 0; i < repack->n_segments && r == 0; i++)
		if (repack->segments[i].goes)
			r = put_segment(repack, &repack->segments[i], err);
	for (size_t i = 0; i < repack->n_plans && r == 0; i++)
		r = put_plan(repack, &repack->plans[i], err);
	return r;
}
