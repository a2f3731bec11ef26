/* SPDX-License-Identifier: Apache-2.0 */
#include "modules/stages/copytree.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/map.h"
#include "modkit/root.h"
#include "modules/stages/xattr.h"

struct inode {
	dev_t dev;
	ino_t ino;
};

struct copy {
	int to_root_fd;
	const struct copytree_options *options;
	struct arena *arena;
	struct map *links; /* inode of a source -> path of its first copy */
	struct inode top;  /* the directory that is being filled */
	struct cop_error *err;
};

/* One thing on its way: @name in @from_fd becomes @to_name in @to_fd, which is @path
 * below the root. */
struct step {
	int from_fd;
	const char *name;
	int to_fd;
	const char *to_name;
	const char *path;
};

static int put_xattr(void *data, const char *name, const void *value, size_t size,
		     struct cop_error *err)
{
	const int *fd = data;

	return xattr_set(*fd, name, value, size, err);
}

/* Owner, mode, attributes, times, in the order in which one does not undo the other. */
static int copy_attributes(struct copy *copy, int from, int to, const struct stat *st)
{
	const struct timespec times[2] = {st->st_atim, st->st_mtim};
	char path[64];
	int r;

	if (fchownat(to, "", copy->options->owner ? *copy->options->owner : st->st_uid,
		     copy->options->group ? *copy->options->group : st->st_gid,
		     AT_EMPTY_PATH) < 0)
		return err_errno(copy->err, "set owner");
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", to);
	if (!S_ISLNK(st->st_mode) && chmod(path, st->st_mode & 07777) < 0)
		return err_errno(copy->err, "set mode");
	r = xattr_each(from, put_xattr, &to, copy->err);
	if (r < 0)
		return r;
	if (utimensat(to, "", times, AT_EMPTY_PATH) < 0)
		return err_errno(copy->err, "set times");
	return 0;
}

static int remember_link(struct copy *copy, const struct stat *st, const char *path)
{
	struct inode *key;
	void **slot;

	if (st->st_nlink < 2)
		return 0;
	key = arena_alloc(copy->arena, sizeof(*key));
	if (!key)
		return err_oom(copy->err);
	key->dev = st->st_dev;
	key->ino = st->st_ino;
	slot = map_slot(copy->links, key, sizeof(*key));
	if (!slot)
		return err_oom(copy->err);
	*slot = arena_memdup(copy->arena, path, strlen(path));
	return *slot ? 0 : err_oom(copy->err);
}

/* Return: 1 when the step is done as a further link to an earlier copy, 0, or a negative
 * errno. */
static int link_again(struct copy *copy, const struct step *step, const struct stat *st)
{
	auto_close int parent = -EBADF;
	struct inode key = {.dev = st->st_dev, .ino = st->st_ino};
	char name[NAME_MAX + 1];
	const char *first;

	if (st->st_nlink < 2)
		return 0;
	first = map_get(copy->links, &key, sizeof(key));
	if (!first)
		return 0;
	parent = root_open_parent(copy->to_root_fd, first, name, copy->err);
	if (parent < 0)
		return parent;
	if (linkat(parent, name, step->to_fd, step->to_name, 0) < 0)
		return err_errno(copy->err, "link to '%s'", first);
	return 1;
}

/* Return: an fd to write to, or a negative errno.  A symlink to a file is written
 * through, inside the root. */
