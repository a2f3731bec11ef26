/* SPDX-License-Identifier: Apache-2.0 */
/* From text to a resolved manifest.  References only ever point backwards. */
#include "engine/manifest.h"

#include <string.h>

#include "json/json.h"

static void stage_done(struct manifest_stage *stage)
{
	for (size_t i = 0; i < stage->n_inputs; i++) {
		json_decref(stage->inputs[i].references);
		json_decref(stage->inputs[i].makers);
	}
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
	free(manifest->sources);
	(void)modules_free(manifest->modules);
	json_decref(manifest->made);
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

/* Version 1 has no key for it. */
static int read_version(struct manifest *manifest, struct cop_error *err)
{
	const json_t *version = json_object_get(manifest->root, "version");
	auto_buf text = {};
	int r;

	manifest->version = 1;
	if (!version ||
	    (json_is_text(version) && strcmp(json_string_value(version), "1") == 0))
		return 0;
	manifest->version = 2;
	if (json_is_text(version) && strcmp(json_string_value(version), "2") == 0)
		return 0;
	r = json_write(version, 0, &text, err);
	if (r < 0)
		return r;
	(void)err_set(err, -EINVAL,
		      "manifest: version %.40s is not known; it must be the string "
		      "\"2\"",
		      buf_text(&text));
	return MANIFEST_UNKNOWN_VERSION;
}

int manifest_find_runner(struct manifest *manifest, const char *name,
			 struct manifest_runner *runner, struct cop_error *err)
{
	bool is_host = !name || !*name;
	int r;

	*runner = (struct manifest_runner){.name = is_host ? NULL : name};
	if (!manifest->modules)
		return 0;
	r = modules_find_runner(manifest->modules, runner->name, &runner->module, err);
	/* Our own modules run without one. */
	if (r == -ENOENT)
		return is_host ? 0 : -EINVAL;
	if (r == 0 && is_host)
		runner->name = runner->module->name;
	return r;
}

static int hash_document(struct manifest *manifest, struct cop_error *err)
{
	auto_buf text = {};
	int r = json_canonical(manifest->root, &text, err);

	return r < 0 ? r : sha256_bytes(text.data, text.size, manifest->digest, err);
}

/* In 2020 the pipeline itself could be the document. */
static int accept_bare_pipeline(struct manifest *manifest, struct cop_error *err)
{
	static const char *const keys[] = {"build", "stages", "assembler"};
	json_t *wrapped;
	bool is_one = false;

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		is_one = is_one || json_object_get(manifest->root, keys[i]);
	if (manifest->version != 1 || !is_one ||
	    json_object_get(manifest->root, "pipeline") ||
	    json_object_get(manifest->root, "sources"))
		return 0;
	wrapped = json_pack("{s:O}", "pipeline", manifest->root);
	if (!wrapped)
		return err_oom(err);
	json_decref(manifest->root);
	manifest->root = wrapped;
	return 0;
}

static int load(struct manifest *manifest, const struct engine_places *places,
		struct schema_errors *errors, struct cop_error *err)
{
	int r;

	if (!json_is_object(manifest->root))
		return err_set(err, -EINVAL, "manifest: not a JSON object");
	r = read_version(manifest, err);
	if (r == 0)
		r = accept_bare_pipeline(manifest, err);
	if (r == 0 && places)
		r = modules_new(places, manifest->version, &manifest->modules, err);
	if (r == 0)
		r = manifest_validate(manifest, errors, err);
	if (r == 0)
		r = manifest->version == 1 ? manifest_read_version_1(manifest, err)
					   : manifest_read_version_2(manifest, err);
	if (r == 0)
		r = hash_document(manifest, err);
	manifest->metadata = json_object_get(manifest->root, "metadata");
	return r;
}

int manifest_read(const char *text, size_t size, const struct engine_places *places,
		  struct schema_errors *errors, struct manifest **ret_manifest,
		  struct cop_error *err)
{
	auto_ptr(manifest) manifest = calloc(1, sizeof(*manifest));
	int r;

	if (!manifest)
		return err_oom(err);
	r = json_read(text, size, &manifest->root, err);
	if (r < 0)
		return err_prefix(err, r == -ENOMEM ? r : -EINVAL, "manifest");
	r = load(manifest, places, errors, err);
	if (r != 0)
		return r;
	*ret_manifest = TAKE_PTR(manifest);
	return 0;
}

int manifest_load(const char *text, size_t size, const struct engine_places *places,
		  struct manifest **ret_manifest, struct cop_error *err)
{
	auto_schema_errors errors = {};
	int r = manifest_read(text, size, places, &errors, ret_manifest, err);

	if (r == MANIFEST_INVALID)
		return manifest_invalid(&errors, places, err);
	return r > 0 ? -EINVAL : r;
}
