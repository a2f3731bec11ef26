/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Refs: a symlink per name, whose text is the relative path of the object.  A name is
 * replaced by a rename and made durable by an fsync of its directory.
 *
 * Writers hold the shared lock and, among each other, the byte of the names: so meta and
 * ref of one name never come from two writers, and directories of names can be made and
 * removed without a race.
 */
#include "store/ref.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/mutant.h"
#include "base/text.h"
#include "store/private.h"

/* Parts of "refs/CLASS", which are never removed. */
#define CLASS_PARTS 2

static char *ref_path(enum ref_class class, const char *name, char path[REF_PATH_SIZE])
{
	(void)snprintf(path, REF_PATH_SIZE, "refs/%s/%s", ref_class_name(class), name);
	return path;
}

/* "../../objects/ab/cdef...", with a "../" for every directory the ref is in */
static char *ref_text(const char *path, const struct cop_digest *digest, char *text)
{
	char object[STORE_PATH_SIZE], *end = text;

	for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/'))
		end = stpcpy(end, "../");
	(void)stpcpy(end, object_path(digest, object));
	return text;
}

/* A text is as long as 512 parts of one letter make it. */
#define REF_TEXT_SIZE (REF_PATH_SIZE * 2 + STORE_PATH_SIZE)

static int parse_text(const char *path, const char *text, struct cop_digest *ret_digest)
{
	char hex[COP_DIGEST_HEX + 1], expected[REF_TEXT_SIZE];
	size_t size = strlen(text), payload_size = TREE_PAYLOAD_SIZE - 1;
	struct cop_digest digest;
	const char *payload;

	/* Take the digits from the end, then demand the whole text that they make. */
	if (size < payload_size)
		return -EBADMSG;
	payload = text + size - payload_size;
	(void)snprintf(hex, sizeof(hex), "%.2s%.62s", payload, payload + 3);
	if (cop_digest_parse(hex, &digest) < 0 ||
	    strcmp(ref_text(path, &digest, expected), text) != 0)
		return -EBADMSG;
	*ret_digest = digest;
	return 0;
}

int ref_get(struct cop_store *store, enum ref_class class, const char *name,
	    struct cop_digest *ret_digest, struct cop_error *err)
{
	char path[REF_PATH_SIZE], text[REF_TEXT_SIZE];
	struct stat st;
	ssize_t n;
	int r;

	r = ref_check_name(class, name, err);
	if (r < 0)
		return r;
	n = readlinkat(store->fd, ref_path(class, name, path), text, sizeof(text) - 1);
	r = n < 0 ? -errno : 0;
	/* a directory of names is not a name */
	if (r == -EINVAL && fstatat(store->fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISDIR(st.st_mode))
		r = -ENOENT;
	if (r == -ENOENT || r == -ENOTDIR)
		return err_set(err, -ENOENT, "no ref '%s' in store '%s'", name,
			       store->path);
	if (r == -EINVAL)
		return err_set(err, -EBADMSG,
			       "read ref '%s' of store '%s': it is not a symlink", name,
			       store->path);
	if (r < 0)
		return err_code(err, r, "read ref '%s' of store '%s'", name, store->path);
	text[n] = '\0';
	r = parse_text(path, text, ret_digest);
	if (r < 0)
		return err_set(
			err, r,
			"read ref '%s' of store '%s': it points to '%.128s', which "
			"is no object",
			name, store->path, text);
	return 0;
}

static int name_clash(enum ref_class class, const char *name, const char *other,
		      struct cop_error *err)
{
	return err_set(err, -EEXIST,
		       "set ref '%s': ref '%s' exists, and a %s cannot be a ref and a "
		       "directory of refs",
		       name, other, ref_class_name(class));
}

/* Directories for the parts of @name; a part that is a ref already is a clash. */
static int make_parents(struct cop_store *store, enum ref_class class, const char *name,
			struct cop_error *err)
{
	char part[REF_NAME_SIZE], path[REF_PATH_SIZE];
	struct stat st;

