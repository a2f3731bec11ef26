/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Xattrs that no file system here would give.  The linker puts the functions below in
 * the place of the C library's.
 */
#include "testlib.h"

#include <sys/types.h>

#include "tree/private.h"
#include "tree/scan.h"

struct fake {
	const char *names; /* each with a NUL, a second one at the end */
	size_t names_size; /* when not found by the second NUL */
	int list_error;
	const char *failing; /* reading this one fails */
	int read_error;
	unsigned int n_failures; /* so often */
	unsigned int n_lists;
};

static struct fake fake;

ssize_t __wrap_llistxattr(const char *path, char *list, size_t size);
ssize_t __wrap_flistxattr(int fd, char *list, size_t size);
ssize_t __wrap_lgetxattr(const char *path, const char *name, void *value, size_t size);
ssize_t __wrap_fgetxattr(int fd, const char *name, void *value, size_t size);

static ssize_t refuse(int error)
{
	errno = error;
	return -1;
}

ssize_t __wrap_llistxattr(const char *path, char *list, size_t size)
{
	size_t needed = fake.names_size;

	assert_string_equal(path, "/proc/self/fd/3/file");
	fake.n_lists++;
	if (fake.list_error)
		return refuse(fake.list_error);
	while (!fake.names_size && fake.names[needed])
		needed += strlen(fake.names + needed) + 1;
	if (needed > size)
		return refuse(ERANGE);
	memcpy(list, fake.names, needed);
	return (ssize_t)needed;
}

ssize_t __wrap_flistxattr(int fd, char *list, size_t size)
{
	assert_int_equal(fd, 3);
	return __wrap_llistxattr("/proc/self/fd/3/file", list, size);
}

ssize_t __wrap_lgetxattr(const char *path, const char *name, void *value, size_t size)
{
	assert_string_equal(path, "/proc/self/fd/3/file");
	if (fake.failing && strcmp(name, fake.failing) == 0 && fake.n_failures > 0) {
		fake.n_failures--;
		return refuse(fake.read_error);
	}
	assert_true(size >= strlen(name));
	memcpy(value, name, strlen(name));
	return (ssize_t)strlen(name);
}

ssize_t __wrap_fgetxattr(int fd, const char *name, void *value, size_t size)
{
	assert_int_equal(fd, 3);
	return __wrap_lgetxattr("/proc/self/fd/3/file", name, value, size);
}

static int setup(void **state)
{
	fake = (struct fake){.names = ""};
	*state = tree_new(NULL);
	return *state ? 0 : -1;
}

static int teardown(void **state)
{
	tree_free(*state);
	return 0;
}

static int read_xattrs(struct tree *tree, uint64_t *n_foreign, struct cop_error *err)
{
	return tree_read_xattrs(tree, tree->root, "/proc/self/fd/3/file", "dir/file",
				n_foreign, err);
}

static void the_kinds_of_the_rule_are_taken(void **state)
{
	struct tree *tree = *state;
	uint64_t n_foreign = 0;
	struct cop_error err = {};

	fake.names = "user.a\0trusted.b\0security.selinux\0security.ima\0security.evm\0"
		     "system.posix_acl_access\0system.posix_acl_default\0"
		     "security.capability\0";
	assert_ok(read_xattrs(tree, &n_foreign, &err), &err);
	assert_int_equal(n_foreign, 0);
	assert_int_equal(tree->root->n_xattrs, 6);
	assert_string_equal(tree_find_xattr(tree->root, "trusted.b")->value, "trusted.b");
	assert_non_null(tree_find_xattr(tree->root, "system.posix_acl_default"));
	assert_null(tree_find_xattr(tree->root, "security.ima"));
	assert_null(tree_find_xattr(tree->root, "security.evm"));
}

static void those_of_a_file_system_are_counted_and_left_out(void **state)
{
	struct tree *tree = *state;
	uint64_t n_foreign = 10;
	struct cop_error err = {};

	fake.names = "btrfs.compression\0lustre.lov\0system.nfs4_acl\0user.a\0"
		     "system.nfs4_dacl\0";
	assert_ok(read_xattrs(tree, &n_foreign, &err), &err);
	assert_int_equal(n_foreign, 14);
	assert_int_equal(tree->root->n_xattrs, 1);
	assert_ok(read_xattrs(tree, NULL, &err), &err);
}

static void unknown_kinds_are_refused_by_name(void **state)
{
	static const char *const names[] = {"system.richacl\0", "weird\0", "users.a\0",
					    "system.posix_acl_accessX\0"};
	struct cop_error err = {};
	char message[128];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		fake.names = names[i];
		(void)snprintf(message, sizeof(message),
			       "'dir/file' has xattr '%s' of a kind that is not known; "
			       "remove it first",
			       names[i]);
		assert_fails(read_xattrs(*state, NULL, &err), -EINVAL, &err);
		assert_string_equal(err.message, message);
	}
}

