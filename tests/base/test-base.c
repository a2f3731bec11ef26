/* SPDX-License-Identifier: Apache-2.0 */
#include "testlib.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/map.h"
#include "base/text.h"

static void an_error_says_operation_object_and_reason(void **state)
{
	struct cop_error err = {};

	(void)state;
	assert_int_equal(err_code(&err, -ENOSPC, "write '%s'", "a"), -ENOSPC);
	assert_string_equal(err.message, "write 'a': No space left on device");
	assert_int_equal(err_prefix(&err, -ENOSPC, "commit '%s'", "b"), -ENOSPC);
	assert_string_equal(err.message,
			    "commit 'b': write 'a': No space left on device");
	assert_int_equal(err.code, -ENOSPC);
}

static void an_error_that_nobody_wants_is_still_a_code(void **state)
{
	(void)state;
	assert_int_equal(err_set(NULL, -EINVAL, "x"), -EINVAL);
	assert_int_equal(err_prefix(NULL, -EIO, "x"), -EIO);
}

static void a_long_message_is_cut_not_overrun(void **state)
{
	struct cop_error err = {};
	char text[3000];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(err_set(&err, -EINVAL, "%s", text), -EINVAL);
	assert_int_equal(strlen(err.message), COP_ERROR_MAX - 1);
	assert_int_equal(err_prefix(&err, -EINVAL, "%s", text), -EINVAL);
	assert_int_equal(strlen(err.message), COP_ERROR_MAX - 1);
}

