/* SPDX-License-Identifier: Apache-2.0 */
/* The upper directory of an overlay view, while it is not mounted. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/fs.h"
#include "base/text.h"
#include "view/overlay.h"

#define OVERLAY_PREFIX	 "trusted.overlay."
#define OVERLAY_ESCAPED	 OVERLAY_PREFIX "overlay."
#define XATTR_VALUE_MAX	 65536
#define PROC_PATH	 32
#define BASE_RECORD_SIZE (COP_DIGEST_HEX + 1)

int overlay_open_part(const struct overlay_view *overlay, const char *name,
		      struct cop_error *err)
{
	return fs_open_plain(overlay->dir_fd, name, O_RDONLY | O_DIRECTORY, 0, err);
}

/* What speaks to the kernel about one layer must not be carried to another. */
static bool is_of_tree(const char *key)
{
	return !text_starts_with(key, OVERLAY_PREFIX) ||
	       text_starts_with(key, OVERLAY_ESCAPED);
}

/* By a path, as the fd of a mount is not open for reading. */
static char *proc_path(int fd, char path[PROC_PATH])
{
	(void)snprintf(path, PROC_PATH, "/proc/self/fd/%d", fd);
	return path;
}

struct root_xattrs {
	char path[PROC_PATH];
	struct buf names;
	size_t n;
};

static void root_xattrs_done(struct root_xattrs *xattrs)
{
	buf_done(&xattrs->names);
}

static int list_xattrs(struct root_xattrs *xattrs, int fd, struct cop_error *err)
{
	const char *path = proc_path(fd, xattrs->path);
	ssize_t size = listxattr(path, NULL, 0);
	const char *key;

	if (size > 0) {
		if (buf_reserve(&xattrs->names, (size_t)size + 1) < 0)
			return err_oom(err);
		size = listxattr(path, xattrs->names.data, (size_t)size);
	}
	if (size < 0)
		return err_errno(err, "list the xattrs of the root");
	xattrs->names.size = (size_t)size;
	for (key = xattrs->names.data; key && key < xattrs->names.data + size;
	     key += strlen(key) + 1)
		xattrs->n += is_of_tree(key);
	return 0;
}

typedef int (*xattr_visit)(void *data, const char *key, const char *value, size_t size);

static int each_xattr(const struct root_xattrs *xattrs, xattr_visit visit, void *data,
		      struct cop_error *err)
{
	auto_free char *value = malloc(XATTR_VALUE_MAX);
	const char *key = xattrs->names.data;
	int r = 0;

	if (!value)
		return err_oom(err);
	for (; r == 0 && key && key < xattrs->names.data + xattrs->names.size;
	     key += strlen(key) + 1) {
		ssize_t n;

		if (!is_of_tree(key))
			continue;
		n = getxattr(xattrs->path, key, value, XATTR_VALUE_MAX);
		r = n < 0 ? -errno : visit(data, key, value, (size_t)n);
		if (r < 0)
			return err_code(err, r, "xattr '%s' of the root", key);
	}
	return r;
}

static int set_xattr(void *data, const char *key, const char *value, size_t size)
{
	return fsetxattr(*(const int *)data, key, value, size, 0) < 0 ? -errno : 0;
}

static int copy_root(const struct overlay_view *overlay, int upper_fd,
		     struct cop_error *err)
{
	cleanup_with(root_xattrs_done) struct root_xattrs xattrs = {};
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}};
	struct stat st;
	int r;

	if (fstat(overlay->lower_fd, &st) < 0)
		return err_errno(err, "stat the root of the image");
	/* The directory above may have made it one with a default ACL. */
	(void)fremovexattr(upper_fd, "system.posix_acl_default");
	(void)fremovexattr(upper_fd, "system.posix_acl_access");
	if (fchown(upper_fd, st.st_uid, st.st_gid) < 0 ||
	    fchmod(upper_fd, st.st_mode & 07777) < 0)
		return err_errno(err, "give the root its owner and mode");
	r = list_xattrs(&xattrs, overlay->lower_fd, err);
	if (r == 0)
		r = each_xattr(&xattrs, set_xattr, &upper_fd, err);
	if (r < 0)
		return r;
	times[1] = st.st_mtim;
	if (futimens(upper_fd, times) < 0)
		return err_errno(err, "give the root its mtime");
	return 0;
}

