/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Work directories.  Who holds the kernel's lock on tmp/ID lives; a directory whose lock
 * is free belongs to nobody.  It is made and locked under the tmp byte, so that a sweeper
 * never meets one that is there but not locked yet.
 */
#include "store/workdir.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>

#include "base/mutant.h"
#include "base/text.h"
#include "store/private.h"

/* What callers may add before and behind the random part of a name. */
#define AFFIX_MAX ((size_t)100)
/* A name in a directory is no longer. */
#define ROOT_NAME_MAX ((size_t)255)

/* How often we look, every 10 ms, whether a child's mounts are gone. */
#define PATIENCE 1000

struct workdir {
	struct cop_store *store;
	char *name; /* below the store: "tmp/ID" */
	char *path;
	int fd;
	bool is_kept;  /* stays */
	bool was_kept; /* is below views */
	bool is_free;  /* nothing is mounted from it */
};

/* What a killed child had mounted goes a moment after it: the kernel takes down its mount
 * namespace in its own time. */
static bool unmount_patiently(int fd)
{
	const struct timespec moment = {.tv_nsec = 10 * 1000 * 1000};

	for (int i = 0; i < PATIENCE; i++) {
		if (workdir_unmount(fd))
			return true;
		(void)nanosleep(&moment, NULL);
	}
	return workdir_unmount(fd);
}

static void remove_directory(struct workdir *workdir)
{
	char gone[FS_TEMPORARY_NAME + sizeof("tmp/gone-")], random[FS_TEMPORARY_NAME];
	const char *name = workdir->name;

	if (!workdir->is_free && !unmount_patiently(workdir->fd))
		return;
	/* What is half removed must not look like a view. */
	if (workdir->was_kept) {
		(void)snprintf(gone, sizeof(gone), "tmp/gone-%s",
			       fs_temporary_name(random) + strlen(".tmp-"));
		if (renameat(workdir->store->fd, name, workdir->store->fd, gone) < 0)
			return;
		name = gone;
	}
	/* The lock is held until all is gone.  Root needs no force, and must not change
	 * the mode of an inode that the pool may share. */
	(void)fs_remove_all(workdir->store->fd, name, geteuid() != 0, NULL);
}

struct workdir *workdir_free(struct workdir *workdir)
{
	if (!workdir)
		return NULL;
	if (workdir->fd >= 0 && !workdir->is_kept)
		remove_directory(workdir);
	closep(&workdir->fd);
	free(workdir->path);
	free(workdir->name);
	free(workdir);
	return NULL;
}

static bool affix_is_valid(const char *affix)
{
	return !affix || (strlen(affix) <= AFFIX_MAX && !strchr(affix, '/'));
}

static int check_affixes(const char *prefix, const char *suffix, struct cop_error *err)
{
	if (affix_is_valid(prefix) && affix_is_valid(suffix) &&
	    !(prefix && *prefix == '.'))
		return 0;
	return err_set(err, -EINVAL,
		       "make a work directory: '%s' and '%s' cannot be parts of its name",
		       prefix ? prefix : "", suffix ? suffix : "");
}

static int make_name(struct workdir *workdir, const char *prefix, const char *suffix,
		     struct cop_error *err)
{
	char random[FS_TEMPORARY_NAME];
	int n;

	(void)fs_temporary_name(random);
	free(workdir->name);
	n = asprintf(&workdir->name, "tmp/%s%s%s", prefix ? prefix : "",
		     random + strlen(".tmp-"), suffix ? suffix : "");
	if (n < 0) {
		workdir->name = NULL;
		return err_oom(err);
	}
	return 0;
}

static int make_directory(struct workdir *workdir, const char *prefix, const char *suffix,
			  struct cop_error *err)
{
	struct cop_store *store = workdir->store;
	int r;

	do {
		r = make_name(workdir, prefix, suffix, err);
		if (r < 0)
			return r;
		r = mkdirat(store->fd, workdir->name, 0700) < 0 ? -errno : 0;
	} while (r == -EEXIST);
	if (r < 0)
		return err_code(err, r, "make a work directory in store '%s'",
				store->path);
	workdir->fd = openat(store->fd, workdir->name,
			     O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (workdir->fd < 0 ||
	    (!mutant("workdir-lock") && flock(workdir->fd, LOCK_EX | LOCK_NB) < 0)) {
		r = err_errno(err, "lock '%s' of store '%s'", workdir->name, store->path);
		(void)unlinkat(store->fd, workdir->name, AT_REMOVEDIR);
		return r;
	}
	return 0;
}

static int make_locked(struct workdir *workdir, const char *prefix, const char *suffix,
		       struct cop_error *err)
{
	auto_lock *lock = NULL;
	int r;

	r = lock_tmp(workdir->store, STORE_LOCK_SHARED, &lock, err);
	if (r == 0)
		r = make_directory(workdir, prefix, suffix, err);
	if (r == 0 &&
	    asprintf(&workdir->path, "%s/%s", workdir->store->path, workdir->name) < 0) {
		workdir->path = NULL;
		r = err_oom(err);
	}
	return r;
}

int workdir_new(struct cop_store *store, const char *prefix, const char *suffix,
		struct workdir **ret_workdir, struct cop_error *err)
{
	auto_ptr(workdir) workdir = NULL;
	int r;

