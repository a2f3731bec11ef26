/* SPDX-License-Identifier: Apache-2.0 */
#include "modules/stages/tarball.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "base/arena.h"
#include "base/map.h"
#include "modkit/root.h"
#include "modules/stages/compress.h"
#include "modules/stages/xattr.h"
#include "tar/acl.h"

#define CHUNK ((size_t)(256 * KIB))
/* GNU tar fills up to whole records. */
#define RECORD ((uint64_t)(20 * TAR_BLOCK))

struct inode {
	dev_t dev;
	ino_t ino;
};

struct tarring {
	const struct tarball *options;
	struct cop_error *err;
	int from_fd;
	uint64_t n_bytes;
	struct arena *arena;
	struct map *links; /* inode -> path of its first name */
	struct buf header, records;
	char *chunk;
};

static int emit(struct tarring *tarring, const void *data, size_t size)
{
	tarring->n_bytes += size;
	return tarring->options->write(tarring->options->data, data, size, tarring->err);
}

static int emit_zeros(struct tarring *tarring, size_t size)
{
	static const char zeros[TAR_BLOCK];

	while (size > 0) {
		size_t n = size < sizeof(zeros) ? size : sizeof(zeros);
		int r = emit(tarring, zeros, n);

		if (r < 0)
			return r;
		size -= n;
	}
	return 0;
}

static int add_attribute(void *data, const char *name, const void *value, size_t size,
			 struct cop_error *err)
{
	struct tarring *tarring = data;
	const bool is_access = strcmp(name, "system.posix_acl_access") == 0;
	char key[300];

	if (is_access || strcmp(name, "system.posix_acl_default") == 0) {
		auto_buf text = {};
		int r;

		if (!tarring->options->acls)
			return 0;
		r = acl_text(value, size, &text, err);
		if (r == 0 &&
		    tar_record(&tarring->records,
			       is_access ? "SCHILY.acl.access" : "SCHILY.acl.default",
			       buf_text(&text), text.size) < 0)
			r = err_oom(err);
		return r;
	}
	if (strcmp(name, "security.selinux") == 0) {
		if (!tarring->options->selinux)
			return 0;
		(void)strcpy(key, "RHT.security.selinux");
	} else if (tarring->options->xattrs &&
		   (!tarring->options->wants || tarring->options->wants(name))) {
		(void)snprintf(key, sizeof(key), "SCHILY.xattr.%s", name);
	} else {
		return 0;
	}
	return tar_record(&tarring->records, key, value, size) < 0 ? err_oom(err) : 0;
}

static int add_attributes(struct tarring *tarring, int fd)
{
	buf_truncate(&tarring->records, 0);
	if (!tarring->options->acls && !tarring->options->selinux &&
	    !tarring->options->xattrs)
		return 0;
	return xattr_each(fd, add_attribute, tarring, tarring->err);
}

/* Return: the path of an earlier name of the same inode, NULL for the first, or
 * ERR_OOM. */
static int find_link(struct tarring *tarring, const struct stat *st, const char *path,
		     const char **ret_first)
{
	struct inode probe = {.dev = st->st_dev, .ino = st->st_ino}, *key;
	void **slot;

	*ret_first = NULL;
	if (st->st_nlink < 2 || S_ISDIR(st->st_mode))
		return 0;
	*ret_first = map_get(tarring->links, &probe, sizeof(probe));
	if (*ret_first)
		return 0;
	key = (struct inode *)arena_alloc(tarring->arena, sizeof(*key));
	if (!key)
		return err_oom(tarring->err);
	key->dev = st->st_dev;
	key->ino = st->st_ino;
	slot = map_slot(tarring->links, key, sizeof(*key));
	if (!slot)
		return err_oom(tarring->err);
	*slot = arena_memdup(tarring->arena, path, strlen(path));
	return *slot ? 0 : err_oom(tarring->err);
}

