/* SPDX-License-Identifier: Apache-2.0 */
/* Checked access to members of objects: the errors name the object, the key, what should
 * be there and what is. */
#include <string.h>

#include "json/repr.h"
#include "json/value.h"

/* Longest key in a message, in bytes of its repr. */
#define KEY_MAX 200

static bool is_string(const json_t *json)
{
	return json_is_text(json);
}

static bool is_object(const json_t *json)
{
	return json_is_object(json);
}

static bool is_array(const json_t *json)
{
	return json_is_array(json);
}

static bool is_bool(const json_t *json)
{
	return json_is_boolean(json);
}

/* In the order in which a value is described: the first that is true. */
static const struct kind {
	bool (*is)(const json_t *json);
	const char *name;
} kinds[] = {
	{is_object, "an object"},
	{is_array, "an array"},
	{is_string, "a string"},
	{json_is_any_integer, "an integer"},
	{json_is_any_number, "a number with a fraction"},
	{is_bool, "true or false"},
};

enum { OBJECT, ARRAY, STRING, INTEGER, NUMBER, BOOL };

static const char *kind_name(const json_t *json)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (kinds[i].is(json))
			return kinds[i].name;
	return "null";
}

/* Return: the member, NULL when there is none, or -EINVAL. */
static int find(const json_t *object, const char *key, const char *where,
		unsigned int kind, json_t **ret, struct cop_error *err)
{
	json_t *value;

	if (!json_is_object(object))
		return err_set(err, -EINVAL, "%s must be an object, not %s", where,
			       kind_name(object));
	value = json_object_get(object, key);
	if (value && !kinds[kind].is(value))
		return err_set(err, -EINVAL, "%s: '%s' must be %s, not %s", where, key,
			       kinds[kind].name, kind_name(value));
	*ret = value;
	return 0;
}

static int find_required(const json_t *object, const char *key, const char *where,
			 unsigned int kind, json_t **ret, struct cop_error *err)
{
	json_t *value = NULL;
	int r = find(object, key, where, kind, &value, err);

	if (r < 0)
		return r;
	if (!value)
		return err_set(err, -EINVAL, "%s: '%s' is missing", where, key);
	*ret = value;
	return 0;
}

static int find_optional(const json_t *object, const char *key, const char *where,
			 unsigned int kind, json_t **ret, struct cop_error *err)
{
	json_t *value = NULL;
	int r = find(object, key, where, kind, &value, err);

	if (r < 0)
		return r;
	if (value)
		*ret = value;
	return 0;
}

static int take_string(const json_t *value, const char *key, const char *where,
		       const char **ret, struct cop_error *err)
{
	const char *text = json_string_value(value);

	if (strlen(text) != json_string_length(value))
		return err_set(err, -EINVAL,
			       "%s: '%s' must not hold U+0000 or a lone surrogate", where,
			       key);
	*ret = text;
	return 0;
}

bool json_truthy(const json_t *json)
{
	if (json_is_object(json))
		return json_object_size(json) > 0;
	if (json_is_array(json))
		return json_array_size(json) > 0;
	if (json_is_string(json))
		return json_string_length(json) > 0;
	if (json_is_number(json))
		return json_number_value(json) != 0;
	return json_is_true(json);
}

int json_get_string(const json_t *object, const char *key, const char *where,
		    const char **ret, struct cop_error *err)
{
	json_t *value = NULL;
	int r = find_required(object, key, where, STRING, &value, err);

	return r < 0 ? r : take_string(value, key, where, ret, err);
}

int json_get_object(const json_t *object, const char *key, const char *where,
		    json_t **ret, struct cop_error *err)
{
	return find_required(object, key, where, OBJECT, ret, err);
}

int json_get_array(const json_t *object, const char *key, const char *where, json_t **ret,
		   struct cop_error *err)
{
	return find_required(object, key, where, ARRAY, ret, err);
}

int json_optional_string(const json_t *object, const char *key, const char *where,
			 const char **ret, struct cop_error *err)
{
	json_t *value = NULL;
	int r = find_optional(object, key, where, STRING, &value, err);

	return r < 0 || !value ? r : take_string(value, key, where, ret, err);
}

int json_optional_integer(const json_t *object, const char *key, const char *where,
			  int64_t *ret, struct cop_error *err)
{
	json_t *value = NULL;
	int r = find_optional(object, key, where, INTEGER, &value, err);

	if (r < 0 || !value)
		return r;
	if (!json_is_integer(value))
		return err_set(err, -EINVAL, "%s: '%s' is beyond 64 bits", where, key);
	*ret = json_integer_value(value);
	return 0;
}

int json_optional_bool(const json_t *object, const char *key, const char *where,
		       bool *ret, struct cop_error *err)
{
	json_t *value = NULL;
	int r = find_optional(object, key, where, BOOL, &value, err);

	if (r < 0 || !value)
		return r;
	*ret = json_is_true(value);
	return 0;
}

int json_optional_object(const json_t *object, const char *key, const char *where,
			 json_t **ret, struct cop_error *err)
{
	return find_optional(object, key, where, OBJECT, ret, err);
}

int json_optional_array(const json_t *object, const char *key, const char *where,
			json_t **ret, struct cop_error *err)
{
	return find_optional(object, key, where, ARRAY, ret, err);
}

static bool is_listed(const char *const *keys, const char *key)
{
	for (; *keys; keys++)
		if (strcmp(*keys, key) == 0)
			return true;
	return false;
}

int json_only_keys(const json_t *object, const char *const *keys, const char *where,
		   struct cop_error *err)
{
	const char *key;
	json_t *value;

	if (!json_is_object(object))
		return err_set(err, -EINVAL, "%s must be an object, not %s", where,
			       kind_name(object));
	json_object_foreach ((json_t *)object, key, value) {
		auto_buf name = {};
		int r;

		if (is_listed(keys, key))
			continue;
		/* The key is anybody's: as a repr it stays on one line. */
		r = json_repr_key(key, KEY_MAX, &name, NULL);
		if (r < 0)
			return err_set(err, -EINVAL, "%s: unknown key of %zu bytes",
				       where, strlen(key));
		return err_set(err, -EINVAL, "%s: unknown key %s", where,
			       buf_text(&name));
	}
	return 0;
}
