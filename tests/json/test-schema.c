/* SPDX-License-Identifier: Apache-2.0 */
#include "jsonlib.h"

#include "json/schema.h"

static struct schema *schema_of(const char *text)
{
	auto_json *json = read_text(text);
	struct schema *schema = NULL;
	struct cop_error err = {};

	assert_ok(schema_new(json, "test", &schema, &err), &err);
	return schema;
}

/* The value must give these findings: "id message" per line, sorted */
static void finds(const char *schema_text, const char *value_text, const char *expected)
{
	auto_ptr(schema) schema = schema_of(schema_text);
	auto_json *value = read_text(value_text);
	auto_schema_errors errors = {};
	struct cop_error err = {};
	auto_buf lines = {};
	int r = schema_validate(schema, value, NULL, &errors, &err);

	assert_ok(r, &err);
	assert_int_equal(r == SCHEMA_INVALID, errors.n_items > 0);
	schema_errors_sort(&errors);
	for (size_t i = 0; i < errors.n_items; i++)
		buf_printf(&lines, "%s%s %s", i > 0 ? "\n" : "", errors.items[i].id,
			   errors.items[i].message);
	assert_string_equal(buf_text(&lines), expected);
}

static void accepts(const char *schema_text, const char *value_text)
{
	finds(schema_text, value_text, "");
}

static void refuses_schema(const char *text, int code, const char *message)
{
	auto_json *json = read_text(text);
	struct schema *schema = NULL;
	struct cop_error err = {};

	assert_fails(schema_new(json, "test", &schema, &err), code, &err);
	assert_string_equal(err.message, message);
	assert_null(schema);
}

static void type_takes_its_own_values(void **state)
{
	(void)state;
	accepts("{\"type\": \"string\"}", "\"a\"");
	accepts("{\"type\": \"string\"}", "\"\\ud800\"");
	accepts("{\"type\": \"integer\"}", "99999999999999999999");
	accepts("{\"type\": \"number\"}", "1");
	accepts("{\"type\": \"number\"}", "NaN");
	accepts("{\"type\": \"boolean\"}", "false");
	accepts("{\"type\": \"null\"}", "null");
	accepts("{\"type\": \"array\"}", "[]");
	accepts("{\"type\": \"object\"}", "{}");
	accepts("{\"type\": [\"string\", \"integer\"]}", "1");
}

static void type_refuses_others(void **state)
{
	(void)state;
	finds("{\"type\": \"string\"}", "42", ". 42 is not of type 'string'");
	finds("{\"type\": [\"string\", \"integer\"]}", "null",
	      ". None is not of type 'string', 'integer'");
	finds("{\"type\": \"string\"}", "99999999999999999999",
	      ". 99999999999999999999 is not of type 'string'");
}

static void a_float_without_a_fraction_is_no_integer(void **state)
{
	(void)state;
	finds("{\"type\": \"integer\"}", "1.0", ". 1.0 is not of type 'integer'");
}

static void true_is_no_number(void **state)
{
	(void)state;
	finds("{\"type\": \"number\"}", "true", ". True is not of type 'number'");
	finds("{\"type\": \"integer\"}", "true", ". True is not of type 'integer'");
}

static void properties_are_checked_where_they_are(void **state)
{
	static const char schema[] = "{\"properties\": {\"a\": {\"type\": \"string\"}}}";

	(void)state;
	accepts(schema, "{\"a\": \"x\", \"b\": 1}");
	accepts(schema, "[1]");
	finds(schema, "{\"a\": 1}", ".a 1 is not of type 'string'");
}

static void properties_with_odd_names_are_found(void **state)
{
	(void)state;
	finds("{\"properties\": {\"\\ud800\": {\"type\": \"string\"}}}",
	      "{\"\\ud800\": 1}", ".\\ud800 1 is not of type 'string'");
	finds("{\"required\": [\"\\u0001\", \"\\u0000\"]}", "{\"\\u0001\": 1}",
	      ". '\\x00' is a required property");
}