static int emit_header(struct tarring *tarring, const struct stat *st, const char *path,
		       char type, const char *link)
{
	const bool is_device = type == '3' || type == '4';
	const struct tar_entry entry = {
		.path = path,
		.link = link,
		.type = type,
		.mode = st->st_mode & 07777,
		.uid = st->st_uid,
		.gid = st->st_gid,
		.size_bytes = type == '0' ? (uint64_t)st->st_size : 0,
		.mtime = st->st_mtim.tv_sec,
		.mtime_ns = (uint32_t)st->st_mtim.tv_nsec,
		.major = is_device ? major(st->st_rdev) : 0,
		.minor = is_device ? minor(st->st_rdev) : 0,
		.records = type == '1' ? NULL : &tarring->records,
	};
	int r;

	buf_truncate(&tarring->header, 0);
	r = tar_header(tarring->options->format, &entry, &tarring->header, tarring->err);
	return r == 0 ? emit(tarring, tarring->header.data, tarring->header.size) : r;
}

static int emit_content(struct tarring *tarring, int fd, uint64_t size)
{
	uint64_t done = 0;
	int r = 0;

	while (done < size && r == 0) {
		size_t wanted = (size_t)min_u64(CHUNK, size - done);
		ssize_t n = fs_pread_full(fd, tarring->chunk, wanted, done);

		if (n < 0)
			return err_code(tarring->err, (int)n, "read");
		if ((size_t)n < wanted)
			return err_set(tarring->err, -ESTALE, "the file became shorter");
		r = emit(tarring, tarring->chunk, wanted);
		done += wanted;
	}
	return r == 0 ? emit_zeros(tarring, tar_padding(size)) : r;
}

static int emit_symlink(struct tarring *tarring, int fd, const struct stat *st,
			const char *path)
{
	auto_free char *target = malloc(PATH_MAX);
	ssize_t n;

	if (!target)
		return err_oom(tarring->err);
	n = readlinkat(fd, "", target, PATH_MAX - 1);
	if (n < 0)
		return err_errno(tarring->err, "read symlink");
	target[n] = '\0';
	return emit_header(tarring, st, path, '2', target);
}

/* Anything but a directory. */
static int emit_plain(struct tarring *tarring, int parent, const char *name,
		      const struct stat *st, const char *path)
{
	const bool is_file = S_ISREG(st->st_mode);
	auto_close int fd = -EBADF;
	const char *first;
	int r = find_link(tarring, st, path, &first);

	if (r < 0)
		return r;
	if (first)
		return emit_header(tarring, st, path, '1', first);
	fd = openat(parent, name, (is_file ? O_RDONLY : O_PATH) | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_errno(tarring->err, "open");
	r = add_attributes(tarring, fd);
	if (r < 0)
		return r;
	if (S_ISLNK(st->st_mode))
		return emit_symlink(tarring, fd, st, path);
	r = emit_header(tarring, st, path, tar_type(st->st_mode), NULL);
	return r == 0 && is_file ? emit_content(tarring, fd, (uint64_t)st->st_size) : r;
}

static int emit_node(struct tarring *tarring, int parent, const char *name, char *path);

/* @path has room for PATH_MAX bytes and ends in '/', or is empty for the root when it is
 * left out. */
static int emit_children(struct tarring *tarring, int fd, char *path)
{
	size_t size = strlen(path);
	char **names = NULL;
	int r = fs_list(fd, &names, NULL, tarring->err);

	for (char **name = names; r == 0 && *name; name++) {
		if (size + strlen(*name) + 2 > PATH_MAX)
			r = err_code(tarring->err, -ENAMETOOLONG, "'%s%s'", path, *name);
		else
			r = emit_node(tarring, fd, *name,
				      strcpy(path + size, *name) - size);
		path[size] = '\0';
	}
	(void)fs_list_free(names);
	return r;
}

static int emit_dir(struct tarring *tarring, int fd, const struct stat *st, char *path)
{
	int r = add_attributes(tarring, fd);

	if (r == 0)
		r = emit_header(tarring, st, path, '5', NULL);
	return r == 0 ? emit_children(tarring, fd, path) : r;
}

static int emit_node(struct tarring *tarring, int parent, const char *name, char *path)
{
	struct cop_error *err = tarring->err;
	auto_close int fd = -EBADF;
	struct stat st;
	int r;

	if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_errno(err, "stat '%s'", path);
	if (!tar_type(st.st_mode)) {
		kit_log("'%s' is a socket and is left out", path);
		return 0;
	}
	if (!S_ISDIR(st.st_mode)) {
		r = emit_plain(tarring, parent, name, &st, path);
		return r < 0 ? err_prefix(err, r, "'%s'", path) : 0;
	}
	fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, "open '%s'", path);
	(void)strcat(path, "/");
	return emit_dir(tarring, fd, &st, path);
}

