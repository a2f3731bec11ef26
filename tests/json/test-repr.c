/* SPDX-License-Identifier: Apache-2.0 */
#include "jsonlib.h"

#include "json/repr.h"

static int repr(const json_t *json, struct buf *buf, struct cop_error *err)
{
	return json_repr(json, SIZE_MAX, buf, err);
}

static void repr_is(const char *text, const char *expected)
{
	assert_prints(repr, text, expected);
}

static void constants_have_pythons_names(void **state)
{
	(void)state;
	repr_is("[true, false, null]", "[True, False, None]");
}

static void numbers_are_pythons(void **state)
{
	(void)state;
	repr_is("[1, 1.0, 1e22, -0.0, 99999999999999999999, NaN, Infinity, -Infinity]",
		"[1, 1.0, 1e+22, -0.0, 99999999999999999999, nan, inf, -inf]");
}

static void containers_have_pythons_layout(void **state)
{
	(void)state;
	repr_is("{\"b\":[],\"a\":{\"c\":[1,\"x\"]}}", "{'b': [], 'a': {'c': [1, 'x']}}");
}

static void quotes_are_double_only_around_single_ones(void **state)
{
	(void)state;
	repr_is("[\"a\", \"it's\", \"say \\\"x\\\"\", \"both ' and \\\"\"]",
		"['a', \"it's\", 'say \"x\"', 'both \\' and \"']");
}

static void control_characters_are_escaped(void **state)
{
	(void)state;
	repr_is("\"\\n\\r\\t\\\\\\u0000\\u0001\\b\\f\\u001b\\u007f\"",
		"'\\n\\r\\t\\\\\\x00\\x01\\x08\\x0c\\x1b\\x7f'");
}

static void printable_characters_stay_and_others_do_not(void **state)
{
	(void)state;
	repr_is("\"\xc3\xa9\\u0080\\u00a0\\u00ad\\u0378\\u2028\\u200b\\ue000\\ufeff"
		"\\ud83d\\ude00\\udb40\\udc01\\udbff\\udfff\"",
		"'\xc3\xa9\\x80\\xa0\\xad\\u0378\\u2028\\u200b\\ue000\\ufeff"
		"\xf0\x9f\x98\x80\\U000e0001\\U0010ffff'");
}

static void lone_surrogates_are_escaped(void **state)
{
	(void)state;
	repr_is("{\"\\udc00\": \"a\\ud800\"}", "{'\\udc00': 'a\\ud800'}");
}

static void a_repr_beyond_its_limit_is_refused(void **state)
{
	auto_json *json = read_text("[\"abcdefgh\", 1]");
	struct cop_error err = {};
	auto_buf buf = {};

	(void)state;
	assert_int_equal(buf_append_text(&buf, "before"), 0);
	assert_ok(json_repr(json, 15, &buf, &err), &err);
	buf_truncate(&buf, 6);
	assert_fails(json_repr(json, 14, &buf, &err), -E2BIG, &err);
	assert_string_equal(buf_text(&buf), "before");
}

static void a_repr_too_deep_is_refused(void **state)
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
	assert_fails(json_repr(json, SIZE_MAX, &buf, &err), -EINVAL, &err);
	json_decref(json);
}

static void keys_are_shown_like_strings(void **state)
{
	struct cop_error err = {};
	auto_buf buf = {};

	(void)state;
	assert_ok(json_repr_key("a\n\x01"
				"d800",
				100, &buf, &err),
		  &err);
	assert_string_equal(buf_text(&buf), "'a\\n\\ud800'");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(constants_have_pythons_names),
		cmocka_unit_test(numbers_are_pythons),
		cmocka_unit_test(containers_have_pythons_layout),
		cmocka_unit_test(quotes_are_double_only_around_single_ones),
		cmocka_unit_test(control_characters_are_escaped),
		cmocka_unit_test(printable_characters_stay_and_others_do_not),
		cmocka_unit_test(lone_surrogates_are_escaped),
		cmocka_unit_test(a_repr_beyond_its_limit_is_refused),
		cmocka_unit_test(a_repr_too_deep_is_refused),
		cmocka_unit_test(keys_are_shown_like_strings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
