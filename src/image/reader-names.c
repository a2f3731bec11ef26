/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The names of an image: directories breadth first, each met once, entries in strict
 * order over all blocks.
 *
 * Inodes are numbered in the breadth-first order of their own names.  Of the names of a
 * hard link that one is its own where the number is the next in that order; so writing
 * the tree again gives the same bytes.  Where no name fits, the first one is taken.
 */
#include <inttypes.h>

#include "image/reader.h"

/* struct listing - the directory that is being read */
struct listing {
	uint32_t inode;
	uint64_t nid;
	uint64_t parent_nid;
	const uint8_t *last_name;
	size_t last_size;
	bool has_self;
	bool has_parent;
};

struct dirent {
	uint64_t offset;
	uint64_t nid;
	const uint8_t *name;
	size_t name_size;
	uint8_t type;
};

static int meet(struct image_reader *reader, uint64_t offset, const struct raw_inode *raw,
		uint32_t parent, uint32_t *ret_inode)
{
	struct read_inode *inodes =
		reader_room(reader, reader->inodes, reader->n_inodes,
			    &reader->room_inodes, sizeof(*reader->inodes));

	if (!inodes)
		return -ENOMEM;
	reader->inodes = inodes;
	reader->inodes[reader->n_inodes++] = (struct read_inode){
		.offset = offset,
		.parent = parent,
		.number = raw->number,
		.mode = (uint16_t)raw->mode,
		.is_hidden = S_ISCHR(raw->mode) && raw->union_field == 0,
	};
	reader->by_slot[offset / IMAGE_SLOT] = (uint32_t)reader->n_inodes;
	*ret_inode = (uint32_t)reader->n_inodes - 1;
	return 0;
}

static int add_node(struct image_reader *reader, const struct listing *listing,
		    const struct dirent *dirent, uint32_t mode,
		    struct tree_node **ret_node)
{
	return tree_append(reader->tree, reader->inodes[listing->inode].node,
			   (const char *)dirent->name, dirent->name_size, mode, ret_node,
			   reader->err);
}

/* The inode's own name. */
static int add_inode(struct image_reader *reader, const struct listing *listing,
		     const struct dirent *dirent, uint32_t inode, struct raw_inode *raw)
{
	struct tree_node *node;
	int r = add_node(reader, listing, dirent, raw->mode, &node);

	if (r < 0)
		return r;
	reader->inodes[inode].node = node;
	reader->next_number++;
	return image_read_inode(reader, raw, node);
}

/* Another name; resolve_links() points it at the inode. */
static int add_link(struct image_reader *reader, const struct listing *listing,
		    const struct dirent *dirent, uint32_t inode)
{
	struct read_link *links =
		reader_room(reader, reader->links, reader->n_links, &reader->room_links,
			    sizeof(*reader->links));
	struct tree_node *node;
	int r;

	if (!links)
		return -ENOMEM;
	reader->links = links;
	r = add_node(reader, listing, dirent, S_IFREG, &node);
	if (r < 0)
		return r;
	reader->links[reader->n_links++] =
		(struct read_link){.node = node, .inode = inode};
	if (!reader->inodes[inode].first_name)
		reader->inodes[inode].first_name = node;
	return reader_check_memory(reader, dirent->offset);
}

/* A whiteout of the image's own is read, so that it is known to be sound, and dropped. */
static int read_hidden(struct image_reader *reader, struct raw_inode *raw)
{
	struct tree_node dropped = {};

	reader->next_number++;
	return image_read_inode(reader, raw, &dropped);
}

static int visit_new(struct image_reader *reader, const struct listing *listing,
		     const struct dirent *dirent, struct raw_inode *raw)
{
	uint32_t inode;
	int r = meet(reader, raw->offset, raw, listing->inode, &inode);

	if (r < 0)
		return r;
	reader->inodes[inode].depth =
		(uint16_t)(reader->inodes[listing->inode].depth + 1);
	if (reader->inodes[inode].is_hidden)
		return read_hidden(reader, raw);
	if (S_ISDIR(raw->mode) || raw->number == reader->next_number)
		return add_inode(reader, listing, dirent, inode, raw);
	return add_link(reader, listing, dirent, inode);
}

