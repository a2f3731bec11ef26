/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A directory as a place: one file per key, entered by link or rename, so that a web
 * server may serve it while it is written.  What was put is on disk when it is done.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

#include "base/fs.h"
#include "digest/sha256.h"
#include "remote/transport.h"

/* Larger files have no ETag: nobody replaces them. */
#define ETAG_MAX (4 * MIB)

struct file_transport {
	struct transport base;
	int root_fd;
};

static struct file_transport *to_file(struct transport *transport)
{
	return (struct file_transport *)transport;
}

static void file_free(struct transport *transport)
{
	struct file_transport *file = to_file(transport);

	closep(&file->root_fd);
	transport_fini(transport);
	free(file);
}

static int failed(struct transport *transport, struct request *request, int code,
		  const char *what)
{
	return err_code(&request->error, code, "%s '%s/%s'", what, transport->url,
			request->key);
}

/* Missing directories and a file where a directory would be are "no such key". */
static int open_key(struct file_transport *file, struct request *request)
{
	int fd = fs_open_plain(file->root_fd, request->key, O_RDONLY | O_NONBLOCK, 0,
			       &request->error);

	if (fd == -ENOTDIR)
		fd = -ENOENT;
	return fd < 0 ? failed(&file->base, request, fd, "read") : fd;
}

static int etag_of(const void *data, size_t size, char etag[REQUEST_ETAG_SIZE],
		   struct cop_error *err)
{
	char hex[SHA256_HEX + 1];
	int r;

	*etag = '\0';
	if (size > ETAG_MAX)
		return 0;
	r = sha256_bytes(data, size, hex, err);
	if (r == 0)
		(void)snprintf(etag, REQUEST_ETAG_SIZE, "\"%s\"", hex);
	return r;
}

static int get(struct file_transport *file, struct request *request)
{
	auto_close int fd = open_key(file, request);
	uint64_t size;
	struct stat st;
	ssize_t n;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return failed(&file->base, request, -errno, "read");
	if (!S_ISREG(st.st_mode))
		return failed(&file->base, request, -ENOENT, "read");
	size = request->length ? request->length : (uint64_t)st.st_size;
	if (!request->length && size > request->limit)
		return err_set(&request->error, -EFBIG,
			       "read '%s/%s': it is larger than it may be",
			       file->base.url, request->key);
	if (request->method == REQUEST_HEAD)
		return 0;
	if (request->offset + size > (uint64_t)st.st_size)
		return err_set(&request->error, -EIO,
			       "read '%s/%s': it is shorter than it should be",
			       file->base.url, request->key);
	if (buf_reserve(&request->data, size) < 0)
		return err_oom(&request->error);
	n = fs_pread_full(fd, request->data.data, size, request->offset);
	if (n < 0 || (uint64_t)n < size)
		return failed(&file->base, request, n < 0 ? (int)n : -EIO, "read");
	request->data.size = size;
	request->data.data[size] = '\0';
	file->base.totals.n_received += size;
	return request->length ? 0
			       : etag_of(request->data.data, size, request->etag,
					 &request->error);
}

