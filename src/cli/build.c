/* SPDX-License-Identifier: Apache-2.0 */
/* Verbs that build: build, inspect, manifest, lock. */
#include <fcntl.h>
#include <string.h>

#include "base/fs.h"
#include "base/text.h"
#include "cli/build.h"
#include "cli/progress.h"
#include "cli/secrets.h"
#include "cli/share.h"
#include "engine/engine.h"
#include "recipe/recipe.h"
#include "store/store.h"
#include "json/json.h"

/* For every verb that makes a manifest of a recipe. */
#define HOST_TOOLS                                                                  \
	{                                                                           \
		"host-tools", 0, NULL,                                              \
			"make images with this machine's programs, not with those " \
			"that the lock names",                                      \
			false                                                       \
	}

static bool is_recipe(const char *path)
{
	return text_ends_with(path, ".yaml") || text_ends_with(path, ".yml");
}

static void note(void *data, const char *text)
{
	cli_say(data, "%s", text);
}

static void print_change(void *data, const char *text)
{
	(void)data;
	(void)printf("%s\n", text);
}

static void say_change(void *data, const char *text)
{
	cli_say(data, "%s", text);
}

/* Returns the lock that is there, or none. */
static int load_lock(const char *path, struct lock **ret_lock, struct cop_error *err)
{
	if (access(path, F_OK) < 0 && errno == ENOENT)
		return 0;
	return cli_invalid(lock_load(path, ret_lock, err));
}

/* Where downloads are; what is in there is not collected while we run. */
static int use_sources(struct cli *cli, const char **ret_path, struct cop_error *err)
{
	struct workdir *workdir;
	struct cop_store *store;
	int r = cli_store(cli, &store, err);

	if (r == 0)
		r = cli_workdir(cli, &workdir, err);
	/* What is fetched is read once more before anybody asks for it by name. */
	if (r == 0)
		r = workdir_register_source(workdir, NULL, err);
	if (r == 0)
		*ret_path = store_sources_path(store);
	return r;
}

/*
 * Solve and save.  *@lock is what there was before (or NULL), and afterwards what holds.
 * Return: 1 when nothing had to be done.
 */
static int solve(struct cli *cli, const struct recipe *recipe, const char *path,
		 struct lock_options *options, struct lock **lock,
		 void (*changes)(void *data, const char *text), struct cop_error *err)
{
	auto_ptr(lock) solved = NULL;
	int r = use_sources(cli, &options->sources_dir, err);

	if (r < 0)
		return r;
	options->progress = cli->progress;
	options->cancel_fd = cli->cancel_fd;
	options->note = note;
	options->data = cli;
	r = lock_solve(recipe, *lock, options, &solved, err);
	if (r != 0)
		return r;
	r = lock_save(solved, path, err);
	if (r == 0)
		r = lock_diff(*lock, solved, changes, cli, err);
	if (r < 0)
		return r;
	*lock = lock_free(*lock);
	*lock = TAKE_PTR(solved);
	return 0;
}

static int check(const struct recipe *recipe, const char *recipe_path,
		 const struct lock *lock, const char *path, const char *date,
		 struct cop_error *err)
{
	if (!lock)
		return err_set(err, -ENOENT, "there is no '%s'; run: coppice lock %s",
			       path, recipe_path);
	if (!lock_matches(lock, recipe))
		return err_set(err, -ESTALE,
			       "'%s' does not answer '%s'; run: coppice lock %s", path,
			       recipe_path, recipe_path);
	if (date && (!lock_snapshot(lock) || strcmp(lock_snapshot(lock), date) != 0))
		return err_set(err, -ESTALE,
			       "'%s' is not of %s; run: coppice lock --snapshot %s %s",
			       path, date, date, recipe_path);
	return lock_check_files(lock, recipe, err);
}

static int run_lock(struct cli *cli, int argc, char **argv, struct cop_error *err)
{
	struct lock_options options = {.update = cli->options[0] != NULL};
	auto_ptr(recipe) recipe = NULL;
	auto_ptr(lock) lock = NULL;
	auto_free char *path = lock_path(argv[0]);
	char date[LOCK_DATE_SIZE];
	int r;

	if (!path)
		return err_oom(err);
	if (argc > 1 && !options.update)
		return cli_usage_error(err,
				       "lock: packages are named only with --update");
	if (cli->options[1] && options.update)
		return cli_usage_error(err,
				       "lock: --check changes nothing, --update does");
	if (cli->options[2]) {
		r = lock_date(cli->options[2], date, err);
		if (r < 0)
			return cli_invalid(err_prefix(err, r, "lock: --snapshot"));
		options.snapshot = date;
	}
	options.update_packages = argc > 1 ? (const char *const *)(argv + 1) : NULL;
	r = cli_catch_signals(cli, err);
	if (r == 0)
		r = cli_invalid(recipe_load(argv[0], &recipe, err));
	if (r == 0)
		r = load_lock(path, &lock, err);
	if (r < 0)
		return r;
	if (cli->options[1])
		return check(recipe, argv[0], lock, path, options.snapshot, err);
	r = solve(cli, recipe, path, &options, &lock, print_change, err);
	return r < 0 ? r : 0;
}

