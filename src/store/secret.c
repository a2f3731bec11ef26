/* SPDX-License-Identifier: Apache-2.0 */
#include "store/secret.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "store/private.h"

#define SECRET_KEY	  "secret-key"
#define PRIVATE_DIRECTORY "meta/private"

static int read_key(struct cop_store *store, unsigned char key[STORE_SECRET_KEY],
		    struct cop_error *err)
{
	auto_buf bytes = {};
	int r = fs_read_file(store->fd, SECRET_KEY, 4 * KIB, &bytes, err);

	if (r < 0)
		return r;
	if (bytes.size != STORE_SECRET_KEY)
		return err_set(err, -EBADMSG,
			       "'" SECRET_KEY
			       "' of store '%s' is damaged: remove it, and "
			       "stages with secrets run again",
			       store->path);
	memcpy(key, bytes.data, STORE_SECRET_KEY);
	return 0;
}

/* Whole under another name first; of two that do so at once the first wins. */
static int make_key(struct cop_store *store, struct cop_error *err)
{
	unsigned char key[STORE_SECRET_KEY];
	char random[FS_TEMPORARY_NAME], tmp[STORE_PATH_SIZE];
	int r = store_check_writable(store, err);

	if (r < 0)
		return r;
	if (getrandom(key, sizeof(key), 0) != (ssize_t)sizeof(key))
		return err_errno(err, "get random bytes");
	(void)snprintf(tmp, sizeof(tmp), "meta/%s", fs_temporary_name(random));
	r = fs_write_new(store->fd, tmp, key, sizeof(key), 0600, err);
	if (r == 0)
		r = fs_sync_filesystem(store->fd, err);
	if (r == 0 && linkat(store->fd, tmp, store->fd, SECRET_KEY, 0) < 0 &&
	    errno != EEXIST)
		r = err_errno(err, "link '" SECRET_KEY "' in store '%s'", store->path);
	(void)unlinkat(store->fd, tmp, 0);
	return r < 0 ? r : fs_sync_directory(store->fd, err);
}

int store_secret_key(struct cop_store *store, unsigned char key[STORE_SECRET_KEY],
		     struct cop_error *err)
{
	struct cop_error why = {};
	int r = read_key(store, key, &why);

	if (r == -ENOENT) {
		r = make_key(store, err);
		return r < 0 ? r : read_key(store, key, err);
	}
	return r < 0 ? err_copy(err, &why) : 0;
}

static char *private_path(const struct cop_digest *digest, char path[STORE_PATH_SIZE])
{
	char hex[COP_DIGEST_HEX + 1];

	(void)snprintf(path, STORE_PATH_SIZE, PRIVATE_DIRECTORY "/%s",
		       cop_digest_to_hex(digest, hex));
	return path;
}

int object_mark_private(struct cop_store *store, const struct cop_digest *digest,
			struct cop_error *err)
{
	char path[STORE_PATH_SIZE];
	int fd, r = store_check_writable(store, err);

	if (r < 0)
		return r;
	if (mkdirat(store->fd, PRIVATE_DIRECTORY, 0700) < 0 && errno != EEXIST)
		return err_errno(err, "make '" PRIVATE_DIRECTORY "'");
	fd = openat(store->fd, private_path(digest, path),
		    O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_errno(err, "mark '%s'", path);
	(void)close(fd);
	fd = openat(store->fd, PRIVATE_DIRECTORY, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, "open '" PRIVATE_DIRECTORY "'");
	r = fs_sync_directory(fd, err);
	(void)close(fd);
	return r;
}

bool object_is_private(const struct cop_store *store, const struct cop_digest *digest)
{
	char path[STORE_PATH_SIZE];
	struct stat st;

	return fstatat(store->fd, private_path(digest, path), &st, AT_SYMLINK_NOFOLLOW) ==
	       0;
}
