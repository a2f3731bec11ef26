/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order is that of the kernel's side effects: chown takes set-id bits and
 * capabilities away, user xattrs need a writable file, and everything touches ctime.
 * So: owner, xattrs, mode, times.
 */
#include "view/attributes.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/text.h"

#define SET_ID	      (S_ISUID | S_ISGID)
#define NSEC_PER_SEC  1000000000u
#define PROC_PATH_MAX 40

const char *attributes_needing(int code, const char *text)
{
	return code == -EPERM || code == -EACCES ? text : "";
}

/* Refusals that a user without privilege, or a file system without the feature, gives. */
static bool is_refusal(int code)
{
	return code == -EPERM || code == -EACCES || code == -EINVAL ||
	       code == -EOPNOTSUPP || code == -ERANGE || code == -E2BIG ||
	       code == -EOVERFLOW;
}

static const char *proc_path(int fd, char path[PROC_PATH_MAX])
{
	(void)snprintf(path, PROC_PATH_MAX, "/proc/self/fd/%d", fd);
	return path;
}

static int set_owner(int fd, const struct tree_node *inode, enum attributes_mode mode,
		     struct cop_error *err)
{
	int r;

	if (fchownat(fd, "", inode->uid, inode->gid, AT_EMPTY_PATH) == 0)
		return 0;
	r = -errno;
	/* The group alone may be one of ours. */
	if (mode == ATTRIBUTES_TOLERANT && is_refusal(r) &&
	    (fchownat(fd, "", (uid_t)-1, inode->gid, AT_EMPTY_PATH) == 0 ||
	     is_refusal(-errno)))
		return 0;
	return err_code(err, r, "set owner %u:%u%s", inode->uid, inode->gid,
			attributes_needing(r, " (it takes CAP_CHOWN)"));
}

static const char *xattr_needs(const char *key)
{
	if (strcmp(key, "security.capability") == 0)
		return " (it takes CAP_SETFCAP)";
	if (text_starts_with(key, "trusted.") || text_starts_with(key, "security."))
		return " (it takes CAP_SYS_ADMIN)";
	return "";
}

static int set_xattrs(int fd, bool is_path, const struct tree_node *inode,
		      enum attributes_mode mode, struct cop_error *err)
{
	char path[PROC_PATH_MAX];

	for (uint32_t i = 0; i < inode->n_xattrs; i++) {
		const struct tree_xattr *xattr = &inode->xattrs[i];
		int r = is_path ? setxattr(proc_path(fd, path), xattr->key, xattr->value,
					   xattr->size, 0)
				: fsetxattr(fd, xattr->key, xattr->value, xattr->size, 0);

		if (r == 0)
			continue;
		r = -errno;
		if (mode == ATTRIBUTES_TOLERANT && is_refusal(r))
			continue;
		return err_code(err, r, "set xattr '%s'%s", xattr->key,
				attributes_needing(r, xattr_needs(xattr->key)));
	}
	return 0;
}

/* What a tolerant caller gives @inode: never a set-id bit for another owner than meant,
 * and enough rights for a plain user to read it again. */
static int tolerable_mode(int fd, const struct tree_node *inode, mode_t *mode)
{
	struct stat st;

	if (fstatat(fd, "", &st, AT_EMPTY_PATH) < 0)
		return -errno;
	if (st.st_uid != inode->uid)
		*mode &= ~(mode_t)S_ISUID;
	if (st.st_gid != inode->gid)
		*mode &= ~(mode_t)S_ISGID;
	if (geteuid() != 0)
		*mode |= S_ISDIR(st.st_mode) ? S_IRUSR | S_IXUSR : S_IRUSR;
	return 0;
}

static int set_mode(int fd, bool is_path, const struct tree_node *inode,
		    enum attributes_mode attributes_mode, struct cop_error *err)
{
	mode_t mode = inode->mode & 07777;
	char path[PROC_PATH_MAX];
	int r;

	if (S_ISLNK(inode->mode))
		return 0;
	if (attributes_mode == ATTRIBUTES_TOLERANT) {
		r = tolerable_mode(fd, inode, &mode);
		if (r < 0)
			return err_code(err, r, "stat");
	}
	if ((is_path ? chmod(proc_path(fd, path), mode) : fchmod(fd, mode)) < 0)
		return err_errno(err, "set mode %04o", (unsigned int)mode);
	return 0;
}

static int set_mtime(int fd, bool is_path, const struct tree_node *inode,
		     struct cop_error *err)
{
	const struct timespec times[2] = {
		{.tv_nsec = UTIME_OMIT},
		{.tv_sec = inode->mtime_sec, .tv_nsec = inode->mtime_nsec},
	};

	/* Beyond that, the kernel knows values with a meaning of their own. */
	if (inode->mtime_nsec >= NSEC_PER_SEC)
		return err_set(err, -EBADMSG, "set mtime: %u nanoseconds",
			       inode->mtime_nsec);
	if ((is_path ? utimensat(fd, "", times, AT_EMPTY_PATH) : futimens(fd, times)) < 0)
		return err_errno(err, "set mtime");
	return 0;
}

/* The kernel drops what it does not like in silence: set-id bits, times it cannot hold,
 * owners of -1. */
static int verify(int fd, const struct tree_node *inode, struct cop_error *err)
{
	struct stat st;

	if (fstatat(fd, "", &st, AT_EMPTY_PATH) < 0)
		return err_errno(err, "stat");
	if (st.st_uid != inode->uid || st.st_gid != inode->gid)
		return err_set(err, -EPERM, "owner %u:%u became %u:%u", inode->uid,
			       inode->gid, st.st_uid, st.st_gid);
	if (!S_ISLNK(inode->mode) && (st.st_mode & 07777) != (inode->mode & 07777))
		return err_set(err, -EPERM, "mode %04o became %04o%s",
			       inode->mode & 07777, st.st_mode & 07777,
			       inode->mode & SET_ID ? "; set-id bits take CAP_FSETID"
						    : "");
	if (st.st_mtim.tv_sec != inode->mtime_sec ||
	    st.st_mtim.tv_nsec != (long)inode->mtime_nsec)
		return err_set(err, -ERANGE,
			       "mtime %lld.%09u cannot be kept by this file system",
			       (long long)inode->mtime_sec, inode->mtime_nsec);
	return 0;
}

int attributes_apply(int fd, bool is_path, const struct tree_node *inode,
		     enum attributes_mode mode, struct cop_error *err)
{
	int r;

	r = set_owner(fd, inode, mode, err);
	if (r < 0)
		return r;
	r = set_xattrs(fd, is_path, inode, mode, err);
	if (r < 0)
		return r;
	r = set_mode(fd, is_path, inode, mode, err);
	if (r < 0)
		return r;
	r = set_mtime(fd, is_path, inode, err);
	if (r < 0 || mode == ATTRIBUTES_TOLERANT)
		return r;
	return verify(fd, inode, err);
}
