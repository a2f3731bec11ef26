/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/key.h"

#include <stdio.h>

#include "engine/runner.h"
#include "json/json.h"

/* Raised when the same parts mean something else. */
#define KEY_VERSION 2
/* So much of a hash tells two values apart for people. */
#define SHORT_HASH 16

static int put(json_t *object, const char *key, const char *value)
{
	return json_object_set_new(object, key, json_string(value));
}

static json_t *describe_devices(const struct manifest_stage *stage)
{
	auto_json *ids = json_object();

	for (size_t i = 0; i < stage->n_devices; i++)
		if (put(ids, stage->devices[i].name, stage->devices[i].id) < 0)
			return NULL;
	return TAKE_PTR(ids);
}

static int add_module(json_t *modules, const struct module *module)
{
	char name[300];

	if (!module)
		return 0;
	(void)snprintf(name, sizeof(name), "%s %s", module_class_name(module->class),
		       module->name);
	return put(modules, name, module->key);
}

/* Of the stage and of everything that serves it. */
static json_t *describe_modules(const struct manifest_stage *stage,
				const struct module *runner)
{
	auto_json *keys = json_object();
	int r = add_module(keys, stage->module);

	for (size_t i = 0; i < stage->n_inputs && r == 0; i++)
		r = add_module(keys, stage->inputs[i].module);
	for (size_t i = 0; i < stage->n_devices && r == 0; i++)
		r = add_module(keys, stage->devices[i].module);
	for (size_t i = 0; i < stage->n_mounts && r == 0; i++)
		r = add_module(keys, stage->mounts[i].module);
	if (r == 0)
		r = add_module(keys, runner);
	return r < 0 ? NULL : TAKE_PTR(keys);
}

/* The id says the same, but not which of them differs. */
static json_t *describe_options(const struct manifest_stage *stage)
{
	auto_json *hashes = json_object();
	char hash[SHA256_HEX + 1];
	const char *name;
	json_t *value;

	json_object_foreach (stage->options, name, value) {
		auto_buf text = {};

		if (json_canonical(value, &text, NULL) < 0 ||
		    sha256_bytes(text.data, text.size, hash, NULL) < 0)
			return NULL;
		hash[SHORT_HASH] = '\0';
		if (put(hashes, name, hash) < 0)
			return NULL;
	}
	return TAKE_PTR(hashes);
}

static json_t *describe_inputs(const struct manifest_stage *stage)
{
	auto_json *ids = json_object();

	for (size_t i = 0; i < stage->n_inputs; i++)
		if (put(ids, stage->inputs[i].name, stage->inputs[i].id) < 0)
			return NULL;
	return TAKE_PTR(ids);
}

static json_t *describe_mounts(const struct manifest_stage *stage)
{
	auto_json *ids = json_object();

	for (size_t i = 0; i < stage->n_mounts; i++)
		if (put(ids, stage->mounts[i].name, stage->mounts[i].id) < 0)
			return NULL;
	return TAKE_PTR(ids);
}

int key_describe(const struct manifest_stage *stage, const struct key_parts *parts,
		 json_t **ret_json, struct cop_error *err)
{
	const struct manifest_pipeline *pipeline = stage->pipeline;
	json_t *epoch = pipeline->has_epoch ? json_integer(pipeline->epoch) : json_null();
	json_t *json = json_pack(
		"{s:i, s:s, s:s, s:s?, s:s?, s:s?, s:o, s:o, s:O*, s:O*, s:o, s:o, s:o, s:o}",
		"version", KEY_VERSION, "id", stage->id, "type", stage->type, "base",
		parts->base, "build", parts->build, "host", parts->host, "modules",
		describe_modules(stage, parts->runner), "devices",
		describe_devices(stage), "trees", parts->inputs, "secrets",
		parts->secrets, "options", describe_options(stage), "inputs",
		describe_inputs(stage), "mounts", describe_mounts(stage), "source-epoch",
		epoch);

	if (!json)
		return err_oom(err);
	*ret_json = json;
	return 0;
}

int key_compute(const json_t *description, char key[SHA256_HEX + 1],
		struct cop_error *err)
{
	auto_buf text = {};
	int r = json_canonical(description, &text, err);

	return r < 0 ? r : sha256_bytes(text.data, text.size, key, err);
}

int key_of_host(char **ret_host, struct cop_error *err)
{
	auto_free char *id = NULL, *version = NULL;
	int r = host_release(&id, &version, err);

	if (r < 0)
		return r;
	if (asprintf(ret_host, "%s %s", id, version) < 0)
		return err_oom(err);
	return 0;
}
