/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptions that are constants in a Python module's text. */
#include "testlib.h"

#include "base/buf.h"
#include "engine/module-text.h"
#include "json/json.h"

static void check(const char *text, const char *expected)
{
	auto_json *meta = NULL;
	struct cop_error err = {};
	auto_buf found = {};

	assert_ok(module_text_meta(text, &meta, &err), &err);
	assert_ok(json_canonical(meta, &found, &err), &err);
	assert_string_equal(buf_text(&found), expected);
}

static void docstring_schemas_and_capabilities_are_found(void **state)
{
	(void)state;
	check("#!/usr/bin/python3\n# a comment with 'quotes\n\"\"\"\nMake it\n\nAnd more\n"
	      "\"\"\"\nimport os\n\nCAPABILITIES = {'CAP_A', # 'no'\n    \"CAP_B\"}\n"
	      "SCHEMA = \"\"\"\n\"required\": [\"a\"]\n\"\"\"\n"
	      "SCHEMA_2 = r'''\n\"options\": {\"pattern\": \"^\\\\d$\"}'''\n",
	      "{\"capabilities\": [\"CAP_A\", \"CAP_B\"], \"description\": [\"\", \"And "
	      "more\", \"\"], \"schema\": {\"required\": [\"a\"]}, \"schema_2\": "
	      "{\"options\": {\"pattern\": \"^\\\\d$\"}}, \"summary\": \"Make it\"}");
}

static void escapes_mean_what_they_mean_in_python(void **state)
{
	(void)state;
	check("SCHEMA = '\"a\": \"\\\\n\\x41\\u00e9\\101\"' \\\n  '\\n, \"b\": 1' # x\n",
	      "{\"capabilities\": [], \"description\": [], \"schema\": {\"a\": "
	      "\"\\nA\\u00e9A\", \"b\": 1}, \"summary\": \"\"}");
}

static void the_last_assignment_counts(void **state)
{
	(void)state;
	check("SCHEMA = SCHEMA_2 = '\"a\": 1'\nSCHEMA = '\"a\": 2'\n",
	      "{\"capabilities\": [], \"description\": [], \"schema\": {\"a\": 2}, "
	      "\"schema_2\": {\"a\": 1}, \"summary\": \"\"}");
}

static void the_oldest_modules_accept_everything(void **state)
{
	(void)state;
	check("STAGE_DESC = 'x'\nSTAGE_OPTS = '''\n'''\n",
	      "{\"capabilities\": [], \"description\": [], \"schema\": "
	      "{\"additionalProperties\": true}, \"summary\": \"\"}");
}

static void what_is_no_constant_at_the_margin_is_none(void **state)
{
	static const char *const texts[] = {
		"",
		"\"\"\"\nSCHEMA = '1'\n\"\"\"\n",
		"x = (\nSCHEMA = '1')\n",
		"def f():\n    SCHEMA = ''\n",
		"SCHEMA == ''\n",
		"MY_SCHEMA = ''\n",
		"SCHEMAS = ''\n",
		"SCHEMA = '\"a\": ' + x\n",
		"SCHEMA = f'{x}'\n",
		"SCHEMA = b''\n",
		"x = 'SCHEMA = 1'; y = \"\"\"\nSCHEMA = ''",
		"# SCHEMA = ''\n",
		"x = 'a\\'\nSCHEMA = 1'\n",
		"SCHEMA = ''\nSCHEMA = x()\n",
		"\\",
		"'''",
		"SCHEMA",
		"SCHEMA =",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct cop_error err = {};
		json_t *meta = NULL;

		if (module_text_meta(texts[i], &meta, &err) != -ENOENT)
			fail_msg("%s", texts[i]);
	}
}

static void a_schema_that_is_no_json_is_refused(void **state)
{
	struct cop_error err = {};
	json_t *meta = NULL;

	(void)state;
	assert_fails(module_text_meta("SCHEMA_2 = 'a'", &meta, &err), -EINVAL, &err);
	assert_non_null(strstr(err.message, "SCHEMA_2 in its text: "));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(docstring_schemas_and_capabilities_are_found),
		cmocka_unit_test(escapes_mean_what_they_mean_in_python),
		cmocka_unit_test(the_last_assignment_counts),
		cmocka_unit_test(the_oldest_modules_accept_everything),
		cmocka_unit_test(what_is_no_constant_at_the_margin_is_none),
		cmocka_unit_test(a_schema_that_is_no_json_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