	for (const char *slash = strchr(name, '/'); slash;
	     slash = strchr(slash + 1, '/')) {
		(void)snprintf(part, sizeof(part), "%.*s", (int)(slash - name), name);
		(void)ref_path(class, part, path);
		if (mkdirat(store->fd, path, 0700) == 0)
			continue;
		if (errno != EEXIST)
			return err_errno(err, "set ref '%s': make directory '%s'", name,
					 path);
		if (fstatat(store->fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return err_errno(err, "set ref '%s': stat '%s'", name, path);
		if (!S_ISDIR(st.st_mode))
			return name_clash(class, name, part, err);
	}
	return 0;
}

struct first_name {
	char name[REF_NAME_SIZE];
};

static int take_first(void *data, const char *name, const struct cop_digest *digest)
{
	struct first_name *first = data;

	(void)digest;
	(void)snprintf(first->name, sizeof(first->name), "%s", name);
	return -ECANCELED;
}

/* @name is a directory: of refs, or only a leftover, which may go. */
static int clear_directory(struct cop_store *store, enum ref_class class,
			   const char *name, struct cop_error *err)
{
	struct first_name first = {};
	char path[REF_PATH_SIZE], pattern[REF_NAME_SIZE + 2];
	struct stat st;
	int r;

	if (fstatat(store->fd, ref_path(class, name, path), &st, AT_SYMLINK_NOFOLLOW) <
		    0 ||
	    !S_ISDIR(st.st_mode))
		return 0;
	(void)snprintf(pattern, sizeof(pattern), "%s/*", name);
	r = ref_list(store, class, pattern, take_first, &first, err);
	if (r == -ECANCELED)
		return name_clash(class, name, first.name, err);
	if (r < 0)
		return r;
	return fs_remove_all(store->fd, path, false, err);
}

static int open_parent(const struct cop_store *store, const char *path,
		       struct cop_error *err)
{
	char parent[REF_PATH_SIZE];

	(void)snprintf(parent, sizeof(parent), "%.*s", (int)(strrchr(path, '/') - path),
		       path);
	return fs_open_plain(store->fd, parent, O_RDONLY | O_DIRECTORY, 0, err);
}

/* Directories up to refs/CLASS may be new: each must be on disk for the name to be. */
static int sync_parents(const struct cop_store *store, const char *path,
			struct cop_error *err)
{
	char parent[REF_PATH_SIZE];
	char *slash;

	(void)snprintf(parent, sizeof(parent), "%s", path);
	while ((slash = strrchr(parent, '/')) != NULL && strchr(parent, '/') != slash) {
		auto_close int fd = open_parent(store, parent, err);
		int r = fd < 0 ? fd : fs_sync_directory(fd, err);

		if (r < 0)
			return r;
		*slash = '\0';
	}
	return 0;
}

static int replace_link(struct cop_store *store, const char *path,
			const struct cop_digest *digest, struct cop_error *err)
{
	char text[REF_TEXT_SIZE], random[FS_TEMPORARY_NAME];
	char tmp[FS_TEMPORARY_NAME + 8];
	int r;

	/* In refs/, where a sweep finds what a kill leaves. */
	(void)snprintf(tmp, sizeof(tmp), "refs/%s", fs_temporary_name(random));
	if (symlinkat(ref_text(path, digest, text), store->fd, tmp) < 0)
		return err_errno(err, "make '%s'", tmp);
	if (renameat(store->fd, tmp, store->fd, path) == 0)
		return 0;
	r = err_errno(err, "replace '%s'", path);
	(void)unlinkat(store->fd, tmp, 0);
	return r;
}

static int put(struct cop_store *store, enum ref_class class, const char *name,
	       const struct cop_digest *digest, int meta_dir_fd, const char *meta_name,
	       struct cop_error *err)
{
	char path[REF_PATH_SIZE], meta[REF_PATH_SIZE];
	int r;

	(void)ref_path(class, name, path);
	r = make_parents(store, class, name, err);
	if (r == 0)
		r = clear_directory(store, class, name, err);
	if (r == 0 && meta_name)
		r = meta_put(store, class, name, meta_dir_fd, meta_name, err);
	if (r == 0)
		r = replace_link(store, path, digest, err);
	/* Meta first: a ref that survives a power cut has what is known of it. */
	if (r == 0 && meta_name && !mutant("meta-sync"))
		r = sync_parents(store, meta_path(class, name, meta), err);
	if (r == 0 && !mutant("ref-sync"))
		r = sync_parents(store, path, err);
	return r;
}

int ref_put(struct cop_store *store, struct store_lock *lock, enum ref_class class,
	    const char *name, const struct cop_digest *digest, int meta_dir_fd,
	    const char *meta_name, struct cop_error *err)
{
	int r = lock_refs(lock, err);

	if (r < 0)
		return r;
	r = put(store, class, name, digest, meta_dir_fd, meta_name, err);
	unlock_refs(lock);
	return r < 0 && r != -EEXIST ? err_prefix(err, r, "set ref '%s' in store '%s'",
						  name, store->path)
				     : r;
}

static int write_meta(struct cop_store *store, const json_t *meta,
		      const struct cop_digest *digest, char path[STORE_PATH_SIZE],
		      struct cop_error *err)
{
	char random[FS_TEMPORARY_NAME];
	auto_buf text = {};
	int r;

	r = meta_text(meta, digest, &text, err);
	if (r < 0)
		return r;
	/* In meta/, where a sweep finds what a kill leaves. */
	(void)snprintf(path, STORE_PATH_SIZE, "meta/%s", fs_temporary_name(random));
	return fs_write_new(store->fd, path, text.data, text.size, 0600, err);
}

static int set_locked(struct cop_store *store, struct store_lock *lock,
		      enum ref_class class, const char *name,
		      const struct cop_digest *digest, const json_t *meta,
		      struct cop_error *err)
{
	char hex[COP_DIGEST_HEX + 1], meta_file[STORE_PATH_SIZE] = "";
	int r;

	r = object_exists(store, digest, err);
	if (r == 0)
		return err_set(err, -ENOENT,
			       "set ref '%s': object '%s' is missing or damaged in store "
			       "'%s'",
			       name, cop_digest_to_hex(digest, hex), store->path);
	if (r < 0)
		return r;
	r = write_meta(store, meta, digest, meta_file, err);
	/* Of the object too: whoever published it may have died before it was durable. */
	if (r == 0 && !mutant("set-barrier"))
		r = fs_sync_filesystem(store->fd, err);
	if (r < 0)
		r = err_prefix(err, r, "set ref '%s' in store '%s'", name, store->path);
	else
		r = ref_put(store, lock, class, name, digest, store->fd, meta_file, err);
	if (r < 0 && *meta_file)
		(void)unlinkat(store->fd, meta_file, 0);
	return r;
}

int ref_set(struct cop_store *store, enum ref_class class, const char *name,
	    const struct cop_digest *digest, const json_t *meta, struct cop_error *err)
{
	auto_lock *lock = NULL;
	int r;

	r = store_check_writable(store, err);
	if (r == 0)
		r = ref_check_name(class, name, err);
	if (r == 0)
		r = store_lock_take(store, STORE_LOCK_SHARED, &lock, err);
	return r < 0 ? r : set_locked(store, lock, class, name, digest, meta, err);
}

/* The deepest directory of @path that is still there. */
static int sync_remaining(const struct cop_store *store, const char *path,
			  struct cop_error *err)
{
	char parent[REF_PATH_SIZE];
	char *slash;

	(void)snprintf(parent, sizeof(parent), "%s", path);
	while ((slash = strrchr(parent, '/')) != NULL) {
		auto_close int fd = -EBADF;

		*slash = '\0';
		fd = fs_open_plain(store->fd, parent, O_RDONLY | O_DIRECTORY, 0, err);
		if (fd >= 0)
			return mutant("unset-sync") ? 0 : fs_sync_directory(fd, err);
		if (fd != -ENOENT)
			return fd;
	}
	return 0;
}

void ref_last_use(const struct cop_store *store, enum ref_class class, const char *name,
		  struct timespec *ret)
{
	char path[REF_PATH_SIZE];
	struct stat st = {};

	if (fstatat(store->fd, meta_path(class, name, path), &st, AT_SYMLINK_NOFOLLOW) <
		    0 ||
	    !S_ISREG(st.st_mode))
		(void)fstatat(store->fd, ref_path(class, name, path), &st,
			      AT_SYMLINK_NOFOLLOW);
	*ret = st.st_mtim;
}

int64_t store_ref_last_use(const struct cop_store *store, enum ref_class class,
			   const char *name)
{
	struct timespec last_use;

	ref_last_use(store, class, name, &last_use);
	return last_use.tv_sec;
}

int ref_unlink(struct cop_store *store, enum ref_class class, const char *name)
{
	char path[REF_PATH_SIZE];

	if (unlinkat(store->fd, ref_path(class, name, path), 0) < 0)
		return errno > 0 ? -errno : -EIO;
	dir_prune(store->fd, path, CLASS_PARTS);
	meta_remove(store, class, name);
	return 0;
}

static int remove_locked(struct cop_store *store, enum ref_class class, const char *name,
			 struct cop_error *err)
{
	char path[REF_PATH_SIZE];
	struct stat st;
	int r;

	(void)ref_path(class, name, path);
	if (fstatat(store->fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		if (errno == ENOENT || errno == ENOTDIR)
			return err_set(err, -ENOENT, "no ref '%s' in store '%s'", name,
				       store->path);
		return err_errno(err, "remove ref '%s'", name);
	}
	if (S_ISDIR(st.st_mode))
		return err_set(err, -ENOENT,
			       "no ref '%s' in store '%s': it is a directory of refs",
			       name, store->path);
	r = ref_unlink(store, class, name);
	if (r < 0)
		return err_code(err, r, "remove ref '%s' of store '%s'", name,
				store->path);
	return sync_remaining(store, path, err);
}

int ref_remove(struct cop_store *store, enum ref_class class, const char *name,
	       struct cop_error *err)
{
	auto_lock *lock = NULL;
	int r;

	r = store_check_writable(store, err);
	if (r == 0)
		r = ref_check_name(class, name, err);
	if (r == 0)
		r = store_lock_take(store, STORE_LOCK_SHARED, &lock, err);
	if (r == 0)
		r = lock_refs(lock, err);
	return r < 0 ? r : remove_locked(store, class, name, err);
}

int cop_ref_set(struct cop_store *store, const char *name,
		const struct cop_digest *digest, struct cop_error *err)
{
	return ref_set(store, REF_NAME, name, digest, NULL, err);
}

int cop_ref_remove(struct cop_store *store, const char *name, struct cop_error *err)
{
	return ref_remove(store, REF_NAME, name, err);
}
