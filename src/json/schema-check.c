/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A value against a compiled schema: everything but the members of objects.
 */
#include <string.h>

#include "json/schema-check.h"

/* Python's own recursion ends earlier. */
#define DEPTH_MAX 2500

/* A list of values with ", " between. */
static int append_reprs(struct checker *c, const json_t *const *items, size_t n,
			struct buf *message)
{
	for (size_t i = 0; i < n; i++) {
		int r;

		if (i > 0)
			buf_append_text(message, ", ");
		r = check_append(c, items[i], message);
		if (r < 0)
			return r;
	}
	return 0;
}

static unsigned int types_of(const json_t *value)
{
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		return SCHEMA_OBJECT;
	case JSON_ARRAY:
		return SCHEMA_ARRAY;
	case JSON_STRING:
		if (json_is_text(value))
			return SCHEMA_STRING;
		return json_is_any_integer(value) ? SCHEMA_INTEGER | SCHEMA_NUMBER
						  : SCHEMA_NUMBER;
	case JSON_INTEGER:
		return SCHEMA_INTEGER | SCHEMA_NUMBER;
	case JSON_REAL:
		return SCHEMA_NUMBER;
	case JSON_TRUE:
	case JSON_FALSE:
		return SCHEMA_BOOLEAN;
	case JSON_NULL:
		break;
	}
	return SCHEMA_NULL;
}

static int complain_of_type(struct checker *c, const struct schema_node *node,
			    const json_t *value, const struct step *at)
{
	const json_t *type = json_object_get(node->json, "type"), *name;
	auto_buf names = {};
	size_t i;

	if (c->quiet)
		return SCHEMA_INVALID;
	buf_append_text(&names, "is not of type ");
	if (json_is_string(type))
		buf_printf(&names, "'%s'", json_string_value(type));
	json_array_foreach (type, i, name)
		buf_printf(&names, "%s'%s'", i > 0 ? ", " : "", json_string_value(name));
	return names.failed ? err_oom(c->err)
			    : check_complain(c, at, value, buf_text(&names), NULL);
}

static int check_type(struct checker *c, const struct schema_node *node,
		      const json_t *value, const struct step *at)
{
	if (!node->types || node->types & types_of(value))
		return 0;
	return complain_of_type(c, node, value, at);
}

/* Positive when the value is one of the choices. */
static int is_chosen(struct checker *c, const struct schema_node *node,
		     const json_t *value)
{
	auto_buf text = {};
	int charged, r = json_equal_text(value, &text, c->err);

	if (r < 0)
		return r;
	charged = check_charge(c, 1 + text.size / 64);
	if (charged < 0)
		return charged;
	return r != JSON_EQUALS_NOTHING &&
	       schema_texts_have(&node->choice_texts, text.data, text.size);
}

static int check_enum(struct checker *c, const struct schema_node *node,
		      const json_t *value, const struct step *at)
{
	int r = node->choices ? is_chosen(c, node, value) : 1;

	if (r != 0)
		return r < 0 ? r : 0;
	return check_complain(c, at, value, "is not one of", node->choices);
}

static int check_string(struct checker *c, const struct schema_node *node,
			const json_t *value, const struct step *at)
{
	int found, r;

	if (!json_is_text(value))
		return 0;
	found = node->min_length.is_set || node->max_length.is_set
			? check_counts(c, at, value,
				       json_text_length(json_text_of(value)),
				       &node->min_length, &node->max_length,
				       "is too short", "is too long")
			: 0;
	if (found < 0 || !node->pattern)
		return found;
	r = check_pattern(c, node->pattern, json_text_of(value));
	if (r != 0)
		return r < 0 ? r : found;
	return check_complain(c, at, value, "does not match",
			      json_object_get(node->json, "pattern"));
}

static int check_bound(struct checker *c, const struct step *at, const json_t *value,
		       const json_t *bound, bool exclusive, int bad_order,
		       const char *const texts[2])
{
	int order;

	if (!bound || !json_number_compare(value, bound, &order))
		return 0;
	if ((order > 0) - (order < 0) != bad_order && !(exclusive && order == 0))
		return 0;
	return check_complain(c, at, value, texts[exclusive], bound);
}

