/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A manifest against the schemas: the format's own and those that the modules bring.  All
 * problems are collected, so that each is told with its place.
 *
 * Modules are looked at even where the format's schema found fault, as osbuild does.
 * Where it trips over a shape that it did not expect, this ends with one line.
 */
#include "engine/manifest.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "engine/format-schema.h"
#include "json/json.h"
#include "json/value.h"

#define MISSING "could not find schema information for "

struct check {
	struct modules *modules;
	struct schema_errors *errors;
	struct cop_error *err;
};

/* The place of @path, as messages have it. */
static int stumble(const struct check *check, const json_t *path, const char *what)
{
	auto_schema_errors place = {};
	int r = schema_errors_add(&place, path, what, check->err);

	return r < 0 ? r
		     : err_set(check->err, -EINVAL, "manifest: %s %s", place.items[0].id,
			       what);
}

static int missing(const struct check *check, const json_t *path, const char *name)
{
	auto_buf message = {};

	(void)buf_printf(&message, MISSING "'%s'", name);
	return message.failed ? err_oom(check->err)
			      : schema_errors_add(check->errors, path, buf_text(&message),
						  check->err);
}

static int check_named(const struct check *check, enum module_class class,
		       const char *name, const json_t *part, const json_t *path)
{
	const struct module *module;
	struct cop_error reason = {};
	int r = modules_get(check->modules, class, name, &module, &reason);

	if (r == -ENOENT)
		return missing(check, path, name);
	if (r == -EINVAL)
		return schema_errors_add(check->errors, path, reason.message, check->err);
	if (r < 0)
		return err_copy(check->err, &reason);
	r = schema_validate(module->schema, part, path, check->errors, check->err);
	return r < 0 ? r : 0;
}

/* Text without U+0000 or lone surrogates. */
static bool is_file_name(const json_t *name)
{
	return json_is_text(name) &&
	       strlen(json_string_value(name)) == json_string_length(name);
}

/* @key: "type" in version 2, "name" in version 1 */
static int check_part(const struct check *check, enum module_class class,
		      const json_t *part, const char *key, const json_t *path)
{
	const json_t *name = json_object_get(part, key);

	if (!is_file_name(name))
		return stumble(check, path,
			       strcmp(key, "type") == 0 ? "has no 'type'"
							: "has no 'name'");
	return check_named(check, class, json_string_value(name), part, path);
}

/* @path and one more step; NULL when memory is out. */
static json_t *deeper(const json_t *path, json_t *step)
{
	auto_json *owned = step, *copy = json_copy((json_t *)(uintptr_t)path);

	if (json_array_append(copy, owned) < 0)
		return NULL;
	return TAKE_PTR(copy);
}

static json_t *deeper_key(const json_t *path, const char *key)
{
	return deeper(path, json_key_as_string(key));
}

/* Nothing that Python takes for a name: the format's schema has said so already. */
static bool is_untyped(const json_t *part)
{
	return json_is_object(part) && !json_truthy(json_object_get(part, "type"));
}

static int check_member(const struct check *check, enum module_class class,
			const json_t *part, const json_t *group_path, json_t *name)
{
	auto_json *path = deeper(group_path, name);

	if (!path)
		return err_oom(check->err);
	return is_untyped(part) ? 0 : check_part(check, class, part, "type", path);
}

/* What an item of a list is called: of two with one name only the last counts, as if the
 * list were an object. */
static int check_item(const struct check *check, enum module_class class,
		      const json_t *list, size_t at, const json_t *path)
{
	const json_t *part = json_array_get(list, at);
	json_t *name = json_object_get(part, "name");

	if (!name || json_is_object(name) || json_is_array(name))
		return stumble(check, path, "holds something without a 'name'");
	for (size_t i = at + 1; i < json_array_size(list); i++)
		if (json_equal(name, json_object_get(json_array_get(list, i), "name")))
			return 0;
	if (!is_untyped(part) && !json_is_text(name) && !json_is_integer(name) &&
	    !json_is_boolean(name))
		return stumble(check, path, "holds a 'name' that is no text");
	return check_member(check, class, part, path, json_incref(name));
}

