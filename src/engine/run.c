/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole run.  One Object goes through all stages of a pipeline; the locks of the stages
 * since its last checkpoint are held until the next, so that whoever waits for one of
 * them finds a result instead of doing the same again.
 */
#include "engine/run.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/monotonic.h"
#include "base/text.h"

#include "engine/foreign.h"
#include "engine/owners.h"
#include "engine/plan.h"
#include "engine/sandbox.h"
#include "engine/secrets.h"
#include "store/gc.h"
#include "store/object.h"
#include "store/secret.h"
#include "store/store.h"
#include "json/json.h"

void run_note(const struct run *run, const char *format, ...)
{
	char line[COP_ERROR_MAX];
	va_list ap;

	if (!run->monitor->note)
		return;
	va_start(ap, format);
	(void)vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	run->monitor->note(run->monitor->data, line);
}

int run_check_cancel(const struct run *run, struct cop_error *err)
{
	struct pollfd fd = {.fd = run->options->cancel_fd, .events = POLLIN};

	if (fd.fd <= 0 || poll(&fd, 1, 0) <= 0)
		return 0;
	return err_set(err, -EINTR, "interrupted");
}

static const char *last_key(const struct run_pipeline *pipeline)
{
	size_t n = pipeline->pipeline->n_stages;

	return n ? pipeline->stages[n - 1].key : "";
}

struct run_pipeline *run_maker_of(const struct run *run,
				  const struct manifest_pipeline *pipeline)
{
	struct run_pipeline *asked = &run->pipelines[pipeline - run->manifest->pipelines];
	const char *id = manifest_pipeline_last(pipeline);

	for (struct run_pipeline *p = run->pipelines; id && p < asked; p++) {
		const char *other = manifest_pipeline_last(p->pipeline);

		if (other && strcmp(id, other) == 0 &&
		    strcmp(last_key(p), last_key(asked)) == 0)
			return p;
	}
	return asked;
}

struct run_pipeline *run_find_maker(const struct run *run,
				    const struct manifest_stage *stage, const char *id)
{
	const struct manifest *manifest = run->manifest;
	const struct manifest_pipeline *found = manifest_find_id(manifest, id);

	for (size_t i = 0; i < stage->n_inputs; i++) {
		const json_t *index = json_object_get(stage->inputs[i].makers, id);

		if (index)
			return run_maker_of(
				run, &manifest->pipelines[json_integer_value(index)]);
	}
	/* A build that was given by name is the very text of that pipeline's id. */
	for (size_t i = 0; i < manifest->n_pipelines; i++)
		if (stage->pipeline->build == id &&
		    manifest_pipeline_last(&manifest->pipelines[i]) == id)
			found = &manifest->pipelines[i];
	return found ? run_maker_of(run, found) : NULL;
}

static int make_object(struct run *run, struct run_pipeline *pipeline,
		       struct cop_error *err)
{
	char hex[COP_DIGEST_HEX + 1];
	bool fresh = cop_digest_is_null(&pipeline->start);
	int r = cop_object_new(run->store,
			       fresh ? NULL : cop_digest_to_hex(&pipeline->start, hex),
			       &pipeline->object, err);

	if (r == 0)
		object_set_progress(pipeline->object, run->monitor->progress);
	return r;
}

/* A reader keeps its Object alive as long as the run does: it belongs to the pipeline. */
int run_read_tree(struct run *run, const struct manifest_stage *stage, const char *id,
		  struct cop_reader **ret_reader, struct cop_error *err)
{
	struct run_pipeline *pipeline = run_find_maker(run, stage, id);
	int r = 0;

	if (!pipeline)
		return err_set(err, -ENOENT, "tree '%s' is not part of this run", id);
	if (!pipeline->object)
		r = make_object(run, pipeline, err);
	return r < 0 ? r : cop_object_read(pipeline->object, ret_reader, err);
}

