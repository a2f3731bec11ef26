/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is needed beside refs: what live processes and views registered (roots), files of
 * commits that are not settled (moves: they left a view for the pool, and come from
 * nowhere else), and images that are mounted.
 */
#include <fcntl.h>
#include <signal.h>
#include <string.h>

#include "base/text.h"
#include "store/gc-private.h"

static int add(struct need **list, size_t *n, size_t *room,
	       const struct cop_digest *digest, const char *by)
{
	if (*n == *room) {
		size_t wanted = *room ? *room * 2 : 64;
		struct need *grown = reallocarray(*list, wanted, sizeof(**list));

		if (!grown)
			return -ENOMEM;
		*list = grown;
		*room = wanted;
	}
	(*list)[(*n)++] = (struct need){.digest = *digest, .by = by};
	return 0;
}

static int add_source(struct needs *needs, const char *name)
{
	if (needs->n_sources == needs->sources_room) {
		size_t wanted = needs->sources_room ? needs->sources_room * 2 : 64;
		const char **grown = reallocarray(needs->sources, wanted, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		needs->sources = grown;
		needs->sources_room = wanted;
	}
	name = arena_memdup(needs->arena, name, strlen(name));
	if (!name)
		return -ENOMEM;
	needs->sources[needs->n_sources++] = name;
	return 0;
}

static int add_roots(struct needs *needs, int dir_fd, const char *by)
{
	auto_close int fd =
		openat(dir_fd, "roots", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	char **names = NULL;
	size_t n = 0;
	int r = 0;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	r = fs_list(fd, &names, &n, NULL);
	for (size_t i = 0; i < n && r == 0; i++) {
		struct cop_digest digest;

		if (cop_digest_parse(names[i], &digest) == 0)
			r = add(&needs->objects, &needs->n_objects, &needs->objects_room,
				&digest, by);
		else if (strcmp(names[i], ROOT_ALL_SOURCES) == 0)
			needs->all_sources = true;
		else
			r = add_source(needs, names[i]);
	}
	fs_list_free(names);
	return r;
}

/* A list that cannot be read says that a commit was not as far as its first barrier, or
 * that it is damaged and nobody can finish it. */
static int add_moves(struct needs *needs, int dir_fd, const char *by)
{
	cleanup_with(moves_done) struct moves moves = {};
	int r = moves_read(dir_fd, &moves, NULL);

	if (r < 0)
		return r == -ENOMEM ? r : 0;
	for (size_t i = 0; i < moves.n && r == 0; i++)
		r = add(&needs->files, &needs->n_files, &needs->files_room,
			&moves.list[i].digest, by);
	return r;
}

static int add_directory(struct needs *needs, int parent_fd, const char *parent,
			 const char *name, struct cop_error *err)
{
	auto_close int fd =
		openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	auto_buf path = {};
	const char *by;
	int r;

	/* Not a directory, or gone since we read its name. */
	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == ELOOP
			       ? 0
			       : err_errno(err, "open '%s/%s'", parent, name);
	(void)buf_printf(&path, "%s/%s", parent, name);
	by = path.failed ? NULL : arena_memdup(needs->arena, path.data, path.size);
	if (!by)
		return err_oom(err);
	r = add_roots(needs, fd, by);
	if (r == 0)
		r = add_moves(needs, fd, by);
	return r < 0 ? err_code(err, r, "read the roots of '%s'", by) : 0;
}

static int read_parent(struct cop_store *store, struct needs *needs, const char *parent,
		       struct cop_error *err)
{
	auto_close int fd =
		fs_open_plain(store->fd, parent, O_RDONLY | O_DIRECTORY, 0, err);
	char **names = NULL;
	size_t n = 0;
	int r;

	if (fd < 0)
		return fd;
	r = fs_list(fd, &names, &n, err);
	for (size_t i = 0; i < n && r == 0; i++)
		r = add_directory(needs, fd, parent, names[i], err);
	fs_list_free(names);
	return r;
}

int needs_read(struct cop_store *store, struct needs *needs, struct cop_error *err)
{
	int r;

	*needs = (struct needs){.arena = arena_new()};
	if (!needs->arena)
		return err_oom(err);
	r = read_parent(store, needs, "tmp", err);
	return r < 0 ? r : read_parent(store, needs, "views", err);
}

int needs_add_object(struct needs *needs, const struct cop_digest *digest)
{
	return add(&needs->objects, &needs->n_objects, &needs->objects_room, digest, "");
}

void needs_done(struct needs *needs)
{
	free(needs->objects);
	free(needs->files);
	free(needs->sources);
	arena_free(needs->arena);
}

bool needs_source(const struct needs *needs, const char *name)
{
	for (size_t i = 0; i < needs->n_sources; i++)
		if (strcmp(needs->sources[i], name) == 0)
			return true;
	return needs->all_sources;
}

int object_lease(struct cop_store *store, const struct cop_digest *digest)
{
	auto_close int fd = object_open_image(store, digest, NULL);

	if (fd < 0)
		return fd;
	/* Whoever opens it meanwhile waits for us, and we are told by a signal; the usual
	 * one would be our end. */
	(void)fcntl(fd, F_SETSIG, SIGURG);
	if (fcntl(fd, F_SETLEASE, F_WRLCK) == 0)
		return TAKE_FD(fd);
	/* Not every file system has leases: then only what was registered counts. */
	return errno == EAGAIN || errno == EBUSY ? -EBUSY : -EOPNOTSUPP;
}
