/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/key.h"

#include "engine/runner.h"
#include "json/json.h"

/* Raised when the same parts mean something else. */
#define KEY_VERSION 1

static int hash(const json_t *json, char key[SHA256_HEX + 1], struct cop_error *err)
{
	auto_buf text = {};
	int r = json_canonical(json, &text, err);

	return r < 0 ? r : sha256_bytes(text.data, text.size, key, err);
}

static json_t *describe_devices(const struct manifest_stage *stage)
{
	auto_json *ids = json_object();

	for (size_t i = 0; i < stage->n_devices; i++)
		if (json_object_set_new(ids, stage->devices[i].name,
					json_string(stage->devices[i].id)) < 0)
			return NULL;
	return TAKE_PTR(ids);
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
	auto_json *json =
		json_pack("{s:i, s:s, s:s, s:s?, s:s, s:s?, s:o, s:o, s:O*}", "version",
			  KEY_VERSION, "id", stage->id, "module", stage->module->key,
			  "base", parts->base, "build", parts->build, "runner",
			  parts->runner ? parts->runner->key : NULL, "devices",
			  describe_devices(stage), "input-modules",
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