const struct verb verb_lock = {
	.name = "lock",
	.arguments = "RECIPE [PACKAGE...]",
	.help = "Solve a recipe against the archive; writes RECIPE.lock",
	.details =
		"Keeps every version that still satisfies the request; an unchanged request "
		"touches\nneither file nor network.  Prints what changed.  A lock of a date stays "
		"of that date\nuntil it is updated.",
	.options = {{"update", 0, NULL,
		     "take new versions, of all packages or of those named", false},
		    {"check", 0, NULL, "only tell whether the lock answers the recipe",
		     false},
		    {"snapshot", 0, "DATE",
		     "solve against the archive as it was then, such as 2026-09-12",
		     false}},
	.min_args = 1,
	.max_args = -1,
	.run = run_lock,
};

static int bring_files(struct cli *cli, const struct recipe *recipe,
		       const struct lock *lock, struct cop_error *err)
{
	const char *sources_dir = NULL;
	int r = use_sources(cli, &sources_dir, err);

	return r < 0 ? r : lock_bring_files(lock, recipe, sources_dir, err);
}

/* The manifest of a recipe; solves first where @may_solve and there is no lock that fits.
 */
static int recipe_to_manifest(struct cli *cli, const char *recipe_path, bool may_solve,
			      bool host_tools, json_t **ret_json, struct cop_error *err)
{
	struct lock_options options = {};
	auto_ptr(recipe) recipe = NULL;
	auto_ptr(lock) lock = NULL;
	auto_free char *path = lock_path(recipe_path);
	int r;

	if (!path)
		return err_oom(err);
	r = cli_invalid(recipe_load(recipe_path, &recipe, err));
	if (r == 0)
		r = load_lock(path, &lock, err);
	if (r < 0)
		return r;
	if (!lock && !may_solve)
		return err_set(err, -ENOENT, "there is no '%s'; run: coppice lock %s",
			       path, recipe_path);
	if (!lock || (may_solve && !lock_matches(lock, recipe))) {
		cli_say(cli,
			lock ? "%s: the request changed, locking again"
			     : "%s: no lock yet, locking",
			recipe_path);
		r = solve(cli, recipe, path, &options, &lock, say_change, err);
		if (r < 0)
			return r;
	}
	if (host_tools)
		cli_say(cli, "--host-tools: images are made by this machine's programs; "
			     "elsewhere they may differ");
	r = recipe_manifest(recipe, lock, host_tools, ret_json, err);
	/* Nobody who reads a manifest knows where the recipe was. */
	if (r == 0 && may_solve && lock_has_files(lock))
		r = bring_files(cli, recipe, lock, err);
	return r;
}

static int run_manifest(struct cli *cli, int argc, char **argv, struct cop_error *err)
{
	auto_json *json = NULL;
	int r;

	(void)argc;
	r = recipe_to_manifest(cli, argv[0], false, cli->options[0] != NULL, &json, err);
	return r < 0 ? r : cli_print_json(json, err);
}

const struct verb verb_manifest = {
	.name = "manifest",
	.arguments = "RECIPE",
	.help = "Print the osbuild manifest of a recipe and its lock",
	.options = {HOST_TOOLS},
	.min_args = 1,
	.max_args = 1,
	.run = run_manifest,
};

int build_load_manifest(struct cli *cli, const char *path, bool may_solve,
			bool host_tools, const struct engine_places *places,
			struct manifest **ret_manifest, struct cop_error *err)
{
	auto_json *json = NULL;
	auto_buf text = {};
	int r;

	if (is_recipe(path)) {
		r = recipe_to_manifest(cli, path, may_solve, host_tools, &json, err);
		if (r == 0)
			r = json_write(json, 0, &text, err);
	} else {
		r = cli_read_text(path, JSON_SIZE_MAX, &text, err);
	}
	if (r < 0)
		return r;
	r = cli_invalid(
		manifest_load(buf_text(&text), text.size, places, ret_manifest, err));
	return r < 0 ? err_prefix(err, r, "'%s'", path) : 0;
}

void build_places_done(struct build_places *places)
{
	free(places->standard);
}

