/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Index segments: where files and trees are.  A segment never changes; it is named by the
 * SHA-256 of its bytes.  Who has all segments that a plan names can find everything of
 * the tree; who has all segments of a remote knows all that need not be sent.
 */
#pragma once

#include "base/arena.h"
#include "base/map.h"
#include "digest/sha256.h"
#include "remote/format.h"

struct index_pack {
	uint8_t id[SHA256_SIZE];
	uint64_t size;
};

/* A file of up to FILE_BLOCK bytes begins at @inner of its block; the content of a larger
 * one is that block and those that follow in the table. */
struct index_file {
	struct cop_digest id;
	uint64_t size;
	uint32_t block, inner;
};

struct index_tree {
	struct cop_digest id;
	struct cop_digest base; /* whose text is the dictionary; all zero: none */
	uint32_t block;
};

/* The SHA-256 of what is in a block of a large file, for who has the same again. */
struct index_part {
	uint8_t hash[SHA256_SIZE];
	uint32_t block;
};

struct segment {
	char name[SHA256_HEX + 1];
	struct index_pack *packs;
	struct block *blocks;
	struct index_file *files; /* sorted by id */
	struct index_tree *trees;
	struct index_part *parts;
	uint32_t n_packs, n_blocks, n_files, n_trees, n_parts;
};

struct segment *segment_free(struct segment *segment);
DEFINE_AUTO_PTR(segment)

/*
 * segment_read() - trusts nothing; memory is taken after all sizes were checked
 *
 * That the blocks of a large file fit its size is for segment_file_blocks() to see.
 * -EBADMSG.
 */
int segment_read(const void *data, size_t size, struct segment **ret_segment,
		 struct cop_error *err);

/* segment_file_blocks() - how many blocks a file has, from its first one on.  Return: the
 * number, or -EBADMSG when they are not what its size asks for. */
int64_t segment_file_blocks(const struct segment *segment, const struct index_file *file,
			    struct cop_error *err);

/*
 * A segment that is being made.  Packs and blocks are entered once, however often they
 * are added.
 */
struct segment_writer;
struct segment_writer *segment_writer_new(struct cop_error *err);
struct segment_writer *segment_writer_free(struct segment_writer *writer);
DEFINE_AUTO_PTR(segment_writer)

/* segment_writer_add_pack() - by its id (hexadecimal digits); @ret_number */
int segment_writer_add_pack(struct segment_writer *writer, const uint8_t id[SHA256_SIZE],
			    uint64_t size, uint32_t *ret_number, struct cop_error *err);
/* segment_writer_add_block() - always a new one; its pack is a number of this writer */
int segment_writer_add_block(struct segment_writer *writer, const struct block *block,
			     uint32_t *ret_number, struct cop_error *err);
/* the rest; a file or tree that is there already is left out */
int segment_writer_add_file(struct segment_writer *writer, const struct index_file *file,
			    struct cop_error *err);
int segment_writer_add_tree(struct segment_writer *writer, const struct index_tree *tree,
			    struct cop_error *err);
int segment_writer_add_part(struct segment_writer *writer, const struct index_part *part,
			    struct cop_error *err);

/* segment_writer_copy_file() / _copy_tree() - what another segment knows of one
 * segment_writer_copy_block() - a block of another segment; where it is @shared by files,
 * it is entered once */
int segment_writer_copy_block(struct segment_writer *writer, const struct segment *from,
			      uint32_t block, bool shared, uint32_t *ret_number,
			      struct cop_error *err);
int segment_writer_copy_file(struct segment_writer *writer, const struct segment *from,
			     const struct index_file *file, struct cop_error *err);
int segment_writer_copy_tree(struct segment_writer *writer, const struct segment *from,
			     const struct index_tree *tree, struct cop_error *err);

/* segment_writer_is_empty() - nothing was added */
bool segment_writer_is_empty(const struct segment_writer *writer);

/* segment_writer_finish() - appended to @bytes; @name is its key's last part */
int segment_writer_finish(struct segment_writer *writer, struct buf *bytes,
			  char name[SHA256_HEX + 1], struct cop_error *err);

/*
 * The catalogue: all segments that are known, and where each file is.
 */
struct catalogue;
struct catalogue *catalogue_new(struct cop_error *err);
struct catalogue *catalogue_free(struct catalogue *catalogue);
DEFINE_AUTO_PTR(catalogue)

/* catalogue_add() - takes @segment over, in any case; a second one of a name is dropped
 */
int catalogue_add(struct catalogue *catalogue, struct segment *segment,
		  struct cop_error *err);

/* catalogue_segment() - by name, or by number from 0; NULL: none */
const struct segment *catalogue_segment(const struct catalogue *catalogue,
					const char *name);
const struct segment *catalogue_at(const struct catalogue *catalogue, size_t i);

/* catalogue_file() / catalogue_tree() - and the segment that has it; NULL: unknown */
const struct index_file *catalogue_file(const struct catalogue *catalogue,
					const struct cop_digest *id,
					const struct segment **ret_segment);
const struct index_tree *catalogue_tree(const struct catalogue *catalogue,
					const struct cop_digest *id,
					const struct segment **ret_segment);
/* catalogue_part() - the block with this content, in a segment; NULL: unknown */
const struct index_part *catalogue_part(const struct catalogue *catalogue,
					const uint8_t hash[SHA256_SIZE],
					const struct segment **ret_segment);
