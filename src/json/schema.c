/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a schema in JSON to nodes that can be checked without looking at JSON again.
 *
 * A subschema becomes a node when something first points at it and is compiled later, so
 * that neither depth nor circles of $ref need recursion.  What the draft-04 meta-schema
 * refuses is refused here, with the place.
 */
#include "json/schema-node.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "json/repr.h"

/* Longest place in a message. */
#define PLACE_MAX 300

const char *const schema_type_names[SCHEMA_N_TYPES] = {
	"array", "boolean", "integer", "null", "number", "object", "string",
};

struct compiler {
	struct schema *schema;
	struct map *nodes; /* address of the json_t to its node */
	struct schema_node *last;
	struct cop_error *err;
};

/* A keyword and where its value goes; @compile may assume nothing about @value. */
struct keyword {
	const char *name;
	int (*compile)(struct compiler *c, struct schema_node *node,
		       const struct keyword *keyword, const json_t *value);
	size_t offset; /* of the member of struct schema_node, where one is enough */
};

#define MEMBER(node, keyword, type) ((type *)(void *)((char *)(node) + (keyword)->offset))

static void place_of(const struct schema_node *node, struct buf *place)
{
	const struct schema_node *way[8];
	size_t n = 0;

	for (; node && node->parent && n < ARRAY_SIZE(way); node = node->parent)
		way[n++] = node;
	buf_append_text(place, node && node->parent ? "#/..." : "#");
	while (n > 0) {
		node = way[--n];
		buf_printf(place, "/%s", node->keyword);
		if (node->key)
			buf_printf(place, "/%s", node->key);
	}
}

static int printf_like(4, 5) refuse(struct compiler *c, const struct schema_node *node,
				    int code, const char *format, ...)
{
	auto_buf place = {}, shown = {};
	char text[300];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	place_of(node, &place);
	if (json_repr_key(buf_text(&place), PLACE_MAX, &shown, NULL) < 0)
		return err_set(c->err, code, "schema '%s': %s", c->schema->name, text);
	return err_set(c->err, code, "schema '%s': at %s: %s", c->schema->name,
		       buf_text(&shown), text);
}

static void *allocate(struct compiler *c, size_t n, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes))
		return NULL;
	return arena_alloc(c->schema->arena, bytes ? bytes : 1);
}

/* The node of the subschema @json, which is compiled later when it is new. */
static int get_node(struct compiler *c, const struct schema_node *parent,
		    const char *keyword, const char *key, const json_t *json,
		    const struct schema_node **ret)
{
	struct schema_node *node;
	void **slot;

	if (!json_is_object(json))
		return refuse(c, parent, -EINVAL,
			      "'%s' must hold schemas, which are objects", keyword);
	node = map_get(c->nodes, &json, sizeof(json));
	if (!node) {
		node = allocate(c, 1, sizeof(*node));
		if (!node)
			return err_oom(c->err);
		*node = (struct schema_node){
			.json = json, .parent = parent, .keyword = keyword, .key = key};
		slot = map_slot(c->nodes, &node->json, sizeof(node->json));
		if (!slot)
			return err_oom(c->err);
		*slot = node;
		if (c->last)
			c->last->next = node;
		else
			c->schema->nodes = node;
		c->last = node;
	}
	*ret = node;
	return 0;
}

static int compile_schema(struct compiler *c, struct schema_node *node,
			  const struct keyword *keyword, const json_t *value)
{
	return get_node(c, node, keyword->name, NULL, value,
			MEMBER(node, keyword, const struct schema_node *));
}

static int index_key(struct compiler *c, size_t index, const char **ret)
{
	char text[24];
	int n = snprintf(text, sizeof(text), "%zu", index);

	*ret = arena_memdup(c->schema->arena, text, (size_t)n);
	return *ret ? 0 : err_oom(c->err);
}

