/* SPDX-License-Identifier: Apache-2.0 */
/* From text to a resolved manifest.  References only ever point backwards. */
#include "engine/manifest.h"

#include <string.h>

#include "json/json.h"

#define PIPELINES_MAX 1000
#define SOURCES_MAX   100

static void stage_done(struct manifest_stage *stage)
{
	for (size_t i = 0; i < stage->n_inputs; i++)
		json_decref(stage->inputs[i].references);
	free(stage->inputs);
	free(stage->devices);
	free(stage->mounts);
}

struct manifest *manifest_free(struct manifest *manifest)
{
	if (!manifest)
		return NULL;
	for (size_t i = 0; i < manifest->n_pipelines; i++) {
		struct manifest_pipeline *pipeline = &manifest->pipelines[i];

		for (size_t j = 0; j < pipeline->n_stages; j++)
			stage_done(&pipeline->stages[j]);
		free(pipeline->stages);
	}
	free(manifest->pipelines);
	for (size_t i = 0; i < manifest->n_sources; i++)
		json_decref(manifest->sources[i].items);
	free(manifest->sources);
	(void)modules_free(manifest->modules);
	json_decref(manifest->root);
	free(manifest);
	return NULL;
}

const char *manifest_pipeline_last(const struct manifest_pipeline *pipeline)
{
	return pipeline->n_stages ? pipeline->stages[pipeline->n_stages - 1].id : NULL;
}

struct manifest_pipeline *manifest_find_name(const struct manifest *manifest,
					     const char *name)
{
	for (size_t i = 0; i < manifest->n_pipelines; i++)
		if (manifest->pipelines[i].name &&
		    strcmp(manifest->pipelines[i].name, name) == 0)
			return &manifest->pipelines[i];
	return NULL;
}

struct manifest_pipeline *manifest_find_id(const struct manifest *manifest,
					   const char *id)
{
	for (size_t i = 0; i < manifest->n_pipelines; i++) {
		const char *last = manifest_pipeline_last(&manifest->pipelines[i]);

		if (last && strcmp(last, id) == 0)
			return &manifest->pipelines[i];
	}
	return NULL;
}

size_t manifest_n_pipelines(const struct manifest *manifest)
{
	return manifest->n_pipelines;
}

const char *manifest_pipeline_name(const struct manifest *manifest, size_t i)
{
	return manifest->pipelines[i].name;
}

const char *manifest_pipeline_id(const struct manifest *manifest, size_t i)
{
	return manifest_pipeline_last(&manifest->pipelines[i]);
}

static int check_version(const json_t *root, struct cop_error *err)
{
	const json_t *version = json_object_get(root, "version");
	auto_buf text = {};
	int r;

	if (!version ||
	    (json_is_text(version) && strcmp(json_string_value(version), "1") == 0))
		return err_set(err, -EINVAL,
			       "manifest: version '1' is not read by this version of "
			       "coppice; convert it to version 2");
	if (json_is_text(version) && strcmp(json_string_value(version), "2") == 0)
		return 0;
	r = json_write(version, 0, &text, err);
	if (r < 0)
		return r;
	return err_set(err, -EINVAL,
		       "manifest: version %.40s is not known; it must be the string "
		       "\"2\"",
		       buf_text(&text));
}

/* The three shapes of references, as one object. */
static int items_as_object(json_t *items, json_t **ret_object, struct cop_error *err)
{
	auto_json *object = json_is_array(items) ? json_object() : json_incref(items);
	json_t *value;
	size_t i;

	json_array_foreach (items, i, value) {
		json_t *id = json_is_object(value) ? json_object_get(value, "id") : value;
		json_t *options = json_object_get(value, "options");

		if (!json_is_text(id) ||
		    strlen(json_string_value(id)) != json_string_length(id))
			return err_set(err, -EINVAL, "an item is not named by a string");
		if (json_object_set_new(object, json_string_value(id),
					options ? json_incref(options) : json_object()) <
		    0)
			return err_oom(err);
	}
	*ret_object = TAKE_PTR(object);
	return 0;
}

static int read_source(struct manifest *manifest, const char *type, json_t *json,
		       struct cop_error *err)
{
	struct manifest_source *source = &manifest->sources[manifest->n_sources++];
	json_t *items = json_object_get(json, "items");
	int r = 0;

	source->type = type;
	if (items)
		r = items_as_object(items, &source->items, err);
	if (r == 0)
		r = json_optional_object(json, "options", "options", &source->options,
					 err);
	if (r == 0 && manifest->modules)
		r = modules_get(manifest->modules, MODULE_SOURCE, type, &source->module,
				err);
	return r < 0 ? err_prefix(err, r, "manifest: source '%s'", type) : 0;
}

static int read_sources(struct manifest *manifest, struct cop_error *err)
{
	json_t *sources = json_object_get(manifest->root, "sources"), *value;
	size_t n = json_object_size(sources);
	const char *type;

	if (n > SOURCES_MAX)
		return err_set(err, -EINVAL, "manifest: %zu sources are too many", n);
	manifest->sources = calloc(n + 1, sizeof(*manifest->sources));
	if (!manifest->sources)
		return err_oom(err);
	json_object_foreach (sources, type, value) {
		int r = read_source(manifest, type, value, err);

		if (r < 0)
			return r;
	}
	return 0;
}

