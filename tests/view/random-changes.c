/* SPDX-License-Identifier: Apache-2.0 */
#include "random-changes.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/xattr.h>

#include "base/fs.h"

/* Beyond this, removing is what happens more often. */
#define PATHS_WANTED 90
#define PATHS_MOST   400
#define DEPTH_MOST   5

struct change_path {
	char *path;
	mode_t mode;
};

uint32_t changes_random(struct changes *changes, uint32_t n)
{
	uint64_t z = changes->state += 0x9e3779b97f4a7c15U;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
	return (uint32_t)((z ^ (z >> 31)) >> 32) % n;
}

void changes_done(struct changes *changes)
{
	for (size_t i = 0; i < changes->n_paths; i++)
		free(changes->paths[i].path);
	free(changes->paths);
	changes->paths = NULL;
	changes->n_paths = 0;
}

static void add_path(struct changes *changes, const char *path, mode_t mode)
{
	struct change_path added = {.mode = mode};

	if (changes->n_paths == PATHS_MOST)
		return;
	added.path = strdup(path);
	if (!added.path)
		abort();
	changes->paths[changes->n_paths++] = added;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

/* In an order of names, so that the seed decides and not the file system. */
static void list_below(struct changes *changes, const char *path, unsigned int depth)
{
	struct dirent **entries = NULL;
	int n = scandir(path, &entries, NULL, by_name);

	for (int i = 0; i < n; i++) {
		const char *name = entries[i]->d_name;
		char below[PATH_MAX];
		struct stat st;

		if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0 &&
		    (size_t)snprintf(below, sizeof(below), "%s/%s", path, name) <
			    sizeof(below) &&
		    lstat(below, &st) == 0) {
			add_path(changes, below, st.st_mode);
			if (S_ISDIR(st.st_mode) && depth < 40)
				list_below(changes, below, depth + 1);
		}
		free(entries[i]);
	}
	free(entries);
}

static void list(struct changes *changes)
{
	changes_done(changes);
	changes->paths = calloc(PATHS_MOST, sizeof(*changes->paths));
	if (!changes->paths)
		abort();
	add_path(changes, changes->root, S_IFDIR);
	list_below(changes, changes->root, 0);
}

/* Something that is there; of type @type, when it is not 0 and a few tries find one. */
static const char *any(struct changes *changes, mode_t type)
{
	const struct change_path *path = &changes->paths[0];

	for (int i = 0; i < 8; i++) {
		path = &changes->paths[changes_random(changes,
						      (uint32_t)changes->n_paths)];
		if (path != changes->paths && (!type || (path->mode & S_IFMT) == type))
			break;
	}
	return path->path;
}

static unsigned int depth_of(const struct changes *changes, const char *path)
{
	unsigned int depth = 0;

	for (path += strlen(changes->root); *path; path++)
		depth += *path == '/';
	return depth;
}

/* A name in a directory that is there; whether the name is, is left to chance. */
static const char *target(struct changes *changes, char path[PATH_MAX])
{
	static const char *const names[] = {"a", "b", "c", "d",	 "e",  "f",
					    "g", "h", "A", "00", "ff", "a-b"};
	const char *dir = changes->root;
	char longer[64];
	const char *name = names[changes_random(changes, ARRAY_SIZE(names))];

	for (int i = 0; i < 6; i++) {
		const struct change_path *try = &changes->paths[changes_random(
			changes, (uint32_t)changes->n_paths)];

		if (S_ISDIR(try->mode) && depth_of(changes, try->path) < DEPTH_MOST) {
			dir = try->path;
			break;
		}
	}
	/* A few of these make a path that no redirect can hold. */
	if (changes_random(changes, 12) == 0) {
		memset(longer, 'l', sizeof(longer) - 1);
		longer[sizeof(longer) - 1] = '\0';
		name = longer;
	}
	(void)snprintf(path, PATH_MAX, "%s/%s", dir, name);
	return path;
}