static int compile_list(struct compiler *c, struct schema_node *node,
			const struct keyword *keyword, const json_t *value)
{
	struct schema_list *list = MEMBER(node, keyword, struct schema_list);
	const json_t *item;
	size_t i;

	if (!json_is_array(value) || json_array_size(value) == 0)
		return refuse(c, node, -EINVAL, "'%s' must be an array with schemas",
			      keyword->name);
	list->items = allocate(c, json_array_size(value), sizeof(*list->items));
	if (!list->items)
		return err_oom(c->err);
	json_array_foreach (value, i, item) {
		const char *key;
		int r = index_key(c, i, &key);

		if (r == 0)
			r = get_node(c, node, keyword->name, key, item, &list->items[i]);
		if (r < 0)
			return r;
	}
	list->n_items = i;
	return 0;
}

static int compile_items(struct compiler *c, struct schema_node *node,
			 const struct keyword *keyword, const json_t *value)
{
	static const struct keyword tuple = {"items", NULL,
					     offsetof(struct schema_node, tuple)};

	if (!json_is_array(value))
		return compile_schema(c, node, keyword, value);
	node->has_tuple = true;
	return compile_list(c, node, &tuple, value);
}

static int compile_rest(struct compiler *c, struct schema_node *node,
			const struct keyword *keyword, const json_t *value)
{
	struct schema_rest *rest = MEMBER(node, keyword, struct schema_rest);

	if (json_is_boolean(value)) {
		rest->refused = json_is_false(value);
		return 0;
	}
	return get_node(c, node, keyword->name, NULL, value, &rest->node);
}

static int refuse_non_object(struct compiler *c, const struct schema_node *node,
			     const struct keyword *keyword)
{
	return refuse(c, node, -EINVAL, "'%s' must be an object", keyword->name);
}

static int compile_properties(struct compiler *c, struct schema_node *node,
			      const struct keyword *keyword, const json_t *value)
{
	const char *key;
	json_t *member;

	if (!json_is_object(value))
		return refuse_non_object(c, node, keyword);
	node->properties = map_new();
	if (!node->properties)
		return err_oom(c->err);
	json_object_foreach ((json_t *)value, key, member) {
		const struct schema_node *property = NULL;
		void **slot = map_slot(node->properties, key, strlen(key));
		int r = slot ? get_node(c, node, keyword->name, key, member, &property)
			     : err_oom(c->err);

		if (r < 0)
			return r;
		*slot = (void *)property;
	}
	return 0;
}

static int compile_regex(struct compiler *c, const struct schema_node *node,
			 const char *keyword, struct json_text text, struct pattern **ret)
{
	struct cop_error reason = {};
	int r = pattern_new(text, ret, &reason);

	if (r == -EINVAL)
		return refuse(c, node, r, "'%s' holds no regular expression: %s", keyword,
			      reason.message);
	return r < 0 ? err_copy(c->err, &reason) : 0;
}

static int compare_patterns(const void *a, const void *b)
{
	const struct schema_pattern *x = a, *y = b;

	return json_key_compare(x->key, y->key);
}

static int compile_patterns(struct compiler *c, struct schema_node *node,
			    const struct keyword *keyword, const json_t *value)
{
	struct schema_patterns *patterns = &node->patterns;
	const char *key;
	json_t *member;

	if (!json_is_object(value))
		return refuse_non_object(c, node, keyword);
	node->has_patterns = true;
	patterns->items = allocate(c, json_object_size(value), sizeof(*patterns->items));
	if (!patterns->items)
		return err_oom(c->err);
	json_object_foreach ((json_t *)value, key, member) {
		struct schema_pattern *item = &patterns->items[patterns->n_items];
		int r;

		item->key = key;
		r = get_node(c, node, keyword->name, key, member, &item->node);
		if (r == 0)
			r = compile_regex(c, node, keyword->name, json_text_of_key(key),
					  &item->pattern);
		if (r < 0)
			return r;
		patterns->n_items++;
	}
	qsort(patterns->items, patterns->n_items, sizeof(*patterns->items),
	      compare_patterns);
	return 0;
}

static int compile_pattern(struct compiler *c, struct schema_node *node,
			   const struct keyword *keyword, const json_t *value)
{
	if (!json_is_text(value))
		return refuse(c, node, -EINVAL, "'%s' must be a string", keyword->name);
	return compile_regex(c, node, keyword->name, json_text_of(value), &node->pattern);
}

