/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The xattrs of an inode, and the overlay rewriting undone as far as one inode goes:
 * escapes are taken off, metacopy and redirect become digest and payload.
 *
 * An entry of the shared table is decoded once, however often it is referred to.
 */
#include <inttypes.h>

#include "image/reader.h"

#define KEY_MAX	     (XATTR_KEY_MAX + 32) /* with any prefix before a stored name */
#define USER_KEY_MAX XATTR_KEY_MAX

/* struct entry - as it stands in the image */
struct entry {
	uint64_t offset;
	uint64_t size; /* padded */
	const uint8_t *name;
	const uint8_t *value;
	uint32_t value_size;
	uint8_t name_size;
	uint8_t index;
};

/* @end: where the area that the entry is in ends */
static int find_entry(const struct image_reader *reader, uint64_t offset, uint64_t end,
		      struct entry *ret_entry)
{
	const uint8_t *at = reader->data + offset;
	struct entry entry = {.offset = offset};

	if (offset > end || end - offset < ENTRY_HEAD)
		return reader_bad(reader, offset, "an xattr is beyond its area");
	entry.name = at + ENTRY_HEAD;
	entry.name_size = at[ENTRY_NAME_SIZE];
	entry.index = at[ENTRY_INDEX];
	entry.value_size = get_le16(at + ENTRY_VALUE_SIZE);
	entry.value = entry.name + entry.name_size;
	entry.size = image_entry_size(entry.name_size, entry.value_size);
	if (entry.size > end - offset)
		return reader_bad(reader, offset, "an xattr is beyond its area");
	*ret_entry = entry;
	return 0;
}

/* The key as the image means it, escapes and all; @key has room for KEY_MAX + 1. */
static int full_key(const struct image_reader *reader, const struct entry *entry,
		    char *key)
{
	const char *prefix = image_key_prefix(entry->index);
	size_t prefix_size, unused;

	if (!prefix)
		return reader_bad(reader, entry->offset,
				  "xattr namespace %u is not composefs's", entry->index);
	prefix_size = strlen(prefix);
	memcpy(key, prefix, prefix_size);
	memcpy(key + prefix_size, entry->name, entry->name_size);
	key[prefix_size + entry->name_size] = '\0';
	if (*key == '\0' || strlen(key) != prefix_size + entry->name_size)
		return reader_bad(reader, entry->offset,
				  "an xattr's name is empty or holds a NUL");
	if (image_key_index(key, &unused) != entry->index)
		return reader_bad(reader, entry->offset,
				  "an xattr is stored in the wrong namespace");
	return 0;
}

static int decode_metacopy(const struct image_reader *reader, const struct entry *entry,
			   struct read_xattr *xattr)
{
	xattr->kind = XATTR_METACOPY;
	if (entry->value_size == 0)
		return 0;
	if (entry->value_size != METACOPY_SIZE ||
	    memcmp(entry->value, METACOPY_HEAD, METACOPY_HEAD_SIZE) != 0)
		return reader_bad(reader, entry->offset,
				  "metacopy does not hold an fs-verity SHA-256 digest");
	xattr->text.size = COP_DIGEST_SIZE;
	xattr->text.value = arena_memdup(
		reader->tree->arena, entry->value + METACOPY_HEAD_SIZE, COP_DIGEST_SIZE);
	return xattr->text.value ? 0 : err_oom(reader->err);
}

static int decode_redirect(const struct image_reader *reader, const struct entry *entry,
			   struct read_xattr *xattr)
{
	xattr->kind = XATTR_REDIRECT;
	if (entry->value_size < 2 || entry->value[0] != '/' ||
	    memchr(entry->value, '\0', entry->value_size))
		return reader_bad(reader, entry->offset,
				  "redirect is not a path from the root of the pool");
	xattr->text.size = entry->value_size - 1;
	xattr->text.value = (const char *)entry->value + 1;
	return 0;
}

/* Nearly always it says no more than the digest. */
static int take_redirect(const struct image_reader *reader,
			 const struct read_xattr *xattr, struct tree_node *node)
{
	const struct tree_xattr *text = &xattr->text;

	if (node->digest && tree_payload_is(text->value, text->size, node->digest)) {
		node->payload_follows = true;
		return 0;
	}
	node->payload = arena_memdup(reader->tree->arena, text->value, text->size);
	return node->payload ? 0 : err_oom(reader->err);
}

static int decode_ordinary(struct image_reader *reader, const struct entry *entry,
			   const char *key, struct read_xattr *xattr)
{
	size_t key_size = strlen(key);

	if (key_size > USER_KEY_MAX)
		return reader_bad(reader, entry->offset,
				  "an xattr's key has %zu bytes of 255", key_size);
	if (entry->index == 2 || entry->index == 3)
		reader->has_acl = true;
	if (strcmp(key, USER_WHITEOUT) == 0)
		reader->has_marks = true;
	xattr->kind = XATTR_ORDINARY;
	xattr->text.size = entry->value_size;
	xattr->text.key = arena_memdup(reader->tree->arena, key, key_size);
	xattr->text.value =
		arena_memdup(reader->tree->arena, entry->value, entry->value_size);
	if (!xattr->text.key || !xattr->text.value)
		return err_oom(reader->err);
	return 0;
}

