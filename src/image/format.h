/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands where in an image: the composefs header, the EROFS superblock, inodes,
 * xattrs and directory entries, as docs/store-format.md §1 describes them.
 *
 * Everything is little-endian and read or written by offset: nothing on disk is ever
 * looked at through a struct, so that alignment and byte order are no question.
 */
#pragma once

#include <endian.h>
#include <string.h>

#include "base/defs.h"

#define IMAGE_BLOCK ((uint64_t)4096)
#define IMAGE_SLOT  ((uint64_t)32)

enum {
	IMAGE_BLOCK_BITS = 12,
	IMAGE_TAIL_MAX = 2048, /* what is longer goes to a block of its own */
	IMAGE_VERSION_MAX = 1,
	IMAGE_NID_MAX = 65534, /* of the root */

	/* composefs header, at 0 */
	HEADER_MAGIC = 0,
	HEADER_VERSION = 4,
	HEADER_FLAGS = 8,
	HEADER_FORMAT = 12,
	HEADER_RESERVED = 16,
	HEADER_SIZE = 32,
	HEADER_FLAG_ACL = 1,

	/* EROFS superblock, at SUPER; offsets count from there */
	SUPER = 1024,
	SUPER_MAGIC = 0,
	SUPER_CHECKSUM = 4,
	SUPER_COMPAT = 8,
	SUPER_BLOCK_BITS = 12,
	SUPER_EXTENSIONS = 13,
	SUPER_ROOT = 14,
	SUPER_INODES = 16,
	SUPER_TIME_SEC = 24,
	SUPER_TIME_NSEC = 32,
	SUPER_BLOCKS = 36,
	SUPER_META = 40,
	SUPER_XATTRS = 44,
	SUPER_NAMES = 48, /* uuid and volume name */
	SUPER_INCOMPAT = 80,
	SUPER_RESERVED = 84,
	SUPER_SIZE = 128,
	COMPAT_MTIME_AND_FILTER = 6,
	INCOMPAT_CHUNKED = 4,

	FIRST_INODE = SUPER + SUPER_SIZE,

	/* inodes */
	INODE_FORMAT = 0,
	INODE_XATTR_COUNT = 2,
	INODE_MODE = 4,
	INODE_COMPACT_NLINK = 6,
	INODE_EXTENDED_RESERVED = 6,
	INODE_FILE_SIZE = 8,
	INODE_COMPACT_RESERVED = 12,
	INODE_UNION = 16,
	INODE_NUMBER = 20,
	INODE_COMPACT_UID = 24,
	INODE_COMPACT_GID = 26,
	INODE_COMPACT_RESERVED2 = 28,
	INODE_COMPACT_SIZE = 32,
	INODE_EXTENDED_UID = 24,
	INODE_EXTENDED_GID = 28,
	INODE_EXTENDED_MTIME = 32,
	INODE_EXTENDED_NSEC = 40,
	INODE_EXTENDED_NLINK = 44,
	INODE_EXTENDED_RESERVED2 = 48,
	INODE_EXTENDED_SIZE = 64,

	LAYOUT_PLAIN = 0,
	LAYOUT_INLINE = 2,
	LAYOUT_CHUNKS = 4,

	CHUNK_BITS_MAX = 43,
	CHUNKS_MAX = 1024,

	/* the area behind an inode, and the entries in it and in the shared table */
	XATTRS_FILTER = 0,
	XATTRS_N_SHARED = 4,
	XATTRS_HEAD = 12,
	XATTRS_SHARED_MAX = 128,
	ENTRY_NAME_SIZE = 0,
	ENTRY_INDEX = 1,
	ENTRY_VALUE_SIZE = 2,
	ENTRY_HEAD = 4,
	XATTR_VALUE_MAX = 65535,
	XATTR_KEY_MAX = 255,
	XATTR_SUM_MAX = 32767, /* of what a tree brings for one inode */
	XATTR_SUM_BASE = 12,
	XATTR_SUM_EACH = 7,

	/* directory entries */
	DIRENT_NID = 0,
	DIRENT_NAME = 8,
	DIRENT_TYPE = 10,
	DIRENT_RESERVED = 11,
	DIRENT_SIZE = 12,
};

