/* SPDX-License-Identifier: Apache-2.0 */
#include "view/walk.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/fs.h"
#include "view/descent.h"

bool seen_same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

bool seen_is_same_file(const struct seen *a, const struct seen *b)
{
	return a->ino == b->ino && (a->mode & S_IFMT) == (b->mode & S_IFMT) &&
	       seen_same_time(&a->btime, &b->btime);
}

static struct timespec to_timespec(const struct statx_timestamp *stamp)
{
	return (struct timespec){.tv_sec = stamp->tv_sec, .tv_nsec = stamp->tv_nsec};
}

int seen_file(int dir_fd, const char *name, struct seen *ret)
{
	struct statx stx;

	if (statx(dir_fd, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
		  STATX_BASIC_STATS | STATX_BTIME, &stx) < 0)
		return -errno;
	*ret = (struct seen){
		.ino = stx.stx_ino,
		.size = stx.stx_size,
		.mtime = to_timespec(&stx.stx_mtime),
		.ctime = to_timespec(&stx.stx_ctime),
		.mode = stx.stx_mode,
		.uid = stx.stx_uid,
		.gid = stx.stx_gid,
		.rdev = makedev(stx.stx_rdev_major, stx.stx_rdev_minor),
	};
	if (stx.stx_mask & STATX_BTIME)
		ret->btime = to_timespec(&stx.stx_btime);
	return 0;
}

/* A directory that is being walked. */
struct level {
	char **names;
	size_t next;
	size_t path_size;
	struct tree_node *node;
};

struct walk {
	struct descent descent;
	struct level *levels;
	size_t n_levels, capacity;
	struct buf path;
	int (*visit)(void *data, const struct walk_entry *entry, struct cop_error *err);
	void *data;
};

static void walk_done(struct walk *walk)
{
	while (walk->n_levels > 0)
		fs_list_free(walk->levels[--walk->n_levels].names);
	free(walk->levels);
	buf_done(&walk->path);
	descent_done(&walk->descent);
}

/* Reads the directory that the descent is in. */
static int push_level(struct walk *walk, struct tree_node *node, struct cop_error *err)
{
	struct level level = {.path_size = walk->path.size, .node = node};
	int r;

	if (walk->n_levels == walk->capacity) {
		size_t wanted = walk->capacity ? walk->capacity * 2 : 16;
		struct level *grown = reallocarray(walk->levels, wanted, sizeof(*grown));

		if (!grown)
			return err_oom(err);
		walk->levels = grown;
		walk->capacity = wanted;
	}
	r = fs_list(walk->descent.fd, &level.names, NULL, err);
	if (r < 0)
		return err_prefix(err, r, "'%s'", buf_text(&walk->path));
	walk->levels[walk->n_levels++] = level;
	return 0;
}

static int pop_level(struct walk *walk, struct cop_error *err)
{
	struct level *level = &walk->levels[--walk->n_levels];
	int r = 0;

	fs_list_free(level->names);
	if (walk->n_levels > 0)
		r = descent_leave(&walk->descent, NULL);
	return r < 0 ? err_code(err, r, "leave '%s'", buf_text(&walk->path)) : 0;
}

static int visit_name(struct walk *walk, const char *name, struct tree_node *dir,
		      struct cop_error *err)
{
	struct walk_entry entry = {.dir_fd = walk->descent.fd, .name = name};
	int r;

	if (buf_append_char(&walk->path, '/') < 0 ||
	    buf_append_text(&walk->path, name) < 0)
		return err_oom(err);
	entry.path = buf_text(&walk->path);
	entry.node = dir ? tree_child(dir, name, strlen(name)) : NULL;
	r = seen_file(entry.dir_fd, name, &entry.seen);
	if (r < 0)
		return err_code(err, r, "stat '%s'", entry.path);
	r = walk->visit(walk->data, &entry, err);
	if (r < 0 || !S_ISDIR(entry.seen.mode))
		return r;
	r = descent_enter(&walk->descent, name);
	if (r < 0)
		return err_code(err, r, "open directory '%s'", entry.path);
	return push_level(walk, entry.node, err);
}

static int walk_levels(struct walk *walk, struct cop_error *err)
{
	while (walk->n_levels > 0) {
		struct level *level = &walk->levels[walk->n_levels - 1];
		const char *name = level->names[level->next++];
		int r;

		buf_truncate(&walk->path, level->path_size);
		r = name ? visit_name(walk, name, level->node, err)
			 : pop_level(walk, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int walk_directory(int root_fd, const struct tree *tree,
		   int (*visit)(void *data, const struct walk_entry *entry,
				struct cop_error *err),
		   void *data, struct cop_error *err)
{
	cleanup_with(walk_done) struct walk walk = {
		.descent.fd = -EBADF, .visit = visit, .data = data};
	struct walk_entry root = {.dir_fd = root_fd, .name = ".", .path = "/"};
	int r;

	root.node = tree ? tree->root : NULL;
	r = seen_file(root_fd, ".", &root.seen);
	if (r == 0)
		r = descent_begin(&walk.descent, root_fd);
	if (r < 0)
		return err_code(err, r, "open '/'");
	r = visit(data, &root, err);
	if (r == 0)
		r = push_level(&walk, root.node, err);
	return r < 0 ? r : walk_levels(&walk, err);
}
