/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `osbuild --inspect` shows: the manifest with ids, empty things left out, every
 * reference resolved.  The order of keys is part of the output.  jansson lets a failed
 * set pass NULL along, so each builder looks only at the end.
 */
#include "engine/manifest.h"

#include <string.h>

#include "json/json.h"

static int put(json_t *object, const char *key, json_t *value)
{
	return json_object_set_new(object, key, value);
}

static int put_options(json_t *object, json_t *options)
{
	if (json_object_size(options) == 0)
		return 0;
	return json_object_set(object, "options", options);
}

static json_t *describe_inputs(const struct manifest_stage *stage)
{
	auto_json *all = json_object();

	for (size_t i = 0; i < stage->n_inputs; i++) {
		const struct manifest_input *input = &stage->inputs[i];
		auto_json *one = json_pack("{s:s, s:s}", "type", input->type, "origin",
					   input->origin);

		if (put_options(one, input->options) < 0)
			return NULL;
		if (json_object_size(input->references) > 0 &&
		    json_object_set(one, "references", input->references) < 0)
			return NULL;
		if (json_object_set(all, input->name, one) < 0)
			return NULL;
	}
	return TAKE_PTR(all);
}

static json_t *describe_devices(const struct manifest_stage *stage)
{
	auto_json *all = json_object();

	for (size_t i = 0; i < stage->n_devices; i++) {
		const struct manifest_device *device = &stage->devices[i];
		auto_json *one = json_pack("{s:s}", "type", device->type);

		if (put_options(one, device->options) < 0 ||
		    json_object_set(all, device->name, one) < 0)
			return NULL;
	}
	return TAKE_PTR(all);
}

static json_t *describe_mounts(const struct manifest_stage *stage)
{
	auto_json *all = json_array();

	for (size_t i = 0; i < stage->n_mounts; i++) {
		const struct manifest_mount *mount = &stage->mounts[i];
		auto_json *one = json_pack("{s:s, s:s, s:s?}", "name", mount->name,
					   "type", mount->type, "target", mount->target);

		if (mount->source &&
		    put(one, "source", json_string(mount->source->name)) < 0)
			return NULL;
		if (put_options(one, mount->options) < 0)
			return NULL;
		if (json_truthy(mount->partition) &&
		    json_object_set(one, "partition", mount->partition) < 0)
			return NULL;
		if (json_array_append(all, one) < 0)
			return NULL;
	}
	return TAKE_PTR(all);
}

static json_t *describe_stage(const struct manifest_stage *stage)
{
	auto_json *json = json_pack("{s:s, s:s}", "type", stage->type, "id", stage->id);

	if (put_options(json, stage->options) < 0)
		return NULL;
	if (stage->n_devices && put(json, "devices", describe_devices(stage)) < 0)
		return NULL;
	if (stage->n_mounts && put(json, "mounts", describe_mounts(stage)) < 0)
		return NULL;
	if (stage->n_inputs && put(json, "inputs", describe_inputs(stage)) < 0)
		return NULL;
	return TAKE_PTR(json);
}

/* A runner is shown on the tree in which it is used. */
static const char *runner_in(const struct manifest *manifest, const char *id)
{
	const char *used = NULL;

	for (size_t i = 0; id && i < manifest->n_pipelines; i++) {
		const struct manifest_pipeline *pipeline = &manifest->pipelines[i];

		if (pipeline->build && strcmp(pipeline->build, id) == 0)
			used = pipeline->runner.name;
	}
	return used;
}

static json_t *describe_pipeline(const struct manifest *manifest,
				 const struct manifest_pipeline *pipeline)
{
	auto_json *json = json_pack("{s:s}", "name", pipeline->name);
	const char *runner = runner_in(manifest, manifest_pipeline_last(pipeline));
	json_t *stages;

	if (pipeline->build && put(json, "build", json_string(pipeline->build)) < 0)
		return NULL;
	if (runner && put(json, "runner", json_string(runner)) < 0)
		return NULL;
	if (pipeline->n_stages == 0)
		return TAKE_PTR(json);
	stages = json_array();
	if (put(json, "stages", stages) < 0)
		return NULL;
	for (size_t i = 0; i < pipeline->n_stages; i++)
		if (json_array_append_new(stages, describe_stage(&pipeline->stages[i])) <
		    0)
			return NULL;
	return TAKE_PTR(json);
}