static void an_xattr_that_cannot_be_read_is_named(void **state)
{
	struct cop_error err = {};

	fake.names = "user.a\0user.odd\0";
	fake.failing = "user.odd";
	fake.read_error = EINVAL;
	fake.n_failures = 1;
	assert_fails(read_xattrs(*state, NULL, &err), -EINVAL, &err);
	assert_string_equal(err.message,
			    "read xattr 'user.odd' of 'dir/file': Invalid argument");
	assert_int_equal(fake.n_lists, 1);
}

static void an_xattr_that_vanished_is_looked_for_again(void **state)
{
	struct tree *tree = *state;
	uint64_t n_foreign = 0;
	struct cop_error err = {};

	fake.names = "btrfs.a\0user.a\0user.gone\0";
	fake.failing = "user.gone";
	fake.read_error = ENODATA;
	fake.n_failures = 1;
	assert_ok(read_xattrs(tree, &n_foreign, &err), &err);
	assert_int_equal(fake.n_lists, 2);
	assert_int_equal(tree->root->n_xattrs, 2);
	assert_int_equal(n_foreign, 1);
}

static void an_xattr_that_is_listed_but_never_there_is_an_error(void **state)
{
	struct cop_error err = {};

	fake.names = "user.ghost\0";
	fake.failing = "user.ghost";
	fake.read_error = ENODATA;
	fake.n_failures = 100;
	assert_fails(read_xattrs(*state, NULL, &err), -ENODATA, &err);
	assert_string_equal(err.message,
			    "read xattr 'user.ghost' of 'dir/file': No data available");
	assert_int_equal(fake.n_lists, 2);
}

static void file_systems_without_xattrs_have_none(void **state)
{
	struct tree *tree = *state;
	struct cop_error err = {};

	fake.list_error = EOPNOTSUPP;
	assert_ok(read_xattrs(tree, NULL, &err), &err);
	assert_int_equal(tree->root->n_xattrs, 0);
	fake.list_error = EIO;
	assert_fails(read_xattrs(tree, NULL, &err), -EIO, &err);
	assert_string_equal(err.message,
			    "list the xattrs of 'dir/file': Input/output error");
}

static void long_lists_of_names_are_read_whole(void **state)
{
	struct tree *tree = *state;
	auto_buf names = {};
	struct cop_error err = {};

	for (int i = 0; i < 900; i++)
		(void)buf_printf(&names, "user.%04d%c", i, 0);
	assert_false(names.failed);
	fake.names = names.data;
	assert_ok(read_xattrs(tree, NULL, &err), &err);
	assert_int_equal(tree->root->n_xattrs, 900);
	assert_true(fake.n_lists > 1);
}

static void lists_and_sums_have_limits(void **state)
{
	struct tree *tree = *state;
	auto_buf names = {};
	struct cop_error err = {};

	for (int i = 0; i < 2000; i++)
		(void)buf_printf(&names, "user.%04d%c", i, 0);
	fake.names = names.data;
	assert_fails(read_xattrs(tree, NULL, &err), -ERANGE, &err);
	assert_string_equal(err.message,
			    "'dir/file': its xattrs need 50000 bytes of 32755");
	fake.names_size = (size_t)1 << 40; /* never fits */
	assert_fails(read_xattrs(tree, NULL, &err), -ERANGE, &err);
	assert_true(fake.n_lists < 32);
}

static void open_files_are_read_without_a_path(void **state)
{
	struct tree *tree = *state;
	cleanup_with(xattr_reader_done) struct xattr_reader reader = {};
	struct cop_error err = {};

	fake.names = "user.a\0btrfs.b\0";
	for (unsigned int i = 1; i <= 3; i++) {
		assert_ok(
			xattr_read(&reader, tree, tree->root, 3, NULL, "dir/file", &err),
			&err);
		assert_int_equal(tree->root->n_xattrs, 1);
		assert_int_equal(reader.n_foreign, i);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_kinds_of_the_rule_are_taken),
		TEST(those_of_a_file_system_are_counted_and_left_out),
		TEST(unknown_kinds_are_refused_by_name),
		TEST(an_xattr_that_cannot_be_read_is_named),
		TEST(an_xattr_that_vanished_is_looked_for_again),
		TEST(an_xattr_that_is_listed_but_never_there_is_an_error),
		TEST(file_systems_without_xattrs_have_none),
		TEST(long_lists_of_names_are_read_whole),
		TEST(lists_and_sums_have_limits),
		TEST(open_files_are_read_without_a_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
