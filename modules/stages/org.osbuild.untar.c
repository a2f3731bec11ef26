/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tar archive laid out in the tree, as root's `tar -x` does it: what is there already
 * is replaced, directories are kept; owners are the archive's numbers; there are no
 * extended attributes.
 */
#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <string.h>

#include "modkit/options.h"
#include "modkit/root.h"
#include "modules/stages/entry.h"
#include "modules/stages/stages.h"

#define READ_SIZE ((size_t)(256 * KIB))

struct untarring {
	struct cop_error *err;
	struct archive *archive;
	int root_fd;
	/* What directories shall be like once they are full. */
	struct archive_entry **dirs;
	size_t n_dirs, capacity;
};

static void untarring_done(struct untarring *untarring)
{
	for (size_t i = 0; i < untarring->n_dirs; i++)
		archive_entry_free(untarring->dirs[i]);
	free(untarring->dirs);
	closep(&untarring->root_fd);
	if (untarring->archive)
		(void)archive_read_free(untarring->archive);
}

static int broken(struct untarring *untarring)
{
	const char *text = archive_error_string(untarring->archive);

	return err_set(untarring->err, -EBADMSG, "the archive is damaged: %s",
		       text ? text : "unknown error");
}

static int remember_dir(struct untarring *untarring, struct archive_entry *entry)
{
	struct archive_entry *copy;

	if (untarring->n_dirs == untarring->capacity) {
		size_t capacity = untarring->capacity ? untarring->capacity * 2 : 64;
		struct archive_entry **dirs =
			reallocarray(untarring->dirs, capacity, sizeof(*dirs));

		if (!dirs)
			return err_oom(untarring->err);
		untarring->dirs = dirs;
		untarring->capacity = capacity;
	}
	copy = archive_entry_clone(entry);
	if (!copy)
		return err_oom(untarring->err);
	untarring->dirs[untarring->n_dirs++] = copy;
	return 0;
}

/* Whatever is in the way, except a directory that is not empty. */
static int make_room(struct untarring *untarring, int parent, const char *name)
{
	struct stat st;

	if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : err_errno(untarring->err, "stat");
	if (unlinkat(parent, name, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0) < 0)
		return err_errno(untarring->err, "replace what is there");
	return 0;
}

static int make_dir(struct untarring *untarring, struct archive_entry *entry, int parent,
		    const char *name)
{
	struct stat st;
	int r;

	if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode)) {
		r = make_room(untarring, parent, name);
		if (r < 0)
			return r;
		if (mkdirat(parent, name, 0700) < 0)
			return err_errno(untarring->err, "make directory");
	}
	return remember_dir(untarring, entry);
}

static int write_content(struct untarring *untarring, int fd, int64_t size)
{
	const void *block;
	la_int64_t offset;
	size_t n;
	int r;

	while ((r = archive_read_data_block(untarring->archive, &block, &n, &offset)) ==
	       ARCHIVE_OK) {
		if (lseek(fd, offset, SEEK_SET) < 0)
			return err_errno(untarring->err, "write");
		r = fs_write_all(fd, block, n);
		if (r < 0)
			return err_code(untarring->err, r, "write");
	}
	if (r != ARCHIVE_EOF)
		return broken(untarring);
	/* A hole at the end. */
	if (ftruncate(fd, size) < 0)
		return err_errno(untarring->err, "write");
	return 0;
}

