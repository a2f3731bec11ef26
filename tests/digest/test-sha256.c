/* SPDX-License-Identifier: Apache-2.0 */
#include "testlib.h"

#include <fcntl.h>
#include <sys/mman.h>

#include "digest/sha256.h"

/* FIPS 180-4, "abc" */
#define ABC	"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define NOTHING "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static void bytes_have_the_standard_digest(void **state)
{
	char hex[SHA256_HEX + 1];
	struct cop_error err = {};

	(void)state;
	assert_ok(sha256_bytes("abc", 3, hex, &err), &err);
	assert_string_equal(hex, ABC);
	assert_ok(sha256_bytes("", 0, hex, &err), &err);
	assert_string_equal(hex, NOTHING);
}

static void one_context_serves_many_messages(void **state)
{
	struct cop_error err = {};
	auto_ptr(sha256) sha = sha256_new(&err);
	char hex[SHA256_HEX + 1];

	(void)state;
	assert_non_null(sha);
	for (int i = 0; i < 3; i++) {
		sha256_update(sha, "a", 1);
		sha256_update(sha, "bc", 2);
		sha256_end(sha, hex);
		assert_string_equal(hex, ABC);
	}
	sha256_end(sha, hex);
	assert_string_equal(hex, NOTHING);
}

static void the_rest_of_a_file_is_hashed(void **state)
{
	auto_close int fd = memfd_create("message", MFD_CLOEXEC);
	char hex[SHA256_HEX + 1];
	struct cop_error err = {};

	(void)state;
	assert_int_equal(write(fd, "xxabc", 5), 5);
	assert_int_equal(lseek(fd, 2, SEEK_SET), 2);
	assert_ok(sha256_fd(fd, hex, &err), &err);
	assert_string_equal(hex, ABC);
}

static void a_directory_cannot_be_hashed(void **state)
{
	auto_close int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char hex[SHA256_HEX + 1] = "untouched";
	struct cop_error err = {};

	(void)state;
	assert_fails(sha256_fd(fd, hex, &err), -EISDIR, &err);
	assert_string_equal(hex, "untouched");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_have_the_standard_digest),
		cmocka_unit_test(one_context_serves_many_messages),
		cmocka_unit_test(the_rest_of_a_file_is_hashed),
		cmocka_unit_test(a_directory_cannot_be_hashed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