static json_t *describe_sources(const struct manifest *manifest)
{
	auto_json *all = json_object();
	json_t *written = json_object_get(manifest->root, "sources");

	for (size_t i = 0; i < manifest->n_sources; i++) {
		const char *type = manifest->sources[i].type;
		json_t *items = json_object_get(json_object_get(written, type), "items");
		auto_json *one = json_object();

		if (items && json_object_set(one, "items", items) < 0)
			return NULL;
		if (json_object_set(all, type, one) < 0)
			return NULL;
	}
	return TAKE_PTR(all);
}

static int inspect_2(const struct manifest *manifest, json_t **ret_json,
		     struct cop_error *err)
{
	json_t *pipelines = json_array();
	auto_json *json = json_pack("{s:s, s:o}", "version", "2", "pipelines", pipelines);

	for (size_t i = 0; i < manifest->n_pipelines; i++)
		if (json_array_append_new(
			    pipelines,
			    describe_pipeline(manifest, &manifest->pipelines[i])) < 0)
			return err_oom(err);
	if (json_object_size(manifest->metadata) > 0 &&
	    json_object_set(json, "metadata", manifest->metadata) < 0)
		return err_oom(err);
	if (manifest->n_sources > 0 &&
	    put(json, "sources", describe_sources(manifest)) < 0)
		return err_oom(err);
	if (!json)
		return err_oom(err);
	*ret_json = TAKE_PTR(json);
	return 0;
}

static json_t *describe_stage_1(const struct manifest_stage *stage)
{
	auto_json *json = json_pack("{s:s}", "name", stage->type);

	if (put_options(json, stage->options) < 0 ||
	    put(json, "id", json_string(stage->id)) < 0)
		return NULL;
	return TAKE_PTR(json);
}

/* @build: the description of its build, which is used up */
static json_t *describe_pipeline_1(const struct manifest_pipeline *pipeline,
				   json_t *build)
{
	auto_json *owned = build, *json = json_object(), *stages = json_array();

	if (pipeline->build && put(json, "build",
				   json_pack("{s:O, s:s?}", "pipeline", owned, "runner",
					     pipeline->runner.name)) < 0)
		return NULL;
	for (size_t i = 0; i < pipeline->n_stages; i++)
		if (json_array_append_new(stages,
					  describe_stage_1(&pipeline->stages[i])) < 0)
			return NULL;
	if (pipeline->n_stages > 0 && json_object_set(json, "stages", stages) < 0)
		return NULL;
	return TAKE_PTR(json);
}

static json_t *describe_sources_1(const struct manifest *manifest)
{
	auto_json *all = json_object();

	for (size_t i = 0; i < manifest->n_sources; i++) {
		const struct manifest_source *source = &manifest->sources[i];
		bool is_curl = strcmp(source->type, "org.osbuild.curl") == 0;

		if (json_object_set(all, is_curl ? "org.osbuild.files" : source->type,
				    source->options) < 0)
			return NULL;
	}
	return TAKE_PTR(all);
}

/* Each pipeline has its build just before it; the assembler comes last. */
static int inspect_1(const struct manifest *manifest, json_t **ret_json,
		     struct cop_error *err)
{
	const struct manifest_pipeline *pipelines = manifest->pipelines;
	size_t n = manifest->n_pipelines;
	const struct manifest_pipeline *assembler = &pipelines[n - 1];
	auto_json *json = json_object();
	json_t *tree = NULL;

	if (strcmp(assembler->name, "assembler") != 0)
		assembler = NULL;
	for (size_t i = 0; i < n - (assembler != NULL); i++)
		tree = describe_pipeline_1(&pipelines[i], tree);
	if (put(json, "pipeline", tree) < 0 ||
	    (assembler &&
	     put(tree, "assembler", describe_stage_1(&assembler->stages[0])) < 0) ||
	    (manifest->n_sources > 0 &&
	     put(json, "sources", describe_sources_1(manifest)) < 0))
		return err_oom(err);
	*ret_json = TAKE_PTR(json);
	return 0;
}

int manifest_inspect(const struct manifest *manifest, json_t **ret_json,
		     struct cop_error *err)
{
	return manifest->version == 1 ? inspect_1(manifest, ret_json, err)
				      : inspect_2(manifest, ret_json, err);
}
