/* SPDX-License-Identifier: Apache-2.0 */
#include "remote/pack.h"

#include <string.h>
#include <sys/random.h>

#include "base/text.h"

#define HEADER_SIZE 24
#define SALT_SIZE   16
#define BLOCK_SIZE  24
#define FILE_SIZE   64
#define TREE_SIZE   40

void pack_directory_done(struct pack_directory *directory)
{
	free(directory->blocks);
	free(directory->files);
	free(directory->trees);
	*directory = (struct pack_directory){};
}

struct pack *pack_free(struct pack *pack)
{
	if (!pack)
		return NULL;
	buf_done(&pack->bytes);
	pack_directory_done(&pack->directory);
	free(pack);
	return NULL;
}

struct pack *pack_new(struct cop_error *err)
{
	auto_ptr(pack) pack = calloc(1, sizeof(*pack));
	uint8_t salt[SALT_SIZE];

	if (!pack) {
		(void)err_oom(err);
		return NULL;
	}
	if (getrandom(salt, sizeof(salt), 0) != sizeof(salt)) {
		(void)err_errno(err, "read random bytes");
		return NULL;
	}
	(void)buf_append(&pack->bytes, "CSPK", 4);
	put_u16(&pack->bytes, REMOTE_FORMAT);
	put_u16(&pack->bytes, 0);
	(void)buf_append(&pack->bytes, salt, sizeof(salt));
	if (pack->bytes.failed) {
		(void)err_oom(err);
		return NULL;
	}
	return TAKE_PTR(pack);
}

/* Room for one more in an array that doubles. */
static int grow(void *array, uint32_t n, uint32_t *room, size_t size,
		struct cop_error *err)
{
	void *old, *grown;
	uint32_t wanted = *room ? *room * 2 : 64;

	if (n < *room)
		return 0;
	memcpy(&old, array, sizeof(old));
	grown = wanted > *room ? reallocarray(old, wanted, size) : NULL;
	if (!grown)
		return err_oom(err);
	memcpy(array, &grown, sizeof(grown));
	*room = wanted;
	return 0;
}

int pack_add_block(struct pack *pack, const struct buf *stored, uint32_t size,
		   enum block_codec codec, uint32_t *ret_number, struct cop_error *err)
{
	struct pack_directory *directory = &pack->directory;
	int r = grow(&directory->blocks, directory->n_blocks, &directory->blocks_room,
		     sizeof(*directory->blocks), err);

	if (r < 0)
		return r;
	directory->blocks[directory->n_blocks] = (struct block){
		.offset = pack->bytes.size,
		.stored_size = (uint32_t)stored->size,
		.size = size,
		.codec = codec,
	};
	if (buf_append(&pack->bytes, stored->data, stored->size) < 0)
		return err_oom(err);
	*ret_number = directory->n_blocks++;
	return 0;
}

int pack_add_file(struct pack *pack, const struct pack_file *file, struct cop_error *err)
{
	struct pack_directory *directory = &pack->directory;
	int r = grow(&directory->files, directory->n_files, &directory->files_room,
		     sizeof(*directory->files), err);

	if (r == 0)
		directory->files[directory->n_files++] = *file;
	return r;
}

int pack_add_tree(struct pack *pack, const struct pack_tree *tree, struct cop_error *err)
{
	struct pack_directory *directory = &pack->directory;
	int r = grow(&directory->trees, directory->n_trees, &directory->trees_room,
		     sizeof(*directory->trees), err);

	if (r == 0)
		directory->trees[directory->n_trees++] = *tree;
	return r;
}

static void put_directory(const struct pack_directory *directory, struct buf *buf)
{
	put_u32(buf, directory->n_blocks);
	put_u32(buf, directory->n_files);
	put_u32(buf, directory->n_trees);
	for (uint32_t i = 0; i < directory->n_blocks; i++) {
		const struct block *block = &directory->blocks[i];

		put_u64(buf, block->offset);
		put_u32(buf, block->stored_size);
		put_u32(buf, block->size);
		put_u64(buf, block->codec);
	}
	for (uint32_t i = 0; i < directory->n_files; i++) {
		const struct pack_file *file = &directory->files[i];

		(void)buf_append(buf, file->id.bytes, sizeof(file->id.bytes));
		put_u64(buf, file->size);
		put_u64(buf, file->at);
		put_u32(buf, file->block);
		put_u32(buf, file->inner);
		put_u32(buf, file->length);
		put_u32(buf, 0);
	}
	for (uint32_t i = 0; i < directory->n_trees; i++) {
		(void)buf_append(buf, directory->trees[i].id.bytes, COP_DIGEST_SIZE);
		put_u32(buf, directory->trees[i].block);
		put_u32(buf, 0);
	}
}

int pack_finish(struct pack *pack, struct cop_error *err)
{
	auto_buf directory = {};
	char hex[SHA256_HEX + 1];
	uint8_t hash[SHA256_SIZE];
	size_t stored_size;
	int r;

	put_directory(&pack->directory, &directory);
	if (directory.failed)
		return err_oom(err);
	pack->directory_at = pack->bytes.size;
	r = frame_pack(directory.data, directory.size, &pack->bytes, err);
	stored_size = pack->bytes.size - pack->directory_at;
	if (r == 0)
		r = sha256_bytes(pack->bytes.data + pack->directory_at, stored_size, hex,
				 err);
	if (r < 0)
		return r;
	(void)hex_decode(hex, hash, sizeof(hash));
	put_u32(&pack->bytes, stored_size);
	put_u32(&pack->bytes, directory.size);
	(void)buf_append(&pack->bytes, hash, sizeof(hash));
	(void)buf_append(&pack->bytes, "KPSC", 4);
	if (pack->bytes.failed)
		return err_oom(err);
	return sha256_bytes(pack->bytes.data, pack->bytes.size, pack->id, err);
}