static void say(struct changes *changes, const char *what, const char *from,
		const char *to)
{
	size_t skip = strlen(changes->root);

	(void)snprintf(changes->words, sizeof(changes->words), "%s %.100s %.100s", what,
		       from + skip, to ? to + skip : "");
}

static void fill(struct changes *changes, char *bytes, size_t size)
{
	char first = (char)('a' + changes_random(changes, 26));

	/* Few contents, so that many files share one. */
	memset(bytes, first, size);
}

static size_t any_size(struct changes *changes)
{
	switch (changes_random(changes, 6)) {
	case 0:
		return 0;
	case 1:
	case 2:
		return 1 + changes_random(changes, 64);
	case 3:
		return 64 + changes_random(changes, 3);
	case 4:
		return 4096 + changes_random(changes, 3);
	default:
		return 65 + changes_random(changes, 9000);
	}
}

static int write_to(struct changes *changes, const char *path, int flags)
{
	char bytes[10000];
	size_t size = any_size(changes);
	int fd = open(path, flags | O_WRONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0644);
	int r = 0;

	if (fd < 0)
		return -1;
	fill(changes, bytes, size);
	if (changes_random(changes, 3) == 0)
		(void)lseek(fd, (off_t)any_size(changes), SEEK_SET);
	if (write(fd, bytes, size) < 0)
		r = -1;
	(void)close(fd);
	return r;
}

static int create(struct changes *changes)
{
	char path[PATH_MAX];

	say(changes, "create", target(changes, path), NULL);
	return write_to(changes, path, O_CREAT | O_EXCL);
}

static int overwrite(struct changes *changes)
{
	const char *path = any(changes, S_IFREG);
	int flags = changes_random(changes, 2) ? O_APPEND : 0;

	say(changes, flags ? "append" : "overwrite", path, NULL);
	return write_to(changes, path, flags);
}

static int cut(struct changes *changes)
{
	const char *path = any(changes, S_IFREG);

	say(changes, "truncate", path, NULL);
	return truncate(path, (off_t)any_size(changes));
}

static int open_for_writing(struct changes *changes)
{
	const char *path = any(changes, S_IFREG);
	int fd;

	say(changes, "open", path, NULL);
	fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -1;
	(void)close(fd);
	return 0;
}

static int make_directory(struct changes *changes)
{
	char path[PATH_MAX];

	say(changes, "mkdir", target(changes, path), NULL);
	return mkdir(path, 0755);
}

static int make_symlink(struct changes *changes)
{
	char path[PATH_MAX];

	say(changes, "symlink", target(changes, path), NULL);
	return symlink(changes_random(changes, 2) ? "../somewhere" : "a", path);
}

static int make_special(struct changes *changes)
{
	static const struct {
		mode_t mode;
		unsigned int major, minor;
	} kinds[] = {
		{S_IFIFO | 0640, 0, 0},
		{S_IFSOCK | 0700, 0, 0},
		{S_IFCHR | 0666, 1, 3},
		{S_IFBLK | 0600, 259, 70000},
	};
	uint32_t i = changes_random(changes, ARRAY_SIZE(kinds));
	char path[PATH_MAX];

	say(changes, "mknod", target(changes, path), NULL);
	return mknod(path, kinds[i].mode, makedev(kinds[i].major, kinds[i].minor));
}

static int change_mode(struct changes *changes)
{
	static const mode_t modes[] = {0644, 0755, 0600, 04755, 02775, 01777, 0, 0444};
	const char *path = any(changes, 0);

	say(changes, "chmod", path, NULL);
	return fchmodat(AT_FDCWD, path, modes[changes_random(changes, ARRAY_SIZE(modes))],
			0);
}

static int change_owner(struct changes *changes)
{
	static const uid_t ids[] = {0, 1, 1000, 70000, 4000000000U};
	const char *path = any(changes, 0);
	uid_t uid = ids[changes_random(changes, ARRAY_SIZE(ids))];

	say(changes, "chown", path, NULL);
	return lchown(path, uid, changes_random(changes, 2) ? uid : 5);
}

