/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything the writer knows about an image before its first byte: the inodes in file
 * order, their xattrs after the overlay rewriting, what is shared, and where each stands.
 * The tree is never touched; what the rewriting changes lives here.
 */
#pragma once

#include "base/error.h"
#include "image/format.h"
#include "tree/tree.h"

enum {
	PLAN_WHITEOUT = 1u << 0,	/* written as an empty regular file */
	PLAN_HOLDS_WHITEOUTS = 1u << 1, /* a directory with such a child */
	PLAN_EXTENDED = 1u << 2,
};

/* Every root gets a real whiteout for each name 00 to ff that it has not itself. */
#define PLAN_N_HEX 256

/*
 * struct plan_inode - one inode, in the order of the file
 * @node:	NULL for the whiteouts that the root gets
 * @offset:	in the image
 * @first_item: of its xattrs, in plan->items
 * @n_blocks:	whole blocks of data
 * @parent:	position of the parent directory
 * @nlink:	as written
 * @n_items:	number of xattrs
 * @tail:	bytes of data right behind the xattrs
 * @n_shared:	so many of the xattrs are written as references
 */
struct plan_inode {
	const struct tree_node *node;
	uint64_t offset;
	uint32_t first_item;
	uint32_t xattr_size;
	uint32_t n_blocks;
	uint32_t parent;
	uint32_t nlink;
	uint16_t n_items;
	uint16_t tail;
	uint16_t depth;
	uint8_t n_shared;
	uint8_t flags;
};

/* What stands before the value bytes that the tree has. */
enum plan_lead {
	LEAD_NONE,
	LEAD_METACOPY, /* METACOPY_HEAD, then the digest */
	LEAD_REDIRECT, /* '/', then the payload */
	LEAD_PAYLOAD,  /* the same, the payload following from a digest */
	LEAD_PAIR,     /* LEAD_METACOPY, and LEAD_PAYLOAD as an entry of its own */
	N_LEADS,
};

/*
 * struct plan_item - an xattr of one inode, or the pair that most files have
 * @key:	as the tree has it; @escaped: written with "overlay." behind its prefix
 * @value:	@size bytes that follow what @lead stands for, or that it stands for with
 *		them
 * @same:	the first item with the same key and value, often this one
 * @count:	in such a first item: how many there are.  Once places are known: 0, or
 *		one more than the reference that stands for it
 * @redirect:	the same of the second entry of a pair
 */
struct plan_item {
	const char *key;
	const char *value;
	uint32_t size;
	uint32_t same;
	uint32_t count;
	uint32_t redirect;
	uint8_t key_size;
	uint8_t index;
	uint8_t lead;
	bool escaped;
};

/* struct plan_shared - an entry of the shared table: @item, or one of the two of a pair
 */
struct plan_shared {
	uint32_t item;
	bool is_redirect;
};

struct image_plan {
	const struct tree *tree;
	struct plan_inode *inodes;
	uint32_t n_inodes;
	uint32_t *positions; /* node->index -> position in @inodes */
	struct plan_item *items;
	uint32_t n_items;
	uint64_t n_items_max;
	struct plan_shared *shared; /* the shared table */
	uint32_t n_shared;
	uint32_t lead_bits[N_LEADS]; /* in the filter, of the keys that have a lead */
	char hex[PLAN_N_HEX][3];
	uint32_t hex_positions[PLAN_N_HEX];
	unsigned int version;
	bool has_acl;
	bool has_pairs; /* every payload follows from a digest, and no xattr comes between
			 */
	char *texts;	/* of payloads, where there are no pairs; the next one: */
	char *next_text;
	int64_t time_sec; /* the earliest mtime */
	uint32_t time_nsec;
	uint64_t inodes_end;
	uint64_t shared_size;
	uint64_t data_start;
	uint64_t image_size;
};

/* image_plan_done() - give back what the steps below took */
void image_plan_done(struct image_plan *plan);

/* The steps of the plan, in this order.  Each fills what the next one needs. */
int image_plan_inodes(struct image_plan *plan, struct cop_error *err);
int image_plan_xattrs(struct image_plan *plan, struct cop_error *err);
int image_plan_places(struct image_plan *plan, struct cop_error *err);

/* image_refuse() - a negative @code with a message that names the path of @node */
int image_refuse(const struct tree_node *node, int code, const char *reason,
		 struct cop_error *err);

static inline bool plan_is_directory(const struct plan_inode *inode)
{
	return inode->node && S_ISDIR(inode->node->mode);
}

/* plan_is_pooled() - a regular file whose content is not in the image */
static inline bool plan_is_pooled(const struct tree_node *node)
{
	return S_ISREG(node->mode) && node->size > 0 && !node->content;
}

/* plan_mode() - as written; the root's own whiteouts are 0644 */
static inline uint32_t plan_mode(const struct plan_inode *inode)
{
	if (!inode->node)
		return S_IFCHR | 0644;
	if (inode->flags & PLAN_WHITEOUT)
		return S_IFREG | (inode->node->mode & 07777);
	return inode->node->mode;
}

/* plan_owner() - the node that gives an inode its owner and time */
static inline const struct tree_node *plan_owner(const struct image_plan *plan,
						 const struct plan_inode *inode)
{
	return inode->node ? inode->node : plan->tree->root;
}

static inline size_t plan_lead_size(const struct plan_item *item)
{
	if (item->lead == LEAD_METACOPY)
		return METACOPY_HEAD_SIZE;
	if (item->lead == LEAD_PAYLOAD)
		return TREE_PAYLOAD_SIZE - COP_DIGEST_SIZE;
	return item->lead == LEAD_REDIRECT ? 1 : 0;
}

/* plan_name_size() - of the name of an xattr as it is written: no prefix, escaped */
static inline size_t plan_name_size(const struct plan_item *item, size_t prefix_size)
{
	return item->key_size - prefix_size + (item->escaped ? OVERLAY_ESCAPE_SIZE : 0);
}

/* plan_item_size() - as an entry, a pair as two, inline or in the shared table */
uint64_t plan_item_size(const struct plan_item *item);

static inline uint32_t plan_n_entries(const struct plan_item *item)
{
	return item->lead == LEAD_PAIR ? 2 : 1;
}

/* plan_part() - @item as it is, or the first or second entry of a pair */
struct plan_item plan_part(const struct plan_item *item, bool is_redirect);

/*
 * Walking over the entries of a directory as they are written: its children, "." and
 * "..", for the root also the whiteouts, all sorted by unsigned bytes.
 */
struct plan_walk {
	const struct image_plan *plan;
	const struct tree_node *directory;
	uint32_t next_child;
	uint32_t next_extra;
	uint32_t n_extras;
};

enum plan_entry_kind {
	ENTRY_CHILD,
	ENTRY_SELF,
	ENTRY_PARENT,
	ENTRY_WHITEOUT, /* one of the root's own; @number is 0 to 255 */
};

struct plan_entry {
	enum plan_entry_kind kind;
	uint32_t number;
	const struct tree_node *node; /* of a child; may be a hard link */
	const char *name;
	size_t name_size;
};

void plan_walk_init(struct plan_walk *walk, const struct image_plan *plan,
		    const struct tree_node *directory);
/* plan_walk_next() - false at the end; @entry is untouched then */
bool plan_walk_next(struct plan_walk *walk, struct plan_entry *entry);
