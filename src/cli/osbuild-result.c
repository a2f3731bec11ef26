/* SPDX-License-Identifier: Apache-2.0 */
/* The result document of osbuild, which has a shape for each version of manifests. */
#include <string.h>

#include "cli/osbuild.h"

static const json_t *stages_of(const struct osbuild_record *record,
			       const struct manifest_pipeline *pipeline)
{
	const char *id = manifest_pipeline_last(pipeline);

	return json_object_get(json_object_get(record->pipelines, id ? id : "null"),
			       "stages");
}

static bool pipeline_failed(const struct osbuild_record *record,
			    const struct manifest_pipeline *pipeline)
{
	const char *id = manifest_pipeline_last(pipeline);

	return json_is_false(json_object_get(
		json_object_get(record->pipelines, id ? id : "null"), "success"));
}

/* "cached", "checksum" and "error" of every item, as far as the source told them. */
static json_t *describe_source(const json_t *source)
{
	static const char *const keys[] = {"cached", "checksum"};
	json_t *results = json_object_get(source, "results"), *result;
	json_t *all = json_array();
	size_t i;

	json_array_foreach (results, i, result) {
		json_t *metadata = json_object_get(result, "metadata"),
		       *error = json_object_get(result, "error"), *one = json_object();

		for (size_t k = 0; k < ARRAY_SIZE(keys); k++)
			if (json_object_get(metadata, keys[k]))
				(void)json_object_set(one, keys[k],
						      json_object_get(metadata, keys[k]));
		if (json_truthy(error))
			(void)json_object_set(one, "error", error);
		(void)json_array_append_new(all, one);
	}
	return all;
}

static json_t *describe_sources(const struct osbuild_record *record)
{
	json_t *all = json_pack("{s:b}", "success", !record->source_failed), *source;
	const char *type;

	json_object_foreach (record->sources, type, source)
		(void)json_object_set_new(all, type, describe_source(source));
	return all;
}

static json_t *describe_log(const struct manifest *manifest,
			    const struct osbuild_record *record)
{
	json_t *all = json_object(), *stage;
	size_t j;

	for (size_t i = 0; i < manifest->n_pipelines; i++) {
		const struct manifest_pipeline *pipeline = &manifest->pipelines[i];
		json_t *log = json_array();

		json_array_foreach (stages_of(record, pipeline), j, stage) {
			json_t *one = json_pack("{s:O, s:O, s:O}", "id",
						json_object_get(stage, "id"), "type",
						json_object_get(stage, "name"), "output",
						json_object_get(stage, "output"));

			if (json_is_false(json_object_get(stage, "success"))) {
				json_t *error = json_object_get(stage, "error");

				(void)json_object_set_new(one, "success", json_false());
				if (json_truthy(error))
					(void)json_object_set(one, "error", error);
			}
			(void)json_array_append_new(log, one);
		}
		if (json_array_size(log) > 0)
			(void)json_object_set(all, pipeline->name, log);
		json_decref(log);
	}
	return all;
}

/* The first item that failed, of the first source that did. */
static json_t *describe_source_error(const struct osbuild_record *record)
{
	const char *type;
	json_t *source, *result;
	size_t i;

	json_object_foreach (record->sources, type, source) {
		json_t *output = NULL;

		if (json_is_true(json_object_get(source, "success")))
			continue;
		json_array_foreach (json_object_get(source, "results"), i, result)
			if (!output && !json_is_true(json_object_get(result, "success")))
				output = json_incref(json_object_get(result, "error"));
		if (!output)
			output = json_string("cannot find failing source item");
		return json_pack("{s:s, s:{s:{s:s, s:o}}}", "type",
				 "org.osbuild.error.source", "details", "source", "type",
				 type, "output", output);
	}
	return NULL;
}

static json_t *describe_stage_error(const struct osbuild_record *record)
{
	const json_t *stage = record->failed;

	return json_pack("{s:s, s:{s:{s:O, s:O, s:O, s:O}}}", "type",
			 "org.osbuild.error.stage", "details", "stage", "id",
			 json_object_get(stage, "id"), "type",
			 json_object_get(stage, "name"), "output",
			 json_object_get(stage, "output"), "error",
			 json_object_get(stage, "error"));
}

static json_t *result_2(const struct manifest *manifest,
			const struct osbuild_record *record, bool success,
			const json_t *metadata)
{
	auto_json *json = json_pack("{s:s, s:b}", "type", success ? "result" : "error",
				    "success", success);
	int r;

	if (success)
		r = metadata ? json_object_set(json, "metadata",
					       (json_t *)(uintptr_t)metadata)
			     : json_object_set_new(json, "metadata", json_object());
	else
		r = json_object_set_new(json, "error",
					record->source_failed
						? describe_source_error(record)
						: describe_stage_error(record));
	if (r < 0 || json_object_set_new(json, "sources", describe_sources(record)) < 0 ||
	    json_object_set_new(json, "log", describe_log(manifest, record)) < 0)
		return NULL;
	return TAKE_PTR(json);
}

static json_t *describe_stage_1(const json_t *stage)
{
	return json_pack("{s:O, s:O, s:O, s:O, s:O, s:O}", "id",
			 json_object_get(stage, "id"), "type",
			 json_object_get(stage, "name"), "success",
			 json_object_get(stage, "success"), "error",
			 json_object_get(stage, "error"), "output",
			 json_object_get(stage, "output"), "metadata",
			 json_object_get(stage, "metadata"));
}

/* The success of a pipeline is that of its build, where it has one: so it is in osbuild.
 * @build: the result of that, used up */
static json_t *describe_pipeline_1(const struct manifest_pipeline *pipeline,
				   const struct osbuild_record *record, json_t *build)
{
	auto_json *owned = build;
	json_t *json = json_pack("{s:b}", "success", !pipeline_failed(record, pipeline)),
	       *stages = json_array(), *stage;
	size_t i;

	if (pipeline->build && owned) {
		(void)json_object_set(json, "build", owned);
		(void)json_object_set(json, "success", json_object_get(owned, "success"));
	}
	json_array_foreach (stages_of(record, pipeline), i, stage)
		(void)json_array_append_new(stages, describe_stage_1(stage));
	if (json_array_size(stages) > 0)
		(void)json_object_set(json, "stages", stages);
	json_decref(stages);
	return json;
}

static json_t *result_1(const struct manifest *manifest,
			const struct osbuild_record *record)
{
	json_t *json = NULL;

	for (size_t i = 0; i < manifest->n_pipelines; i++) {
		const struct manifest_pipeline *pipeline = &manifest->pipelines[i];
		json_t *stage;

		if (strcmp(pipeline->name, "assembler") != 0) {
			json = describe_pipeline_1(pipeline, record, json);
			continue;
		}
		stage = json_array_get(stages_of(record, pipeline), 0);
		if (!stage)
			continue;
		(void)json_object_set_new(json, "assembler", describe_stage_1(stage));
		if (pipeline_failed(record, pipeline))
			(void)json_object_set_new(json, "success", json_false());
	}
	return json;
}

int osbuild_result(const struct manifest *manifest, const struct osbuild_record *record,
		   bool success, const json_t *metadata, json_t **ret_result,
		   struct cop_error *err)
{
	json_t *json = manifest->version == 1
			       ? result_1(manifest, record)
			       : result_2(manifest, record, success, metadata);

	if (!json)
		return err_oom(err);
	*ret_result = json;
	return 0;
}