static void missing_keys_are_required(void **state)
{
	(void)state;
	accepts("{\"required\": [\"a\"]}", "{\"a\": null}");
	accepts("{\"required\": [\"a\"]}", "1");
	finds("{\"required\": [\"hostname\", \"b\"]}", "{}",
	      ". 'b' is a required property\n. 'hostname' is a required property");
}

static void additional_properties_are_refused(void **state)
{
	static const char schema[] =
		"{\"properties\": {\"x\": {}}, \"additionalProperties\": false}";

	(void)state;
	accepts(schema, "{\"x\": 1}");
	finds(schema, "{\"foo\": 1}",
	      ". Additional properties are not allowed ('foo' was unexpected)");
	finds(schema, "{\"b\": 1, \"x\": 2, \"a\": 3}",
	      ". Additional properties are not allowed ('a', 'b' were unexpected)");
}

static void additional_properties_have_a_schema(void **state)
{
	static const char schema[] =
		"{\"properties\": {\"x\": {}}, \"additionalProperties\": {\"minimum\": 3}}";

	(void)state;
	accepts(schema, "{\"x\": 1, \"y\": 3}");
	finds(schema, "{\"y\": 1}", ".y 1 is less than the minimum of 3");
}

static void properties_are_matched_by_patterns(void **state)
{
	static const char schema[] =
		"{\"patternProperties\": {\"^[a-z]+$\": {\"type\": \"string\"}},"
		" \"additionalProperties\": false}";

	(void)state;
	accepts(schema, "{\"abc\": \"x\"}");
	finds(schema, "{\"abc\": 1}", ".abc 1 is not of type 'string'");
	finds(schema, "{\"a b\": \"x\"}",
	      ". 'a b' does not match any of the regexes: '^[a-z]+$'");
	finds("{\"patternProperties\": {\"c\": {}, \"a\": {}},"
	      " \"additionalProperties\": false}",
	      "{\"y\": 1, \"x\": 2}",
	      ". 'x', 'y' do not match any of the regexes: 'a', 'c'");
}

static void dependencies_are_followed(void **state)
{
	(void)state;
	accepts("{\"dependencies\": {\"a\": [\"b\"]}}", "{\"c\": 1}");
	finds("{\"dependencies\": {\"a\": [\"b\"]}}", "{\"a\": 1}",
	      ". 'b' is a dependency of 'a'");
	finds("{\"dependencies\": {\"a\": {\"maxProperties\": 1}}}",
	      "{\"a\": 1, \"b\": 2}", ". {'a': 1, 'b': 2} has too many properties");
}

static void items_obey_one_schema(void **state)
{
	(void)state;
	accepts("{\"items\": {\"type\": \"integer\"}}", "[1, 2]");
	finds("{\"items\": {\"type\": \"integer\"}}", "[1, \"x\", null]",
	      "[1] 'x' is not of type 'integer'\n[2] None is not of type 'integer'");
}

static void items_obey_a_schema_each(void **state)
{
	static const char schema[] =
		"{\"items\": [{\"type\": \"integer\"}, {\"type\": \"string\"}]}";

	(void)state;
	accepts(schema, "[1, \"x\", null]");
	accepts(schema, "[1]");
	finds(schema, "[1, 2]", "[1] 2 is not of type 'string'");
}

static void additional_items_are_refused_behind_a_tuple(void **state)
{
	(void)state;
	finds("{\"items\": [{}], \"additionalItems\": false}", "[1, 2]",
	      ". Additional items are not allowed (2 was unexpected)");
	finds("{\"items\": [{}], \"additionalItems\": false}", "[1, 2, \"x\"]",
	      ". Additional items are not allowed (2, 'x' were unexpected)");
	accepts("{\"additionalItems\": false}", "[1, 2]");
	accepts("{\"items\": {}, \"additionalItems\": false}", "[1, 2]");
	finds("{\"items\": [{}], \"additionalItems\": {\"type\": \"null\"}}",
	      "[1, null, 2]", "[2] 2 is not of type 'null'");
}

