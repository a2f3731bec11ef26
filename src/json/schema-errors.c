/* SPDX-License-Identifier: Apache-2.0 */
/* The list of what is wrong, in an order that does not depend on how it was found. */
#include <string.h>

#include "json/schema.h"
#include "json/value.h"

/* A key of a path; what UTF-8 cannot hold as Python's backslashreplace shows it. */
static void append_key(const json_t *key, struct buf *id)
{
	struct json_text text = json_text_of(key);
	size_t size = json_string_length(key);
	const char *quote = memchr(json_string_value(key), ' ', size) ? "'" : "";
	uint32_t c;

	buf_append_char(id, '.');
	buf_append_text(id, quote);
	while (json_text_next(&text, &c)) {
		if (c == 0 || (c >= 0xd800 && c < 0xe000))
			buf_printf(id, "\\u%04x", c);
		else
			json_utf8(c, id);
	}
	buf_append_text(id, quote);
}

static void append_id(const json_t *path, struct buf *id)
{
	const json_t *step;
	size_t i;

	json_array_foreach (path, i, step) {
		if (json_is_string(step))
			append_key(step, id);
		else if (json_is_boolean(step))
			buf_append_text(id, json_is_true(step) ? "[True]" : "[False]");
		else
			buf_printf(id, "[%" JSON_INTEGER_FORMAT "]",
				   json_integer_value(step));
	}
	if (id->size == 0)
		buf_append_char(id, '.');
}

static void error_done(struct schema_error *error)
{
	json_decref(error->path);
	free(error->id);
	free(error->message);
}

static int grow(struct schema_errors *errors, struct cop_error *err)
{
	size_t capacity = errors->capacity ? errors->capacity * 2 : 16;
	struct schema_error *items;

	if (errors->n_items < errors->capacity)
		return 0;
	items = reallocarray(errors->items, capacity, sizeof(*items));
	if (!items)
		return err_oom(err);
	errors->items = items;
	errors->capacity = capacity;
	return 0;
}

int schema_errors_add(struct schema_errors *errors, const json_t *path,
		      const char *message, struct cop_error *err)
{
	struct schema_error error = {};
	auto_buf id = {};
	uint64_t size;
	int r = grow(errors, err);

	if (r < 0)
		return r;
	append_id(path, &id);
	/* A path takes about as much as its id, and some for each step. */
	size = errors->size_bytes + strlen(message) + 2 * id.size +
	       64 * (json_array_size(path) + 4);
	if (size > SCHEMA_ERRORS_MAX)
		return err_set(err, -E2BIG, "over %u MiB of schema errors",
			       (unsigned int)(SCHEMA_ERRORS_MAX / MIB));
	error.path = json_deep_copy(path);
	error.id = buf_take(&id);
	error.message = strdup(message);
	if (!error.path || !error.id || !error.message) {
		error_done(&error);
		return err_oom(err);
	}
	errors->items[errors->n_items++] = error;
	errors->size_bytes = size;
	return 0;
}

static int compare_errors(const void *a, const void *b)
{
	const struct schema_error *x = a, *y = b;
	int order = strcmp(x->id, y->id);

	return order ? order : strcmp(x->message, y->message);
}

void schema_errors_sort(struct schema_errors *errors)
{
	size_t n = 0;

	if (errors->n_items == 0)
		return;
	qsort(errors->items, errors->n_items, sizeof(*errors->items), compare_errors);
	for (size_t i = 1; i < errors->n_items; i++) {
		if (compare_errors(&errors->items[n], &errors->items[i]) == 0)
			error_done(&errors->items[i]);
		else
			errors->items[++n] = errors->items[i];
	}
	errors->n_items = n + 1;
}

void schema_errors_done(struct schema_errors *errors)
{
	for (size_t i = 0; i < errors->n_items; i++)
		error_done(&errors->items[i]);
	free(errors->items);
	*errors = (struct schema_errors){};
}