int overlay_upper_make(struct overlay_view *overlay, struct cop_error *err)
{
	auto_close int upper_fd = -EBADF;
	int r = fs_remove_all(overlay->dir_fd, "work", false, err);

	if (r == 0)
		r = fs_remove_all(overlay->dir_fd, "upper", false, err);
	if (r < 0)
		return r;
	if (mkdirat(overlay->dir_fd, "work", 0700) < 0 ||
	    mkdirat(overlay->dir_fd, "upper", 0700) < 0)
		return err_errno(err, "make the upper directory");
	upper_fd = overlay_open_part(overlay, "upper", err);
	return upper_fd < 0 ? upper_fd : copy_root(overlay, upper_fd, err);
}

struct comparing {
	const char *path;
	char *value;
	bool differs;
};

static int compare_xattr(void *data, const char *key, const char *value, size_t size)
{
	struct comparing *comparing = data;
	ssize_t n = getxattr(comparing->path, key, comparing->value, XATTR_VALUE_MAX);

	if (n < 0 && errno != ENODATA)
		return -errno;
	if (n < 0 || (size_t)n != size || memcmp(value, comparing->value, size) != 0)
		comparing->differs = true;
	return 0;
}

static int same_root(const struct overlay_view *overlay, int upper_fd,
		     struct cop_error *err)
{
	cleanup_with(root_xattrs_done) struct root_xattrs ours = {};
	cleanup_with(root_xattrs_done) struct root_xattrs theirs = {};
	auto_free char *value = malloc(XATTR_VALUE_MAX);
	struct comparing comparing = {.path = theirs.path, .value = value};
	struct stat a, b;
	int r;

	if (!value)
		return err_oom(err);
	if (fstat(upper_fd, &a) < 0 || fstat(overlay->lower_fd, &b) < 0)
		return err_errno(err, "stat the root");
	if (a.st_mode != b.st_mode || a.st_uid != b.st_uid || a.st_gid != b.st_gid ||
	    a.st_mtim.tv_sec != b.st_mtim.tv_sec ||
	    a.st_mtim.tv_nsec != b.st_mtim.tv_nsec)
		return 0;
	r = list_xattrs(&ours, upper_fd, err);
	if (r == 0)
		r = list_xattrs(&theirs, overlay->lower_fd, err);
	if (r == 0 && ours.n == theirs.n)
		r = each_xattr(&ours, compare_xattr, &comparing, err);
	return r < 0 ? r : ours.n == theirs.n && !comparing.differs;
}

int overlay_upper_is_untouched(struct overlay_view *overlay, struct cop_error *err)
{
	auto_close int upper_fd = overlay_open_part(overlay, "upper", err);
	char **names = NULL;
	size_t n_names = 0;
	int r;

	if (upper_fd < 0)
		return upper_fd;
	r = fs_list(upper_fd, &names, &n_names, err);
	if (r < 0)
		return r;
	fs_list_free(names);
	if (n_names > 0)
		return 0;
	r = overlay_mount_lower(overlay, err);
	return r < 0 ? r : same_root(overlay, upper_fd, err);
}

int overlay_upper_discard(struct overlay_view *overlay, struct cop_error *err)
{
	int r = fs_remove_all(overlay->dir_fd, "gone", false, err);

	if (r < 0)
		return r;
	/* In one step: an upper that lacks some of its files must never be seen. */
	if (renameat(overlay->dir_fd, "upper", overlay->dir_fd, "gone") < 0 &&
	    errno != ENOENT)
		return err_errno(err, "put the upper directory aside");
	overlay->has_upper = false;
	overlay->is_frozen = false;
	return 0;
}

int overlay_write_base(const struct overlay_view *overlay, struct cop_error *err)
{
	char text[BASE_RECORD_SIZE + 1];

	(void)cop_digest_to_hex(&overlay->base, text);
	text[COP_DIGEST_HEX] = '\n';
	return fs_replace_at(overlay->dir_fd, "base", text, BASE_RECORD_SIZE, 0600, err);
}

int overlay_read_base(int dir_fd, struct cop_digest *ret_digest, struct cop_error *err)
{
	auto_buf text = {};
	int r = fs_read_file(dir_fd, "base", BASE_RECORD_SIZE, &text, err);

	if (r < 0)
		return r;
	if (text.size != BASE_RECORD_SIZE || text.data[COP_DIGEST_HEX] != '\n')
		return err_set(err, -EUCLEAN, "read 'base': it is damaged");
	text.data[COP_DIGEST_HEX] = '\0';
	if (cop_digest_parse(text.data, ret_digest) < 0)
		return err_set(err, -EUCLEAN, "read 'base': it is damaged");
	return 0;
}
