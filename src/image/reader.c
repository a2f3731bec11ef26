/* SPDX-License-Identifier: Apache-2.0 */
/* An image as a tree: header and superblock, then the steps of the other reader files. */
#include "image/reader.h"

#include <inttypes.h>
#include <stdio.h>

#include "image/image.h"

void reader_report(const struct image_reader *reader, uint64_t offset, const char *format,
		   ...)
{
	char reason[256];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(reason, sizeof(reason), format, ap);
	va_end(ap);
	(void)err_set(reader->err, -EBADMSG, "image: offset 0x%" PRIx64 ": %s", offset,
		      reason);
}

int reader_claim(struct image_reader *reader, uint64_t offset, uint64_t size,
		 const char *what)
{
	uint64_t bit = offset / 4, end;

	if (offset > reader->size || size > reader->size - offset)
		return reader_bad(reader, offset, "%s is beyond the end of the image",
				  what);
	end = (offset + size + 3) / 4;
	while (bit < end) {
		uint64_t n = min_u64(64 - bit % 64, end - bit);
		uint64_t mask = (n == 64 ? ~(uint64_t)0 : ((uint64_t)1 << n) - 1)
				<< bit % 64;

		if (reader->claims[bit / 64] & mask)
			return reader_bad(reader, offset, "%s overlaps something else",
					  what);
		reader->claims[bit / 64] |= mask;
		bit += n;
	}
	return 0;
}

static int refuse_memory(const struct image_reader *reader, uint64_t offset)
{
	return err_set(reader->err, -EFBIG,
		       "image: offset 0x%" PRIx64
		       ": the tree needs more than %d times the size of the image",
		       offset, READER_MEMORY_FACTOR);
}

int reader_check_memory(const struct image_reader *reader, uint64_t offset)
{
	uint64_t used = reader->memory + arena_size(reader->tree->arena);

	if (used / READER_MEMORY_FACTOR > reader->size)
		return refuse_memory(reader, offset);
	return 0;
}

void *reader_room(struct image_reader *reader, void *array, size_t n, size_t *room,
		  size_t item_size)
{
	size_t wanted = *room ? *room * 2 : 64;
	void *larger;

	if (n < *room)
		return array;
	reader->memory += (wanted - *room) * item_size;
	larger = realloc(array, wanted * item_size);
	if (!larger) {
		(void)err_oom(reader->err);
		return NULL;
	}
	*room = wanted;
	return larger;
}

static bool is_zero(const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (bytes[i])
			return false;
	return true;
}

static int read_header(struct image_reader *reader)
{
	const uint8_t *header = reader->data;
	uint32_t flags;

	if (reader->size < IMAGE_BLOCK || reader->size % IMAGE_BLOCK != 0)
		return reader_bad(reader, reader->size,
				  "the image ends within a block: it is cut off");
	if (reader->size / IMAGE_SLOT >= UINT32_MAX)
		return err_set(reader->err, -EFBIG, "image: it is over 128 GiB");
	if (get_le32(header + HEADER_MAGIC) != HEADER_MAGIC_VALUE)
		return reader_bad(reader, HEADER_MAGIC, "not a composefs image");
	if (get_le32(header + HEADER_VERSION) != 1)
		return reader_bad(reader, HEADER_VERSION,
				  "header version %" PRIu32 " is unknown",
				  get_le32(header + HEADER_VERSION));
	flags = get_le32(header + HEADER_FLAGS);
	if (flags & ~(uint32_t)HEADER_FLAG_ACL)
		return reader_bad(reader, HEADER_FLAGS, "flags 0x%" PRIx32 " are unknown",
				  flags);
	reader->may_have_acl = flags & HEADER_FLAG_ACL;
	reader->version = get_le32(header + HEADER_FORMAT);
	if (reader->version > IMAGE_VERSION_MAX)
		return reader_bad(reader, HEADER_FORMAT,
				  "format version %u is unknown: 0 and 1 can be read",
				  reader->version);
	if (!is_zero(header + HEADER_RESERVED, HEADER_SIZE - HEADER_RESERVED))
		return reader_bad(reader, HEADER_RESERVED, "reserved bytes are used");
	return 0;
}

