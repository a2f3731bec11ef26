/* SPDX-License-Identifier: Apache-2.0 */
/* Verbs that read a directory: commit, digest. */
#include <fcntl.h>
#include <string.h>

#include "base/text.h"
#include "cli/cli.h"
#include "store/commit.h"
#include "tree/dump.h"

#define DUMP_SIZE_MAX (2 * GIB)

int cli_open_directory(const char *path, struct cop_error *err)
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

int cli_commit_directory(struct cli *cli, const char *path,
			 struct commit_directory_options *options,
			 struct cop_digest *ret_digest, struct cop_error *err)
{
	struct tree_scan_report report = {};
	struct staging_totals totals = {};
	auto_close int fd = cli_open_directory(path, err);
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

int cli_read_epoch(const char *text, int64_t *ret_epoch, struct cop_error *err)
{
	uint64_t value;

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
	r = cli_read_epoch(cli->options[0], &options.source_epoch, err);
	if (r == 0)
		r = cli_store(cli, &store, err);
	if (r == 0)
		r = cli_commit_directory(cli, argv[0], &options, &digest, err);
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
	r = cli_commit_directory(cli, argv[0], &options, &digest, err);
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
