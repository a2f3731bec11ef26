/* SPDX-License-Identifier: Apache-2.0 */
/* Objects: composefs images under their digest.  A mark in meta/damaged makes one count
 * as absent until a commit has made it whole again. */
#include "store/object.h"

#include <fcntl.h>
#include <sys/mman.h>

#include "base/log.h"
#include "base/mutant.h"
#include "base/pages.h"
#include "base/work.h"
#include "image/image.h"
#include "store/private.h"

/* An image of 8 million entries is below this. */
#define IMAGE_SIZE_MAX (2 * GIB)

static bool is_there(const struct cop_store *store, const char *path, struct stat *st)
{
	return fstatat(store->fd, path, st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISREG(st->st_mode);
}

bool object_is_damaged(const struct cop_store *store, const struct cop_digest *digest)
{
	char path[STORE_PATH_SIZE];
	struct stat st;

	return is_there(store, damaged_path(digest, path), &st);
}

int object_is_whole(const struct cop_store *store, const struct cop_digest *digest,
		    uint64_t size)
{
	char path[STORE_PATH_SIZE];
	struct stat st;

	return is_there(store, object_path(digest, path), &st) &&
	       (uint64_t)st.st_size == size &&
	       is_there(store, list_path(digest, path), &st) &&
	       !object_is_damaged(store, digest);
}

int object_exists(struct cop_store *store, const struct cop_digest *digest,
		  struct cop_error *err)
{
	char path[STORE_PATH_SIZE];
	struct stat st;

	if (fstatat(store->fd, object_path(digest, path), &st, AT_SYMLINK_NOFOLLOW) < 0) {
		if (errno == ENOENT)
			return 0;
		return err_errno(err, "look for '%s' in store '%s'", path, store->path);
	}
	return S_ISREG(st.st_mode) && !object_is_damaged(store, digest);
}

int object_open_path(const struct cop_store *store, const char *path)
{
	int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
	int fd = openat(store->fd, path, flags);
	struct stat st;

	/* A collection looks for a moment whether it is mounted: see object_lease(). */
	if (fd < 0 && errno == EWOULDBLOCK && is_there(store, path, &st))
		fd = openat(store->fd, path, flags & ~O_NONBLOCK);
	return fd;
}

int object_open_image(struct cop_store *store, const struct cop_digest *digest,
		      struct cop_error *err)
{
	char path[STORE_PATH_SIZE];
	int fd = object_open_path(store, object_path(digest, path));

	if (fd < 0)
		return err_errno(err, "open '%s' in store '%s'", path, store->path);
	return fd;
}

int object_mark_damaged(struct cop_store *store, const struct cop_digest *digest,
			struct cop_error *err)
{
	char path[STORE_PATH_SIZE];
	int fd, r;

	r = store_check_writable(store, err);
	if (r < 0)
		return r;
	fd = openat(store->fd, damaged_path(digest, path),
		    O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_errno(err, "mark '%s'", path);
	(void)close(fd);
	return 0;
}

static int damaged(struct cop_store *store, const struct cop_digest *digest,
		   const char *how, struct cop_error *err)
{
	struct cop_error ignored = {};
	char hex[COP_DIGEST_HEX + 1];

	if (!store->read_only && object_mark_damaged(store, digest, &ignored) < 0)
		log_debug("%s", ignored.message);
	return err_set(err, -EUCLEAN,
		       "read object '%s' of store '%s': its image is damaged: %s",
		       cop_digest_to_hex(digest, hex), store->path, how);
}

/* An image whose digest is compared while it is read: its reader trusts nothing. */
struct checking {
	struct cop_store *store;
	const struct cop_digest *digest;
	uint8_t *data;
	size_t size;
	bool is_mapped;
};

static void checking_done(struct checking *checking)
{
	if (checking->is_mapped)
		(void)munmap(checking->data, checking->size);
	else
		free(checking->data);
}

/* All of it in memory before the first look, so that what the disk cannot read is an
 * error of read_all() instead of a signal. */
static bool map(struct checking *checking, int fd)
{
	void *data = mmap(NULL, checking->size, PROT_READ, MAP_PRIVATE, fd, 0);

	if (data == MAP_FAILED)
		return false;
	if (madvise(data, checking->size, MADV_POPULATE_READ) < 0) {
		(void)munmap(data, checking->size);
		return false;
	}
	checking->data = data;
	checking->is_mapped = true;
	return true;
}

static int read_all(struct checking *checking, int fd, struct cop_error *err)
{
	ssize_t n;

	checking->data = pages_alloc(checking->size);
	if (!checking->data)
		return err_oom(err);
	n = fs_pread_full(fd, checking->data, checking->size, 0);
	if (n < 0)
		return err_code(err, (int)n, "read an image of store '%s'",
				checking->store->path);
	checking->size = (size_t)n;
	return 0;
}

static int read_image(struct checking *checking, struct cop_error *err)
{
	struct cop_store *store = checking->store;
	auto_close int fd = object_open_image(store, checking->digest, err);
	struct stat st;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return err_errno(err, "read an image of store '%s'", store->path);
	if (!S_ISREG(st.st_mode) || st.st_size == 0 ||
	    (uint64_t)st.st_size > IMAGE_SIZE_MAX)
		return damaged(store, checking->digest, "impossible size", err);
	checking->size = (size_t)st.st_size;
	return map(checking, fd) ? 0 : read_all(checking, fd, err);
}

static int check_digest(void *data, void *item, struct cop_error *err)
{
	const struct checking *checking = item;
	struct cop_digest found;
	int r = verity_digest_bytes(checking->data, checking->size, &found, err);

	(void)data;
	if (r < 0)
		return r;
	if (!cop_digest_equal(&found, checking->digest) && !mutant("image-digest"))
		return damaged(checking->store, checking->digest, "it has another digest",
			       err);
	return 0;
}

int object_read_tree(struct cop_store *store, const struct cop_digest *digest,
		     struct tree **ret_tree, struct cop_error *err)
{
	cleanup_with(checking_done) struct checking checking = {.store = store,
								.digest = digest};
	auto_ptr(tree) tree = NULL;
	auto_ptr(work) check = NULL;
	struct cop_error read_err = {};
	char hex[COP_DIGEST_HEX + 1];
	int r, read_r;

	r = read_image(&checking, err);
	if (r == 0)
		r = work_aside(check_digest, &checking, &check, err);
	if (r < 0)
		return r;
	read_r = image_read(checking.data, checking.size, &tree, NULL, &read_err);
	/* What it says of damage comes before what the reader stumbled over. */
	r = work_finish(check, err);
	if (r < 0)
		return r;
	if (read_r < 0) {
		(void)err_copy(err, &read_err);
		return err_prefix(err, read_r, "read object '%s' of store '%s'",
				  cop_digest_to_hex(digest, hex), store->path);
	}
	*ret_tree = TAKE_PTR(tree);
	return 0;
}

static int get_locked(struct cop_store *store, struct workdir *workdir, const char *id,
		      struct resolved *found, struct cop_error *err)
{
	auto_lock *lock = NULL;
	char hex[COP_DIGEST_HEX + 1];
	int r;

	r = store_lock_take(store, STORE_LOCK_SHARED, &lock, err);
	if (r == 0)
		r = resolve(store, id, found, err);
	if (r == 0)
		r = object_exists(store, &found->digest, err);
	if (r == 0)
		return err_set(err, -ENOENT,
			       "object '%s' of '%s' is missing or damaged in store '%s'",
			       cop_digest_to_hex(&found->digest, hex), id, store->path);
	return r < 0 ? r : workdir_register(workdir, &found->digest, err);
}

int object_get(struct cop_store *store, struct workdir *workdir, const char *id,
	       struct cop_digest *ret_digest, struct cop_error *err)
{
	struct resolved found = {};
	int r = get_locked(store, workdir, id, &found, err);

	if (r < 0)
		return r;
	if (found.is_ref)
		ref_touch(store, found.class, *found.name ? found.name : id);
	*ret_digest = found.digest;
	return 0;
}