static bool has_name(const struct entry *entry, const char *name)
{
	return entry->index == IMAGE_TRUSTED && entry->name_size == strlen(name) &&
	       memcmp(entry->name, name, entry->name_size) == 0;
}

static int decode_other(struct image_reader *reader, const struct entry *entry,
			struct read_xattr *ret_xattr)
{
	struct read_xattr xattr = {};
	char key[KEY_MAX + 1];
	char *overlay = key + OVERLAY_PREFIX_SIZE;
	int r = full_key(reader, entry, key);

	if (r < 0)
		return r;
	if (strncmp(key, OVERLAY_PREFIX, OVERLAY_PREFIX_SIZE) != 0) {
		r = decode_ordinary(reader, entry, key, &xattr);
	} else if (strncmp(overlay, OVERLAY_ESCAPE, OVERLAY_ESCAPE_SIZE) == 0) {
		const char *kept = overlay + OVERLAY_ESCAPE_SIZE;

		memmove(overlay, kept, strlen(kept) + 1);
		r = decode_ordinary(reader, entry, key, &xattr);
	} else if (strcmp(key, OVERLAY_OPAQUE) == 0 && entry->value_size == 1 &&
		   *entry->value == 'y') {
		xattr.kind = XATTR_ROOT_OPAQUE;
	} else {
		/* It would change what a mount shows in a way that no tree can say. */
		r = reader_bad(reader, entry->offset,
			       "an overlay xattr that composefs does not use");
	}
	if (r < 0)
		return r;
	xattr.filter_bit = image_filter_bit(entry->index, entry->name, entry->name_size);
	*ret_xattr = xattr;
	return 0;
}

/* Nearly all are one of two, whose keys need no second look. */
static int decode(struct image_reader *reader, const struct entry *entry,
		  struct read_xattr *ret_xattr)
{
	struct read_xattr xattr = {};
	int r;

	if (has_name(entry, IMAGE_TRUSTED_NAME(OVERLAY_METACOPY))) {
		xattr.filter_bit = reader->metacopy_bit;
		r = decode_metacopy(reader, entry, &xattr);
	} else if (has_name(entry, IMAGE_TRUSTED_NAME(OVERLAY_REDIRECT))) {
		xattr.filter_bit = reader->redirect_bit;
		r = decode_redirect(reader, entry, &xattr);
	} else {
		r = decode_other(reader, entry, &xattr);
	}
	if (r == 0)
		*ret_xattr = xattr;
	return r;
}

static int shared_xattr(struct image_reader *reader, uint64_t reference_at,
			const struct read_xattr **ret_xattr)
{
	uint32_t id = get_le32(reader->data + reference_at);
	struct read_xattr *shared, xattr = {};
	struct entry entry;
	int r;

	if (id >= (reader->size - reader->shared_at) / 4)
		return reader_bad(
			reader, reference_at,
			"shared xattr %" PRIu32 " is beyond the end of the image", id);
	if (reader->shared_by_id[id]) {
		*ret_xattr = &reader->shared[reader->shared_by_id[id] - 1];
		return 0;
	}
	r = find_entry(reader, reader->shared_at + id * (uint64_t)4, reader->size,
		       &entry);
	if (r == 0)
		r = reader_claim(reader, entry.offset, entry.size, "a shared xattr");
	if (r == 0)
		r = decode(reader, &entry, &xattr);
	if (r < 0)
		return r;
	shared = reader_room(reader, reader->shared, reader->n_shared,
			     &reader->room_shared, sizeof(*reader->shared));
	if (!shared)
		return -ENOMEM;
	reader->shared = shared;
	reader->shared[reader->n_shared++] = xattr;
	reader->shared_by_id[id] = (uint32_t)reader->n_shared;
	*ret_xattr = &reader->shared[reader->n_shared - 1];
	return 0;
}

