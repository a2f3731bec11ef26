/* SPDX-License-Identifier: Apache-2.0 */
/* Opening and closing.  After opening, everything goes by the directory's fd. */
#include "store/store.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "store/private.h"

static int open_exactly(struct cop_store *store, const char *path, bool create,
			struct cop_error *err)
{
	if (create && mkdir(path, 0700) < 0 && errno != EEXIST)
		return err_errno(err, "make store '%s'", path);
	store->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (store->fd < 0 && errno == ENOENT)
		return err_set(err, -ENOENT,
			       "open store '%s': there is none; 'coppice init' makes one",
			       path);
	if (store->fd < 0)
		return err_errno(err, "open store '%s'", path);
	return 0;
}

/* A directory in which osbuild keeps its store has room for ours, below "coppice";
 * nothing of osbuild's is touched. */
static bool is_of_osbuild(int fd)
{
	struct stat st;

	return fstatat(fd, "format", &st, AT_SYMLINK_NOFOLLOW) < 0 &&
	       fstatat(fd, "cache.info", &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISREG(st.st_mode);
}

static int check_owner(int fd, const char *path, struct cop_error *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_errno(err, "open store '%s'", path);
	if (st.st_uid == geteuid())
		return 0;
	return err_set(
		err, -EPERM,
		"open store '%s': it belongs to user %u, and a store has one user; "
		"use one of your own (--store DIR) and exchange trees by push and "
		"pull",
		path, st.st_uid);
}

static int set_path(struct cop_store *store, const char *path, struct cop_error *err)
{
	store->path = realpath(path, NULL);
	if (!store->path)
		return err_errno(err, "open store '%s'", path);
	if (asprintf(&store->sources_path, "%s/sources", store->path) < 0) {
		store->sources_path = NULL;
		return err_oom(err);
	}
	return 0;
}

static int open_directory(struct cop_store *store, const char *path, bool create,
			  struct cop_error *err)
{
	auto_free char *part = NULL;
	int r = open_exactly(store, path, create, err);

	if (r < 0 || !is_of_osbuild(store->fd))
		return r < 0 ? r : set_path(store, path, err);
	if (asprintf(&part, "%s/coppice", path) < 0) {
		part = NULL;
		return err_oom(err);
	}
	closep(&store->fd);
	r = open_exactly(store, part, create, err);
	return r < 0 ? r : set_path(store, part, err);
}

static int ensure_parts(struct cop_store *store, struct cop_error *err)
{
	auto_close int lock_fd = -EBADF;
	int r = format_make_dirs(store->fd, err);

	if (r == 0) {
		lock_fd = openat(store->fd, "lock",
				 O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (lock_fd < 0)
			r = err_errno(err, "make 'lock'");
	}
	return r < 0 ? err_prefix(err, r, "open store '%s'", store->path) : 0;
}

static int check_format(struct cop_store *store, unsigned int flags,
			struct cop_error *err)
{
	struct stat st;
	int r;

	if (fstatat(store->fd, "format", &st, AT_SYMLINK_NOFOLLOW) < 0) {
		if (errno != ENOENT)
			return err_errno(err, "open store '%s'", store->path);
		if (!(flags & COP_STORE_CREATE))
			return err_set(err, -ENOENT,
				       "open store '%s': the directory is not a store; "
				       "'coppice init' makes one",
				       store->path);
		r = format_create(store->fd, store->path, err);
		if (r < 0)
			return r;
	}
	r = format_check(store->fd, store->path, &store->writes_need, err);
	if (r < 0)
		return r;
	store->read_only = store->writes_need || (flags & COP_STORE_READ_ONLY);
	return 0;
}

int cop_store_open(const char *path, unsigned int flags, struct cop_store **ret_store,
		   struct cop_error *err)
{
	auto_ptr(cop_store) store = calloc(1, sizeof(*store));
	int r;

	if (!store)
		return err_oom(err);
	store->fd = -EBADF;
	(void)pthread_mutex_init(&store->mutex, NULL);
	if (flags & ~(unsigned int)(COP_STORE_CREATE | COP_STORE_READ_ONLY) ||
	    (flags & COP_STORE_CREATE && flags & COP_STORE_READ_ONLY))
		return err_set(err, -EINVAL, "open store '%s': wrong flags", path);
	r = open_directory(store, path, flags & COP_STORE_CREATE, err);
	if (r == 0)
		r = check_owner(store->fd, store->path, err);
	if (r == 0)
		r = check_format(store, flags, err);
	if (r == 0 && !store->read_only)
		r = ensure_parts(store, err);
	if (r < 0)
		return r;
	if (!store->read_only)
		store_sweep(store);
	*ret_store = TAKE_PTR(store);
	return 0;
}

struct cop_store *cop_store_close(struct cop_store *store)
{
	if (!store)
		return NULL;
	for (size_t i = 0; i < store->n_temps; i++)
		workdir_free(store->temps[i]);
	free(store->temps);
	closep(&store->fd);
	(void)pthread_mutex_destroy(&store->mutex);
	free(store->writes_need);
	free(store->sources_path);
	free(store->path);
	free(store);
	return NULL;
}

const char *cop_store_path(const struct cop_store *store)
{
	return store->path;
}

int store_fd(const struct cop_store *store)
{
	return store->fd;
}

bool store_is_read_only(const struct cop_store *store)
{
	return store->read_only;
}

void store_trust(struct cop_store *store)
{
	store->is_trusted = true;
}

const char *store_sources_path(const struct cop_store *store)
{
	return store->sources_path;
}

int store_check_writable(const struct cop_store *store, struct cop_error *err)
{
	if (!store->read_only)
		return 0;
	if (store->writes_need)
		return err_set(
			err, -EROFS,
			"store '%s' can only be read: writing needs '%s', which this "
			"coppice does not know; a newer one is needed",
			store->path, store->writes_need);
	return err_set(err, -EROFS, "store '%s' is open for reading only", store->path);
}

int store_default_path(char **ret_path, struct cop_error *err)
{
	const char *given = getenv("COPPICE_STORE"), *data = getenv("XDG_DATA_HOME"),
		   *home = getenv("HOME");
	char *path = NULL;
	int n;

	if (given && *given)
		n = asprintf(&path, "%s", given);
	else if (geteuid() == 0)
		n = asprintf(&path, "/var/lib/coppice");
	else if (data && *data == '/') /* relative ones are to be ignored */
		n = asprintf(&path, "%s/coppice", data);
	else if (home && *home == '/')
		n = asprintf(&path, "%s/.local/share/coppice", home);
	else
		return err_set(err, -ENOENT,
			       "find the store: neither COPPICE_STORE nor HOME is set");
	if (n < 0)
		return err_oom(err);
	*ret_path = path;
	return 0;
}

static int make_parents(const char *path, struct cop_error *err)
{
	auto_free char *parent = strdup(path);

	if (!parent)
		return err_oom(err);
	for (char *end = parent + 1; (end = strchr(end, '/')); *end++ = '/') {
		*end = '\0';
		if (access(parent, F_OK) < 0 && mkdir(parent, 0700) < 0 &&
		    errno != EEXIST)
			return err_errno(err, "make store '%s': make '%s'", path, parent);
	}
	return 0;
}

int store_open_default(struct cop_store **ret_store, struct cop_error *err)
{
	const char *given = getenv("COPPICE_STORE");
	auto_free char *path = NULL;
	int r = store_default_path(&path, err);

	/* A place that somebody chose may be one that is not mounted yet; and root's is
	 * there. */
	if (r == 0 && geteuid() != 0 && !(given && *given))
		r = make_parents(path, err);
	return r < 0 ? r : cop_store_open(path, COP_STORE_CREATE, ret_store, err);
}

static char *join_path(const char *directory, const char *name,
		       char path[STORE_PATH_SIZE])
{
	(void)snprintf(path, STORE_PATH_SIZE, "%s/%s", directory, name);
	return path;
}

char *object_path(const struct cop_digest *digest, char path[STORE_PATH_SIZE])
{
	char payload[TREE_PAYLOAD_SIZE];

	return join_path("objects", tree_payload(digest, payload), path);
}

char *pool_path(const struct cop_digest *digest, char path[STORE_PATH_SIZE])
{
	char payload[TREE_PAYLOAD_SIZE];

	return join_path("files", tree_payload(digest, payload), path);
}

char *list_path(const struct cop_digest *digest, char path[STORE_PATH_SIZE])
{
	char hex[COP_DIGEST_HEX + 1];

	return join_path("meta/files", cop_digest_to_hex(digest, hex), path);
}

char *damaged_path(const struct cop_digest *digest, char path[STORE_PATH_SIZE])
{
	char hex[COP_DIGEST_HEX + 1];

	return join_path("meta/damaged", cop_digest_to_hex(digest, hex), path);
}
