/* SPDX-License-Identifier: Apache-2.0 */
/* What Python's fnmatchcase() says of each pattern and each text. */
#include "testlib.h"

#include "base/glob.h"

static const char *const texts[] = {
	"",  "a",   "b", "ab",	"abc", "a/b", ".a",  "[",
	"]", "!",   "^", "x",	"ax",  "a-c", "\\x", "org.osbuild.stage",
	"é", "aéb", "-", "a.b", "[]",  "[!]"};

/* A digit for each text: 1 where it matches. */
static const struct {
	const char *glob, *answers;
} rows[] = {
	{"*", "1111111111111111111111"},
	{"", "1000000000000000000000"},
	{"a", "0100000000000000000000"},
	{"?", "0110000111110000101000"},
	{"a*", "0101110000001100010100"},
	{"*a", "0100001000000000000000"},
	{"*a*b", "0001010000000000010100"},
	{"[abc]", "0110000000000000000000"},
	{"[!abc]", "0000000111110000101000"},
	{"[a-c]x", "0000000000001000000000"},
	{"[", "0000000100000000000000"},
	{"[a", "0000000000000000000000"},
	{"[]]", "0000000010000000000000"},
	{"[]", "0000000000000000000010"},
	{"[!]", "0000000000000000000001"},
	{"[!]]", "0110000101110000101000"},
	{"[^a]", "0100000000100000000000"},
	{"a[b-]c", "0000100000000100000000"},
	{"\\*", "0000000000000010000000"},
	{"a.b", "0000000000000000000100"},
	{"*.stage", "0000000000000001000000"},
	{"org.osbuild.*", "0000000000000001000000"},
	{"[a-]", "0100000000000000001000"},
	{"[c-a]", "0000000000000000000000"},
	{"**", "1111111111111111111111"},
	{"a?c", "0000100000000100000000"},
	{"é", "0000000000000000100000"},
	{"[é]", "0000000000000000100000"},
	{"?é?", "0000000000000000010000"},
};

static void patterns_match_what_they_match_in_python(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		for (size_t k = 0; k < ARRAY_SIZE(texts); k++)
			if (glob_matches(rows[i].glob, texts[k]) !=
			    (rows[i].answers[k] == '1'))
				fail_msg("'%s' and '%s'", rows[i].glob, texts[k]);
}

static void many_stars_take_no_time(void **state)
{
	char text[200];

	(void)state;
	memset(text, 'a', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	assert_false(glob_matches("a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", text));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(patterns_match_what_they_match_in_python),
		cmocka_unit_test(many_stars_take_no_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
