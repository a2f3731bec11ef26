/* SPDX-License-Identifier: Apache-2.0 */
/* Verbs about the store as a whole. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/text.h"
#include "cli/cli.h"
#include "store/ref.h"
#include "store/store.h"
#include "view/view.h"
#include "json/json.h"

static int run_init(struct cli *cli, int argc, char **argv, struct cop_error *err)
{
	const char *kind = cli->options[0];
	auto_json *json = NULL;
	struct cop_store *store;
	int r;

	(void)argc;
	(void)argv;
	r = cli_store(cli, &store, err);
	if (r == 0 && kind)
		r = cli_invalid(view_set_default(store, kind, err));
	if (r < 0)
		return r;
	if (!cli->json) {
		(void)printf("%s\n", cop_store_path(store));
		return 0;
	}
	json = json_pack("{s:s}", "store", cop_store_path(store));
	return cli_print_json(json, err);
}

const struct verb verb_init = {
	.name = "init",
	.arguments = "",
	.help = "Make a store and print its path",
	.details =
		"Every verb makes the store when it is missing; init only does it on purpose. "
		"With --view it also settles how trees are shown for writing: 'overlay', "
		"'copy', or 'auto' for what works, which is the default. COPPICE_VIEW in the "
		"environment goes before it.",
	.options = {{"view", 0, "KIND", "overlay, copy or auto", false}},
	.min_args = 0,
	.max_args = 0,
	.run = run_init,
};

struct usage {
	uint64_t n_files;
	uint64_t n_bytes; /* on disk */
};

static int add_directory(int fd, unsigned int depth, struct usage *usage,
			 struct cop_error *err);

static int add_entry(int dir_fd, const char *name, unsigned int depth,
		     struct usage *usage, struct cop_error *err)
{
	auto_close int fd = -EBADF;
	struct stat st;

	/* What another process takes away while we count is not counted. */
	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : err_errno(err, "stat '%s'", name);
	usage->n_bytes += (uint64_t)st.st_blocks * 512;
	if (!S_ISDIR(st.st_mode)) {
		usage->n_files++;
		return 0;
	}
	fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : err_errno(err, "open '%s'", name);
	return add_directory(fd, depth + 1, usage, err);
}

static int add_directory(int fd, unsigned int depth, struct usage *usage,
			 struct cop_error *err)
{
	char **names = NULL;
	int r;

	if (depth > 8)
		return 0;
	r = fs_list(fd, &names, NULL, err);
	for (char **name = names; r == 0 && *name; name++)
		r = add_entry(fd, *name, depth, usage, err);
	(void)fs_list_free(names);
	return r;
}

static int measure(struct cop_store *store, const char *part, struct usage *usage,
		   struct cop_error *err)
{
	auto_close int fd =
		openat(store_fd(store), part, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	*usage = (struct usage){};
	if (fd < 0)
		return errno == ENOENT ? 0 : err_errno(err, "open '%s'", part);
	return add_directory(fd, 0, usage, err);
}

static int count_ref(void *data, const char *name, const struct cop_digest *digest)
{
	(void)name;
	(void)digest;
	++*(uint64_t *)data;
	return 0;
}

struct status {
	uint64_t n_refs[3];
	struct usage objects, files, sources;
};

static int collect_status(struct cop_store *store, struct status *status,
			  struct cop_error *err)
{
	int r = 0;

	for (int class = REF_NAME; class <= REF_FAILED && r == 0; class ++)
		r = ref_list(store, (enum ref_class) class, NULL, count_ref,
			     &status->n_refs[class], err);
	if (r == 0)
		r = measure(store, "objects", &status->objects, err);
	if (r == 0)
		r = measure(store, "files", &status->files, err);
	if (r == 0)
		r = measure(store, "sources", &status->sources, err);
	return r;
}

static int print_status_json(struct cop_store *store, const struct status *status,
			     struct cop_error *err)
{
	auto_json *json = json_pack(
		"{s:s, s:s, s:{s:I, s:I, s:I}, s:{s:I, s:I}, s:{s:I, s:I}, s:{s:I, s:I}}",
		"store", cop_store_path(store), "view", view_describe(store), "refs",
		"names", (json_int_t)status->n_refs[REF_NAME], "stages",
		(json_int_t)status->n_refs[REF_STAGE], "failed",
		(json_int_t)status->n_refs[REF_FAILED], "objects", "count",
		(json_int_t)status->objects.n_files, "bytes",
		(json_int_t)status->objects.n_bytes, "files", "count",
		(json_int_t)status->files.n_files, "bytes",
		(json_int_t)status->files.n_bytes, "sources", "count",
		(json_int_t)status->sources.n_files, "bytes",
		(json_int_t)status->sources.n_bytes);

	return cli_print_json(json, err);
}

static void print_usage(const char *what, const struct usage *usage)
{
	char size[32];

	(void)printf("%-9s %llu, %s on disk\n", what, (unsigned long long)usage->n_files,
		     text_size(usage->n_bytes, size, sizeof(size)));
}

static int run_status(struct cli *cli, int argc, char **argv, struct cop_error *err)
{
	struct status status = {};
	struct cop_store *store;
	int r;

	(void)argc;
	(void)argv;
	r = cli_store(cli, &store, err);
	if (r == 0)
		r = collect_status(store, &status, err);
	if (r < 0)
		return r;
	if (cli->json)
		return print_status_json(store, &status, err);
	(void)printf("store:    %s\nview:     %s\n", cop_store_path(store),
		     view_describe(store));
	(void)printf("refs:     %llu names, %llu stages, %llu failed\n",
		     (unsigned long long)status.n_refs[REF_NAME],
		     (unsigned long long)status.n_refs[REF_STAGE],
		     (unsigned long long)status.n_refs[REF_FAILED]);
	print_usage("objects:", &status.objects);
	print_usage("files:", &status.files);
	print_usage("sources:", &status.sources);
	return 0;
}

const struct verb verb_status = {
	.name = "status",
	.arguments = "",
	.help = "What the store holds, and which view is in use",
	.min_args = 0,
	.max_args = 0,
	.run = run_status,
};
