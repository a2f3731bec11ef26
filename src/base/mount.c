/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mount.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/fs.h"

#define LOG_SIZE      512
#define MOUNTINFO_MAX (64 * MIB)

/* The last complaint in the context's log, without its "e "; "" when there is none. */
static const char *last_complaint(int context, char text[LOG_SIZE])
{
	char line[LOG_SIZE];
	ssize_t n;

	text[0] = '\0';
	/* Each read gives one message. */
	while ((n = read(context, line, sizeof(line) - 1)) > 0) {
		line[n] = '\0';
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, "e ", 2) == 0 || strncmp(line, "w ", 2) == 0)
			(void)snprintf(text, LOG_SIZE, "%s", line + 2);
	}
	return text;
}

static int complain(int context, const char *what, struct cop_error *err)
{
	char text[LOG_SIZE];
	int code = -errno;

	(void)last_complaint(context, text);
	if (*text)
		return err_code(err, code, "%s: %s", what, text);
	return err_code(err, code, "%s", what);
}

int mount_open(const char *type, struct cop_error *err)
{
	int context = fsopen(type, FSOPEN_CLOEXEC);

	if (context < 0)
		return err_errno(err, "mount a file system of type '%s'", type);
	return context;
}

static int set_failed(int context, const char *key, struct cop_error *err)
{
	char what[128];
	int saved = errno;

	(void)snprintf(what, sizeof(what), "set mount option '%s'", key);
	errno = saved;
	return complain(context, what, err);
}

int mount_set_text(int context, const char *key, const char *value, struct cop_error *err)
{
	if (fsconfig(context, FSCONFIG_SET_STRING, key, value, 0) < 0)
		return set_failed(context, key, err);
	return 0;
}

int mount_set_flag(int context, const char *key, struct cop_error *err)
{
	if (fsconfig(context, FSCONFIG_SET_FLAG, key, NULL, 0) < 0)
		return set_failed(context, key, err);
	return 0;
}

int mount_set_directory(int context, const char *key, int dir_fd, struct cop_error *err)
{
	char path[64];

	/* Overlayfs takes fds since Linux 6.13. */
	if (fsconfig(context, FSCONFIG_SET_FD, key, NULL, dir_fd) == 0)
		return 0;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", dir_fd);
	return mount_set_text(context, key, path, err);
}

