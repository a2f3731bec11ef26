/* SPDX-License-Identifier: Apache-2.0 */
/* Trees in and out: import and export, as directories, tar and OCI archives. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "archive/archive.h"
#include "base/fs.h"
#include "base/mutant.h"
#include "base/text.h"
#include "cli/cli.h"
#include "store/object.h"
#include "store/verify.h"
#include "view/view.h"

enum format { FORMAT_AUTO, FORMAT_DIR, FORMAT_TAR, FORMAT_OCI };

static int read_format(const char *verb, const char *text, enum format *ret,
		       struct cop_error *err)
{
	static const char *const names[] = {"auto", "dir", "tar", "oci"};

	*ret = FORMAT_AUTO;
	for (size_t i = 0; text && i < ARRAY_SIZE(names); i++)
		if (strcmp(text, names[i]) == 0) {
			*ret = (enum format)i;
			return 0;
		}
	return text ? cli_usage_error(
			      err, "%s: '%s' is not a format; there are dir, tar and oci",
			      verb, text)
		    : 0;
}

static void say_new(struct cli *cli, const struct staging_totals *totals)
{
	char size[32];

	if (cli->verbose)
		cli_say(cli, "%llu files are new to the store (%s)",
			(unsigned long long)totals->n_new_files,
			text_size(totals->n_new_bytes, size, sizeof(size)));
}

static int import_archive(struct cli *cli, const char *path, enum format format,
			  const char *name, int64_t epoch, struct cop_digest *ret_digest,
			  struct cop_error *err)
{
	struct staging_totals totals = {};
	const struct archive_import_options options = {
		.format = format == FORMAT_TAR	 ? ARCHIVE_TAR
			  : format == FORMAT_OCI ? ARCHIVE_OCI
						 : ARCHIVE_ANY,
		.name = name,
		.source_epoch = epoch,
		.progress = cli->progress,
		.totals = &totals,
	};
	auto_close int opened = -EBADF;
	int fd = STDIN_FILENO, r;

	if (strcmp(path, "-") != 0) {
		opened = open(path, O_RDONLY | O_CLOEXEC);
		if (opened < 0)
			return err_errno(err, "import '%s'", path);
		fd = opened;
	}
	r = archive_import(cli->store, fd, &options, ret_digest, err);
	/* A pipe cannot be read again. */
	if (r == -ENOSPC && lseek(fd, 0, SEEK_SET) == 0 && cli_make_room(cli))
		r = archive_import(cli->store, fd, &options, ret_digest, err);
	if (r < 0)
		return err_prefix(err, r, "import '%s'", path);
	say_new(cli, &totals);
	return 0;
}

