/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a file of somebody's tree to a file of the pool.  It passed the first barrier, so
 * whatever is taken from it here is kept in an image on disk.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/text.h"
#include "store/private.h"

/* What a security module gives to every file of its own accord, and may not let go. */
static bool is_label(const char *key)
{
	return text_starts_with(key, "security.") &&
	       strcmp(key, "security.capability") != 0;
}

static int remove_xattrs(int fd)
{
	ssize_t size = flistxattr(fd, NULL, 0);
	auto_free char *names = NULL;

	if (size == 0 || (size < 0 && errno == EOPNOTSUPP))
		return 0;
	if (size > 0) {
		names = malloc((size_t)size);
		if (!names)
			return -ENOMEM;
		size = flistxattr(fd, names, (size_t)size);
	}
	if (size < 0)
		return -errno;
	for (const char *key = names; key < names + size; key += strlen(key) + 1)
		if (fremovexattr(fd, key) < 0 && errno != ENODATA && !is_label(key))
			return -errno;
	return 0;
}

int normalise(int dir_fd, const char *path, struct cop_error *err)
{
	auto_close int fd = fs_open_plain(dir_fd, path, O_RDONLY | O_NONBLOCK, 0, err);
	struct stat st;
	int r;

	/* Published by an earlier try; the caller looks whether that is so. */
	if (fd == -ENOENT)
		return 0;
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return err_errno(err, "stat '%s'", path);
	if (!S_ISREG(st.st_mode))
		return err_set(err, -EUCLEAN, "'%s' is no regular file any more", path);
	r = remove_xattrs(fd);
	if (r < 0)
		return err_code(err, r, "remove the xattrs of '%s'", path);
	if ((st.st_uid != geteuid() || st.st_gid != getegid()) &&
	    fchown(fd, geteuid(), getegid()) < 0)
		return err_errno(err, "chown '%s'", path);
	if ((st.st_mode & 07777) != 0444 && fchmod(fd, 0444) < 0)
		return err_errno(err, "chmod '%s'", path);
	return 0;
}
