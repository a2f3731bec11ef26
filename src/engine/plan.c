/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/plan.h"

#include <string.h>

#include "engine/secrets.h"

static const char *key_of_tree(const struct run *run, const struct manifest_stage *stage,
			       const char *id)
{
	const struct run_pipeline *pipeline = run_find_maker(run, stage, id);
	size_t n = pipeline ? pipeline->pipeline->n_stages : 0;

	/* A tree that only the store knows is what its id says. */
	return n ? pipeline->stages[n - 1].key : id;
}

static int input_keys(const struct run *run, const struct manifest_stage *stage,
		      json_t **ret_keys, struct cop_error *err)
{
	auto_json *keys = json_object();
	const char *id;
	json_t *options;

	for (size_t i = 0; i < stage->n_inputs; i++) {
		if (strcmp(stage->inputs[i].origin, "org.osbuild.pipeline") != 0)
			continue;
		json_object_foreach (stage->inputs[i].references, id, options)
			if (json_object_set_new(
				    keys, id, json_string(key_of_tree(run, stage, id))) <
			    0)
				return err_oom(err);
	}
	*ret_keys = TAKE_PTR(keys);
	return 0;
}

static bool tree_is_private(const struct run *run, const struct manifest_stage *stage,
			    const char *id)
{
	const struct run_pipeline *pipeline = run_find_maker(run, stage, id);
	size_t n = pipeline ? pipeline->pipeline->n_stages : 0;

	return n && pipeline->stages[n - 1].is_private;
}

/* Is a secret in it, in what it grows from, or in what it may copy from? */
static bool stage_is_private(const struct run *run, const struct run_pipeline *pipeline,
			     const struct manifest_stage *stage)
{
	size_t before = stage->number - 1;
	const char *id;
	json_t *options;

	if (secrets_of_stage(stage) ||
	    (before > 0 && pipeline->stages[before - 1].is_private) ||
	    (stage->pipeline->build &&
	     tree_is_private(run, stage, stage->pipeline->build)))
		return true;
	for (size_t i = 0; i < stage->n_inputs; i++)
		if (strcmp(stage->inputs[i].origin, "org.osbuild.pipeline") == 0)
			json_object_foreach (stage->inputs[i].references, id, options)
				if (tree_is_private(run, stage, id))
					return true;
	return false;
}

static int pipeline_keys(const struct run *run, struct run_pipeline *pipeline,
			 const char *host, struct cop_error *err)
{
	const char *build = pipeline->pipeline->build;
	struct key_parts parts = {.runner = pipeline->pipeline->runner.module,
				  .host = build ? NULL : host};

	for (size_t i = 0; i < pipeline->pipeline->n_stages; i++) {
		const struct manifest_stage *stage = &pipeline->pipeline->stages[i];
		struct run_stage *own = &pipeline->stages[i];
		auto_json *inputs = NULL, *secrets = NULL;
		int r = input_keys(run, stage, &inputs, err);

		if (r == 0)
			r = secrets_digests(run, stage, &secrets, err);

		if (build)
			parts.build = key_of_tree(run, stage, build);
		parts.inputs = inputs;
		parts.secrets = secrets;
		own->is_private = stage_is_private(run, pipeline, stage);
		if (r == 0)
			r = key_describe(stage, &parts, &own->parts, err);
		if (r == 0)
			r = key_compute(own->parts, own->key, err);
		if (r < 0)
			return r;
		parts.base = own->key;
	}
	return 0;
}

int plan_keys(struct run *run, struct cop_error *err)
{
	auto_free char *host = NULL;
	int r = key_of_host(&host, err);

	for (size_t i = 0; i < run->manifest->n_pipelines && r == 0; i++)
		r = pipeline_keys(run, &run->pipelines[i], host, err);
	return r;
}

static int select_exports(struct run *run, const char *const *exports,
			  struct cop_error *err)
{
	for (; *exports; exports++) {
		const struct manifest_pipeline *found =
			manifest_find_name(run->manifest, *exports);

		if (!found)
			found = manifest_find_id(run->manifest, *exports);
		if (!found)
			return err_set(err, -ENOENT,
				       "export '%s': the manifest has no such pipeline",
				       *exports);
		run_maker_of(run, found)->is_needed = true;
	}
	return 0;
}

static bool is_a_build(const struct run *run, const struct manifest_pipeline *pipeline)
{
	const char *id = manifest_pipeline_last(pipeline);

	for (size_t i = 0; id && i < run->manifest->n_pipelines; i++) {
		const char *build = run->manifest->pipelines[i].build;

		if (build && strcmp(build, id) == 0)
			return true;
	}
	return false;
}

