/* SPDX-License-Identifier: Apache-2.0 */
#include "jsonlib.h"

#include "json/value.h"

static void refused(const char *text, const char *message)
{
	assert_refused(text, strlen(text), message);
}

/* @n times @unit, then @tail */
static void repeat(struct buf *buf, const char *unit, size_t n, const char *tail)
{
	for (size_t i = 0; i < n; i++)
		buf_append_text(buf, unit);
	buf_append_text(buf, tail);
	assert_false(buf->failed);
}

static void any_value_may_stand_at_the_top(void **state)
{
	static const char *const texts[] = {"1",    "\"a\"", "null",
					    " [] ", "NaN",   "\n{}\n"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		json_decref(read_text(texts[i]));
}

static void the_last_of_duplicate_keys_wins_at_the_first_place(void **state)
{
	(void)state;
	assert_prints(json_canonical, "[{\"a\":1,\"b\":2,\"a\":3}]",
		      "[{\"a\": 3, \"b\": 2}]");
}

static void duplicate_keys_keep_the_first_place(void **state)
{
	auto_json *json = read_text("{\"z\":1,\"b\":2,\"z\":3}");
	void *first = json_object_iter(json);

	(void)state;
	assert_string_equal(json_object_iter_key(first), "z");
	assert_int_equal(json_integer_value(json_object_iter_value(first)), 3);
}

static void a_marked_integer_is_known_as_one(void **state)
{
	auto_json *json = read_text("123456789012345678901234567890");

	(void)state;
	assert_true(json_is_any_integer(json));
	assert_true(json_is_any_number(json));
	assert_false(json_is_text(json));
	assert_int_equal(json_mark_of(json), JSON_MARK_INTEGER);
}

static void a_marked_float_is_no_integer(void **state)
{
	auto_json *json = read_text("-Infinity");

	(void)state;
	assert_false(json_is_any_integer(json));
	assert_true(json_is_any_number(json));
	assert_false(json_is_text(json));
}

static void a_float_without_a_fraction_is_no_integer(void **state)
{
	auto_json *json = read_text("1.0");

	(void)state;
	assert_false(json_is_any_integer(json));
	assert_true(json_is_any_number(json));
}

static void true_is_no_number(void **state)
{
	auto_json *json = read_text("true");

	(void)state;
	assert_false(json_is_any_number(json));
}

static void marked_text_has_pythons_length(void **state)
{
	auto_json *json = read_text("\"\\u0000\\ud800\\u0001\xf0\x9f\x98\x80\"");

	(void)state;
	assert_true(json_is_text(json));
	assert_int_equal(json_text_length(json_text_of(json)), 4);
}

static void integers_of_4300_digits_are_read(void **state)
{
	auto_json *json = NULL;
	struct cop_error err = {};
	auto_buf text = {}, back = {};

	(void)state;
	repeat(&text, "", 0, "-");
	repeat(&text, "9", JSON_DIGITS_MAX, "");
	assert_ok(json_read(text.data, text.size, &json, &err), &err);
	assert_ok(json_canonical(json, &back, &err), &err);
	assert_string_equal(buf_text(&back), buf_text(&text));
}

static void integers_of_4301_digits_are_refused(void **state)
{
	auto_buf text = {};

	(void)state;
	repeat(&text, "[\n ", 1, "");
	repeat(&text, "9", JSON_DIGITS_MAX + 1, "]");
	assert_refused(text.data, text.size,
		       "line 2 column 2: an integer of over 4300 digits");
}

static void depth_is_allowed_up_to_the_limit(void **state)
{
	struct cop_error err = {};
	auto_json *json = NULL;
	auto_buf text = {};

	(void)state;
	repeat(&text, "[", JSON_DEPTH_MAX, "");
	repeat(&text, "]", JSON_DEPTH_MAX, "");
	assert_ok(json_read(text.data, text.size, &json, &err), &err);
}

static void depth_beyond_the_limit_is_refused(void **state)
{
	auto_buf text = {};

	(void)state;
	repeat(&text, "[", 3000000, "");
	assert_refused(text.data, text.size,
		       "line 1 column 1001: nested deeper than 1000 levels");
}

static void depth_counts_objects_too(void **state)
{
	auto_buf text = {};

	(void)state;
	repeat(&text, "{\"a\":", JSON_DEPTH_MAX + 1, "1");
	assert_refused(text.data, text.size,
		       "line 1 column 5001: nested deeper than 1000 levels");
}

static void a_document_beyond_the_size_limit_is_refused_unread(void **state)
{
	struct cop_error err = {};
	json_t *json = NULL;

	(void)state;
	assert_fails(json_read("1", JSON_SIZE_MAX + 1, &json, &err), -EFBIG, &err);
	assert_string_equal(err.message, "a JSON document of over 256 MiB");
}

static void nothing_is_not_a_document(void **state)
{
	struct cop_error err = {};
	json_t *json = NULL;

	(void)state;
	assert_fails(json_read(NULL, 0, &json, &err), -EBADMSG, &err);
	refused("  ", "line 1 column 2: unexpected token near end of file");
}

static void what_follows_the_document_is_refused(void **state)
{
	(void)state;
	refused("{} x", "line 1 column 4: end of file expected");
	refused("[1]]", "line 1 column 4: end of file expected");
	refused("1 2", "line 1 column 3: end of file expected");
}

static void the_place_is_that_of_the_original_text(void **state)
{
	(void)state;
	refused("[NaN, \"\\ud800\",\n 99999999999999999999, \xc3\xa9x]",
		"line 2 column 24: invalid token");
	refused("[Infinity, 1e999, ]", "line 1 column 19: unexpected token");
	refused("{\"\\ud800\": 1,\n\"\\u0001\": }", "line 2 column 11: unexpected token");
}

static void every_prefix_of_a_document_is_refused(void **state)
{
	static const char text[] =
		"{\"a\\ud800\": [1.5e3, -0, NaN, -Infinity, true, \"\\u0000\\ud83d\\ude00\","
		" 99999999999999999999], \"\\u0001\": {\"\xf0\x9f\x98\x80\": null}}";

	(void)state;
	for (size_t size = 0; size < sizeof(text) - 1; size++) {
		/* A heap copy of the exact size: reading beyond it is seen. */
		char *copy = malloc(size ? size : 1);
		struct cop_error err = {};
		json_t *json = NULL;

		assert_non_null(copy);
		memcpy(copy, text, size);
		assert_fails(json_read(copy, size, &json, &err), -EBADMSG, &err);
		free(copy);
	}
	json_decref(read_text(text));
}

static void invalid_utf8_is_refused(void **state)
{
	static const char *const texts[] = {
		"\"\x80\"",	    "\"\xc0\xaf\"",
		"\"\xed\xa0\x80\"", "\"\xf4\x90\x80\x80\"",
		"\"\xe2\x82\"",	    "[\xff]",
		"\"\xc3",	    "\xef\xbb\xbf{}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct cop_error err = {};
		json_t *json = NULL;

		assert_fails(json_read(texts[i], strlen(texts[i]), &json, &err), -EBADMSG,
			     &err);
	}
}

static void what_python_refuses_is_refused(void **state)
{
	static const char *const texts[] = {
		"01",
		"+1",
		"1.",
		".5",
		"-",
		"1e",
		"0x1",
		"[1,]",
		"{,}",
		"{a:1}",
		"{1:2}",
		"'a'",
		"\"\t\"",
		"\"\\x\"",
		"nan",
		"-NaN",
		"NaN1",
		"Infinityx",
		"{NaN:1}",
		"[1 2]",
		"\"\\u12g4\"",
		"[1}",
		"]",
		"{\"a\"}",
		"tru",
		"1e5e5",
		"\"a\"\"b\"",
		"--1",
		"-\"a\"",
		"[NaN",
		"{\"a\":99999999999999999999999 1}",
		"{99999999999999999999999: 1}",
		"099999999999999999999999",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct cop_error err = {};
		json_t *json = NULL;

		if (json_read(texts[i], strlen(texts[i]), &json, &err) != -EBADMSG)
			fail_msg("%s was taken", texts[i]);
	}
}

static void a_raw_nul_is_refused(void **state)
{
	struct cop_error err = {};
	json_t *json = NULL;

	(void)state;
	assert_fails(json_read("\"a\0b\"", 5, &json, &err), -EBADMSG, &err);
	assert_fails(json_read("{}\0", 3, &json, &err), -EBADMSG, &err);
}

static void strings_are_borrowed_by_key(void **state)
{
	auto_json *json = read_text("{\"a\": \"text\", \"b\": \"\\ud800\", \"c\": 1}");
	struct cop_error err = {};
	const char *text = NULL;

	(void)state;
	assert_ok(json_get_string(json, "a", "the test", &text, &err), &err);
	assert_string_equal(text, "text");
	assert_fails(json_get_string(json, "b", "the test", &text, &err), -EINVAL, &err);
	assert_string_equal(err.message,
			    "the test: 'b' must not hold U+0000 or a lone surrogate");
	assert_fails(json_get_string(json, "c", "the test", &text, &err), -EINVAL, &err);
	assert_string_equal(err.message,
			    "the test: 'c' must be a string, not an integer");
	assert_fails(json_get_string(json, "d", "the test", &text, &err), -EINVAL, &err);
	assert_string_equal(err.message, "the test: 'd' is missing");
	assert_string_equal(text, "text");
}

static void a_string_with_nul_is_not_given_out(void **state)
{
	auto_json *json = read_text("{\"a\": \"x\\u0000y\"}");
	struct cop_error err = {};
	const char *text = NULL;

	(void)state;
	assert_fails(json_get_string(json, "a", "the test", &text, &err), -EINVAL, &err);
	assert_null(text);
}

static void a_marked_number_is_no_string(void **state)
{
	auto_json *json = read_text("{\"a\": 99999999999999999999, \"b\": NaN}");
	struct cop_error err = {};
	const char *text = NULL;

	(void)state;
	assert_fails(json_get_string(json, "a", "the test", &text, &err), -EINVAL, &err);
	assert_string_equal(err.message,
			    "the test: 'a' must be a string, not an integer");
	assert_fails(json_optional_string(json, "b", "the test", &text, &err), -EINVAL,
		     &err);
	assert_string_equal(err.message, "the test: 'b' must be a string, not a number "
					 "with a fraction");
}

static void an_integer_beyond_64_bits_is_refused_by_name(void **state)
{
	auto_json *json = read_text("{\"a\": 99999999999999999999, \"b\": 1.0}");
	struct cop_error err = {};
	int64_t value = 7;

	(void)state;
	assert_fails(json_optional_integer(json, "a", "the test", &value, &err), -EINVAL,
		     &err);
	assert_string_equal(err.message, "the test: 'a' is beyond 64 bits");
	assert_fails(json_optional_integer(json, "b", "the test", &value, &err), -EINVAL,
		     &err);
	assert_int_equal(value, 7);
}

static void optional_members_that_are_missing_change_nothing(void **state)
{
	auto_json *json = read_text("{}");
	struct cop_error err = {};
	const char *text = "before";
	json_t *object = json;
	int64_t value = 7;
	bool flag = true;

	(void)state;
	assert_ok(json_optional_string(json, "a", "the test", &text, &err), &err);
	assert_ok(json_optional_integer(json, "a", "the test", &value, &err), &err);
	assert_ok(json_optional_bool(json, "a", "the test", &flag, &err), &err);
	assert_ok(json_optional_object(json, "a", "the test", &object, &err), &err);
	assert_ok(json_optional_array(json, "a", "the test", &object, &err), &err);
	assert_string_equal(text, "before");
	assert_int_equal(value, 7);
	assert_true(flag);
	assert_ptr_equal(object, json);
}

static void optional_members_that_are_there_are_given(void **state)
{
	auto_json *json =
		read_text("{\"s\":\"x\",\"i\":-5,\"b\":false,\"o\":{},\"a\":[]}");
	json_t *object = NULL, *array = NULL;
	struct cop_error err = {};
	const char *text = NULL;
	int64_t value = 7;
	bool flag = true;

	(void)state;
	assert_ok(json_optional_string(json, "s", "the test", &text, &err), &err);
	assert_ok(json_optional_integer(json, "i", "the test", &value, &err), &err);
	assert_ok(json_optional_bool(json, "b", "the test", &flag, &err), &err);
	assert_ok(json_optional_object(json, "o", "the test", &object, &err), &err);
	assert_ok(json_optional_array(json, "a", "the test", &array, &err), &err);
	assert_string_equal(text, "x");
	assert_int_equal(value, -5);
	assert_false(flag);
	assert_true(json_is_object(object));
	assert_true(json_is_array(array));
}

static void wrong_types_are_named(void **state)
{
	auto_json *json = read_text("{\"a\": null, \"b\": true}"),
		  *array = read_text("[]");
	struct cop_error err = {};
	json_t *value = NULL;

	(void)state;
	assert_fails(json_get_object(json, "a", "the test", &value, &err), -EINVAL, &err);
	assert_string_equal(err.message, "the test: 'a' must be an object, not null");
	assert_fails(json_get_array(json, "b", "the test", &value, &err), -EINVAL, &err);
	assert_string_equal(err.message,
			    "the test: 'b' must be an array, not true or false");
	assert_fails(json_get_array(array, "b", "the test", &value, &err), -EINVAL, &err);
	assert_string_equal(err.message, "the test must be an object, not an array");
	assert_null(value);
}

static void the_first_unknown_key_is_named_on_one_line(void **state)
{
	static const char *const keys[] = {"a", "b", NULL};
	auto_json *good = read_text("{\"b\": 1}"),
		  *bad = read_text("{\"a\":1,\"\\n'\":2}");
	struct cop_error err = {};

	(void)state;
	assert_ok(json_only_keys(good, keys, "the test", &err), &err);
	assert_fails(json_only_keys(bad, keys, "the test", &err), -EINVAL, &err);
	assert_string_equal(err.message, "the test: unknown key \"\\n'\"");
}

static void an_endless_unknown_key_does_not_fill_the_message(void **state)
{
	static const char *const keys[] = {NULL};
	auto_json *json = json_object();
	struct cop_error err = {};
	auto_buf key = {};

	(void)state;
	repeat(&key, "k", 100000, "");
	assert_int_equal(json_object_set_new(json, buf_text(&key), json_null()), 0);
	assert_fails(json_only_keys(json, keys, "the test", &err), -EINVAL, &err);
	assert_string_equal(err.message, "the test: unknown key of 100000 bytes");
}

static int order_of(const char *a, const char *b)
{
	auto_json *x = read_text(a), *y = read_text(b);
	int order = 7;

	if (!json_number_compare(x, y, &order))
		return 99;
	return (order > 0) - (order < 0);
}

static void numbers_are_compared_without_rounding(void **state)
{
	(void)state;
	assert_int_equal(order_of("9007199254740993", "9007199254740992.0"), 1);
	assert_int_equal(order_of("9223372036854775807", "9223372036854775808.0"), -1);
	assert_int_equal(order_of("100000000000000000000000", "1e23"), 1);
	assert_int_equal(order_of("10000000000000000000000", "1e22"), 0);
	assert_int_equal(order_of("-99999999999999999999", "-99999999999999999998"), -1);
	assert_int_equal(order_of("-99999999999999999999", "5"), -1);
	assert_int_equal(order_of("1", "1.5"), -1);
	assert_int_equal(order_of("-1", "-1.5"), 1);
	assert_int_equal(order_of("1.2", "1.1"), 1);
	assert_int_equal(order_of("0", "-0.0"), 0);
	assert_int_equal(order_of("0", "-0.5"), 1);
	assert_int_equal(order_of("Infinity", "99999999999999999999"), 1);
	assert_int_equal(order_of("-Infinity", "-1e308"), -1);
	assert_int_equal(order_of("Infinity", "1e999"), 0);
}

static void nan_has_no_order(void **state)
{
	(void)state;
	assert_int_equal(order_of("NaN", "1"), 99);
	assert_int_equal(order_of("Infinity", "NaN"), 99);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_value_may_stand_at_the_top),
		cmocka_unit_test(the_last_of_duplicate_keys_wins_at_the_first_place),
		cmocka_unit_test(duplicate_keys_keep_the_first_place),
		cmocka_unit_test(a_marked_integer_is_known_as_one),
		cmocka_unit_test(a_marked_float_is_no_integer),
		cmocka_unit_test(a_float_without_a_fraction_is_no_integer),
		cmocka_unit_test(true_is_no_number),
		cmocka_unit_test(marked_text_has_pythons_length),
		cmocka_unit_test(integers_of_4300_digits_are_read),
		cmocka_unit_test(integers_of_4301_digits_are_refused),
		cmocka_unit_test(depth_is_allowed_up_to_the_limit),
		cmocka_unit_test(depth_beyond_the_limit_is_refused),
		cmocka_unit_test(depth_counts_objects_too),
		cmocka_unit_test(a_document_beyond_the_size_limit_is_refused_unread),
		cmocka_unit_test(nothing_is_not_a_document),
		cmocka_unit_test(what_follows_the_document_is_refused),
		cmocka_unit_test(the_place_is_that_of_the_original_text),
		cmocka_unit_test(every_prefix_of_a_document_is_refused),
		cmocka_unit_test(invalid_utf8_is_refused),
		cmocka_unit_test(what_python_refuses_is_refused),
		cmocka_unit_test(a_raw_nul_is_refused),
		cmocka_unit_test(strings_are_borrowed_by_key),
		cmocka_unit_test(a_string_with_nul_is_not_given_out),
		cmocka_unit_test(a_marked_number_is_no_string),
		cmocka_unit_test(an_integer_beyond_64_bits_is_refused_by_name),
		cmocka_unit_test(optional_members_that_are_missing_change_nothing),
		cmocka_unit_test(optional_members_that_are_there_are_given),
		cmocka_unit_test(wrong_types_are_named),
		cmocka_unit_test(the_first_unknown_key_is_named_on_one_line),
		cmocka_unit_test(an_endless_unknown_key_does_not_fill_the_message),
		cmocka_unit_test(numbers_are_compared_without_rounding),
		cmocka_unit_test(nan_has_no_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