	r = store_check_writable(store, err);
	if (r == 0)
		r = check_affixes(prefix, suffix, err);
	if (r < 0)
		return r;
	workdir = calloc(1, sizeof(*workdir));
	if (!workdir) {
		(void)err_oom(err);
		return -ENOMEM;
	}
	workdir->store = store;
	workdir->fd = -EBADF;
	r = make_locked(workdir, prefix, suffix, err);
	if (r < 0)
		return r;
	*ret_workdir = TAKE_PTR(workdir);
	return 0;
}

static int set_place(struct workdir *workdir, const char *id, struct cop_error *err)
{
	auto_free char *name = NULL, *path = NULL;

	if (asprintf(&name, "views/%s", id) < 0)
		name = NULL;
	if (asprintf(&path, "%s/views/%s", workdir->store->path, id) < 0)
		path = NULL;
	if (!name || !path) {
		(void)err_oom(err);
		return -ENOMEM;
	}
	free(workdir->name);
	free(workdir->path);
	workdir->name = TAKE_PTR(name);
	workdir->path = TAKE_PTR(path);
	workdir->is_kept = true;
	workdir->was_kept = true;
	return 0;
}

int workdir_keep(struct workdir *workdir, struct cop_error *err)
{
	char to[STORE_PATH_SIZE];

	(void)snprintf(to, sizeof(to), "views/%s", workdir_id(workdir));
	if (renameat(workdir->store->fd, workdir->name, workdir->store->fd, to) < 0)
		return err_errno(err, "keep '%s' in store '%s'", workdir->name,
				 workdir->store->path);
	return set_place(workdir, to + strlen("views/"), err);
}

int workdir_open_kept(struct cop_store *store, const char *id,
		      struct workdir **ret_workdir, struct cop_error *err)
{
	auto_ptr(workdir) workdir = NULL;
	struct stat st;
	int r = store_check_writable(store, err);

	if (r < 0)
		return r;
	if (!text_is_hex(id) || strlen(id) > AFFIX_MAX)
		return err_set(err, -ENOENT, "'%s' is not the id of a view", id);
	workdir = calloc(1, sizeof(*workdir));
	if (!workdir)
		return err_oom(err);
	workdir->store = store;
	workdir->fd = -EBADF;
	r = set_place(workdir, id, err);
	if (r < 0)
		return r;
	workdir->fd = openat(store->fd, workdir->name,
			     O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (workdir->fd < 0 && errno == ENOENT)
		return err_set(err, -ENOENT, "there is no view '%s' in store '%s'", id,
			       store->path);
	if (workdir->fd < 0)
		return err_errno(err, "open view '%s' of store '%s'", id, store->path);
	if (flock(workdir->fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK
			       ? err_set(err, -EBUSY,
					 "another process works on view '%s' right now",
					 id)
			       : err_errno(err, "lock view '%s'", id);
	/* It may have been ended between our open and our lock. */
	if (fstatat(store->fd, workdir->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_errno(err, "open view '%s' of store '%s'", id, store->path);
	*ret_workdir = TAKE_PTR(workdir);
	return 0;
}

void workdir_doom(struct workdir *workdir)
{
	workdir->is_kept = false;
}

void workdir_doom_free(struct workdir *workdir)
{
	workdir_doom(workdir);
	workdir->is_free = true;
}

const char *workdir_id(const struct workdir *workdir)
{
	return strrchr(workdir->name, '/') + 1;
}

int workdir_fd(const struct workdir *workdir)
{
	return workdir->fd;
}

const char *workdir_path(const struct workdir *workdir)
{
	return workdir->path;
}

static int make_root(int workdir_fd, const char *name, struct cop_error *err)
{
	char path[ROOT_NAME_MAX + 8];
	int fd;

	if (mutant("registration"))
		return 0;
	(void)snprintf(path, sizeof(path), "roots/%s", name);
	if (mkdirat(workdir_fd, "roots", 0700) < 0 && errno != EEXIST)
		return err_errno(err, "register '%s' as in use", name);
	fd = openat(workdir_fd, path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_errno(err, "register '%s' as in use", name);
	(void)close(fd);
	return 0;
}

int workdir_make_root(int workdir_fd, const struct cop_digest *digest,
		      struct cop_error *err)
{
	char hex[COP_DIGEST_HEX + 1];

	return make_root(workdir_fd, cop_digest_to_hex(digest, hex), err);
}

int workdir_register_source(struct workdir *workdir, const char *name,
			    struct cop_error *err)
{
	auto_lock *lock = NULL;
	int r;

	if (!name)
		name = ROOT_ALL_SOURCES;
	if (strchr(name, '/') || *name == '.' || strlen(name) > ROOT_NAME_MAX)
		return err_set(err, -EINVAL, "'%s' is not the name of a source", name);
	r = store_lock_take(workdir->store, STORE_LOCK_SHARED, &lock, err);
	return r < 0 ? r : make_root(workdir->fd, name, err);
}

int workdir_register(struct workdir *workdir, const struct cop_digest *digest,
		     struct cop_error *err)
{
	return workdir_make_root(workdir->fd, digest, err);
}

int cop_store_tempdir(struct cop_store *store, const char *prefix, const char *suffix,
		      char **ret_path, struct cop_error *err)
{
	auto_ptr(workdir) workdir = NULL;
	auto_free char *path = NULL;
	struct workdir **grown;
	int r;

	r = workdir_new(store, prefix, suffix, &workdir, err);
	if (r < 0)
		return r;
	path = strdup(workdir->path);
	if (!path)
		return err_oom(err);
	(void)pthread_mutex_lock(&store->mutex);
	grown = reallocarray(store->temps, store->n_temps + 1, sizeof(*grown));
	if (grown) {
		store->temps = grown;
		store->temps[store->n_temps++] = TAKE_PTR(workdir);
	}
	(void)pthread_mutex_unlock(&store->mutex);
	if (!grown)
		return err_oom(err);
	*ret_path = TAKE_PTR(path);
	return 0;
}
