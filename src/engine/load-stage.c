/* SPDX-License-Identifier: Apache-2.0 */
/* Reading one stage: inputs, devices (parents first) and mounts, each with its id. */
#include "engine/manifest.h"

#include <string.h>

#include "json/json.h"

/* More of one kind in one stage is no manifest that anybody meant; it also bounds what
 * the searches by name below cost. */
#define PARTS_MAX 1000

static int find_module(struct manifest *manifest, enum module_class class,
		       const char *name, const struct module **ret_module,
		       struct cop_error *err)
{
	int r;

	if (!manifest->modules)
		return 0;
	r = modules_get(manifest->modules, class, name, ret_module, err);
	/* What is not served fails by name when it is to be used. */
	return r == -ENOENT && (class == MODULE_DEVICE || class == MODULE_MOUNT) ? 0 : r;
}

static int count_parts(const json_t *parts, const char *what, const char *where,
		       size_t *ret_n, struct cop_error *err)
{
	size_t n =
		json_is_object(parts) ? json_object_size(parts) : json_array_size(parts);

	if (n > PARTS_MAX)
		return err_set(err, -EINVAL, "%s: %zu %s are too many", where, n, what);
	*ret_n = n;
	return 0;
}

/* Several pipelines may have the same id, and differ in what is no part of it. */
static int resolve_pipeline(const struct manifest *manifest, struct manifest_input *input,
			    const char *name, const char **ret_id, struct cop_error *err)
{
	const struct manifest_pipeline *pipeline = manifest_find_name(manifest, name);
	const char *id;

	if (!pipeline)
		return err_set(err, -EINVAL,
			       "input '%s': unknown pipeline reference 'name:%s'",
			       input->name, name);
	id = manifest_pipeline_last(pipeline);
	*ret_id = id ? id : "null";
	if (!input->makers)
		input->makers = json_object();
	return json_object_set_new(input->makers, *ret_id,
				   json_integer(pipeline - manifest->pipelines)) < 0
		       ? err_oom(err)
		       : 0;
}

static bool source_has(const struct manifest *manifest, const char *reference)
{
	for (size_t i = 0; i < manifest->n_sources; i++)
		if (json_object_get(manifest->sources[i].items, reference))
			return true;
	return false;
}

static int add_reference(struct manifest *manifest, struct manifest_input *input,
			 const char *key, json_t *options, struct cop_error *err)
{
	auto_json *empty = json_object();
	json_t *value = options ? options : empty;
	const char *id = NULL;
	int r;

	if (!empty)
		return err_oom(err);
	if (strcmp(input->origin, "org.osbuild.source") == 0) {
		if (!source_has(manifest, key))
			return err_set(err, -EINVAL,
				       "input '%s': unknown source reference '%s'",
				       input->name, key);
		id = key;
	} else {
		/* osbuild drops what does not begin so, without a word. */
		if (strncmp(key, "name:", 5) != 0)
			return 0;
		r = resolve_pipeline(manifest, input, key + 5, &id, err);
		if (r < 0)
			return r;
	}
	return json_object_set(input->references, id, value) < 0 ? err_oom(err) : 0;
}

static int read_reference_entry(struct manifest *manifest, struct manifest_input *input,
				json_t *entry, struct cop_error *err)
{
	json_t *options = NULL;
	const char *id;
	int r;

	if (json_is_text(entry)) {
		id = json_string_value(entry);
		if (strlen(id) != json_string_length(entry))
			return err_set(err, -EINVAL,
				       "input '%s': a reference holds U+0000",
				       input->name);
		return add_reference(manifest, input, id, NULL, err);
	}
	r = json_get_string(entry, "id", "reference", &id, err);
	if (r == 0)
		r = json_optional_object(entry, "options", "reference", &options, err);
	if (r < 0)
		return err_prefix(err, r, "input '%s'", input->name);
	return add_reference(manifest, input, id, options, err);
}

static int read_references(struct manifest *manifest, struct manifest_input *input,
			   json_t *json, struct cop_error *err)
{
	const char *key;
	json_t *value;
	size_t i;
	int r = 0;

	input->references = json_object();
	if (!input->references)
		return err_oom(err);
	json_array_foreach (json, i, value) {
		r = read_reference_entry(manifest, input, value, err);
		if (r < 0)
			return r;
	}
	json_object_foreach (json, key, value) {
		r = add_reference(manifest, input, key, value, err);
		if (r < 0)
			return r;
	}
	return r;
}

static int read_input(struct manifest *manifest, struct manifest_input *input,
		      struct cop_error *err)
{
	int r = json_get_string(input->json, "type", input->name, &input->type, err);

	if (r == 0)
		r = json_get_string(input->json, "origin", input->name, &input->origin,
				    err);
	if (r == 0)
		r = json_optional_object(input->json, "options", input->name,
					 &input->options, err);
	if (r == 0)
		r = read_references(manifest, input,
				    json_object_get(input->json, "references"), err);
	if (r == 0)
		r = find_module(manifest, MODULE_INPUT, input->type, &input->module, err);
	return r < 0 ? r : input_compute_id(input, err);
}

