/* SPDX-License-Identifier: Apache-2.0 */
#include "modules/stages/leftovers.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/text.h"
#include "modkit/root.h"

/* Bytes of one package's list of files. */
#define LIST_MAX (64 * MIB)

/*
 * One place: names in @dir that fit @pattern, which may hold one '*'
 * @of_dpkg: dpkg's own, which no package can bring
 */
struct place {
	const char *dir;
	const char *pattern;
	bool of_dpkg;
};

static const struct place places[] = {
	/* backups of what this run changed, and locks */
	{"var/lib/dpkg", "*-old", true},
	{"var/lib/dpkg", "lock*", true},
	{"var/lib/dpkg/triggers", "Lock", true},
	{"var/cache/debconf", "*-old", false},
	{"var/cache/apt/archives", "lock", false},
	{"var/lib/apt/lists", "lock", false},
	{"etc", "passwd-", false},
	{"etc", "group-", false},
	{"etc", "shadow-", false},
	{"etc", "gshadow-", false},
	{"etc", "subuid-", false},
	{"etc", "subgid-", false},
	/* times of the build */
	{"var/log", "dpkg.log", false},
	{"var/log", "alternatives.log", false},
	{"var/log/apt", "*", false},
	/* caches that hold times or inode numbers and are made again when needed */
	{"var/cache/ldconfig", "aux-cache", false},
	{"var/cache/apt", "*.bin", false},
	{"var/cache/man", "*", false},
	{"var/lib/systemd/catalog", "database", false},
	/* what must be different on every machine */
	{"etc/ssh", "ssh_host_*", false},
	{"var/lib/systemd", "random-seed", false},
	{"var/lib/dbus", "machine-id", false},
};

/*
 * @names: per place, what was there, NULL without the directory
 * @machine_id: was one set already?
 */
struct leftovers {
	char **names[ARRAY_SIZE(places)];
	bool machine_id;
};

struct leftovers *leftovers_free(struct leftovers *leftovers)
{
	if (!leftovers)
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		(void)fs_list_free(leftovers->names[i]);
	free(leftovers);
	return NULL;
}

/* Return: the fd, -EBADF when there is no such directory, or a negative errno. */
static int open_place(int tree_fd, const struct place *place, struct cop_error *err)
{
	int fd = fs_open_in_root(tree_fd, place->dir, O_RDONLY | O_DIRECTORY, 0, err);

	return fd == -ENOENT || fd == -ENOTDIR ? -EBADF : fd;
}

/* An empty file, or the word "uninitialized", asks the first boot to make one. */
static bool machine_id_is_set(int tree_fd)
{
	auto_buf text = {};

	return root_read(tree_fd, "etc/machine-id", 4096, &text, NULL) == 0 &&
	       text.size > 0 && !text_starts_with(buf_text(&text), "uninitialized");
}

int leftovers_note(int tree_fd, struct leftovers **ret, struct cop_error *err)
{
	auto_ptr(leftovers) noted = calloc(1, sizeof(*noted));

	if (!noted)
		return err_oom(err);
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		auto_close int fd = open_place(tree_fd, &places[i], err);
		int r;

		if (fd == -EBADF)
			continue;
		if (fd < 0)
			return fd;
		r = fs_list(fd, &noted->names[i], NULL, err);
		if (r < 0)
			return err_prefix(err, r, "'%s'", places[i].dir);
	}
	noted->machine_id = machine_id_is_set(tree_fd);
	*ret = TAKE_PTR(noted);
	return 0;
}

static bool was_there(char *const *names, const char *name)
{
	for (; names && *names; names++)
		if (strcmp(*names, name) == 0)
			return true;
	return false;
}

/* dbus keeps its id as a symlink to the system's: that one says nothing by itself. */
static bool is_symlink(int dir_fd, const char *name)
{
	struct stat st;

	return fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISLNK(st.st_mode);
}

static bool fits(const char *pattern, const char *name)
{
	const char *star = strchr(pattern, '*');
	size_t start = star ? (size_t)(star - pattern) : 0;

	if (!star)
		return strcmp(pattern, name) == 0;
	return strlen(name) >= strlen(pattern) - 1 &&
	       strncmp(pattern, name, start) == 0 && text_ends_with(name, star + 1);
}

