/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fs.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/syscall.h>

#include "base/text.h"

#define COPY_CHUNK ((size_t)(1 * MIB))
/* How often an openat2 that lost a race against a rename is tried again. */
#define OPEN_RETRIES 32

static int open_resolving(int dir_fd, const char *path, int flags, mode_t mode,
			  uint64_t resolve)
{
	struct open_how how = {
		/* openat2 refuses O_PATH together with flags that mean nothing for it. */
		.flags = (uint64_t)(unsigned int)flags | O_CLOEXEC |
			 (flags & O_PATH ? 0 : O_NOCTTY),
		.mode = flags & (O_CREAT | O_TMPFILE) ? mode : 0,
		.resolve = resolve,
	};
	long fd = -1;

	/* EAGAIN: the kernel saw a rename or mount elsewhere while it was walking "..".
	 */
	for (int i = 0; i < OPEN_RETRIES; i++) {
		fd = syscall(SYS_openat2, dir_fd, path, &how, sizeof(how));
		if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
			break;
	}
	return fd < 0 ? -errno : (int)fd;
}

int fs_open_plain(int dir_fd, const char *path, int flags, mode_t mode,
		  struct cop_error *err)
{
	int fd = open_resolving(dir_fd, path, flags, mode,
				RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
					RESOLVE_NO_MAGICLINKS);

	return fd < 0 ? err_code(err, fd, "open '%s'", path) : fd;
}

int fs_open_in_root(int root_fd, const char *path, int flags, mode_t mode,
		    struct cop_error *err)
{
	int fd = open_resolving(root_fd, *path ? path : ".", flags, mode,
				RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);

	return fd < 0 ? err_code(err, fd, "open '%s'", path) : fd;
}