static int make_file(struct untarring *untarring, struct archive_entry *entry, int parent,
		     const char *name)
{
	auto_close int fd = openat(
		parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int r;

	if (fd < 0)
		return err_errno(untarring->err, "create");
	r = write_content(untarring, fd, archive_entry_size(entry));
	return r == 0 ? entry_apply(entry, fd, untarring->err) : r;
}

static int make_link(struct untarring *untarring, const char *target, int parent,
		     const char *name)
{
	auto_free char *plain = entry_plain_path(target);

	if (!plain)
		return err_oom(untarring->err);
	return entry_hard_link(untarring->root_fd, plain, parent, name, untarring->err);
}

static bool climbs(const char *path)
{
	for (const char *at = path; at; at = strchr(at, '/')) {
		at += *at == '/';
		if (at[0] == '.' && at[1] == '.' && (!at[2] || at[2] == '/'))
			return true;
	}
	return false;
}

static int make_parents(struct untarring *untarring, const char *path)
{
	const char *slash = strrchr(path, '/');
	auto_free char *parent = strndup(path, slash ? (size_t)(slash - path) : 0);

	return parent ? root_make_dirs(untarring->root_fd, parent, 0755, untarring->err)
		      : err_oom(untarring->err);
}

static int make_entry(struct untarring *untarring, struct archive_entry *entry,
		      const char *path)
{
	const char *target = archive_entry_hardlink(entry);
	auto_close int parent = -EBADF;
	char name[NAME_MAX + 1];
	int r;

	if (strcmp(path, ".") == 0)
		return remember_dir(untarring, entry);
	if (climbs(path))
		return err_set(untarring->err, -EBADMSG, "the name leads upwards");
	r = make_parents(untarring, path);
	if (r < 0)
		return r;
	parent = root_open_parent(untarring->root_fd, path, name, untarring->err);
	if (parent < 0)
		return parent;
	if (archive_entry_filetype(entry) == AE_IFDIR && !target)
		return make_dir(untarring, entry, parent, name);
	r = make_room(untarring, parent, name);
	if (r < 0)
		return r;
	if (target)
		return make_link(untarring, target, parent, name);
	if (archive_entry_filetype(entry) == AE_IFREG)
		return make_file(untarring, entry, parent, name);
	return entry_special(entry, parent, name, untarring->err);
}

/* Innermost last in the archive, so first here: nothing changes a time afterwards. */
static int finish_dirs(struct untarring *untarring)
{
	for (size_t i = untarring->n_dirs; i-- > 0;) {
		struct archive_entry *entry = untarring->dirs[i];
		auto_free char *path = entry_plain_path(archive_entry_pathname(entry));
		auto_close int fd = -EBADF;
		int r;

		if (!path)
			return err_oom(untarring->err);
		fd = fs_open_in_root(untarring->root_fd, path, O_RDONLY | O_DIRECTORY, 0,
				     untarring->err);
		r = fd < 0 ? fd : entry_apply(entry, fd, untarring->err);
		if (r < 0)
			return err_prefix(untarring->err, r, "'%s'", path);
	}
	return 0;
}

static int extract_all(struct untarring *untarring)
{
	struct archive_entry *entry;
	int r;

	/* A warning is about names in other character sets; they stay bytes. */
	while ((r = archive_read_next_header(untarring->archive, &entry)) == ARCHIVE_OK ||
	       r == ARCHIVE_WARN) {
		const char *raw = archive_entry_pathname(entry);
		auto_free char *path = raw ? entry_plain_path(raw) : NULL;

		if (!path)
			return raw ? err_oom(untarring->err)
				   : err_set(untarring->err, -EBADMSG,
					     "an entry without a name");
		r = make_entry(untarring, entry, path);
		if (r < 0)
			return err_prefix(untarring->err, r, "'%s'", path);
	}
	return r == ARCHIVE_EOF ? finish_dirs(untarring) : broken(untarring);
}

static int open_archive(struct untarring *untarring, const char *path)
{
	struct archive *archive = untarring->archive = archive_read_new();

	if (!archive)
		return err_oom(untarring->err);
	if (archive_read_support_format_tar(archive) != ARCHIVE_OK ||
	    archive_read_support_format_empty(archive) != ARCHIVE_OK ||
	    archive_read_support_filter_bzip2(archive) != ARCHIVE_OK ||
	    archive_read_support_filter_compress(archive) != ARCHIVE_OK ||
	    archive_read_support_filter_gzip(archive) != ARCHIVE_OK ||
	    archive_read_support_filter_lzip(archive) != ARCHIVE_OK ||
	    archive_read_support_filter_lzma(archive) != ARCHIVE_OK ||
	    archive_read_support_filter_xz(archive) != ARCHIVE_OK ||
	    archive_read_support_filter_zstd(archive) != ARCHIVE_OK ||
	    archive_read_open_filename(archive, path, READ_SIZE) != ARCHIVE_OK)
		return broken(untarring);
	return 0;
}

int stage_untar(struct kit *kit)
{
	const char *prefix = "/";
	const struct option options[] = {OPTION_TEXT("prefix", prefix)};
	cleanup_with(untarring_done) struct untarring untarring = {
		.err = kit->err,
		.root_fd = -EBADF,
	};
	auto_free char *source = NULL;
	int r = options_only(kit->options, "options", options, ARRAY_SIZE(options),
			     kit->err);

	if (r == 0)
		r = kit_input_file(kit, "file", &source);
	if (r == 0)
		r = open_archive(&untarring, source);
	if (r < 0)
		return r;
	untarring.root_fd = fs_open_in_root(kit->tree_fd, prefix, O_RDONLY | O_DIRECTORY,
					    0, kit->err);
	return untarring.root_fd < 0 ? untarring.root_fd : extract_all(&untarring);
}
