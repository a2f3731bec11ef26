/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Markers.  A push puts up v1/w/ID before it looks what is there, and a collection puts
 * up v1/i/collecting before it looks for markers: one of them sees the other.  How old a
 * marker is, the collection asks the place; the push only measures how long ago, by its
 * own clock that never jumps, it wrote it.
 *
 * The file push/ID remembers the marker, and its lock says that the push lives: who finds
 * one without takes the marker over.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>

#include "base/text.h"
#include "remote/private.h"

#define REFRESH_SECONDS (REMOTE_MARKER_AGE / 24)
/* From then on a collection may come to think that nobody is here. */
#define LOST_SECONDS (REMOTE_MARKER_AGE / 2)

static int64_t now(void)
{
	struct timespec time;

	(void)clock_gettime(CLOCK_BOOTTIME, &time);
	return time.tv_sec;
}

static int put(struct marker *marker, struct cop_error *err)
{
	char key[64], host[256] = "";
	auto_buf text = {};
	int r;

	(void)gethostname(host, sizeof(host) - 1);
	(void)buf_printf(&text, "push from %s, process %ld\n", host, (long)getpid());
	(void)snprintf(key, sizeof(key), "v1/w/%s", marker->id);
	r = transport_put(marker->remote->transport, key, buf_text(&text), text.size,
			  false, NULL, err);
	if (r == 0)
		marker->written = now();
	return r;
}

/* One that is locked belongs to somebody else, and one without a name to nobody.  Return:
 * 0, -EWOULDBLOCK, or why it cannot be opened. */
static int take(int dir_fd, const char *name, int flags, struct marker *marker)
{
	auto_close int fd =
		openat(dir_fd, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC | flags, 0600);
	struct stat st;

	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 || fstat(fd, &st) < 0)
		return -errno;
	/* Whoever had it was done with it after we opened it. */
	if (st.st_nlink == 0)
		return -EWOULDBLOCK;
	marker->fd = TAKE_FD(fd);
	(void)snprintf(marker->id, sizeof(marker->id), "%s", name);
	return 0;
}

static int find(int dir_fd, struct marker *marker, struct cop_error *err)
{
	char **names = NULL;
	size_t n = 0;
	int r = fs_list(dir_fd, &names, &n, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < n && marker->fd < 0; i++)
		(void)take(dir_fd, names[i], 0, marker);
	fs_list_free(names);
	return 0;
}

static int make(int dir_fd, struct marker *marker, struct cop_error *err)
{
	char name[FS_TEMPORARY_NAME];
	int r;

	/* Another push of this store may find it before we have locked it; then it has
	 * that one, and we need another. */
	do {
		(void)fs_temporary_name(name);
		r = take(dir_fd, name + strlen(".tmp-"), O_CREAT | O_EXCL, marker);
	} while (r == -EWOULDBLOCK);
	return r < 0 ? err_code(err, r, "make a push marker") : 0;
}

static int find_or_make(struct remote *remote, struct marker *marker,
			struct cop_error *err)
{
	auto_close int dir_fd = -EBADF;
	int r;

	if (mkdirat(remote->dir_fd, "push", 0700) < 0 && errno != EEXIST)
		return err_errno(err, "make 'push'");
	dir_fd = fs_open_plain(remote->dir_fd, "push", O_RDONLY | O_DIRECTORY, 0, err);
	if (dir_fd < 0)
		return dir_fd;
	r = find(dir_fd, marker, err);
	return r < 0 || marker->fd >= 0 ? r : make(dir_fd, marker, err);
}

int marker_begin(struct remote *remote, struct marker *marker, struct cop_error *err)
{
	int r;

	*marker = (struct marker){.remote = remote, .fd = -EBADF};
	r = find_or_make(remote, marker, err);
	return r < 0 ? r : put(marker, err);
}

int marker_refresh(struct marker *marker, struct cop_error *err)
{
	int64_t age = now() - marker->written;

	if (age > LOST_SECONDS)
		return err_set(
			err, -ESTALE,
			"the push stood still for %lld hours, and a collection may "
			"have gone over it; push again",
			(long long)age / 3600);
	return age > REFRESH_SECONDS ? put(marker, err) : 0;
}

void marker_end(struct marker *marker, bool reachable)
{
	char key[64], path[64];

	if (marker->fd < 0)
		return;
	if (reachable) {
		(void)snprintf(key, sizeof(key), "v1/w/%s", marker->id);
		(void)snprintf(path, sizeof(path), "push/%s", marker->id);
		if (transport_delete(marker->remote->transport, key, NULL) == 0)
			(void)unlinkat(marker->remote->dir_fd, path, 0);
	}
	closep(&marker->fd);
	marker->fd = -EBADF;
}
