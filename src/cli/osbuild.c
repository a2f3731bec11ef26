/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command osbuild: the same options, output and exit statuses, so that programs that
 * drive osbuild need not know the difference.  Where osbuild ends with a traceback, this
 * says one line on standard error.
 */
#include "cli/osbuild.h"

#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "store/gc.h"
#include "store/ref.h"
#include "store/settings.h"
#include "store/store.h"
#include "json/json.h"
#include "json/repr.h"

/* In the settings of a store: no checkpoints, whatever is asked for. */
#define KEEP_NOTHING "keep-nothing"

struct osbuild {
	struct cli *cli;
	struct osbuild_arguments arguments;
	char *native; /* libdir of our own modules */
	const char **libdirs;
	struct engine_places places;
	struct manifest *manifest;
	struct osbuild_record record;
	json_t *marked; /* ids of stages to keep, as keys */
};

static void osbuild_done(struct osbuild *osbuild)
{
	osbuild_arguments_done(&osbuild->arguments);
	free(osbuild->native);
	free(osbuild->libdirs);
	(void)manifest_free(osbuild->manifest);
	json_decref(osbuild->record.sources);
	json_decref(osbuild->record.pipelines);
	json_decref(osbuild->record.failed);
	json_decref(osbuild->marked);
}

static const char *style(const char *sequence)
{
	return isatty(STDOUT_FILENO) ? sequence : "";
}

/* As osbuild ends when it knows what is wrong: 1 with words on standard output. */
static int say_failed(struct osbuild *osbuild)
{
	(void)printf("%s%s%sFailed%s\n", style("\033[0m"), style("\033[1m"),
		     style("\033[31m"), style("\033[0m"));
	osbuild->cli->exit_status = 1;
	return 0;
}

static int print_json(const json_t *json, struct cop_error *err)
{
	auto_buf text = {};
	int r = json_write(json, 0, &text, err);

	if (r == 0)
		(void)printf("%s\n", buf_text(&text));
	return r;
}

static int find_places(struct osbuild *osbuild, struct cop_error *err)
{
	const struct osbuild_arguments *arguments = &osbuild->arguments;
	static const char *const standard[] = {OSBUILD_LIBDIR, NULL};
	const char *const *named = arguments->libdirs ? arguments->libdirs : standard;
	size_t n = 0;
	int r = engine_default_libdir(&osbuild->native, err);

	if (r < 0)
		return r;
	while (named[n])
		n++;
	osbuild->libdirs = calloc(n + 2, sizeof(*osbuild->libdirs));
	if (!osbuild->libdirs)
		return err_oom(err);
	n = 0;
	if (arguments->native == OSBUILD_NATIVE_FIRST)
		osbuild->libdirs[n++] = osbuild->native;
	for (; *named; named++)
		osbuild->libdirs[n++] = *named;
	if (arguments->native == OSBUILD_NATIVE_LAST)
		osbuild->libdirs[n++] = osbuild->native;
	osbuild->places.libdirs = osbuild->libdirs;
	return 0;
}

static int show_invalid(const struct osbuild *osbuild, const struct schema_errors *errors,
			struct cop_error *err)
{
	const struct osbuild_arguments *arguments = &osbuild->arguments;
	bool is_stdin = strcmp(arguments->manifest, "-") == 0;
	auto_json *json = NULL;
	int r;

	osbuild->cli->exit_status = 2;
	if (arguments->json || arguments->inspect) {
		r = manifest_validation_result(errors, &json, err);
		return r < 0 ? r : print_json(json, err);
	}
	(void)printf("%s%s%s has %s%serrors%s:\n\n", style("\033[1m"),
		     is_stdin ? "<stdin>" : arguments->manifest, style("\033[0m"),
		     style("\033[1m"), style("\033[31m"), style("\033[0m"));
	for (size_t i = 0; i < errors->n_items; i++)
		(void)printf("%s%s%s:\n  %s\n\n", style("\033[1m"), errors->items[i].id,
			     style("\033[0m"), errors->items[i].message);
	return 0;
}

/* Return: 1 when what is wrong has been said. */
static int load(struct osbuild *osbuild, struct cop_error *err)
{
	auto_schema_errors errors = {};
	auto_buf text = {};
	int r = cli_read_text(osbuild->arguments.manifest, JSON_SIZE_MAX, &text, err);

	if (r == 0)
		r = find_places(osbuild, err);
	if (r < 0)
		return r;
	r = manifest_read(buf_text(&text), text.size, &osbuild->places, &errors,
			  &osbuild->manifest, err);
	if (r == MANIFEST_UNKNOWN_VERSION) {
		(void)printf("Unsupported manifest format\n");
		osbuild->cli->exit_status = 2;
		return 1;
	}
	if (r != MANIFEST_INVALID)
		return r;
	r = show_invalid(osbuild, &errors, err);
	return r < 0 ? r : 1;
}