static int is_unique(const json_t *array, bool *ret, struct cop_error *err)
{
	struct schema_texts texts;
	int r = schema_texts_init(&texts, array, err);

	if (r < 0)
		return r;
	*ret = schema_texts_unique(&texts);
	schema_texts_done(&texts);
	return 0;
}

/* A non-empty array of different strings, as keys. */
static int compile_keys(struct compiler *c, const struct schema_node *node,
			const char *keyword, const json_t *value,
			struct schema_keys *keys)
{
	bool unique = false;
	const json_t *item;
	size_t i;
	int r;

	r = is_unique(value, &unique, c->err);
	if (r < 0)
		return r;
	if (!json_is_array(value) || json_array_size(value) == 0 || !unique)
		return refuse(c, node, -EINVAL,
			      "'%s' must be an array of different strings", keyword);
	keys->items = allocate(c, json_array_size(value), sizeof(*keys->items));
	if (!keys->items)
		return err_oom(c->err);
	json_array_foreach (value, i, item) {
		auto_buf key = {};

		if (!json_is_text(item))
			return refuse(c, node, -EINVAL,
				      "'%s' must be an array of different strings",
				      keyword);
		json_string_as_key(item, &key);
		keys->items[i] = arena_memdup(c->schema->arena, buf_text(&key), key.size);
		if (key.failed || !keys->items[i])
			return err_oom(c->err);
	}
	keys->n_items = i;
	return 0;
}

static int compile_required(struct compiler *c, struct schema_node *node,
			    const struct keyword *keyword, const json_t *value)
{
	return compile_keys(c, node, keyword->name, value, &node->required);
}

static int compile_dependencies(struct compiler *c, struct schema_node *node,
				const struct keyword *keyword, const json_t *value)
{
	struct schema_dependencies *list = &node->dependencies;
	const char *key;
	json_t *member;
	int r;

	if (!json_is_object(value))
		return refuse_non_object(c, node, keyword);
	list->items = allocate(c, json_object_size(value), sizeof(*list->items));
	if (!list->items)
		return err_oom(c->err);
	json_object_foreach ((json_t *)value, key, member) {
		struct schema_dependency *item = &list->items[list->n_items];

		item->key = key;
		if (json_is_array(member))
			r = compile_keys(c, node, keyword->name, member, &item->keys);
		else
			r = get_node(c, node, keyword->name, key, member, &item->node);
		if (r < 0)
			return r;
		list->n_items++;
	}
	return 0;
}

static int compile_count(struct compiler *c, struct schema_node *node,
			 const struct keyword *keyword, const json_t *value)
{
	struct schema_count *count = MEMBER(node, keyword, struct schema_count);

	if (!json_is_any_integer(value) || json_integer_value(value) < 0 ||
	    (json_is_string(value) && json_string_value(value)[2] == '-'))
		return refuse(c, node, -EINVAL, "'%s' must be an integer of 0 or more",
			      keyword->name);
	count->is_set = true;
	/* Nothing is as long as an integer beyond 64 bits. */
	count->value =
		json_is_integer(value) ? (uint64_t)json_integer_value(value) : UINT64_MAX;
	return 0;
}

static int compile_number(struct compiler *c, struct schema_node *node,
			  const struct keyword *keyword, const json_t *value)
{
	if (!json_is_any_number(value))
		return refuse(c, node, -EINVAL, "'%s' must be a number", keyword->name);
	*MEMBER(node, keyword, const json_t *) = value;
	return 0;
}

static int compile_bool(struct compiler *c, struct schema_node *node,
			const struct keyword *keyword, const json_t *value)
{
	if (!json_is_boolean(value))
		return refuse(c, node, -EINVAL, "'%s' must be true or false",
			      keyword->name);
	*MEMBER(node, keyword, bool) = json_is_true(value);
	return 0;
}

static int compile_exclusive(struct compiler *c, struct schema_node *node,
			     const struct keyword *keyword, const json_t *value)
{
	const char *bound =
		text_ends_with(keyword->name, "Minimum") ? "minimum" : "maximum";

	if (!json_object_get(node->json, bound))
		return refuse(c, node, -EINVAL, "'%s' needs '%s' beside it",
			      keyword->name, bound);
	return compile_bool(c, node, keyword, value);
}

