/* SPDX-License-Identifier: Apache-2.0 */
/* A tree as a pax archive, in one pass over its nodes. */
#include "archive/tar-export.h"

#include <stdio.h>
#include <sys/sysmacros.h>

#include "archive/archive.h"
#include "archive/content.h"
#include "tar/acl.h"
#include "tar/header.h"

#define PROGRESS_STEP 256

struct writing {
	const struct tree *tree;
	struct output *output;
	struct content content;
	bool holes;
	struct buf header, records, map;
};

static void writing_done(struct writing *writing)
{
	content_done(&writing->content);
	buf_done(&writing->header);
	buf_done(&writing->records);
	buf_done(&writing->map);
}

static int add_acl(struct buf *records, const char *key, const struct tree_xattr *xattr,
		   struct cop_error *err)
{
	auto_buf text = {};
	int r = acl_text(xattr->value, xattr->size, &text, err);

	if (r == 0 && tar_record(records, key, buf_text(&text), text.size) < 0)
		r = err_oom(err);
	return r;
}

static int add_xattr(struct buf *records, const struct tree_xattr *xattr,
		     struct cop_error *err)
{
	char key[300];

	if (strcmp(xattr->key, ACL_ACCESS_KEY) == 0)
		return add_acl(records, "SCHILY.acl.access", xattr, err);
	if (strcmp(xattr->key, ACL_DEFAULT_KEY) == 0)
		return add_acl(records, "SCHILY.acl.default", xattr, err);
	/* The key ends at the first one. */
	if (strchr(xattr->key, '='))
		return err_set(err, -EINVAL, "tar cannot hold its xattr '%s'",
			       xattr->key);
	(void)snprintf(key, sizeof(key), "SCHILY.xattr.%s", xattr->key);
	return tar_record(records, key, xattr->value, xattr->size) < 0 ? err_oom(err) : 0;
}

static int write_header(struct writing *writing, const struct tar_entry *entry,
			struct cop_error *err)
{
	int r;

	buf_truncate(&writing->header, 0);
	r = tar_header(TAR_POSIX, entry, &writing->header, err);
	if (r < 0)
		return r;
	return output_write(writing->output, writing->header.data, writing->header.size,
			    err);
}

/* GNU's sparse format 1.0: the map stands before the data. */
static int write_sparse(struct writing *writing, struct tar_entry *entry,
			struct cop_error *err)
{
	struct content *content = &writing->content;
	const uint64_t size = content->node->size;
	struct buf *map = &writing->map;
	const struct segment *list;
	char number[24];
	size_t n;
	int r;

	buf_truncate(map, 0);
	list = content_segments(content, &n);
	(void)buf_printf(map, "%zu\n", n + 1);
	for (size_t i = 0; i < n; i++)
		(void)buf_printf(map, "%llu\n%llu\n", (unsigned long long)list[i].offset,
				 (unsigned long long)list[i].size);
	(void)buf_printf(map, "%llu\n0\n", (unsigned long long)size);
	(void)snprintf(number, sizeof(number), "%llu", (unsigned long long)size);
	(void)tar_record(&writing->records, "GNU.sparse.major", "1", 1);
	(void)tar_record(&writing->records, "GNU.sparse.minor", "0", 1);
	(void)tar_record(&writing->records, "GNU.sparse.name", entry->path,
			 strlen(entry->path));
	(void)tar_record(&writing->records, "GNU.sparse.realsize", number,
			 strlen(number));
	if (map->failed || writing->records.failed)
		return err_oom(err);
	entry->path = "GNUSparseFile.0/file";
	entry->size_bytes = map->size + tar_padding(map->size) + content->n_data;
	r = write_header(writing, entry, err);
	if (r == 0)
		r = output_write(writing->output, map->data, map->size, err);
	if (r == 0)
		r = output_zeros(writing->output, tar_padding(map->size), err);
	if (r == 0)
		r = content_write(content, true, writing->output, err);
	return r == 0 ? output_zeros(writing->output, tar_padding(content->n_data), err)
		      : r;
}

static int write_file(struct writing *writing, struct tar_entry *entry,
		      const struct tree_node *node, struct cop_error *err)
{
	struct content *content = &writing->content;
	int r;

	if (node->size == 0)
		return write_header(writing, entry, err);
	r = content_open(content, node, err);
	if (r == 0 && writing->holes && !content->in_buffer &&
	    content->n_data < node->size) {
		r = write_sparse(writing, entry, err);
	} else if (r == 0) {
		entry->size_bytes = node->size;
		r = write_header(writing, entry, err);
		if (r == 0)
			r = content_write(content, false, writing->output, err);
		if (r == 0)
			r = output_zeros(writing->output, tar_padding(node->size), err);
	}
	content_close(content);
	return r;
}