/* Give what one entry says to the node; ordinary xattrs are collected first. */
static int apply(struct image_reader *reader, const struct raw_inode *raw,
		 uint64_t offset, const struct read_xattr *xattr, struct tree_node *node,
		 unsigned int *seen)
{
	if (xattr->kind == XATTR_ORDINARY) {
		struct tree_xattr *scratch =
			reader_room(reader, reader->scratch, reader->n_scratch,
				    &reader->room_scratch, sizeof(*reader->scratch));

		if (!scratch)
			return -ENOMEM;
		reader->scratch = scratch;
		reader->scratch[reader->n_scratch++] = xattr->text;
		return 0;
	}
	if (*seen & 1u << xattr->kind)
		return reader_bad(reader, offset, "the inode has an xattr twice");
	*seen |= 1u << xattr->kind;
	if (xattr->kind == XATTR_ROOT_OPAQUE) {
		if (raw->offset != reader->root_at)
			return reader_bad(reader, offset,
					  "only the root of an image is opaque");
		return 0;
	}
	if (raw->layout != LAYOUT_CHUNKS)
		return reader_bad(reader, offset,
				  "metacopy or redirect where the content is not in the "
				  "pool");
	if (xattr->kind == XATTR_REDIRECT)
		return take_redirect(reader, xattr, node);
	node->digest = (const struct cop_digest *)xattr->text.value;
	return 0;
}

static int compare_xattrs(const void *a, const void *b)
{
	return strcmp(((const struct tree_xattr *)a)->key,
		      ((const struct tree_xattr *)b)->key);
}

/* Marks of whiteouts, which do not count, are still among them. */
static void see_limit(struct image_reader *reader)
{
	uint64_t sum = XATTR_SUM_BASE;

	for (size_t i = 0; i < reader->n_scratch; i++)
		sum += XATTR_SUM_EACH + strlen(reader->scratch[i].key) +
		       reader->scratch[i].size;
	if (sum > XATTR_SUM_MAX)
		reader->may_exceed = true;
}

/* The room of a list in a tree is the next power of two of its length. */
static int keep_collected(struct image_reader *reader, const struct raw_inode *raw,
			  struct tree_node *node)
{
	size_t n = reader->n_scratch, room = 1;
	bool sorted = true;

	if (n == 0)
		return 0;
	for (size_t i = 1; i < n; i++)
		sorted = sorted &&
			 compare_xattrs(&reader->scratch[i - 1], &reader->scratch[i]) < 0;
	if (!sorted)
		qsort(reader->scratch, n, sizeof(*reader->scratch), compare_xattrs);
	for (size_t i = 1; !sorted && i < n; i++)
		if (compare_xattrs(&reader->scratch[i - 1], &reader->scratch[i]) == 0)
			return reader_bad(reader, raw->offset,
					  "the inode has an xattr twice");
	while (room < n)
		room *= 2;
	node->xattrs = arena_alloc(reader->tree->arena, room * sizeof(*node->xattrs));
	if (!node->xattrs)
		return err_oom(reader->err);
	memcpy(node->xattrs, reader->scratch, n * sizeof(*node->xattrs));
	node->n_xattrs = (uint16_t)n; /* the area is too small for more */
	see_limit(reader);
	return 0;
}

static int read_inline(struct image_reader *reader, const struct raw_inode *raw,
		       uint64_t at, struct tree_node *node, unsigned int *seen,
		       uint32_t *filter)
{
	while (at < raw->tail_at) {
		struct read_xattr xattr;
		struct entry entry;
		int r = find_entry(reader, at, raw->tail_at, &entry);

		if (r == 0)
			r = decode(reader, &entry, &xattr);
		if (r == 0)
			r = apply(reader, raw, at, &xattr, node, seen);
		if (r < 0)
			return r;
		*filter &= ~xattr.filter_bit;
		at += entry.size;
	}
	return 0;
}

int image_read_xattrs(struct image_reader *reader, const struct raw_inode *raw,
		      struct tree_node *node)
{
	const uint8_t *head = reader->data + raw->xattrs_at;
	uint64_t at = raw->xattrs_at + XATTRS_HEAD;
	unsigned int n_shared = head[XATTRS_N_SHARED], seen = 0;
	uint32_t filter = UINT32_MAX;
	int r;

	for (unsigned int i = XATTRS_N_SHARED + 1; i < XATTRS_HEAD; i++)
		if (head[i])
			return reader_bad(reader, raw->xattrs_at + i,
					  "reserved bytes of an xattr area are used");
	if (at + n_shared * (uint64_t)4 > raw->tail_at)
		return reader_bad(reader, raw->xattrs_at,
				  "more shared xattrs than the inode has room for");
	reader->n_scratch = 0;
	for (unsigned int i = 0; i < n_shared; i++, at += 4) {
		const struct read_xattr *xattr = NULL;

		r = shared_xattr(reader, at, &xattr);
		if (r == 0)
			r = apply(reader, raw, at, xattr, node, &seen);
		if (r < 0)
			return r;
		filter &= ~xattr->filter_bit;
	}
	r = read_inline(reader, raw, at, node, &seen, &filter);
	if (r < 0)
		return r;
	/* A wrong one makes the kernel deny xattrs that are there. */
	if (filter != get_le32(head + XATTRS_FILTER))
		return reader_bad(reader, raw->xattrs_at,
				  "the name filter does not fit the names");
	return keep_collected(reader, raw, node);
}
