/* SPDX-License-Identifier: Apache-2.0 */
/* One inode: its head, where its data is, and what it becomes in the tree. */
#include <inttypes.h>

#include "image/reader.h"

static int read_compact(const struct image_reader *reader, const uint8_t *at,
			struct raw_inode *raw)
{
	if (get_le32(at + INODE_COMPACT_RESERVED) != 0 ||
	    get_le32(at + INODE_COMPACT_RESERVED2) != 0)
		return reader_bad(reader, raw->offset,
				  "the inode's reserved bytes are used");
	raw->nlink = get_le16(at + INODE_COMPACT_NLINK);
	raw->size = get_le32(at + INODE_FILE_SIZE);
	raw->uid = get_le16(at + INODE_COMPACT_UID);
	raw->gid = get_le16(at + INODE_COMPACT_GID);
	raw->mtime_sec = reader->time_sec;
	raw->mtime_nsec = reader->time_nsec;
	raw->xattrs_at = raw->offset + INODE_COMPACT_SIZE;
	return 0;
}

static int read_extended(const struct image_reader *reader, const uint8_t *at,
			 struct raw_inode *raw)
{
	if (reader->size - raw->offset < INODE_EXTENDED_SIZE)
		return reader_bad(reader, raw->offset,
				  "the inode is beyond the end of the image");
	if (get_le16(at + INODE_EXTENDED_RESERVED) != 0 ||
	    get_le64(at + INODE_EXTENDED_RESERVED2) != 0 ||
	    get_le64(at + INODE_EXTENDED_RESERVED2 + 8) != 0)
		return reader_bad(reader, raw->offset,
				  "the inode's reserved bytes are used");
	raw->nlink = get_le32(at + INODE_EXTENDED_NLINK);
	raw->size = get_le64(at + INODE_FILE_SIZE);
	raw->uid = get_le32(at + INODE_EXTENDED_UID);
	raw->gid = get_le32(at + INODE_EXTENDED_GID);
	raw->mtime_sec = (int64_t)get_le64(at + INODE_EXTENDED_MTIME);
	raw->mtime_nsec = get_le32(at + INODE_EXTENDED_NSEC);
	raw->xattrs_at = raw->offset + INODE_EXTENDED_SIZE;
	return 0;
}

int image_read_head(const struct image_reader *reader, uint64_t offset,
		    struct raw_inode *raw)
{
	const uint8_t *at = reader->data + offset;
	unsigned int format, n_words;
	int r;

	*raw = (struct raw_inode){.offset = offset};
	if (offset < FIRST_INODE || offset > reader->size - INODE_COMPACT_SIZE)
		return reader_bad(reader, offset, "no inode can be here");
	format = get_le16(at + INODE_FORMAT);
	raw->layout = format >> 1;
	raw->mode = get_le16(at + INODE_MODE);
	raw->union_field = get_le32(at + INODE_UNION);
	raw->number = get_le32(at + INODE_NUMBER);
	if (raw->layout != LAYOUT_PLAIN && raw->layout != LAYOUT_INLINE &&
	    raw->layout != LAYOUT_CHUNKS)
		return reader_bad(reader, offset, "inode format 0x%x is unknown", format);
	if (image_type(raw->mode) == 0)
		return reader_bad(reader, offset, "the inode's mode %o has no known type",
				  raw->mode);
	r = format & 1 ? read_extended(reader, at, raw) : read_compact(reader, at, raw);
	if (r < 0)
		return r;
	n_words = get_le16(at + INODE_XATTR_COUNT);
	if (n_words > 0)
		raw->xattrs_size = XATTRS_HEAD + 4 * (n_words - 1);
	raw->tail_at = raw->xattrs_at + raw->xattrs_size;
	return 0;
}

/* The size of data that stands in the image, by type. */
static int check_size(const struct image_reader *reader, const struct raw_inode *raw)
{
	uint64_t most = 0, least = 0;

	if (raw->layout == LAYOUT_CHUNKS && !S_ISREG(raw->mode))
		return reader_bad(reader, raw->offset,
				  "only regular files can have chunks");
	switch (raw->mode & S_IFMT) {
	case S_IFDIR:
		least = 1;
		most = reader->size;
		break;
	case S_IFLNK:
		least = 1;
		most = TREE_SYMLINK_MAX;
		break;
	case S_IFREG:
		least = raw->layout == LAYOUT_CHUNKS ? 1 : 0;
		most = raw->layout == LAYOUT_CHUNKS ? CHUNK_SIZE_MAX : TREE_CONTENT_MAX;
		break;
	}
	if (raw->size < least || raw->size > most)
		return reader_bad(reader, raw->offset,
				  "a size of %" PRIu64 " for an inode of mode %o",
				  raw->size, raw->mode);
	return 0;
}

