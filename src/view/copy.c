/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The copy view: the tree laid out in workdir/tree, and a table of what came out.  Works
 * everywhere and for everybody.  What is committed is the base and the differences
 * between the table and the disk; contents that did not change are never read again.
 *
 * While it is only read it is the same directory: a writer there is not hindered, and
 * what he writes is lost or taken for a change.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "store/object.h"
#include "view/clock.h"
#include "view/layout.h"
#include "view/merge.h"
#include "view/ops.h"
#include "view/table.h"
#include "view/walk.h"

#define TREE_NAME "tree"

struct copy_view {
	struct view view; /* must be first */
	int tree_fd;
	int workdir_fd; /* borrowed */
	struct tree *base;
	struct table *table;
};

struct copy_capture {
	struct view_capture capture; /* must be first */
	struct table *table;
};

static struct copy_view *to_copy(struct view *view)
{
	return (struct copy_view *)(void *)view;
}

static struct copy_capture *to_copy_capture(struct view_capture *capture)
{
	return (struct copy_capture *)(void *)capture;
}

static struct copy_view *copy_view_free(struct copy_view *copy)
{
	if (!copy)
		return NULL;
	closep(&copy->tree_fd);
	tree_free(copy->base);
	table_free(copy->table);
	free(copy->view.path);
	free(copy);
	return NULL;
}
DEFINE_AUTO_PTR(copy_view)

static void close_copy(struct view *view)
{
	copy_view_free(to_copy(view));
}

/* The file system may give what we make xattrs of its own accord (security labels), and
 * keep back those we may not set. */
static int record_xattrs(struct tree *tree, struct record *record,
			 const struct walk_entry *entry, struct cop_error *err)
{
	const struct tree_node *base = tree_inode(record->base);
	struct tree_node found = {.name = entry->name, .mode = entry->seen.mode};
	char path[sizeof("/proc/self/fd/2147483647/") + TREE_NAME_MAX];
	uint64_t n_foreign = 0;
	int r;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", entry->dir_fd,
		       entry->name);
	r = tree_read_xattrs(tree, &found, path, entry->path, &n_foreign, err);
	if (r < 0)
		return r;
	if (merge_same_xattrs(found.xattrs, found.n_xattrs, base->xattrs,
			      base->n_xattrs)) {
		found.xattrs = base->xattrs;
		found.n_xattrs = base->n_xattrs;
	}
	record->xattrs = found.xattrs;
	record->n_xattrs = found.n_xattrs;
	return 0;
}

struct filling {
	struct tree *base;
	struct table *table;
	struct timespec line;
	uint32_t n_entries;
};

static int record_laid_out(void *data, const struct walk_entry *entry,
			   struct cop_error *err)
{
	struct filling *filling = data;
	struct record *record;
	int r;

	if (!entry->node)
		return err_set(err, -ESTALE, "'%s': somebody made it while we laid out",
			       entry->path);
	filling->n_entries++;
	r = table_add(filling->table, entry, &filling->line, &record);
	if (r < 0)
		return err_oom(err);
	return r > 0 ? record_xattrs(filling->base, record, entry, err) : 0;
}

/* After the layout, once nothing in it changes any more. */
static int fill_table(struct copy_view *copy, struct cop_error *err)
{
	struct filling filling = {.base = copy->base};
	int r;

	copy->table = table_new(copy->base->n_nodes);
	if (!copy->table)
		return err_oom(err);
	filling.table = copy->table;
	r = clock_settle(copy->workdir_fd, &filling.line, err);
	if (r == 0)
		r = walk_directory(copy->tree_fd, copy->base, record_laid_out, &filling,
				   err);
	if (r == 0 && filling.n_entries != copy->base->n_nodes)
		r = err_set(err, -ESTALE, "somebody removed files while we laid out");
	return r;
}

static int open_copy(struct cop_store *store, struct workdir *workdir,
		     const struct cop_digest *digest, const struct cop_progress *progress,
		     struct view **ret_view, struct cop_error *err)
{
	auto_ptr(copy_view) copy = calloc(1, sizeof(*copy));
	int r;

