/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tree in memory: names, metadata, links and where the content of files is.
 *
 * One arena per tree, no reference counts, no freeing of single nodes.  A hard link is a
 * node of its own whose @link points to the node that carries the inode.  Nothing that a
 * writer needs is kept here: writers keep arrays indexed by @index.
 * A tree may be read by any number of threads; changing it needs exclusive access.
 */
#pragma once

#include <sys/stat.h>

#include <coppice/digest.h>

#include "base/arena.h"
#include "base/error.h"

#define TREE_NAME_MAX	 255
#define TREE_SYMLINK_MAX 4095
/* Files of 1 to TREE_INLINE_MAX bytes stand in the image itself, larger ones in the pool.
 */
#define TREE_INLINE_MAX 64
/* What the dump text and the image accept as inline content at most. */
#define TREE_CONTENT_MAX 5000
/* Over all xattrs of an inode, each costs 7 bytes, its key and its value. */
#define TREE_XATTRS_MAX (32767 - 12)
#define TREE_DEPTH_MAX	1024

/* @key is NUL-terminated and may hold any other byte; lists are sorted by key (strcmp) */
struct tree_xattr {
	const char *key;
	const char *value; /* @size bytes and a NUL */
	uint32_t size;
};

/* Two lines of a processor's cache, the first with what walks need. */
struct tree_node {
	struct tree_node *parent; /* NULL for the root */
	struct tree_node *
		*children;	/* directories, sorted by unsigned bytes of the name */
	struct tree_node *link; /* hard link: the node with the inode, else NULL; a
				   link has nothing of its own but its name and place */
	const char *name;	/* "" for the root */
	uint32_t n_children;
	uint32_t position; /* in @parent's @children, set by tree_finish() */
	uint32_t index;	   /* in the order of tree_next(), set by tree_finish() */
	uint32_t mode;	   /* st_mode with the type */
	uint64_t size;	   /* regular: length.  Others: what a dump said, 0 else */
	uint32_t nlink;	   /* ignored for directories */
	uint16_t n_xattrs;
	uint8_t name_size;    /* of @name */
	bool payload_follows; /* from @digest: see tree_payload(); @payload is NULL then
			       */

	struct tree_xattr *xattrs;
	const char *target;  /* symlink: its text */
	const char *payload; /* regular: another path in the pool, or NULL */
	const char *content; /* regular: inline content of @size bytes, or NULL */
	const struct cop_digest
		*digest;   /* regular: fs-verity digest of the content, or NULL */
	int64_t mtime_sec; /* may be negative */
	uint32_t mtime_nsec;
	uint32_t uid;
	uint32_t gid;
	uint32_t rdev; /* the kernel's 32-bit "new" encoding: see tree_rdev() */
};

struct tree {
	struct arena *arena;
	struct tree_node *root;	  /* a directory */
	struct tree_node **links; /* those nodes that are hard links */
	uint32_t n_links;
	uint32_t links_room;
	uint32_t n_nodes; /* links included; this and the links: set by tree_finish() */
	struct tree_node *spare; /* zeroed nodes for tree_add() */
	uint32_t n_spare;
	bool is_sorted;	      /* every directory; until tree_add() */
	size_t n_bytes_first; /* of the arena, before the first tree_merge(); or 0 */
};

struct tree *tree_new(struct cop_error *err);
struct tree *tree_free(struct tree *tree);
DEFINE_AUTO_PTR(tree)

/*
 * tree_add() - a new node below @parent, behind its siblings; sorted by tree_finish()
 * @name: 1 to 255 bytes without '/' that are not "." or ".."; copied
 *
 * Everything but the name, @mode and nlink 1 is zero.  Return: 0, -EINVAL, -ENAMETOOLONG,
 * -ENOTDIR (the parent is none), -ENOMEM.
 */
int tree_add(struct tree *tree, struct tree_node *parent, const char *name,
	     size_t name_size, uint32_t mode, struct tree_node **ret_node,
	     struct cop_error *err);

/* tree_append() - tree_add() of a @name and @mode that were checked, behind all names of
 * @parent, which is a directory, in their order */
int tree_append(struct tree *tree, struct tree_node *parent, const char *name,
		size_t name_size, uint32_t mode, struct tree_node **ret_node,
		struct cop_error *err);

/* tree_add_link() - a hard link to @inode, which is neither a directory nor a link */
int tree_add_link(struct tree *tree, struct tree_node *parent, const char *name,
		  size_t name_size, struct tree_node *inode, struct tree_node **ret_node,
		  struct cop_error *err);

/* tree_set_xattr() - add or replace; keeps the list sorted; key 1 to 255 bytes, value at
 * most 65535 and 4096 of them per node (-ERANGE) */