static int visit_again(struct image_reader *reader, const struct listing *listing,
		       const struct dirent *dirent, struct raw_inode *raw)
{
	uint32_t inode = reader->by_slot[dirent->nid] - 1;
	const struct read_inode *known = &reader->inodes[inode];

	if (S_ISDIR(known->mode))
		return reader_bad(reader, dirent->offset,
				  "a directory has a second name: the image loops");
	if (known->is_hidden)
		return 0;
	if (!known->node && known->number == reader->next_number)
		return add_inode(reader, listing, dirent, inode, raw);
	return add_link(reader, listing, dirent, inode);
}

static int visit_dots(struct image_reader *reader, struct listing *listing,
		      const struct dirent *dirent)
{
	bool is_self = dirent->name_size == 1;
	uint64_t nid = is_self ? listing->nid : listing->parent_nid;

	if (dirent->nid != nid || dirent->type != image_type(S_IFDIR))
		return reader_bad(reader, dirent->offset, "'%s' leads elsewhere",
				  is_self ? "." : "..");
	if (is_self)
		listing->has_self = true;
	else
		listing->has_parent = true;
	return 0;
}

static int check_name(struct image_reader *reader, struct listing *listing,
		      const struct dirent *dirent)
{
	size_t common = dirent->name_size < listing->last_size ? dirent->name_size
							       : listing->last_size;
	int order = -1;

	if (dirent->name_size == 0 || dirent->name_size > TREE_NAME_MAX ||
	    memchr(dirent->name, '/', dirent->name_size) ||
	    memchr(dirent->name, '\0', dirent->name_size))
		return reader_bad(reader, dirent->offset,
				  "a name is not 1 to 255 bytes without '/' and NUL");
	if (listing->last_name)
		order = memcmp(listing->last_name, dirent->name, common);
	if (order > 0 || (order == 0 && listing->last_size >= dirent->name_size))
		return reader_bad(reader, dirent->offset, "names are not in order");
	listing->last_name = dirent->name;
	listing->last_size = dirent->name_size;
	return 0;
}

static int visit(struct image_reader *reader, struct listing *listing,
		 const struct dirent *dirent)
{
	not_zeroed struct raw_inode raw;
	int r = check_name(reader, listing, dirent);

	if (r < 0)
		return r;
	if (dirent->name[0] == '.' &&
	    (dirent->name_size == 1 ||
	     (dirent->name_size == 2 && dirent->name[1] == '.')))
		return visit_dots(reader, listing, dirent);
	if (reader->inodes[listing->inode].depth >= TREE_DEPTH_MAX)
		return reader_bad(reader, dirent->offset,
				  "the tree is more than %d levels deep", TREE_DEPTH_MAX);
	if (dirent->nid >= reader->size / IMAGE_SLOT)
		return reader_bad(reader, dirent->offset,
				  "the entry's inode is beyond the end of the image");
	r = image_read_head(reader, dirent->nid * IMAGE_SLOT, &raw);
	if (r < 0)
		return r;
	if (image_type(raw.mode) != dirent->type)
		return reader_bad(reader, dirent->offset,
				  "type %u does not fit the inode's mode %o",
				  dirent->type, raw.mode);
	if (reader->by_slot[dirent->nid])
		return visit_again(reader, listing, dirent, &raw);
	return visit_new(reader, listing, dirent, &raw);
}

/* What stands behind the last name of a block is a NUL and nothing. */
static int last_name_size(const struct image_reader *reader, uint64_t offset, size_t size,
			  size_t *ret_size)
{
	const char *name = (const char *)reader->data + offset;
	size_t used = strnlen(name, size);

	for (size_t i = used; i < size; i++)
		if (name[i])
			return reader_bad(reader, offset + i,
					  "bytes behind the last name of a directory");
	*ret_size = used;
	return 0;
}