static int read_inputs(struct manifest *manifest, struct manifest_stage *stage,
		       json_t *json, struct cop_error *err)
{
	struct manifest_input *inputs;
	const char *name;
	json_t *value;
	size_t n = 0;
	int r = count_parts(json, "inputs", "inputs", &n, err);

	if (r < 0 || n == 0)
		return r;
	inputs = calloc(n, sizeof(*inputs));
	if (!inputs)
		return err_oom(err);
	stage->inputs = inputs;
	json_object_foreach (json, name, value) {
		struct manifest_input *input = &inputs[stage->n_inputs++];

		input->name = name;
		input->json = value;
		r = read_input(manifest, input, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static const struct manifest_device *find_device(const struct manifest_stage *stage,
						 const char *name)
{
	for (size_t i = 0; i < stage->n_devices; i++)
		if (strcmp(stage->devices[i].name, name) == 0)
			return &stage->devices[i];
	return NULL;
}

/* Return: 1 when it was placed, 0 when its parent has to come first. */
static int place_device(struct manifest *manifest, struct manifest_stage *stage,
			const json_t *all, const char *name, json_t *json,
			struct cop_error *err)
{
	struct manifest_device *device = &stage->devices[stage->n_devices];
	const char *parent = NULL;
	int r = json_optional_string(json, "parent", name, &parent, err);

	*device = (struct manifest_device){.name = name};
	if (r == 0 && parent && *parent) {
		device->parent = find_device(stage, parent);
		if (!device->parent && !json_object_get(all, parent))
			return err_set(err, -EINVAL,
				       "missing parent device '%s' of device '%s'",
				       parent, name);
		if (!device->parent)
			return 0;
	}
	if (r == 0)
		r = json_get_string(json, "type", name, &device->type, err);
	if (r == 0)
		r = json_optional_object(json, "options", name, &device->options, err);
	if (r == 0)
		r = find_module(manifest, MODULE_DEVICE, device->type, &device->module,
				err);
	if (r == 0)
		r = device_compute_id(device, err);
	if (r < 0)
		return r;
	stage->n_devices++;
	return 1;
}

/* Pass after pass over what is left, in the order of the manifest, as osbuild does. */
static int read_devices(struct manifest *manifest, struct manifest_stage *stage,
			const json_t *json, struct cop_error *err)
{
	struct manifest_device *devices;
	size_t n = 0, before;
	int r = count_parts(json, "devices", "devices", &n, err);

	if (r < 0 || n == 0)
		return r;
	devices = calloc(n, sizeof(*devices));
	if (!devices)
		return err_oom(err);
	stage->devices = devices;
	do {
		const char *name;
		json_t *value;

		before = stage->n_devices;
		json_object_foreach ((json_t *)(uintptr_t)json, name, value) {
			if (find_device(stage, name))
				continue;
			r = place_device(manifest, stage, json, name, value, err);
			if (r < 0)
				return r;
		}
		if (stage->n_devices == before)
			return err_set(err, -EINVAL, "a cycle of parents in 'devices'");
	} while (stage->n_devices < n);
	return 0;
}

static int read_mount(struct manifest *manifest, struct manifest_stage *stage,
		      struct manifest_mount *mount, const json_t *json,
		      struct cop_error *err)
{
	const char *source = NULL;
	int r = json_get_string(json, "name", "mount", &mount->name, err);

	if (r == 0)
		r = json_get_string(json, "type", mount->name, &mount->type, err);
	if (r == 0)
		r = json_optional_string(json, "target", mount->name, &mount->target,
					 err);
	if (r == 0)
		r = json_optional_string(json, "source", mount->name, &source, err);
	if (r == 0)
		r = json_optional_object(json, "options", mount->name, &mount->options,
					 err);
	if (r < 0)
		return r;
	mount->partition = json_object_get(json, "partition");
	for (const struct manifest_mount *other = stage->mounts; other < mount; other++)
		if (strcmp(other->name, mount->name) == 0)
			return err_set(err, -EINVAL, "there are two mounts '%s'",
				       mount->name);
	if (source && *source) {
		mount->source = find_device(stage, source);
		if (!mount->source)
			return err_set(err, -EINVAL, "unknown device '%s' of mount '%s'",
				       source, mount->name);
	}
	r = find_module(manifest, MODULE_MOUNT, mount->type, &mount->module, err);
	return r < 0 ? r : mount_compute_id(mount, err);
}

static int read_mounts(struct manifest *manifest, struct manifest_stage *stage,
		       const json_t *json, struct cop_error *err)
{
	size_t i, n = 0;
	json_t *value;
	int r = count_parts(json, "mounts", "mounts", &n, err);

	if (r < 0 || n == 0)
		return r;
	stage->mounts = calloc(n, sizeof(*stage->mounts));
	if (!stage->mounts)
		return err_oom(err);
	json_array_foreach (json, i, value) {
		r = read_mount(manifest, stage, &stage->mounts[stage->n_mounts++], value,
			       err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int read_stage(struct manifest *manifest, struct manifest_stage *stage,
		      json_t *json, struct cop_error *err)
{
	int r = json_get_string(json, "type", "stage", &stage->type, err);

	if (r == 0)
		r = json_optional_object(json, "options", "stage", &stage->options, err);
	if (r == 0)
		r = read_inputs(manifest, stage, json_object_get(json, "inputs"), err);
	if (r == 0)
		r = read_devices(manifest, stage, json_object_get(json, "devices"), err);
	if (r == 0)
		r = read_mounts(manifest, stage, json_object_get(json, "mounts"), err);
	if (r == 0)
		r = find_module(manifest, MODULE_STAGE, stage->type, &stage->module, err);
	return r;
}

int manifest_read_stages(struct manifest *manifest, struct manifest_pipeline *pipeline,
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
		r = manifest->version == 1
			    ? manifest_read_stage_1(manifest, stage, json, err)
			    : read_stage(manifest, stage, json, err);
		if (r == 0)
			r = stage_compute_id(stage, base, err);
		if (r < 0)
			return err_prefix(err, r, "stage %zu (%s)", i + 1,
					  stage->type ? stage->type : "?");
		base = stage->id;
	}
	return 0;
}
