/* SPDX-License-Identifier: Apache-2.0 */
#include "testlib.h"

#include "base/buf.h"
#include "recipe/document.h"

#define DOCUMENT(text) document_read("r.yaml", text, strlen(text), &document, &err)

static void refuses(const char *text, const char *wanted)
{
	auto_ptr(document) document = NULL;
	struct cop_error err = {};

	assert_fails(DOCUMENT(text), -EINVAL, &err);
	assert_string_equal(err.message, wanted);
	assert_null(document);
}

static void scalars_keep_the_text_that_was_written(void **state)
{
	static const char *const wanted[] = {"1.10",	   "no",     "0755",  "~",
					     "2024-01-01", "a\nb\n", "q: \t", ""};
	auto_ptr(document) document = NULL;
	struct cop_error err = {};
	const struct node *node;
	size_t i = 0;

	(void)state;
	assert_ok(DOCUMENT("- 1.10\n- no\n- 0755\n- ~\n- 2024-01-01\n- |\n  a\n  b\n"
			   "- \"q: \\t\"\n-\n"),
		  &err);
	assert_int_equal(document_root(document)->kind, NODE_LIST);
	for (node = document_root(document)->first; node; node = node->next)
		assert_string_equal(node->text, wanted[i++]);
	assert_int_equal(i, 8);
}

static void every_node_knows_its_place(void **state)
{
	auto_ptr(document) document = NULL;
	struct cop_error err = {};
	const struct node *list, *item;

	(void)state;
	assert_ok(DOCUMENT("# comment\nkey:\n  - first\n  -   \"second\"\n"), &err);
	list = document_root(document)->first;
	assert_string_equal(list->key, "key");
	assert_int_equal(list->key_line, 2);
	assert_int_equal(list->key_column, 1);
	item = list->first;
	assert_int_equal(item->line, 3);
	assert_int_equal(item->column, 5);
	assert_true(item->plain);
	assert_int_equal(item->next->line, 4);
	assert_int_equal(item->next->column, 7);
	assert_false(item->next->plain);
}

static void columns_count_characters_not_bytes(void **state)
{
	(void)state;
	refuses("{\"\xc3\xa4\xc3\xb6\": 1, a: 2, a: 3}",
		"r.yaml:1:17: duplicate key 'a', first given in line 1");
}

static void a_duplicate_key_is_refused(void **state)
{
	(void)state;
	refuses("a: 1\nb:\n  c: 1\n  c: 2\n",
		"r.yaml:4:3: duplicate key 'c', first given in line 3");
}

static void the_same_key_in_two_mappings_is_fine(void **state)
{
	auto_ptr(document) document = NULL;
	struct cop_error err = {};

	(void)state;
	assert_ok(DOCUMENT("a: {c: 1}\nb: {c: 1}\n"), &err);
}

static void anchors_aliases_and_tags_are_refused_by_name(void **state)
{
	(void)state;
	refuses("a: &x 1\nb: *x\n",
		"r.yaml:1:4: anchors are not used in recipes: remove 'x'");
	refuses("a: *x\n", "r.yaml:1:4: aliases are not used in recipes: write out 'x'");
	refuses("a: !!int 1\n", "r.yaml:1:4: tags are not used in recipes: remove "
				"'tag:yaml.org,2002:int'");
	refuses("a: &y [1]\n", "r.yaml:1:4: anchors are not used in recipes: remove 'y'");
	refuses("*x : 1\n", "r.yaml:1:1: aliases are not used in recipes");
}

static void a_key_must_be_text(void **state)
{
	(void)state;
	refuses("[a]: 1\n", "r.yaml:1:1: a key must be plain text");
}

static void a_second_document_is_refused(void **state)
{
	(void)state;
	refuses("a: 1\n---\nb: 1\n", "r.yaml:2:1: a second document: a recipe is one");
}

static void nothing_is_no_document(void **state)
{
	(void)state;
	refuses("# only words\n", "r.yaml:2:1: nothing in it");
}

static void text_that_is_not_utf8_is_refused_with_its_place(void **state)
{
	(void)state;
	refuses("a: 1\nbc: \xff\n", "r.yaml:2:5: invalid leading UTF-8 octet");
}

static void a_nul_byte_is_refused(void **state)
{
	(void)state;
	refuses("a: \"x\\0y\"\n", "r.yaml:1:4: text with a NUL byte");
}

static void what_is_not_yaml_is_refused_with_its_place(void **state)
{
	(void)state;
	refuses("a: [1, 2\n", "r.yaml:2:1: did not find expected ',' or ']', "
			      "while parsing a flow sequence");
	refuses("a: \"x\n", "r.yaml:2:1: found unexpected end of stream");
	refuses("a: 1\n\tb: 2\n",
		"r.yaml:2:1: found a tab character that violates indentation");
}

static void deep_nesting_is_refused(void **state)
{
	auto_free char *text = malloc(100001);

	(void)state;
	memset(text, '[', 100000);
	text[100000] = '\0';
	refuses(text, "r.yaml:1:18: nested too deeply");
	refuses("[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]",
		"r.yaml:1:18: nested too deeply");
}

static void as_deep_as_is_allowed_is_read(void **state)
{
	auto_ptr(document) document = NULL;
	struct cop_error err = {};

	(void)state;
	assert_ok(DOCUMENT("[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]"), &err);
}

static void a_file_that_is_too_large_is_refused(void **state)
{
	auto_free char *text = calloc(1, DOCUMENT_SIZE_MAX + 2);
	auto_ptr(document) document = NULL;
	struct cop_error err = {};

	(void)state;
	memset(text, '#', DOCUMENT_SIZE_MAX + 1);
	assert_fails(DOCUMENT(text), -EFBIG, &err);
}

static void many_keys_are_read_quickly(void **state)
{
	auto_ptr(document) document = NULL;
	struct cop_error err = {};
	auto_buf text = {};

	(void)state;
	for (unsigned int i = 0; i < 100000; i++)
		(void)buf_printf(&text, "k%u: 1\n", i);
	assert_ok(DOCUMENT(text.data), &err);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scalars_keep_the_text_that_was_written),
		cmocka_unit_test(every_node_knows_its_place),
		cmocka_unit_test(columns_count_characters_not_bytes),
		cmocka_unit_test(a_duplicate_key_is_refused),
		cmocka_unit_test(the_same_key_in_two_mappings_is_fine),
		cmocka_unit_test(anchors_aliases_and_tags_are_refused_by_name),
		cmocka_unit_test(a_key_must_be_text),
		cmocka_unit_test(a_second_document_is_refused),
		cmocka_unit_test(nothing_is_no_document),
		cmocka_unit_test(text_that_is_not_utf8_is_refused_with_its_place),
		cmocka_unit_test(a_nul_byte_is_refused),
		cmocka_unit_test(what_is_not_yaml_is_refused_with_its_place),
		cmocka_unit_test(deep_nesting_is_refused),
		cmocka_unit_test(as_deep_as_is_allowed_is_read),
		cmocka_unit_test(a_file_that_is_too_large_is_refused),
		cmocka_unit_test(many_keys_are_read_quickly),
	};

	return cmocka_run_group_tests_name("recipe document", tests, NULL, NULL);
}