int fs_read_all(int fd, uint64_t limit, struct buf *buf, struct cop_error *err)
{
	uint64_t total = 0;

	for (;;) {
		ssize_t n;
		int r = buf_reserve(buf, 16384);

		if (r < 0)
			return err_oom(err);
		n = read(fd, buf->data + buf->size, buf->capacity - buf->size - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(err, "read");
		if (n == 0)
			break;
		total += (uint64_t)n;
		if (total > limit)
			return err_set(err, -EFBIG, "read: more than %llu bytes",
				       (unsigned long long)limit);
		buf->size += (size_t)n;
	}
	buf->data[buf->size] = '\0';
	return 0;
}

int fs_read_opened(int fd, const char *path, uint64_t limit, struct buf *buf,
		   struct cop_error *err)
{
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return err_errno(err, "stat '%s'", path);
	if (!S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "read '%s': not a regular file", path);
	r = fs_read_all(fd, limit, buf, err);
	return r < 0 ? err_prefix(err, r, "'%s'", path) : 0;
}

int fs_read_file(int dir_fd, const char *path, uint64_t limit, struct buf *buf,
		 struct cop_error *err)
{
	/* O_NONBLOCK: a fifo that somebody put there must not hang us. */
	auto_close int fd = fs_open_plain(dir_fd, path, O_RDONLY | O_NONBLOCK, 0, err);

	return fd < 0 ? fd : fs_read_opened(fd, path, limit, buf, err);
}

int fs_write_all(int fd, const void *data, size_t size)
{
	const char *bytes = data;

	while (size > 0) {
		ssize_t n = write(fd, bytes, size);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		bytes += n;
		size -= (size_t)n;
	}
	return 0;
}

ssize_t fs_pread_full(int fd, void *data, size_t size, uint64_t offset)
{
	char *bytes = data;
	size_t done = 0;

	while (done < size) {
		ssize_t n = pread(fd, bytes + done, size - done, (off_t)(offset + done));

		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

static int write_excl(int dir_fd, const char *name, const void *data, size_t size,
		      mode_t mode)
{
	auto_close int fd = openat(
		dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int r;

	if (fd < 0)
		return -errno;
	r = fs_write_all(fd, data, size);
	if (r == 0 && fchmod(fd, mode) < 0)
		r = -errno;
	/* close reports what NFS and quotas found out late */
	if (close(TAKE_FD(fd)) < 0 && r == 0 && errno != EINTR)
		r = -errno;
	if (r < 0)
		(void)unlinkat(dir_fd, name, 0);
	return r;
}

static int pwrite_all(int fd, const uint8_t *data, size_t size, uint64_t offset)
{
	while (size > 0) {
		ssize_t n = pwrite(fd, data, size, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		offset += (uint64_t)n;
		size -= (size_t)n;
	}
	return 0;
}

static bool is_zero_block(const uint8_t *block)
{
	return block[0] == 0 && memcmp(block, block + 1, FS_SPARSE_BLOCK - 1) == 0;
}

int fs_pwrite_sparse(int fd, const void *data, size_t size, uint64_t offset)
{
	const uint8_t *bytes = data;
	size_t start = 0, at = 0;
	int r = 0;

	for (; r == 0 && size - at >= FS_SPARSE_BLOCK; at += FS_SPARSE_BLOCK) {
		if (!is_zero_block(bytes + at))
			continue;
		r = pwrite_all(fd, bytes + start, at - start, offset + start);
		start = at + FS_SPARSE_BLOCK;
	}
	return r < 0 ? r : pwrite_all(fd, bytes + start, size - start, offset + start);
}

int fs_write_new(int dir_fd, const char *name, const void *data, size_t size, mode_t mode,
		 struct cop_error *err)
{
	int r = write_excl(dir_fd, name, data, size, mode);

	return r < 0 ? err_code(err, r, "write '%s'", name) : 0;
}

static int rename_into_place(int dir_fd, const char *tmp, const char *name,
			     struct cop_error *err)
{
	int r;

	if (renameat(dir_fd, tmp, dir_fd, name) == 0)
		return 0;
	r = -errno;
	(void)unlinkat(dir_fd, tmp, 0);
	return err_code(err, r, "replace '%s'", name);
}

int fs_replace_at(int dir_fd, const char *name, const void *data, size_t size,
		  mode_t mode, struct cop_error *err)
{
	char tmp[FS_TEMPORARY_NAME];
	int r;

	r = write_excl(dir_fd, fs_temporary_name(tmp), data, size, mode);
	if (r < 0)
		return err_code(err, r, "replace '%s'", name);
	return rename_into_place(dir_fd, tmp, name, err);
}

int fs_replace_link_at(int dir_fd, const char *name, const char *target,
		       struct cop_error *err)
{
	char tmp[FS_TEMPORARY_NAME];

	if (symlinkat(target, dir_fd, fs_temporary_name(tmp)) < 0)
		return err_errno(err, "replace '%s'", name);
	return rename_into_place(dir_fd, tmp, name, err);
}

int fs_make_dirs(int dir_fd, const char *path, mode_t mode, struct cop_error *err)
{
	auto_free char *copy = strdup(path);
	auto_close int here = -EBADF;
	char *save = NULL;

	if (!copy)
		return err_oom(err);
	for (char *part = strtok_r(copy, "/", &save); part;
	     part = strtok_r(NULL, "/", &save)) {
		int parent = here >= 0 ? here : dir_fd;
		int next;

		if (strcmp(part, "..") == 0)
			return err_set(err, -EINVAL, "make directory '%s': '..' in path",
				       path);
		if (mkdirat(parent, part, mode) < 0 && errno != EEXIST)
			return err_errno(err, "make directory '%s'", path);
		next = openat(parent, part,
			      O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (next < 0)
			return err_errno(err, "make directory '%s'", path);
		if (here >= 0)
			(void)close(here);
		here = next;
	}
	return 0;
}

static DIR *open_dir_at(int dir_fd, const char *name)
{
	int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir;

	if (fd < 0)
		return NULL;
	dir = fdopendir(fd);
	if (!dir)
		closep(&fd);
	return dir;
}

static int remove_tree(int dir_fd, const char *name, bool force);

static int remove_children(DIR *dir, bool force)
{
	for (;;) {
		struct dirent *entry;
		int r;

		errno = 0;
		entry = readdir(dir);
		if (!entry)
			return errno > 0 ? -errno : 0;
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (entry->d_type != DT_DIR &&
		    unlinkat(dirfd(dir), entry->d_name, 0) == 0)
			continue;
		r = remove_tree(dirfd(dir), entry->d_name, force);
		if (r < 0)
			return r;
	}
}

static DIR *open_forced(int dir_fd, const char *name)
{
	auto_close int fd =
		openat(dir_fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	char path[64];

	if (fd < 0)
		return NULL;
	/* fchmod refuses O_PATH fds; /proc/self/fd leads to exactly this directory. */
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	(void)chmod(path, 0700);
	return open_dir_at(dir_fd, name);
}

static int remove_tree(int dir_fd, const char *name, bool force)
{
	struct stat st;
	DIR *dir;
	int r;

	if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM && errno != EACCES)
		return -errno;
	if (unlinkat(dir_fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	if (errno != ENOTEMPTY && errno != EEXIST)
		return -errno;
	dir = open_dir_at(dir_fd, name);
	if (!dir && force)
		dir = open_forced(dir_fd, name);
	if (!dir)
		return -errno;
	if (force && fstat(dirfd(dir), &st) == 0 && (st.st_mode & 0700) != 0700)
		(void)fchmod(dirfd(dir), 0700);
	r = remove_children(dir, force);
	(void)closedir(dir);
	if (r < 0)
		return r;
	if (unlinkat(dir_fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

int fs_remove_all(int dir_fd, const char *name, bool force, struct cop_error *err)
{
	int r = remove_tree(dir_fd, name, force);

	return r < 0 ? err_code(err, r, "remove '%s'", name) : 0;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

char **fs_list_free(char **names)
{
	free(names);
	return NULL;
}

/* One after the other, each with its NUL. */
static int read_names(DIR *dir, struct buf *text, size_t *n_names)
{
	const struct dirent *entry;

	for (errno = 0; (entry = readdir(dir)) != NULL; errno = 0) {
		const char *name = entry->d_name;

		if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
			continue;
		if (buf_append(text, name, strlen(name) + 1) < 0)
			return -ENOMEM;
		++*n_names;
	}
	return -errno;
}

/* The pointers and behind them what they point to: one piece of memory. */
static char **make_list(const struct buf *text, size_t n_names)
{
	char **names = calloc(1, (n_names + 1) * sizeof(*names) + text->size);
	char *at = names ? (char *)(names + n_names + 1) : NULL;

	if (!names)
		return NULL;
	if (text->size > 0)
		memcpy(at, text->data, text->size);
	for (size_t i = 0; i < n_names; i++) {
		names[i] = at;
		at += strlen(at) + 1;
	}
	return names;
}

int fs_list(int dir_fd, char ***ret_names, size_t *ret_n_names, struct cop_error *err)
{
	DIR *dir = open_dir_at(dir_fd, ".");
	auto_buf text = {};
	size_t n_names = 0;
	char **names;
	int r;

	if (!dir)
		return err_errno(err, "list directory");
	r = read_names(dir, &text, &n_names);
	(void)closedir(dir);
	if (r < 0)
		return err_code(err, r, "list directory");
	names = make_list(&text, n_names);
	if (!names)
		return err_oom(err);
	if (n_names > 1)
		qsort(names, n_names, sizeof(*names), compare_names);
	*ret_names = names;
	if (ret_n_names)
		*ret_n_names = n_names;
	return 0;
}

static int copy_bytes(int from, int to, uint64_t start, uint64_t end, char *chunk)
{
	while (start < end) {
		size_t wanted = (size_t)min_u64(COPY_CHUNK, end - start);
		ssize_t n = fs_pread_full(from, chunk, wanted, start);
		size_t done = 0;

		if (n < 0)
			return (int)n;
		if ((size_t)n < wanted)
			return -ESTALE;
		while (done < wanted) {
			ssize_t written = pwrite(to, chunk + done, wanted - done,
						 (off_t)(start + done));

			if (written < 0 && errno == EINTR)
				continue;
			if (written < 0)
				return -errno;
			done += (size_t)written;
		}
		start += wanted;
	}
	return 0;
}

static int copy_extents(int from, int to, uint64_t size)
{
	auto_free char *chunk = malloc(COPY_CHUNK);
	uint64_t position = 0;

	if (!chunk)
		return -ENOMEM;
	while (position < size) {
		off_t data = lseek(from, (off_t)position, SEEK_DATA), hole;
		int r;

		if (data < 0 && errno == ENXIO)
			break; /* a hole up to the end */
		if (data < 0 || (uint64_t)data < position)
			data = (off_t)position; /* no SEEK_DATA here: all is data */
		if ((uint64_t)data >= size)
			break;
		hole = lseek(from, data, SEEK_HOLE);
		if (hole <= data)
			hole = (off_t)size;
		r = copy_bytes(from, to, (uint64_t)data, min_u64((uint64_t)hole, size),
			       chunk);
		if (r < 0)
			return r;
		position = (uint64_t)hole;
	}
	return 0;
}

int fs_copy_data(int from, int to, uint64_t size, struct cop_error *err)
{
	struct stat st;
	int r;

	if (fstat(from, &st) < 0)
		return err_errno(err, "copy");
	if ((uint64_t)st.st_size < size)
		return err_set(err, -ESTALE, "copy: the file became shorter");
	if ((uint64_t)st.st_size == size && ioctl(to, FICLONE, from) == 0)
		return 0;
	r = copy_extents(from, to, size);
	if (r == 0 && ftruncate(to, (off_t)size) < 0)
		r = -errno;
	return r < 0 ? err_code(err, r, "copy") : 0;
}

char *fs_temporary_name(char name[FS_TEMPORARY_NAME])
{
	uint8_t bytes[8];

	/* Eight bytes come at once or not at all; without them a clash is caught by
	 * O_EXCL. */
	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		memset(bytes, 0, sizeof(bytes));
	memcpy(name, ".tmp-", 5);
	hex_encode(bytes, sizeof(bytes), name + 5);
	return name;
}

int fs_sync_filesystem(int fd, struct cop_error *err)
{
	return syncfs(fd) < 0 ? err_errno(err, "sync the file system") : 0;
}

int fs_sync_directory(int dir_fd, struct cop_error *err)
{
	return fsync(dir_fd) < 0 ? err_errno(err, "sync directory") : 0;
}