static bool has_pipeline(const struct manifest *manifest, const char *name)
{
	return manifest_find_name(manifest, name) || manifest_find_id(manifest, name);
}

/* A list of strings as Python prints it. */
static int print_available(const struct manifest *manifest, struct cop_error *err)
{
	auto_json *names = json_array();
	auto_buf text = {};
	int r;

	for (size_t i = 0; i < manifest->n_pipelines; i++)
		(void)json_array_append_new(names,
					    json_string(manifest->pipelines[i].name));
	r = json_repr(names, JSON_SIZE_MAX, &text, err);
	if (r == 0)
		(void)printf("%s", buf_text(&text));
	return r;
}

/* Return: 1 when an export is unknown, which has been said. */
static int check_exports(struct osbuild *osbuild, struct cop_error *err)
{
	bool unknown = false;

	for (const char **name = osbuild->arguments.exports; name && *name; name++) {
		int r;

		if (has_pipeline(osbuild->manifest, *name))
			continue;
		unknown = true;
		(void)printf("Export %s%s%s not found in ", style("\033[1m"), *name,
			     style("\033[0m"));
		r = print_available(osbuild->manifest, err);
		if (r < 0)
			return r;
		(void)printf("\n");
	}
	return unknown ? 1 : 0;
}

/* Return: 1 when something is wrong with what was asked for, and has been said. */
static int check_requests(struct osbuild *osbuild, struct cop_error *err)
{
	static const char *const none[] = {NULL};
	const char *const *globs = osbuild->arguments.checkpoints;
	int r = check_exports(osbuild, err);

	if (r == 0)
		r = manifest_match_stages(osbuild->manifest, globs ? globs : none,
					  &osbuild->marked, err);
	if (r == 0 && globs && json_object_size(osbuild->marked) == 0) {
		(void)printf("No checkpoints matched provided patterns!\n");
		r = 1;
	}
	if (r > 0)
		(void)say_failed(osbuild);
	return r;
}

static int inspect(const struct osbuild *osbuild, struct cop_error *err)
{
	auto_json *json = NULL;
	int r = manifest_inspect(osbuild->manifest, &json, err);

	return r < 0 ? r : print_json(json, err);
}

/* mkdir -p, with whatever symlinks are on the way. */
static int make_directories(const char *path, struct cop_error *err)
{
	auto_free char *part = strdup(path);

	if (!part)
		return err_oom(err);
	for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		(void)mkdir(part, 0777);
		*slash = '/';
	}
	if (mkdir(path, 0777) < 0 && errno != EEXIST)
		return err_errno(err, "make directory '%s'", path);
	return 0;
}

static int open_store(struct osbuild *osbuild, struct cop_store **ret_store,
		      struct cop_error *err)
{
	int r = make_directories(osbuild->arguments.store, err);

	osbuild->cli->store_path = osbuild->arguments.store;
	return r < 0 ? r : cli_store(osbuild->cli, ret_store, err);
}

/* As osbuild, the store remembers what was said once. */
static int change_limit(void *data, json_t *settings, struct cop_error *err)
{
	const struct osbuild_arguments *arguments = data;

	if (arguments->cache_size > 0) {
		(void)json_object_del(settings, KEEP_NOTHING);
		return 0;
	}
	return json_object_set_new(settings, KEEP_NOTHING, json_true()) < 0 ? err_oom(err)
									    : 0;
}

static int apply_limit(struct osbuild *osbuild, struct cop_store *store,
		       bool *ret_keep_nothing, struct cop_error *err)
{
	struct osbuild_arguments *arguments = &osbuild->arguments;
	uint64_t size = arguments->cache_size;
	auto_json *settings = NULL;
	int r = settings_read(store, &settings, err);

	if (r < 0)
		return r;
	*ret_keep_nothing = json_is_true(json_object_get(settings, KEEP_NOTHING));
	if (!arguments->has_cache_size)
		return 0;
	if (*ret_keep_nothing != (size == 0))
		r = settings_change(store, change_limit, arguments, err);
	*ret_keep_nothing = size == 0;
	if (size == UINT64_MAX)
		size = 0;
	if (r == 0 && settings_max_size(settings) != size)
		r = settings_set_max_size(store, size, err);
	return r;
}

