/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The numbers of the remote format (docs/remote-format.md), and how they stand in bytes:
 * little-endian, read and written one by one.
 */
#pragma once

#include <coppice/digest.h>

#include "base/buf.h"
#include "base/defs.h"

#define REMOTE_FORMAT 1

/* Files below this share blocks, which are closed before they exceed SHARED_BLOCK. */
#define SHARED_FILE_MAX	 (128 * KIB)
#define SHARED_BLOCK_MAX (256 * KIB)
/* The content of a larger file is cut into blocks of this, the last one shorter. */
#define FILE_BLOCK (1 * MIB)
/* Of files of this size and more, blocks are known by their SHA-256, too. */
#define PARTS_MIN (4 * MIB)
/* A pack is closed when it reaches this. */
#define PACK_TARGET (32 * MIB)
/* What a reader accepts. */
#define PACK_MAX      (640 * MIB)
#define DIRECTORY_MAX (96 * MIB)
#define SEGMENT_MAX   (192 * MIB)
#define DUMP_MAX      (512 * MIB)
#define PLAN_MAX      (1 * MIB)
#define ENTRY_MAX     (1 * MIB)
/* Trees that stand on each other as dictionaries. */
#define TREE_CHAIN_MAX 16
/* Index segments that a plan may name, and how many a writer leaves beside its own. */
#define PLAN_SEGMENTS_MAX  32
#define PLAN_SEGMENTS_WISH 16

enum block_codec {
	BLOCK_STORED = 0,
	BLOCK_ZSTD = 1,
	BLOCK_TREE = 2, /* 32 bytes digest of the dictionary's tree, then a zstd frame */
};

/* struct block - where a block is and how large: stored in a pack, and unpacked */
struct block {
	uint64_t offset;
	uint32_t pack; /* in an index only: number of the pack */
	uint32_t stored_size, size;
	enum block_codec codec;
};

/* put_u16() ... - append to @buf; look at buf->failed once at the end */
static inline void put_number(struct buf *buf, uint64_t value, unsigned int n_bytes)
{
	uint8_t bytes[8];

	for (unsigned int i = 0; i < n_bytes; i++)
		bytes[i] = (uint8_t)(value >> (8 * i));
	(void)buf_append(buf, bytes, n_bytes);
}

static inline uint64_t get_number(const uint8_t **at, unsigned int n_bytes)
{
	uint64_t value = 0;

	for (unsigned int i = 0; i < n_bytes; i++)
		value |= (uint64_t)(*at)[i] << (8 * i);
	*at += n_bytes;
	return value;
}

static inline void get_bytes(const uint8_t **at, void *bytes, size_t size)
{
	memcpy(bytes, *at, size);
	*at += size;
}

#define put_u8(buf, value)  put_number(buf, value, 1)
#define put_u16(buf, value) put_number(buf, value, 2)
#define put_u32(buf, value) put_number(buf, value, 4)
#define put_u64(buf, value) put_number(buf, value, 8)
#define get_u8(at)	    ((uint8_t)get_number(at, 1))
#define get_u16(at)	    ((uint16_t)get_number(at, 2))
#define get_u32(at)	    ((uint32_t)get_number(at, 4))
#define get_u64(at)	    get_number(at, 8)
