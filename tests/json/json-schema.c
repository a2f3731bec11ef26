/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For schema-suite.py: reads objects with "schema" and "values" from standard input, one
 * per line, and prints a JSON line for each: what is wrong with the schema as a string,
 * or an array with an array of [path, message] per value, or a string where that failed.
 */
#include <stdio.h>
#include <string.h>

#include "json/schema.h"

static json_t *findings(const struct schema *schema, const json_t *value)
{
	auto_schema_errors errors = {};
	struct cop_error err = {};
	json_t *list;

	if (schema_validate(schema, value, NULL, &errors, &err) < 0)
		return json_string(err.message);
	schema_errors_sort(&errors);
	list = json_array();
	for (size_t i = 0; i < errors.n_items; i++)
		json_array_append_new(list, json_pack("[Os]", errors.items[i].path,
						      errors.items[i].message));
	return list;
}

static int run(const char *line, size_t size, struct cop_error *err)
{
	auto_json *input = NULL, *output = NULL;
	auto_ptr(schema) schema = NULL;
	json_t *values = NULL, *value;
	struct cop_error reason = {};
	auto_buf text = {};
	size_t i;
	int r = json_read(line, size, &input, err);

	if (r == 0)
		r = json_get_array(input, "values", "a test", &values, err);
	if (r < 0)
		return r;
	if (schema_new(json_object_get(input, "schema"), "test", &schema, &reason) < 0) {
		output = json_string(reason.message);
	} else {
		output = json_array();
		json_array_foreach (values, i, value)
			json_array_append_new(output, findings(schema, value));
	}
	r = json_write(output, 0, &text, err);
	if (r == 0)
		printf("%s\n", buf_text(&text));
	return r;
}

int main(void)
{
	struct cop_error err = {};
	auto_free char *line = NULL;
	size_t capacity = 0;
	ssize_t size;

	while ((size = getline(&line, &capacity, stdin)) > 0) {
		if (run(line, (size_t)size, &err) < 0) {
			fprintf(stderr, "json-schema: %s\n", err.message);
			return 1;
		}
	}
	return 0;
}
