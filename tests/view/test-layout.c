/* SPDX-License-Identifier: Apache-2.0 */
/* Export: everything, or an error that says what is missing. */
#include "viewlib.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/fs.h"
#include "store/object.h"

static int export_to(struct scratch *scratch, const struct tree *tree, const char *name,
		     struct cop_error *err)
{
	auto_close int fd = -EBADF;

	assert_int_equal(mkdirat(scratch->fd, name, 0700), 0);
	fd = openat(scratch->fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	return view_export(scratch->store, tree, fd, NULL, err);
}

static struct tree *tree_of_one(uint32_t mode, struct tree_node **ret_node)
{
	struct cop_error err = {};
	struct tree *tree = tree_new(&err);

	assert_non_null(tree);
	tree->root->uid = geteuid();
	tree->root->gid = getegid();
	assert_ok(tree_add(tree, tree->root, "one", 3, mode, ret_node, &err), &err);
	(*ret_node)->uid = geteuid();
	(*ret_node)->gid = getegid();
	assert_ok(tree_finish(tree, &err), &err);
	return tree;
}

static void what_was_exported_is_what_was_committed(void **state)
{
	struct scratch *scratch = *state;
	struct cop_digest digest;
	struct cop_error err = {};
	auto_ptr(tree) tree = NULL;

	if (!is_root())
		skip_because("owners and devices take root");
	digest = commit_sample(scratch, "sample");
	tree = committed_tree(scratch, "sample");
	assert_ok(export_to(scratch, tree, "out", &err), &err);
	assert_digests_equal(directory_digest(scratch, join(scratch->path, "out")),
			     digest);
}

static void holes_stay_holes(void **state)
{
	struct scratch *scratch = *state;
	struct cop_error err = {};
	auto_ptr(tree) tree = NULL;
	struct stat st;

	if (!is_root())
		skip_because("owners and devices take root");
	commit_sample(scratch, "sample");
	tree = committed_tree(scratch, "sample");
	assert_ok(export_to(scratch, tree, "out", &err), &err);
	assert_int_equal(fstatat(scratch->fd, "out/sparse", &st, 0), 0);
	assert_int_equal(st.st_size, 1 << 22);
	assert_true(st.st_blocks * 512 < 1 << 20);
}

static void a_plain_user_is_told_what_is_missing(void **state)
{
	struct scratch *scratch = *state;
	struct cop_error err = {};
	auto_ptr(tree) tree = NULL;

	if (is_root())
		skip_because("root may do everything");
	commit_sample(scratch, "sample");
	tree = committed_tree(scratch, "sample");
	assert_fails(export_to(scratch, tree, "out", &err), -EPERM, &err);
	assert_non_null(strstr(err.message, "export: '/"));
	assert_non_null(strstr(err.message, "it takes CAP_"));
}

static void a_device_takes_a_capability(void **state)
{
	struct cop_error err = {};
	struct tree_node *node;
	auto_ptr(tree) tree = NULL;

	if (is_root())
		skip_because("root may do everything");
	tree = tree_of_one(S_IFBLK | 0600, &node);
	node->rdev = 0x800;
	assert_fails(export_to(*state, tree, "out", &err), -EPERM, &err);
	assert_string_equal(err.message, "export: '/one': make block device (it takes "
					 "CAP_MKNOD): Operation not permitted");
}

/* Some file systems keep all 64 bits, so that here one keeps 34 of them, like ext4. */
static bool has_short_times;

int __wrap_futimens(int fd, const struct timespec times[2]);
int __real_futimens(int fd, const struct timespec times[2]);

int __wrap_futimens(int fd, const struct timespec times[2])
{
	const int64_t last = (INT64_C(1) << 34) - 1 - (INT64_C(1) << 31);
	struct timespec kept[2];

	if (!has_short_times || !times)
		return __real_futimens(fd, times);
	for (int i = 0; i < 2; i++) {
		kept[i] = times[i];
		if (kept[i].tv_sec > last)
			kept[i] = (struct timespec){.tv_sec = last};
	}
	return __real_futimens(fd, kept);
}

static void a_time_that_cannot_be_kept_is_an_error(void **state)
{
	struct tree_node *node;
	auto_ptr(tree) tree = tree_of_one(S_IFREG | 0644, &node);
	struct cop_error err = {};
	int r;

	node->mtime_sec = INT64_MAX / 2;
	has_short_times = true;
	r = export_to(*state, tree, "out", &err);
	has_short_times = false;
	assert_fails(r, -ERANGE, &err);
	assert_non_null(strstr(err.message, "'/one': mtime"));
}

static void nanoseconds_that_mean_now_are_refused(void **state)
{
	struct tree_node *node;
	auto_ptr(tree) tree = tree_of_one(S_IFREG | 0644, &node);
	struct cop_error err = {};

	node->mtime_nsec = UTIME_NOW;
	assert_fails(export_to(*state, tree, "out", &err), -EBADMSG, &err);
}

static void a_directory_that_is_not_empty_is_refused(void **state)
{
	struct scratch *scratch = *state;
	struct tree_node *node;
	auto_ptr(tree) tree = tree_of_one(S_IFREG | 0644, &node);
	struct cop_error err = {};

	assert_fails(view_export(scratch->store, tree, scratch->fd, NULL, &err),
		     -ENOTEMPTY, &err);
	assert_int_equal(faccessat(scratch->fd, "one", F_OK, 0), -1);
}

static void a_missing_pool_file_is_named_with_its_path(void **state)
{
	struct tree_node *node;
	auto_ptr(tree) tree = tree_of_one(S_IFREG | 0644, &node);
	const struct cop_digest digest = {.bytes = {1, 2, 3}};
	struct cop_error err = {};

	node->size = 100;
	assert_ok(tree_set_digest(tree, node, &digest, &err), &err);
	assert_fails(export_to(*state, tree, "out", &err), -ENOENT, &err);
	assert_non_null(strstr(err.message, "'/one'"));
}

static void many_missing_files_are_one_error(void **state)
{
	const struct cop_digest digest = {.bytes = {1, 2, 3}};
	struct cop_error err = {};
	auto_ptr(tree) tree = tree_new(&err);

	assert_non_null(tree);
	tree->root->uid = geteuid();
	tree->root->gid = getegid();
	for (unsigned int i = 0; i < 2000; i++) {
		struct tree_node *node;
		char name[16];

		(void)snprintf(name, sizeof(name), "file%04u", i);
		assert_ok(tree_add(tree, tree->root, name, strlen(name), S_IFREG | 0644,
				   &node, &err),
			  &err);
		node->size = 100;
		assert_ok(tree_set_digest(tree, node, &digest, &err), &err);
	}
	assert_ok(tree_finish(tree, &err), &err);
	assert_fails(export_to(*state, tree, "out", &err), -ENOENT, &err);
}

static void a_deep_tree_takes_few_fds_and_long_paths(void **state)
{
	struct scratch *scratch = *state;
	struct cop_error err = {};
	auto_ptr(tree) tree = tree_new(&err);
	struct tree_node *node, *dir, *first = NULL;
	char name[101];

	assert_non_null(tree);
	memset(name, 'd', sizeof(name));
	dir = tree->root;
	for (unsigned int i = 0; i < 1000; i++) {
		dir->uid = geteuid();
		dir->gid = getegid();
		assert_ok(tree_add(tree, dir, name, 100, S_IFDIR | 0755, &node, &err),
			  &err);
		if (i == 990)
			assert_ok(
				tree_add(tree, dir, "a", 1, S_IFREG | 0600, &first, &err),
				&err);
		dir = node;
	}
	dir->uid = first->uid = geteuid();
	dir->gid = first->gid = getegid();
	assert_ok(tree_add_link(tree, dir, "b", 1, first, &node, &err), &err);
	/* Another directory between the two, so that the first must be found again. */
	assert_ok(tree_add_link(tree, tree->root, "z", 1, first, &node, &err), &err);
	assert_ok(tree_finish(tree, &err), &err);
	assert_ok(tree_canonicalise(tree, &err), &err);
	assert_ok(export_to(scratch, tree, "deep", &err), &err);
	{
		struct cop_digest digest;

		assert_ok(store_digest_tree(tree, &digest, &err), &err);
		assert_digests_equal(
			directory_digest(scratch, join(scratch->path, "deep")), digest);
	}
}

static void default_acls_of_the_target_are_not_inherited(void **state)
{
	struct scratch *scratch = *state;
	/* user::rwx user:1000:rwx group::rwx mask::rwx other::rwx */
	static const uint8_t acl[] = {
		2, 0,	0,   0,	  1,   0,   7,	0, 255, 255, 255, 255, 2,   0,	7,
		0, 232, 3,   0,	  0,   4,   0,	7, 0,	255, 255, 255, 255, 16, 0,
		7, 0,	255, 255, 255, 255, 32, 0, 7,	0,   255, 255, 255, 255};
	struct tree_node *node;
	auto_ptr(tree) tree = NULL;
	auto_close int fd = -EBADF;
	struct cop_error err = {};
	struct cop_digest digest;

	assert_int_equal(mkdirat(scratch->fd, "out", 0700), 0);
	if (setxattr(join(scratch->path, "out"), "system.posix_acl_default", acl,
		     sizeof(acl), 0) < 0)
		skip_because("no ACLs on this file system");
	tree = tree_of_one(S_IFREG | 0644, &node);
	fd = openat(scratch->fd, "out", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_ok(tree_canonicalise(tree, &err), &err);
	assert_ok(view_export(scratch->store, tree, fd, NULL, &err), &err);
	assert_ok(store_digest_tree(tree, &digest, &err), &err);
	assert_digests_equal(directory_digest(scratch, join(scratch->path, "out")),
			     digest);
}

static int run_all(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)
		TEST(what_was_exported_is_what_was_committed),
		TEST(holes_stay_holes),
		TEST(a_plain_user_is_told_what_is_missing),
		TEST(a_device_takes_a_capability),
		TEST(a_time_that_cannot_be_kept_is_an_error),
		TEST(nanoseconds_that_mean_now_are_refused),
		TEST(a_directory_that_is_not_empty_is_refused),
		TEST(a_missing_pool_file_is_named_with_its_path),
		TEST(many_missing_files_are_one_error),
		TEST(a_deep_tree_takes_few_fds_and_long_paths),
		TEST(default_acls_of_the_target_are_not_inherited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	int failed = run_as_nobody(run_all);

	return run_all() + failed;
}