static int change_times(struct changes *changes)
{
	struct timespec times[2] = {
		{.tv_nsec = UTIME_OMIT},
		{.tv_sec = (time_t)changes_random(changes, 2000000000),
		 .tv_nsec = (long)changes_random(changes, 1000000000)},
	};
	const char *path = any(changes, 0);

	say(changes, "utimens", path, NULL);
	return utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW);
}

/* Those of the overlay's own names must come back as what the user wrote. */
static int change_xattr(struct changes *changes)
{
	static const char *const keys[] = {
		"user.one",
		"user.overlay.mine",
		"trusted.one",
		"trusted.overlay.mine",
		"trusted.overlay.redirect",
		"trusted.overlay.metacopy",
		"trusted.overlay.origin",
		"trusted.overlay.overlay.deep",
		"security.mine",
	};
	const char *key = keys[changes_random(changes, ARRAY_SIZE(keys))];
	const char *path = any(changes, 0);
	char value[200];

	if (changes_random(changes, 4) == 0) {
		say(changes, "removexattr", path, NULL);
		return lremovexattr(path, key);
	}
	say(changes, "setxattr", path, NULL);
	memset(value, 'v', sizeof(value));
	return lsetxattr(path, key, value, changes_random(changes, sizeof(value)), 0);
}

static int change_acl(struct changes *changes)
{
	/* struct posix_acl_xattr_header and entries: u::rw u:1:r g::r m::r o::- */
	static const uint8_t acl[] = {
		2, 0, 0,   0,	1,   0,	  6,  0, 255, 255, 255, 255, 2,	  0,   4,
		0, 1, 0,   0,	0,   4,	  0,  4, 0,   255, 255, 255, 255, 16,  0,
		4, 0, 255, 255, 255, 255, 32, 0, 0,   0,   255, 255, 255, 255,
	};
	bool is_default = changes_random(changes, 3) == 0;
	const char *path = any(changes, is_default ? S_IFDIR : 0);

	say(changes, "setfacl", path, NULL);
	return lsetxattr(
		path, is_default ? "system.posix_acl_default" : "system.posix_acl_access",
		acl, sizeof(acl), 0);
}

static int change_capability(struct changes *changes)
{
	/* VFS_CAP_REVISION_2, cap_net_raw=ep */
	static const uint8_t capability[20] = {1, 0, 0, 2, 0, 0x20};
	const char *path = any(changes, S_IFREG);

	say(changes, "setcap", path, NULL);
	return lsetxattr(path, "security.capability", capability, sizeof(capability), 0);
}

static int rename_with(struct changes *changes, const char *from, const char *to,
		       unsigned int flags, const char *what)
{
	say(changes, what, from, to);
	return renameat2(AT_FDCWD, from, AT_FDCWD, to, flags);
}

static int move(struct changes *changes)
{
	char path[PATH_MAX];
	const char *from = any(changes, changes_random(changes, 2) ? S_IFDIR : 0);

	if (changes_random(changes, 2))
		return rename_with(changes, from, any(changes, 0), 0, "rename over");
	return rename_with(changes, from, target(changes, path), 0, "rename");
}

/* Within a directory, where the overlay writes another kind of redirect. */
static int move_aside(struct changes *changes)
{
	const char *from = any(changes, 0);
	char path[PATH_MAX];
	const char *slash = strrchr(from, '/');

	/* No name in the tree is that of its root. */
	if (from == changes->paths[0].path)
		return -1;
	(void)snprintf(path, sizeof(path), "%.*s/%c", (int)(slash - from), from,
		       (char)('m' + changes_random(changes, 8)));
	return rename_with(changes, from, path, 0, "rename");
}

static int exchange(struct changes *changes)
{
	const char *from = any(changes, 0);

	return rename_with(changes, from, any(changes, 0), RENAME_EXCHANGE, "exchange");
}

/* A name of a whiteout in a directory that has no other is one in the tree, but shows as
 * a file: what happens to it depends on where its other names go. */
