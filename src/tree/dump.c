/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tree -> dump text.  The text follows from the tree alone: what an image computes
 * (sizes and link counts of directories, lengths of symlinks) is computed here too.
 */
#include "tree/dump.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"

#define DIR_BLOCK    4096
#define DIRENT_SIZE  12
#define HIDDEN_NAMES 256
#define LINE_NUMBERS 160
#define ESCAPE_EQUAL (1u << 0)
#define ESCAPE_UNSET (1u << 1) /* "-" alone would mean: not set */

static bool is_plain(char c, unsigned int flags)
{
	return c > ' ' && c <= '~' && c != '\\' && (c != '=' || !(flags & ESCAPE_EQUAL));
}

static void append_escape(struct buf *buf, char c)
{
	static const char digits[] = "0123456789abcdef";
	char text[4] = {'\\', c, 0, 0};
	size_t size = 2;

	if (c == '\n') {
		text[1] = 'n';
	} else if (c == '\r') {
		text[1] = 'r';
	} else if (c == '\t') {
		text[1] = 't';
	} else if (c != '\\') {
		text[1] = 'x';
		text[2] = digits[(uint8_t)c >> 4];
		text[3] = digits[(uint8_t)c & 15];
		size = 4;
	}
	(void)buf_append(buf, text, size);
}

static void append_escaped(struct buf *buf, const char *data, size_t size,
			   unsigned int flags)
{
	size_t start = 0;

	if ((flags & ESCAPE_UNSET) && size == 1 && data[0] == '-') {
		(void)buf_append_text(buf, "\\x2d");
		return;
	}
	for (size_t i = 0; i < size; i++) {
		if (is_plain(data[i], flags))
			continue;
		(void)buf_append(buf, data + start, i - start);
		append_escape(buf, data[i]);
		start = i + 1;
	}
	(void)buf_append(buf, data + start, size - start);
}

/* A field that may be missing, with the space before it. */
static void append_optional(struct buf *buf, const char *data, size_t size)
{
	(void)buf_append_char(buf, ' ');
	if (!data || size == 0)
		(void)buf_append_char(buf, '-');
	else
		append_escaped(buf, data, size, ESCAPE_UNSET);
}

/* The names of a directory in an image beside its children: "." and "..", and in the root
 * the 256 names that hide the folders of the pool. */
static bool extra_name(const struct tree_node *dir, unsigned int i, char name[3])
{
	if (i < 2) {
		(void)snprintf(name, 3, "%s", i == 0 ? "." : "..");
		return true;
	}
	if (dir->parent || i >= 2 + HIDDEN_NAMES)
		return false;
	(void)snprintf(name, 3, "%02x", (i - 2) & 0xff);
	return true;
}

struct packing {
	uint64_t blocks_size;
	size_t used; /* of the open block */
};

static void pack(struct packing *packing, const char *name)
{
	size_t cost = DIRENT_SIZE + strlen(name);

	if (packing->used + cost > DIR_BLOCK) {
		packing->blocks_size += DIR_BLOCK;
		packing->used = 0;
	}
	packing->used += cost;
}

/* Entries fill blocks in the order of their names; the last block is a tail in the inode
 * when it is at most half full. */
static uint64_t encoded_size(const struct tree_node *dir)
{
	struct packing packing = {};
	unsigned int i = 0;
	char extra[3];

	for (uint32_t k = 0; k < dir->n_children; k++) {
		const char *name = dir->children[k]->name;
		int order;

		while (extra_name(dir, i, extra) && (order = strcmp(extra, name)) <= 0) {
			if (order < 0)
				pack(&packing, extra);
			i++;
		}
		pack(&packing, name);
	}
	for (; extra_name(dir, i, extra); i++)
		pack(&packing, extra);
	if (packing.used > DIR_BLOCK / 2)
		packing.used = DIR_BLOCK;
	return packing.blocks_size + packing.used;
}