/* What is to go: paths, with a '/' in front as dpkg writes them.  NULL: spared. */
struct doomed {
	char **paths;
	size_t n, capacity;
	bool ask; /* some of them may be a package's own */
};

static void doomed_done(struct doomed *doomed)
{
	for (size_t i = 0; i < doomed->n; i++)
		free(doomed->paths[i]);
	free(doomed->paths);
}

static int doom(struct doomed *doomed, const struct place *place, const char *name)
{
	if (doomed->n == doomed->capacity) {
		size_t capacity = doomed->capacity ? doomed->capacity * 2 : 32;
		char **paths = reallocarray(doomed->paths, capacity, sizeof(*paths));

		if (!paths)
			return -ENOMEM;
		doomed->paths = paths;
		doomed->capacity = capacity;
	}
	if (asprintf(&doomed->paths[doomed->n], "/%s/%s", place->dir, name) < 0)
		return -ENOMEM;
	doomed->n++;
	doomed->ask |= !place->of_dpkg;
	return 0;
}

static int find_doomed(int tree_fd, const struct place *place, char *const *before,
		       struct doomed *doomed, struct cop_error *err)
{
	auto_close int fd = open_place(tree_fd, place, err);
	char **names = NULL;
	int r = 0;

	if (fd < 0)
		return fd == -EBADF ? 0 : fd;
	r = fs_list(fd, &names, NULL, err);
	if (r < 0)
		return err_prefix(err, r, "'%s'", place->dir);
	for (char **name = names; *name && r == 0; name++)
		if (fits(place->pattern, *name) && !was_there(before, *name) &&
		    !is_symlink(fd, *name))
			r = doom(doomed, place, *name);
	(void)fs_list_free(names);
	return r < 0 ? err_oom(err) : 0;
}

/* Take what stands in a package's list of files off the list. */
static void spare_listed(struct doomed *doomed, char *list)
{
	char *save = NULL;

	for (char *line = strtok_r(list, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save))
		for (size_t i = 0; i < doomed->n; i++)
			if (doomed->paths[i] && strcmp(doomed->paths[i], line) == 0) {
				free(doomed->paths[i]);
				doomed->paths[i] = NULL;
			}
}

static int spare_packaged(int tree_fd, struct doomed *doomed, struct cop_error *err)
{
	auto_close int fd = fs_open_in_root(tree_fd, "var/lib/dpkg/info",
					    O_RDONLY | O_DIRECTORY, 0, err);
	char **names = NULL;
	int r;

	if (fd < 0)
		return fd;
	r = fs_list(fd, &names, NULL, err);
	if (r < 0)
		return r;
	for (char **name = names; *name && r == 0; name++) {
		auto_buf text = {};

		if (!text_ends_with(*name, ".list"))
			continue;
		r = fs_read_file(fd, *name, LIST_MAX, &text, err);
		if (r == 0 && text.data)
			spare_listed(doomed, text.data);
	}
	(void)fs_list_free(names);
	return r;
}

static int remove_doomed(int tree_fd, const struct doomed *doomed, struct cop_error *err)
{
	for (size_t i = 0; i < doomed->n; i++) {
		auto_close int parent = -EBADF;
		char name[NAME_MAX + 1];
		int r;

		if (!doomed->paths[i])
			continue;
		parent = root_open_parent(tree_fd, doomed->paths[i], name, err);
		if (parent < 0)
			return parent;
		r = fs_remove_all(parent, name, false, err);
		if (r < 0)
			return err_prefix(err, r, "'%s'", doomed->paths[i]);
	}
	return 0;
}

int leftovers_remove(int tree_fd, const struct leftovers *before, struct cop_error *err)
{
	cleanup_with(doomed_done) struct doomed doomed = {};
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(places) && r == 0; i++)
		r = find_doomed(tree_fd, &places[i], before->names[i], &doomed, err);
	if (r == 0 && doomed.ask)
		r = spare_packaged(tree_fd, &doomed, err);
	if (r == 0)
		r = remove_doomed(tree_fd, &doomed, err);
	if (r == 0 && !before->machine_id && machine_id_is_set(tree_fd))
		r = root_replace(tree_fd, "etc/machine-id", "", 0, 0444, err);
	return r;
}