static int read_stages(struct manifest *manifest, struct manifest_pipeline *pipeline,
		       const json_t *stages, struct cop_error *err)
{
	const char *base = NULL;
	json_t *json;
	size_t i;

	pipeline->stages = calloc(json_array_size(stages) + 1, sizeof(*pipeline->stages));
	if (!pipeline->stages)
		return err_oom(err);
	json_array_foreach (stages, i, json) {
		struct manifest_stage *stage = &pipeline->stages[i];
		int r;

		stage->pipeline = pipeline;
		stage->number = (unsigned int)i + 1;
		pipeline->n_stages++;
		r = manifest_read_stage(manifest, stage, json, err);
		if (r == 0)
			r = stage_compute_id(stage, base, err);
		if (r < 0)
			return err_prefix(err, r, "stage %zu (%s)", i + 1,
					  stage->type ? stage->type : "?");
		base = stage->id;
	}
	return 0;
}

static int read_build(const struct manifest *manifest, struct manifest_pipeline *pipeline,
		      const json_t *json, struct cop_error *err)
{
	const struct manifest_pipeline *build;
	const char *text = NULL;
	int r = json_optional_string(json, "build", "pipeline", &text, err);

	if (r < 0 || !text)
		return r;
	if (strncmp(text, "name:", 5) != 0) {
		pipeline->build = text;
		return 0;
	}
	build = manifest_find_name(manifest, text + 5);
	if (!build || build == pipeline)
		return err_set(err, -EINVAL, "unknown pipeline reference '%s'", text);
	pipeline->build = manifest_pipeline_last(build);
	return 0;
}

static int read_pipeline(struct manifest *manifest, json_t *json, struct cop_error *err)
{
	struct manifest_pipeline *pipeline = &manifest->pipelines[manifest->n_pipelines];
	int r = json_get_string(json, "name", "pipeline", &pipeline->name, err);

	if (r < 0)
		return r;
	if (manifest_find_name(manifest, pipeline->name))
		return err_set(err, -EINVAL, "there are two pipelines of this name");
	manifest->n_pipelines++;
	r = read_build(manifest, pipeline, json, err);
	if (r == 0)
		r = json_optional_string(json, "runner", "pipeline", &pipeline->runner,
					 err);
	if (r == 0 && json_object_get(json, "source-epoch")) {
		pipeline->has_epoch = true;
		r = json_optional_integer(json, "source-epoch", "pipeline",
					  &pipeline->epoch, err);
	}
	if (r == 0)
		r = read_stages(manifest, pipeline, json_object_get(json, "stages"), err);
	return r;
}

static int read_pipelines(struct manifest *manifest, struct cop_error *err)
{
	json_t *pipelines = json_object_get(manifest->root, "pipelines"), *json;
	size_t i, n = json_array_size(pipelines);

	if (n > PIPELINES_MAX)
		return err_set(err, -EINVAL, "manifest: %zu pipelines are too many", n);
	manifest->pipelines = calloc(n + 1, sizeof(*manifest->pipelines));
	if (!manifest->pipelines)
		return err_oom(err);
	json_array_foreach (pipelines, i, json) {
		int r = read_pipeline(manifest, json, err);

		if (r < 0)
			return err_prefix(err, r, "manifest: pipeline '%s'",
					  manifest->pipelines[i].name
						  ? manifest->pipelines[i].name
						  : "?");
	}
	return 0;
}

static int hash_document(struct manifest *manifest, struct cop_error *err)
{
	auto_buf text = {};
	int r = json_canonical(manifest->root, &text, err);

	return r < 0 ? r : sha256_bytes(text.data, text.size, manifest->digest, err);
}

static int load(struct manifest *manifest, const struct engine_places *places,
		struct cop_error *err)
{
	int r;

	if (!json_is_object(manifest->root))
		return err_set(err, -EINVAL, "manifest: not a JSON object");
	r = check_version(manifest->root, err);
	if (r == 0 && places)
		r = modules_new(places, &manifest->modules, err);
	if (r == 0)
		r = manifest_validate(manifest->root, manifest->modules, err);
	if (r == 0)
		r = read_sources(manifest, err);
	if (r == 0)
		r = read_pipelines(manifest, err);
	if (r == 0)
		r = hash_document(manifest, err);
	manifest->metadata = json_object_get(manifest->root, "metadata");
	return r;
}

int manifest_load(const char *text, size_t size, const struct engine_places *places,
		  struct manifest **ret_manifest, struct cop_error *err)
{
	auto_ptr(manifest) manifest = calloc(1, sizeof(*manifest));
	int r;

	if (!manifest)
		return err_oom(err);
	r = json_read(text, size, &manifest->root, err);
	if (r < 0)
		return err_prefix(err, r == -ENOMEM ? r : -EINVAL, "manifest");
	r = load(manifest, places, err);
	if (r < 0)
		return r;
	*ret_manifest = TAKE_PTR(manifest);
	return 0;
}