static int make_monitor(struct osbuild *osbuild, struct osbuild_monitor **ret_monitor,
			struct cop_error *err)
{
	const struct osbuild_arguments *arguments = &osbuild->arguments;
	const char *name = arguments->monitor;

	if (!name)
		name = arguments->json || arguments->quiet ? "NullMonitor" : "LogMonitor";
	osbuild->record.sources = json_object();
	osbuild->record.pipelines = json_object();
	/* What it writes itself goes behind what we wrote. */
	(void)fflush(stdout);
	*ret_monitor = osbuild_monitor_new(name, arguments->monitor_fd,
					   arguments->manifest, &osbuild->record);
	if (*ret_monitor)
		return 0;
	return err_set(err, -ENOENT,
		       "there is no monitor '%s': NullMonitor, LogMonitor and "
		       "JSONSeqMonitor are there",
		       name);
}

static void say_note(void *data, const char *line)
{
	(void)data;
	(void)fprintf(stderr, "coppice: %s\n", line);
}

/* The ids that were marked, as a list of globs that match nothing else, and that an
 * assembler's output is not kept unless it is among them. */
static const char **list_checkpoints(const struct osbuild *osbuild)
{
	const char **list = calloc(json_object_size(osbuild->marked) + 2, sizeof(*list));
	const char *id;
	json_t *value;
	size_t n = 0;

	if (!list)
		return NULL;
	json_object_foreach (osbuild->marked, id, value)
		list[n++] = id;
	list[n] = "none";
	return list;
}

/* Is a checkpoint of this id in the store? */
static bool is_kept(struct cop_store *store, const char *id)
{
	struct cop_digest digest;
	char hex[COP_DIGEST_HEX + 1];

	return ref_get(store, REF_STAGE, id, &digest, NULL) == 0 &&
	       cop_store_contains(store, cop_digest_to_hex(&digest, hex), NULL) > 0;
}

static void print_summary(const struct osbuild *osbuild, struct cop_store *store)
{
	const struct manifest *manifest = osbuild->manifest;
	const char *id;
	json_t *value;

	(void)printf("\nPipelines\n");
	for (size_t i = 0; i < manifest->n_pipelines; i++) {
		const struct manifest_pipeline *pipeline = &manifest->pipelines[i];
		const char *last = manifest_pipeline_last(pipeline);
		int width = (int)(9 - strlen(pipeline->name));

		(void)printf("  %s:%*s\t%s\n", pipeline->name, width > 0 ? width : 0, "",
			     last ? last : "None");
	}
	(void)printf("\nCheckpoints\n");
	json_object_foreach (osbuild->marked, id, value) {
		if (is_kept(store, id))
			(void)printf("  %s: cached\n", id);
		else
			(void)printf("  %s: %s%s%snot cached%s\n", id, style("\033[0m"),
				     style("\033[1m"), style("\033[31m"),
				     style("\033[0m"));
	}
}

static void log_end(const struct osbuild *osbuild, struct osbuild_monitor *monitor,
		    const char *how)
{
	auto_buf text = {};

	(void)buf_printf(&text, "manifest %s %s\n", osbuild->arguments.manifest, how);
	osbuild_monitor_log(monitor, buf_text(&text));
}

static int finish(struct osbuild *osbuild, struct cop_store *store, bool success,
		  const json_t *result, struct cop_error *err)
{
	auto_json *json = NULL;
	int r;

	osbuild->cli->exit_status = success ? 0 : 1;
	if (osbuild->arguments.json) {
		r = osbuild_result(osbuild->manifest, &osbuild->record, success,
				   json_object_get(result, "metadata"), &json, err);
		return r < 0 ? r : print_json(json, err);
	}
	if (osbuild->arguments.quiet)
		return 0;
	if (!success)
		return say_failed(osbuild);
	print_summary(osbuild, store);
	return 0;
}

/* A tree that was only exported is not kept.  Its files went through the store. */
static int tidy(const struct osbuild *osbuild, struct cop_store *store,
		struct cop_error *err)
{
	const struct gc_request request = {.keep_names = true};
	struct gc_result result;

	bool all_kept = true;
	int r = 0;

	for (const char **name = osbuild->arguments.exports; name && *name; name++) {
		const struct manifest_pipeline *pipeline =
			manifest_find_name(osbuild->manifest, *name);
		const char *id = pipeline ? manifest_pipeline_last(pipeline) : *name;

		all_kept = all_kept && id && is_kept(store, id);
	}
	if (!all_kept)
		r = store_gc(store, &request, &result, err);
	if (r < 0)
		return r;
	return cli_keep_cap(osbuild->cli, err);
}

