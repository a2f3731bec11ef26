/* SPDX-License-Identifier: Apache-2.0 */
#include "modkit/options.h"

#include <string.h>

#include "json/json.h"

static int read_integer(const json_t *object, const char *key, const char *where,
			int64_t *ret, struct cop_error *err)
{
	const json_t *value = json_object_get(object, key);

	if (json_is_real(value)) {
		double real = json_real_value(value);

		if (real < -1e15 || real > 1e15 || real != (double)(int64_t)real)
			return err_set(err, -EINVAL, "%s: '%s' must be a whole number",
				       where, key);
		*ret = (int64_t)real;
		return 0;
	}
	return json_optional_integer(object, key, where, ret, err);
}

static int read_one(const json_t *object, const char *where, const struct option *option,
		    struct cop_error *err)
{
	if (option->required && !json_object_get(object, option->key))
		return err_set(err, -EINVAL, "%s: '%s' is missing", where, option->key);
	if (option->text)
		return json_optional_string(object, option->key, where, option->text,
					    err);
	if (option->integer)
		return read_integer(object, option->key, where, option->integer, err);
	if (option->flag)
		return json_optional_bool(object, option->key, where, option->flag, err);
	if (option->object)
		return json_optional_object(object, option->key, where, option->object,
					    err);
	return json_optional_array(object, option->key, where, option->array, err);
}

int options_read(const json_t *object, const char *where, const struct option *options,
		 size_t n_options, struct cop_error *err)
{
	if (!json_is_object(object))
		return err_set(err, -EINVAL, "%s: must be an object", where);
	for (size_t i = 0; i < n_options; i++) {
		int r = read_one(object, where, &options[i], err);

		if (r < 0)
			return r;
	}
	return 0;
}

static bool is_known(const struct option *options, size_t n_options, const char *key)
{
	for (size_t i = 0; i < n_options; i++)
		if (strcmp(options[i].key, key) == 0)
			return true;
	return false;
}

int options_only(const json_t *object, const char *where, const struct option *options,
		 size_t n_options, struct cop_error *err)
{
	const char *key;
	const json_t *value;

	json_object_foreach ((json_t *)object, key, value)
		if (!is_known(options, n_options, key))
			return err_set(err, -EINVAL, "%s: unknown key '%s'", where, key);
	return options_read(object, where, options, n_options, err);
}

int options_text_at(const json_t *array, size_t index, const char *where,
		    const char **ret, struct cop_error *err)
{
	const json_t *value = json_array_get(array, index);
	const char *text = json_string_value(value);

	if (!text || strlen(text) != json_string_length(value))
		return err_set(err, -EINVAL, "%s: element %zu must be a string", where,
			       index);
	*ret = text;
	return 0;
}

int options_one_line(const char *text, const char *where, const char *forbidden,
		     struct cop_error *err)
{
	for (const char *c = text; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f || strchr(forbidden, *c))
			return err_set(err, -EINVAL,
				       "%s: '%s' holds a character that cannot stand "
				       "there%s%s",
				       where, text, *forbidden ? ": one of " : "",
				       forbidden);
	return 0;
}
