/* SPDX-License-Identifier: Apache-2.0 */
/* Any two texts, with a NUL between them, as a schema and a value; one text: both. */
#include "fuzz.h"

#include <string.h>

#include "json/schema.h"

static void validate(const json_t *schema_json, const json_t *value)
{
	auto_schema_errors errors = {};
	auto_ptr(schema) schema = NULL;
	struct cop_error err = {};
	int r = schema_new(schema_json, "any", &schema, &err);

	if (r < 0) {
		fuzz_check(r == -EINVAL || r == -EOPNOTSUPP || r == -E2BIG);
		return;
	}
	r = schema_validate(schema, value, NULL, &errors, &err);
	fuzz_check(r == 0 || r == SCHEMA_INVALID || r == -ELOOP || r == -E2BIG);
	fuzz_check(r != 0 || errors.n_items == 0);
	fuzz_check(r != SCHEMA_INVALID || errors.n_items > 0);
	schema_errors_sort(&errors);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = size > 0 ? memchr(data, '\0', size) : NULL;
	size_t first = end ? (size_t)(end - data) : size;
	auto_json *schema = NULL, *value = NULL;

	if (json_read((const char *)data, first, &schema, NULL) < 0)
		return 0;
	if (!end)
		validate(schema, schema);
	else if (json_read((const char *)end + 1, size - first - 1, &value, NULL) == 0)
		validate(schema, value);
	return 0;
}