static void enum_takes_only_what_it_lists(void **state)
{
	(void)state;
	accepts("{\"enum\": [\"mbr\", {\"a\": [1.0]}]}", "{\"a\": [1]}");
	finds("{\"enum\": [\"mbr\", \"dos\", \"gpt\"]}", "\"x\"",
	      ". 'x' is not one of ['mbr', 'dos', 'gpt']");
}

static void enum_tells_true_from_one(void **state)
{
	(void)state;
	accepts("{\"enum\": [1, true]}", "1.0");
	finds("{\"enum\": [1]}", "true", ". True is not one of [1]");
	finds("{\"enum\": [false]}", "0", ". 0 is not one of [False]");
	finds("{\"enum\": [NaN]}", "NaN", ". nan is not one of [nan]");
}

static void refs_lead_into_the_schema(void **state)
{
	static const char schema[] =
		"{\"definitions\": {\"n\": {\"type\": \"null\"}, \"a/b~c d\": {\"enum\": [1]}},"
		" \"items\": [{\"$ref\": \"#/definitions/n\"},"
		"  {\"$ref\": \"#/definitions/a~1b~0c%20d\"}, {\"$ref\": \"#/items/0\"}]}";

	(void)state;
	accepts(schema, "[null, 1, null]");
	finds(schema, "[1, 2, 3]",
	      "[0] 1 is not of type 'null'\n[1] 2 is not one of [1]\n"
	      "[2] 3 is not of type 'null'");
}

static void what_stands_beside_a_ref_is_ignored(void **state)
{
	(void)state;
	accepts("{\"definitions\": {\"n\": {}}, \"$ref\": \"#/definitions/n\","
		" \"type\": \"null\"}",
		"1");
}

static void recursive_schemas_follow_the_value(void **state)
{
	static const char schema[] =
		"{\"type\": \"object\", \"properties\": {\"a\": {\"$ref\": \"#\"}}}";

	(void)state;
	accepts(schema, "{\"a\": {\"a\": {}}}");
	finds(schema, "{\"a\": {\"a\": 1}}", ".a.a 1 is not of type 'object'");
}

static void patterns_are_searched_anywhere(void **state)
{
	(void)state;
	accepts("{\"pattern\": \"b+\"}", "\"abc\"");
	accepts("{\"pattern\": \"b+\"}", "1");
	finds("{\"pattern\": \"re\"}", "\"v\"", ". 'v' does not match 're'");
}

static void patterns_are_pythons(void **state)
{
	(void)state;
	accepts("{\"pattern\": \"^a$\"}", "\"a\\n\"");
	finds("{\"pattern\": \"^a\\\\Z\"}", "\"a\\n\"",
	      ". 'a\\n' does not match '^a\\\\Z'");
	accepts("{\"pattern\": \"^\\\\w\\\\d$\"}", "\"\xc3\xa9\xd9\xa3\"");
	accepts("{\"pattern\": \"^(?!b)(?=a).{,2}$\"}", "\"ab\"");
	accepts("{\"pattern\": \"^[[:a]]$\"}", "\":]\"");
	accepts("{\"pattern\": \"^\\\\u00e9\\\\U0001f600$\"}",
		"\"\xc3\xa9\xf0\x9f\x98\x80\"");
	accepts("{\"pattern\": \"^.\\\\v$\"}", "\"\\ud800\\u000b\"");
	finds("{\"pattern\": \"^.$\"}", "\"\\n\"", ". '\\n' does not match '^.$'");
}

static void one_of_wants_exactly_one(void **state)
{
	static const char schema[] = "{\"oneOf\": [{\"type\": \"integer\"},"
				     " {\"minimum\": 2}, {\"enum\": [5]}]}";

	(void)state;
	accepts(schema, "1");
	finds(schema, "1.5", ". 1.5 is not valid under any of the given schemas");
	finds(schema, "5",
	      ". 5 is valid under each of {'minimum': 2}, {'enum': [5]}, "
	      "{'type': 'integer'}");
}

