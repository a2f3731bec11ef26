/* SPDX-License-Identifier: Apache-2.0 */
/* The pool: contents of files by digest.  Never written in place, only entered whole. */
#include <fcntl.h>

#include "base/mutant.h"
#include "store/private.h"

bool pool_is_right(const struct stat *st, uint64_t size)
{
	return S_ISREG(st->st_mode) && (uint64_t)st->st_size == size &&
	       (st->st_mode & 0444);
}

int pool_state(const struct cop_store *store, const struct cop_digest *digest,
	       uint64_t size, struct cop_error *err)
{
	char path[STORE_PATH_SIZE];
	struct stat st;

	if (fstatat(store->fd, pool_path(digest, path), &st, AT_SYMLINK_NOFOLLOW) < 0) {
		if (errno == ENOENT)
			return 0;
		return err_errno(err, "look for '%s' in store '%s'", path, store->path);
	}
	return pool_is_right(&st, size);
}

int pool_has_file(struct cop_store *store, const struct cop_digest *digest, uint64_t size,
		  struct cop_error *err)
{
	return pool_state(store, digest, size, err);
}

static int refuse_marked(const struct cop_store *store, const char *path,
			 struct cop_error *err)
{
	return err_set(err, -EUCLEAN,
		       "open '%s' in store '%s': it is marked as damaged; build or "
		       "commit its tree again, or try 'coppice verify --repair'",
		       path, store->path);
}

static bool is_marked(const struct cop_store *store, const char *path)
{
	struct stat st;

	return fstatat(store->fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       !(st.st_mode & 0444);
}

int pool_open_file(struct cop_store *store, const struct cop_digest *digest,
		   uint64_t size, struct cop_error *err)
{
	auto_close int fd = -EBADF;
	char path[STORE_PATH_SIZE];
	struct stat st;

	fd = openat(store->fd, pool_path(digest, path),
		    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	/* A plain user cannot open what is marked. */
	if (fd < 0 && errno == EACCES && is_marked(store, path))
		return refuse_marked(store, path, err);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_errno(err, "open '%s' in store '%s'", path, store->path);
	if (!(st.st_mode & 0444))
		return refuse_marked(store, path, err);
	if (!pool_is_right(&st, size))
		return err_set(err, -EUCLEAN,
			       "open '%s' in store '%s': it is damaged: %llu bytes "
			       "instead of %llu",
			       path, store->path, (unsigned long long)st.st_size,
			       (unsigned long long)size);
	return TAKE_FD(fd);
}

int pool_verify(const struct cop_store *store, const struct cop_digest *digest,
		uint64_t size, struct cop_error *err)
{
	auto_close int fd = -EBADF;
	struct cop_digest found;
	char path[STORE_PATH_SIZE];
	int r = pool_state(store, digest, size, err);

	if (r <= 0)
		return r;
	fd = openat(store->fd, pool_path(digest, path),
		    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, "open '%s' in store '%s'", path, store->path);
	r = verity_digest_fd(fd, size, 0, &found, err);
	if (r == -ESTALE)
		return 0;
	if (r < 0)
		return err_prefix(err, r, "verify '%s'", path);
	return cop_digest_equal(digest, &found) || mutant("heal-digest");
}