/* How much of it is in blocks and how much behind the inode. */
static int locate_flat(const struct image_reader *reader, struct raw_inode *raw)
{
	uint64_t n_blocks = raw->size / IMAGE_BLOCK;
	uint64_t tail = raw->size % IMAGE_BLOCK;

	if (raw->layout == LAYOUT_INLINE) {
		if (tail == 0)
			return reader_bad(reader, raw->offset,
					  "the inode says that it has a tail of no size");
		if (raw->tail_at / IMAGE_BLOCK != (raw->tail_at + tail - 1) / IMAGE_BLOCK)
			return reader_bad(reader, raw->offset,
					  "the inode's tail crosses a block");
		raw->tail_size = (uint32_t)tail;
	} else if (tail > 0) {
		n_blocks++;
	}
	raw->n_blocks = (uint32_t)n_blocks;
	if (S_ISCHR(raw->mode) || S_ISBLK(raw->mode))
		return 0;
	raw->blocks_at = raw->union_field * IMAGE_BLOCK;
	if (n_blocks == 0 && raw->union_field != 0)
		return reader_bad(reader, raw->offset,
				  "the inode names a block that it does not need");
	return 0;
}

static int locate_chunks(const struct image_reader *reader, struct raw_inode *raw)
{
	uint32_t n_chunks = image_chunks(raw->size);

	if (raw->union_field != image_chunk_bits(raw->size) - IMAGE_BLOCK_BITS)
		return reader_bad(reader, raw->offset,
				  "chunk format 0x%" PRIx32 " for a file of %" PRIu64
				  " bytes",
				  raw->union_field, raw->size);
	/* The map of the very largest files stands in a block that no field names. */
	if (raw->tail_at % IMAGE_BLOCK + 4 * (uint64_t)n_chunks <= IMAGE_BLOCK)
		raw->tail_size = 4 * n_chunks;
	else if (4 * (uint64_t)n_chunks <= IMAGE_BLOCK - IMAGE_SLOT + 4)
		return reader_bad(reader, raw->offset,
				  "the inode's chunk map crosses a block");
	return 0;
}

int image_locate(const struct image_reader *reader, struct raw_inode *raw)
{
	int r = check_size(reader, raw);

	if (r < 0)
		return r;
	return raw->layout == LAYOUT_CHUNKS ? locate_chunks(reader, raw)
					    : locate_flat(reader, raw);
}

static int claim_all(struct image_reader *reader, const struct raw_inode *raw)
{
	uint64_t head = raw->tail_at - raw->offset + raw->tail_size;
	int r;

	r = reader_claim(reader, raw->offset, head, "the inode");
	if (r < 0 || raw->n_blocks == 0)
		return r;
	return reader_claim(reader, raw->blocks_at, raw->n_blocks * IMAGE_BLOCK,
			    "a data block");
}

static int check_holes(const struct image_reader *reader, const struct raw_inode *raw)
{
	for (uint32_t i = 0; i < raw->tail_size; i += 4)
		if (get_le32(reader->data + raw->tail_at + i) != CHUNK_HOLE)
			return reader_bad(reader, raw->tail_at + i,
					  "a chunk that is not a hole");
	return 0;
}

/* Blocks first, then the tail, as one string in the tree. */
static const char *copy_data(struct image_reader *reader, const struct raw_inode *raw)
{
	size_t in_blocks = (size_t)(raw->size - raw->tail_size);
	not_zeroed char text[TREE_CONTENT_MAX];

	if (in_blocks == 0)
		return arena_memdup(reader->tree->arena, reader->data + raw->tail_at,
				    raw->tail_size);
	memcpy(text, reader->data + raw->blocks_at, in_blocks);
	memcpy(text + in_blocks, reader->data + raw->tail_at, raw->tail_size);
	return arena_memdup(reader->tree->arena, text, (size_t)raw->size);
}

static int read_content(struct image_reader *reader, const struct raw_inode *raw,
			struct tree_node *node)
{
	const char *text;

	if (raw->layout == LAYOUT_CHUNKS)
		return check_holes(reader, raw);
	if (S_ISDIR(raw->mode) || raw->size == 0)
		return 0;
	text = copy_data(reader, raw);
	if (!text)
		return err_oom(reader->err);
	if (S_ISREG(raw->mode)) {
		node->content = text;
		return 0;
	}
	if (memchr(text, '\0', (size_t)raw->size))
		return reader_bad(reader, raw->offset, "the symlink's text holds a NUL");
	node->target = text;
	return 0;
}

int image_read_inode(struct image_reader *reader, struct raw_inode *raw,
		     struct tree_node *node)
{
	int r = image_locate(reader, raw);

	if (r == 0)
		r = claim_all(reader, raw);
	if (r < 0)
		return r;
	node->mode = raw->mode;
	node->size = S_ISREG(raw->mode) ? raw->size : 0;
	node->mtime_sec = raw->mtime_sec;
	node->mtime_nsec = raw->mtime_nsec;
	node->uid = raw->uid;
	node->gid = raw->gid;
	node->nlink = raw->nlink;
	if (S_ISCHR(raw->mode) || S_ISBLK(raw->mode))
		node->rdev = raw->union_field;
	r = read_content(reader, raw, node);
	if (r == 0 && raw->xattrs_size > 0)
		r = image_read_xattrs(reader, raw, node);
	return r < 0 ? r : reader_check_memory(reader, raw->offset);
}
