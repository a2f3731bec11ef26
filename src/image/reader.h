/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the reader share.
 *
 * Every byte that becomes part of the tree is claimed by the one inode, block or xattr
 * entry that it belongs to; what is claimed twice is refused.  So the work and the memory
 * that an image causes are bounded by its size, whatever it says about itself.
 */
#pragma once

#include "base/error.h"
#include "image/format.h"
#include "tree/tree.h"

/* Memory of all kinds that an image may cost, as a multiple of its size. */
#define READER_MEMORY_FACTOR 64

/* struct raw_inode - the head of an inode, checked as far as it can be by itself */
struct raw_inode {
	uint64_t offset;
	uint64_t size;
	uint64_t xattrs_at;
	uint64_t tail_at;
	int64_t mtime_sec;
	uint32_t mtime_nsec;
	uint32_t mode;
	uint32_t nlink;
	uint32_t uid;
	uint32_t gid;
	uint32_t number;
	uint32_t union_field;
	uint32_t xattrs_size;
	unsigned int layout;
	/* set by image_locate() */
	uint64_t blocks_at;
	uint32_t n_blocks;
	uint32_t tail_size;
};

/*
 * struct read_inode - an inode that was met, in the order of meeting
 * @node:	what carries it in the tree; NULL until its own name is known
 * @first_name:	the first of its names that could not be its own
 * @number:	the position in breadth-first order that it claims to have
 * @is_hidden:	a whiteout of the image's own, not part of the tree
 */
struct read_inode {
	struct tree_node *node;
	struct tree_node *first_name;
	uint64_t offset;
	uint32_t parent;
	uint32_t number;
	uint16_t mode;
	uint16_t depth;
	bool is_hidden;
};

/* A name whose inode stands at another name. */
struct read_link {
	struct tree_node *node;
	uint32_t inode;
};

enum read_xattr_kind {
	XATTR_ORDINARY,
	XATTR_METACOPY,
	XATTR_REDIRECT,
	XATTR_ROOT_OPAQUE,
};

/* struct read_xattr - an entry; @text: key and value, or where @kind says so only a value
 * without what the overlay file system has before it (NULL: nothing is left); that of a
 * redirect is still in the image, without a NUL */
struct read_xattr {
	struct tree_xattr text;
	enum read_xattr_kind kind;
	uint32_t filter_bit;
};

struct image_reader {
	const uint8_t *data;
	uint64_t size;
	struct cop_error *err;
	struct tree *tree;
	unsigned int version;
	bool may_have_acl;
	bool has_acl;
	bool has_marks;	 /* some file may be a whiteout */
	bool may_exceed; /* some inode may have more xattrs than the writer takes */
	int64_t time_sec;
	uint32_t time_nsec;
	uint64_t root_at;
	uint64_t n_inodes_said;
	uint64_t shared_at;

	uint64_t *claims;	/* a bit for every 4 bytes of the image */
	uint32_t *by_slot;	/* slot -> 1 + position in @inodes, 0: not met */
	uint32_t *shared_by_id; /* reference -> 1 + position in @shared */
	struct read_inode *inodes;
	struct read_link *links;
	struct read_xattr *shared;
	struct tree_xattr *scratch;
	size_t n_inodes, room_inodes;
	size_t n_links, room_links;
	size_t n_shared, room_shared;
	size_t n_scratch, room_scratch;
	uint64_t memory;		     /* of all that, in bytes */
	uint32_t metacopy_bit, redirect_bit; /* in the filter; every file has both */
	uint32_t next_number;
};

/* reader_bad() - -EBADMSG with "image: offset 0x...: " and the reason; a macro, so that
 * every caller is seen to fail */
#define reader_bad(reader, offset, ...) \
	((void)reader_report(reader, offset, __VA_ARGS__), -EBADMSG)
void reader_report(const struct image_reader *reader, uint64_t offset, const char *format,
		   ...) printf_like(3, 4);

/* reader_claim() - @size bytes from @offset (a multiple of 4) are inside the image and
 * belong to nothing else so far; @what names them in the message */
int reader_claim(struct image_reader *reader, uint64_t offset, uint64_t size,
		 const char *what);

/* reader_room() - @array of @n items with room for one more, moved by realloc(); counts
 * the memory.  Return: the array, or NULL with the error set (-ENOMEM). */
void *reader_room(struct image_reader *reader, void *array, size_t n, size_t *room,
		  size_t item_size);

/* reader_check_memory() - -EFBIG when all that was taken is over the limit */
int reader_check_memory(const struct image_reader *reader, uint64_t offset);

/* image_read_head() - what is at @offset, as an inode; nothing is claimed */
int image_read_head(const struct image_reader *reader, uint64_t offset,
		    struct raw_inode *raw);

/* image_locate() - where its data is: size, layout and type have to agree.  Whether that
 * is inside the image is only known once it is claimed. */
int image_locate(const struct image_reader *reader, struct raw_inode *raw);

/* image_read_inode() - locate and claim it, and put everything but the entries of a
 * directory into @node */
int image_read_inode(struct image_reader *reader, struct raw_inode *raw,
		     struct tree_node *node);

/* image_read_xattrs() - of an inode that is claimed; digest and payload too */
int image_read_xattrs(struct image_reader *reader, const struct raw_inode *raw,
		      struct tree_node *node);

/* image_read_names() - visit the entries of every directory, breadth first, beginning
 * with the root, and resolve the links */
int image_read_names(struct image_reader *reader);

/* image_undo_whiteouts() - character devices again, and their marks off the parents */
int image_undo_whiteouts(struct image_reader *reader);
