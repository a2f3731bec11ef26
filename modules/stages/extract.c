/* SPDX-License-Identifier: Apache-2.0 */
#include "modules/stages/extract.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/fs.h"
#include "base/map.h"
#include "base/work.h"
#include "modkit/root.h"
#include "modules/stages/deb.h"
#include "modules/stages/entry.h"

/* A directory as a package wants it; the path is the package's own. */
struct wanted_dir {
	char *path;
	struct timespec mtime;
	mode_t mode;
	uid_t uid;
	gid_t gid;
	bool filled; /* only says that something else than directories is in it */
	struct {
		dev_t dev;
		ino_t ino;
	} inode; /* set when it is applied: two paths may lead to one directory */
};

struct dirs {
	struct arena *paths;
	struct wanted_dir *all;
	size_t n, capacity;
};

struct package {
	struct extract_package *out;
	struct dirs dirs;
};

/* What all threads share. */
struct tree {
	int fd;
	atomic_bool overlap;
};

/* What one thread works with while it lays out one package. */
struct layout {
	struct tree *tree;
	struct deb *deb;
	struct dirs dirs;
	int parent_fd; /* the directory of the last entry, and its path */
	char *parent;
	bool parent_filled;
	struct cop_error *err;
};

static void dirs_done(struct dirs *dirs)
{
	free(dirs->all);
	(void)arena_free(dirs->paths);
	*dirs = (struct dirs){};
}

static int keep_dir(struct layout *layout, const struct wanted_dir *wanted,
		    const char *path)
{
	struct dirs *dirs = &layout->dirs;
	struct wanted_dir *dir;

	if (dirs->n == dirs->capacity) {
		size_t capacity = dirs->capacity ? dirs->capacity * 2 : 64;
		struct wanted_dir *all = reallocarray(dirs->all, capacity, sizeof(*all));

		if (!all)
			return err_oom(layout->err);
		dirs->all = all;
		dirs->capacity = capacity;
	}
	dir = &dirs->all[dirs->n];
	*dir = *wanted;
	dirs->n++;
	dir->path = arena_memdup(dirs->paths, path, strlen(path));
	return dir->path ? 0 : err_oom(layout->err);
}

static int keep_entry(struct layout *layout, struct archive_entry *entry,
		      const char *path)
{
	const struct wanted_dir wanted = {
		.mtime = {.tv_sec = archive_entry_mtime(entry)},
		.mode = archive_entry_mode(entry) & 07777,
		.uid = (uid_t)archive_entry_uid(entry),
		.gid = (gid_t)archive_entry_gid(entry),
	};

	return keep_dir(layout, &wanted, path);
}

static int keep_filled(struct layout *layout)
{
	if (layout->parent_filled)
		return 0;
	layout->parent_filled = true;
	return keep_dir(layout, &(struct wanted_dir){.filled = true},
			*layout->parent ? layout->parent : ".");
}

/* The directory of @path, kept open while entries follow that lie in the same one. */
static int enter_parent(struct layout *layout, const char *path, char name[NAME_MAX + 1])
{
	const char *slash = strrchr(path, '/');
	size_t size = slash ? (size_t)(slash - path) : 0;
	int fd;

	if (layout->parent && strlen(layout->parent) == size &&
	    memcmp(layout->parent, path, size) == 0 && strlen(path + size) <= NAME_MAX &&
	    slash && strcmp(slash, "/.") != 0 && strcmp(slash, "/..") != 0 && slash[1]) {
		(void)strcpy(name, slash + 1);
		return 0;
	}
	fd = root_open_parent(layout->tree->fd, path, name, layout->err);
	if (fd < 0)
		return fd;
	closep(&layout->parent_fd);
	free(layout->parent);
	layout->parent_fd = fd;
	layout->parent_filled = false;
	layout->parent = strndup(path, size);
	return layout->parent ? 0 : err_oom(layout->err);
}

static int write_data(struct layout *layout, int fd)
{
	struct archive *archive = deb_data(layout->deb);
	la_int64_t offset, position = 0;
	const void *block;
	size_t size;
	int r;

	while ((r = archive_read_data_block(archive, &block, &size, &offset)) ==
	       ARCHIVE_OK) {
		if (offset != position)
			return err_set(layout->err, -EBADMSG,
				       "sparse files are not known "
				       "in packages");
		r = fs_write_all(fd, block, size);
		if (r < 0)
			return err_code(layout->err, r, "write");
		position += (la_int64_t)size;
	}
	if (r == ARCHIVE_EOF)
		return 0;
	return err_set(layout->err, -EBADMSG, "%s", archive_error_string(archive));
}

