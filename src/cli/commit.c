/* SPDX-License-Identifier: Apache-2.0 */
/* Verbs between directories and the store: commit, digest, import, export. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/text.h"
#include "cli/cli.h"
#include "store/commit.h"
#include "tree/dump.h"
#include "view/view.h"
#include "json/json.h"

#define DUMP_SIZE_MAX (2 * GIB)

static int open_directory(const char *path, struct cop_error *err)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? err_errno(err, "open directory '%s'", path) : fd;
}

static void say_foreign(struct cli *cli, const struct tree_scan_report *report)
{
	if (cli->verbose && report->n_foreign_xattrs > 0)
		cli_say(cli,
			"left out %llu extended attributes that belong to the file system",
			(unsigned long long)report->n_foreign_xattrs);
	if (geteuid() != 0 && cli->verbose)
		cli_say(cli,
			"not root: trusted.* attributes cannot be seen and are left out");
}

static int commit_directory(struct cli *cli, const char *path,
			    struct commit_directory_options *options,
			    struct cop_digest *ret_digest, struct cop_error *err)
{
	struct tree_scan_report report = {};
	struct staging_totals totals = {};
	auto_close int fd = open_directory(path, err);
	char size[32];
	int r;

	if (fd < 0)
		return fd;
	options->progress = cli->progress;
	options->report = &report;
	options->totals = &totals;
	r = store_commit_directory(cli->store, fd, options, ret_digest, err);
	if (r == -ENOSPC && !options->only_digest && cli_make_room(cli))
		r = store_commit_directory(cli->store, fd, options, ret_digest, err);
	if (r < 0)
		return err_prefix(err, r, "%s '%s'",
				  options->only_digest ? "digest" : "commit", path);
	say_foreign(cli, &report);
	if (cli->verbose && !options->only_digest)
		cli_say(cli, "%llu entries, %llu files are new to the store (%s)",
			(unsigned long long)report.n_entries,
			(unsigned long long)totals.n_new_files,
			text_size(totals.n_new_bytes, size, sizeof(size)));
	return 0;
}

static int read_epoch(struct cli *cli, const char *text, int64_t *ret_epoch,
		      struct cop_error *err)
{
	uint64_t value;

	(void)cli;
	*ret_epoch = -1;
	if (!text)
		return 0;
	if (text_to_u64(text, &value) < 0 || value > INT64_MAX)
		return cli_usage_error(
			err, "--source-epoch: '%s' is not a number of seconds", text);
	*ret_epoch = (int64_t)value;
	return 0;
}

static int run_commit(struct cli *cli, int argc, char **argv, struct cop_error *err)
{
	struct commit_directory_options options = {.class = REF_NAME, .name = argv[1]};
	struct cop_digest digest;
	struct cop_store *store;
	int r;

	(void)argc;
	if (!ref_name_is_valid(REF_NAME, argv[1]))
		return cli_usage_error(err, "%s: '%s' is not a ref name", "commit",
				       argv[1]);
	r = read_epoch(cli, cli->options[0], &options.source_epoch, err);
	if (r == 0)
		r = cli_store(cli, &store, err);
	if (r == 0)
		r = commit_directory(cli, argv[0], &options, &digest, err);
	if (r == 0)
		r = cli_keep_cap(cli, err);
	return r < 0 ? r : cli_print_digest(cli, &digest, err);
}

const struct verb verb_commit = {
	.name = "commit",
	.arguments = "DIR NAME",
	.help = "Store a directory as it is, and print its digest",
	.options = {{"source-epoch", 0, "SECONDS",
		     "times later than that become it (seconds since 1970)", false}},
	.min_args = 2,
	.max_args = 2,
	.run = run_commit,
};

static int digest_dump(struct cli *cli, const char *path, struct cop_error *err)
{
	auto_ptr(tree) tree = NULL;
	struct cop_digest digest;
	auto_buf text = {};
	int r;

	r = cli_read_text(path, DUMP_SIZE_MAX, &text, err);
	if (r < 0)
		return r;
	r = tree_from_dump(buf_text(&text), text.size, &tree, err);
	if (r < 0)
		return err_prefix(err, r, "digest '%s'", path);
	r = store_digest_tree(tree, &digest, err);
	return r < 0 ? r : cli_print_digest(cli, &digest, err);
}

static int run_digest(struct cli *cli, int argc, char **argv, struct cop_error *err)
{
	struct commit_directory_options options = {.only_digest = true,
						   .source_epoch = -1};
	struct cop_digest digest;
	int r;

	if (!cli->options[0] == !argc)
		return cli_usage_error(err,
				       "digest: takes either DIR or --from-dump FILE");
	if (cli->options[0])
		return digest_dump(cli, cli->options[0], err);
	r = commit_directory(cli, argv[0], &options, &digest, err);
	return r < 0 ? r : cli_print_digest(cli, &digest, err);
}

const struct verb verb_digest = {
	.name = "digest",
	.arguments = "[DIR]",
	.help = "The digest of a directory or a dump, storing nothing",
	.options = {{"from-dump", 0, "FILE",
		     "a composefs dump text; '-' for standard input", false}},
	.min_args = 0,
	.max_args = 1,
	.run = run_digest,
};

static int run_import(struct cli *cli, int argc, char **argv, struct cop_error *err)
{
	struct commit_directory_options options = {
		.class = REF_NAME, .name = argv[1], .source_epoch = -1};
	struct cop_digest digest;
	struct cop_store *store;
	struct stat st;
	int r;

	(void)argc;
	if (!ref_name_is_valid(REF_NAME, argv[1]))
		return cli_usage_error(err, "%s: '%s' is not a ref name", "import",
				       argv[1]);
	if (stat(argv[0], &st) < 0)
		return err_errno(err, "import '%s'", argv[0]);
	if (!S_ISDIR(st.st_mode))
		return err_set(err, -ENOTDIR,
			       "import '%s': only directories can be imported", argv[0]);
	r = cli_store(cli, &store, err);
	if (r == 0)
		r = commit_directory(cli, argv[0], &options, &digest, err);
	return r < 0 ? r : cli_print_digest(cli, &digest, err);
}

const struct verb verb_import = {
	.name = "import",
	.arguments = "DIR NAME",
	.help = "Bring a directory in, and print its digest",
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

static int run_export(struct cli *cli, int argc, char **argv, struct cop_error *err)
{
	auto_ptr(tree) tree = NULL;
	auto_close int fd = -EBADF;
	struct cop_digest digest;
	bool made;
	int r;

	(void)argc;
	if (cli->options[0] && strcmp(cli->options[0], "dir") != 0)
		return cli_usage_error(err,
				       "export: '%s' is not a format; there is 'dir'",
				       cli->options[0]);
	r = cli_get_tree(cli, argv[0], &digest, &tree, err);
	if (r < 0)
		return r;
	made = mkdir(argv[1], 0755) == 0;
	if (!made && errno != EEXIST)
		return err_errno(err, "make directory '%s'", argv[1]);
	fd = open_directory(argv[1], err);
	if (fd < 0)
		return fd;
	if (!is_empty(fd, NULL))
		return err_set(
			err, -ENOTEMPTY,
			"export to '%s': the directory is not empty; name another one",
			argv[1]);
	r = view_export(cli->store, tree, fd, cli->progress, err);
	if (r < 0) {
		/* Leave what was there before: an empty directory, or none. */
		char **names = NULL;

		if (fs_list(fd, &names, NULL, NULL) == 0)
			for (char **name = names; *name; name++)
				(void)fs_remove_all(fd, *name, true, NULL);
		(void)fs_list_free(names);
		if (made)
			(void)rmdir(argv[1]);
		return err_prefix(err, r, "export to '%s'", argv[1]);
	}
	return cli_print_digest(cli, &digest, err);
}

const struct verb verb_export = {
	.name = "export",
	.arguments = "TREE DEST",
	.help = "Write a tree out to an empty or new directory",
	.details =
		"Owners, modes, times, extended attributes, ACLs, hard links, holes and devices "
		"are kept;\nwhat the caller may not create is an error.",
	.options = {{"format", 0, "FORMAT", "dir (the default)", false}},
	.min_args = 2,
	.max_args = 2,
	.run = run_export,
};