/* The locks since the last checkpoint. */
struct flight {
	struct store_lock **locks;
	size_t n;
};

static void flight_land(struct flight *flight)
{
	while (flight->n > 0)
		(void)store_lock_drop(flight->locks[--flight->n]);
}

static void flight_done(struct flight *flight)
{
	flight_land(flight);
	free(flight->locks);
}

/* What a pipeline is at while it is built. */
struct build {
	struct run *run;
	struct run_pipeline *pipeline;
	struct flight flight;
	size_t n_saved; /* stages up to the last checkpoint, which is this: */
	struct cop_digest saved;
	double unsaved_seconds; /* of stages since the last checkpoint */
};

static void build_done(struct build *build)
{
	flight_done(&build->flight);
}

static void tell_waiting(void *data)
{
	run_note(data, "another process builds the same stage: waiting for it");
}

static int take_off(struct build *build, const struct manifest_stage *stage,
		    struct cop_error *err)
{
	struct flight *flight = &build->flight;
	struct store_lock **locks, *lock = NULL;
	int r;

	locks = reallocarray(flight->locks, flight->n + 1, sizeof(struct store_lock *));
	if (!locks)
		return err_oom(err);
	flight->locks = locks;
	r = store_lock_stage(build->run->store, stage->id, build->run->options->cancel_fd,
			     tell_waiting, build->run, &lock, err);
	if (r < 0)
		return r;
	locks[flight->n++] = lock;
	return 0;
}

/* Does it help somebody who builds the same if they wait?  Only what is kept does. */
static bool is_shared(const struct build *build, const struct manifest_stage *stage)
{
	return !build->run->options->keep_nothing &&
	       checkpoint_may_come(&build->run->policy, stage);
}

static void begin_report(const struct build *build, const struct manifest_stage *stage,
			 struct engine_stage_report *report)
{
	*report = (struct engine_stage_report){
		.pipeline = build->pipeline->pipeline->name,
		.type = stage->type,
		.id = stage->id,
		.stage = stage,
		.number = ++build->run->number,
		.total = build->run->total,
	};
}

static int end_report(const struct build *build, const struct engine_stage_report *report,
		      struct cop_error *err)
{
	if (build->run->monitor->stage_end)
		build->run->monitor->stage_end(build->run->monitor->data, report);
	return result_add_stage(build->pipeline, report, err);
}