static void any_of_wants_one(void **state)
{
	static const char schema[] =
		"{\"anyOf\": [{\"type\": \"string\"}, {\"minimum\": 2}]}";

	(void)state;
	accepts(schema, "2");
	accepts(schema, "\"x\"");
	finds(schema, "1", ". 1 is not valid under any of the given schemas");
}

static void all_of_wants_every_one(void **state)
{
	static const char schema[] =
		"{\"allOf\": [{\"type\": \"integer\"}, {\"minimum\": 2}]}";

	(void)state;
	accepts(schema, "2");
	finds(schema, "1.5",
	      ". 1.5 is less than the minimum of 2\n. 1.5 is not of type 'integer'");
}

static void not_wants_the_opposite(void **state)
{
	(void)state;
	accepts("{\"not\": {\"type\": \"string\"}}", "1");
	finds("{\"not\": {\"type\": \"string\"}}", "\"a\"",
	      ". 'a' should not be valid under {'type': 'string'}");
}

static void counts_have_a_minimum(void **state)
{
	(void)state;
	accepts("{\"minItems\": 2, \"minLength\": 2, \"minProperties\": 2}", "[1, 2]");
	finds("{\"minItems\": 2}", "[1]", ". [1] is too short");
	finds("{\"minItems\": 1}", "[]", ". [] should be non-empty");
	finds("{\"minLength\": 2}", "\"a\"", ". 'a' is too short");
	finds("{\"minLength\": 1}", "\"\"", ". '' should be non-empty");
	finds("{\"minProperties\": 2}", "{}", ". {} does not have enough properties");
	finds("{\"minProperties\": 1}", "{}", ". {} should be non-empty");
}

static void counts_have_a_maximum(void **state)
{
	(void)state;
	accepts("{\"maxItems\": 99999999999999999999}", "[1, 2]");
	finds("{\"maxItems\": 1}", "[1, 2]", ". [1, 2] is too long");
	finds("{\"maxItems\": 0}", "[1]", ". [1] is expected to be empty");
	finds("{\"maxLength\": 2}", "\"abc\"", ". 'abc' is too long");
	finds("{\"maxLength\": 0}", "\"a\"", ". 'a' is expected to be empty");
	finds("{\"maxProperties\": 1}", "{\"a\": 1, \"b\": 2}",
	      ". {'a': 1, 'b': 2} has too many properties");
	finds("{\"maxProperties\": 0}", "{\"a\": 1}",
	      ". {'a': 1} is expected to be empty");
}

static void lengths_count_characters(void **state)
{
	(void)state;
	accepts("{\"minLength\": 2, \"maxLength\": 2}", "\"\xf0\x9f\x98\x80\xc3\xa9\"");
	accepts("{\"minLength\": 2, \"maxLength\": 2}", "\"\\ud800\\u0000\"");
}

static void numbers_have_bounds(void **state)
{
	(void)state;
	accepts("{\"minimum\": 3, \"maximum\": 3}", "3");
	accepts("{\"minimum\": 3}", "\"x\"");
	accepts("{\"minimum\": 3}", "NaN");
	finds("{\"minimum\": 3}", "1", ". 1 is less than the minimum of 3");
	finds("{\"maximum\": 3}", "5", ". 5 is greater than the maximum of 3");
	finds("{\"maximum\": 9007199254740992.0}", "9007199254740993",
	      ". 9007199254740993 is greater than the maximum of 9007199254740992.0");
	finds("{\"maximum\": 3}", "Infinity", ". inf is greater than the maximum of 3");
}

static void bounds_can_be_exclusive(void **state)
{
	(void)state;
	accepts("{\"minimum\": 3, \"exclusiveMinimum\": false}", "3");
	accepts("{\"minimum\": 1.1, \"exclusiveMinimum\": true}", "1.2");
	finds("{\"minimum\": 3, \"exclusiveMinimum\": true}", "3",
	      ". 3 is less than or equal to the minimum of 3");
	finds("{\"maximum\": 3, \"exclusiveMaximum\": true}", "3.0",
	      ". 3.0 is greater than or equal to the maximum of 3");
}