	if (!copy)
		return err_oom(err);
	copy->view.ops = &view_copy_ops;
	copy->tree_fd = -EBADF;
	r = digest ? object_check_files(store, digest, err) : 0;
	if (r == 0)
		r = view_read_tree(store, digest, &copy->base, err);
	if (r < 0)
		return r;
	copy->workdir_fd = workdir_fd(workdir);
	if (asprintf(&copy->view.path, "%s/%s", workdir_path(workdir), TREE_NAME) < 0) {
		copy->view.path = NULL;
		return err_oom(err);
	}
	if (mkdirat(copy->workdir_fd, TREE_NAME, 0700) < 0)
		return err_errno(err, "make directory '%s'", copy->view.path);
	copy->tree_fd = openat(copy->workdir_fd, TREE_NAME,
			       O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (copy->tree_fd < 0)
		return err_errno(err, "open '%s'", copy->view.path);
	r = layout_fill(store, copy->base, copy->tree_fd, ATTRIBUTES_TOLERANT, progress,
			err);
	if (r == 0)
		r = fill_table(copy, err);
	if (r < 0)
		return err_prefix(err, r, "lay out the tree");
	*ret_view = &TAKE_PTR(copy)->view;
	return 0;
}

static int prepare(struct view *view, bool writing, struct cop_error *err)
{
	(void)view;
	(void)writing;
	(void)err;
	return 0;
}

struct scanning {
	const struct tree_scan_options *staging;
	const struct table *table;
};

static void lock_arena(void *data)
{
	const struct scanning *scanning = data;

	if (scanning->staging->lock)
		scanning->staging->lock(scanning->staging->data);
}

static void unlock_arena(void *data)
{
	const struct scanning *scanning = data;

	if (scanning->staging->unlock)
		scanning->staging->unlock(scanning->staging->data);
}

static void settle(void *data)
{
	const struct scanning *scanning = data;

	if (scanning->staging->settle)
		scanning->staging->settle(scanning->staging->data);
}

static int take_content(void *data, struct tree *tree, struct tree_node *node, int fd,
			const struct stat *st, const char *path, struct cop_error *err)
{
	struct scanning *scanning = data;
	const struct record *record = table_find_unchanged(scanning->table, st);
	const struct tree_node *base;
	int r;

	if (!record)
		return scanning->staging->content(scanning->staging->data, tree, node, fd,
						  st, path, err);
	closep(&fd);
	base = tree_inode(record->base);
	lock_arena(data);
	if (base->digest)
		r = tree_set_digest(tree, node, base->digest, err);
	else
		r = tree_set_content(tree, node, base->content, (size_t)base->size, err);
	unlock_arena(data);
	return r;
}

static int scan(const struct copy_view *copy, struct staging *staging,
		struct tree **ret_tree, struct cop_error *err)
{
	struct scanning scanning = {.staging = staging_scan_options(staging),
				    .table = copy->table};
	struct tree_scan_options options = {
		.content = take_content,
		.lock = lock_arena,
		.unlock = unlock_arena,
		.settle = settle,
		.data = &scanning,
	};
	auto_ptr(tree) tree = NULL;
	struct cop_error first = {};
	int r = tree_scan(copy->tree_fd, &options, &tree, &first);
	/* Until then the staging's threads write into the tree. */
	int staging_r = staging_finish(staging, err);

	if (staging_r < 0)
		return staging_r;
	if (r < 0) {
		(void)err_copy(err, &first);
		return r;
	}
	*ret_tree = TAKE_PTR(tree);
	return 0;
}

struct merging {
	const struct table *was;
	struct table *table;
	struct tree *tree;
	struct timespec line;
	uint32_t n_entries;
};

/* The scan and this walk must have seen the same. */
static bool is_as_scanned(const struct walk_entry *entry)
{
	const struct tree_node *inode = tree_inode(entry->node);
	const struct seen *seen = &entry->seen;

	return inode->mode == seen->mode && inode->uid == seen->uid &&
	       inode->gid == seen->gid && inode->mtime_sec == seen->mtime.tv_sec &&
	       inode->mtime_nsec == seen->mtime.tv_nsec &&
	       (!S_ISREG(seen->mode) || inode->size == seen->size);
}

/* A list of its own: the node's is changed in place. */
static int keep_xattrs(struct tree *tree, const struct tree_node *node,
		       struct record *record, struct cop_error *err)
{
	size_t size = node->n_xattrs * sizeof(*node->xattrs);
	struct tree_xattr *copy;

	if (size == 0)
		return 0;
	copy = arena_alloc(tree->arena, size);
	if (!copy)
		return err_oom(err);
	memcpy(copy, node->xattrs, size);
	record->xattrs = copy;
	record->n_xattrs = node->n_xattrs;
	return 0;
}

static int merge_entry(void *data, const struct walk_entry *entry, struct cop_error *err)
{
	struct merging *merging = data;
	struct tree_node *node = entry->node;
	const struct record *was = table_find(merging->was, &entry->seen);
	struct record *record;
	int r;

	merging->n_entries++;
	/* An inode is merged at the name that carries it in the tree, and only once. */
	if (node && node->link)
		return 0;
	if (!node || !is_as_scanned(entry))
		return err_set(err, -ESTALE, "'%s' changed while it was read",
			       entry->path);
	r = table_add(merging->table, entry, &merging->line, &record);
	if (r < 0)
		return err_oom(err);
	if (r == 0)
		return err_set(err, -ESTALE, "'%s' became a hard link while it was read",
			       entry->path);
	r = keep_xattrs(merging->tree, node, record, err);
	if (r < 0 || !was)
		return r;
	r = merge_inode(merging->tree, node, was, record, err);
	return r < 0 ? err_prefix(err, r, "'%s'", entry->path) : 0;
}

static int merge_base(const struct copy_view *copy, struct tree *tree,
		      const struct timespec *line, struct table **ret_table,
		      struct cop_error *err)
{
	auto_ptr(table) table = table_new(tree->n_nodes);
	struct merging merging = {
		.was = copy->table, .table = table, .tree = tree, .line = *line};
	int r;