static bool is_whiteout(const char *path)
{
	struct stat st;

	if (lgetxattr(path, "trusted.overlay.whiteout", NULL, 0) >= 0)
		return true;
	return lstat(path, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == 0;
}

static int make_link(struct changes *changes)
{
	char path[PATH_MAX];
	const char *from = any(changes, changes_random(changes, 4) ? S_IFREG : 0);

	say(changes, "link", from, target(changes, path));
	if (is_whiteout(from))
		return -1;
	return linkat(AT_FDCWD, from, AT_FDCWD, path, 0);
}

static int remove_file(struct changes *changes)
{
	const char *path = any(changes, S_IFREG);

	say(changes, "unlink", path, NULL);
	return unlink(path);
}

static int remove_all(struct changes *changes)
{
	const char *path = any(changes, changes_random(changes, 3) ? 0 : S_IFDIR);

	say(changes, "remove", path, NULL);
	if (path == changes->paths[0].path)
		return -1;
	return fs_remove_all(AT_FDCWD, path, true, NULL) < 0 ? -1 : 0;
}

/* Away, and something else under the same name. */
static int make_again(struct changes *changes)
{
	const char *path = any(changes, changes_random(changes, 2) ? S_IFDIR : 0);
	char below[PATH_MAX];

	say(changes, "make again", path, NULL);
	if (path == changes->paths[0].path ||
	    fs_remove_all(AT_FDCWD, path, true, NULL) < 0)
		return -1;
	if (changes_random(changes, 3) == 0)
		return write_to(changes, path, O_CREAT | O_EXCL);
	if (mkdir(path, 0750) < 0)
		return -1;
	(void)snprintf(below, sizeof(below), "%s/%c", path,
		       (char)('a' + changes_random(changes, 8)));
	return changes_random(changes, 2) ? mkdir(below, 0755)
					  : write_to(changes, below, O_CREAT);
}

void changes_make_whiteouts(struct changes *changes)
{
	char path[PATH_MAX], below[PATH_MAX + 2];

	list(changes);
	(void)mkdir(target(changes, path), 0755);
	for (char c = 'a'; c < 'd'; c++) {
		(void)snprintf(below, sizeof(below), "%s/%c", path, c);
		(void)mknod(below, S_IFCHR | 0644, makedev(0, 0));
	}
	list(changes);
}

void changes_make(struct changes *changes)
{
	static const struct {
		int (*make)(struct changes *changes);
		uint32_t weight, weight_when_full;
	} all[] = {
		{create, 10, 3},      {make_directory, 8, 2},	 {make_symlink, 2, 1},
		{make_special, 2, 1}, {make_link, 6, 2},	 {overwrite, 5, 5},
		{cut, 4, 4},	      {open_for_writing, 2, 2},	 {change_mode, 5, 5},
		{change_owner, 4, 4}, {change_times, 4, 4},	 {change_xattr, 7, 7},
		{change_acl, 2, 2},   {change_capability, 1, 1}, {move, 10, 10},
		{move_aside, 8, 8},   {exchange, 5, 5},		 {remove_file, 4, 8},
		{remove_all, 2, 6},   {make_again, 4, 4},
	};
	uint32_t sum = 0, at;
	bool is_full;
	size_t i;

	list(changes);
	is_full = changes->n_paths > PATHS_WANTED;
	for (i = 0; i < ARRAY_SIZE(all); i++)
		sum += is_full ? all[i].weight_when_full : all[i].weight;
	at = changes_random(changes, sum);
	for (i = 0; i < ARRAY_SIZE(all); i++) {
		uint32_t weight = is_full ? all[i].weight_when_full : all[i].weight;

		if (at < weight)
			break;
		at -= weight;
	}
	if (all[i].make(changes) < 0) {
		changes->n_refused++;
		if (changes->verbose)
			(void)fprintf(stderr, "  (%s: %m)\n", changes->words);
	} else {
		changes->n_done++;
		if (changes->verbose)
			(void)fprintf(stderr, "  %s\n", changes->words);
	}
}