int mount_create(int context, bool read_only, struct cop_error *err)
{
	int mount;

	if (fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return complain(context, "mount", err);
	mount = fsmount(context, FSMOUNT_CLOEXEC, read_only ? MOUNT_ATTR_RDONLY : 0);
	if (mount < 0)
		return complain(context, "mount", err);
	return mount;
}

int mount_attach(int mount, int dir_fd, const char *name, struct cop_error *err)
{
	unsigned int flags = MOVE_MOUNT_F_EMPTY_PATH;

	if (!*name)
		flags |= MOVE_MOUNT_T_EMPTY_PATH;
	if (move_mount(mount, "", dir_fd, name, flags) < 0)
		return err_errno(err, "attach a mount to '%s'", name);
	return 0;
}

int mount_clone(int dir_fd, const char *name, bool read_only, struct cop_error *err)
{
	struct mount_attr attributes = {.attr_set = MOUNT_ATTR_RDONLY};
	auto_close int mount = open_tree(
		dir_fd, name,
		(unsigned int)(OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE |
			       AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH));

	if (mount < 0)
		return err_errno(err, "bind '%s'", name);
	if (read_only && mount_setattr(mount, "", AT_EMPTY_PATH | AT_RECURSIVE,
				       &attributes, sizeof(attributes)) < 0)
		return err_errno(err, "make '%s' read-only", name);
	return TAKE_FD(mount);
}

int mount_set_read_only(int dir_fd, const char *name, bool read_only,
			struct cop_error *err)
{
	auto_close int context =
		fspick(dir_fd, name,
		       FSPICK_CLOEXEC | FSPICK_SYMLINK_NOFOLLOW | FSPICK_NO_AUTOMOUNT);

	if (context < 0)
		return err_errno(err, "look at the mount '%s'", name);
	if (fsconfig(context, FSCONFIG_SET_FLAG, read_only ? "ro" : "rw", NULL, 0) < 0 ||
	    fsconfig(context, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0) < 0)
		return complain(context,
				read_only ? "make the mount read-only"
					  : "make the mount writable",
				err);
	return 0;
}

int mount_detach(int dir_fd, const char *name, bool lazy, struct cop_error *err)
{
	char path[320];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", dir_fd, name);
	if (umount2(path, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) < 0)
		return err_errno(err, "unmount '%s'", name);
	return 0;
}

/* \040 and the like, in place. */
static void unescape(char *text)
{
	char *to = text;

	for (; *text; text++) {
		if (text[0] == '\\' && text[1] >= '0' && text[1] <= '3' &&
		    text[2] >= '0' && text[2] <= '7' && text[3] >= '0' &&
		    text[3] <= '7') {
			*to++ = (char)((text[1] - '0') << 6 | (text[2] - '0') << 3 |
				       (text[3] - '0'));
			text += 3;
		} else {
			*to++ = *text;
		}
	}
	*to = '\0';
}

/* ID PARENT DEV ROOT PATH OPTIONS [...] - TYPE SOURCE OPTIONS: see proc(5) */
static bool read_line(char *line, char **ret_path, char **ret_source)
{
	char *rest = strstr(line, " - "), *save = NULL, *path, *source;

	if (!rest)
		return false;
	*rest = '\0';
	path = strtok_r(line, " ", &save);
	for (int i = 0; path && i < 4; i++)
		path = strtok_r(NULL, " ", &save);
	source = strtok_r(rest + strlen(" - "), " ", &save);
	source = source ? strtok_r(NULL, " ", &save) : NULL;
	if (!path || !source)
		return false;
	unescape(path);
	unescape(source);
	*ret_path = path;
	*ret_source = source;
	return true;
}

int mount_each(int (*visit)(void *data, const char *path, const char *source), void *data,
	       struct cop_error *err)
{
	auto_close int fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
	auto_buf text = {};
	char *save = NULL;
	int r;

	if (fd < 0)
		return err_errno(err, "open '/proc/self/mountinfo'");
	r = fs_read_all(fd, MOUNTINFO_MAX, &text, err);
	if (r < 0 || text.size == 0)
		return r;
	for (char *line = strtok_r(text.data, "\n", &save); line && r == 0;
	     line = strtok_r(NULL, "\n", &save)) {
		char *path, *source;

		if (read_line(line, &path, &source))
			r = visit(data, path, source);
	}
	return r;
}

static int bind_node(int dir_fd, const char *name, struct cop_error *err)
{
	char source[128];
	auto_close int host = -EBADF, mount = -EBADF, fd = -EBADF;

	(void)snprintf(source, sizeof(source), "/dev/%s", name);
	host = open(source, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (host < 0)
		return err_errno(err, "open '%s'", source);
	fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_errno(err, "make '%s'", name);
	mount = mount_clone(host, "", false, err);
	return mount < 0 ? mount : mount_attach(mount, dir_fd, name, err);
}

int mount_device_node(int dir_fd, const char *name, mode_t type, dev_t device,
		      struct cop_error *err)
{
	struct stat st;

	if (mknodat(dir_fd, name, type, device) == 0)
		return fchmodat(dir_fd, name, type & 07777, 0) < 0
			       ? err_errno(err, "set the mode of '%s'", name)
			       : 0;
	if (errno == EEXIST && fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    (st.st_mode & S_IFMT) == (type & S_IFMT) && st.st_rdev == device)
		return 0;
	if (errno == EPERM)
		return bind_node(dir_fd, name, err);
	return err_errno(err, "make the device '%s'", name);
}

struct below {
	const char *path;
	size_t length;
	bool itself;
	struct buf found; /* paths with their NULs, in the order they were mounted */
	size_t n;
};

static int take_below(void *data, const char *path, const char *source)
{
	struct below *below = data;

	(void)source;
	if (strncmp(path, below->path, below->length) != 0 ||
	    (path[below->length] != '/' && !(below->itself && !path[below->length])))
		return 0;
	below->n++;
	return buf_append(&below->found, path, strlen(path) + 1);
}

int mount_detach_below(const char *path, bool itself, struct cop_error *err)
{
	struct below below = {.path = path, .length = strlen(path), .itself = itself};
	auto_free const char **paths = NULL;
	const char *at;
	int r = mount_each(take_below, &below, err);

	if (r == 0 && below.n > 0) {
		paths = calloc(below.n, sizeof(*paths));
		r = paths ? 0 : err_oom(err);
	}
	at = below.found.data;
	for (size_t i = 0; i < below.n && r == 0; i++, at += strlen(at) + 1)
		paths[i] = at;
	for (size_t i = below.n; i > 0 && r == 0; i--)
		if (umount2(paths[i - 1], UMOUNT_NOFOLLOW | MNT_DETACH) < 0 &&
		    errno != EINVAL && errno != ENOENT)
			r = err_errno(err, "unmount '%s'", paths[i - 1]);
	buf_done(&below.found);
	return r < 0 ? r : (int)below.n;
}

/* In the kernel, claiming the upper is the first thing that a mount with index=on does;
 * whatever else it may refuse, comes after that. */
int mount_upper_in_use(int upper_fd, int work_fd, int lower_fd, struct cop_error *err)
{
	auto_close int context = mount_open("overlay", err);
	char lower[64];
	int r;

	if (context < 0)
		return context;
	(void)snprintf(lower, sizeof(lower), "/proc/self/fd/%d", lower_fd);
	r = mount_set_directory(context, "lowerdir+", lower_fd, NULL);
	if (r < 0)
		r = mount_set_text(context, "lowerdir", lower, err);
	if (r == 0)
		r = mount_set_directory(context, "upperdir", upper_fd, err);
	if (r == 0)
		r = mount_set_directory(context, "workdir", work_fd, err);
	if (r == 0)
		r = mount_set_text(context, "index", "on", err);
	/* Read-only: otherwise letting go of it again would sync everything. */
	if (r == 0)
		r = mount_set_flag(context, "ro", err);
	if (r < 0)
		return r;
	if (fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
		return 0;
	return errno == EBUSY;
}