	if (!table)
		return err_oom(err);
	r = walk_directory(copy->tree_fd, tree, merge_entry, &merging, err);
	if (r == 0 && merging.n_entries != tree->n_nodes)
		r = err_set(err, -ESTALE, "files vanished while they were read");
	if (r == 0)
		r = tree_canonicalise(tree, err);
	if (r < 0)
		return r;
	*ret_table = TAKE_PTR(table);
	return 0;
}

static int capture(struct view *view, struct staging *staging,
		   struct view_capture **ret_capture, struct cop_error *err)
{
	struct copy_view *copy = to_copy(view);
	auto_free struct copy_capture *found = calloc(1, sizeof(*found));
	auto_ptr(tree) tree = NULL;
	struct timespec line;
	int r;

	if (!found)
		return err_oom(err);
	r = clock_settle(copy->workdir_fd, &line, err);
	if (r == 0)
		r = scan(copy, staging, &tree, err);
	if (r == 0)
		r = merge_base(copy, tree, &line, &found->table, err);
	if (r < 0)
		return r;
	found->capture.tree = TAKE_PTR(tree);
	*ret_capture = (struct view_capture *)(void *)TAKE_PTR(found);
	return 0;
}

static void drop(struct view *view, struct view_capture *capture)
{
	struct copy_capture *found = to_copy_capture(capture);

	(void)view;
	tree_free(capture->tree);
	table_free(found->table);
	free(found);
}

static void adopt(struct view *view, struct view_capture *capture,
		  const struct cop_digest *digest)
{
	struct copy_view *copy = to_copy(view);
	struct copy_capture *found = to_copy_capture(capture);
	struct tree *old_base = copy->base;
	struct table *old_table = copy->table;

	(void)digest;
	copy->base = capture->tree;
	copy->table = found->table;
	capture->tree = old_base;
	found->table = old_table;
	drop(view, capture);
}

struct clamping {
	const struct table *table;
	struct timespec epoch;
};

static int clamp_entry(void *data, const struct walk_entry *entry, struct cop_error *err)
{
	const struct clamping *clamping = data;
	const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, clamping->epoch};
	const struct record *record = table_find(clamping->table, &entry->seen);

	if (!clock_is_after(&entry->seen.mtime, &clamping->epoch))
		return 0;
	/* As it came out of the base: not ours to change. */
	if (record && seen_same_time(&record->out.mtime, &entry->seen.mtime))
		return 0;
	if (utimensat(entry->dir_fd, entry->name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return err_errno(err, "set mtime of '%s'", entry->path);
	return 0;
}

static int clamp(struct view *view, int64_t epoch, struct cop_error *err)
{
	struct copy_view *copy = to_copy(view);
	struct clamping clamping = {.table = copy->table, .epoch.tv_sec = epoch};

	return walk_directory(copy->tree_fd, NULL, clamp_entry, &clamping, err);
}

struct counting {
	const struct table *table;
	struct object_changes found;
	uint64_t n_known; /* names that the base has, too */
};

static int count_entry(void *data, const struct walk_entry *entry, struct cop_error *err)
{
	struct counting *counting = data;
	const struct record *record = table_find(counting->table, &entry->seen);

	(void)err;
	counting->found.n_entries++;
	if (entry->node)
		counting->n_known++;
	if (record && entry->node &&
	    tree_inode(entry->node) == tree_inode(record->base) &&
	    record_is_untouched(record, &entry->seen))
		return 0;
	counting->found.n_changed++;
	if (S_ISREG(entry->seen.mode) &&
	    !(record && record_is_untouched(record, &entry->seen)))
		counting->found.n_changed_bytes += entry->seen.size;
	return 0;
}

static int changes(struct view *view, struct object_changes *ret, struct cop_error *err)
{
	struct copy_view *copy = to_copy(view);
	struct counting counting = {.table = copy->table};
	int r = walk_directory(copy->tree_fd, copy->base, count_entry, &counting, err);

	if (r < 0)
		return r;
	counting.found.n_changed += copy->base->n_nodes - counting.n_known;
	*ret = counting.found;
	return 0;
}

const struct view_ops view_copy_ops = {
	.open = open_copy,
	.close = close_copy,
	.prepare = prepare,
	.capture = capture,
	.adopt = adopt,
	.drop = drop,
	.clamp = clamp,
	.changes = changes,
};