static int check_number(struct checker *c, const struct schema_node *node,
			const json_t *value, const struct step *at)
{
	static const char *const below[] = {
		"is less than the minimum of",
		"is less than or equal to the minimum of",
	};
	static const char *const above[] = {
		"is greater than the maximum of",
		"is greater than or equal to the maximum of",
	};
	int found, r;

	if ((!node->minimum && !node->maximum) || !json_is_any_number(value))
		return 0;
	found = check_bound(c, at, value, node->minimum, node->exclusive_minimum, -1,
			    below);
	if (found < 0)
		return found;
	r = check_bound(c, at, value, node->maximum, node->exclusive_maximum, 1, above);
	return r != 0 ? r : found;
}

/* "Additional items are not allowed (2, 3 were unexpected)" */
static int complain_of_items(struct checker *c, const struct schema_node *node,
			     const json_t *array, const struct step *at)
{
	size_t first = node->tuple.n_items, n = json_array_size(array) - first;
	auto_buf message = {};

	if (c->quiet)
		return SCHEMA_INVALID;
	buf_append_text(&message, "Additional items are not allowed (");
	for (size_t i = 0; i < n; i++) {
		const json_t *item = json_array_get(array, first + i);
		int r;

		buf_append_text(&message, i > 0 ? ", " : "");
		r = append_reprs(c, &item, 1, &message);
		if (r < 0)
			return r;
	}
	buf_printf(&message, " %s unexpected)", n == 1 ? "was" : "were");
	return check_say(c, at, &message);
}

/* The schema that the item at @index must obey; NULL: none. */
static const struct schema_node *item_node(const struct schema_node *node, size_t index)
{
	if (!node->has_tuple)
		return node->items;
	if (index < node->tuple.n_items)
		return node->tuple.items[index];
	return node->more_items.node;
}

static int check_items(struct checker *c, const struct schema_node *node,
		       const json_t *array, const struct step *at)
{
	const json_t *item;
	int found = 0;
	size_t i;

	if (!node->items && !node->has_tuple)
		return 0;
	json_array_foreach (array, i, item) {
		struct step step = {.parent = at, .index = i};
		const struct schema_node *wanted = item_node(node, i);
		int r;

		if (!wanted)
			break;
		r = check_value(c, wanted, item, &step);
		if (r < 0 || (r > 0 && c->quiet))
			return r;
		found |= r;
	}
	if (node->has_tuple && node->more_items.refused &&
	    json_array_size(array) > node->tuple.n_items)
		return complain_of_items(c, node, array, at);
	return found;
}

static int check_unique(struct checker *c, const json_t *array, const struct step *at)
{
	struct schema_texts texts;
	bool unique;
	int r = schema_texts_init(&texts, array, c->err);

	if (r < 0)
		return r;
	r = check_charge(c, texts.n_items + texts.buf.size / 64);
	unique = schema_texts_unique(&texts);
	schema_texts_done(&texts);
	if (r < 0 || unique)
		return r;
	return check_complain(c, at, array, "has non-unique elements", NULL);
}

static int check_array(struct checker *c, const struct schema_node *node,
		       const json_t *value, const struct step *at)
{
	int found, r;

	if (!json_is_array(value))
		return 0;
	found = check_counts(c, at, value, json_array_size(value), &node->min_items,
			     &node->max_items, "is too short", "is too long");
	if (found < 0 || (found > 0 && c->quiet))
		return found;
	r = check_items(c, node, value, at);
	if (r < 0 || (r > 0 && c->quiet))
		return r;
	found |= r;
	r = node->unique_items ? check_unique(c, value, at) : 0;
	return r != 0 ? r : found;
}

/* Whether a value is valid, without a word. */
static int try_value(struct checker *c, const struct schema_node *node,
		     const json_t *value, const struct step *at)
{
	bool quiet = c->quiet;
	int r;

	c->quiet = true;
	r = check_value(c, node, value, at);
	c->quiet = quiet;
	return r;
}