/* Things of a stage have a name each: as keys, or, in a list, their own. */
static int check_group(const struct check *check, enum module_class class,
		       const char *group, const json_t *stage, const json_t *stage_path)
{
	json_t *parts = json_object_get(stage, group), *part;
	auto_json *path = deeper_key(stage_path, group);
	const char *key;
	int r = 0;

	if (!path)
		return err_oom(check->err);
	if (parts && !json_is_object(parts) && !json_is_array(parts))
		return stumble(check, path, "is neither an object nor a list");
	for (size_t i = 0; i < json_array_size(parts); i++) {
		r = check_item(check, class, parts, i, path);
		if (r < 0)
			return r;
	}
	json_object_foreach (parts, key, part) {
		r = check_member(check, class, part, path, json_key_as_string(key));
		if (r < 0)
			return r;
	}
	return 0;
}

static int check_stage(const struct check *check, const json_t *stage, const json_t *path)
{
	int r = check_part(check, MODULE_STAGE, stage, "type", path);

	if (r == 0)
		r = check_group(check, MODULE_DEVICE, "devices", stage, path);
	if (r == 0)
		r = check_group(check, MODULE_INPUT, "inputs", stage, path);
	if (r == 0)
		r = check_group(check, MODULE_MOUNT, "mounts", stage, path);
	return r;
}

static int check_stage_1(const struct check *check, const json_t *stage,
			 const json_t *path)
{
	return check_part(check, MODULE_STAGE, stage, "name", path);
}

/* Each item of the list that @holder has at @key; none is fine, an empty thing is, too.
 */
static int each_item(const struct check *check, const json_t *holder, const char *key,
		     const json_t *holder_path,
		     int (*visit)(const struct check *check, const json_t *item,
				  const json_t *path))
{
	json_t *list = json_object_get(holder, key), *item;
	auto_json *path = deeper_key(holder_path, key);
	size_t i;

	if (!path)
		return err_oom(check->err);
	if (!json_is_array(list)) {
		/* Python walks over empty ones of these, too. */
		bool is_empty = !list || ((json_is_object(list) || json_is_text(list)) &&
					  !json_truthy(list));

		return is_empty ? 0 : stumble(check, path, "is not a list");
	}
	json_array_foreach (list, i, item) {
		auto_json *item_path = deeper(path, json_integer((json_int_t)i));
		int r = item_path ? visit(check, item, item_path) : err_oom(check->err);

		if (r < 0)
			return r;
	}
	return 0;
}

static int check_pipeline(const struct check *check, const json_t *pipeline,
			  const json_t *path)
{
	if (!json_is_object(pipeline))
		return stumble(check, path, "is not an object");
	return each_item(check, pipeline, "stages", path, check_stage);
}

