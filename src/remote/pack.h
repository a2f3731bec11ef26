/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packs: blocks one after the other, and at the end a directory that says what is in
 * them.  A pack is made in memory, named by the SHA-256 of its bytes, and never changes.
 */
#pragma once

#include "digest/sha256.h"
#include "remote/block.h"

#define PACK_TRAILER_SIZE 44

/* struct pack_file - bytes @at to @at + @length of a file of @size bytes, from @inner on
 * in the unpacked block */
struct pack_file {
	struct cop_digest id;
	uint64_t size, at;
	uint32_t block, inner, length;
};

struct pack_tree {
	struct cop_digest id;
	uint32_t block;
};

struct pack_directory {
	struct block *blocks;
	struct pack_file *files;
	struct pack_tree *trees;
	uint32_t n_blocks, n_files, n_trees;
	uint32_t blocks_room, files_room, trees_room;
};

void pack_directory_done(struct pack_directory *directory);

/* struct pack - one that is being made; @id once it is finished */
struct pack {
	struct buf bytes;
	struct pack_directory directory;
	char id[SHA256_HEX + 1];
	size_t directory_at; /* where the directory begins, once it is finished */
};

/* pack_new() - with a salt, so that the same content never has the same name again */
struct pack *pack_new(struct cop_error *err);
struct pack *pack_free(struct pack *pack);
DEFINE_AUTO_PTR(pack)

/* pack_add_block() - @stored as block_pack() or tree_pack() made it; @ret_number */
int pack_add_block(struct pack *pack, const struct buf *stored, uint32_t size,
		   enum block_codec codec, uint32_t *ret_number, struct cop_error *err);
int pack_add_file(struct pack *pack, const struct pack_file *file, struct cop_error *err);
int pack_add_tree(struct pack *pack, const struct pack_tree *tree, struct cop_error *err);

/* pack_finish() - directory, trailer, name */
int pack_finish(struct pack *pack, struct cop_error *err);

/*
 * pack_read_directory() - from the last bytes of a pack
 * @tail:      ends with the trailer
 * @pack_size: of the whole pack
 *
 * Trusts nothing.  Return: 0; -EBADMSG; -EMSGSIZE when @tail does not reach to the
 * beginning of the directory.
 */
int pack_read_directory(const uint8_t *tail, size_t size, uint64_t pack_size,
			struct pack_directory *ret_directory, struct cop_error *err);
