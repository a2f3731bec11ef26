/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sweeping what killed processes left, on every open.  Never waits for a live process and
 * never fails an open: what cannot be swept now is swept next time.
 *
 * A commit that had passed its first barrier is finished first; that decides whether its
 * directory may go.  A swept directory is renamed aside, then unlinked; nothing in it is
 * followed or changed, as its inodes may be shared with the pool.  A directory with a
 * view that some process left behind still uses stays until that process is gone.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>

#include "base/log.h"
#include "base/text.h"
#include "store/private.h"

/* Directories that are on their way out, and need no second look inside. */
#define GONE "gone-"

/* Every work directory has a run of 16 hexadecimal digits in its name. */
static bool is_workdir_name(const char *name)
{
	static const char digits[] = "0123456789abcdef";

	while (*name) {
		size_t run = strspn(name, digits);

		if (run >= 16)
			return true;
		name += run ? run : 1;
	}
	return false;
}

/* Return: the fd with the lock held, -EAGAIN when somebody lives there. */
static int open_dead(struct cop_store *store, int tmp_fd, const char *name)
{
	auto_lock *lock = NULL;
	auto_close int fd = -EBADF;
	struct stat st;
	int r;

	r = lock_tmp(store, STORE_LOCK_EXCLUSIVE, &lock, NULL);
	if (r < 0)
		return r;
	fd = openat(tmp_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (st.st_uid != geteuid())
		return -EPERM;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return -errno;
	/* Another sweeper may have had it between our open and our lock. */
	if (fstatat(tmp_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return TAKE_FD(fd);
}

/* Damage will not go away by waiting; a full disk will. */
static bool is_hopeless(int code)
{
	return code == -EBADMSG || code == -EUCLEAN;
}

static void sweep_workdir(struct cop_store *store, int tmp_fd, const char *name)
{
	auto_close int fd = open_dead(store, tmp_fd, name);
	char aside[FS_TEMPORARY_NAME + sizeof(GONE)];
	char random[FS_TEMPORARY_NAME];
	struct cop_digest digest;
	struct cop_error err = {};

	if (fd < 0 || !workdir_unmount(fd))
		return;
	if (!text_starts_with(name, GONE)) {
		int r = store_resume_commit(store, fd, &digest, &err);

		if (r < 0)
			log_debug("sweep '%s': %s", name, err.message);
		if (r < 0 && !is_hopeless(r))
			return;
		(void)stpcpy(stpcpy(aside, GONE),
			     fs_temporary_name(random) + strlen(".tmp-"));
		if (renameat(tmp_fd, name, tmp_fd, aside) < 0)
			return;
		name = aside;
	}
	if (fs_remove_all(tmp_fd, name, geteuid() != 0, &err) < 0)
		log_debug("sweep: %s", err.message);
}

/* Half-made names: whoever makes one holds the shared lock meanwhile. */
static void sweep_names(struct cop_store *store, const char *directory)
{
	auto_lock *lock = NULL;
	auto_close int fd = openat(store->fd, directory,
				   O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	char **names = NULL;
	size_t n_names = 0;

	if (fd < 0 || fs_list(fd, &names, &n_names, NULL) < 0)
		return;
	for (size_t i = 0; i < n_names; i++) {
		if (!text_starts_with(names[i], ".tmp-"))
			continue;
		if (!lock && lock_try_exclusive(store, &lock, NULL) < 0)
			break;
		(void)unlinkat(fd, names[i], 0);
	}
	fs_list_free(names);
}

void store_sweep(struct cop_store *store)
{
	auto_close int tmp_fd =
		openat(store->fd, "tmp", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	char **names = NULL;
	size_t n_names = 0;

	if (tmp_fd < 0 || fs_list(tmp_fd, &names, &n_names, NULL) < 0)
		return;
	for (size_t i = 0; i < n_names; i++)
		if (is_workdir_name(names[i]))
			sweep_workdir(store, tmp_fd, names[i]);
	fs_list_free(names);
	sweep_names(store, "refs");
	sweep_names(store, "meta");
	sweep_names(store, "meta/log");
}