static int open_target(struct copy *copy, const struct step *step, bool is_symlink)
{
	int fd;

	if (is_symlink)
		return fs_open_in_root(copy->to_root_fd, step->path,
				       O_WRONLY | O_TRUNC | O_NONBLOCK, 0, copy->err);
	fd = openat(step->to_fd, step->to_name,
		    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	return fd < 0 ? err_errno(copy->err, "create") : fd;
}

static int copy_file(struct copy *copy, const struct step *step, bool is_symlink)
{
	auto_close int from = -EBADF, to = -EBADF;
	struct stat st;
	int r;

	from = openat(step->from_fd, step->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (from < 0 || fstat(from, &st) < 0)
		return err_errno(copy->err, "open");
	to = open_target(copy, step, is_symlink);
	if (to < 0)
		return to;
	r = fs_copy_data(from, to, (uint64_t)st.st_size, copy->err);
	return r < 0 ? r : copy_attributes(copy, from, to, &st);
}

static int copy_special(struct copy *copy, const struct step *step, const struct stat *st)
{
	auto_close int from =
		openat(step->from_fd, step->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	auto_close int to = -EBADF;
	char target[PATH_MAX];

	if (from < 0)
		return err_errno(copy->err, "open");
	if (S_ISLNK(st->st_mode)) {
		ssize_t n = readlinkat(from, "", target, sizeof(target) - 1);

		if (n < 0)
			return err_errno(copy->err, "read symlink");
		target[n] = '\0';
		if (symlinkat(target, step->to_fd, step->to_name) < 0)
			return err_errno(copy->err, "create symlink");
	} else if (mknodat(step->to_fd, step->to_name, st->st_mode & (S_IFMT | 0700),
			   st->st_rdev) < 0) {
		return err_errno(copy->err, "create node");
	}
	to = openat(step->to_fd, step->to_name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (to < 0)
		return err_errno(copy->err, "open the copy");
	return copy_attributes(copy, from, to, st);
}

static int copy_step(struct copy *copy, const struct step *step);

static int copy_children(struct copy *copy, int from, int to, const char *path)
{
	auto_free char *child = malloc(PATH_MAX);
	char **names = NULL;
	int r = child ? fs_list(from, &names, NULL, copy->err) : err_oom(copy->err);

	for (char **name = names; r == 0 && name && *name; name++) {
		const struct step step = {from, *name, to, *name, child};
		int n = snprintf(child, PATH_MAX, "%s%s%s", path, *path ? "/" : "",
				 *name);

		r = n < PATH_MAX
			    ? copy_step(copy, &step)
			    : err_code(copy->err, -ENAMETOOLONG, "copy to '%s'", child);
	}
	(void)fs_list_free(names);
	return r;
}

/* What is being filled must not be copied: there would be no end. */
static int refuse_top(struct copy *copy, const struct stat *st)
{
	if (st->st_dev != copy->top.dev || st->st_ino != copy->top.ino)
		return 0;
	return err_set(copy->err, -EINVAL, "a directory cannot be copied into itself");
}

/* The content and the attributes of one directory into another that exists. */
static int fill_dir(struct copy *copy, int from, int to, const char *path)
{
	struct stat st, to_st;
	int r;

	if (fstat(from, &st) < 0 || fstat(to, &to_st) < 0)
		return err_errno(copy->err, "stat");
	if (copy->top.ino == 0)
		copy->top = (struct inode){to_st.st_dev, to_st.st_ino};
	r = refuse_top(copy, &st);
	if (r < 0)
		return r;
	r = copy_children(copy, from, to, path);
	return r == 0 ? copy_attributes(copy, from, to, &st) : r;
}

static int copy_dir(struct copy *copy, const struct step *step)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	auto_close int from = openat(step->from_fd, step->name, flags), to = -EBADF;
	struct stat st;
	int r;

	if (from < 0 || fstat(from, &st) < 0)
		return err_errno(copy->err, "open");
	r = refuse_top(copy, &st);
	if (r < 0)
		return r;
	if (mkdirat(step->to_fd, step->to_name, 0700) < 0 && errno != EEXIST)
		return err_errno(copy->err, "make directory");
	to = openat(step->to_fd, step->to_name, flags);
	if (to < 0)
		return err_errno(copy->err, "open the copy");
	return fill_dir(copy, from, to, step->path);
}

/* What may be replaced goes; *ret_symlink: it is one, and is to be written through. */
static int make_room(struct copy *copy, const struct step *step, const struct stat *from,
		     bool *ret_symlink)
{
	struct stat st;

	if (fstatat(step->to_fd, step->to_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : err_errno(copy->err, "stat the copy");
	if (S_ISDIR(from->st_mode) && !S_ISDIR(st.st_mode))
		return err_set(copy->err, -ENOTDIR,
			       "a directory does not replace what "
			       "is not one");
	if (S_ISDIR(from->st_mode))
		return 0;
	if (S_ISDIR(st.st_mode))
		return err_set(copy->err, -EISDIR,
			       "only a directory replaces a "
			       "directory");
	if (S_ISLNK(st.st_mode) && S_ISREG(from->st_mode) &&
	    !copy->options->remove_destination) {
		*ret_symlink = true;
		return 0;
	}
	if (unlinkat(step->to_fd, step->to_name, 0) < 0)
		return err_errno(copy->err, "remove the destination");
	return 0;
}

static int copy_plain(struct copy *copy, const struct step *step, const struct stat *st,
		      bool is_symlink)
{
	int r = is_symlink ? 0 : link_again(copy, step, st);

	if (r != 0)
		return r < 0 ? r : 0;
	r = S_ISREG(st->st_mode) ? copy_file(copy, step, is_symlink)
				 : copy_special(copy, step, st);
	return r == 0 && !is_symlink ? remember_link(copy, st, step->path) : r;
}

static int copy_step(struct copy *copy, const struct step *step)
{
	bool is_symlink = false;
	struct stat st;
	int r;

	if (fstatat(step->from_fd, step->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_errno(copy->err, "'%s'", step->name);
	r = make_room(copy, step, &st, &is_symlink);
	/* Deep trees: only the innermost name is told, not one prefix per level. */
	if (r == 0 && S_ISDIR(st.st_mode))
		return copy_dir(copy, step);
	if (r == 0)
		r = copy_plain(copy, step, &st, is_symlink);
	return r < 0 ? err_prefix(copy->err, r, "to '%s'", step->path) : 0;
}

static int make_target(struct copy *copy, const struct location *to)
{
	auto_close int parent = -EBADF;
	char name[NAME_MAX + 1];

	if (to->inside)
		return err_set(copy->err, -ENOENT, "directory '%s' does not exist",
			       to->path);
	parent = root_open_parent(to->root_fd, to->path, name, copy->err);
	if (parent < 0)
		return parent;
	if (mkdirat(parent, name, 0700) < 0)
		return err_errno(copy->err, "make directory '%s'", to->path);
	return 0;
}

/* What is in a directory, into a directory that is made when it is missing. */
static int copy_inside(struct copy *copy, const struct location *from,
		       const struct location *to, int to_dir)
{
	auto_close int source = fs_open_in_root(from->root_fd, from->path,
						O_RDONLY | O_DIRECTORY, 0, copy->err);
	auto_close int target = -EBADF;
	int r;

	if (source < 0)
		return source;
	r = to_dir < 0 ? make_target(copy, to) : 0;
	if (r < 0)
		return r;
	target = fs_open_in_root(to->root_fd, to->path, O_RDONLY | O_DIRECTORY, 0,
				 copy->err);
	return target < 0 ? target : fill_dir(copy, source, target, to->path);
}

/* One thing: into the directory that is there, or under the name that is given. */
static int copy_one(struct copy *copy, const struct location *from,
		    const struct location *to, int to_dir)
{
	auto_close int source = -EBADF, parent = -EBADF;
	char name[NAME_MAX + 1], to_name[NAME_MAX + 1], path[PATH_MAX];
	struct step step = {.name = name, .path = path};
	int n;

	source = root_open_parent(from->root_fd, from->path, name, copy->err);
	if (source < 0)
		return source;
	step.from_fd = source;
	if (to_dir >= 0) {
		step.to_fd = to_dir;
		step.to_name = name;
		n = snprintf(path, sizeof(path), "%s/%s", to->path, name);
	} else if (to->inside) {
		return err_set(copy->err, -ENOENT, "directory '%s' does not exist",
			       to->path);
	} else {
		parent = root_open_parent(to->root_fd, to->path, to_name, copy->err);
		if (parent < 0)
			return parent;
		step.to_fd = parent;
		step.to_name = to_name;
		n = snprintf(path, sizeof(path), "%s", to->path);
	}
	if (n >= (int)sizeof(path))
		return err_code(copy->err, -ENAMETOOLONG, "copy to '%s'", to->path);
	return copy_step(copy, &step);
}

int copytree(const struct location *from, const struct location *to,
	     const struct copytree_options *options, struct cop_error *err)
{
	auto_ptr(arena) arena = arena_new();
	auto_ptr(map) links = map_new();
	auto_close int to_dir = -EBADF;
	struct copy copy = {
		.to_root_fd = to->root_fd,
		.options = options,
		.arena = arena,
		.links = links,
		.err = err,
	};

	if (!arena || !links)
		return err_oom(err);
	to_dir = fs_open_in_root(to->root_fd, to->path, O_RDONLY | O_DIRECTORY, 0, NULL);
	return from->inside ? copy_inside(&copy, from, to, to_dir)
			    : copy_one(&copy, from, to, to_dir);
}