static int lay_file(struct layout *layout, struct archive_entry *entry, const char *name)
{
	auto_close int fd =
		openat(layout->parent_fd, name,
		       O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int r;

	if (fd < 0)
		return err_errno(layout->err, "create");
	r = write_data(layout, fd);
	if (r < 0)
		return r;
	return entry_apply(entry, fd, layout->err);
}

/* Return: 1 when the entry need not be laid out, 0, or a negative errno. */
static int make_room(struct layout *layout, struct archive_entry *entry, const char *name)
{
	struct stat st;

	if (fstatat(layout->parent_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : err_errno(layout->err, "stat");
	atomic_store(&layout->tree->overlap, true);
	if (S_ISDIR(st.st_mode)) {
		/* As dpkg does: a directory stays where a package has a symlink. */
		if (archive_entry_filetype(entry) == AE_IFLNK)
			return 1;
		return err_code(layout->err, -EISDIR, "replace");
	}
	if (unlinkat(layout->parent_fd, name, 0) < 0 && errno != ENOENT)
		return err_errno(layout->err, "replace");
	return 0;
}

static int lay_dir(struct layout *layout, struct archive_entry *entry, const char *path)
{
	char name[NAME_MAX + 1];
	int r;

	if (strcmp(path, ".") == 0)
		return keep_entry(layout, entry, path);
	r = enter_parent(layout, path, name);
	if (r < 0)
		return r;
	/* What is there already may be a symlink to a directory, and stays one. */
	if (mkdirat(layout->parent_fd, name, 0755) < 0 && errno != EEXIST)
		return err_errno(layout->err, "make directory");
	return keep_entry(layout, entry, path);
}

static int lay_entry(struct layout *layout, struct archive_entry *entry, const char *path)
{
	const char *target = archive_entry_hardlink(entry);
	char name[NAME_MAX + 1];
	int r;

	if (archive_entry_filetype(entry) == AE_IFDIR && !target)
		return lay_dir(layout, entry, path);
	r = enter_parent(layout, path, name);
	if (r == 0)
		r = make_room(layout, entry, name);
	if (r != 0)
		return r < 0 ? r : 0;
	r = keep_filled(layout);
	if (r < 0)
		return r;
	if (target)
		return entry_hard_link(layout->tree->fd, target, layout->parent_fd, name,
				       layout->err);
	if (archive_entry_filetype(entry) == AE_IFREG)
		return lay_file(layout, entry, name);
	return entry_special(entry, layout->parent_fd, name, layout->err);
}

static int lay_entries(struct layout *layout, struct buf *list)
{
	struct archive_entry *entry;
	int r;

	while ((r = deb_data_next(layout->deb, &entry, layout->err)) > 0) {
		const char *raw = archive_entry_pathname(entry);
		auto_free char *path = raw ? entry_plain_path(raw) : NULL;

		if (!path)
			return raw ? err_oom(layout->err)
				   : err_set(layout->err, -EBADMSG,
					     "an entry without a name");
		if (buf_printf(list, "/%s\n", path) < 0)
			return err_oom(layout->err);
		r = lay_entry(layout, entry, path);
		if (r < 0)
			return err_prefix(layout->err, r, "'%s'", path);
	}
	return r;
}

static void layout_done(struct layout *layout)
{
	closep(&layout->parent_fd);
	free(layout->parent);
	layout->deb = deb_free(layout->deb);
	dirs_done(&layout->dirs);
}

static int lay_package(void *data, void *item, struct cop_error *err)
{
	struct package *package = item;
	cleanup_with(layout_done) struct layout layout = {
		.tree = data,
		.parent_fd = -EBADF,
		.err = err,
	};
	int r;

	layout.dirs.paths = arena_new();
	if (!layout.dirs.paths)
		return err_oom(err);
	r = deb_open(package->out->path, &layout.deb, err);
	if (r < 0)
		return r;
	r = lay_entries(&layout, &package->out->list);
	if (r < 0)
		return err_prefix(err, r, "extract '%s'", package->out->path);
	package->dirs = TAKE(layout.dirs, ((struct dirs){}));
	return 0;
}

static int open_dir(int tree_fd, struct wanted_dir *dir, struct cop_error *err)
{
	auto_close int fd =
		fs_open_in_root(tree_fd, dir->path, O_RDONLY | O_DIRECTORY, 0, err);
	struct stat st;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return err_errno(err, "stat '%s'", dir->path);
	dir->inode.dev = st.st_dev;
	dir->inode.ino = st.st_ino;
	return TAKE_FD(fd);
}

static int note_filled(int tree_fd, struct wanted_dir *dir, struct map *filled,
		       struct cop_error *err)
{
	auto_close int fd = open_dir(tree_fd, dir, err);
	void **slot;

	if (fd < 0)
		return fd;
	slot = map_slot(filled, &dir->inode, sizeof(dir->inode));
	if (!slot)
		return err_oom(err);
	*slot = dir;
	return 0;
}

static int apply_dir(int tree_fd, struct wanted_dir *dir, const struct map *filled,
		     struct map *done, struct cop_error *err)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, dir->mtime};
	auto_close int fd = open_dir(tree_fd, dir, err);
	void **slot;

	if (fd < 0)
		return fd;
	slot = map_slot(done, &dir->inode, sizeof(dir->inode));
	if (!slot)
		return err_oom(err);
	if (*slot)
		return 0;
	*slot = dir;
	if (map_get(filled, &dir->inode, sizeof(dir->inode)))
		times[1].tv_nsec = UTIME_OMIT;
	if (fchown(fd, dir->uid, dir->gid) < 0 || fchmod(fd, dir->mode) < 0 ||
	    futimens(fd, times) < 0)
		return err_errno(err, "set attributes of '%s'", dir->path);
	return 0;
}

static int apply_dirs(int tree_fd, struct package *packages, size_t n,
		      struct cop_error *err)
{
	auto_ptr(map) filled = map_new();
	auto_ptr(map) done = map_new();

	if (!filled || !done)
		return err_oom(err);
	for (int pass = 0; pass < 2; pass++)
		for (size_t i = 0; i < n; i++)
			for (size_t k = 0; k < packages[i].dirs.n; k++) {
				struct wanted_dir *dir = &packages[i].dirs.all[k];
				int r = 0;

				if (pass == 0 && dir->filled)
					r = note_filled(tree_fd, dir, filled, err);
				else if (pass == 1 && !dir->filled)
					r = apply_dir(tree_fd, dir, filled, done, err);
				if (r < 0)
					return r;
			}
	return 0;
}

static int lay_all(struct tree *tree, struct package *packages, size_t n, size_t first,
		   struct cop_error *err)
{
	const struct work_ops ops = {.run = lay_package};
	auto_ptr(work) work = NULL;
	int r = 0;

	if (first < n)
		r = lay_package(tree, &packages[first], err);
	if (r == 0)
		r = work_new(&ops, tree, 0, &work, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++)
		if (i != first && work_add(work, &packages[i]) < 0)
			break;
	r = work_finish(work, err);
	return r == 0 ? apply_dirs(tree->fd, packages, n, err) : r;
}

int extract_packages(int tree_fd, struct extract_package *packages, size_t n,
		     size_t first, bool *ret_overlap, struct cop_error *err)
{
	auto_free struct package *all = calloc(n + 1, sizeof(*all));
	struct tree tree = {.fd = tree_fd};
	int r;

	if (!all)
		return err_oom(err);
	for (size_t i = 0; i < n; i++)
		all[i].out = &packages[i];
	r = lay_all(&tree, all, n, first, err);
	for (size_t i = 0; i < n; i++)
		dirs_done(&all[i].dirs);
	*ret_overlap = atomic_load(&tree.overlap);
	return r;
}

int extract_brings_link(const char *deb_path, const char *path, struct cop_error *err)
{
	auto_ptr(deb) deb = NULL;
	struct archive_entry *entry;
	int r = deb_open(deb_path, &deb, err);

	if (r < 0)
		return r;
	while ((r = deb_data_next(deb, &entry, err)) > 0) {
		const char *raw = archive_entry_pathname(entry);
		auto_free char *plain = raw ? entry_plain_path(raw) : NULL;

		if (plain && archive_entry_filetype(entry) == AE_IFLNK &&
		    strcmp(plain, path) == 0)
			return 1;
	}
	return r;
}

/* The directories of libraries that a merged /usr has beside lib; as debootstrap does. */
static const struct {
	const char *architecture;
	const char *dirs[4];
} library_dirs[] = {
	{"amd64", {"lib32", "lib64", "libx32"}},
	{"i386", {"lib64", "libx32"}},
	{"mips", {"lib32", "lib64"}},
	{"mipsel", {"lib32", "lib64"}},
	{"mips64el", {"lib32", "lib64", "libo32"}},
	{"loong64", {"lib32", "lib64"}},
	{"powerpc", {"lib64"}},
	{"ppc64", {"lib32", "lib64"}},
	{"ppc64el", {"lib64"}},
	{"s390x", {"lib32"}},
	{"sparc64", {"lib32", "lib64"}},
	{"x32", {"lib32", "lib64", "libx32"}},
};

static int make_link(int tree_fd, const char *name, struct cop_error *err)
{
	char target[32];
	struct stat st;
	int r;

	(void)snprintf(target, sizeof(target), "usr/%s", name);
	r = root_make_dirs(tree_fd, target, 0755, err);
	if (r < 0)
		return r;
	if (symlinkat(target, tree_fd, name) == 0)
		return 0;
	if (errno == EEXIST && fstatat(tree_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISLNK(st.st_mode))
		return 0;
	return err_errno(err, "make symlink '%s'", name);
}

int extract_merged_usr(int tree_fd, const char *architecture, struct cop_error *err)
{
	static const char *const always[] = {"bin", "sbin", "lib"};
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(always) && r == 0; i++)
		r = make_link(tree_fd, always[i], err);
	for (size_t i = 0; i < ARRAY_SIZE(library_dirs) && r == 0; i++) {
		if (strcmp(library_dirs[i].architecture, architecture) != 0)
			continue;
		for (const char *const *dir = library_dirs[i].dirs; *dir && r == 0; dir++)
			r = make_link(tree_fd, *dir, err);
	}
	return r;
}
