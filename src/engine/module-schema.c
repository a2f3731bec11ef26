/* SPDX-License-Identifier: Apache-2.0 */
/* How osbuild makes one schema of what a description says: the class decides the frame.
 */
#include "engine/module.h"

#include <string.h>

/* The description's part for version 2, or the one that is left. */
static json_t *part(const struct module *module)
{
	json_t *schema = json_object_get(module->meta, "schema_2");

	return schema ? schema : json_object_get(module->meta, "schema");
}

static int set_type(const struct module *module, json_t *properties)
{
	return json_object_set_new(properties, "type",
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

static int fill_stage(const struct module *module, json_t *schema, json_t *properties)
{
	json_t *own = json_object_get(module->meta, "schema_2");
	auto_json *copy = json_deep_copy(part(module));
	int r;

	if (!copy)
		return -1;
	/* schema_2 is a map of properties, the older one describes the options alone. */
	r = own ? json_object_update(properties, copy)
		: json_object_set(properties, "options", copy);
	if (r == 0)
		r = set_type(module, properties);
	if (r == 0 && !json_object_get(properties, "mounts"))
		r = json_object_set_new(properties, "mounts",
					json_pack("{s:s}", "type", "array"));
	if (r == 0 && !json_object_get(properties, "devices"))
		r = json_object_set_new(properties, "devices",
					json_pack("{s:s, s:b}", "type", "object",
						  "additionalProperties", 1));
	if (r == 0)
		r = json_object_set_new(schema, "required", json_pack("[s]", "type"));
	if (r == 0)
		r = json_object_set(schema, "properties", properties);
	return r < 0 ? r : hoist_definitions(schema, properties);
}

static int fill_device(const struct module *module, json_t *schema, json_t *properties)
{
	auto_json *copy = json_deep_copy(part(module));

	if (!copy || json_object_set(properties, "options", copy) < 0 ||
	    set_type(module, properties) < 0 ||
	    json_object_set_new(schema, "additionalProperties", json_true()) < 0 ||
	    json_object_set(schema, "properties", properties) < 0)
		return -1;
	return hoist_definitions(schema, properties);
}

static int fill_mount(const struct module *module, json_t *schema)
{
	auto_json *copy = json_deep_copy(part(module));
	json_t *properties;

	if (!copy || json_object_update(schema, copy) < 0)
		return -1;
	properties = json_object_get(schema, "properties");
	if (!json_is_object(properties) &&
	    json_object_set_new(schema, "properties", properties = json_object()) < 0)
		return -1;
	return set_type(module, properties);
}

static int fill_other(const struct module *module, json_t *schema)
{
	auto_json *copy = json_deep_copy(part(module));

	return copy ? json_object_update(schema, copy) : -1;
}

static int fill(const struct module *module, json_t *schema, json_t *properties)
{
	switch (module->class) {
	case MODULE_STAGE:
		return fill_stage(module, schema, properties);
	case MODULE_DEVICE:
		return fill_device(module, schema, properties);
	case MODULE_MOUNT:
		return fill_mount(module, schema);
	case MODULE_SOURCE:
	case MODULE_INPUT:
		break;
	}
	return fill_other(module, schema);
}

int module_schema(const struct module *module, json_t **ret_schema, struct cop_error *err)
{
	static const char *const titles[] = {"Stage", "Source", "Input", "Device",
					     "Mount"};
	auto_json *schema =
		json_pack("{s:s+, s:s, s:b}", "title", "Pipeline ", titles[module->class],
			  "type", "object", "additionalProperties", 0);
	auto_json *properties = json_object();

	if (!schema || !properties || fill(module, schema, properties) < 0)
		return err_oom(err);
	*ret_schema = TAKE_PTR(schema);
	return 0;
}