static void items_can_be_unique(void **state)
{
	(void)state;
	accepts("{\"uniqueItems\": true}",
		"[1, true, \"1\", null, [1], [true], {}, \"\"]");
	accepts("{\"uniqueItems\": true}", "[NaN, NaN]");
	accepts("{\"uniqueItems\": false}", "[1, 1]");
	finds("{\"uniqueItems\": true}", "[1, 1]", ". [1, 1] has non-unique elements");
	finds("{\"uniqueItems\": true}", "[{\"a\": 1, \"b\": 2}, {\"b\": 2, \"a\": 1.0}]",
	      ". [{'a': 1, 'b': 2}, {'b': 2, 'a': 1.0}] has non-unique elements");
}

static void what_has_no_effect_is_ignored(void **state)
{
	(void)state;
	accepts("{\"default\": 1, \"description\": \"d\", \"title\": \"t\", \"examples\": 3,"
		" \"desription\": 4, \"minitems\": \"x\", \"items:\": 5, \"type:\": 6,"
		" \"format\": \"uri\", \"$schema\": \"s\", \"id\": \"i\", \"const\": 7}",
		"\"not a uri\"");
}

static void findings_are_sorted_and_said_once(void **state)
{
	static const char schema[] =
		"{\"allOf\": [{\"items\": {\"type\": \"null\"}},"
		" {\"items\": {\"type\": \"null\"}}], \"maxItems\": 0}";

	(void)state;
	finds(schema, "[null, 1]",
	      ". [None, 1] is expected to be empty\n[1] 1 is not of type 'null'");
}

static void ids_quote_keys_with_a_space(void **state)
{
	(void)state;
	finds("{\"additionalProperties\": {\"items\": {\"type\": \"null\"}}}",
	      "{\"a b\": [null, 1], \"c\": [2]}",
	      ".'a b'[1] 1 is not of type 'null'\n.c[0] 2 is not of type 'null'");
}

static void paths_are_keys_and_indices_behind_the_given_one(void **state)
{
	auto_ptr(schema) schema =
		schema_of("{\"properties\": {\"a\": {\"items\": {\"type\": \"null\"}}}}");
	auto_json *value = read_text("{\"a\": [null, 1]}"),
		  *path = read_text("[\"p\", 3]");
	auto_json *expected = read_text("[\"p\", 3, \"a\", 1]");
	auto_schema_errors errors = {};
	struct cop_error err = {};

	(void)state;
	assert_int_equal(schema_validate(schema, value, path, &errors, &err),
			 SCHEMA_INVALID);
	assert_int_equal(errors.n_items, 1);
	assert_true(json_equal(errors.items[0].path, expected));
	assert_string_equal(errors.items[0].id, ".p[3].a[1]");
	assert_int_equal(json_array_size(path), 2);
}

static void findings_of_others_can_be_added(void **state)
{
	auto_json *path = read_text("[\"b\"]"), *root = read_text("[]");
	auto_schema_errors errors = {};
	struct cop_error err = {};

	(void)state;
	assert_ok(schema_errors_add(&errors, path, "two", &err), &err);
	assert_ok(schema_errors_add(&errors, path, "one", &err), &err);
	assert_ok(schema_errors_add(&errors, root, "zero", &err), &err);
	assert_ok(schema_errors_add(&errors, path, "two", &err), &err);
	schema_errors_sort(&errors);
	assert_int_equal(errors.n_items, 3);
	assert_string_equal(errors.items[0].message, "zero");
	assert_string_equal(errors.items[1].message, "one");
	assert_string_equal(errors.items[2].message, "two");
}