static int run(struct osbuild *osbuild, struct cop_store *store,
	       struct osbuild_monitor *monitor, struct cop_error *err)
{
	const struct osbuild_arguments *arguments = &osbuild->arguments;
	const char *owner = getenv("OSBUILD_EXPORT_FORCE_NO_PRESERVE_OWNER");
	auto_free const char **checkpoints = list_checkpoints(osbuild);
	bool keep_nothing = false;
	struct engine_options options = {
		.exports = arguments->exports,
		.output_directory = arguments->output_directory,
		.checkpoints = checkpoints,
		.cancel_fd = osbuild->cli->cancel_fd,
		.stage_timeout = arguments->stage_timeout,
		.break_at = arguments->break_at,
		.as_osbuild = true,
		.export_as_caller = owner && strcmp(owner, "1") == 0,
	};
	auto_json *result = NULL;
	struct cop_error reason = {};
	bool failed;
	int r;

	if (!checkpoints)
		return err_oom(err);
	r = apply_limit(osbuild, store, &keep_nothing, err);
	if (r < 0)
		return r;
	options.keep_nothing = keep_nothing;
	osbuild_monitor_fill(monitor, &options.monitor);
	options.monitor.wants_present |= arguments->json;
	options.monitor.note = say_note;
	r = engine_build(store, osbuild->manifest, &osbuild->places, &options, &result,
			 &reason);
	/* These two are results; everything else is a failure of ours. */
	failed = (r == -ECHILD && osbuild->record.failed) ||
		 (r == -EREMOTEIO && osbuild->record.source_failed);
	if (r < 0 && !failed)
		return err_copy(err, &reason);
	log_end(osbuild, monitor, failed ? "failed" : "finished successfully");
	if (failed)
		(void)fprintf(stderr, "coppice: %s\n", reason.message);
	r = osbuild_monitor_failed(monitor);
	if (r < 0)
		return err_code(err, r, "write to the monitor's descriptor %d",
				arguments->monitor_fd);
	r = finish(osbuild, store, !failed, result, err);
	if (r == 0 && !failed)
		r = tidy(osbuild, store, err);
	return r;
}

static int build(struct osbuild *osbuild, struct cop_error *err)
{
	const struct osbuild_arguments *arguments = &osbuild->arguments;
	auto_ptr(osbuild_monitor) monitor = NULL;
	struct cop_store *store;
	int r;

	if (arguments->exports && !arguments->output_directory) {
		(void)printf("Need --output-directory for --export\n");
		osbuild->cli->exit_status = 1;
		return 0;
	}
	r = open_store(osbuild, &store, err);
	if (r == 0 && arguments->exports)
		r = make_directories(arguments->output_directory, err);
	if (r == 0)
		r = make_monitor(osbuild, &monitor, err);
	if (r < 0)
		return r;
	if (arguments->in_vm)
		say_note(osbuild, "--in-vm: built here, not in a virtual machine");
	return run(osbuild, store, monitor, err);
}

static int run_osbuild(struct cli *cli, int argc, char **argv, struct cop_error *err)
{
	cleanup_with(osbuild_done) struct osbuild osbuild = {.cli = cli};
	int r = osbuild_parse(argc, argv, &osbuild.arguments, err);

	if (r != 0)
		return r < 0 ? r : 0;
	r = cli_private_mounts(err);
	if (r == 0)
		r = cli_catch_signals(cli, err);
	if (r == 0)
		r = load(&osbuild, err);
	if (r == 0)
		r = check_requests(&osbuild, err);
	if (r != 0)
		return r < 0 ? r : 0;
	r = osbuild.arguments.inspect ? inspect(&osbuild, err) : build(&osbuild, err);
	if (r == -EINTR && !osbuild.arguments.json)
		(void)printf("\n%s%s%sAborted%s\n", style("\033[0m"), style("\033[1m"),
			     style("\033[31m"), style("\033[0m"));
	return r;
}

const struct verb verb_osbuild = {
	.name = "osbuild",
	.arguments = "[OPTION]... MANIFEST",
	.help = "Build a manifest as the command osbuild does",
	.details =
		"Takes osbuild's options and prints what osbuild prints; see osbuild --help "
		"and\ndocs/osbuild.md.  The program is this verb, too, when it is called by the "
		"name osbuild.",
	.max_args = -1,
	.takes_all = true,
	.runs_stages = true,
	.run = run_osbuild,
};