/* Stages @from to before @to are in the store, the last of them as @digest. */
static int report_cached(const struct build *build, size_t from, size_t to,
			 const struct cop_digest *digest, struct cop_error *err)
{
	char hex[COP_DIGEST_HEX + 1];

	/* Whoever made it may have been killed before it was marked. */
	if (to > from && build->pipeline->stages[to - 1].is_private) {
		int r = object_mark_private(build->run->store, digest, err);

		if (r < 0)
			return r;
	}
	for (size_t i = from; i < to; i++) {
		struct engine_stage_report report;
		int r;

		begin_report(build, &build->pipeline->pipeline->stages[i], &report);
		report.state = ENGINE_STAGE_CACHED;
		if (i + 1 == to)
			report.digest = cop_digest_to_hex(digest, hex);
		r = end_report(build, &report, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Somebody may have finished a stage since the plan was made: then *@next is behind it.
 */
static int look_again(struct build *build, size_t *next, struct cop_error *err)
{
	struct run_pipeline *pipeline = build->pipeline;
	char hex[COP_DIGEST_HEX + 1];

	for (size_t i = pipeline->pipeline->n_stages; i > *next; i--) {
		struct cop_digest digest;
		int r = run_hit(build->run, &pipeline->pipeline->stages[i - 1],
				pipeline->stages[i - 1].key, &digest, &pipeline->metadata,
				err);

		if (r == 0)
			continue;
		if (r > 0)
			r = cop_object_set_base(pipeline->object,
						cop_digest_to_hex(&digest, hex), err);
		if (r == 0)
			r = report_cached(build, *next, i, &digest, err);
		if (r < 0)
			return r;
		flight_land(&build->flight);
		build->unsaved_seconds = 0;
		build->n_saved = i;
		build->saved = digest;
		pipeline->digest = digest;
		*next = i;
		return 1;
	}
	return 0;
}

static int make_meta(const struct build *build, const struct manifest_stage *stage,
		     const struct stage_outcome *outcome, json_t **ret_meta,
		     struct cop_error *err)
{
	const struct run_stage *own = &build->pipeline->stages[stage->number - 1];
	auto_json *meta = json_pack(
		"{s:s, s:O, s:s, s:s, s:s, s:f, s:b, s:O*}", "key", own->key, "parts",
		own->parts, "stage", stage->type, "pipeline", stage->pipeline->name,
		"manifest", build->run->manifest->digest, "seconds", outcome->seconds,
		"log", outcome->log.size > 0, "metadata", build->pipeline->metadata);

	if (!meta)
		return err_oom(err);
	*ret_meta = TAKE_PTR(meta);
	return 0;
}

static int keep(const struct build *build, const struct manifest_stage *stage,
		const struct stage_outcome *outcome,
		const struct object_commit_options *options, struct cop_error *err)
{
	int r = 0;

	/* The log comes first: what the checkpoint's meta promises is there. */
	if (outcome->log.size > 0)
		r = store_log_write(build->run->store, stage->id, outcome->log.data,
				    outcome->log.size, err);
	return r < 0 ? r
		     : object_commit_as(build->pipeline->object, options,
					&build->pipeline->digest, err);
}

static int commit(struct build *build, const struct manifest_stage *stage,
		  const struct stage_outcome *outcome,
		  const struct object_changes *changes,
		  struct engine_stage_report *report, struct cop_error *err)
{
	struct run *run = build->run;
	const struct engine_share *share = run->options->share;
	struct object_commit_options options = {
		.class = REF_STAGE,
		.name = stage->id,
		.progress = run->monitor->progress,
		/* The id may soon stand for the tree of a run with other keys. */
		.keep_base = true,
	};
	auto_json *meta = NULL;
	double start = monotonic_seconds();
	int r = make_meta(build, stage, outcome, &meta, err);

	options.meta = meta;
	if (r == 0)
		r = run_keep_other(run, stage,
				   build->pipeline->stages[stage->number - 1].key, err);
	if (r == 0)
		r = keep(build, stage, outcome, &options, err);
	if (r == -ENOSPC && run_make_room(run))
		r = keep(build, stage, outcome, &options, err);
	if (r == 0 && run_is_private(run, stage))
		r = object_mark_private(run->store, &build->pipeline->digest, err);
	else if (r == 0 && share)
		share->send(share->data, stage->id,
			    build->pipeline->stages[stage->number - 1].key, meta);
	if (r < 0)
		return err_prefix(err, r, "keep the tree");
	flight_land(&build->flight);
	build->unsaved_seconds = 0;
	build->n_saved = stage->number;
	build->saved = build->pipeline->digest;
	report->kept = true;
	report->new_bytes = changes->n_changed_bytes;
	report->commit_seconds = monotonic_seconds() - start;
	checkpoint_learn(&run->policy, changes, report->commit_seconds);
	return 0;
}

static int settle(struct build *build, const struct manifest_stage *stage,
		  const struct stage_outcome *outcome, struct engine_stage_report *report,
		  char hex[COP_DIGEST_HEX + 1], struct cop_error *err)
{
	struct cop_object *object = build->pipeline->object;
	struct object_changes changes = {};
	int r = 0;

	if (stage->pipeline->has_epoch)
		r = object_clamp(object, stage->pipeline->epoch, err);
	if (r == 0)
		r = object_changes(object, &changes, err);
	if (r < 0)
		return r;
	if (outcome->metadata) {
		if (!build->pipeline->metadata)
			build->pipeline->metadata = json_object();
		if (json_object_set(build->pipeline->metadata, stage->id,
				    outcome->metadata) < 0)
			return err_oom(err);
	}
	build->unsaved_seconds += outcome->seconds;
	build->pipeline->digest = (struct cop_digest){};
	if (!build->run->options->keep_nothing &&
	    checkpoint_wanted(&build->run->policy, stage, build->unsaved_seconds,
			      &changes, &report->why))
		r = commit(build, stage, outcome, &changes, report, err);
	if (report->kept)
		report->digest = cop_digest_to_hex(&build->pipeline->digest, hex);
	return r;
}

/* Return: 1: the disk was full, nothing is reported, and all since the last checkpoint is
 * to be built again; see start_over(). */
static int build_stage(struct build *build, const struct manifest_stage *stage,
		       struct cop_error *err)
{
	struct run *run = build->run;
	struct cop_object *object = build->pipeline->object;
	struct engine_stage_report report;
	char hex[COP_DIGEST_HEX + 1];
	auto_outcome outcome = {};
	int r;

	begin_report(build, stage, &report);
	if (run->monitor->stage_begin)
		run->monitor->stage_begin(run->monitor->data, &report);
	r = stage_run(run, stage, object, &outcome, err);
	if (!run->made_room &&
	    (r == -ENOSPC || (r == 0 && stage_wants_room(run, &outcome))))
		return 1;
	if (r < 0)
		return err_prefix(err, r, "stage %u of pipeline '%s', %s", stage->number,
				  stage->pipeline->name, stage->type);
	report.seconds = outcome.seconds;
	report.output = outcome.log.size ? buf_text(&outcome.log) : NULL;
	report.output_size = outcome.log.size;
	report.metadata = outcome.metadata;
	report.error = outcome.error;
	if (outcome.status == 0)
		r = settle(build, stage, &outcome, &report, hex, err);
	else
		report.state = ENGINE_STAGE_FAILED;
	if (r < 0)
		return err_prefix(err, r, "stage %u of pipeline '%s', %s", stage->number,
				  stage->pipeline->name, stage->type);
	r = end_report(build, &report, err);
	if (r == 0 && outcome.status != 0)
		r = stage_fail(run, stage, object, &outcome, err);
	return r;
}

/* What was written since the last checkpoint makes room first. */
static int start_over(struct build *build, size_t *next, struct cop_error *err)
{
	struct run_pipeline *pipeline = build->pipeline;
	char hex[COP_DIGEST_HEX + 1];
	const char *base = NULL;
	struct cop_digest held;
	int r = 0;

	/* The view lets go of it, and the room must not be made of it. */
	if (!cop_digest_is_null(&build->saved)) {
		base = cop_digest_to_hex(&build->saved, hex);
		r = object_get(build->run->store, build->run->workdir, base, &held, err);
	}
	if (r == 0)
		r = cop_object_set_base(pipeline->object, base, err);
	if (r < 0)
		return r;
	flight_land(&build->flight);
	(void)run_make_room(build->run);
	run_wait_for_room(build->run);
	run_note(build->run, "building again from stage %zu of pipeline '%s'",
		 build->n_saved + 1, pipeline->pipeline->name);
	while (json_array_size(pipeline->stage_results) > build->n_saved)
		(void)json_array_remove(pipeline->stage_results,
					json_array_size(pipeline->stage_results) - 1);
	build->run->number -= (unsigned int)(*next + 1 - build->n_saved);
	build->unsaved_seconds = 0;
	*next = build->n_saved;
	return 0;
}

static int build_stages(struct build *build, struct cop_error *err)
{
	struct run_pipeline *pipeline = build->pipeline;

	for (size_t i = pipeline->first; i < pipeline->pipeline->n_stages;) {
		const struct manifest_stage *stage = &pipeline->pipeline->stages[i];
		int r = run_check_cancel(build->run, err);

		if (r == 0 && is_shared(build, stage)) {
			r = take_off(build, stage, err);
			if (r == 0)
				r = look_again(build, &i, err);
		}
		if (r < 0)
			return r;
		if (r > 0)
			continue;
		r = build_stage(build, stage, err);
		if (r == 0)
			i++;
		else if (r > 0)
			r = start_over(build, &i, err);
		if (r < 0)
			return r;
	}
	return 0;
}

bool run_has_work(const struct run_pipeline *pipeline)
{
	size_t n_stages = pipeline->pipeline->n_stages;

	return pipeline->first < n_stages || n_stages == 0;
}

static int build_pipeline(struct run *run, struct run_pipeline *pipeline,
			  struct cop_error *err)
{
	cleanup_with(build_done) struct build build = {.run = run, .pipeline = pipeline};
	int r;

	if (run->monitor->pipeline)
		run->monitor->pipeline(run->monitor->data, pipeline->pipeline->name,
				       manifest_pipeline_last(pipeline->pipeline));
	r = report_cached(&build, 0, pipeline->first, &pipeline->start, err);
	if (r == 0)
		r = make_object(run, pipeline, err);
	if (r < 0)
		return r;
	pipeline->digest = pipeline->start;
	build.n_saved = pipeline->first;
	build.saved = pipeline->start;
	if (run_has_work(pipeline) && run->monitor->pipeline_begin)
		run->monitor->pipeline_begin(run->monitor->data, pipeline->pipeline);
	r = build_stages(&build, err);
	if ((r == 0 || r == -ECHILD) && run_has_work(pipeline) &&
	    run->monitor->pipeline_end)
		run->monitor->pipeline_end(run->monitor->data, pipeline->pipeline);
	return r;
}

static void note_what_is_weak(const struct run *run)
{
	const char *weak = sandbox_describe();

	if (weak)
		run_note(run, "%s", weak);
	for (size_t i = 0; i < run->manifest->n_pipelines; i++) {
		const struct run_pipeline *pipeline = &run->pipelines[i];

		/* osbuild keeps quiet about it. */
		if (run->options->as_osbuild)
			return;
		if (!pipeline->is_needed || pipeline->pipeline->has_epoch ||
		    pipeline->first == pipeline->pipeline->n_stages)
			continue;
		run_note(run,
			 "pipeline '%s' has no source-epoch: times, and with them "
			 "digests, will differ between runs",
			 pipeline->pipeline->name);
		return;
	}
}

static int check_options(const struct run *run, struct cop_error *err)
{
	const struct engine_options *options = run->options;
	const char *weak = sandbox_describe();

	if (!run->manifest->modules)
		return err_set(err, -EINVAL,
			       "build: the manifest was loaded without "
			       "modules");
	if (options->exports && *options->exports && !options->output_directory)
		return err_set(err, -EINVAL, "export '%s': no output directory is given",
			       *options->exports);
	if (options->require_sandbox && weak)
		return err_set(err, -EPERM, "sandbox: %s", weak);
	return 0;
}

static int find_weakness(struct run *run, struct cop_error *err)
{
	auto_free char *lacking = NULL;
	int r;

	if (!run->options->allow_weak_sandbox)
		return 0;
	r = sandbox_find_lacking(&run->lacking, &lacking, err);
	if (r == 0 && run->lacking)
		run_note(run, "weak sandbox: stages are not isolated in %s", lacking);
	return r;
}

static int make_pipelines(struct run *run, struct cop_error *err)
{
	size_t n = run->manifest->n_pipelines, n_stages = 0;

	for (size_t i = 0; i < n; i++)
		n_stages += run->manifest->pipelines[i].n_stages;
	run->pipelines = calloc(n + 1, sizeof(*run->pipelines));
	run->stages = calloc(n_stages + 1, sizeof(*run->stages));
	if (!run->pipelines || !run->stages)
		return err_oom(err);
	run->n_stages = n_stages;
	n_stages = 0;
	for (size_t i = 0; i < n; i++) {
		struct run_pipeline *pipeline = &run->pipelines[i];

		pipeline->pipeline = &run->manifest->pipelines[i];
		pipeline->stages = run->stages + n_stages;
		n_stages += pipeline->pipeline->n_stages;
		pipeline->stage_results = json_array();
		if (!pipeline->stage_results)
			return err_oom(err);
	}
	return 0;
}

static void run_done(struct run *run)
{
	for (size_t i = 0; i < run->n_stages; i++)
		json_decref(run->stages[i].parts);
	for (size_t i = 0; run->pipelines && i < run->manifest->n_pipelines; i++) {
		(void)cop_object_free(run->pipelines[i].object);
		json_decref(run->pipelines[i].stage_results);
		json_decref(run->pipelines[i].metadata);
	}
	free(run->pipelines);
	free(run->stages);
	(void)workdir_free(run->workdir);
}

static int prepare(struct run *run, struct cop_error *err)
{
	int r = check_options(run, err);

	if (r == 0)
		r = checkpoint_policy_init(&run->policy, run->options->checkpoints,
					   run->manifest, err);
	if (r == 0)
		r = find_weakness(run, err);
	if (r == 0)
		r = make_pipelines(run, err);
	if (r == 0)
		r = secrets_check(run, err);
	if (r == 0)
		r = plan_keys(run, err);
	if (r == 0)
		r = workdir_new(run->store, "build", NULL, &run->workdir, err);
	if (r == 0)
		r = plan_select(run, err);
	if (r == 0)
		r = owners_check(run, err);
	return r < 0 ? r : foreign_check(run, err);
}

static int export_all(struct run *run, struct cop_error *err)
{
	const char *const *exports = run->options->exports;
	int r = 0;

	for (; exports && *exports && r == 0; exports++) {
		const struct manifest_pipeline *asked =
			manifest_find_name(run->manifest, *exports);

		if (!asked)
			asked = manifest_find_id(run->manifest, *exports);
		r = run_check_cancel(run, err);
		if (r == 0 && asked)
			r = run_export(run, asked,
				       run->options->as_osbuild ? *exports : asked->name,
				       err);
	}
	return r;
}

int engine_build(struct cop_store *store, struct manifest *manifest,
		 const struct engine_places *places, const struct engine_options *options,
		 json_t **ret_result, struct cop_error *err)
{
	cleanup_with(run_done) struct run run = {
		.store = store,
		.manifest = manifest,
		.options = options,
		.monitor = &options->monitor,
	};
	int r = prepare(&run, err);

	(void)places;
	if (r < 0)
		return r;
	if (options->monitor.plan)
		options->monitor.plan(options->monitor.data, manifest->n_sources,
				      run.n_to_run);
	note_what_is_weak(&run);
	r = run_fetch(&run, err);
	for (size_t i = 0; i < manifest->n_pipelines && r == 0; i++)
		if (run.pipelines[i].is_needed)
			r = build_pipeline(&run, &run.pipelines[i], err);
	if (r == 0)
		r = export_all(&run, err);
	if (r != -EINTR && options->share)
		options->share->finish(options->share->data);
	return r < 0 ? r : result_make(&run, ret_result, err);
}

int engine_explain(struct cop_store *store, struct manifest *manifest,
		   const struct engine_secret *secrets, size_t n_secrets,
		   json_t **ret_json, struct cop_error *err)
{
	const struct engine_options options = {.secrets = secrets,
					       .n_secrets = n_secrets};
	cleanup_with(run_done) struct run run = {
		.store = store, .manifest = manifest, .options = &options};
	int r = make_pipelines(&run, err);

	if (r == 0)
		r = plan_keys(&run, err);
	return r < 0 ? r : explain_run(&run, ret_json, err);
}
