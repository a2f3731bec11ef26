/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/key.h"

#include "engine/runner.h"
#include "json/json.h"

/* Raised when the same parts mean something else. */
#define KEY_VERSION 2

static int hash(const json_t *json, char key[SHA256_HEX + 1], struct cop_error *err)
{
	auto_buf text = {};
	int r = json_canonical(json, &text, err);

	return r < 0 ? r : sha256_bytes(text.data, text.size, key, err);
}

static json_t *module_key(const struct module *module)
{
	return json_string(module ? module->key : "");
}

/* Ids of devices are no part of the stage's, but for those that are mounted. */
static json_t *describe_devices(const struct manifest_stage *stage)
{
	auto_json *devices = json_object();

	for (size_t i = 0; i < stage->n_devices; i++)
		if (json_object_set_new(devices, stage->devices[i].name,
					json_pack("[s, o]", stage->devices[i].id,
						  module_key(stage->devices[i].module))) <
		    0)
			return NULL;
	return TAKE_PTR(devices);
}

static json_t *describe_mount_modules(const struct manifest_stage *stage)
{
	auto_json *keys = json_object();

	for (size_t i = 0; i < stage->n_mounts; i++)
		if (json_object_set_new(keys, stage->mounts[i].type,
					module_key(stage->mounts[i].module)) < 0)
			return NULL;
	return TAKE_PTR(keys);
}

/* A module of ours does without a runner. */
static const char *runner_key(const struct manifest_stage *stage,
			      const struct module *runner)
{
	return runner && !module_is_ours(stage->module) ? runner->key : NULL;
}

static json_t *describe_input_modules(const struct manifest_stage *stage)
{
	auto_json *keys = json_object();

	for (size_t i = 0; i < stage->n_inputs; i++)
		if (json_object_set_new(keys, stage->inputs[i].type,
					json_string(stage->inputs[i].module->key)) < 0)
			return NULL;
	return TAKE_PTR(keys);
}

int key_compute(const struct manifest_stage *stage, const struct key_parts *parts,
		char key[SHA256_HEX + 1], struct cop_error *err)
{
	auto_json *json = json_pack(
		"{s:i, s:s, s:s, s:s?, s:s, s:s?, s:o, s:o, s:o, s:O*}", "version",
		KEY_VERSION, "id", stage->id, "module", stage->module->key, "base",
		parts->base, "build", parts->build, "runner",
		runner_key(stage, parts->runner), "devices", describe_devices(stage),
		"mount-modules", describe_mount_modules(stage), "input-modules",
		describe_input_modules(stage), "inputs", parts->inputs);

	return json ? hash(json, key, err) : err_oom(err);
}

int key_of_host(char key[SHA256_HEX + 1], struct cop_error *err)
{
	auto_free char *id = NULL, *version = NULL;
	auto_json *json = NULL;
	int r = host_release(&id, &version, err);

	if (r < 0)
		return r;
	json = json_pack("{s:s, s:s}", "id", id, "version", version);
	return json ? hash(json, key, err) : err_oom(err);
}
