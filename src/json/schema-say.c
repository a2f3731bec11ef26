/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a finding becomes a message with a path, and how the work is bounded, because
 * schema and value may be anybody's.
 */
#include <string.h>

#include "json/repr.h"
#include "json/schema-check.h"

/* Nodes, members and items looked at; a manifest with a million sources takes a half. */
#define STEPS_MAX 20000000

int check_charge(struct checker *c, size_t steps)
{
	c->steps += steps;
	if (c->steps <= STEPS_MAX)
		return 0;
	return err_set(c->err, -E2BIG, "schema '%s': comparing takes too many steps",
		       c->schema->name);
}

static int append_step(json_t *path, const struct step *step)
{
	json_t *item = step->key ? json_key_as_string(step->key)
				 : json_integer((json_int_t)step->index);

	return json_array_append_new(path, item);
}

static json_t *path_to(const struct checker *c, const struct step *at)
{
	auto_json *path = c->path ? json_deep_copy(c->path) : json_array();
	auto_free const struct step **way = NULL;
	size_t n = 0, i = 0;

	for (const struct step *step = at; step; step = step->parent)
		n++;
	way = calloc(n + 1, sizeof(*way));
	if (!path || !way)
		return NULL;
	for (const struct step *step = at; step; step = step->parent)
		way[n - ++i] = step;
	for (i = 0; i < n; i++)
		if (append_step(path, way[i]) < 0)
			return NULL;
	return TAKE_PTR(path);
}

int check_say(struct checker *c, const struct step *at, const struct buf *message)
{
	auto_json *path = path_to(c, at);
	int r;

	if (!path || message->failed)
		return err_oom(c->err);
	r = schema_errors_add(c->errors, path, buf_text(message), c->err);
	return r < 0 ? r : SCHEMA_INVALID;
}

int check_append(struct checker *c, const json_t *json, struct buf *message)
{
	int r = json_repr(json, SCHEMA_ERRORS_MAX, message, c->err);

	return r < 0 ? err_prefix(c->err, r, "schema '%s'", c->schema->name) : 0;
}

int check_append_key(struct checker *c, const char *key, struct buf *message)
{
	int r = json_repr_key(key, SCHEMA_ERRORS_MAX, message, c->err);

	return r < 0 ? err_prefix(c->err, r, "schema '%s'", c->schema->name) : 0;
}

/* "VALUE text" or "VALUE text OPERAND" */
int check_complain(struct checker *c, const struct step *at, const json_t *value,
		   const char *text, const json_t *operand)
{
	auto_buf message = {};
	int r;

	if (c->quiet)
		return SCHEMA_INVALID;
	r = check_append(c, value, &message);
	if (r < 0)
		return r;
	buf_printf(&message, operand ? " %s " : " %s", text);
	r = operand ? check_append(c, operand, &message) : 0;
	return r < 0 ? r : check_say(c, at, &message);
}

/* "is too short" and its like: the library has a special word for 1 and for 0. */
int check_counts(struct checker *c, const struct step *at, const json_t *value, size_t n,
		 const struct schema_count *min, const struct schema_count *max,
		 const char *few, const char *many)
{
	int found = 0;

	if (min->is_set && n < min->value)
		found = check_complain(c, at, value,
				       min->value == 1 ? "should be non-empty" : few,
				       NULL);
	if (found >= 0 && max->is_set && n > max->value)
		found = check_complain(c, at, value,
				       max->value == 0 ? "is expected to be empty" : many,
				       NULL);
	return found;
}

int check_pattern(struct checker *c, const struct pattern *pattern, struct json_text text)
{
	int r = check_charge(c, 1 + (size_t)(text.end - text.at) / 16);

	if (r < 0)
		return r;
	r = pattern_search(pattern, text, c->err);
	return r < 0 ? err_prefix(c->err, r, "schema '%s'", c->schema->name) : r;
}
