/* SPDX-License-Identifier: Apache-2.0 */
/* Listing refs.  All names are collected first: the order is that of whole names, and a
 * visitor may change refs. */
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "store/private.h"

/* Names to visit, and directories ("a/b/") still to read. */
struct walk {
	char **names;
	size_t n_names, names_room;
	char **todo;
	size_t n_todo, todo_room;
};

static void free_strings(char **strings, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(strings[i]);
	free(strings);
}

static void walk_done(struct walk *walk)
{
	free_strings(walk->names, walk->n_names);
	free_strings(walk->todo, walk->n_todo);
}

static int push(char ***strings, size_t *n, size_t *room, char *string)
{
	if (*n == *room) {
		size_t wanted = *room ? *room * 2 : 64;
		char **grown = reallocarray(*strings, wanted, sizeof(*grown));

		if (!grown) {
			free(string);
			return -ENOMEM;
		}
		*strings = grown;
		*room = wanted;
	}
	(*strings)[(*n)++] = string;
	return 0;
}

static int add_entry(struct walk *walk, int fd, enum ref_class class, const char *prefix,
		     const char *entry)
{
	auto_free char *name = NULL;
	struct stat st;

	if (fstatat(fd, entry, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (S_ISDIR(st.st_mode)) {
		if (strlen(prefix) + strlen(entry) + 2 > REF_NAME_SIZE)
			return 0;
		if (asprintf(&name, "%s%s/", prefix, entry) < 0)
			return -ENOMEM;
		return push(&walk->todo, &walk->n_todo, &walk->todo_room, TAKE_PTR(name));
	}
	if (asprintf(&name, "%s%s", prefix, entry) < 0)
		return -ENOMEM;
	if (!ref_name_is_valid(class, name)) {
		log_debug("refs/%s/%s is not ours", ref_class_name(class), name);
		return 0;
	}
	return push(&walk->names, &walk->n_names, &walk->names_room, TAKE_PTR(name));
}

static int read_directory(struct cop_store *store, struct walk *walk,
			  enum ref_class class, const char *prefix, struct cop_error *err)
{
	char path[REF_PATH_SIZE];
	auto_close int fd = -EBADF;
	char **names = NULL;
	size_t n_names = 0;
	int r;

	(void)snprintf(path, sizeof(path), "refs/%s/%s", ref_class_name(class), prefix);
	fd = openat(store->fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : err_errno(err, "open '%s'", path);
	r = fs_list(fd, &names, &n_names, err);
	if (r < 0)
		return err_prefix(err, r, "read '%s'", path);
	for (size_t i = 0; i < n_names && r == 0; i++)
		r = add_entry(walk, fd, class, prefix, names[i]);
	fs_list_free(names);
	return r < 0 ? err_code(err, r, "read '%s'", path) : 0;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int collect_names(struct cop_store *store, struct walk *walk, enum ref_class class,
			 struct cop_error *err)
{
	int r = read_directory(store, walk, class, "", err);

	while (r == 0 && walk->n_todo > 0) {
		auto_free char *prefix = walk->todo[--walk->n_todo];

		r = read_directory(store, walk, class, prefix, err);
	}
	if (r == 0 && walk->n_names > 0)
		qsort(walk->names, walk->n_names, sizeof(*walk->names), compare_names);
	return r;
}

int ref_list(struct cop_store *store, enum ref_class class, const char *pattern,
	     int (*visit)(void *data, const char *name, const struct cop_digest *digest),
	     void *data, struct cop_error *err)
{
	cleanup_with(walk_done) struct walk walk = {};
	int r = collect_names(store, &walk, class, err);

	for (size_t i = 0; i < walk.n_names && r >= 0; i++) {
		struct cop_digest digest;

		if (pattern && fnmatch(pattern, walk.names[i], 0) != 0)
			continue;
		r = ref_get(store, class, walk.names[i], &digest, err);
		if (r == -ENOENT) /* removed since we looked */
			r = 0;
		else if (r == 0)
			r = visit(data, walk.names[i], &digest);
	}
	return r < 0 ? r : 0;
}

int cop_ref_list(struct cop_store *store, const char *pattern,
		 int (*visit)(void *data, const char *name,
			      const struct cop_digest *digest),
		 void *data, struct cop_error *err)
{
	return ref_list(store, REF_NAME, pattern, visit, data, err);
}
