/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A manifest against the schemas: the format's own, below, and those that the modules
 * bring.  All problems are collected, so that each is told with its place.
 */
#include "engine/manifest.h"

#include <stdio.h>
#include <string.h>

#include "json/schema.h"

/* The structure of version 2; what modules decide is left open. */
static const char format_schema[] =
	"{'type': 'object', 'additionalProperties': false, 'required': ['version'],"
	" 'properties': {"
	"  'version': {'enum': ['2']},"
	"  'pipelines': {'type': 'array', 'items': {'$ref': '#/definitions/pipeline'}},"
	"  'sources': {'type': 'object',"
	"   'additionalProperties': {'$ref': '#/definitions/source'}},"
	"  'metadata': {'$ref': '#/definitions/metadata'}},"
	" 'definitions': {"
	"  'metadata': {'type': 'object', 'additionalProperties': false, 'properties': {"
	"   'exports': {'type': 'array', 'items': {'type': 'object',"
	"    'additionalProperties': false, 'required': ['name'],"
	"    'properties': {'name': {'type': 'string'}}}},"
	"   'generators': {'type': 'array', 'items': {'type': 'object',"
	"    'additionalProperties': false, 'required': ['name'],"
	"    'properties': {'name': {'type': 'string'},"
	"     'version': {'type': 'string'}}}}}},"
	"  'pipeline': {'type': 'object', 'additionalProperties': false,"
	"   'required': ['name'], 'properties': {"
	"   'name': {'type': 'string'}, 'build': {'type': 'string'},"
	"   'runner': {'type': 'string'}, 'source-epoch': {'type': 'integer'},"
	"   'stages': {'type': 'array', 'items': {'$ref': '#/definitions/stage'}}}},"
	"  'stage': {'type': 'object', 'additionalProperties': false,"
	"   'required': ['type'], 'properties': {"
	"   'type': {'type': 'string'}, 'options': {'type': 'object'},"
	"   'devices': {'type': 'object',"
	"    'additionalProperties': {'$ref': '#/definitions/device'}},"
	"   'inputs': {'type': 'object', 'additionalProperties': false,"
	"    'patternProperties': {'^[a-zA-Z][a-zA-Z0-9_\\\\-\\\\.]{0,254}':"
	"     {'$ref': '#/definitions/input'}}},"
	"   'mounts': {'type': 'array',"
	"    'items': {'$ref': '#/definitions/mount'}}}},"
	"  'device': {'type': 'object', 'additionalProperties': false,"
	"   'required': ['type'], 'properties': {"
	"   'type': {'type': 'string'}, 'parent': {'type': 'string'},"
	"   'options': {'type': 'object'}}},"
	"  'input': {'type': 'object', 'additionalProperties': false,"
	"   'required': ['type', 'origin', 'references'], 'properties': {"
	"   'type': {'type': 'string'},"
	"   'origin': {'enum': ['org.osbuild.source', 'org.osbuild.pipeline']},"
	"   'references': {'$ref': '#/definitions/references'},"
	"   'options': {'type': 'object'}}},"
	"  'mount': {'type': 'object', 'additionalProperties': false,"
	"   'required': ['name', 'type'], 'properties': {"
	"   'name': {'type': 'string'}, 'type': {'type': 'string'},"
	"   'source': {'type': 'string'}, 'target': {'type': 'string'},"
	"   'partition': {'type': 'number'}, 'options': {'type': 'object'}}},"
	"  'source': {'type': 'object', 'additionalProperties': false,"
	"   'required': ['items'], 'properties': {"
	"   'items': {'$ref': '#/definitions/references'},"
	"   'options': {'type': 'object'}}},"
	"  'references': {'oneOf': ["
	"   {'type': 'array', 'items': {'type': 'string'}}, {'type': 'object'},"
	"   {'type': 'array', 'items': {'type': 'object',"
	"    'additionalProperties': false, 'required': ['id'],"
	"    'properties': {'id': {'type': 'string'},"
	"     'options': {'type': 'object'}}}}]}}}";

