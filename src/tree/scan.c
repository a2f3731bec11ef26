/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A directory -> a tree.  One frame per level, each with an open directory; only the
 * innermost ones keep it, the others are opened again on the way back, through ".." and
 * only when it is the same directory still.
 *
 * A name is looked at once and opened once: what was opened must be what was looked at,
 * and what cannot be opened (symlinks, devices) must not have changed when we are done.
 */
#include "tree/scan.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "base/map.h"
#include "tree/private.h"

#define DIRENTS_SIZE ((size_t)(32 * KIB))
/* How many directories are open at the same time. */
#define OPEN_LEVELS 64
#define PROC_PATH   (sizeof("/proc/self/fd/-2147483648/") + TREE_NAME_MAX)

/* A name that was read and waits to be looked at; @name: offset in the frame's names. */
struct entry {
	uint64_t ino;
	size_t name;
};

struct frame {
	int fd; /* negative: closed for a while */
	struct tree_node *node;
	dev_t dev;
	ino_t ino;
	struct buf names;   /* NUL-terminated, back to back */
	struct buf entries; /* of struct entry, by inode: the order on old disks */
	size_t next;
	size_t path_size; /* of the directory's own path */
};

struct inode_key {
	uint64_t dev;
	uint64_t ino;
};

struct scan {
	const struct tree_scan_options *options;
	struct tree *tree;
	struct arena *keys; /* struct inode_key */
	struct map *inodes; /* of names with hard links -> node */
	struct xattr_reader xattrs;
	struct frame *frames;
	unsigned int n_frames;
	struct buf path; /* of what we look at, relative to the root */
	char *dirents;
};

static void frame_done(struct frame *frame)
{
	closep(&frame->fd);
	buf_done(&frame->names);
	buf_done(&frame->entries);
}

static void scan_done(struct scan *scan)
{
	while (scan->n_frames > 0)
		frame_done(&scan->frames[--scan->n_frames]);
	free(scan->frames);
	free(scan->dirents);
	buf_done(&scan->path);
	xattr_reader_done(&scan->xattrs);
	map_free(scan->inodes);
	arena_free(scan->keys);
}

static void lock_tree(const struct scan *scan)
{
	if (scan->options->lock)
		scan->options->lock(scan->options->data);
}

static void unlock_tree(const struct scan *scan)
{
	if (scan->options->unlock)
		scan->options->unlock(scan->options->data);
}

static struct frame *top_frame(struct scan *scan)
{
	return &scan->frames[scan->n_frames - 1];
}

static const char *shown_path(const struct scan *scan)
{
	return scan->path.size > 0 ? scan->path.data : ".";
}

static int stale(const struct scan *scan, struct cop_error *err)
{
	return err_set(err, -ESTALE, "'%s' changed while it was read", shown_path(scan));
}

static int compare_entries(const void *a, const void *b, void *names)
{
	const struct entry *left = a, *right = b;

	if (left->ino != right->ino)
		return left->ino < right->ino ? -1 : 1;
	return strcmp((const char *)names + left->name,
		      (const char *)names + right->name);
}

