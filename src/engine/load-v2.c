/* SPDX-License-Identifier: Apache-2.0 */
/* Sources and pipelines of version 2.  References only ever point backwards. */
#include "engine/manifest.h"

#include <stdio.h>
#include <string.h>

#include "json/json.h"

static int read_source(struct manifest *manifest, const char *type, json_t *json,
		       struct cop_error *err)
{
	struct manifest_source *source = &manifest->sources[manifest->n_sources++];
	int r;

	source->type = type;
	/* The schema allows lists, too, which say nothing of where to get things: osbuild
	 * crashes. */
	r = json_optional_object(json, "items", "source", &source->items, err);
	if (r == 0)
		r = json_optional_object(json, "options", "source", &source->options,
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

	if (n > MANIFEST_SOURCES_MAX)
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

static int read_build(const struct manifest *manifest, struct manifest_pipeline *pipeline,
		      const json_t *json, struct cop_error *err)
{
	const struct manifest_pipeline *build;
	const char *text = NULL;
	int r = json_optional_string(json, "build", "pipeline", &text, err);

	if (r < 0 || !text)
		return r;
	if (!*text) {
		pipeline->build_is_empty = true;
		return 0;
	}
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
	int r;

	if (manifest_find_name(manifest, pipeline->name))
		return err_set(err, -EINVAL, "there are two pipelines of this name");
	manifest->n_pipelines++;
	r = read_build(manifest, pipeline, json, err);
	if (r == 0)
		r = json_optional_string(json, "runner", "pipeline",
					 &pipeline->carried_name, err);
	/* Even when nobody runs anything in there. */
	if (r == 0)
		r = manifest_find_runner(manifest, pipeline->carried_name,
					 &pipeline->carried, err);
	if (r == 0 && json_object_get(json, "source-epoch")) {
		pipeline->has_epoch = true;
		r = json_optional_integer(json, "source-epoch", "pipeline",
					  &pipeline->epoch, err);
	}
	if (r == 0)
		r = manifest_read_stages(manifest, pipeline,
					 json_object_get(json, "stages"), err);
	return r;
}

static int read_pipelines(struct manifest *manifest, struct cop_error *err)
{
	json_t *pipelines = json_object_get(manifest->root, "pipelines"), *json;
	size_t i, n = json_array_size(pipelines);

	if (n > MANIFEST_PIPELINES_MAX)
		return err_set(err, -EINVAL, "manifest: %zu pipelines are too many", n);
	manifest->pipelines = calloc(n + 1, sizeof(*manifest->pipelines));
	if (!manifest->pipelines)
		return err_oom(err);
	json_array_foreach (pipelines, i, json) {
		const char **name = &manifest->pipelines[i].name;
		char where[48];
		int r;

		(void)snprintf(where, sizeof(where), "manifest: pipeline %zu", i + 1);
		r = json_get_string(json, "name", where, name, err);
		if (r < 0)
			return r;
		r = read_pipeline(manifest, json, err);
		if (r < 0)
			return err_prefix(err, r, "manifest: pipeline '%s'", *name);
	}
	return 0;
}

/* The runner is written on the tree in which it is used.  Pipelines with the same id are
 * one tree: the last of them says which. */
static int find_carried(const struct manifest *manifest,
			struct manifest_pipeline *pipeline, struct cop_error *err)
{
	for (size_t i = manifest->n_pipelines; i > 0; i--) {
		const struct manifest_pipeline *build = &manifest->pipelines[i - 1];
		const char *id = manifest_pipeline_last(build);

		if (!id || strcmp(id, pipeline->build) != 0)
			continue;
		if (build >= pipeline && manifest_find_id(manifest, id) >= pipeline)
			break;
		pipeline->runner = build->carried;
		return 0;
	}
	return err_set(err, -EINVAL,
		       "manifest: pipeline '%s': its build '%s' is no earlier pipeline",
		       pipeline->name, pipeline->build);
}

static int find_runners(struct manifest *manifest, struct cop_error *err)
{
	struct manifest_runner host = {};
	int r = manifest_find_runner(manifest, NULL, &host, err);

	for (size_t i = 0; i < manifest->n_pipelines && r == 0; i++) {
		struct manifest_pipeline *pipeline = &manifest->pipelines[i];

		pipeline->runner = host;
		if (pipeline->build)
			r = find_carried(manifest, pipeline, err);
	}
	return r;
}

int manifest_read_version_2(struct manifest *manifest, struct cop_error *err)
{
	int r = read_sources(manifest, err);

	if (r == 0)
		r = read_pipelines(manifest, err);
	return r < 0 ? r : find_runners(manifest, err);
}