static void select_default(struct run *run)
{
	for (size_t i = 0; i < run->manifest->n_pipelines; i++)
		if (!is_a_build(run, &run->manifest->pipelines[i]))
			run_maker_of(run, &run->manifest->pipelines[i])->is_needed = true;
}

static int need_tree(struct run *run, const struct manifest_stage *stage, const char *id,
		     const char *why, struct cop_error *err)
{
	struct run_pipeline *maker = run_find_maker(run, stage, id);
	int r;

	if (maker) {
		maker->is_needed = true;
		return 0;
	}
	r = cop_store_contains(run->store, id, err);
	if (r < 0)
		return r;
	return r ? 0
		 : err_set(err, -ENOENT,
			   "%s '%s' is neither in the manifest nor in the store", why,
			   id);
}

static int need_inputs(struct run *run, const struct manifest_stage *stage,
		       struct cop_error *err)
{
	const char *id;
	json_t *options;
	int r = 0;

	for (size_t i = 0; i < stage->n_inputs; i++) {
		if (strcmp(stage->inputs[i].origin, "org.osbuild.pipeline") != 0)
			continue;
		json_object_foreach (stage->inputs[i].references, id, options)
			if (r == 0 && strcmp(id, "null") != 0)
				r = need_tree(run, stage, id, "input tree", err);
	}
	return r;
}

/* The last stage that the store has decides where to begin. */
static int find_start(struct run *run, struct run_pipeline *pipeline,
		      struct cop_error *err)
{
	for (size_t i = pipeline->pipeline->n_stages; i > 0; i--) {
		int r = run_hit(run, &pipeline->pipeline->stages[i - 1],
				pipeline->stages[i - 1].key, &pipeline->start,
				&pipeline->metadata, err);

		if (r < 0)
			return r;
		if (r > 0) {
			pipeline->first = i;
			return 0;
		}
	}
	pipeline->first = 0;
	return 0;
}

/* The stages that the store lacks, as far as others have them. */
static int fetch_start(struct run *run, struct run_pipeline *pipeline,
		       struct cop_error *err)
{
	const struct engine_share *share = run->options->share;
	const struct manifest_stage *stages = pipeline->pipeline->stages;
	size_t n = 0, n_left = pipeline->pipeline->n_stages - pipeline->first;
	auto_free const char **names = NULL;
	int r;

	if (!share || n_left == 0)
		return 0;
	names = calloc(2 * n_left, sizeof(*names));
	if (!names)
		return err_oom(err);
	/* From the first private stage on, no other store has such keys. */
	while (n < n_left && !pipeline->stages[pipeline->first + n].is_private) {
		names[n] = stages[pipeline->first + n].id;
		names[n_left + n] = pipeline->stages[pipeline->first + n].key;
		n++;
	}
	r = share->fetch(share->data, names, names + n_left, n, err);
	return r > 0 ? find_start(run, pipeline, err) : r;
}

static int plan_pipeline(struct run *run, struct run_pipeline *pipeline,
			 struct cop_error *err)
{
	const struct manifest_pipeline *manifest = pipeline->pipeline;
	int r = find_start(run, pipeline, err);

	if (r == 0)
		r = fetch_start(run, pipeline, err);
	if (r == 0 && pipeline->first < manifest->n_stages && manifest->build)
		r = need_tree(run, &manifest->stages[0], manifest->build, "build tree",
			      err);
	for (size_t i = pipeline->first; i < manifest->n_stages && r == 0; i++)
		r = need_inputs(run, &manifest->stages[i], err);
	return r < 0 ? err_prefix(err, r, "pipeline '%s'", manifest->name) : 0;
}

/* References point backwards only, so one pass from the end sees every need in time. */
int plan_select(struct run *run, struct cop_error *err)
{
	const char *const *exports = run->options->exports;
	int r = 0;

	if (exports && *exports)
		r = select_exports(run, exports, err);
	else if (!run->options->as_osbuild)
		select_default(run);
	for (size_t i = run->manifest->n_pipelines; i > 0 && r == 0; i--)
		if (run->pipelines[i - 1].is_needed) {
			r = plan_pipeline(run, &run->pipelines[i - 1], err);
			run->total +=
				(unsigned int)run->pipelines[i - 1].pipeline->n_stages;
			run->n_to_run += run_has_work(&run->pipelines[i - 1]);
		}
	return r;
}