/* The same for version 1, where a build of 2020 need not have a pipeline. */
static const char format_schema_1[] =
	"{'type': 'object', 'additionalProperties': false, 'properties': {"
	"  'pipeline': {'$ref': '#/definitions/pipeline'},"
	"  'sources': {'type': 'object', 'additionalProperties': {'type': 'object'}}},"
	" 'definitions': {"
	"  'pipeline': {'type': 'object', 'additionalProperties': false, 'properties': {"
	"   'build': {'type': 'object', 'additionalProperties': false,"
	"    'required': ['runner'], 'properties': {"
	"    'pipeline': {'$ref': '#/definitions/pipeline'},"
	"    'runner': {'type': 'string'}}},"
	"   'stages': {'type': 'array', 'items': {'$ref': '#/definitions/stage'}},"
	"   'assembler': {'$ref': '#/definitions/stage'}}},"
	"  'stage': {'type': 'object', 'additionalProperties': false,"
	"   'required': ['name'], 'properties': {"
	"   'name': {'type': 'string'}, 'options': {'type': 'object'}}}}}";

/* The text with the quotes of JSON. */
static int format_new(unsigned int version, struct schema **ret_schema,
		      struct cop_error *err)
{
	auto_free char *text = strdup(version == 1 ? format_schema_1 : format_schema);
	auto_json *json = NULL;
	int r;

	if (!text)
		return err_oom(err);
	for (char *c = text; *c; c++)
		if (*c == '\'')
			*c = '"';
	r = json_read(text, strlen(text), &json, err);
	if (r == 0)
		r = schema_new(json, "manifest", ret_schema, err);
	return r < 0 ? err_prefix(err, r, "schema of manifests") : 0;
}

/* @path is that of the thing; it is used up. */
static int check_part(struct modules *modules, enum module_class class,
		      const json_t *part, json_t *path, struct schema_errors *errors,
		      struct cop_error *err)
{
	auto_json *owned_path = path;
	const json_t *type =
		json_object_get(part, json_object_get(part, "type") ? "type" : "name");
	const struct module *module;
	struct cop_error reason = {};
	int r;

	if (!owned_path)
		return err_oom(err);
	/* The format's schema has said so already. */
	if (!json_is_text(type))
		return 0;
	r = modules_get(modules, class, json_string_value(type), &module, &reason);
	if (r == -ENOENT || r == -EINVAL)
		return schema_errors_add(errors, owned_path, reason.message, err);
	if (r < 0)
		return err_copy(err, &reason);
	r = schema_validate(module->schema, part, owned_path, errors, err);
	return r < 0 ? r : 0;
}

static json_t *make_path(size_t pipeline, size_t stage, const char *group,
			 const char *name)
{
	if (!group)
		return json_pack("[s, I, s, I]", "pipelines", (json_int_t)pipeline,
				 "stages", (json_int_t)stage);
	return json_pack("[s, I, s, I, s, s]", "pipelines", (json_int_t)pipeline,
			 "stages", (json_int_t)stage, group, name);
}

/* Devices and mounts that no module serves fail by name when they are to be used. */
static bool is_served(struct modules *modules, enum module_class class,
		      const json_t *part)
{
	const char *type = json_string_value(json_object_get(part, "type"));
	const struct module *module;

	return type && modules_get(modules, class, type, &module, NULL) != -ENOENT;
}

static int check_stage(struct modules *modules, json_t *stage, size_t pipeline,
		       size_t number, struct schema_errors *errors, struct cop_error *err)
{
	const char *name;
	json_t *part;
	size_t i;
	int r = check_part(modules, MODULE_STAGE, stage,
			   make_path(pipeline, number, NULL, NULL), errors, err);

	json_object_foreach (json_object_get(stage, "inputs"), name, part)
		if (r == 0)
			r = check_part(modules, MODULE_INPUT, part,
				       make_path(pipeline, number, "inputs", name),
				       errors, err);
	json_object_foreach (json_object_get(stage, "devices"), name, part)
		if (r == 0 && is_served(modules, MODULE_DEVICE, part))
			r = check_part(modules, MODULE_DEVICE, part,
				       make_path(pipeline, number, "devices", name),
				       errors, err);
	json_array_foreach (json_object_get(stage, "mounts"), i, part) {
		name = json_string_value(json_object_get(part, "name"));
		if (r == 0 && name && is_served(modules, MODULE_MOUNT, part))
			r = check_part(modules, MODULE_MOUNT, part,
				       make_path(pipeline, number, "mounts", name),
				       errors, err);
	}
	return r;
}

