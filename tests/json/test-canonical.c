/* SPDX-License-Identifier: Apache-2.0 */
#include "jsonlib.h"

static int indented(const json_t *json, struct buf *buf, struct cop_error *err)
{
	return json_write(json, 2, buf, err);
}

static int on_one_line(const json_t *json, struct buf *buf, struct cop_error *err)
{
	return json_write(json, 0, buf, err);
}

static void canonical_is(const char *text, const char *expected)
{
	assert_prints(json_canonical, text, expected);
}

static void odd_options_of_a_stage_give_the_text_its_id_is_made_of(void **state)
{
	(void)state;
	canonical_is(
		"{\"b\":true,\"a\":2,\"B\":1,\"_\":4,\"\xc3\x84\":3,\"n\":null,"
		"\"s\":\"\xc3\xa9\xe2\x80\xa8\\\"\\\\\\/\\n\\t\x7f\xf0\x9f\x98\x80\","
		"\"f\":1.0,\"e\":1e-1,\"g\":1E22,\"h\":0.0000001,\"o\":{},"
		"\"lst\":[1,2.5,[]],\"neg\":-0.0,\"i\":123456789012345678901234567890}",
		"{\"B\": 1, \"_\": 4, \"a\": 2, \"b\": true, \"e\": 0.1, \"f\": 1.0, "
		"\"g\": 1e+22, \"h\": 1e-07, \"i\": 123456789012345678901234567890, "
		"\"lst\": [1, 2.5, []], \"n\": null, \"neg\": -0.0, \"o\": {}, "
		"\"s\": \"\\u00e9\\u2028\\\"\\\\/\\n\\t\\u007f\\ud83d\\ude00\", "
		"\"\\u00c4\": 3}");
}

static void integers_of_any_length_keep_every_digit(void **state)
{
	(void)state;
	canonical_is("[9223372036854775807, 9223372036854775808, "
		     "-9223372036854775808, -9223372036854775809]",
		     "[9223372036854775807, 9223372036854775808, "
		     "-9223372036854775808, -9223372036854775809]");
}

static void minus_zero_is_the_integer_zero(void **state)
{
	(void)state;
	canonical_is("[-0, -0.0, -0e0]", "[0, -0.0, -0.0]");
}

static void floats_are_the_shortest_that_read_back(void **state)
{
	(void)state;
	canonical_is("[0.1, 0.30000000000000004, 2.50, 1.0, 100.0, 123456.789]",
		     "[0.1, 0.30000000000000004, 2.5, 1.0, 100.0, 123456.789]");
}

static void exponents_begin_where_python_begins_them(void **state)
{
	(void)state;
	canonical_is("[1e15, 1e16, 1.5e16, 9999999999999998.0, 0.0001, 0.00001, 1e22]",
		     "[1000000000000000.0, 1e+16, 1.5e+16, 9999999999999998.0, 0.0001, "
		     "1e-05, 1e+22]");
}

static void powers_of_two_take_the_shorter_neighbour(void **state)
{
	(void)state;
	canonical_is("[5.684341886080801486968994140625e-14, 5.9604644775390625e-08, "
		     "7.1202363472230444e-307, 6.1897001964269014e+26]",
		     "[5.684341886080802e-14, 5.960464477539063e-08, "
		     "7.120236347223045e-307, 6.189700196426902e+26]");
}

static void the_ends_of_the_range_of_floats_survive(void **state)
{
	(void)state;
	canonical_is("[5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, 1e-999]",
		     "[5e-324, 2.2250738585072014e-308, 1.7976931348623157e+308, 0.0]");
}

static void what_is_not_finite_has_a_name(void **state)
{
	(void)state;
	canonical_is("[NaN, Infinity, -Infinity, 1e999, -1E+999]",
		     "[NaN, Infinity, -Infinity, Infinity, -Infinity]");
}

static void control_characters_have_their_short_forms(void **state)
{
	(void)state;
	canonical_is("\"\\u0000\\u0001\\b\\t\\n\\f\\r\\u001f /\"",
		     "\"\\u0000\\u0001\\b\\t\\n\\f\\r\\u001f /\"");
}

static void lone_surrogates_survive_in_values_and_keys(void **state)
{
	(void)state;
	canonical_is(
		"{\"\\uDC00\": \"a\\uD800\", \"\\ud800\\u0041\": \"\\ude00\\ud83d\"}",
		"{\"\\ud800A\": \"\\ude00\\ud83d\", \"\\udc00\": \"a\\ud800\"}");
}

static void pairs_of_surrogates_are_one_character(void **state)
{
	(void)state;
	canonical_is("[\"\\ud83d\\ude00\", \"\\ud83d\\ud83d\\ude00\"]",
		     "[\"\\ud83d\\ude00\", \"\\ud83d\\ud83d\\ude00\"]");
}

static void keys_with_the_escape_character_are_themselves(void **state)
{
	(void)state;
	canonical_is("{\"\\u0001d800\": \"\\u0001d800\", \"\\u0000\": \"x\\u0000\"}",
		     "{\"\\u0000\": \"x\\u0000\", \"\\u0001d800\": \"\\u0001d800\"}");
}

