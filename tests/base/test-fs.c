/* SPDX-License-Identifier: Apache-2.0 */
#include "testlib.h"

#include <fcntl.h>

#include "base/fs.h"

struct scratch {
	char path[64];
	int fd;
};

static int setup(void **state)
{
	struct scratch *scratch = calloc(1, sizeof(*scratch));

	assert_non_null(scratch);
	strcpy(scratch->path, "/tmp/coppice-test-fs-XXXXXX");
	assert_non_null(mkdtemp(scratch->path));
	scratch->fd = open(scratch->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(scratch->fd >= 0);
	*state = scratch;
	return 0;
}

static int teardown(void **state)
{
	struct scratch *scratch = *state;
	struct cop_error err = {};

	(void)close(scratch->fd);
	assert_ok(fs_remove_all(AT_FDCWD, scratch->path, true, &err), &err);
	free(scratch);
	return 0;
}

static void a_symlink_on_the_way_is_refused(void **state)
{
	struct scratch *scratch = *state;
	struct cop_error err = {};

	assert_ok(fs_make_dirs(scratch->fd, "real/sub", 0755, &err), &err);
	assert_int_equal(symlinkat("real", scratch->fd, "link"), 0);
	assert_fails(fs_open_plain(scratch->fd, "link/sub", O_RDONLY, 0, &err), -ELOOP,
		     &err);
	assert_fails(fs_open_plain(scratch->fd, "../etc", O_RDONLY, 0, &err), -EXDEV,
		     &err);
	assert_true(fs_make_dirs(scratch->fd, "link/other", 0755, &err) < 0);
}

static void an_absolute_symlink_stays_inside_the_root(void **state)
{
	struct scratch *scratch = *state;
	struct cop_error err = {};
	auto_buf buf = {};
	auto_close int fd = -EBADF;

	assert_ok(fs_make_dirs(scratch->fd, "etc", 0755, &err), &err);
	assert_ok(fs_write_new(scratch->fd, "etc/motd", "inside", 6, 0644, &err), &err);
	assert_int_equal(symlinkat("/etc/motd", scratch->fd, "a"), 0);
	assert_int_equal(symlinkat("../../../../etc/motd", scratch->fd, "b"), 0);
	fd = fs_open_in_root(scratch->fd, "/a", O_RDONLY, 0, &err);
	assert_true(fd >= 0);
	assert_ok(fs_read_all(fd, 100, &buf, &err), &err);
	assert_string_equal(buf_text(&buf), "inside");
	(void)close(TAKE_FD(fd));
	fd = fs_open_in_root(scratch->fd, "b", O_RDONLY, 0, &err);
	assert_true(fd >= 0);
}

static void a_file_over_the_limit_is_not_read(void **state)
{
	struct scratch *scratch = *state;
	struct cop_error err = {};
	auto_buf buf = {};

	assert_ok(fs_write_new(scratch->fd, "f", "12345", 5, 0600, &err), &err);
	assert_fails(fs_read_file(scratch->fd, "f", 4, &buf, &err), -EFBIG, &err);
	buf_truncate(&buf, 0);
	assert_ok(fs_read_file(scratch->fd, "f", 5, &buf, &err), &err);
	assert_string_equal(buf_text(&buf), "12345");
}

static void a_fifo_is_not_read(void **state)
{
	struct scratch *scratch = *state;
	struct cop_error err = {};
	auto_buf buf = {};

	assert_int_equal(mkfifoat(scratch->fd, "p", 0600), 0);
	assert_fails(fs_read_file(scratch->fd, "p", 10, &buf, &err), -EINVAL, &err);
}

static void a_new_file_never_replaces_one(void **state)
{
	struct scratch *scratch = *state;
	struct cop_error err = {};
	auto_buf buf = {};

	assert_ok(fs_write_new(scratch->fd, "f", "old", 3, 0600, &err), &err);
	assert_fails(fs_write_new(scratch->fd, "f", "new", 3, 0600, &err), -EEXIST, &err);
	assert_ok(fs_read_file(scratch->fd, "f", 10, &buf, &err), &err);
	assert_string_equal(buf_text(&buf), "old");
}

static void a_replaced_file_leaves_no_temporary_name(void **state)
{
	struct scratch *scratch = *state;
	struct cop_error err = {};
	char **names = NULL;
	size_t n = 0;

	assert_ok(fs_replace_at(scratch->fd, "f", "1", 1, 0640, &err), &err);
	assert_ok(fs_replace_at(scratch->fd, "f", "2", 1, 0640, &err), &err);
	assert_ok(fs_replace_link_at(scratch->fd, "l", "f", &err), &err);
	assert_ok(fs_replace_link_at(scratch->fd, "l", "g", &err), &err);
	assert_ok(fs_make_dirs(scratch->fd, "d/e", 0755, &err), &err);
	assert_true(fs_replace_at(scratch->fd, "d", "3", 1, 0640, &err) < 0);
	assert_ok(fs_list(scratch->fd, &names, &n, &err), &err);
	assert_int_equal(n, 3);
	assert_string_equal(names[0], "d");
	assert_string_equal(names[1], "f");
	assert_string_equal(names[2], "l");
	(void)fs_list_free(names);
}

static void removing_a_tree_does_not_follow_symlinks(void **state)
{
	struct scratch *scratch = *state;
	struct cop_error err = {};

	assert_ok(fs_make_dirs(scratch->fd, "keep/sub", 0755, &err), &err);
	assert_ok(fs_make_dirs(scratch->fd, "gone/a/b/c", 0755, &err), &err);
	assert_int_equal(symlinkat("../keep", scratch->fd, "gone/link"), 0);
	assert_ok(fs_remove_all(scratch->fd, "gone", false, &err), &err);
	assert_int_equal(faccessat(scratch->fd, "keep/sub", F_OK, 0), 0);
	assert_int_equal(faccessat(scratch->fd, "gone", F_OK, 0), -1);
	assert_ok(fs_remove_all(scratch->fd, "gone", false, &err), &err);
}

static void a_copy_keeps_content_and_holes(void **state)
{
	struct scratch *scratch = *state;
	struct cop_error err = {};
	auto_close int from =
		openat(scratch->fd, "from", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	auto_close int to = openat(scratch->fd, "to", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct stat st;
	char bytes[3];

	assert_int_equal(pwrite(from, "abc", 3, 64 * (off_t)MIB), 3);
	assert_int_equal(ftruncate(from, 128 * (off_t)MIB), 0);
	assert_ok(fs_copy_data(from, to, 128 * MIB, &err), &err);
	assert_int_equal(fstat(to, &st), 0);
	assert_int_equal(st.st_size, 128 * MIB);
	assert_true((uint64_t)st.st_blocks * 512 < MIB);
	assert_int_equal(pread(to, bytes, 3, 64 * (off_t)MIB), 3);
	assert_memory_equal(bytes, "abc", 3);
	assert_fails(fs_copy_data(from, to, 129 * MIB, &err), -ESTALE, &err);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_symlink_on_the_way_is_refused, setup,
						teardown),
		cmocka_unit_test_setup_teardown(an_absolute_symlink_stays_inside_the_root,
						setup, teardown),
		cmocka_unit_test_setup_teardown(a_file_over_the_limit_is_not_read, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_fifo_is_not_read, setup, teardown),
		cmocka_unit_test_setup_teardown(a_new_file_never_replaces_one, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_replaced_file_leaves_no_temporary_name,
						setup, teardown),
		cmocka_unit_test_setup_teardown(removing_a_tree_does_not_follow_symlinks,
						setup, teardown),
		cmocka_unit_test_setup_teardown(a_copy_keeps_content_and_holes, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