static int damaged(const char *why, struct cop_error *err)
{
	return err_set(err, -EBADMSG, "the directory of a pack is damaged: %s", why);
}

static int check_block(const struct block *block, uint64_t end, struct cop_error *err)
{
	if (block->offset < HEADER_SIZE || block->stored_size == 0 ||
	    block->offset > end || block->stored_size > end - block->offset)
		return damaged("a block is outside", err);
	if (block->codec > BLOCK_TREE)
		return damaged("an unknown kind of block", err);
	if (block->codec != BLOCK_TREE && block->size > FILE_BLOCK)
		return damaged("a block is too large", err);
	return 0;
}

static int check_file(const struct pack_directory *directory,
		      const struct pack_file *file, struct cop_error *err)
{
	const struct block *block;

	if (file->block >= directory->n_blocks)
		return damaged("a file is in no block", err);
	block = &directory->blocks[file->block];
	if (block->codec == BLOCK_TREE || file->inner > block->size ||
	    file->length > block->size - file->inner || file->at > file->size ||
	    file->length > file->size - file->at || file->at % FILE_BLOCK != 0)
		return damaged("a file is outside of its block", err);
	return 0;
}

static int parse(const uint8_t *at, size_t size, uint64_t end,
		 struct pack_directory *directory, struct cop_error *err)
{
	uint64_t n_blocks = get_u32(&at), n_files = get_u32(&at), n_trees = get_u32(&at);
	int r = 0;

	if (size !=
	    12 + n_blocks * BLOCK_SIZE + n_files * FILE_SIZE + n_trees * TREE_SIZE)
		return damaged("it has another size than its counts say", err);
	directory->blocks = calloc(n_blocks + 1, sizeof(*directory->blocks));
	directory->files = calloc(n_files + 1, sizeof(*directory->files));
	directory->trees = calloc(n_trees + 1, sizeof(*directory->trees));
	if (!directory->blocks || !directory->files || !directory->trees)
		return err_oom(err);
	for (uint64_t i = 0; i < n_blocks && r == 0; i++) {
		struct block *block = &directory->blocks[directory->n_blocks++];
		uint64_t codec;

		block->offset = get_u64(&at);
		block->stored_size = get_u32(&at);
		block->size = get_u32(&at);
		codec = get_u64(&at);
		block->codec =
			codec > BLOCK_TREE ? BLOCK_TREE + 1 : (enum block_codec)codec;
		r = check_block(block, end, err);
	}
	for (uint64_t i = 0; i < n_files && r == 0; i++) {
		struct pack_file *file = &directory->files[directory->n_files++];

		get_bytes(&at, file->id.bytes, COP_DIGEST_SIZE);
		file->size = get_u64(&at);
		file->at = get_u64(&at);
		file->block = get_u32(&at);
		file->inner = get_u32(&at);
		file->length = get_u32(&at);
		(void)get_u32(&at);
		r = check_file(directory, file, err);
	}
	for (uint64_t i = 0; i < n_trees && r == 0; i++) {
		struct pack_tree *tree = &directory->trees[directory->n_trees++];

		get_bytes(&at, tree->id.bytes, COP_DIGEST_SIZE);
		tree->block = get_u32(&at);
		(void)get_u32(&at);
		if (tree->block >= n_blocks ||
		    directory->blocks[tree->block].codec != BLOCK_TREE)
			r = damaged("a tree is in no block of its own", err);
	}
	return r;
}

int pack_read_directory(const uint8_t *tail, size_t size, uint64_t pack_size,
			struct pack_directory *ret_directory, struct cop_error *err)
{
	cleanup_with(pack_directory_done) struct pack_directory directory = {};
	uint8_t expected[SHA256_SIZE], found[SHA256_SIZE];
	auto_free uint8_t *text = NULL;
	char hex[SHA256_HEX + 1];
	const uint8_t *at;
	uint32_t stored_size, text_size;
	int r;

	if (size < PACK_TRAILER_SIZE || size > pack_size || pack_size > PACK_MAX ||
	    memcmp(tail + size - 4, "KPSC", 4) != 0)
		return damaged("there is none", err);
	at = tail + size - PACK_TRAILER_SIZE;
	stored_size = get_u32(&at);
	text_size = get_u32(&at);
	get_bytes(&at, expected, sizeof(expected));
	if (text_size < 12 || text_size > DIRECTORY_MAX || stored_size > DIRECTORY_MAX ||
	    stored_size > pack_size - PACK_TRAILER_SIZE)
		return damaged("impossible sizes", err);
	if (stored_size > size - PACK_TRAILER_SIZE)
		return err_set(err, -EMSGSIZE,
			       "the directory of a pack is not all there");
	at = tail + size - PACK_TRAILER_SIZE - stored_size;
	r = sha256_bytes(at, stored_size, hex, err);
	if (r < 0)
		return r;
	(void)hex_decode(hex, found, sizeof(found));
	if (memcmp(expected, found, sizeof(found)) != 0)
		return damaged("wrong checksum", err);
	text = malloc(text_size);
	if (!text)
		return err_oom(err);
	r = frame_unpack(at, stored_size, text, text_size, err);
	if (r == 0)
		r = parse(text, text_size, pack_size - PACK_TRAILER_SIZE - stored_size,
			  &directory, err);
	if (r < 0)
		return r;
	*ret_directory = directory;
	directory = (struct pack_directory){};
	return 0;
}
