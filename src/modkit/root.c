/* SPDX-License-Identifier: Apache-2.0 */
#include "modkit/root.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* The length of @path without trailing slashes. */
static size_t trimmed(const char *path)
{
	size_t size = strlen(path);

	while (size > 0 && path[size - 1] == '/')
		size--;
	return size;
}

int root_open_parent(int root_fd, const char *path, char ret_name[NAME_MAX + 1],
		     struct cop_error *err)
{
	size_t size = trimmed(path), start = size;
	auto_free char *parent = NULL;
	int fd;

	while (start > 0 && path[start - 1] != '/')
		start--;
	if (size - start > NAME_MAX)
		return err_code(err, -ENAMETOOLONG, "open '%s'", path);
	if (size == start || (size - start == 1 && path[start] == '.') ||
	    (size - start == 2 && memcmp(path + start, "..", 2) == 0))
		return err_set(err, -EINVAL, "'%s' does not end in a name", path);
	parent = strndup(path, start);
	if (!parent)
		return err_oom(err);
	fd = fs_open_in_root(root_fd, parent, O_PATH | O_DIRECTORY, 0, err);
	if (fd < 0)
		return fd;
	memcpy(ret_name, path + start, size - start);
	ret_name[size - start] = '\0';
	return fd;
}

static int make_dir(int root_fd, const char *path, mode_t mode, struct cop_error *err)
{
	auto_close int parent = -EBADF, made = -EBADF;
	char name[NAME_MAX + 1];

	parent = root_open_parent(root_fd, path, name, err);
	if (parent < 0)
		return parent;
	if (mkdirat(parent, name, 0700) < 0)
		return err_errno(err, "make directory '%s'", path);
	made = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (made < 0 || fchmod(made, mode) < 0)
		return err_errno(err, "make directory '%s'", path);
	return 0;
}

int root_make_dirs(int root_fd, const char *path, mode_t mode, struct cop_error *err)
{
	auto_free char *copy = strdup(path);
	size_t size = trimmed(path);

	if (!copy)
		return err_oom(err);
	/* Each prefix of the path in turn: "etc", "etc/apt", ... */
	for (size_t end = 0; end < size; end++) {
		auto_close int fd = -EBADF;
		int r;

		while (end < size && path[end] == '/')
			end++;
		while (end < size && path[end] != '/')
			end++;
		copy[end] = '\0';
		fd = fs_open_in_root(root_fd, copy, O_PATH | O_DIRECTORY, 0, err);
		r = fd == -ENOENT ? make_dir(root_fd, copy, mode, err) : fd;
		if (r < 0)
			return r;
		copy[end] = path[end];
	}
	return 0;
}

int root_make_parents(int root_fd, const char *path, mode_t mode, struct cop_error *err)
{
	const char *slash = strrchr(path, '/');
	auto_free char *parent = strndup(path, slash ? (size_t)(slash - path) : 0);

	return parent ? root_make_dirs(root_fd, parent, mode, err) : err_oom(err);
}

int root_replace(int root_fd, const char *path, const void *data, size_t size,
		 mode_t mode, struct cop_error *err)
{
	auto_close int parent = -EBADF;
	char name[NAME_MAX + 1];

	parent = root_open_parent(root_fd, path, name, err);
	if (parent < 0)
		return parent;
	return fs_replace_at(parent, name, data, size, mode, err);
}

int root_open_file(int root_fd, const char *path, mode_t mode, struct cop_error *err)
{
	auto_close int there = fs_open_in_root(root_fd, path, O_PATH, 0, NULL);
	struct stat st;

	/* Looked at before it is opened: the tree may hold device nodes. */
	if (there >= 0 && fstat(there, &st) < 0)
		return err_errno(err, "stat '%s'", path);
	if (there >= 0 && !S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "write '%s': not a regular file", path);
	return fs_open_in_root(root_fd, path, O_RDWR | O_CREAT, mode, err);
}

int root_write(int root_fd, const char *path, const void *data, size_t size, mode_t mode,
	       struct cop_error *err)
{
	auto_close int fd = root_open_file(root_fd, path, mode, err);
	int r;

	if (fd < 0)
		return fd;
	if (ftruncate(fd, 0) < 0)
		return err_errno(err, "empty '%s'", path);
	r = fs_write_all(fd, data, size);
	return r < 0 ? err_code(err, r, "write '%s'", path) : 0;
}

int root_read(int root_fd, const char *path, uint64_t limit, struct buf *buf,
	      struct cop_error *err)
{
	/* O_NONBLOCK: a fifo that somebody put there must not hang us. */
	auto_close int fd = fs_open_in_root(root_fd, path, O_RDONLY | O_NONBLOCK, 0, err);

	return fd < 0 ? fd : fs_read_opened(fd, path, limit, buf, err);
}

int root_stat(int root_fd, const char *path, struct stat *ret, struct cop_error *err)
{
	auto_close int parent = -EBADF;
	char name[NAME_MAX + 1];

	parent = root_open_parent(root_fd, path, name, err);
	if (parent < 0)
		return parent;
	if (fstatat(parent, name, ret, AT_SYMLINK_NOFOLLOW) < 0)
		return err_errno(err, "stat '%s'", path);
	return 0;
}

bool root_has_program(int root_fd, const char *name)
{
	static const char *const dirs[] = {"usr/sbin", "usr/bin", "sbin", "bin"};

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		char path[NAME_MAX + 16];
		auto_close int fd = -EBADF;

		if (snprintf(path, sizeof(path), "%s/%s", dirs[i], name) >=
		    (int)sizeof(path))
			return false;
		fd = fs_open_in_root(root_fd, path, O_PATH, 0, NULL);
		if (fd >= 0)
			return true;
	}
	return false;
}
