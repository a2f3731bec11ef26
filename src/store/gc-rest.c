/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What speaks of things that are gone: side lists and marks without an image, what was
 * known of a ref, logs of stages that have no tree.  Each is judged again under the lock.
 */
#include <fcntl.h>
#include <string.h>
#include <time.h>

#include "store/gc-private.h"

/* How much is done before others get their turn. */
#define AT_ONCE 1000
/* Long enough to look at, where nothing takes its place. */
#define ASIDE_SEC (30 * 24 * 60 * 60)

struct rest {
	struct gc *gc;
	struct store_lock *lock;
	unsigned int n_done; /* since the lock was taken */
};

static bool exists(const struct gc *gc, const char *path)
{
	/* A path that leads through something that is no directory is not there. */
	return faccessat(gc->store->fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0 ||
	       (errno != ENOENT && errno != ENOTDIR);
}

/* @path goes unless @reason is there. */
static int remove_unless(struct rest *rest, const char *path, const char *reason,
			 struct cop_error *err)
{
	struct gc *gc = rest->gc;
	struct gc_count *count = &gc->result->gone[GC_REST];
	struct stat st;
	int r;

	if (exists(gc, reason) ||
	    fstatat(gc->store->fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	if (gc->request->dry_run) {
		count->n++;
		count->n_bytes += (uint64_t)st.st_blocks * 512;
		return 0;
	}
	if (rest->n_done++ % AT_ONCE == 0) {
		rest->lock = store_lock_drop(rest->lock);
		r = lock_exclusive_soon(gc->store, &rest->lock, err);
		if (r < 0)
			return r;
	}
	if (!exists(gc, reason) && unlinkat(gc->store->fd, path, 0) == 0) {
		count->n++;
		count->n_bytes += (uint64_t)st.st_blocks * 512;
	}
	return 0;
}

static int list_directory(struct gc *gc, const char *path, char ***ret_names, size_t *n,
			  struct cop_error *err)
{
	auto_close int fd = openat(gc->store->fd, path,
				   O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	*ret_names = NULL;
	*n = 0;
	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == ELOOP
			       ? 0
			       : err_errno(err, "open '%s'", path);
	return fs_list(fd, ret_names, n, err);
}

/* Names that are digests of objects. */
static int sweep_objects(struct rest *rest, const char *directory, struct cop_error *err)
{
	char path[STORE_PATH_SIZE], reason[STORE_PATH_SIZE];
	char **names;
	size_t n;
	int r = list_directory(rest->gc, directory, &names, &n, err);

	for (size_t i = 0; i < n && r == 0; i++) {
		struct cop_digest digest;

		if (cop_digest_parse(names[i], &digest) < 0)
			continue;
		(void)snprintf(path, sizeof(path), "%s/%s", directory, names[i]);
		r = remove_unless(rest, path, object_path(&digest, reason), err);
	}
	fs_list_free(names);
	return r;
}

/* meta/refs/@below; names may be directories of names. */
static int sweep_meta(struct rest *rest, const char *below, struct cop_error *err)
{
	char **names;
	size_t n;
	auto_buf directory = {};
	int r;

	if (buf_printf(&directory, "meta/refs/%s", below) < 0)
		return err_oom(err);
	r = list_directory(rest->gc, directory.data, &names, &n, err);
	for (size_t i = 0; i < n && r == 0; i++) {
		auto_buf name = {}, path = {}, reason = {};
		struct stat st;

		if (buf_printf(&name, "%s/%s", below, names[i]) < 0 ||
		    buf_printf(&path, "meta/refs/%s", name.data) < 0 ||
		    buf_printf(&reason, "refs/%s", name.data) < 0)
			r = err_oom(err);
		else if (fstatat(rest->gc->store->fd, path.data, &st,
				 AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		else if (!S_ISDIR(st.st_mode))
			r = remove_unless(rest, path.data, reason.data, err);
		else if (name.size < REF_NAME_SIZE)
			r = sweep_meta(rest, name.data, err);
	}
	fs_list_free(names);
	return r;
}

static bool has_tree(const struct gc *gc, const char *id)
{
	char path[STORE_PATH_SIZE];

	(void)snprintf(path, sizeof(path), "refs/failed/%s", id);
	if (exists(gc, path))
		return true;
	(void)snprintf(path, sizeof(path), "refs/stage/%s", id);
	return exists(gc, path);
}

/* A log comes before its tree: who writes one holds the lock of the stage until then. */
static int sweep_log(struct rest *rest, const char *id, struct cop_error *err)
{
	auto_lock *stage = NULL;
	char path[STORE_PATH_SIZE];

	if (has_tree(rest->gc, id) ||
	    lock_try_stage(rest->gc->store, id, &stage, NULL) < 0 ||
	    has_tree(rest->gc, id))
		return 0;
	(void)snprintf(path, sizeof(path), "meta/log/%s", id);
	return remove_unless(rest, path, "nothing", err);
}

static int sweep_logs(struct rest *rest, struct cop_error *err)
{
	char **names;
	size_t n;
	int r = list_directory(rest->gc, "meta/log", &names, &n, err);

	for (size_t i = 0; i < n && r == 0; i++)
		if (ref_name_is_valid(REF_STAGE, names[i]))
			r = sweep_log(rest, names[i], err);
	fs_list_free(names);
	return r;
}

/* What a repair put aside is of use until what it should be is back. */
static int sweep_aside(struct rest *rest, struct cop_error *err)
{
	char path[REF_PATH_SIZE], other[STORE_PATH_SIZE];
	char **names;
	size_t n;
	int r = list_directory(rest->gc, "damaged", &names, &n, err);

	for (size_t i = 0; i < n && r == 0; i++) {
		struct cop_digest digest;
		struct stat st;
		bool is_back = false, is_old;

		(void)snprintf(path, sizeof(path), "damaged/%s", names[i]);
		if (fstatat(rest->gc->store->fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (cop_digest_parse(names[i], &digest) == 0)
			is_back = exists(rest->gc, pool_path(&digest, other)) ||
				  exists(rest->gc, object_path(&digest, other));
		is_old = time(NULL) - st.st_ctime > ASIDE_SEC;
		if (is_back || is_old)
			r = remove_unless(rest, path, "nothing", err);
	}
	fs_list_free(names);
	return r;
}

/* What a pull left that was killed, unless another goes on with it. */
static int sweep_partial(struct rest *rest, struct cop_error *err)
{
	char path[REF_PATH_SIZE];
	char **names;
	size_t n;
	int r = list_directory(rest->gc, "partial", &names, &n, err);

	for (size_t i = 0; i < n && r == 0; i++) {
		auto_close int fd =
			received_take_abandoned(rest->gc->store->fd, names[i]);

		(void)snprintf(path, sizeof(path), "partial/%s", names[i]);
		if (fd >= 0)
			r = remove_unless(rest, path, "nothing", err);
	}
	fs_list_free(names);
	return r;
}

int gc_remove_rest(struct gc *gc, struct cop_error *err)
{
	struct rest rest = {.gc = gc};
	int r = sweep_objects(&rest, "meta/files", err);

	if (r == 0)
		r = sweep_objects(&rest, "meta/damaged", err);
	if (r == 0)
		r = sweep_objects(&rest, "meta/private", err);
	for (enum ref_class class = REF_NAME; class <= REF_FAILED && r == 0; class ++)
		r = sweep_meta(&rest, ref_class_name(class), err);
	if (r == 0)
		r = sweep_logs(&rest, err);
	if (r == 0)
		r = sweep_aside(&rest, err);
	if (r == 0)
		r = sweep_partial(&rest, err);
	store_lock_drop(rest.lock);
	return r;
}
