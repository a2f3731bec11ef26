/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Version 1, converted: a tree with stages, an assembler that reads it, and builds inside
 * each other.  The innermost build becomes the first pipeline.
 */
#include "engine/manifest.h"

#include <string.h>

#include "json/json.h"

/* The manifest keeps it alive. */
static int keep(struct manifest *manifest, json_t *json, struct cop_error *err)
{
	if (!manifest->made)
		manifest->made = json_array();
	return json_array_append_new(manifest->made, json) < 0 ? err_oom(err) : 0;
}

static int name_pipeline(struct manifest *manifest, struct manifest_pipeline *pipeline,
			 size_t depth, struct cop_error *err)
{
	auto_buf name = {};
	json_t *json;

	pipeline->name = "tree";
	if (depth == 0)
		return 0;
	for (size_t i = 0; i < depth; i++)
		(void)buf_append_text(&name, i ? "-build" : "build");
	json = json_string(buf_text(&name));
	pipeline->name = json_string_value(json);
	return name.failed ? err_oom(err) : keep(manifest, json, err);
}

static int begin_input(struct manifest *manifest, struct manifest_stage *stage,
		       const struct manifest_input *like, struct cop_error *err)
{
	stage->inputs = calloc(1, sizeof(*stage->inputs));
	if (!stage->inputs)
		return err_oom(err);
	stage->n_inputs = 1;
	stage->inputs[0] = *like;
	stage->inputs[0].references = json_object();
	if (!stage->inputs[0].references)
		return err_oom(err);
	if (!manifest->modules)
		return 0;
	return modules_get(manifest->modules, MODULE_INPUT, like->type,
			   &stage->inputs[0].module, err);
}

static int add_reference(struct manifest_input *input, const char *reference,
			 json_t *options, struct cop_error *err)
{
	return json_object_set_new(input->references, reference, options) < 0
		       ? err_oom(err)
		       : 0;
}

static int add_package(struct manifest_input *input, json_t *package,
		       struct cop_error *err)
{
	const char *checksum = NULL;
	json_t *check;
	int r;

	if (json_is_text(package)) {
		checksum = json_string_value(package);
		if (strlen(checksum) != json_string_length(package))
			return err_set(err, -EINVAL, "a package holds U+0000");
		return add_reference(input, checksum, json_object(), err);
	}
	r = json_get_string(package, "checksum", "package", &checksum, err);
	if (r < 0)
		return r;
	check = json_object_get(package, "check_gpg");
	return add_reference(input, checksum,
			     json_truthy(check) ? json_pack("{s:{s:O}}", "metadata",
							    "rpm.check_gpg", check)
						: json_object(),
			     err);
}

/* What the stage reads was said in its options. */
static int add_packages(struct manifest *manifest, struct manifest_stage *stage,
			struct cop_error *err)
{
	static const struct manifest_input like = {.name = "packages",
						   .type = "org.osbuild.files",
						   .origin = "org.osbuild.source"};
	json_t *packages, *package;
	size_t i;
	int r = json_get_array(stage->options, "packages", "options", &packages, err);

	if (r == 0)
		r = begin_input(manifest, stage, &like, err);
	if (r < 0)
		return r;
	json_array_foreach (packages, i, package) {
		r = add_package(&stage->inputs[0], package, err);
		if (r < 0)
			return r;
	}
	return input_compute_id(&stage->inputs[0], err);
}

static int add_commit(struct manifest *manifest, struct manifest_stage *stage,
		      struct cop_error *err)
{
	static const struct manifest_input like = {.name = "commits",
						   .type = "org.osbuild.ostree",
						   .origin = "org.osbuild.source"};
	json_t *ref = json_object_get(stage->options, "ref");
	const char *commit;
	int r = json_get_string(stage->options, "commit", "options", &commit, err);

	if (r == 0)
		r = begin_input(manifest, stage, &like, err);
	if (r == 0)
		r = add_reference(&stage->inputs[0], commit,
				  json_truthy(ref) ? json_pack("{s:O}", "ref", ref)
						   : json_object(),
				  err);
	return r < 0 ? r : input_compute_id(&stage->inputs[0], err);
}

static int add_tree(struct manifest *manifest, struct manifest_stage *stage,
		    struct cop_error *err)
{
	static const struct manifest_input like = {.name = "tree",
						   .type = "org.osbuild.tree",
						   .origin = "org.osbuild.pipeline"};
	const struct manifest_pipeline *tree = stage->pipeline - 1;
	const char *id = manifest_pipeline_last(tree);
	int r = begin_input(manifest, stage, &like, err);

	if (r == 0)
		r = add_reference(&stage->inputs[0], id ? id : "null", json_object(),
				  err);
	return r < 0 ? r : input_compute_id(&stage->inputs[0], err);
}

int manifest_read_stage_1(struct manifest *manifest, struct manifest_stage *stage,
			  const json_t *json, struct cop_error *err)
{
	bool assembles = strcmp(stage->pipeline->name, "assembler") == 0;
	int r = json_get_string(json, "name", "stage", &stage->type, err);

	stage->class = assembles ? MODULE_ASSEMBLER : MODULE_STAGE;
	if (r == 0)
		r = json_optional_object(json, "options", "stage", &stage->options, err);
	if (r == 0 && manifest->modules)
		r = modules_get(manifest->modules, stage->class, stage->type,
				&stage->module, err);
	if (r < 0)
		return r;
	if (assembles)
		return add_tree(manifest, stage, err);
	if (strcmp(stage->type, "org.osbuild.rpm") == 0)
		return add_packages(manifest, stage, err);
	if (strcmp(stage->type, "org.osbuild.ostree") == 0)
		return add_commit(manifest, stage, err);
	return 0;
}

