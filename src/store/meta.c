/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of refs, and the logs of stages.  Never part of an identity: all of it
 * may be lost without harm to a tree. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "store/private.h"
#include "json/json.h"

#define META_SIZE_MAX (16 * MIB)
#define LOG_SIZE_MAX  ((size_t)(1 * MIB))
/* Parts of "meta/refs/CLASS", which are never removed. */
#define META_PARTS 3

char *meta_path(enum ref_class class, const char *name, char path[REF_PATH_SIZE])
{
	(void)snprintf(path, REF_PATH_SIZE, "meta/refs/%s/%s", ref_class_name(class),
		       name);
	return path;
}

int meta_text(const json_t *meta, const struct cop_digest *digest, struct buf *buf,
	      struct cop_error *err)
{
	auto_json *all = NULL;
	char hex[COP_DIGEST_HEX + 1];
	int r;

	if (meta && !json_is_object(meta))
		return err_set(err, -EINVAL, "what is kept of a ref is not an object");
	all = meta ? json_copy((json_t *)meta) : json_object();
	if (!all ||
	    json_object_set_new(all, "digest",
				json_string(cop_digest_to_hex(digest, hex))) < 0 ||
	    json_object_set_new(all, "created", json_integer((json_int_t)time(NULL))) < 0)
		return err_oom(err);
	r = json_write(all, 2, buf, err);
	if (r < 0)
		return r;
	return buf_append_char(buf, '\n') < 0 ? err_oom(err) : 0;
}

void dir_prune(int store_fd, const char *path, unsigned int n_keep)
{
	char parent[REF_PATH_SIZE];
	unsigned int n_parts = 0;
	char *slash;

	(void)snprintf(parent, sizeof(parent), "%s", path);
	for (const char *c = parent; *c; c++)
		n_parts += *c == '/';
	for (; n_parts > n_keep; n_parts--) {
		slash = strrchr(parent, '/');
		if (!slash)
			return;
		*slash = '\0';
		if (unlinkat(store_fd, parent, AT_REMOVEDIR) < 0)
			return;
	}
}

/* Meta of names that are gone may stand where a directory must be, or the reverse. */
static int make_meta_parents(struct cop_store *store, const char *path,
			     struct cop_error *err)
{
	char parent[REF_PATH_SIZE];
	struct stat st;

	for (const char *slash = strchr(path, '/'); slash;
	     slash = strchr(slash + 1, '/')) {
		(void)snprintf(parent, sizeof(parent), "%.*s", (int)(slash - path), path);
		if (mkdirat(store->fd, parent, 0700) == 0)
			continue;
		if (errno != EEXIST ||
		    fstatat(store->fd, parent, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return err_errno(err, "make directory '%s'", parent);
		if (S_ISDIR(st.st_mode))
			continue;
		if (unlinkat(store->fd, parent, 0) < 0 ||
		    mkdirat(store->fd, parent, 0700) < 0)
			return err_errno(err, "make directory '%s'", parent);
	}
	return 0;
}

int meta_put(struct cop_store *store, enum ref_class class, const char *name, int dir_fd,
	     const char *file, struct cop_error *err)
{
	char path[REF_PATH_SIZE];
	int r;

	r = make_meta_parents(store, meta_path(class, name, path), err);
	if (r < 0)
		return r;
	if (renameat(dir_fd, file, store->fd, path) == 0)
		return 0;
	if (errno != EISDIR)
		return err_errno(err, "rename '%s' to '%s'", file, path);
	r = fs_remove_all(store->fd, path, false, err);
	if (r == 0 && renameat(dir_fd, file, store->fd, path) < 0)
		r = err_errno(err, "rename '%s' to '%s'", file, path);
	return r;
}

void meta_remove(struct cop_store *store, enum ref_class class, const char *name)
{
	char path[REF_PATH_SIZE];

	if (unlinkat(store->fd, meta_path(class, name, path), 0) == 0)
		dir_prune(store->fd, path, META_PARTS);
}

static int read_meta(struct cop_store *store, enum ref_class class, const char *name,
		     json_t **ret_meta, struct cop_error *err)
{
	char path[REF_PATH_SIZE];
	auto_json *meta = NULL;
	auto_buf text = {};
	int r;

	r = fs_read_file(store->fd, meta_path(class, name, path), META_SIZE_MAX, &text,
			 err);
	if (r == -ENOENT || r == -ENOTDIR || r == -ELOOP || r == -EINVAL)
		return err_set(err, -ENOENT, "nothing is known of ref '%s' in store '%s'",
			       name, store->path);
	if (r == 0)
		r = json_read(buf_text(&text), text.size, &meta, err);
	if (r < 0)
		return err_prefix(err, r, "read '%s' of store '%s'", path, store->path);
	*ret_meta = TAKE_PTR(meta);
	return 0;
}

int ref_meta(struct cop_store *store, enum ref_class class, const char *name,
	     json_t **ret_meta, struct cop_error *err)
{
	auto_json *meta = NULL;
	struct cop_digest digest;
	char hex[COP_DIGEST_HEX + 1];
	const char *said = NULL;
	int r;

	r = ref_get(store, class, name, &digest, err);
	if (r == 0)
		r = read_meta(store, class, name, &meta, err);
	if (r < 0)
		return r;
	said = json_string_value(json_object_get(meta, "digest"));
	if (!said || strcmp(said, cop_digest_to_hex(&digest, hex)) != 0)
		return err_set(err, -ENOENT,
			       "nothing is known of ref '%s' in store '%s' since it "
			       "points to '%s'",
			       name, store->path, hex);
	*ret_meta = TAKE_PTR(meta);
	return 0;
}

void ref_touch(struct cop_store *store, enum ref_class class, const char *name)
{
	char path[REF_PATH_SIZE];

	if (!store->read_only && ref_name_is_valid(class, name))
		(void)utimensat(store->fd, meta_path(class, name, path), NULL,
				AT_SYMLINK_NOFOLLOW);
}

int store_log_write(struct cop_store *store, const char *id, const char *text,
		    size_t size, struct cop_error *err)
{
	auto_lock *lock = NULL;
	auto_close int fd = -EBADF;
	int r;

	r = store_check_writable(store, err);
	if (r == 0)
		r = ref_check_name(REF_STAGE, id, err);
	/* The lock keeps a sweep away from our temporary file. */
	if (r == 0)
		r = store_lock_take(store, STORE_LOCK_SHARED, &lock, err);
	if (r < 0)
		return r;
	fd = fs_open_plain(store->fd, "meta/log", O_RDONLY | O_DIRECTORY, 0, err);
	if (fd < 0)
		return fd;
	if (size > LOG_SIZE_MAX) {
		const char *line;

		text += size - LOG_SIZE_MAX;
		size = LOG_SIZE_MAX;
		line = memchr(text, '\n', size);
		if (line && (size_t)(line + 1 - text) < size) {
			size -= (size_t)(line + 1 - text);
			text = line + 1;
		}
	}
	r = fs_replace_at(fd, id, text, size, 0600, err);
	return r < 0 ? err_prefix(err, r, "keep the log of stage '%s'", id) : 0;
}

int store_log_read(struct cop_store *store, const char *id, struct buf *buf,
		   struct cop_error *err)
{
	char path[STORE_PATH_SIZE];
	int r = ref_check_name(REF_STAGE, id, err);

	if (r < 0)
		return r;
	(void)snprintf(path, sizeof(path), "meta/log/%s", id);
	r = fs_read_file(store->fd, path, 2 * LOG_SIZE_MAX, buf, err);
	return r < 0 ? err_prefix(err, r, "read the log of stage '%s'", id) : 0;
}