static void malformed_schemas_are_refused_with_the_place(void **state)
{
	(void)state;
	refuses_schema("1", -EINVAL, "schema 'test' is not an object");
	refuses_schema("{\"properties\": {\"a\": {\"type\": \"strin\"}}}", -EINVAL,
		       "schema 'test': at '#/properties/a': 'type' names no type");
	refuses_schema(
		"{\"type\": []}", -EINVAL,
		"schema 'test': at '#': 'type' must be an array of different types");
	refuses_schema(
		"{\"type\": [\"null\", \"null\"]}", -EINVAL,
		"schema 'test': at '#': 'type' must be an array of different types");
	refuses_schema(
		"{\"items\": [{}, {\"minItems\": -1}]}", -EINVAL,
		"schema 'test': at '#/items/1': 'minItems' must be an integer of 0 "
		"or more");
	refuses_schema(
		"{\"minLength\": 2.0}", -EINVAL,
		"schema 'test': at '#': 'minLength' must be an integer of 0 or more");
	refuses_schema(
		"{\"enum\": [1, 1.0]}", -EINVAL,
		"schema 'test': at '#': 'enum' must be an array of different values");
	refuses_schema("{\"required\": []}", -EINVAL,
		       "schema 'test': at '#': 'required' must be an array of different "
		       "strings");
	refuses_schema("{\"required\": [1]}", -EINVAL,
		       "schema 'test': at '#': 'required' must be an array of different "
		       "strings");
	refuses_schema("{\"anyOf\": []}", -EINVAL,
		       "schema 'test': at '#': 'anyOf' must be an array with schemas");
	refuses_schema(
		"{\"not\": true}", -EINVAL,
		"schema 'test': at '#': 'not' must hold schemas, which are objects");
	refuses_schema("{\"properties\": []}", -EINVAL,
		       "schema 'test': at '#': 'properties' must be an object");
	refuses_schema("{\"minimum\": true}", -EINVAL,
		       "schema 'test': at '#': 'minimum' must be a number");
	refuses_schema(
		"{\"exclusiveMinimum\": true}", -EINVAL,
		"schema 'test': at '#': 'exclusiveMinimum' needs 'minimum' beside it");
	refuses_schema("{\"uniqueItems\": 1}", -EINVAL,
		       "schema 'test': at '#': 'uniqueItems' must be true or false");
	refuses_schema("{\"additionalProperties\": 1}", -EINVAL,
		       "schema 'test': at '#': 'additionalProperties' must hold schemas, "
		       "which are objects");
	refuses_schema("{\"definitions\": {\"x\": {\"title\": 1}}}", -EINVAL,
		       "schema 'test': at '#/definitions/x': 'title' must be a string");
}

static void patterns_that_python_refuses_are_refused(void **state)
{
	(void)state;
	refuses_schema(
		"{\"pattern\": \"\\\\Q\"}", -EINVAL,
		"schema 'test': at '#': 'pattern' holds no regular expression: bad "
		"escape \\Q");
	refuses_schema("{\"pattern\": \"(*UTF)a\"}", -EINVAL,
		       "schema 'test': at '#': 'pattern' holds no regular expression: "
		       "nothing to repeat");
	refuses_schema("{\"pattern\": \"(a\"}", -EINVAL,
		       "schema 'test': at '#': 'pattern' holds no regular expression: "
		       "missing closing parenthesis");
	refuses_schema("{\"pattern\": \"\\\\u12\"}", -EINVAL,
		       "schema 'test': at '#': 'pattern' holds no regular expression: "
		       "incomplete escape \\u");
	refuses_schema("{\"patternProperties\": {\"[a\": {}}}", -EINVAL,
		       "schema 'test': at '#': 'patternProperties' holds no regular "
		       "expression: missing terminating ] for character class");
}

static void refs_that_lead_nowhere_are_refused(void **state)
{
	(void)state;
	refuses_schema("{\"$ref\": \"#/definitions/x\"}", -EINVAL,
		       "schema 'test': at '#': '$ref' leads to no schema");
	refuses_schema("{\"a\": [1], \"not\": {\"$ref\": \"#/a/0\"}}", -EINVAL,
		       "schema 'test': at '#/not': '$ref' leads to no schema");
	refuses_schema("{\"$ref\": \"http://example.com/\"}", -EOPNOTSUPP,
		       "schema 'test': at '#': '$ref' leads out of the schema, only "
		       "'#/...' is supported");
}