static int check_source(struct modules *modules, const char *type, const json_t *source,
			struct schema_errors *errors, struct cop_error *err)
{
	auto_json *path = json_pack("[s, s]", "sources", type);
	struct cop_error reason = {};
	const struct module *module;
	int r;

	if (!path)
		return err_oom(err);
	r = modules_get(modules, MODULE_SOURCE, type, &module, &reason);
	if (r == -ENOENT || r == -EINVAL)
		return schema_errors_add(errors, path, reason.message, err);
	if (r < 0)
		return err_copy(err, &reason);
	r = schema_validate(module->schema, source, path, errors, err);
	return r < 0 ? r : 0;
}

/* The path of a pipeline of version 1 and of a thing in it: "pipeline", "build",
 * "pipeline" and so on. */
static json_t *make_path_1(size_t depth, const char *group, size_t stage)
{
	auto_json *path = json_pack("[s]", "pipeline");

	for (size_t i = 0; i < depth; i++)
		if (json_array_append_new(path, json_string("build")) < 0 ||
		    json_array_append_new(path, json_string("pipeline")) < 0)
			return NULL;
	if (json_array_append_new(path, json_string(group)) < 0)
		return NULL;
	if (strcmp(group, "stages") == 0 &&
	    json_array_append_new(path, json_integer((json_int_t)stage)) < 0)
		return NULL;
	return TAKE_PTR(path);
}

static int check_modules_1(struct modules *modules, const json_t *root,
			   struct schema_errors *errors, struct cop_error *err)
{
	const json_t *pipeline = json_object_get(root, "pipeline");
	json_t *stage, *source;
	const char *type;
	size_t i;
	int r = 0;

	json_object_foreach (json_object_get(root, "sources"), type, source) {
		if (strcmp(type, "org.osbuild.files") == 0)
			type = "org.osbuild.curl";
		if (r == 0)
			r = check_source(modules, type, source, errors, err);
	}
	for (size_t depth = 0; pipeline && depth < MANIFEST_PIPELINES_MAX; depth++) {
		json_array_foreach (json_object_get(pipeline, "stages"), i, stage)
			if (r == 0)
				r = check_part(modules, MODULE_STAGE, stage,
					       make_path_1(depth, "stages", i), errors,
					       err);
		stage = json_object_get(pipeline, "assembler");
		if (r == 0 && json_object_size(stage) > 0)
			r = check_part(modules, MODULE_ASSEMBLER, stage,
				       make_path_1(depth, "assembler", 0), errors, err);
		pipeline =
			json_object_get(json_object_get(pipeline, "build"), "pipeline");
	}
	return r;
}

static int check_modules(struct modules *modules, const json_t *root,
			 struct schema_errors *errors, struct cop_error *err)
{
	json_t *pipeline, *stage, *source;
	const char *type;
	size_t i, j;
	int r = 0;

	json_object_foreach (json_object_get(root, "sources"), type, source)
		if (r == 0)
			r = check_source(modules, type, source, errors, err);
	json_array_foreach (json_object_get(root, "pipelines"), i, pipeline)
		json_array_foreach (json_object_get(pipeline, "stages"), j, stage)
			if (r == 0)
				r = check_stage(modules, stage, i, j, errors, err);
	return r;
}

static int report(const struct schema_errors *errors, struct cop_error *err)
{
	const struct schema_error *first = &errors->items[0];
	char more[48] = "";

	if (errors->n_items > 1)
		(void)snprintf(more, sizeof(more), " (and %zu more)",
			       errors->n_items - 1);
	return err_set(err, -EINVAL, "manifest: %s: %.800s%s", first->id, first->message,
		       more);
}

int manifest_validate(const struct manifest *manifest, struct cop_error *err)
{
	auto_schema_errors errors = {};
	auto_ptr(schema) format = NULL;
	int r = format_new(manifest->version, &format, err);

	if (r == 0)
		r = schema_validate(format, manifest->root, NULL, &errors, err);
	if (r >= 0 && manifest->modules && manifest->version == 1)
		r = check_modules_1(manifest->modules, manifest->root, &errors, err);
	if (r >= 0 && manifest->modules && manifest->version == 2)
		r = check_modules(manifest->modules, manifest->root, &errors, err);
	if (r < 0)
		return err_prefix(err, r, "manifest");
	schema_errors_sort(&errors);
	return errors.n_items > 0 ? report(&errors, err) : 0;
}
