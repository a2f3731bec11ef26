/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks: the unit that is compressed, read by a range, and unpacked on its own. */
#pragma once

#include "base/error.h"
#include "remote/format.h"

/* struct packer - what one thread needs to pack and unpack */
struct packer;
struct packer *packer_new(struct cop_error *err);
struct packer *packer_free(struct packer *packer);
DEFINE_AUTO_PTR(packer)

/* block_pack() - appends to @out what is stored; @ret_codec says how */
int block_pack(struct packer *packer, const void *data, size_t size, struct buf *out,
	       enum block_codec *ret_codec, struct cop_error *err);

/* block_unpack() - @stored has block->stored_size bytes, @data room for block->size,
 * which the caller has checked against a limit.  -EBADMSG. */
int block_unpack(struct packer *packer, const struct block *block, const void *stored,
		 void *data, struct cop_error *err);

/* frame_pack() / frame_unpack() - one zstd frame of a table; @size is what it declared */
int frame_pack(const void *data, size_t size, struct buf *out, struct cop_error *err);
int frame_unpack(const void *stored, size_t stored_size, void *data, size_t size,
		 struct cop_error *err);

/*
 * tree_pack() - a dump text, with that of another tree as dictionary
 * @base_id: all zero: none, and @base is empty
 *
 * tree_unpack() - the text, at most DUMP_MAX bytes and as many as @size; memory is taken
 * as the text grows, never for what is only declared
 * tree_block_base() - the dictionary's tree, from the bytes of a block.  -EBADMSG.
 */
int tree_pack(const char *text, size_t size, const struct cop_digest *base_id,
	      const struct buf *base, struct buf *out, struct cop_error *err);
int tree_unpack(const void *stored, size_t stored_size, const struct buf *base,
		size_t size, struct buf *text, struct cop_error *err);
int tree_block_base(const void *stored, size_t stored_size, struct cop_digest *ret_base,
		    struct cop_error *err);