static void refs_that_lead_back_to_themselves_are_refused(void **state)
{
	(void)state;
	refuses_schema("{\"$ref\": \"#\"}", -EINVAL,
		       "schema 'test': at '#': '$ref' leads back to itself");
	refuses_schema(
		"{\"definitions\": {\"a\": {\"$ref\": \"#/definitions/b\"},"
		" \"b\": {\"$ref\": \"#/definitions/a\"}}}",
		-EINVAL,
		"schema 'test': at '#/definitions/a': '$ref' leads back to itself");
}

static void a_keyword_that_is_not_known_well_enough_is_refused(void **state)
{
	(void)state;
	refuses_schema("{\"multipleOf\": 2}", -EOPNOTSUPP,
		       "schema 'test': at '#': 'multipleOf' is not supported");
}

static void fails(const char *schema_text, const char *value_text, int code,
		  const char *message)
{
	auto_ptr(schema) schema = schema_of(schema_text);
	auto_json *value = read_text(value_text);
	auto_schema_errors errors = {};
	struct cop_error err = {};

	assert_fails(schema_validate(schema, value, NULL, &errors, &err), code, &err);
	assert_string_equal(err.message, message);
}

static void a_circle_through_all_of_ends(void **state)
{
	(void)state;
	fails("{\"allOf\": [{\"$ref\": \"#\"}]}", "1", -ELOOP,
	      "schema 'test': schema and value are nested too deeply");
}

static void a_choice_that_doubles_at_every_level_ends(void **state)
{
	auto_buf value = {};

	(void)state;
	for (int i = 0; i < 100; i++)
		buf_append_text(&value, "{\"a\":");
	buf_append_char(&value, '1');
	for (int i = 0; i < 100; i++)
		buf_append_char(&value, '}');
	fails("{\"type\": \"object\", \"anyOf\": [{\"properties\": {\"a\": {\"$ref\": \"#\"}}},"
	      " {\"properties\": {\"a\": {\"$ref\": \"#\"}}}]}",
	      buf_text(&value), -E2BIG, "schema 'test': comparing takes too many steps");
}

static void a_hostile_pattern_ends(void **state)
{
	(void)state;
	fails("{\"pattern\": \"^(a+)+$\"}",
	      "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab\"", -E2BIG,
	      "schema 'test': searching for '^(a+)+$' takes too many steps");
}

static void the_deepest_document_is_checked_to_its_bottom(void **state)
{
	auto_ptr(schema) schema =
		schema_of("{\"type\": \"array\", \"items\": {\"$ref\": \"#\"}}");
	auto_schema_errors errors = {};
	struct cop_error err = {};
	auto_json *value = NULL;
	auto_buf text = {};

	(void)state;
	for (int i = 0; i < JSON_DEPTH_MAX; i++)
		buf_append_char(&text, '[');
	buf_append_char(&text, '1');
	for (int i = 0; i < JSON_DEPTH_MAX; i++)
		buf_append_char(&text, ']');
	value = read_text(buf_text(&text));
	assert_int_equal(schema_validate(schema, value, NULL, &errors, &err),
			 SCHEMA_INVALID);
	assert_int_equal(errors.n_items, 1);
	assert_int_equal(json_array_size(errors.items[0].path), JSON_DEPTH_MAX);
}

static void a_long_array_of_equal_beginnings_is_compared_fast(void **state)
{
	auto_ptr(schema) schema = schema_of("{\"uniqueItems\": true}");
	auto_schema_errors errors = {};
	struct cop_error err = {};
	auto_json *value = json_array();

	(void)state;
	for (json_int_t i = 0; i < 100000; i++)
		assert_int_equal(json_array_append_new(
					 value, json_pack("{sI}", "key", 1000000 + i)),
				 0);
	assert_int_equal(schema_validate(schema, value, NULL, &errors, &err), 0);
}