static int write_inode(struct writing *writing, const struct tree_node *node,
		       const char *path, struct cop_error *err)
{
	dev_t dev = tree_rdev_to_dev(node->rdev);
	struct tar_entry entry = {
		.path = path,
		.link = S_ISLNK(node->mode) ? node->target : NULL,
		.type = tar_type(node->mode),
		.mode = node->mode & 07777,
		.uid = node->uid,
		.gid = node->gid,
		.mtime = node->mtime_sec,
		.mtime_ns = node->mtime_nsec,
		.major = major(dev),
		.minor = minor(dev),
		.records = &writing->records,
	};
	int r = 0;

	if (!entry.type)
		return err_set(err, -EINVAL,
			       "it is a socket, which tar cannot hold; export to a "
			       "directory instead");
	buf_truncate(&writing->records, 0);
	for (uint32_t i = 0; r == 0 && i < node->n_xattrs; i++)
		r = add_xattr(&writing->records, &node->xattrs[i], err);
	if (r < 0)
		return r;
	return S_ISREG(node->mode) ? write_file(writing, &entry, node, err)
				   : write_header(writing, &entry, err);
}

/* "a/b", "a/dir/"; the root is "./". */
static char *entry_path(const struct tree_node *node)
{
	char *path = tree_path(node), *ret = NULL;

	if (path &&
	    asprintf(&ret, "%s%s", node->parent ? path + 1 : "./",
		     node->parent && !node->link && S_ISDIR(node->mode) ? "/" : "") < 0)
		ret = NULL;
	free(path);
	return ret;
}

static int write_node(struct writing *writing, const struct tree_node *node,
		      struct cop_error *err)
{
	auto_free char *path = entry_path(node);
	auto_free char *target = node->link ? entry_path(node->link) : NULL;
	const struct tar_entry link = {.path = path, .link = target, .type = '1'};
	int r;

	if (!path || (node->link && !target))
		return err_oom(err);
	r = node->link ? write_header(writing, &link, err)
		       : write_inode(writing, node, path, err);
	return r < 0 ? err_prefix(err, r, "'%s'", path) : 0;
}

int tar_write_end(struct output *output, struct cop_error *err)
{
	return output_zeros(output, 2 * TAR_BLOCK, err);
}

int tar_write_file(struct output *output, const char *path, const void *data,
		   uint64_t size, struct cop_error *err)
{
	bool is_dir = path[strlen(path) - 1] == '/';
	const struct tar_entry entry = {
		.path = path,
		.type = is_dir ? '5' : '0',
		.mode = is_dir ? 0755 : 0644,
		.size_bytes = size,
	};
	auto_buf header = {};
	int r = tar_header(TAR_POSIX, &entry, &header, err);

	if (r == 0)
		r = output_write(output, header.data, header.size, err);
	if (r < 0 || !data)
		return r;
	r = output_write(output, data, (size_t)size, err);
	return r == 0 ? output_zeros(output, tar_padding(size), err) : r;
}

int tar_write_tree(struct cop_store *store, const struct tree *tree, bool holes,
		   struct output *output, const struct cop_progress *progress,
		   struct cop_error *err)
{
	cleanup_with(writing_done) struct writing writing = {
		.tree = tree, .output = output, .holes = holes};
	uint64_t done = 0;
	int r = content_init(&writing.content, store, err);

	for (const struct tree_node *node = tree->root; node && r == 0;
	     node = tree_next(node)) {
		r = write_node(&writing, node, err);
		if (progress && (++done % PROGRESS_STEP == 0 || done == tree->n_nodes))
			progress->update(progress->data, "writing", done, tree->n_nodes,
					 "entries");
	}
	return r == 0 ? tar_write_end(output, err) : r;
}

int archive_export_tar(struct cop_store *store, const struct tree *tree, int fd,
		       const struct cop_progress *progress, struct cop_error *err)
{
	cleanup_with(output_done) struct output output = {};
	int r = output_init(&output, fd, err);

	if (r == 0)
		r = tar_write_tree(store, tree, true, &output, progress, err);
	return r == 0 ? output_flush(&output, err) : r;
}
