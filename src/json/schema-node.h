/* SPDX-License-Identifier: Apache-2.0 */
/* A compiled schema, shared by schema.c, which makes it, and schema-check.c. */
#pragma once

#include "base/arena.h"
#include "base/map.h"
#include "json/pattern.h"
#include "json/schema.h"

/* Bits of struct schema_node.types, in the order of the names in schema_type_names. */
#define SCHEMA_N_TYPES 7
extern const char *const schema_type_names[SCHEMA_N_TYPES];
enum schema_type {
	SCHEMA_ARRAY = 1u << 0,
	SCHEMA_BOOLEAN = 1u << 1,
	SCHEMA_INTEGER = 1u << 2,
	SCHEMA_NULL = 1u << 3,
	SCHEMA_NUMBER = 1u << 4,
	SCHEMA_OBJECT = 1u << 5,
	SCHEMA_STRING = 1u << 6,
};

/* struct schema_texts - json_equal_text() of the items of an array, sorted */
struct schema_text {
	const char *data;
	size_t size;
};

struct schema_texts {
	struct buf buf;
	struct schema_text *items;
	size_t n_items; /* without those that equal nothing */
};

int schema_texts_init(struct schema_texts *texts, const json_t *array,
		      struct cop_error *err);
void schema_texts_done(struct schema_texts *texts);
bool schema_texts_unique(const struct schema_texts *texts);
bool schema_texts_have(const struct schema_texts *texts, const char *data, size_t size);

/* schema_resolve() - what @pointer ("" or "/part/part", %-escapes and ~ decoded) leads to
 * in @root; borrowed, NULL when it leads nowhere.  Return: 0 or -ENOMEM. */
int schema_resolve(const json_t *root, const char *pointer, const json_t **ret);

struct schema_node;

struct schema_list {
	const struct schema_node **items;
	size_t n_items;
};

/* struct schema_keys - names of properties, as keys */
struct schema_keys {
	const char **items;
	size_t n_items;
};

struct schema_patterns {
	struct schema_pattern {
		const char *key;
		struct pattern *pattern;
		const struct schema_node *node;
	} * items;
	size_t n_items;
};

struct schema_dependencies {
	struct schema_dependency {
		const char *key;
		struct schema_keys keys;
		const struct schema_node *node; /* instead of keys */
	} * items;
	size_t n_items;
};

/* struct schema_rest - additionalItems and additionalProperties */
struct schema_rest {
	bool refused;
	const struct schema_node *node; /* NULL: anything */
};

struct schema_count {
	bool is_set;
	uint64_t value;
};

/* struct schema_node - one (sub)schema; all zero: everything is valid */
struct schema_node {
	const json_t *json;
	struct schema_node *next; /* of all nodes of the schema */

	/* The first way found to it, for messages. */
	const struct schema_node *parent;
	const char *keyword;
	const char *key; /* NULL: none */

	const struct schema_node *ref; /* instead of everything below */
	unsigned int walked;	       /* by the search for circles of refs */

	unsigned int types;	/* 0: any */
	struct map *properties; /* key to struct schema_node */
	struct schema_patterns patterns;
	bool has_patterns;
	struct schema_rest more_properties;
	struct schema_keys required;
	struct schema_dependencies dependencies;
	struct schema_count min_properties, max_properties;

	const struct schema_node *items;
	struct schema_list tuple;
	bool has_tuple;
	struct schema_rest more_items;
	struct schema_count min_items, max_items;
	bool unique_items;

	struct schema_count min_length, max_length;
	struct pattern *pattern;

	const json_t *minimum, *maximum;
	bool exclusive_minimum, exclusive_maximum;

	const json_t *choices; /* of enum */
	struct schema_texts choice_texts;
	struct schema_list all_of, any_of, one_of;
	const struct schema_node * not ;
};

struct schema {
	char *name;
	json_t *json;
	struct arena *arena;
	struct schema_node *nodes; /* the root first */
};