/* Without replacing; -EEXIST. */
static int enter_new(int dir_fd, const char *from, const char *to)
{
	if (renameat2(dir_fd, from, dir_fd, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	if (linkat(dir_fd, from, dir_fd, to, 0) < 0)
		return -errno;
	(void)unlinkat(dir_fd, from, 0);
	return 0;
}

/* Whoever replaces holds the lock of the place, so that what he compared stays. */
static int replace(struct file_transport *file, struct request *request, int dir_fd,
		   const char *from, const char *to)
{
	auto_close int lock_fd =
		openat(file->root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_buf now = {};
	char etag[REQUEST_ETAG_SIZE];
	int r;

	if (!request->if_match)
		return renameat(dir_fd, from, dir_fd, to) < 0 ? -errno : 0;
	while (flock(lock_fd, LOCK_EX) < 0)
		if (errno != EINTR)
			return -errno;
	r = fs_read_file(dir_fd, to, ETAG_MAX, &now, NULL);
	if (r == 0)
		r = etag_of(buf_text(&now), now.size, etag, NULL);
	if (r == -ENOENT || (r == 0 && strcmp(etag, request->if_match) != 0))
		return -ESTALE;
	if (r < 0)
		return r;
	return renameat(dir_fd, from, dir_fd, to) < 0 ? -errno : 0;
}

static int write_temporary(int dir_fd, const char *name, const struct request *request)
{
	auto_close int fd = openat(
		dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	int r;

	if (fd < 0)
		return -errno;
	r = fs_write_all(fd, request->body, request->body_size);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (r < 0)
		(void)unlinkat(dir_fd, name, 0);
	return r;
}

static int put(struct file_transport *file, struct request *request)
{
	char dir[REQUEST_KEY_SIZE], tmp[FS_TEMPORARY_NAME];
	const char *slash = strrchr(request->key, '/');
	const char *name = slash ? slash + 1 : request->key;
	auto_close int dir_fd = -EBADF;
	int r;

	(void)snprintf(dir, sizeof(dir), "%.*s", slash ? (int)(slash - request->key) : 1,
		       slash ? request->key : ".");
	r = slash ? fs_make_dirs(file->root_fd, dir, 0755, &request->error) : 0;
	if (r < 0)
		return err_prefix(&request->error, r, "write '%s/%s'", file->base.url,
				  request->key);
	dir_fd = fs_open_plain(file->root_fd, dir, O_RDONLY | O_DIRECTORY, 0,
			       &request->error);
	if (dir_fd < 0)
		return dir_fd;
	r = write_temporary(dir_fd, fs_temporary_name(tmp), request);
	if (r < 0)
		return failed(&file->base, request, r, "write");
	r = request->if_absent ? enter_new(dir_fd, tmp, name)
			       : replace(file, request, dir_fd, tmp, name);
	if (r < 0) {
		(void)unlinkat(dir_fd, tmp, 0);
		return failed(&file->base, request, r, "write");
	}
	file->base.totals.n_sent += request->body_size;
	return fs_sync_directory(dir_fd, &request->error);
}

static int run(struct file_transport *file, struct request *request)
{
	switch (request->method) {
	case REQUEST_GET:
	case REQUEST_HEAD:
		return get(file, request);
	case REQUEST_PUT:
		return put(file, request);
	case REQUEST_DELETE:
		if (unlinkat(file->root_fd, request->key, 0) < 0 && errno != ENOENT)
			return failed(&file->base, request, -errno, "remove");
		return 0;
	}
	return -EINVAL;
}

static int file_start(struct transport *transport, struct request *request)
{
	transport->totals.n_requests++;
	transport_finish(request, run(to_file(transport), request));
	return 0;
}

/* Requests end as they begin: there is only somebody else to wait for. */
static int file_step(struct transport *transport, int timeout_ms, struct cop_error *err)
{
	return transport_wait_fds(transport, timeout_ms, err);
}

struct walk {
	struct file_transport *file;
	int (*visit)(void *data, const struct listed *listed);
	void *data;
	int64_t now;
};

static int walk_directory(const struct walk *walk, const char *path,
			  struct cop_error *err);

static int walk_entry(const struct walk *walk, const char *path, const char *name,
		      struct cop_error *err)
{
	char key[REQUEST_KEY_SIZE];
	struct listed listed = {.key = key};
	struct stat st;

	if (*name == '.' ||
	    (size_t)snprintf(key, sizeof(key), "%s%s", path, name) + 2 > sizeof(key))
		return 0;
	if (fstatat(walk->file->root_fd, key, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : err_errno(err, "list '%s'", key);
	if (S_ISDIR(st.st_mode)) {
		(void)strcat(key, "/");
		return walk_directory(walk, key, err);
	}
	if (!S_ISREG(st.st_mode))
		return 0;
	listed.size = (uint64_t)st.st_size;
	listed.age_seconds = walk->now - st.st_mtim.tv_sec;
	return walk->visit(walk->data, &listed);
}

static int walk_directory(const struct walk *walk, const char *path,
			  struct cop_error *err)
{
	auto_close int fd =
		fs_open_plain(walk->file->root_fd, path, O_RDONLY | O_DIRECTORY, 0, err);
	char **names = NULL;
	size_t n = 0;
	int r;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	r = fs_list(fd, &names, &n, err);
	for (size_t i = 0; i < n && r == 0; i++)
		r = walk_entry(walk, path, names[i], err);
	fs_list_free(names);
	return r;
}

/* The clock of the file system, which may be another machine's. */
static int64_t clock_of(struct file_transport *file)
{
	char name[FS_TEMPORARY_NAME];
	struct stat st = {};
	int fd = openat(file->root_fd, fs_temporary_name(name),
			O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0)
		return 0;
	if (fs_write_all(fd, "", 1) < 0 || fstat(fd, &st) < 0)
		st.st_mtim.tv_sec = 0;
	(void)close(fd);
	(void)unlinkat(file->root_fd, name, 0);
	return st.st_mtim.tv_sec;
}

static int file_list(struct transport *transport, const char *prefix,
		     int (*visit)(void *data, const struct listed *listed), void *data,
		     struct cop_error *err)
{
	struct walk walk = {.file = to_file(transport), .visit = visit, .data = data};
	int r;

	transport->totals.n_requests++;
	walk.now = clock_of(walk.file);
	r = walk_directory(&walk, prefix, err);
	return r < 0 ? err_prefix(err, r, "list '%s'", transport->url) : 0;
}

int file_transport_open(const struct transport_options *options,
			struct transport **ret_transport, struct cop_error *err)
{
	static const struct transport_ops ops = {
		.start = file_start,
		.step = file_step,
		.list = file_list,
		.free = file_free,
	};
	const char *path = options->url + strlen("file://");
	auto_ptr(transport) transport = NULL;
	struct file_transport *file = calloc(1, sizeof(*file));
	int r;

	if (!file)
		return err_oom(err);
	transport = &file->base;
	file->root_fd = -EBADF;
	r = transport_init(transport, &ops, options->url, options->cancel_fd, err);
	if (r < 0)
		return r;
	file->root_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* It may be mounted another time. */
	if (file->root_fd < 0 && errno == ENOENT)
		return err_set(err, -ENOTCONN, "open '%s': there is no such directory",
			       options->url);
	if (file->root_fd < 0)
		return err_errno(err, "open '%s'", options->url);
	transport->is_writable = faccessat(file->root_fd, ".", W_OK, AT_EACCESS) == 0;
	*ret_transport = TAKE_PTR(transport);
	return 0;
}