int build_find_places(struct build_places *places, const char *const *extra,
		      struct cop_error *err)
{
	size_t n = 0;
	int r;

	r = engine_default_libdir(&places->standard, err);
	if (r < 0)
		return r;
	for (; *extra; extra++) {
		if (n + 2 >= ARRAY_SIZE(places->libdirs))
			return cli_usage_error(err, "too many --libdir");
		places->libdirs[n++] = *extra;
	}
	places->libdirs[n++] = places->standard;
	places->libdirs[n] = NULL;
	places->places.libdirs = places->libdirs;
	return 0;
}

static int run_inspect(struct cli *cli, int argc, char **argv, struct cop_error *err)
{
	cleanup_with(build_places_done) struct build_places places = {};
	auto_ptr(manifest) manifest = NULL;
	auto_json *json = NULL;
	int r;

	(void)argc;
	r = build_find_places(&places, cli->lists[0], err);
	if (r == 0)
		r = build_load_manifest(cli, argv[0], false, cli->options[1] != NULL,
					&places.places, &manifest, err);
	if (r == 0)
		r = manifest_inspect(manifest, &json, err);
	return r < 0 ? r : cli_print_json(json, err);
}

const struct verb verb_inspect = {
	.name = "inspect",
	.arguments = "RECIPE|MANIFEST",
	.help = "Print a manifest with the ids of its stages, as JSON",
	.options = {{"libdir", 0, "DIR", "look for modules there first", true},
		    HOST_TOOLS},
	.min_args = 1,
	.max_args = 1,
	.run = run_inspect,
};

struct build_display {
	struct cli *cli;
	struct buf line; /* the last, unfinished line of a stage's output */
	char prefix[160];
};

static void show_begin(void *data, const struct engine_stage_report *stage)
{
	struct build_display *display = data;

	(void)snprintf(display->prefix, sizeof(display->prefix), "[%u/%u] %s",
		       stage->number, stage->total, stage->type);
	buf_truncate(&display->line, 0);
	if (display->cli->verbose)
		cli_say(display->cli, "%s ...", display->prefix);
	else if (!display->cli->quiet)
		terminal_live_line(display->prefix);
}

static void show_live(struct build_display *display)
{
	auto_buf text = {};

	(void)buf_append_text(&text, display->prefix);
	(void)buf_append_text(&text, ": ");
	for (const char *c = buf_text(&display->line); *c; c++)
		(void)buf_append_char(&text, (unsigned char)*c < 0x20 ? ' ' : *c);
	terminal_live_line(buf_text(&text));
}

static void show_output(void *data, const char *bytes, size_t size)
{
	struct build_display *display = data;

	if (display->cli->quiet)
		return;
	if (display->cli->verbose) {
		terminal_progress_clear();
		(void)fwrite(bytes, 1, size, stderr);
		return;
	}
	for (size_t i = 0; i < size; i++) {
		if (bytes[i] != '\n') {
			(void)buf_append_char(&display->line, bytes[i]);
			continue;
		}
		if (display->line.size > 0)
			show_live(display);
		buf_truncate(&display->line, 0);
	}
}

static void show_end(void *data, const struct engine_stage_report *stage)
{
	static const char *const states[] = {"ran", "cached", "FAILED"};
	struct build_display *display = data;
	char kept[96] = "", size[32];

	if (stage->kept)
		(void)snprintf(kept, sizeof(kept), ", kept %s in %.1f s",
			       text_size(stage->new_bytes, size, sizeof(size)),
			       stage->commit_seconds);
	else if (stage->state == ENGINE_STAGE_RAN)
		(void)snprintf(kept, sizeof(kept), ", not kept");
	if (stage->state == ENGINE_STAGE_CACHED)
		cli_say(display->cli, "[%u/%u] %-24s %.12s  cached", stage->number,
			stage->total, stage->type, stage->id);
	else
		cli_say(display->cli, "[%u/%u] %-24s %.12s  %s %.1f s%s%s%s%s",
			stage->number, stage->total, stage->type, stage->id,
			states[stage->state], stage->seconds, kept,
			stage->why ? " (" : "", stage->why ? stage->why : "",
			stage->why ? ")" : "");
}

static void show_pipeline(void *data, const char *name, const char *id)
{
	struct build_display *display = data;

	if (id)
		cli_say(display->cli, "pipeline %s (%.12s)", name, id);
	else
		cli_say(display->cli, "pipeline %s", name);
}

static void show_note(void *data, const char *text)
{
	cli_say(((struct build_display *)data)->cli, "%s", text);
}