int tree_set_xattr(struct tree *tree, struct tree_node *node, const char *key,
		   const void *value, size_t size, struct cop_error *err);
/* tree_remove_xattr() - true when it was there */
bool tree_remove_xattr(struct tree_node *node, const char *key);
const struct tree_xattr *tree_find_xattr(const struct tree_node *node, const char *key);

/* tree_set_digest() - content in the pool: digest and the payload that follows from it */
int tree_set_digest(struct tree *tree, struct tree_node *node,
		    const struct cop_digest *digest, struct cop_error *err);
/* tree_set_content() - inline content; also sets @size */
int tree_set_content(struct tree *tree, struct tree_node *node, const void *data,
		     size_t size, struct cop_error *err);
/* tree_set_target() - a symlink's text, 1 to 4095 bytes without NUL */
int tree_set_target(struct tree *tree, struct tree_node *node, const char *target,
		    size_t size, struct cop_error *err);

/* tree_check_xattrs() - -ERANGE when the xattrs of @node exceed TREE_XATTRS_MAX */
int tree_check_xattrs(const struct tree_node *node, struct cop_error *err);

/* tree_finish() - sort every directory, refuse duplicate names (-EEXIST), number nodes.
 * Needed after the last tree_add() and before anything below; can be called again. */
int tree_finish(struct tree *tree, struct cop_error *err);

/* tree_number() - the same where every directory is known to be sorted, no name twice */
int tree_number(struct tree *tree, struct cop_error *err);

/*
 * tree_canonicalise() - the one form that the store gives digests to
 *
 * The inode of hard links stands at the first of its names in the order of tree_next();
 * nlink of non-directories is recounted; size and rdev are 0 where the type has none;
 * payloads follow from digests.  What composefs marks as whiteouts by xattrs becomes
 * whiteouts, and the marks that an image has anyway go.  Nodes may change their roles:
 * pointers to nodes with hard links are to be looked up again.
 *
 * Refuses by name (-EINVAL, -ERANGE, -EFBIG) what the store's format cannot hold: a
 * regular file over TREE_INLINE_MAX bytes without a digest or up to it without content,
 * opaque=y on a directory that holds whiteouts, xattr limits of composefs, a symlink that
 * is empty or too long, nanoseconds beyond a second, more than TREE_DEPTH_MAX levels.
 * The tree may be half changed then.
 */
int tree_canonicalise(struct tree *tree, struct cop_error *err);

/* tree_clamp() - mtimes later than @epoch become it (nanoseconds 0); returns how many */
uint64_t tree_clamp(struct tree *tree, int64_t epoch);

/* tree_is_worn() - it has been merged so often that reading it again saves memory */
bool tree_is_worn(const struct tree *tree);

/* tree_next() - the node after @node, parents first, children by unsigned bytes; NULL at
 * the end.  Begin with tree->root. */
struct tree_node *tree_next(const struct tree_node *node);

/* tree_child() - by name, or NULL (binary search) */
struct tree_node *tree_child(const struct tree_node *dir, const char *name, size_t size);

/* tree_find() - by path; leading and double slashes are skipped, "." stays, ".." and
 * symlinks are not resolved.  NULL when there is none.  Hard links are not followed. */
struct tree_node *tree_find(const struct tree *tree, const char *path);

/* tree_inode() - the node that carries the inode: @node, or what it links to */
static inline const struct tree_node *tree_inode(const struct tree_node *node)
{
	return node->link ? node->link : node;
}

/* tree_path() - "/a/b" (root: "/") as a heap string the caller frees; NULL: out of memory
 */
char *tree_path(const struct tree_node *node);

/* tree_rdev() / tree_rdev_to_dev() - st_rdev to the stored number (-ERANGE when it does
 * not fit) and back */
int tree_rdev(dev_t dev, uint32_t *ret_rdev);
dev_t tree_rdev_to_dev(uint32_t rdev);

/* tree_is_whiteout() - a character device 0:0 */
bool tree_is_whiteout(const struct tree_node *node);

/* tree_payload() - "ab/cdef..." for a digest, 65 bytes and a NUL; returns @text */
#define TREE_PAYLOAD_SIZE (COP_DIGEST_HEX + 2)
char *tree_payload(const struct cop_digest *digest, char text[TREE_PAYLOAD_SIZE]);
/* tree_payload_is() - @text of @size bytes is the payload of @digest */
bool tree_payload_is(const char *text, size_t size, const struct cop_digest *digest);
/* tree_payload_of() - the path in the pool of a regular file, in @text where it follows
 * from its digest; NULL: it has none */
const char *tree_payload_of(const struct tree_node *node, char text[TREE_PAYLOAD_SIZE]);
