/* SPDX-License-Identifier: Apache-2.0 */
/* Objects against a compiled schema: their members, required keys and number. */
#include <string.h>

#include "json/schema-check.h"

/* Keys that no property and no pattern speaks of. */
struct extras {
	const char **keys;
	size_t n_keys;
};

static int compare_keys(const void *a, const void *b)
{
	return json_key_compare(*(const char *const *)a, *(const char *const *)b);
}

static int append_keys(struct checker *c, const struct extras *extras,
		       struct buf *message)
{
	for (size_t i = 0; i < extras->n_keys; i++) {
		int r;

		buf_append_text(message, i > 0 ? ", " : "");
		r = check_append_key(c, extras->keys[i], message);
		if (r < 0)
			return r;
	}
	return 0;
}

static int complain_of_keys(struct checker *c, const struct schema_node *node,
			    const struct extras *extras, const struct step *at)
{
	bool one = extras->n_keys == 1;
	auto_buf message = {};
	int r;

	if (c->quiet)
		return SCHEMA_INVALID;
	qsort(extras->keys, extras->n_keys, sizeof(*extras->keys), compare_keys);
	if (!node->has_patterns)
		buf_append_text(&message, "Additional properties are not allowed (");
	r = append_keys(c, extras, &message);
	if (r < 0)
		return r;
	if (node->has_patterns)
		buf_printf(&message,
			   " %s not match any of the regexes: ", one ? "does" : "do");
	else
		buf_printf(&message, " %s unexpected)", one ? "was" : "were");
	for (size_t i = 0; i < node->patterns.n_items; i++) {
		buf_append_text(&message, i > 0 ? ", " : "");
		r = check_append_key(c, node->patterns.items[i].key, &message);
		if (r < 0)
			return r;
	}
	return check_say(c, at, &message);
}

/* One member; @ret_known: whether a property or a pattern speaks of it. */
static int check_member(struct checker *c, const struct schema_node *node,
			const char *key, const json_t *value, const struct step *at,
			bool *ret_known)
{
	const struct schema_node *property =
		node->properties ? map_get(node->properties, key, strlen(key)) : NULL;
	struct step step = {.parent = at, .key = key};
	int found = property ? check_value(c, property, value, &step) : 0;

	*ret_known = property;
	for (size_t i = 0; i < node->patterns.n_items; i++) {
		const struct schema_pattern *item = &node->patterns.items[i];
		int r;

		if (found < 0)
			return found;
		r = check_pattern(c, item->pattern, json_text_of_key(key));
		if (r <= 0) {
			found = r < 0 ? r : found;
			continue;
		}
		*ret_known = true;
		r = check_value(c, item->node, value, &step);
		found = r < 0 ? r : found | r;
	}
	if (found >= 0 && !*ret_known && node->more_properties.node) {
		int r = check_value(c, node->more_properties.node, value, &step);

		found = r < 0 ? r : found | r;
	}
	return found;
}

static int check_members(struct checker *c, const struct schema_node *node,
			 const json_t *object, const struct step *at)
{
	auto_free const char **keys =
		node->more_properties.refused
			? calloc(json_object_size(object) + 1, sizeof(*keys))
			: NULL;
	struct extras extras = {.keys = keys};
	const char *key;
	json_t *value;
	int found = 0;

	if (node->more_properties.refused && !keys)
		return err_oom(c->err);
	json_object_foreach ((json_t *)object, key, value) {
		bool known = false;
		int r = check_member(c, node, key, value, at, &known);

		if (r < 0 || (r > 0 && c->quiet))
			return r;
		found |= r;
		if (!known && keys)
			keys[extras.n_keys++] = key;
	}
	return extras.n_keys > 0 ? complain_of_keys(c, node, &extras, at) : found;
}

/* "KEY text", or "KEY text OTHER" */
static int complain_of_key(struct checker *c, const struct step *at, const char *key,
			   const char *text, const char *other)
{
	auto_buf message = {};
	int r;

	if (c->quiet)
		return SCHEMA_INVALID;
	r = check_append_key(c, key, &message);
	if (r < 0)
		return r;
	buf_printf(&message, " %s", text);
	r = other ? check_append_key(c, other, &message) : 0;
	return r < 0 ? r : check_say(c, at, &message);
}

static int check_keys(struct checker *c, const struct schema_keys *keys,
		      const json_t *object, const char *text, const char *other,
		      const struct step *at)
{
	int found = check_charge(c, keys->n_items);

	for (size_t i = 0; i < keys->n_items && found >= 0; i++)
		if (!json_object_get(object, keys->items[i]))
			found = complain_of_key(c, at, keys->items[i], text, other);
	return found;
}

static int check_dependencies(struct checker *c, const struct schema_node *node,
			      const json_t *object, const struct step *at)
{
	const struct schema_dependencies *list = &node->dependencies;
	int found = check_charge(c, list->n_items);

	for (size_t i = 0; i < list->n_items && found >= 0; i++) {
		const struct schema_dependency *item = &list->items[i];
		int r;

		if (!json_object_get(object, item->key))
			continue;
		r = item->node ? check_value(c, item->node, object, at)
			       : check_keys(c, &item->keys, object, "is a dependency of ",
					    item->key, at);
		found = r < 0 ? r : found | r;
	}
	return found;
}

int check_object(struct checker *c, const struct schema_node *node, const json_t *value,
		 const struct step *at)
{
	int found, r;

	if (!json_is_object(value))
		return 0;
	found = check_counts(c, at, value, json_object_size(value), &node->min_properties,
			     &node->max_properties, "does not have enough properties",
			     "has too many properties");
	if (found < 0 || (found > 0 && c->quiet))
		return found;
	r = check_keys(c, &node->required, value, "is a required property", NULL, at);
	if (r < 0 || (r > 0 && c->quiet))
		return r;
	found |= r;
	r = check_dependencies(c, node, value, at);
	if (r < 0 || (r > 0 && c->quiet))
		return r;
	found |= r;
	if (!node->properties && !node->has_patterns && !node->more_properties.refused &&
	    !node->more_properties.node)
		return found;
	r = check_members(c, node, value, at);
	return r != 0 ? r : found;
}