static int check_features(const struct image_reader *reader, const uint8_t *super)
{
	uint32_t incompat = get_le32(super + SUPER_INCOMPAT);

	if (get_le32(super + SUPER_MAGIC) != SUPER_MAGIC_VALUE)
		return reader_bad(reader, SUPER + SUPER_MAGIC, "no EROFS superblock");
	if (get_le32(super + SUPER_CHECKSUM) != 0)
		return reader_bad(reader, SUPER + SUPER_CHECKSUM,
				  "a checksum where composefs has none");
	if (get_le32(super + SUPER_COMPAT) != COMPAT_MTIME_AND_FILTER)
		return reader_bad(reader, SUPER + SUPER_COMPAT,
				  "compatible features 0x%" PRIx32 " are not composefs's",
				  get_le32(super + SUPER_COMPAT));
	if (incompat != 0 && incompat != INCOMPAT_CHUNKED)
		return reader_bad(reader, SUPER + SUPER_INCOMPAT,
				  "features 0x%" PRIx32 " are unknown", incompat);
	if (super[SUPER_BLOCK_BITS] != IMAGE_BLOCK_BITS)
		return reader_bad(reader, SUPER + SUPER_BLOCK_BITS,
				  "blocks are not 4096 bytes");
	if (super[SUPER_EXTENSIONS] != 0 || get_le32(super + SUPER_META) != 0)
		return reader_bad(reader, SUPER + SUPER_EXTENSIONS,
				  "a layout that composefs does not use");
	if (!is_zero(super + SUPER_NAMES, SUPER_INCOMPAT - SUPER_NAMES))
		return reader_bad(reader, SUPER + SUPER_NAMES,
				  "a name where composefs has none");
	if (!is_zero(super + SUPER_RESERVED, SUPER_SIZE - SUPER_RESERVED))
		return reader_bad(reader, SUPER + SUPER_RESERVED,
				  "reserved bytes are used");
	return 0;
}

static int read_super(struct image_reader *reader)
{
	const uint8_t *super = reader->data + SUPER;
	uint64_t blocks = get_le32(super + SUPER_BLOCKS);
	int r = check_features(reader, super);

	if (r < 0)
		return r;
	if (blocks != reader->size / IMAGE_BLOCK)
		return reader_bad(reader, SUPER + SUPER_BLOCKS,
				  "%" PRIu64 " blocks in an image of %" PRIu64
				  ": it is cut off or has grown",
				  blocks, reader->size / IMAGE_BLOCK);
	reader->root_at = get_le16(super + SUPER_ROOT) * IMAGE_SLOT;
	reader->n_inodes_said = get_le64(super + SUPER_INODES);
	reader->time_sec = (int64_t)get_le64(super + SUPER_TIME_SEC);
	reader->time_nsec = get_le32(super + SUPER_TIME_NSEC);
	reader->shared_at = get_le32(super + SUPER_XATTRS) * IMAGE_BLOCK;
	if (reader->shared_at > reader->size)
		return reader_bad(reader, SUPER + SUPER_XATTRS,
				  "the shared xattrs are beyond the end of the image");
	return 0;
}

/* The tables are as long as the image can need; pages that are never used cost nothing.
 */