/* One block or the tail. */
static int read_part(struct image_reader *reader, struct listing *listing,
		     uint64_t offset, size_t size)
{
	const uint8_t *at = reader->data + offset;
	size_t n, name_at;

	if (size < DIRENT_SIZE)
		return reader_bad(reader, offset, "a directory too short for one entry");
	name_at = get_le16(at + DIRENT_NAME);
	n = name_at / DIRENT_SIZE;
	if (n == 0 || name_at % DIRENT_SIZE != 0 || name_at > size)
		return reader_bad(reader, offset + DIRENT_NAME,
				  "the first name's offset %zu is not behind the entries",
				  name_at);
	for (size_t i = 0; i < n; i++) {
		const uint8_t *head = at + i * DIRENT_SIZE;
		size_t end =
			i + 1 < n ? get_le16(head + DIRENT_SIZE + DIRENT_NAME) : size;
		struct dirent dirent = {
			.offset = offset + i * DIRENT_SIZE,
			.nid = get_le64(head + DIRENT_NID),
			.name = at + name_at,
			.name_size = end - name_at,
			.type = head[DIRENT_TYPE],
		};
		int r = 0;

		if (end > size || end < name_at)
			return reader_bad(reader, dirent.offset,
					  "the next name's offset %zu is not behind "
					  "this one's or beyond the block",
					  end);
		if (head[DIRENT_RESERVED])
			return reader_bad(reader, dirent.offset,
					  "the entry's reserved byte is used");
		if (i + 1 == n)
			r = last_name_size(reader, offset + name_at, end - name_at,
					   &dirent.name_size);
		if (r == 0)
			r = visit(reader, listing, &dirent);
		if (r < 0)
			return r;
		name_at = end;
	}
	return 0;
}

static int read_directory(struct image_reader *reader, uint32_t inode,
			  const struct raw_inode *raw)
{
	const struct read_inode *parent = &reader->inodes[reader->inodes[inode].parent];
	struct listing listing = {
		.inode = inode,
		.nid = raw->offset / IMAGE_SLOT,
		.parent_nid = parent->offset / IMAGE_SLOT,
	};
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < raw->n_blocks; i++)
		r = read_part(reader, &listing, raw->blocks_at + i * IMAGE_BLOCK,
			      IMAGE_BLOCK);
	if (r == 0 && raw->tail_size)
		r = read_part(reader, &listing, raw->tail_at, raw->tail_size);
	if (r == 0 && !(listing.has_self && listing.has_parent))
		r = reader_bad(reader, raw->offset, "the directory lacks '.' or '..'");
	return r;
}

static int resolve_links(struct image_reader *reader)
{
	for (size_t i = 0; i < reader->n_inodes; i++) {
		struct read_inode *inode = &reader->inodes[i];
		not_zeroed struct raw_inode raw;
		int r;

		if (inode->is_hidden || inode->node)
			continue;
		inode->node = inode->first_name;
		r = image_read_head(reader, inode->offset, &raw);
		if (r == 0)
			r = image_read_inode(reader, &raw, inode->node);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < reader->n_links; i++) {
		struct tree_node *node = reader->links[i].node;
		struct tree_node *target = reader->inodes[reader->links[i].inode].node;

		if (node == target)
			continue;
		node->mode = 0;
		node->nlink = 0;
		node->link = target;
	}
	return 0;
}

static int read_root(struct image_reader *reader)
{
	not_zeroed struct raw_inode raw;
	uint32_t inode;
	int r = image_read_head(reader, reader->root_at, &raw);

	if (r < 0)
		return r;
	if (!S_ISDIR(raw.mode))
		return reader_bad(reader, reader->root_at, "the root is not a directory");
	r = meet(reader, raw.offset, &raw, 0, &inode);
	if (r < 0)
		return r;
	reader->inodes[inode].node = reader->tree->root;
	reader->next_number = 1;
	return image_read_inode(reader, &raw, reader->tree->root);
}

int image_read_names(struct image_reader *reader)
{
	int r = read_root(reader);

	/* Directories are met in the order in which they are to be read. */
	for (size_t i = 0; r == 0 && i < reader->n_inodes; i++) {
		not_zeroed struct raw_inode raw;

		if (!S_ISDIR(reader->inodes[i].mode))
			continue;
		r = image_read_head(reader, reader->inodes[i].offset, &raw);
		if (r == 0)
			r = image_locate(reader, &raw);
		if (r == 0)
			r = read_directory(reader, (uint32_t)i, &raw);
	}
	return r < 0 ? r : resolve_links(reader);
}