/* "-" or what is not there is no directory; opening it will tell. */
static bool is_directory(const char *path)
{
	struct stat st;

	return strcmp(path, "-") != 0 && stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static int run_import(struct cli *cli, int argc, char **argv, struct cop_error *err)
{
	struct commit_directory_options options = {.class = REF_NAME, .name = argv[1]};
	enum format format = FORMAT_AUTO;
	struct cop_digest digest;
	struct cop_store *store;
	int r;

	(void)argc;
	r = read_format("import", cli->options[0], &format, err);
	if (r == 0)
		r = cli_read_epoch(cli->options[1], &options.source_epoch, err);
	if (r < 0)
		return r;
	if (!ref_name_is_valid(REF_NAME, argv[1]))
		return cli_usage_error(err, "import: '%s' is not a ref name", argv[1]);
	if (format == FORMAT_AUTO && is_directory(argv[0]))
		format = FORMAT_DIR;
	/* Do not make a store for what is not there. */
	if (strcmp(argv[0], "-") != 0 && access(argv[0], R_OK) < 0)
		return err_errno(err, "import '%s'", argv[0]);
	r = cli_store(cli, &store, err);
	if (r < 0)
		return r;
	r = format == FORMAT_DIR
		    ? cli_commit_directory(cli, argv[0], &options, &digest, err)
		    : import_archive(cli, argv[0], format, argv[1], options.source_epoch,
				     &digest, err);
	if (r == 0)
		r = cli_keep_cap(cli, err);
	return r < 0 ? r : cli_print_digest(cli, &digest, err);
}

const struct verb verb_import = {
	.name = "import",
	.arguments = "SRC NAME",
	.help = "Bring in a directory, a tar archive or an OCI image",
	.details =
		"SRC is a directory (then this is `commit'), an archive, or '-' for one "
		"on standard input.\nArchives may be compressed with gzip, xz, zstd or "
		"bzip2. An archive that holds an OCI\nimage layout gives the tree of its "
		"layers; with --format tar what is in the archive itself.\nNames with "
		"'..', absolute names and names below a symlink are refused. Nothing is "
		"laid out\non disk, so owners, devices and capabilities are kept for "
		"plain users too.",
	.options = {{"format", 0, "FORMAT", "dir, tar or oci; else SRC tells", false},
		    {"source-epoch", 0, "SECONDS",
		     "times later than that become it (seconds since 1970)", false}},
	.min_args = 2,
	.max_args = 2,
	.run = run_import,
};

static bool is_empty(int fd, struct cop_error *err)
{
	char **names = NULL;
	bool empty = fs_list(fd, &names, NULL, err) == 0 && !names[0];

	(void)fs_list_free(names);
	return empty;
}

static int export_directory(struct cli *cli, const struct tree *tree, const char *path,
			    struct cop_error *err)
{
	auto_close int fd = -EBADF;
	bool made = mkdir(path, 0755) == 0;
	int r;

	if (!made && errno != EEXIST)
		return err_errno(err, "make directory '%s'", path);
	fd = cli_open_directory(path, err);
	if (fd < 0)
		return fd;
	if (!is_empty(fd, NULL))
		return err_set(
			err, -ENOTEMPTY,
			"export to '%s': the directory is not empty; name another one",
			path);
	r = view_export(cli->store, tree, fd, cli->progress, err);
	if (r < 0) {
		/* Leave what was there before: an empty directory, or none. */
		char **names = NULL;

		if (fs_list(fd, &names, NULL, NULL) == 0)
			for (char **name = names; *name; name++)
				(void)fs_remove_all(fd, *name, true, NULL);
		(void)fs_list_free(names);
		if (made)
			(void)rmdir(path);
		return err_prefix(err, r, "export to '%s'", path);
	}
	return 0;
}

static int write_archive(struct cli *cli, const struct tree *tree, enum format format,
			 const char *name, int fd, struct cop_error *err)
{
	if (format == FORMAT_OCI)
		return archive_export_oci(cli->store, tree, name, fd, cli->progress, err);
	return archive_export_tar(cli->store, tree, fd, cli->progress, err);
}

/* The archive gets its name when it is whole and on disk. */
static int export_file(struct cli *cli, const struct tree *tree, enum format format,
		       const char *name, const char *path, struct cop_error *err)
{
	const char *slash = strrchr(path, '/'), *file = slash ? slash + 1 : path;
	auto_free char *dir =
		slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
	char tmp[FS_TEMPORARY_NAME];
	auto_close int dir_fd = -EBADF, fd = -EBADF;
	int r;

	if (!dir)
		return err_oom(err);
	dir_fd = cli_open_directory(dir, err);
	if (dir_fd < 0)
		return dir_fd;
	fd = openat(dir_fd, fs_temporary_name(tmp),
		    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0)
		return err_errno(err, "create a file in '%s'", dir);
	r = write_archive(cli, tree, format, name, fd, err);
	if (r == 0 && !mutant("export-sync") && fsync(fd) < 0)
		r = err_errno(err, "sync");
	if (r == 0 && renameat(dir_fd, tmp, dir_fd, file) < 0)
		r = err_errno(err, "rename");
	if (r < 0)
		(void)unlinkat(dir_fd, tmp, 0);
	return r;
}

static int export_archive(struct cli *cli, const struct tree *tree, enum format format,
			  const char *name, const char *path, struct cop_error *err)
{
	auto_close int opened = -EBADF;
	bool to_stdout = strcmp(path, "-") == 0;
	struct stat st;
	int r;

	if (to_stdout && isatty(STDOUT_FILENO))
		return err_set(err, -ENOTTY,
			       "export: standard output is a terminal; name a file, or "
			       "pipe it somewhere");
	if (!to_stdout && stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return err_code(err, -EISDIR, "export to '%s'", path);
	if (!to_stdout && (stat(path, &st) < 0 || S_ISREG(st.st_mode))) {
		r = export_file(cli, tree, format, name, path, err);
	} else {
		/* A pipe or a device is written as it is. */
		opened =
			to_stdout ? dup(STDOUT_FILENO) : open(path, O_WRONLY | O_CLOEXEC);
		r = opened < 0 ? err_errno(err, "open")
			       : write_archive(cli, tree, format, name, opened, err);
	}
	return r < 0 ? err_prefix(err, r, "export to '%s'", path) : 0;
}

static int run_export(struct cli *cli, int argc, char **argv, struct cop_error *err)
{
	auto_ptr(tree) tree = NULL;
	enum format format = FORMAT_AUTO;
	struct cop_digest digest;
	int r;

	(void)argc;
	r = read_format("export", cli->options[0], &format, err);
	if (r == 0)
		r = cli_get_tree(cli, argv[0], &digest, &tree, err);
	if (r < 0)
		return r;
	if (format == FORMAT_AUTO)
		format = strcmp(argv[1], "-") == 0 ? FORMAT_TAR : FORMAT_DIR;
	/* An archive is hashed as it is written. */
	if (format == FORMAT_DIR)
		r = object_verify(cli->store, &digest, cli->progress, err);
	if (r < 0)
		return err_prefix(err, r, "export '%s'", argv[0]);
	r = format == FORMAT_DIR
		    ? export_directory(cli, tree, argv[1], err)
		    : export_archive(cli, tree, format,
				     ref_name_is_valid(REF_NAME, argv[0]) ? argv[0]
									  : NULL,
				     argv[1], err);
	if (r == -EUCLEAN)
		(void)object_mark_damaged(cli->store, &digest, NULL);
	if (r < 0 || strcmp(argv[1], "-") == 0)
		return r;
	return cli_print_digest(cli, &digest, err);
}

const struct verb verb_export = {
	.name = "export",
	.arguments = "TREE DEST",
	.help = "Write a tree out: to a directory, or as an archive",
	.details =
		"dir: to an empty or new directory. Owners, modes, times, extended "
		"attributes, ACLs, hard links,\nholes and devices are kept; what the "
		"caller may not create is an error.\ntar: a pax archive, and oci: an OCI "
		"image of one layer, to a file or ('-') to standard output.\nThe same "
		"tree gives the same bytes. `import' of what was exported gives the same "
		"digest.",
	.options = {{"format", 0, "FORMAT", "dir (the default), tar (for '-') or oci",
		     false}},
	.min_args = 2,
	.max_args = 2,
	.run = run_export,
};