static int check_all_of(struct checker *c, const struct schema_node *node,
			const json_t *value, const struct step *at)
{
	int found = 0;

	for (size_t i = 0; i < node->all_of.n_items; i++) {
		int r = check_value(c, node->all_of.items[i], value, at);

		if (r < 0 || (r > 0 && c->quiet))
			return r;
		found |= r;
	}
	return found;
}

static int check_any_of(struct checker *c, const struct schema_node *node,
			const json_t *value, const struct step *at)
{
	for (size_t i = 0; i < node->any_of.n_items; i++) {
		int r = try_value(c, node->any_of.items[i], value, at);

		if (r <= 0)
			return r;
	}
	if (node->any_of.n_items == 0)
		return 0;
	return check_complain(c, at, value, "is not valid under any of the given schemas",
			      NULL);
}

/* @schemas: the valid ones in the order of the message, the first at the end */
static int complain_of_many(struct checker *c, const json_t *value,
			    const json_t *const *schemas, size_t n, const struct step *at)
{
	auto_buf message = {};
	int r;

	if (c->quiet)
		return SCHEMA_INVALID;
	r = check_append(c, value, &message);
	if (r < 0)
		return r;
	buf_append_text(&message, " is valid under each of ");
	r = append_reprs(c, schemas, n, &message);
	return r < 0 ? r : check_say(c, at, &message);
}

static int check_choices(struct checker *c, const struct schema_node *node,
			 const json_t *value, const struct step *at)
{
	const struct schema_list *list = &node->one_of;
	const json_t *first = NULL;
	auto_free const json_t **valid = NULL;
	size_t n = 0;

	valid = calloc(list->n_items + 1, sizeof(*valid));
	if (!valid)
		return err_oom(c->err);
	for (size_t i = 0; i < list->n_items; i++) {
		int r = try_value(c, list->items[i], value, at);

		if (r < 0)
			return r;
		if (r == 0 && !first)
			first = list->items[i]->json;
		else if (r == 0)
			valid[n++] = list->items[i]->json;
	}
	if (!first)
		return check_complain(c, at, value,
				      "is not valid under any of the given schemas",
				      NULL);
	if (n == 0)
		return 0;
	valid[n++] = first;
	return complain_of_many(c, value, valid, n, at);
}

static int check_one_of(struct checker *c, const struct schema_node *node,
			const json_t *value, const struct step *at)
{
	return node->one_of.n_items > 0 ? check_choices(c, node, value, at) : 0;
}

static int check_not(struct checker *c, const struct schema_node *node,
		     const json_t *value, const struct step *at)
{
	int r = node->not ? try_value(c, node->not, value, at) : SCHEMA_INVALID;

	if (r < 0)
		return r;
	if (r > 0)
		return 0;
	return check_complain(c, at, value, "should not be valid under",
			      node->not ->json);
}

static int check_node(struct checker *c, const struct schema_node *node,
		      const json_t *value, const struct step *at)
{
	static int (*const checks[])(struct checker *, const struct schema_node *,
				     const json_t *, const struct step *) = {
		check_type,   check_enum,   check_string, check_number, check_array,
		check_object, check_all_of, check_any_of, check_one_of, check_not,
	};
	int found = 0;

	for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
		int r = checks[i](c, node, value, at);

		if (r < 0 || (r > 0 && c->quiet))
			return r;
		found |= r;
	}
	return found;
}

int check_value(struct checker *c, const struct schema_node *node, const json_t *value,
		const struct step *at)
{
	int r = check_charge(c, 1);

	if (r < 0)
		return r;
	/* schema_new() found no circle, so this ends. */
	for (; node->ref && r == 0; node = node->ref)
		r = check_charge(c, 1);
	if (r < 0)
		return r;
	if (c->depth >= DEPTH_MAX)
		return err_set(c->err, -ELOOP,
			       "schema '%s': schema and value are nested too deeply",
			       c->schema->name);
	c->depth++;
	r = check_node(c, node, value, at);
	c->depth--;
	return r;
}

int schema_validate(const struct schema *schema, const json_t *value, const json_t *path,
		    struct schema_errors *errors, struct cop_error *err)
{
	struct checker c = {.schema = schema, .path = path, .errors = errors, .err = err};

	return check_value(&c, schema->nodes, value, NULL);
}