static int check_sources(const struct check *check, const json_t *root,
			 unsigned int version)
{
	json_t *sources = json_object_get(root, "sources"), *source;
	auto_json *path = json_pack("[s]", "sources");
	const char *name;

	if (!path)
		return err_oom(check->err);
	if (sources && !json_is_object(sources))
		return stumble(check, path, "is not an object");
	json_object_foreach (sources, name, source) {
		auto_json *source_path = NULL;
		const char *type = name;
		int r;

		if (version == 1 && strcmp(name, "org.osbuild.files") == 0)
			type = "org.osbuild.curl";
		source_path = deeper_key(path, type);
		if (!source_path)
			r = err_oom(check->err);
		else if (!is_file_name(json_array_get(source_path, 1)))
			r = stumble(check, source_path, "cannot be the name of a module");
		else
			r = check_named(check, MODULE_SOURCE, type, source, source_path);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Return: 1 when there is a build with a pipeline, which is then at *@pipeline. */
static int check_pipeline_1(const struct check *check, const json_t **pipeline,
			    json_t *path)
{
	const json_t *build = json_object_get(*pipeline, "build"),
		     *assembler = json_object_get(*pipeline, "assembler");
	int r = each_item(check, *pipeline, "stages", path, check_stage_1);

	if (r == 0 && json_truthy(assembler)) {
		auto_json *place = deeper_key(path, "assembler");

		r = place ? check_part(check, MODULE_ASSEMBLER, assembler, "name", place)
			  : err_oom(check->err);
	}
	if (r < 0)
		return r;
	if (build && !json_is_object(build))
		return stumble(check, path, "has a 'build' that is not an object");
	*pipeline = json_object_get(build, "pipeline");
	if (!json_truthy(*pipeline))
		return 0;
	if (json_array_append_new(path, json_string("build")) < 0 ||
	    json_array_append_new(path, json_string("pipeline")) < 0)
		return err_oom(check->err);
	return json_is_object(*pipeline) ? 1 : stumble(check, path, "is not an object");
}

static int check_version_1(const struct check *check, const json_t *root)
{
	const json_t *pipeline = json_object_get(root, "pipeline");
	auto_json *path = json_pack("[s]", "pipeline");
	int r = 1;

	if (!path)
		return err_oom(check->err);
	if (pipeline && !json_is_object(pipeline))
		return stumble(check, path, "is not an object");
	while (pipeline && r > 0)
		r = check_pipeline_1(check, &pipeline, path);
	return r < 0 ? r : check_sources(check, root, 1);
}

static int check_version_2(const struct check *check, const json_t *root)
{
	auto_json *path = json_array();
	int r = path ? check_sources(check, root, 2) : err_oom(check->err);

	return r < 0 ? r : each_item(check, root, "pipelines", path, check_pipeline);
}

int manifest_validate(const struct manifest *manifest, struct schema_errors *errors,
		      struct cop_error *err)
{
	const struct check check = {manifest->modules, errors, err};
	auto_ptr(schema) format = NULL;
	int r = format_schema(manifest->version, &format, err);

	if (r == 0)
		r = schema_validate(format, manifest->root, NULL, errors, err);
	if (r >= 0 && manifest->modules)
		r = manifest->version == 1 ? check_version_1(&check, manifest->root)
					   : check_version_2(&check, manifest->root);
	if (r < 0)
		return r;
	schema_errors_sort(errors);
	return errors->n_items > 0 ? MANIFEST_INVALID : 0;
}

int manifest_invalid(const struct schema_errors *errors,
		     const struct engine_places *places, struct cop_error *err)
{
	const struct schema_error *first = &errors->items[0];
	auto_buf text = {};

	(void)buf_printf(&text, "manifest: %s: %.800s", first->id, first->message);
	if (places && text_starts_with(first->message, MISSING)) {
		for (const char *const *libdir = places->libdirs; *libdir; libdir++)
			(void)buf_printf(&text, "%s%s",
					 libdir == places->libdirs ? " (looked in "
								   : ", ",
					 *libdir);
		(void)buf_append_char(&text, ')');
	}
	if (errors->n_items > 1)
		(void)buf_printf(&text, " (and %zu more)", errors->n_items - 1);
	return err_set(err, -EINVAL, "%s", buf_text(&text));
}

int manifest_validation_result(const struct schema_errors *errors, json_t **ret_json,
			       struct cop_error *err)
{
	json_t *list = json_array();
	auto_json *json = json_pack(
		"{s:s, s:s, s:b, s:o}", "type", "https://osbuild.org/validation-error",
		"title", "JSON Schema validation failed", "success", 0, "errors", list);

	for (size_t i = 0; i < errors->n_items; i++) {
		const struct schema_error *error = &errors->items[i];
		json_t *one = json_pack("{s:s, s:O}", "message", error->message, "path",
					error->path);

		if (json_array_append_new(list, one) < 0)
			return err_oom(err);
	}
	if (!json)
		return err_oom(err);
	*ret_json = TAKE_PTR(json);
	return 0;
}