static int keep_entries(struct frame *frame, const char *dirents, size_t size)
{
	for (size_t i = 0; i < size;) {
		const struct dirent64 *dirent = (const void *)(dirents + i);
		struct entry entry = {.ino = dirent->d_ino, .name = frame->names.size};
		const char *name = dirent->d_name;

		i += dirent->d_reclen;
		if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
			continue;
		if (buf_append(&frame->names, name, strlen(name) + 1) < 0 ||
		    buf_append(&frame->entries, &entry, sizeof(entry)) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int read_entries(struct scan *scan, struct frame *frame, struct cop_error *err)
{
	size_t n_entries;

	for (;;) {
		ssize_t n = getdents64(frame->fd, scan->dirents, DIRENTS_SIZE);

		if (n < 0)
			return err_errno(err, "read directory '%s'", shown_path(scan));
		if (n == 0)
			break;
		if (keep_entries(frame, scan->dirents, (size_t)n) < 0)
			return err_oom(err);
	}
	n_entries = frame->entries.size / sizeof(struct entry);
	if (n_entries > 1)
		qsort_r(frame->entries.data, n_entries, sizeof(struct entry),
			compare_entries, frame->names.data);
	return 0;
}

static void count_entry(const struct scan *scan, const struct stat *st)
{
	struct tree_scan_report *report = scan->options->report;

	if (!report)
		return;
	/* Another thread may show it as progress. */
	__atomic_store_n(&report->n_entries, report->n_entries + 1, __ATOMIC_RELAXED);
	if (st && S_ISREG(st->st_mode))
		__atomic_store_n(&report->n_bytes,
				 report->n_bytes + (uint64_t)st->st_size,
				 __ATOMIC_RELAXED);
}

static int set_metadata(const struct scan *scan, struct tree_node *node,
			const struct stat *st, struct cop_error *err)
{
	node->mode = st->st_mode & (S_IFMT | 07777);
	node->uid = st->st_uid;
	node->gid = st->st_gid;
	node->nlink = (uint32_t)st->st_nlink;
	node->mtime_sec = st->st_mtim.tv_sec;
	node->mtime_nsec = (uint32_t)st->st_mtim.tv_nsec;
	node->size = S_ISREG(st->st_mode) ? (uint64_t)st->st_size : 0;
	if ((S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode)) &&
	    tree_rdev(st->st_rdev, &node->rdev) < 0)
		return err_set(err, -ERANGE, "device '%s' has number %u:%u, too large",
			       shown_path(scan), major(st->st_rdev), minor(st->st_rdev));
	return 0;
}

/* Enter a directory that is open already; its path is that of the scan. */
static int push_frame(struct scan *scan, int fd, struct tree_node *node,
		      const struct stat *st, struct cop_error *err)
{
	auto_close int owned = fd;
	struct frame *frame;
	int r;

	if (scan->n_frames > TREE_DEPTH_MAX)
		return err_set(err, -ERANGE, "'%s' is more than %d directories deep",
			       shown_path(scan), TREE_DEPTH_MAX);
	r = set_metadata(scan, node, st, err);
	if (r == 0)
		r = xattr_read(&scan->xattrs, scan->tree, node, owned, NULL,
			       shown_path(scan), err);
	if (r < 0)
		return r;
	count_entry(scan, NULL);
	if (scan->n_frames >= OPEN_LEVELS) {
		struct frame *far = &scan->frames[scan->n_frames - OPEN_LEVELS];

		closep(&far->fd);
		far->fd = -EBADF;
	}
	frame = &scan->frames[scan->n_frames++];
	*frame = (struct frame){
		.fd = TAKE_FD(owned),
		.node = node,
		.dev = st->st_dev,
		.ino = st->st_ino,
		.path_size = scan->path.size,
	};
	return read_entries(scan, frame, err);
}

static int pop_frame(struct scan *scan, struct cop_error *err)
{
	auto_close int child_fd = TAKE_FD(top_frame(scan)->fd);
	struct frame *frame;
	struct stat st;

	frame_done(top_frame(scan));
	scan->n_frames--;
	if (scan->n_frames == 0)
		return 0;
	frame = top_frame(scan);
	buf_truncate(&scan->path, frame->path_size);
	if (frame->fd >= 0)
		return 0;
	frame->fd = openat(child_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (frame->fd < 0 || fstat(frame->fd, &st) < 0)
		return err_errno(err, "open '%s' again", shown_path(scan));
	if (st.st_dev != frame->dev || st.st_ino != frame->ino)
		return err_set(err, -ESTALE, "'%s' was moved while it was read",
			       shown_path(scan));
	return 0;
}

static bool crosses_a_mount(const struct scan *scan, const struct statx *stx)
{
	if (stx->stx_attributes_mask & STATX_ATTR_MOUNT_ROOT)
		return (stx->stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
	/* Kernels before 5.8 do not say; the device number does, but for bind mounts. */
	return makedev(stx->stx_dev_major, stx->stx_dev_minor) !=
	       scan->frames[scan->n_frames - 1].dev;
}

/* The kernel's statx as a stat; refuses mount points. */
static int look(const struct scan *scan, int dir_fd, const char *name,
		struct stat *ret_st, struct cop_error *err)
{
	struct statx stx;

	if (statx(dir_fd, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_BASIC_STATS,
		  &stx) < 0) {
		if (errno == ENOENT)
			return err_set(err, -ESTALE,
				       "'%s' vanished while its directory was read",
				       shown_path(scan));
		return err_errno(err, "stat '%s'", shown_path(scan));
	}
	if (crosses_a_mount(scan, &stx))
		return err_set(err, -EXDEV,
			       "'%s' is a mount point; unmount it, or take a copy of the "
			       "directory without it",
			       shown_path(scan));
	*ret_st = (struct stat){
		.st_dev = makedev(stx.stx_dev_major, stx.stx_dev_minor),
		.st_ino = stx.stx_ino,
		.st_mode = stx.stx_mode,
		.st_nlink = stx.stx_nlink,
		.st_uid = stx.stx_uid,
		.st_gid = stx.stx_gid,
		.st_rdev = makedev(stx.stx_rdev_major, stx.stx_rdev_minor),
		.st_size = (off_t)stx.stx_size,
		.st_mtim = {.tv_sec = stx.stx_mtime.tv_sec,
			    .tv_nsec = stx.stx_mtime.tv_nsec},
		.st_ctim = {.tv_sec = stx.stx_ctime.tv_sec,
			    .tv_nsec = stx.stx_ctime.tv_nsec},
	};
	return 0;
}

static int open_same(const struct scan *scan, int dir_fd, const char *name, int flags,
		     struct stat *st, struct cop_error *err)
{
	/* O_NONBLOCK: a fifo that took the place of the file must not hang us. */
	auto_close int fd =
		openat(dir_fd, name,
		       flags | O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat opened;

	if (fd < 0 && (errno == ENOENT || errno == ELOOP || errno == ENOTDIR))
		return stale(scan, err);
	if (fd < 0)
		return err_errno(err, "open '%s'", shown_path(scan));
	if (fstat(fd, &opened) < 0)
		return err_errno(err, "stat '%s'", shown_path(scan));
	if (opened.st_dev != st->st_dev || opened.st_ino != st->st_ino ||
	    (opened.st_mode & S_IFMT) != (st->st_mode & S_IFMT))
		return stale(scan, err);
	*st = opened;
	return TAKE_FD(fd);
}

static int add_node(struct scan *scan, const char *name, uint32_t mode,
		    struct tree_node *inode, struct tree_node **ret_node,
		    struct cop_error *err)
{
	struct tree_node *parent = top_frame(scan)->node;
	int r;

	lock_tree(scan);
	if (inode)
		r = tree_add_link(scan->tree, parent, name, strlen(name), inode, ret_node,
				  err);
	else
		r = tree_add(scan->tree, parent, name, strlen(name),
			     mode & (S_IFMT | 07777), ret_node, err);
	unlock_tree(scan);
	return r < 0 ? err_prefix(err, r, "'%s'", shown_path(scan)) : 0;
}

/* Where the node of this inode is kept: NULL there when this is its first name. */
static void **find_inode(struct scan *scan, const struct stat *st)
{
	struct inode_key key = {.dev = st->st_dev, .ino = st->st_ino};
	const void *kept = &key;

	/* Only a key that is new has to live on. */
	if (!map_get(scan->inodes, &key, sizeof(key)))
		kept = arena_memdup(scan->keys, &key, sizeof(key));
	return kept ? map_slot(scan->inodes, kept, sizeof(key)) : NULL;
}

static int read_target(struct scan *scan, int dir_fd, const char *name,
		       struct tree_node *node, struct cop_error *err)
{
	not_zeroed char target[TREE_SYMLINK_MAX + 1];
	ssize_t n = readlinkat(dir_fd, name, target, sizeof(target));
	int r;

	if (n < 0 && (errno == ENOENT || errno == EINVAL))
		return stale(scan, err);
	if (n < 0)
		return err_errno(err, "read symlink '%s'", shown_path(scan));
	lock_tree(scan);
	r = tree_set_target(scan->tree, node, target, (size_t)n, err);
	unlock_tree(scan);
	return r < 0 ? err_prefix(err, r, "'%s'", shown_path(scan)) : 0;
}

/* What is not opened: it has to be the same at the end as at the beginning. */
static int scan_closed(struct scan *scan, int dir_fd, const char *name,
		       struct tree_node *node, const struct stat *st,
		       struct cop_error *err)
{
	char proc_path[PROC_PATH];
	struct stat after;
	int r = 0;

	(void)snprintf(proc_path, sizeof(proc_path), "/proc/self/fd/%d/%s", dir_fd, name);
	if (S_ISLNK(st->st_mode))
		r = read_target(scan, dir_fd, name, node, err);
	if (r == 0)
		r = xattr_read(&scan->xattrs, scan->tree, node, -EBADF, proc_path,
			       shown_path(scan), err);
	if (r == 0)
		r = look(scan, dir_fd, name, &after, err);
	if (r < 0)
		return r;
	if (after.st_dev != st->st_dev || after.st_ino != st->st_ino ||
	    after.st_ctim.tv_sec != st->st_ctim.tv_sec ||
	    after.st_ctim.tv_nsec != st->st_ctim.tv_nsec)
		return stale(scan, err);
	return set_metadata(scan, node, st, err);
}

static int scan_file(struct scan *scan, int dir_fd, const char *name,
		     struct tree_node *node, struct stat *st, struct cop_error *err)
{
	const struct tree_scan_options *options = scan->options;
	auto_close int fd = open_same(scan, dir_fd, name, 0, st, err);
	int r;

	if (fd < 0)
		return fd;
	r = set_metadata(scan, node, st, err);
	if (r == 0)
		r = xattr_read(&scan->xattrs, scan->tree, node, fd, NULL,
			       shown_path(scan), err);
	/* It may have been emptied since we looked. */
	if (r < 0 || st->st_size == 0)
		return r;
	return options->content(options->data, scan->tree, node, TAKE_FD(fd), st,
				shown_path(scan), err);
}

static int scan_directory(struct scan *scan, int dir_fd, const char *name,
			  struct stat *st, struct cop_error *err)
{
	struct tree_node *node;
	int fd = open_same(scan, dir_fd, name, O_DIRECTORY, st, err);
	int r;

	if (fd < 0)
		return fd;
	r = add_node(scan, name, st->st_mode, NULL, &node, err);
	if (r < 0) {
		closep(&fd);
		return r;
	}
	return push_frame(scan, fd, node, st, err);
}

static int scan_leaf(struct scan *scan, int dir_fd, const char *name, struct stat *st,
		     struct cop_error *err)
{
	struct tree_node *node;
	void **first = NULL;
	int r;

	if (st->st_nlink > 1) {
		first = find_inode(scan, st);
		if (!first)
			return err_oom(err);
		if (*first) {
			count_entry(scan, NULL);
			return add_node(scan, name, 0, *first, &node, err);
		}
	}
	r = add_node(scan, name, st->st_mode, NULL, &node, err);
	if (r < 0)
		return r;
	if (first)
		*first = node;
	if (S_ISREG(st->st_mode) && st->st_size > 0 && scan->options->content)
		r = scan_file(scan, dir_fd, name, node, st, err);
	else
		r = scan_closed(scan, dir_fd, name, node, st, err);
	if (r == 0)
		count_entry(scan, st);
	return r;
}

static int scan_entry(struct scan *scan, const struct frame *frame, size_t i,
		      struct cop_error *err)
{
	const struct entry *entries = (const void *)frame->entries.data;
	const char *name = frame->names.data + entries[i].name;
	struct stat st;
	int r;

	buf_truncate(&scan->path, frame->path_size);
	if (frame->path_size > 0)
		(void)buf_append_char(&scan->path, '/');
	if (buf_append_text(&scan->path, name) < 0)
		return err_oom(err);
	r = look(scan, frame->fd, name, &st, err);
	if (r < 0)
		return r;
	return S_ISDIR(st.st_mode) ? scan_directory(scan, frame->fd, name, &st, err)
				   : scan_leaf(scan, frame->fd, name, &st, err);
}

static int scan_all(struct scan *scan, struct cop_error *err)
{
	int r = 0;

	while (scan->n_frames > 0 && r == 0) {
		struct frame *frame = top_frame(scan);

		if (frame->next < frame->entries.size / sizeof(struct entry))
			r = scan_entry(scan, frame, frame->next++, err);
		else
			r = pop_frame(scan, err);
	}
	return r;
}

static int scan_directory_at(struct scan *scan, int dir_fd, struct tree_node *node,
			     struct cop_error *err)
{
	/* Not a duplicate of @dir_fd, which would share its position. */
	auto_close int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_errno(err, "open directory");
	r = push_frame(scan, TAKE_FD(fd), node, &st, err);
	return r < 0 ? r : scan_all(scan, err);
}

static int scan_index(struct scan *scan, int index_fd,
		      const struct tree_scan_options *options,
		      struct tree_node **ret_index, struct cop_error *err)
{
	struct tree_node *index;
	int r;

	scan->options = options;
	scan->xattrs.options = options;
	buf_truncate(&scan->path, 0);
	lock_tree(scan);
	index = arena_alloc(scan->tree->arena, sizeof(*index));
	unlock_tree(scan);
	if (!index)
		return err_oom(err);
	index->name = "";
	r = scan_directory_at(scan, index_fd, index, err);
	if (r < 0)
		return err_prefix(err, r, "index of the overlay");
	*ret_index = index;
	return 0;
}

static int scan_both(struct scan *scan, int dir_fd, int index_fd,
		     const struct tree_scan_options *index_options,
		     struct tree_node **ret_index, struct cop_error *err)
{
	const struct tree_scan_options *options = scan->options;
	int r = scan_directory_at(scan, dir_fd, scan->tree->root, err);

	if (r == 0 && index_fd >= 0)
		r = scan_index(scan, index_fd, index_options, ret_index, err);
	if (r == 0)
		r = tree_finish(scan->tree, err);
	if (r < 0 && options->settle)
		options->settle(options->data);
	if (r == 0 && options->report)
		options->report->n_foreign_xattrs += scan->xattrs.n_foreign;
	return r;
}

static int scan_tree(int dir_fd, int index_fd, const struct tree_scan_options *options,
		     const struct tree_scan_options *index_options, bool any_xattrs,
		     struct tree **ret_tree, struct tree_node **ret_index,
		     struct cop_error *err)
{
	auto_ptr(tree) tree = tree_new(err);
	cleanup_with(scan_done) struct scan scan = {
		.options = options,
		.tree = tree,
		.keys = arena_new(),
		.inodes = map_new(),
		.xattrs = {.options = options, .any_size = any_xattrs},
		.frames = calloc(TREE_DEPTH_MAX + 1, sizeof(struct frame)),
		.dirents = malloc(DIRENTS_SIZE),
	};
	int r;

	if (!tree || !scan.keys || !scan.inodes || !scan.frames || !scan.dirents)
		return err_oom(err);
	r = scan_both(&scan, dir_fd, index_fd, index_options, ret_index, err);
	if (r < 0)
		return r;
	*ret_tree = TAKE_PTR(tree);
	return 0;
}

int tree_scan(int dir_fd, const struct tree_scan_options *options, struct tree **ret_tree,
	      struct cop_error *err)
{
	return scan_tree(dir_fd, -EBADF, options, NULL, false, ret_tree, NULL, err);
}

int tree_scan_upper(int upper_fd, int index_fd, const struct tree_scan_options *options,
		    const struct tree_scan_options *index_options, struct tree **ret_tree,
		    struct tree_node **ret_index, struct cop_error *err)
{
	*ret_index = NULL;
	return scan_tree(upper_fd, index_fd, options, index_options, true, ret_tree,
			 ret_index, err);
}