static void strings_that_look_like_marks_are_strings(void **state)
{
	(void)state;
	canonical_is("[\"\\u0000i12\", \"\\u0000fNaN\", \"\\u0000s\", \"\\u0000\"]",
		     "[\"\\u0000i12\", \"\\u0000fNaN\", \"\\u0000s\", \"\\u0000\"]");
}

/* UTF-16 would put U+1F600 before U+E000. */
static void keys_are_sorted_by_code_point(void **state)
{
	(void)state;
	canonical_is(
		"{\"\\ud83d\\ude00\":1, \"\\ue000\":2, \"\\uffff\":3, \"\\ud900\":4, "
		"\"\\ud7ff\":5, \"b\":6, \"aa\":7, \"a\":8, \"\":9, \"\\u0001\":10}",
		"{\"\": 9, \"\\u0001\": 10, \"a\": 8, \"aa\": 7, \"b\": 6, "
		"\"\\ud7ff\": 5, \"\\ud900\": 4, \"\\ue000\": 2, \"\\uffff\": 3, "
		"\"\\ud83d\\ude00\": 1}");
}

static void writing_keeps_the_order_of_keys(void **state)
{
	(void)state;
	assert_prints(on_one_line, "{\"b\":1,\"a\":[2,{\"d\":null,\"c\":3}]}",
		      "{\"b\": 1, \"a\": [2, {\"d\": null, \"c\": 3}]}");
}

static void indented_text_has_pythons_layout(void **state)
{
	(void)state;
	assert_prints(
		indented, "{\"b\":1,\"a\":[2,{\"d\":{}}],\"e\":[]}",
		"{\n  \"b\": 1,\n  \"a\": [\n    2,\n    {\n      \"d\": {}\n    }\n"
		"  ],\n  \"e\": []\n}");
}

static void too_deep_a_value_is_not_written(void **state)
{
	json_t *json = json_array();
	struct cop_error err = {};
	auto_buf buf = {};

	(void)state;
	for (int i = 0; i < JSON_DEPTH_MAX; i++) {
		json_t *outer = json_array();

		assert_int_equal(json_array_append_new(outer, json), 0);
		json = outer;
	}
	assert_int_equal(buf_append_text(&buf, "before"), 0);
	assert_fails(json_canonical(json, &buf, &err), -EINVAL, &err);
	assert_string_equal(buf_text(&buf), "before");
	json_decref(json);
}

static void equal_is(const char *a, const char *b, bool expected)
{
	auto_json *x = read_text(a), *y = read_text(b);
	struct cop_error err = {};
	auto_buf text_x = {}, text_y = {};

	assert_int_equal(json_equal_text(x, &text_x, &err), 0);
	assert_int_equal(json_equal_text(y, &text_y, &err), 0);
	assert_int_equal(strcmp(buf_text(&text_x), buf_text(&text_y)) == 0, expected);
}

static void numbers_of_one_value_are_equal_whatever_their_form(void **state)
{
	(void)state;
	equal_is("[1, 0, 10000000000000000000000]", "[1.0, -0.0, 1e22]", true);
	equal_is("{\"a\": 1, \"b\": 2}", "{\"b\": 2, \"a\": 1}", true);
	equal_is("1e999", "Infinity", true);
	equal_is("9007199254740993", "9007199254740992.0", false);
	equal_is("100000000000000000000000", "1e23", false);
}

static void true_and_one_are_not_equal(void **state)
{
	(void)state;
	equal_is("true", "1", false);
	equal_is("[false]", "[0]", false);
	equal_is("\"1\"", "1", false);
	equal_is("null", "\"null\"", false);
}

static void nan_equals_nothing(void **state)
{
	auto_json *json = read_text("[1, {\"a\": NaN}]");
	struct cop_error err = {};
	auto_buf buf = {};

	(void)state;
	assert_int_equal(json_equal_text(json, &buf, &err), JSON_EQUALS_NOTHING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(odd_options_of_a_stage_give_the_text_its_id_is_made_of),
		cmocka_unit_test(integers_of_any_length_keep_every_digit),
		cmocka_unit_test(minus_zero_is_the_integer_zero),
		cmocka_unit_test(floats_are_the_shortest_that_read_back),
		cmocka_unit_test(exponents_begin_where_python_begins_them),
		cmocka_unit_test(powers_of_two_take_the_shorter_neighbour),
		cmocka_unit_test(the_ends_of_the_range_of_floats_survive),
		cmocka_unit_test(what_is_not_finite_has_a_name),
		cmocka_unit_test(control_characters_have_their_short_forms),
		cmocka_unit_test(lone_surrogates_survive_in_values_and_keys),
		cmocka_unit_test(pairs_of_surrogates_are_one_character),
		cmocka_unit_test(keys_with_the_escape_character_are_themselves),
		cmocka_unit_test(strings_that_look_like_marks_are_strings),
		cmocka_unit_test(keys_are_sorted_by_code_point),
		cmocka_unit_test(writing_keeps_the_order_of_keys),
		cmocka_unit_test(indented_text_has_pythons_layout),
		cmocka_unit_test(too_deep_a_value_is_not_written),
		cmocka_unit_test(numbers_of_one_value_are_equal_whatever_their_form),
		cmocka_unit_test(true_and_one_are_not_equal),
		cmocka_unit_test(nan_equals_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