/* What else the meta-schema wants to be a string, though it changes nothing. */
static int compile_note(struct compiler *c, struct schema_node *node,
			const struct keyword *keyword, const json_t *value)
{
	if (!json_is_text(value))
		return refuse(c, node, -EINVAL, "'%s' must be a string", keyword->name);
	return 0;
}

static int compile_definitions(struct compiler *c, struct schema_node *node,
			       const struct keyword *keyword, const json_t *value)
{
	const struct schema_node *definition;
	const char *key;
	json_t *member;

	if (!json_is_object(value))
		return refuse_non_object(c, node, keyword);
	json_object_foreach ((json_t *)value, key, member) {
		int r = get_node(c, node, keyword->name, key, member, &definition);

		if (r < 0)
			return r;
	}
	return 0;
}

static int compile_enum(struct compiler *c, struct schema_node *node,
			const struct keyword *keyword, const json_t *value)
{
	int r;

	if (!json_is_array(value) || json_array_size(value) == 0)
		return refuse(c, node, -EINVAL,
			      "'%s' must be an array of different values", keyword->name);
	r = schema_texts_init(&node->choice_texts, value, c->err);
	if (r < 0)
		return r;
	node->choices = value;
	if (!schema_texts_unique(&node->choice_texts))
		return refuse(c, node, -EINVAL,
			      "'%s' must be an array of different values", keyword->name);
	return 0;
}

static unsigned int type_bit(const json_t *name)
{
	for (unsigned int i = 0; i < SCHEMA_N_TYPES; i++)
		if (json_is_string(name) &&
		    strcmp(json_string_value(name), schema_type_names[i]) == 0)
			return 1u << i;
	return 0;
}

static int compile_type(struct compiler *c, struct schema_node *node,
			const struct keyword *keyword, const json_t *value)
{
	const json_t *item;
	size_t i;

	if (!json_is_array(value)) {
		node->types = type_bit(value);
		if (!node->types)
			return refuse(c, node, -EINVAL, "'%s' names no type",
				      keyword->name);
		return 0;
	}
	json_array_foreach (value, i, item) {
		unsigned int bit = type_bit(item);

		if (!bit || node->types & bit)
			return refuse(c, node, -EINVAL,
				      "'%s' must be an array of different types",
				      keyword->name);
		node->types |= bit;
	}
	if (!node->types)
		return refuse(c, node, -EINVAL,
			      "'%s' must be an array of different types", keyword->name);
	return 0;
}

static int refuse_keyword(struct compiler *c, struct schema_node *node,
			  const struct keyword *keyword, const json_t *value)
{
	(void)value;
	return refuse(c, node, -EOPNOTSUPP, "'%s' is not supported", keyword->name);
}

#define AT(member) offsetof(struct schema_node, member)

static const struct keyword keywords[] = {
	{"$schema", compile_note, 0},
	{"additionalItems", compile_rest, AT(more_items)},
	{"additionalProperties", compile_rest, AT(more_properties)},
	{"allOf", compile_list, AT(all_of)},
	{"anyOf", compile_list, AT(any_of)},
	{"definitions", compile_definitions, 0},
	{"dependencies", compile_dependencies, 0},
	{"description", compile_note, 0},
	{"enum", compile_enum, 0},
	{"exclusiveMaximum", compile_exclusive, AT(exclusive_maximum)},
	{"exclusiveMinimum", compile_exclusive, AT(exclusive_minimum)},
	{"format", compile_note, 0},
	{"id", compile_note, 0},
	{"items", compile_items, AT(items)},
	{"maxItems", compile_count, AT(max_items)},
	{"maxLength", compile_count, AT(max_length)},
	{"maxProperties", compile_count, AT(max_properties)},
	{"maximum", compile_number, AT(maximum)},
	{"minItems", compile_count, AT(min_items)},
	{"minLength", compile_count, AT(min_length)},
	{"minProperties", compile_count, AT(min_properties)},
	{"minimum", compile_number, AT(minimum)},
	{"multipleOf", refuse_keyword, 0},
	{"not", compile_schema, AT(not )},
	{"oneOf", compile_list, AT(one_of)},
	{"pattern", compile_pattern, 0},
	{"patternProperties", compile_patterns, 0},
	{"properties", compile_properties, 0},
	{"required", compile_required, 0},
	{"title", compile_note, 0},
	{"type", compile_type, 0},
	{"uniqueItems", compile_bool, AT(unique_items)},
};