static void messages_without_end_are_cut_off(void **state)
{
	auto_ptr(schema) schema =
		schema_of("{\"type\": \"null\", \"items\": {\"$ref\": \"#\"}}");
	auto_schema_errors errors = {};
	struct cop_error err = {};
	json_t *value = json_array();

	(void)state;
	/* Every level shows all that is below it. */
	assert_int_equal(json_array_append_new(value, json_sprintf("%0200000d", 1)), 0);
	for (int i = 0; i < 900; i++)
		value = json_pack("[o]", value);
	assert_fails(schema_validate(schema, value, NULL, &errors, &err), -E2BIG, &err);
	assert_string_equal(err.message, "over 64 MiB of schema errors");
	json_decref(value);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(type_takes_its_own_values),
		cmocka_unit_test(type_refuses_others),
		cmocka_unit_test(a_float_without_a_fraction_is_no_integer),
		cmocka_unit_test(true_is_no_number),
		cmocka_unit_test(properties_are_checked_where_they_are),
		cmocka_unit_test(properties_with_odd_names_are_found),
		cmocka_unit_test(missing_keys_are_required),
		cmocka_unit_test(additional_properties_are_refused),
		cmocka_unit_test(additional_properties_have_a_schema),
		cmocka_unit_test(properties_are_matched_by_patterns),
		cmocka_unit_test(dependencies_are_followed),
		cmocka_unit_test(items_obey_one_schema),
		cmocka_unit_test(items_obey_a_schema_each),
		cmocka_unit_test(additional_items_are_refused_behind_a_tuple),
		cmocka_unit_test(enum_takes_only_what_it_lists),
		cmocka_unit_test(enum_tells_true_from_one),
		cmocka_unit_test(refs_lead_into_the_schema),
		cmocka_unit_test(what_stands_beside_a_ref_is_ignored),
		cmocka_unit_test(recursive_schemas_follow_the_value),
		cmocka_unit_test(patterns_are_searched_anywhere),
		cmocka_unit_test(patterns_are_pythons),
		cmocka_unit_test(one_of_wants_exactly_one),
		cmocka_unit_test(any_of_wants_one),
		cmocka_unit_test(all_of_wants_every_one),
		cmocka_unit_test(not_wants_the_opposite),
		cmocka_unit_test(counts_have_a_minimum),
		cmocka_unit_test(counts_have_a_maximum),
		cmocka_unit_test(lengths_count_characters),
		cmocka_unit_test(numbers_have_bounds),
		cmocka_unit_test(bounds_can_be_exclusive),
		cmocka_unit_test(items_can_be_unique),
		cmocka_unit_test(what_has_no_effect_is_ignored),
		cmocka_unit_test(findings_are_sorted_and_said_once),
		cmocka_unit_test(ids_quote_keys_with_a_space),
		cmocka_unit_test(paths_are_keys_and_indices_behind_the_given_one),
		cmocka_unit_test(findings_of_others_can_be_added),
		cmocka_unit_test(malformed_schemas_are_refused_with_the_place),
		cmocka_unit_test(patterns_that_python_refuses_are_refused),
		cmocka_unit_test(refs_that_lead_nowhere_are_refused),
		cmocka_unit_test(refs_that_lead_back_to_themselves_are_refused),
		cmocka_unit_test(a_keyword_that_is_not_known_well_enough_is_refused),
		cmocka_unit_test(a_circle_through_all_of_ends),
		cmocka_unit_test(a_choice_that_doubles_at_every_level_ends),
		cmocka_unit_test(a_hostile_pattern_ends),
		cmocka_unit_test(the_deepest_document_is_checked_to_its_bottom),
		cmocka_unit_test(a_long_array_of_equal_beginnings_is_compared_fast),
		cmocka_unit_test(messages_without_end_are_cut_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