static void print_result(const json_t *result)
{
	json_t *pipelines = json_object_get(result, "pipelines"), *pipeline;
	size_t i;

	json_array_foreach (pipelines, i, pipeline) {
		const char *id = json_string_value(json_object_get(pipeline, "id"));
		const char *digest =
			json_string_value(json_object_get(pipeline, "digest"));

		(void)printf("%s\t%s\t%s\n",
			     json_string_value(json_object_get(pipeline, "name")),
			     id ? id : "-", digest ? digest : "-");
	}
}

/* What to type to run the same again; exports are left to the person. */
static char *retry_command(const struct cli *cli, const char *path)
{
	auto_buf text = {};

	(void)buf_append_text(&text, "coppice ");
	if (cli->store_path)
		(void)buf_printf(&text, "--store %s ", cli->store_path);
	(void)buf_printf(&text, "build %s", path);
	return buf_take(&text);
}

static int build(struct cli *cli, const char *path, struct manifest *manifest,
		 const struct engine_places *places, struct cop_error *err)
{
	struct build_display display = {.cli = cli};
	auto_free char *retry = retry_command(cli, path);
	struct engine_options options = {
		.exports = cli->lists[0][0] ? cli->lists[0] : NULL,
		.output_directory = cli->options[1],
		.checkpoints = cli->lists[2][0] ? cli->lists[2] : NULL,
		.cancel_fd = cli->cancel_fd,
		.retry_command = retry,
		.require_sandbox = cli->options[4] != NULL,
		.allow_weak_sandbox = cli->options[7] != NULL,
		.monitor = {.pipeline = show_pipeline,
			    .stage_begin = show_begin,
			    .stage_output = show_output,
			    .stage_end = show_end,
			    .note = show_note,
			    .progress = cli->progress,
			    .data = &display},
	};
	cleanup_with(secrets_done) struct secrets secrets = {};
	auto_ptr(share) share = NULL;
	struct engine_share others;
	auto_json *result = NULL;
	struct cop_store *store;
	int r = secrets_read(manifest, cli->lists[8], true, &secrets, err);

	options.secrets = secrets.all;
	options.n_secrets = secrets.n;
	if (r == 0)
		r = cli_store(cli, &store, err);
	if (r == 0 && cli->options[6]) {
		r = share_new(store, cli->options[6], &options.monitor, cli->cancel_fd,
			      &share, &others, err);
		options.share = &others;
	}
	if (r == 0)
		r = engine_build(store, manifest, places, &options, &result, err);
	buf_done(&display.line);
	if (r == 0)
		r = cli_keep_cap(cli, err);
	if (r < 0)
		return r;
	if (cli->json)
		return cli_print_json(result, err);
	print_result(result);
	return 0;
}

static int run_build(struct cli *cli, int argc, char **argv, struct cop_error *err)
{
	cleanup_with(build_places_done) struct build_places places = {};
	auto_ptr(manifest) manifest = NULL;
	int r;

	(void)argc;
	if (cli->options[0] && !cli->options[1])
		return cli_usage_error(err, "build: --export needs --output-directory");
	r = cli_private_mounts(err);
	if (r == 0)
		r = cli_catch_signals(cli, err);
	if (r == 0)
		r = build_find_places(&places, cli->lists[3], err);
	if (r == 0)
		r = build_load_manifest(cli, argv[0], true, cli->options[5] != NULL,
					&places.places, &manifest, err);
	return r < 0 ? r : build(cli, argv[0], manifest, &places.places, err);
}

const struct verb verb_build = {
	.name = "build",
	.arguments = "RECIPE|MANIFEST",
	.help = "Build, keep checkpoints, export",
	.details =
		"A recipe (.yaml) becomes its manifest first; without a lock it is locked, which "
		"is said.\nPrints pipeline, id and digest.  A plain user builds in a user "
		"namespace with his\nsubordinate ids; see subuid(5).",
	.options =
		{{"export", 0, "PIPELINE", "write its tree to DIR/PIPELINE", true},
		 {"output-directory", 0, "DIR", "where exports go", false},
		 {"checkpoint", 0, "WHAT",
		  "auto (the default), all, none, or a glob for pipelines, stage ids and types",
		  true},
		 {"libdir", 0, "DIR", "look for modules there first", true},
		 {"require-sandbox", 0, NULL,
		  "fail where a stage cannot be isolated fully, instead of saying so",
		  false},
		 HOST_TOOLS,
		 {"remote", 0, "NAME",
		  "look there for checkpoints before running a stage, and send them there",
		  false},
		 {"allow-weak-sandbox", 0, NULL,
		  "run stages without what cannot be isolated on this machine", false},
		 SECRET_OPTION},
	.min_args = 1,
	.max_args = 1,
	.runs_stages = true,
	.run = run_build,
};