/* The build of a pipeline must have been read just before it. */
static int read_pipeline(struct manifest *manifest, const json_t *json, size_t depth,
			 bool has_build_pipeline, struct cop_error *err)
{
	struct manifest_pipeline *pipeline = &manifest->pipelines[manifest->n_pipelines];
	const json_t *build = json_object_get(json, "build");
	const char *runner = NULL;
	int r = name_pipeline(manifest, pipeline, depth, err);

	manifest->n_pipelines++;
	if (r == 0 && json_truthy(build))
		r = json_get_string(build, "runner", "build", &runner, err);
	if (r == 0)
		r = manifest_find_runner(manifest, runner, &pipeline->runner, err);
	if (has_build_pipeline) {
		pipeline[-1].carried_name = runner;
		pipeline[-1].carried = pipeline->runner;
		pipeline->build = manifest_pipeline_last(&pipeline[-1]);
	}
	if (r == 0)
		r = manifest_read_stages(manifest, pipeline,
					 json_object_get(json, "stages"), err);
	return r < 0 ? err_prefix(err, r, "manifest: pipeline '%s'", pipeline->name) : 0;
}

static int read_assembler(struct manifest *manifest, json_t *json, struct cop_error *err)
{
	struct manifest_pipeline *tree = &manifest->pipelines[manifest->n_pipelines - 1],
				 *pipeline = tree + 1;
	auto_json *stages = json_pack("[O]", json);
	int r;

	if (!stages)
		return err_oom(err);
	*pipeline = (struct manifest_pipeline){
		.name = "assembler",
		.build = tree->build,
		.runner = tree->runner,
	};
	manifest->n_pipelines++;
	r = manifest_read_stages(manifest, pipeline, stages, err);
	return r < 0 ? err_prefix(err, r, "manifest: assembler") : 0;
}

static int read_pipelines(struct manifest *manifest, const json_t *tree,
			  struct cop_error *err)
{
	const json_t *pipelines[MANIFEST_PIPELINES_MAX], *build = tree;
	size_t n = 0;
	json_t *assembler = json_object_get(tree, "assembler");
	int r = 0;

	do {
		if (n == MANIFEST_PIPELINES_MAX)
			return err_set(err, -EINVAL,
				       "manifest: more than %d builds inside each other",
				       MANIFEST_PIPELINES_MAX);
		pipelines[n++] = build;
		build = json_object_get(json_object_get(build, "build"), "pipeline");
	} while (json_truthy(build));
	manifest->pipelines = calloc(n + 2, sizeof(*manifest->pipelines));
	if (!manifest->pipelines)
		return err_oom(err);
	for (size_t i = n; i > 0 && r == 0; i--)
		r = read_pipeline(manifest, pipelines[i - 1], i - 1, i < n, err);
	if (r == 0 && json_truthy(assembler))
		r = read_assembler(manifest, assembler, err);
	return r;
}

/* Each has its items under a key of its own, and all that was written as its options. */
static int read_source(struct manifest *manifest, const char *name, json_t *json,
		       struct cop_error *err)
{
	static const char *const keys[][2] = {{"org.osbuild.curl", "urls"},
					      {"org.osbuild.ostree", "commits"},
					      {"org.osbuild.librepo", "items"}};
	struct manifest_source *source = &manifest->sources[manifest->n_sources++];

	source->type = strcmp(name, "org.osbuild.files") == 0 ? keys[0][0] : name;
	source->options = json;
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		int r;

		if (strcmp(source->type, keys[i][0]) != 0)
			continue;
		r = json_get_object(json, keys[i][1], "source", &source->items, err);
		if (r == 0 && manifest->modules)
			r = modules_get(manifest->modules, MODULE_SOURCE, source->type,
					&source->module, err);
		return r;
	}
	return err_set(err, -EINVAL,
		       "manifests of version 1 have no source of this type");
}

static int read_sources(struct manifest *manifest, struct cop_error *err)
{
	json_t *sources = json_object_get(manifest->root, "sources"), *value;
	size_t n = json_object_size(sources);
	const char *name;

	if (n > MANIFEST_SOURCES_MAX)
		return err_set(err, -EINVAL, "manifest: %zu sources are too many", n);
	manifest->sources = calloc(n + 1, sizeof(*manifest->sources));
	if (!manifest->sources)
		return err_oom(err);
	json_object_foreach (sources, name, value) {
		int r = read_source(manifest, name, value, err);

		if (r < 0)
			return err_prefix(err, r, "manifest: source '%s'", name);
	}
	return 0;
}

int manifest_read_version_1(struct manifest *manifest, struct cop_error *err)
{
	int r = read_pipelines(manifest, json_object_get(manifest->root, "pipeline"),
			       err);

	return r < 0 ? r : read_sources(manifest, err);
}