#undef AT

static int compile_ref(struct compiler *c, struct schema_node *node, const json_t *ref)
{
	const json_t *target = NULL;
	const char *text;
	int r;

	if (!json_is_text(ref))
		return refuse(c, node, -EINVAL, "'$ref' must be a string");
	text = json_string_value(ref);
	if (text[0] != '#' || (text[1] && text[1] != '/'))
		return refuse(
			c, node, -EOPNOTSUPP,
			"'$ref' leads out of the schema, only '#/...' is supported");
	r = schema_resolve(c->schema->json, text + 1, &target);
	if (r < 0)
		return err_oom(c->err);
	if (!json_is_object(target))
		return refuse(c, node, -EINVAL, "'$ref' leads to no schema");
	return get_node(c, node, "$ref", NULL, target, &node->ref);
}

static int compile_node(struct compiler *c, struct schema_node *node)
{
	const json_t *ref = json_object_get(node->json, "$ref");

	if (ref && !json_is_null(ref))
		return compile_ref(c, node, ref);
	for (size_t i = 0; i < ARRAY_SIZE(keywords); i++) {
		const json_t *value = json_object_get(node->json, keywords[i].name);
		int r;

		if (!value)
			continue;
		r = keywords[i].compile(c, node, &keywords[i], value);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Refs that only lead to refs until they are back where they began. */
static int find_circles(struct compiler *c)
{
	unsigned int walk = 0;

	for (struct schema_node *start = c->schema->nodes; start; start = start->next) {
		struct schema_node *node = start;

		walk++;
		while (node && !node->walked) {
			node->walked = walk;
			node = (struct schema_node *)node->ref;
		}
		if (node && node->walked == walk)
			return refuse(c, node, -EINVAL, "'$ref' leads back to itself");
	}
	return 0;
}

static int compile_all(struct compiler *c)
{
	const struct schema_node *root;
	int r;

	if (!json_is_object(c->schema->json))
		return err_set(c->err, -EINVAL, "schema '%s' is not an object",
			       c->schema->name);
	r = get_node(c, NULL, "", NULL, c->schema->json, &root);
	for (struct schema_node *node = c->schema->nodes; r == 0 && node;
	     node = node->next)
		r = compile_node(c, node);
	return r < 0 ? r : find_circles(c);
}

int schema_new(const json_t *json, const char *name, struct schema **ret_schema,
	       struct cop_error *err)
{
	auto_ptr(schema) schema = calloc(1, sizeof(*schema));
	auto_ptr(map) nodes = map_new();
	struct compiler c = {.schema = schema, .nodes = nodes, .err = err};
	int r;

	if (!schema || !nodes)
		return err_oom(err);
	schema->name = strdup(name);
	schema->json = json_deep_copy(json);
	schema->arena = arena_new();
	if (!schema->name || !schema->json || !schema->arena)
		return err_oom(err);
	r = compile_all(&c);
	if (r < 0)
		return r;
	*ret_schema = TAKE_PTR(schema);
	return 0;
}

struct schema *schema_free(struct schema *schema)
{
	if (!schema)
		return NULL;
	for (struct schema_node *node = schema->nodes; node; node = node->next) {
		map_free(node->properties);
		pattern_free(node->pattern);
		schema_texts_done(&node->choice_texts);
		for (size_t i = 0; i < node->patterns.n_items; i++)
			pattern_free(node->patterns.items[i].pattern);
	}
	arena_free(schema->arena);
	json_decref(schema->json);
	free(schema->name);
	free(schema);
	return NULL;
}
