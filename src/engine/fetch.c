/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The only step with a network: what the stages to run refer to and STORE/sources lacks
 * is fetched by the source modules, all at the same time.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/run.h"
#include "engine/service.h"
#include "store/store.h"
#include "json/json.h"

/* Where modules put what is one file by its checksum. */
#define FILES "org.osbuild.files"

struct fetch {
	struct run *run;
	int files_fd;	 /* STORE/sources/org.osbuild.files, or -EBADF */
	json_t **wanted; /* per source of the manifest: {item: what it says} */
	struct service **services;
	const struct manifest_source **asked; /* of each service */
	size_t n_services;
	bool hurry;
};

static void fetch_done(struct fetch *fetch)
{
	for (size_t i = 0; i < fetch->n_services; i++)
		(void)service_stop(fetch->services[i], fetch->hurry);
	if (fetch->wanted)
		for (size_t i = 0; i < fetch->run->manifest->n_sources; i++)
			json_decref(fetch->wanted[i]);
	free(fetch->wanted);
	free(fetch->services);
	free(fetch->asked);
	closep(&fetch->files_fd);
}

static bool is_here(const struct fetch *fetch, const char *reference)
{
	struct stat st;

	if (fetch->files_fd < 0 || strchr(reference, '/') || *reference == '.')
		return false;
	return fstatat(fetch->files_fd, reference, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISREG(st.st_mode);
}

/* The first source that has the item is the one that is asked. */
static int want(struct fetch *fetch, const char *reference, struct cop_error *err)
{
	const struct manifest *manifest = fetch->run->manifest;

	int r = workdir_register_source(fetch->run->workdir, reference, err);

	if (r < 0)
		return r;
	/* Its time says when it was used last. */
	if (is_here(fetch, reference)) {
		(void)utimensat(fetch->files_fd, reference, NULL, AT_SYMLINK_NOFOLLOW);
		return 0;
	}
	for (size_t i = 0; i < manifest->n_sources; i++) {
		json_t *item = json_object_get(manifest->sources[i].items, reference);

		if (!item)
			continue;
		return json_object_set(fetch->wanted[i], reference, item) < 0
			       ? err_oom(err)
			       : 0;
	}
	return 0;
}

static int want_inputs(struct fetch *fetch, const struct manifest_stage *stage,
		       struct cop_error *err)
{
	const char *reference;
	json_t *options;

	for (size_t i = 0; i < stage->n_inputs; i++) {
		if (strcmp(stage->inputs[i].origin, "org.osbuild.source") != 0)
			continue;
		json_object_foreach (stage->inputs[i].references, reference, options) {
			int r = want(fetch, reference, err);

			if (r < 0)
				return r;
		}
	}
	return 0;
}

/* Everything, whoever needs it, unless all that was asked for is there. */
static int want_all(struct fetch *fetch, struct cop_error *err)
{
	const struct run *run = fetch->run;
	const char *reference;
	json_t *item;

	if (run->options->exports && *run->options->exports && run->n_to_run == 0)
		return 0;
	for (size_t i = 0; i < run->manifest->n_sources; i++)
		json_object_foreach (run->manifest->sources[i].items, reference, item) {
			int r = want(fetch, reference, err);

			if (r < 0)
				return r;
		}
	return 0;
}

static int collect(struct fetch *fetch, struct cop_error *err)
{
	const struct run *run = fetch->run;

	for (size_t i = 0; i < run->manifest->n_sources; i++) {
		fetch->wanted[i] = json_object();
		if (!fetch->wanted[i])
			return err_oom(err);
	}
	if (run->options->as_osbuild)
		return want_all(fetch, err);
	for (size_t i = 0; i < run->manifest->n_pipelines; i++) {
		const struct run_pipeline *pipeline = &run->pipelines[i];

		if (!pipeline->is_needed)
			continue;
		for (size_t j = pipeline->first; j < pipeline->pipeline->n_stages; j++) {
			int r = want_inputs(fetch, &pipeline->pipeline->stages[j], err);

			if (r < 0)
				return r;
		}
	}
	return 0;
}

static void take_line(void *data, const char *id, const char *line)
{
	const struct run *run = data;

	if (run->monitor->service_line)
		run->monitor->service_line(run->monitor->data, id, strchr(id, '/') + 1,
					   line);
	else
		run_note(run, "%s: %s", id, line);
}

/* {"progress": {"what", "done", "total", "unit"}}; anything else is somebody else's. */
static void take_signal(void *data, const char *id, const json_t *value)
{
	const struct run *run = data;
	const struct cop_progress *progress = run->monitor->progress;
	const json_t *json = json_object_get(value, "progress");
	const char *what = json_string_value(json_object_get(json, "what"));
	const char *unit = json_string_value(json_object_get(json, "unit"));
	json_int_t done = json_integer_value(json_object_get(json, "done"));
	json_int_t total = json_integer_value(json_object_get(json, "total"));

	(void)id;
	if (progress && progress->update && what && unit && done >= 0 && total >= 0)
		progress->update(progress->data, what, (uint64_t)done, (uint64_t)total,
				 unit);
}

static int ask(struct fetch *fetch, size_t i, const struct service_listener *listener,
	       struct cop_error *err)
{
	const struct manifest_source *source = &fetch->run->manifest->sources[i];
	auto_json *arguments = json_pack(
		"{s:O, s:o, s:s, s:n, s:[]}", "items", fetch->wanted[i], "options",
		source->options ? json_incref(source->options) : json_object(), "cache",
		store_sources_path(fetch->run->store), "output", "checksums");
	auto_free char *id = NULL;
	struct service *service;
	int r;

	if (!arguments || asprintf(&id, "source/%s", source->type) < 0) {
		id = NULL;
		return err_oom(err);
	}
	r = service_start(source->module->path, id, source->module->libdir, listener,
			  &service, err);
	if (r < 0)
		return r;
	fetch->services[fetch->n_services] = service;
	fetch->asked[fetch->n_services++] = source;
	return service_request(service, "download", arguments, err);
}

/* A message, or an exception in the shape that osbuild gives it. */
static const char *error_text(const json_t *error)
{
	const json_t *value = json_object_get(error, "value");

	if (json_is_string(error))
		return json_string_value(error);
	if (!value)
		value = json_object_get(json_object_get(error, "data"), "value");
	return json_string_value(value);
}

static int judge(const struct manifest_source *source, const json_t *reply,
		 struct cop_error *err)
{
	const json_t *results = json_object_get(reply, "results"), *result;
	size_t i, n_failed = 0;
	const char *first = NULL;
	char more[48] = "";

	if (json_is_true(json_object_get(reply, "success")))
		return 0;
	json_array_foreach (results, i, result) {
		if (json_is_true(json_object_get(result, "success")))
			continue;
		n_failed++;
		if (!first)
			first = error_text(json_object_get(result, "error"));
	}
	if (!first)
		first = json_string_value(json_object_get(reply, "output"));
	if (n_failed > 1)
		(void)snprintf(more, sizeof(more), " (and %zu more)", n_failed - 1);
	return err_set(err, -EREMOTEIO, "source %s: %.800s%s", source->type,
		       first ? first : "failed without a message", more);
}

/* As if the module had said so. */
static int add_present(const struct fetch *fetch, size_t source, json_t *results,
		       struct cop_error *err)
{
	const char *reference;
	json_t *item;

	json_object_foreach (fetch->run->manifest->sources[source].items, reference, item)
		if (is_here(fetch, reference) &&
		    !json_object_get(fetch->wanted[source], reference) &&
		    json_array_append_new(results,
					  json_pack("{s:b, s:{s:s, s:b}, s:s}", "success",
						    1, "metadata", "checksum", reference,
						    "cached", 1, "error", "")) < 0)
			return err_oom(err);
	return 0;
}

/* What was here already comes first. */
static int add_results(const struct fetch *fetch, size_t source, const json_t *reply,
		       json_t *results, struct cop_error *err)
{
	int r = fetch->run->monitor->wants_present
			? add_present(fetch, source, results, err)
			: 0;

	if (r < 0)
		return r;
	if (reply && json_is_array(json_object_get(reply, "results")) &&
	    json_array_extend(results, json_object_get(reply, "results")) < 0)
		return err_oom(err);
	return 0;
}

/* As osbuild's monitors show a source. */
static int tell_source(const struct fetch *fetch, size_t source, const json_t *reply,
		       struct cop_error *err)
{
	const struct run *run = fetch->run;
	const struct manifest_source *manifest = &run->manifest->sources[source];
	json_t *results = json_array();
	const char *last = NULL;
	bool success = !reply || json_is_true(json_object_get(reply, "success"));
	auto_json *result = NULL;
	int r;

	if (!results)
		return err_oom(err);
	r = add_results(fetch, source, reply, results, err);
	if (!success && json_array_size(results) > 0)
		last = error_text(json_object_get(
			json_array_get(results, json_array_size(results) - 1), "error"));
	result = json_pack("{s:s+, s:s, s:b, s:s+++, s:o}", "name", "source ",
			   manifest->type, "source_type", manifest->type, "success",
			   success, "output", "source ", manifest->type,
			   success ? " finished successfully"
				   : " finished unsuccessfully: ",
			   last ? last : "", "results", results);
	if (r < 0 || !result)
		return r < 0 ? r : err_oom(err);
	if (run->monitor->source_end)
		run->monitor->source_end(run->monitor->data, manifest, result);
	return 0;
}

static struct service *service_of(const struct fetch *fetch,
				  const struct manifest_source *source)
{
	for (size_t i = 0; i < fetch->n_services; i++)
		if (fetch->asked[i] == source)
			return fetch->services[i];
	return NULL;
}

static void begin_source(const struct run *run, size_t source)
{
	if (source < run->manifest->n_sources && run->monitor->source_begin)
		run->monitor->source_begin(run->monitor->data,
					   &run->manifest->sources[source]);
}

/* All are told, those behind the first failure too. */
static int take_answers(const struct fetch *fetch, struct cop_error *err)
{
	const struct manifest *manifest = fetch->run->manifest;
	int failed = 0;

	for (size_t i = 0; i < manifest->n_sources; i++) {
		struct service *service = service_of(fetch, &manifest->sources[i]);
		auto_json *reply = NULL;
		int r = 0;

		if (service)
			r = service_reply(service, &reply, err);
		if (r == 0)
			r = tell_source(fetch, i, reply, err);
		if (r < 0)
			return r;
		begin_source(fetch->run, i + 1);
		if (reply && failed == 0)
			failed = judge(&manifest->sources[i], reply, err);
	}
	return failed;
}

static int fetch_all(struct fetch *fetch, struct cop_error *err)
{
	struct run *run = fetch->run;
	const struct service_listener listener = {
		.line = take_line, .signal = take_signal, .data = run};
	int r = collect(fetch, err);

	begin_source(run, 0);
	for (size_t i = 0; i < run->manifest->n_sources && r == 0; i++)
		if (json_object_size(fetch->wanted[i]) > 0)
			r = ask(fetch, i, &listener, err);
	if (r == 0 && fetch->n_services > 0)
		r = services_wait(fetch->services, fetch->n_services, NULL,
				  run->options->cancel_fd, err);
	fetch->hurry = r < 0;
	return r < 0 ? r : take_answers(fetch, err);
}

int run_fetch(struct run *run, struct cop_error *err)
{
	cleanup_with(fetch_done) struct fetch fetch = {.run = run, .files_fd = -EBADF};
	auto_close int sources =
		open(store_sources_path(run->store), O_PATH | O_DIRECTORY | O_CLOEXEC);
	size_t n = run->manifest->n_sources + 1;
	int r;

	if (sources >= 0)
		fetch.files_fd = openat(sources, FILES, O_PATH | O_DIRECTORY | O_CLOEXEC);
	fetch.wanted = calloc(n, sizeof(*fetch.wanted));
	fetch.services = calloc(n, sizeof(struct service *));
	fetch.asked = calloc(n, sizeof(*fetch.asked));
	if (!fetch.wanted || !fetch.services || !fetch.asked)
		return err_oom(err);
	r = fetch_all(&fetch, err);
	return r < 0 ? err_prefix(err, r, "fetch sources") : 0;
}
