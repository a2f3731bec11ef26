/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON Schema draft-04, with the messages of Python's jsonschema (4.26) to the letter.
 *
 * Known: type, properties, patternProperties, additionalProperties, required,
 * dependencies, minProperties, maxProperties, items, additionalItems, minItems, maxItems,
 * uniqueItems, minLength, maxLength, pattern, minimum, maximum, exclusiveMinimum,
 * exclusiveMaximum, enum, allOf, anyOf, oneOf, not, and $ref to a place in the same
 * schema. Refused: multipleOf, and $ref to elsewhere.  Everything else is ignored, format
 * and default among it.
 */
#pragma once

#include "json/json.h"

/* schema_validate(): the value is not valid, and @errors says why. */
#define SCHEMA_INVALID 1

/* All messages and ids of a struct schema_errors together, in bytes. */
#define SCHEMA_ERRORS_MAX (64 * MIB)

struct schema;

/*
 * struct schema_error - what is wrong, and where
 * @path:    array of the keys and indices that lead to the place
 * @id:      the same as text: "." or .pipelines[0].name, a key with a space in quotes
 * @message: as jsonschema has it
 */
struct schema_error {
	json_t *path;
	char *id;
	char *message;
};

/* struct schema_errors - initialise with `= {}` */
struct schema_errors {
	struct schema_error *items;
	size_t n_items;
	size_t capacity;
	uint64_t size_bytes;
};

/* schema_errors_add() - copies both; -E2BIG beyond SCHEMA_ERRORS_MAX, or -ENOMEM */
int schema_errors_add(struct schema_errors *errors, const json_t *path,
		      const char *message, struct cop_error *err);

/* schema_errors_sort() - by id, then by message, each pair once.  Call it when all that
 * belongs together has been added. */
void schema_errors_sort(struct schema_errors *errors);

/* schema_errors_done() - free the errors; the structure can be used again */
void schema_errors_done(struct schema_errors *errors);
#define auto_schema_errors cleanup_with(schema_errors_done) struct schema_errors

/*
 * schema_new() - check a schema and compile it, patterns included
 * @json:       the schema; copied
 * @name:       what messages call it; copied
 * @ret_schema: untouched on failure
 *
 * Return: 0; -EINVAL with the place in the schema; -EOPNOTSUPP for multipleOf and for a
 *         $ref to elsewhere; -ENOMEM.
 */
int schema_new(const json_t *json, const char *name, struct schema **ret_schema,
	       struct cop_error *err);
struct schema *schema_free(struct schema *schema);
DEFINE_AUTO_PTR(schema)

/*
 * schema_validate() - compare a value with a schema
 * @value:  may be anything
 * @path:   where @value is, put before the paths of all errors; NULL: at the top
 * @errors: appended to, not sorted
 *
 * Safe from any thread for the same schema.
 *
 * Return: 0 when @value is valid, SCHEMA_INVALID when not, or a negative errno when that
 *         cannot be told: -ELOOP (schema and value nested too deeply together), -E2BIG
 *         (too much work, or too many errors), -ENOMEM.
 */
int schema_validate(const struct schema *schema, const json_t *value, const json_t *path,
		    struct schema_errors *errors, struct cop_error *err);