/* One of the paths that were asked for, with everything below it. */
static int emit_path(struct tarring *tarring, const char *text, char *path)
{
	char name[NAME_MAX + 1];
	auto_close int parent = -EBADF;
	size_t size = strlen(text);

	while (size > 1 && text[size - 1] == '/')
		size--;
	if (size + 2 > PATH_MAX)
		return err_code(tarring->err, -ENAMETOOLONG, "'%s'", text);
	parent = root_open_parent(tarring->from_fd, text, name, tarring->err);
	if (parent < 0)
		return parent;
	while (size > 0 && *text == '/') {
		text++;
		size--;
	}
	memcpy(path, text, size);
	path[size] = '\0';
	return emit_node(tarring, parent, name, path);
}

static int emit_all(struct tarring *tarring)
{
	auto_free char *path = malloc(PATH_MAX);
	struct stat st;
	uint64_t end;
	int r = 0;

	if (!path)
		return err_oom(tarring->err);
	if (fstat(tarring->from_fd, &st) < 0)
		return err_errno(tarring->err, "stat the input");
	(void)strcpy(path, tarring->options->with_root ? "./" : "");
	for (size_t i = 0; r == 0 && i < json_array_size(tarring->options->paths); i++)
		r = emit_path(
			tarring,
			json_string_value(json_array_get(tarring->options->paths, i)),
			path);
	if (!tarring->options->paths)
		r = tarring->options->with_root
			    ? emit_dir(tarring, tarring->from_fd, &st, path)
			    : emit_children(tarring, tarring->from_fd, path);
	end = round_up_u64(tarring->n_bytes + 2 * TAR_BLOCK, TAR_BLOCK);
	end += (RECORD - end % RECORD) % RECORD;
	return r == 0 ? emit_zeros(tarring, (size_t)(end - tarring->n_bytes)) : r;
}

static void tarring_done(struct tarring *tarring)
{
	tarring->links = map_free(tarring->links);
	tarring->arena = arena_free(tarring->arena);
	buf_done(&tarring->header);
	buf_done(&tarring->records);
	free(tarring->chunk);
}

int tarball_write(int from_fd, const struct tarball *options, struct cop_error *err)
{
	cleanup_with(tarring_done) struct tarring tarring = {
		.options = options,
		.err = err,
		.from_fd = from_fd,
		.arena = arena_new(),
		.links = map_new(),
		.chunk = malloc(CHUNK),
	};

	if (!tarring.arena || !tarring.links || !tarring.chunk)
		return err_oom(err);
	return emit_all(&tarring);
}

static int write_compressed(void *data, const void *bytes, size_t size,
			    struct cop_error *err)
{
	return compressor_write(data, bytes, size, err);
}

static int write_file(struct kit *kit, struct tarball *options, const char *compression,
		      int fd)
{
	const char *path = kit_input_path(kit, "tree");
	auto_ptr(compressor) output = NULL;
	auto_close int from = -EBADF;
	int r;

	if (!path)
		return kit->err->code;
	from = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (from < 0)
		return err_errno(kit->err, "open the input 'tree'");
	r = compressor_new(fd, compression, &output, kit->err);
	if (r < 0)
		return r;
	options->write = write_compressed;
	options->data = output;
	r = tarball_write(from, options, kit->err);
	return r == 0 ? compressor_finish(output, kit->err) : r;
}

int tarball_file(struct kit *kit, struct tarball *options, const char *filename,
		 const char *compression)
{
	auto_close int parent = -EBADF, fd = -EBADF;
	char name[NAME_MAX + 1];
	int r;

	parent = root_open_parent(kit->tree_fd, filename, name, kit->err);
	if (parent < 0)
		return parent;
	if (unlinkat(parent, name, 0) < 0 && errno != ENOENT)
		return err_errno(kit->err, "replace '%s'", filename);
	fd = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
		    0644);
	if (fd < 0)
		return err_errno(kit->err, "create '%s'", filename);
	r = write_file(kit, options, compression ? compression : compressor_kind(name),
		       fd);
	return r < 0 ? err_prefix(kit->err, r, "archive '%s'", filename) : 0;
}