static int start(struct image_reader *reader)
{
	size_t n_claims = (size_t)(reader->size / 4 / 64 + 1);
	size_t n_slots = (size_t)(reader->size / IMAGE_SLOT);
	size_t n_ids = (size_t)((reader->size - reader->shared_at) / 4 + 1);

	reader->claims = calloc(n_claims, sizeof(*reader->claims));
	reader->by_slot = calloc(n_slots, sizeof(*reader->by_slot));
	reader->shared_by_id = calloc(n_ids, sizeof(*reader->shared_by_id));
	/* To move them again and again would cost more than they do. */
	reader->room_inodes = (size_t)min_u64(reader->n_inodes_said, n_slots) + 1;
	reader->inodes = malloc(reader->room_inodes * sizeof(*reader->inodes));
	if (!reader->claims || !reader->by_slot || !reader->shared_by_id ||
	    !reader->inodes)
		return err_oom(reader->err);
	reader->memory = n_claims * sizeof(*reader->claims) +
			 n_slots * sizeof(*reader->by_slot) +
			 reader->room_inodes * sizeof(*reader->inodes) +
			 n_ids * sizeof(*reader->shared_by_id);
	reader->metacopy_bit =
		image_filter_bit(IMAGE_TRUSTED, IMAGE_TRUSTED_NAME(OVERLAY_METACOPY),
				 strlen(IMAGE_TRUSTED_NAME(OVERLAY_METACOPY)));
	reader->redirect_bit =
		image_filter_bit(IMAGE_TRUSTED, IMAGE_TRUSTED_NAME(OVERLAY_REDIRECT),
				 strlen(IMAGE_TRUSTED_NAME(OVERLAY_REDIRECT)));
	return reader_claim(reader, 0, FIRST_INODE, "the header");
}

/* What the limits of the writer would refuse is no image of a tree. */
static int check_limits(const struct image_reader *reader)
{
	for (size_t i = 0; i < reader->n_inodes; i++) {
		const struct read_inode *inode = &reader->inodes[i];
		uint64_t sum = XATTR_SUM_BASE;

		if (inode->is_hidden)
			continue;
		for (uint32_t k = 0; k < inode->node->n_xattrs; k++)
			sum += XATTR_SUM_EACH + strlen(inode->node->xattrs[k].key) +
			       inode->node->xattrs[k].size;
		if (sum > XATTR_SUM_MAX)
			return reader_bad(reader, inode->offset,
					  "the inode's xattrs are over 32767 bytes");
	}
	return 0;
}

static int check_totals(const struct image_reader *reader)
{
	if (reader->n_inodes != reader->n_inodes_said)
		return reader_bad(reader, SUPER + SUPER_INODES,
				  "%" PRIu64 " inodes are said to be there, %zu are",
				  reader->n_inodes_said, reader->n_inodes);
	if (reader->has_acl != reader->may_have_acl)
		return reader_bad(reader, HEADER_FLAGS,
				  reader->has_acl ? "there are ACLs, but not the flag"
						  : "there are no ACLs, but the flag");
	return reader->may_exceed ? check_limits(reader) : 0;
}

static int read_tree(struct image_reader *reader)
{
	int r = read_header(reader);

	if (r == 0)
		r = read_super(reader);
	if (r == 0)
		r = start(reader);
	if (r == 0)
		r = image_read_names(reader);
	if (r == 0)
		r = image_undo_whiteouts(reader);
	if (r == 0)
		r = check_totals(reader);
	if (r == 0)
		r = tree_number(reader->tree, reader->err); /* names were in order */
	return r;
}

int image_read(const uint8_t *data, size_t size, struct tree **ret_tree,
	       unsigned int *ret_version, struct cop_error *err)
{
	auto_ptr(tree) tree = tree_new(err);
	struct image_reader reader = {
		.data = data,
		.size = size,
		.err = err,
		.tree = tree,
	};
	int r;

	if (!tree)
		return -ENOMEM;
	r = read_tree(&reader);
	free(reader.claims);
	free(reader.by_slot);
	free(reader.shared_by_id);
	free(reader.inodes);
	free(reader.links);
	free(reader.shared);
	free(reader.scratch);
	if (r < 0)
		return r;
	if (ret_version)
		*ret_version = reader.version;
	*ret_tree = TAKE_PTR(tree);
	return 0;
}