static void an_error_is_one_line_whatever_it_names(void **state)
{
	struct cop_error err = {};
	char name[COP_ERROR_MAX * 2];

	(void)state;
	(void)err_code(&err, -ENOENT, "open '%s'", "a\nb\tc\x1b[31m\x7f\xc3\xa9");
	assert_string_equal(err.message, "open 'a\\nb\\tc\\x1b[31m\\x7f\xc3\xa9': "
					 "No such file or directory");
	(void)err_prefix(&err, -ENOENT, "in '%s'", "\r");
	assert_non_null(strstr(err.message, "in '\\x0d': open 'a\\nb"));
	memset(name, '\n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	(void)err_set(&err, -EINVAL, "%s", name);
	assert_null(strchr(err.message, '\n'));
	assert_true(strlen(err.message) < COP_ERROR_MAX);
}

static void a_buffer_grows_and_keeps_nul_bytes(void **state)
{
	auto_buf buf = {};

	(void)state;
	for (int i = 0; i < 10000; i++)
		assert_int_equal(buf_append(&buf, "a\0b", 3), 0);
	assert_int_equal(buf.size, 30000);
	assert_memory_equal(buf.data + 29997, "a\0b", 4);
	assert_int_equal(buf_printf(&buf, "%d-%s", 7, "x"), 0);
	assert_string_equal(buf.data + 30000, "7-x");
}

static void a_buffer_refuses_a_size_that_overflows(void **state)
{
	auto_buf buf = {};

	(void)state;
	assert_int_equal(buf_append_text(&buf, "abc"), 0);
	assert_int_equal(buf_reserve(&buf, SIZE_MAX - 1), -ENOMEM);
	assert_true(buf.failed);
	assert_string_equal(buf_text(&buf), "abc");
	assert_null(buf_take(&buf));
}

static void an_arena_gives_zeroed_aligned_memory(void **state)
{
	auto_ptr(arena) arena = arena_new();

	(void)state;
	assert_non_null(arena);
	for (size_t i = 1; i < 3000; i += 7) {
		char *bytes = arena_alloc(arena, i);

		assert_int_equal((uintptr_t)bytes % 16, 0);
		for (size_t j = 0; j < i; j++)
			assert_int_equal(bytes[j], 0);
		memset(bytes, 0xff, i);
		assert_string_equal(arena_memdup(arena, "name", 4), "name");
	}
	assert_non_null(arena_alloc(arena, 5 * MIB));
	assert_true(arena_size(arena) > 5 * MIB);
	for (size_t alignment = 1; alignment <= 4096; alignment *= 2)
		assert_int_equal((uintptr_t)arena_alloc_aligned(arena, 100, alignment) %
					 alignment,
				 0);
}

static void what_an_arena_adopts_lives_as_long_as_it(void **state)
{
	auto_ptr(arena) arena = arena_new();
	struct arena *from = arena_new();
	const char *ours, *theirs;
	size_t size;

	(void)state;
	assert_non_null(arena);
	assert_non_null(from);
	theirs = arena_memdup(from, "theirs", 6);
	assert_non_null(arena_alloc(from, 5 * MIB));
	ours = arena_memdup(arena, "ours", 4);
	size = arena_size(from);
	arena_adopt(arena, from);
	assert_true(arena_size(arena) >= size);
	for (size_t i = 0; i < 5000; i++)
		assert_non_null(arena_alloc(arena, 64));
	assert_string_equal(theirs, "theirs");
	assert_string_equal(ours, "ours");
	arena_adopt(arena, arena_new());
}

static void a_map_finds_what_was_put_in(void **state)
{
	auto_ptr(map) map = map_new();
	static char keys[5000][8];
	size_t position = 0, n = 0;

	(void)state;
	for (int i = 0; i < 5000; i++) {
		void **slot;

		(void)snprintf(keys[i], sizeof(keys[i]), "k%d", i);
		slot = map_slot(map, keys[i], strlen(keys[i]));
		assert_non_null(slot);
		assert_null(*slot);
		*slot = keys[i];
	}
	for (int i = 0; i < 5000; i++)
		assert_ptr_equal(map_get(map, keys[i], strlen(keys[i])), keys[i]);
	assert_null(map_get(map, "k5000", 5));
	while (map_next(map, &position, NULL, NULL, NULL))
		n++;
	assert_int_equal(n, 5000);
	assert_int_equal(map_size(map), 5000);
}

static void a_map_tells_the_empty_key_from_a_missing_one(void **state)
{
	auto_ptr(map) map = map_new();

	(void)state;
	assert_null(map_get(map, "", 0));
	*map_slot(map, NULL, 0) = state;
	assert_ptr_equal(map_get(map, "x", 0), state);
}

static void hexadecimal_text_is_strict(void **state)
{
	uint8_t bytes[2] = {0xab, 0x01};
	char text[5];

	(void)state;
	assert_string_equal(hex_encode(bytes, 2, text), "ab01");
	assert_true(hex_is("ab01ff", bytes, 2));
	assert_false(hex_is("ab02", bytes, 2));
	assert_false(hex_is("AB01", bytes, 2));
	assert_int_equal(hex_decode("00ff", bytes, 2), 0);
	assert_int_equal(bytes[1], 0xff);
	assert_int_equal(hex_decode("00f", bytes, 2), -EINVAL);
	assert_int_equal(hex_decode("00ffa", bytes, 2), -EINVAL);
	assert_int_equal(hex_decode("00FF", bytes, 2), -EINVAL);
	assert_int_equal(bytes[1], 0xff);
}

static void numbers_have_no_sign_space_or_overflow(void **state)
{
	uint64_t value = 7;

	(void)state;
	assert_int_equal(text_to_u64("18446744073709551615", &value), 0);
	assert_true(value == UINT64_MAX);
	assert_int_equal(text_to_u64("18446744073709551616", &value), -ERANGE);
	assert_int_equal(text_to_u64("", &value), -EINVAL);
	assert_int_equal(text_to_u64("-1", &value), -EINVAL);
	assert_int_equal(text_to_u64(" 1", &value), -EINVAL);
	assert_int_equal(text_to_u64("1k", &value), -EINVAL);
}

static void sizes_read_well(void **state)
{
	char text[32];

	(void)state;
	assert_string_equal(text_size(999, text, sizeof(text)), "999 B");
	assert_string_equal(text_size(1000, text, sizeof(text)), "1.0 kB");
	assert_string_equal(text_size(999999, text, sizeof(text)), "1.0 MB");
	assert_string_equal(text_size(1234567890, text, sizeof(text)), "1.2 GB");
	assert_string_equal(text_size(UINT64_MAX, text, sizeof(text)), "18.4 EB");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_error_is_one_line_whatever_it_names),
		cmocka_unit_test(an_error_says_operation_object_and_reason),
		cmocka_unit_test(an_error_that_nobody_wants_is_still_a_code),
		cmocka_unit_test(a_long_message_is_cut_not_overrun),
		cmocka_unit_test(a_buffer_grows_and_keeps_nul_bytes),
		cmocka_unit_test(a_buffer_refuses_a_size_that_overflows),
		cmocka_unit_test(an_arena_gives_zeroed_aligned_memory),
		cmocka_unit_test(what_an_arena_adopts_lives_as_long_as_it),
		cmocka_unit_test(a_map_finds_what_was_put_in),
		cmocka_unit_test(a_map_tells_the_empty_key_from_a_missing_one),
		cmocka_unit_test(hexadecimal_text_is_strict),
		cmocka_unit_test(numbers_have_no_sign_space_or_overflow),
		cmocka_unit_test(sizes_read_well),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