static uint64_t dumped_size(const struct tree_node *inode)
{
	if (S_ISDIR(inode->mode))
		return encoded_size(inode);
	if (S_ISLNK(inode->mode))
		return inode->target ? strlen(inode->target) : 0;
	return inode->size;
}

static uint32_t dumped_nlink(const struct tree_node *inode)
{
	uint32_t nlink = 2;

	if (!S_ISDIR(inode->mode))
		return inode->nlink;
	for (uint32_t i = 0; i < inode->n_children; i++)
		nlink += !inode->children[i]->link && S_ISDIR(inode->children[i]->mode);
	return nlink;
}

static void append_numbers(struct buf *buf, const struct tree_node *inode, bool is_link)
{
	char text[LINE_NUMBERS];
	int size = snprintf(text, sizeof(text), " %llu %s%o %u %u %u %u %lld.%u",
			    (unsigned long long)dumped_size(inode), is_link ? "@" : "",
			    inode->mode, dumped_nlink(inode), inode->uid, inode->gid,
			    inode->rdev, (long long)inode->mtime_sec, inode->mtime_nsec);

	(void)buf_append(buf, text, (size_t)size);
}

static int append_link(struct buf *buf, const struct tree_node *inode)
{
	auto_free char *path = tree_path(inode);

	if (!path)
		return -ENOMEM;
	append_optional(buf, path, strlen(path));
	return buf_append_text(buf, " - -");
}

static void append_inode(struct buf *buf, const struct tree_node *node)
{
	char text[TREE_PAYLOAD_SIZE];
	const char *payload =
		S_ISLNK(node->mode) ? node->target : tree_payload_of(node, text);

	append_optional(buf, payload, payload ? strlen(payload) : 0);
	append_optional(buf, node->content, node->content ? (size_t)node->size : 0);
	if (node->digest) {
		const uint8_t *bytes = node->digest->bytes;

		(void)buf_append_char(buf, ' ');
		if (buf_reserve(buf, COP_DIGEST_HEX) == 0) {
			hex_encode(bytes, COP_DIGEST_SIZE, buf->data + buf->size);
			buf->size += COP_DIGEST_HEX;
		}
	} else {
		append_optional(buf, NULL, 0);
	}
	for (uint32_t i = 0; i < node->n_xattrs; i++) {
		const struct tree_xattr *xattr = &node->xattrs[i];

		(void)buf_append_char(buf, ' ');
		append_escaped(buf, xattr->key, strlen(xattr->key), ESCAPE_EQUAL);
		(void)buf_append_char(buf, '=');
		append_escaped(buf, xattr->value, xattr->size, ESCAPE_EQUAL);
	}
}

/* @path is that of @before, escaped; make it that of @node, which follows it. */
static void step_path(struct buf *path, const struct tree_node *before,
		      const struct tree_node *node)
{
	for (; before != node->parent; before = before->parent) {
		const char *slash = memrchr(path->data, '/', path->size);

		buf_truncate(path, (size_t)(slash - path->data));
	}
	(void)buf_append_char(path, '/');
	append_escaped(path, node->name, strlen(node->name), 0);
}

int tree_to_dump(const struct tree *tree, struct buf *buf, struct cop_error *err)
{
	auto_buf path = {};
	const struct tree_node *before = NULL;

	for (const struct tree_node *node = tree->root; node; node = tree_next(node)) {
		if (before)
			step_path(&path, before, node);
		if (path.failed)
			return err_oom(err);
		if (before)
			(void)buf_append(buf, path.data, path.size);
		else
			(void)buf_append_char(buf, '/');
		append_numbers(buf, tree_inode(node), node->link != NULL);
		if (!node->link)
			append_inode(buf, node);
		else if (append_link(buf, node->link) < 0)
			return err_oom(err);
		(void)buf_append_char(buf, '\n');
		if (buf->failed)
			return err_oom(err);
		before = node;
	}
	return 0;
}