#define HEADER_MAGIC_VALUE 0xd078629aU
#define SUPER_MAGIC_VALUE  0xe0f5e1e2U
#define CHUNK_HOLE	   0xffffffffU
#define CHUNK_SIZE_MAX	   ((uint64_t)CHUNKS_MAX << CHUNK_BITS_MAX)

static inline uint16_t get_le16(const uint8_t *at)
{
	uint16_t value;

	memcpy(&value, at, sizeof(value));
	return le16toh(value);
}

static inline uint32_t get_le32(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return le32toh(value);
}

static inline uint64_t get_le64(const uint8_t *at)
{
	uint64_t value;

	memcpy(&value, at, sizeof(value));
	return le64toh(value);
}

static inline void put_le16(uint8_t *at, uint16_t value)
{
	value = htole16(value);
	memcpy(at, &value, sizeof(value));
}

static inline void put_le32(uint8_t *at, uint32_t value)
{
	value = htole32(value);
	memcpy(at, &value, sizeof(value));
}

static inline void put_le64(uint8_t *at, uint64_t value)
{
	value = htole64(value);
	memcpy(at, &value, sizeof(value));
}

/* image_chunk_bits() - log2 of the chunk size of a file in the pool; @size at least 1 */
static inline unsigned int image_chunk_bits(uint64_t size)
{
	unsigned int bits = size > 1 ? 64 - (unsigned int)__builtin_clzll(size - 1) : 0;

	if (bits < IMAGE_BLOCK_BITS)
		return IMAGE_BLOCK_BITS;
	return bits > CHUNK_BITS_MAX ? CHUNK_BITS_MAX : bits;
}

/* image_chunks() - number of chunks of a file of 1 to CHUNK_SIZE_MAX bytes */
static inline uint32_t image_chunks(uint64_t size)
{
	unsigned int bits = image_chunk_bits(size);

	return (uint32_t)((size + (((uint64_t)1 << bits) - 1)) >> bits);
}

/* image_entry_size() - of an xattr with so many bytes of stored name and of value */
static inline uint64_t image_entry_size(uint64_t name_size, uint64_t value_size)
{
	return round_up_u64(ENTRY_HEAD + name_size + value_size, 4);
}

/* image_type() - the type byte of a directory entry; 0 for a mode of no known type */
uint8_t image_type(uint32_t mode);

/* image_key_index() - the namespace number of a key and the size of what it stands for */
uint8_t image_key_index(const char *key, size_t *ret_prefix_size);

/* image_key_prefix() - the text a namespace number stands for; NULL for unused numbers */
const char *image_key_prefix(uint8_t index);

/* image_filter_bit() - the bit of the name filter that this stored name clears */
uint32_t image_filter_bit(uint8_t index, const void *name, size_t size);

/* The overlay file system's own xattrs, and those that stand for whiteouts in the tree.
 */
#define OVERLAY_PREFIX	    "trusted.overlay."
#define OVERLAY_PREFIX_SIZE (sizeof(OVERLAY_PREFIX) - 1)
#define OVERLAY_ESCAPE	    "overlay."
#define OVERLAY_ESCAPE_SIZE (sizeof(OVERLAY_ESCAPE) - 1)
/* The namespace of all these, and what stands of a key once it is taken off. */
#define IMAGE_TRUSTED		4
#define IMAGE_TRUSTED_NAME(key) ((key) + sizeof("trusted.") - 1)
#define OVERLAY_METACOPY	OVERLAY_PREFIX "metacopy"
#define OVERLAY_REDIRECT	OVERLAY_PREFIX "redirect"
#define OVERLAY_OPAQUE		OVERLAY_PREFIX "opaque"
#define OVERLAY_WHITEOUT	OVERLAY_PREFIX "whiteout"
#define OVERLAY_WHITEOUTS	OVERLAY_PREFIX "whiteouts"
#define USER_OPAQUE		"user.overlay.opaque"
#define USER_WHITEOUT		"user.overlay.whiteout"
#define USER_WHITEOUTS		"user.overlay.whiteouts"

/* A metacopy value: version, its own size, flags, SHA-256; then the digest. */
#define METACOPY_HEAD	   "\x00\x24\x00\x01"
#define METACOPY_HEAD_SIZE ((size_t)4)
#define METACOPY_SIZE	   ((size_t)36)
