/* SPDX-License-Identifier: Apache-2.0 */
/* How osbuild makes one schema of what a description says: the class decides the frame.
 */
#include "engine/module.h"

#include <string.h>

/* The description's part for a version, as osbuild picks it; NULL: it has none. */
static json_t *part(const struct module *module, unsigned int version)
{
	json_t *first = json_object_get(module->meta, "schema"),
	       *second = json_object_get(module->meta, "schema_2");

	if (module->class == MODULE_MOUNT)
		return second;
	/* Manifests of version 1 have inputs, too, though none that are written down. */
	if ((version == 2 || module->class == MODULE_INPUT) &&
	    json_object_size(second) > 0)
		return second;
	return first;
}

static int set_name(const struct module *module, const char *key, json_t *properties)
{
	return json_object_set_new(properties, key,
				   json_pack("{s:[s]}", "enum", module->name));
}

/* "#/definitions/x" must resolve from the top, wherever the description put them. */
static int hoist_definitions(json_t *schema, json_t *properties)
{
	json_t *options = json_object_get(properties, "options");
	json_t *holders[] = {properties, options};

	for (size_t i = 0; i < 2; i++) {
		json_t *definitions = json_object_get(holders[i], "definitions");

		if (!definitions)
			continue;
		if (json_object_set(schema, "definitions", definitions) < 0)
			return -1;
		(void)json_object_del(holders[i], "definitions");
	}
	return 0;
}

static int fill_stage(const struct module *module, unsigned int version, json_t *schema,
		      json_t *properties)
{
	const char *name = version == 2 ? "type" : "name";
	json_t *described = part(module, version);
	auto_json *copy = described ? json_deep_copy(described) : json_object();
	bool is_map =
		version == 2 && described == json_object_get(module->meta, "schema_2");
	int r = set_name(module, name, properties);

	if (!copy || r < 0)
		return -1;
	/* schema_2 is a map of properties, the older one describes the options alone. */
	r = described && is_map ? json_object_update(properties, copy)
				: json_object_set(properties, "options", copy);
	if (r == 0 && !json_object_get(properties, "mounts"))
		r = json_object_set_new(properties, "mounts",
					json_pack("{s:s}", "type", "array"));
	if (r == 0 && !json_object_get(properties, "devices"))
		r = json_object_set_new(properties, "devices",
					json_pack("{s:s, s:b}", "type", "object",
						  "additionalProperties", 1));
	if (r == 0)
		r = json_object_set_new(schema, "required", json_pack("[s]", name));
	if (r == 0)
		r = json_object_set(schema, "properties", properties);
	return r;
}

static int fill_device(const struct module *module, json_t *copy, json_t *schema,
		       json_t *properties)
{
	if (set_name(module, "type", properties) < 0 ||
	    json_object_set(properties, "options", copy) < 0 ||
	    json_object_set_new(schema, "additionalProperties", json_true()) < 0)
		return -1;
	return json_object_set(schema, "properties", properties);
}

static int fill_mount(const struct module *module, json_t *copy, json_t *schema)
{
	json_t *properties;

	if (json_object_update(schema, copy) < 0)
		return -1;
	properties = json_object_get(schema, "properties");
	if (!json_is_object(properties) &&
	    json_object_set_new(schema, "properties", properties = json_object()) < 0)
		return -1;
	return set_name(module, "type", properties);
}

static int fill(const struct module *module, unsigned int version, json_t *schema,
		json_t *properties)
{
	auto_json *copy = json_deep_copy(part(module, version));

	switch (module->class) {
	case MODULE_STAGE:
	case MODULE_ASSEMBLER:
		return fill_stage(module, version, schema, properties);
	case MODULE_DEVICE:
		return copy ? fill_device(module, copy, schema, properties) : -1;
	case MODULE_MOUNT:
		return copy ? fill_mount(module, copy, schema) : -1;
	case MODULE_SOURCE:
	case MODULE_INPUT:
	case MODULE_RUNNER:
		break;
	}
	if (!copy)
		return part(module, version) ? -1 : 0;
	return json_object_update(schema, copy);
}

/* Inputs of version 1 are made by the engine: there is nothing to check. */
static bool may_lack_schema(const struct module *module, unsigned int version)
{
	return module->class == MODULE_STAGE || module->class == MODULE_ASSEMBLER ||
	       (module->class == MODULE_INPUT && version == 1);
}

int module_schema(const struct module *module, unsigned int version, json_t **ret_schema,
		  struct cop_error *err)
{
	static const char *const titles[] = {
		[MODULE_STAGE] = "Stage",   [MODULE_ASSEMBLER] = "Assembler",
		[MODULE_SOURCE] = "Source", [MODULE_INPUT] = "Input",
		[MODULE_DEVICE] = "Device", [MODULE_MOUNT] = "Mount",
		[MODULE_RUNNER] = "Runner",
	};
	auto_json *schema =
		json_pack("{s:s+, s:s, s:b}", "title", "Pipeline ", titles[module->class],
			  "type", "object", "additionalProperties", 0);
	auto_json *properties = json_object();

	if (!part(module, version) && !may_lack_schema(module, version))
		return err_set(err, -EINVAL, "has no schema for manifests of version %u",
			       version);
	if (!schema || !properties || fill(module, version, schema, properties) < 0)
		return err_oom(err);
	if (hoist_definitions(schema, json_object_get(schema, "properties")) < 0)
		return err_oom(err);
	*ret_schema = TAKE_PTR(schema);
	return 0;
}
