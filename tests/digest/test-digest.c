/* SPDX-License-Identifier: Apache-2.0 */
#include "testlib.h"

#include <coppice/digest.h>

#define HEX "00112233445566778899aabbccddeeff0123456789abcdef0011223344556677"

static void text_and_digest_are_inverse(void **state)
{
	char hex[COP_DIGEST_HEX + 1];
	struct cop_digest digest;

	(void)state;
	assert_int_equal(cop_digest_parse(HEX, &digest), 0);
	assert_int_equal(digest.bytes[1], 0x11);
	assert_ptr_equal(cop_digest_to_hex(&digest, hex), hex);
	assert_string_equal(hex, HEX);
}

static void other_texts_are_refused(void **state)
{
	static const char *const texts[] = {
		"",
		"abc",
		HEX "0",
		HEX " ",
		"00112233445566778899AABBCCDDEEFF0123456789abcdef0011223344556677",
		"0x112233445566778899aabbccddeeff0123456789abcdef0011223344556677"};
	struct cop_digest digest = {.bytes = {42}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		assert_int_equal(cop_digest_parse(texts[i], &digest), -EINVAL);
	assert_int_equal(digest.bytes[0], 42);
}

static void only_all_zeros_is_none(void **state)
{
	struct cop_digest none = {}, some = {.bytes = {[31] = 1}};

	(void)state;
	assert_true(cop_digest_is_null(&none));
	assert_false(cop_digest_is_null(&some));
	assert_false(cop_digest_equal(&none, &some));
	assert_true(cop_digest_equal(&some, &some));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_and_digest_are_inverse),
		cmocka_unit_test(other_texts_are_refused),
		cmocka_unit_test(only_all_zeros_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
