/* SPDX-License-Identifier: Apache-2.0 */
/* The copy view: what was not touched is the base, whoever we are; what was changed is
 * what a scan of the directory would give. */
#include "viewlib.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/fs.h"
#include "store/object.h"

static struct cop_object *grow(struct scratch *scratch, const char *base,
			       const char **ret_path)
{
	struct cop_object *object = NULL;
	struct cop_error err = {};

	assert_ok(cop_object_new(scratch->store, base, &object, &err), &err);
	assert_ok(cop_object_write(object, ret_path, &err), &err);
	return object;
}

static struct cop_digest commit(struct scratch *scratch, struct cop_object *object)
{
	struct cop_digest digest = {};
	struct cop_error err = {};

	assert_ok(cop_object_write_end(object, &err), &err);
	assert_ok(cop_store_commit(scratch->store, object, "result", &digest, &err),
		  &err);
	return digest;
}

static void refused(struct scratch *scratch, struct cop_object *object, const char *path,
		    const char *what)
{
	struct cop_error err = {};

	assert_ok(cop_object_write_end(object, &err), &err);
	assert_fails(cop_store_commit(scratch->store, object, "result", NULL, &err),
		     -EPERM, &err);
	if (!strstr(err.message, path) || !strstr(err.message, what))
		fail_msg("'%s' and '%s' are not in: %s", path, what, err.message);
	assert_int_equal(cop_store_contains(scratch->store, "result", &err), 0);
}

static void an_untouched_view_commits_to_its_base(void **state)
{
	struct scratch *scratch = *state;
	struct cop_digest base = commit_sample(scratch, "base"), digest;
	struct cop_error err = {};
	const char *path;
	struct cop_object *object = grow(scratch, "base", &path);

	assert_ok(cop_object_write_end(object, &err), &err);
	assert_ok(cop_object_digest(object, &digest, &err), &err);
	assert_digests_equal(digest, base);
	assert_digests_equal(commit(scratch, object), base);
	cop_object_free(object);
}

static void an_untouched_view_commits_to_its_base_again_and_again(void **state)
{
	struct scratch *scratch = *state;
	struct cop_digest base = commit_sample(scratch, "base");
	const char *path;
	struct cop_object *object = grow(scratch, "base", &path);

	for (int i = 0; i < 3; i++) {
		struct cop_error err = {};

		assert_digests_equal(commit(scratch, object), base);
		assert_ok(cop_object_write(object, &path, &err), &err);
	}
	cop_object_free(object);
}

static void as_root_everything_comes_out(void **state)
{
	struct scratch *scratch = *state;
	struct cop_digest base = commit_sample(scratch, "base");
	const char *path;
	struct cop_object *object;

	if (!is_root())
		skip_because("owners and devices take root");
	object = grow(scratch, "base", &path);
	assert_digests_equal(directory_digest(scratch, path), base);
	cop_object_free(object);
}

/* Each kind of change there is. */

static void change_nothing(const char *path)
{
	(void)path;
}

static void change_content(const char *path)
{
	write_file(path, "bin/sudo", "another program");
}

static void change_append(const char *path)
{
	auto_close int fd = open(join(path, "sparse"), O_WRONLY | O_APPEND | O_CLOEXEC);

	assert_int_equal(fs_write_all(fd, "more", 4), 0);
}

static void change_truncate(const char *path)
{
	assert_int_equal(truncate(join(path, "bin/wall"), 64), 0);
	assert_int_equal(truncate(join(path, "home/user01/mail"), 0), 0);
	assert_int_equal(truncate(join(path, "etc/empty"), 100), 0);
}

static void change_chmod(const char *path)
{
	assert_int_equal(chmod(join(path, "bin/both"), 0640), 0);
	assert_int_equal(chmod(join(path, "home"), 01770), 0);
	assert_int_equal(chmod(join(path, "dev/null"), 0600), 0);
}

static void change_chown(const char *path)
{
	assert_int_equal(chown(join(path, "bin/sudo"), 17, 18), 0);
	assert_int_equal(lchown(join(path, "bin/sh"), 17, 18), 0);
	assert_int_equal(chown(join(path, "bin/ping"), 17, 18), 0);
	assert_int_equal(chown(path, 19, 20), 0);
}

static void change_xattr(const char *path)
{
	const char *hosts = join(path, "etc/hosts");

	assert_int_equal(setxattr(hosts, "user.new", "1", 1, 0), 0);
	assert_int_equal(setxattr(hosts, "user.note", "", 0, 0), 0);
	assert_int_equal(removexattr(hosts, "trusted.note"), 0);
	/* Overlayfs changes ACLs only of what was changed in another way before. */
	assert_int_equal(setxattr(join(path, "etc/acl"), "user.new", "1", 1, 0), 0);
	assert_int_equal(removexattr(join(path, "etc/acl"), "system.posix_acl_access"),
			 0);
	assert_int_equal(setxattr(join(path, "etc"), "trusted.dir", "d", 1, 0), 0);
}

static void change_times(const char *path)
{
	write_times(path, "etc/hosts", 5);
	write_times(path, "bin/sh", 6);
	write_times(path, "home", 7);
	write_times(path, "dev/fifo", 8);
	write_times(path, ".", -9);
}

static void change_rename(const char *path)
{
	assert_int_equal(rename(join(path, "bin/sudo"), join(path, "etc/sudo-too")), 0);
	assert_int_equal(rename(join(path, "home/user03"), join(path, "tmp/gone")), 0);
	assert_int_equal(rename(join(path, "dev/null"), join(path, "dev/zzz")), 0);
	assert_int_equal(rename(join(path, "etc/hosts"), join(path, "etc/shadow")), 0);
}

static void change_link(const char *path)
{
	assert_int_equal(link(join(path, "etc/empty"), join(path, "a-link")), 0);
	assert_int_equal(link(join(path, "bin/sudo"), join(path, "bin/a-sudo")), 0);
	assert_int_equal(link(join(path, "dev/sda"), join(path, "tmp/sda")), 0);
	assert_int_equal(link(join(path, "first-name"), join(path, "tmp/fourth")), 0);
}

static void change_unlink(const char *path)
{
	assert_int_equal(unlink(join(path, "first-name")), 0);
	assert_int_equal(unlink(join(path, "bin/sh")), 0);
	assert_int_equal(unlink(join(path, "dev/null")), 0);
	assert_int_equal(unlink(join(path, "etc/gshadow")), 0);
}

static void change_mkdir(const char *path)
{
	assert_int_equal(mkdir(join(path, "new"), 0711), 0);
	write_file(path, "new/file", "in a new directory");
	assert_int_equal(setxattr(join(path, "new/file"), "user.new", "1", 1, 0), 0);
	assert_int_equal(symlink("../etc", join(path, "new/etc")), 0);
}

static void change_rmdir(const char *path)
{
	assert_int_equal(rmdir(join(path, "tmp")), 0);
	assert_int_equal(unlink(join(path, "etc/locked/inside")), 0);
	assert_int_equal(rmdir(join(path, "etc/locked")), 0);
}

static void change_directory_to_file(const char *path)
{
	change_rmdir(path);
	write_file(path, "tmp", "a file now");
	write_file(path, "etc/locked",
		   "a file now as well, and too long to stand in the image itself");
	assert_int_equal(unlink(join(path, "etc/hosts")), 0);
	assert_int_equal(mkdir(join(path, "etc/hosts"), 0755), 0);
	assert_int_equal(unlink(join(path, "dev/log")), 0);
	assert_int_equal(symlink("/run/log", join(path, "dev/log")), 0);
}

static void change_new_device(const char *path)
{
	assert_int_equal(mknod(join(path, "dev/zero"), S_IFCHR | 0666, makedev(1, 5)), 0);
	assert_int_equal(
		mknod(join(path, "dev/big"), S_IFBLK | 0600, makedev(259, 70000)), 0);
	assert_int_equal(unlink(join(path, "dev/null")), 0);
	assert_int_equal(mknod(join(path, "dev/null"), S_IFCHR | 0666, makedev(1, 4)), 0);
}

static void change_same_size_and_mtime(const char *path)
{
	struct stat st;
	auto_close int fd = open(join(path, "etc/gshadow"), O_WRONLY | O_CLOEXEC);

	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(pwrite(fd, "X", 1, 0), 1);
	assert_int_equal(futimens(fd, (const struct timespec[]){st.st_atim, st.st_mtim}),
			 0);
}

static void change_replace_by_rename(const char *path)
{
	write_file(path, "bin/.sudo.new", "a new file under an old name");
	assert_int_equal(rename(join(path, "bin/.sudo.new"), join(path, "bin/sudo")), 0);
	assert_int_equal(unlink(join(path, "etc/empty")), 0);
	write_file(path, "etc/empty", "");
}

static const struct change {
	const char *name;
	void (*make)(const char *path);
	bool is_null;
} changes[] = {
	{"nothing", change_nothing, true},
	{"content", change_content, false},
	{"append", change_append, false},
	{"truncate", change_truncate, false},
	{"chmod", change_chmod, false},
	{"chown", change_chown, false},
	{"xattr", change_xattr, false},
	{"times", change_times, false},
	{"rename", change_rename, false},
	{"link", change_link, false},
	{"unlink", change_unlink, false},
	{"mkdir", change_mkdir, false},
	{"rmdir", change_rmdir, false},
	{"directory to file", change_directory_to_file, false},
	{"new device", change_new_device, false},
	{"same size and mtime", change_same_size_and_mtime, false},
	{"replace by rename", change_replace_by_rename, false},
};

static void every_change_gives_what_a_scan_of_the_directory_gives(void **state)
{
	struct scratch *scratch = *state;
	struct cop_digest base = commit_sample(scratch, "base");

	if (!is_root())
		skip_because("owners and devices take root");
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		const char *path;
		struct cop_object *object = grow(scratch, "base", &path);
		struct cop_digest expected, got;

		changes[i].make(path);
		expected = directory_digest(scratch, path);
		got = commit(scratch, object);
		if (!cop_digest_equal(&expected, &got))
			fail_msg("after '%s' the digests differ", changes[i].name);
		assert_int_equal(cop_digest_equal(&got, &base), changes[i].is_null);
		cop_object_free(object);
	}
}

static void changes_after_changes_need_no_new_layout(void **state)
{
	struct scratch *scratch = *state;
	struct cop_error err = {};
	const char *path;
	struct cop_object *object;

	if (!is_root())
		skip_because("owners and devices take root");
	commit_sample(scratch, "base");
	object = grow(scratch, "base", &path);
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		auto_free char *before = strdup(path);
		struct cop_digest expected;

		/* Those that do not need what an earlier one took away. */
		if (changes[i].make == change_rename ||
		    changes[i].make == change_unlink || changes[i].make == change_rmdir ||
		    changes[i].make == change_directory_to_file)
			continue;
		changes[i].make(path);
		expected = directory_digest(scratch, path);
		assert_digests_equal(commit(scratch, object), expected);
		assert_ok(cop_object_write(object, &path, &err), &err);
		assert_string_equal(path, before);
	}
	cop_object_free(object);
}

/* What a scan takes for a whiteout is a file on disk all the same. */
static void marks_of_whiteouts_stay_what_they_were_taken_for(void **state)
{
	struct scratch *scratch = *state;
	const char *path;
	struct cop_object *object;
	struct cop_digest first;
	struct cop_error err = {};
	auto_ptr(tree) tree = NULL;

	if (!is_root())
		skip_because("trusted xattrs take root");
	commit_small(scratch, "base", "text");
	object = grow(scratch, "base", &path);
	assert_int_equal(mkdir(join(path, "dir"), 0755), 0);
	write_file(path, "dir/gone", "");
	setxattr(join(path, "dir"), "trusted.overlay.whiteouts", "", 0, 0);
	setxattr(join(path, "dir"), "user.overlay.whiteouts", "", 0, 0);
	setxattr(join(path, "dir"), "trusted.overlay.opaque", "x", 1, 0);
	setxattr(join(path, "dir"), "user.overlay.opaque", "x", 1, 0);
	setxattr(join(path, "dir/gone"), "trusted.overlay.whiteout", "", 0, 0);
	setxattr(join(path, "dir/gone"), "user.overlay.whiteout", "", 0, 0);
	setxattr(join(path, "dir/gone"), "user.zzz", "kept", 4, 0);
	first = commit(scratch, object);
	tree = committed_tree(scratch, "result");
	assert_true(tree_is_whiteout(tree_find(tree, "dir/gone")));
	assert_int_equal(tree_find(tree, "dir/gone")->n_xattrs, 1);
	assert_ok(cop_object_write(object, &path, &err), &err);
	assert_digests_equal(commit(scratch, object), first);
	cop_object_free(object);
}

static char *content_of(struct scratch *scratch, const char *id, const char *path)
{
	auto_ptr(tree) tree = committed_tree(scratch, id);
	const struct tree_node *node = tree_find(tree, path);

	assert_non_null(node);
	node = tree_inode(node);
	return node->content ? strdup(node->content) : NULL;
}

static void an_overwrite_right_after_the_layout_is_noticed(void **state)
{
	struct scratch *scratch = *state;

	commit_small(scratch, "base", "0000");
	for (int i = 0; i < 20; i++) {
		const char *path;
		struct cop_object *object = grow(scratch, "base", &path);
		struct stat st;
		int fd = open(join(path, "data"), O_WRONLY | O_CLOEXEC);
		auto_free char *content = NULL;

		assert_int_equal(fstat(fd, &st), 0);
		assert_int_equal(pwrite(fd, "1", 1, 0), 1);
		assert_int_equal(
			futimens(fd, (const struct timespec[]){st.st_atim, st.st_mtim}),
			0);
		assert_int_equal(close(fd), 0);
		commit(scratch, object);
		content = content_of(scratch, "result", "data");
		assert_string_equal(content, "1000");
		cop_object_free(object);
	}
}

static void an_overwrite_right_after_a_commit_is_noticed(void **state)
{
	struct scratch *scratch = *state;
	const char *path;
	struct cop_object *object;

	commit_small(scratch, "base", "0000");
	object = grow(scratch, "base", &path);
	for (int i = 0; i < 20; i++) {
		char text[5];
		auto_free char *content = NULL;
		struct cop_error err = {};

		(void)snprintf(text, sizeof(text), "%04d", i);
		write_file(path, "data", text);
		write_times(path, "data", 1);
		commit(scratch, object);
		content = content_of(scratch, "result", "data");
		assert_string_equal(content, text);
		assert_ok(cop_object_write(object, &path, &err), &err);
	}
	cop_object_free(object);
}

/* What a plain user's changes do. */

static const struct tree_node *find(const struct tree *tree, const char *path)
{
	const struct tree_node *node = tree_find(tree, path);

	if (!node)
		fail_msg("no %s", path);
	return tree_inode(node);
}

static void a_plain_users_changes_are_merged(void **state)
{
	struct scratch *scratch = *state;
	const char *path;
	struct cop_object *object;
	auto_ptr(tree) tree = NULL;
	const struct tree_node *node;

	if (is_root())
		skip_because("this is for plain users");
	commit_sample(scratch, "base");
	object = grow(scratch, "base", &path);
	write_file(path, "bin/new", "ours");
	write_file(path, "etc/acl", "changed");
	assert_int_equal(chmod(join(path, "bin/ping"), 0700), 0);
	write_times(path, "etc/hosts", 77);
	assert_int_equal(setxattr(join(path, "etc/hosts"), "user.note", "x", 1, 0), 0);
	assert_int_equal(rename(join(path, "dev/null"), join(path, "dev/moved")), 0);
	assert_int_equal(unlink(join(path, "dev/sda")), 0);
	assert_int_equal(rename(join(path, "home/user03"), join(path, "home/moved")), 0);
	commit(scratch, object);
	tree = committed_tree(scratch, "result");

	node = find(tree, "bin/new");
	assert_int_equal(node->uid, geteuid());
	node = find(tree, "etc/acl");
	assert_int_equal(node->uid, 0);
	assert_string_equal(node->content, "changed");
	assert_non_null(tree_find_xattr(node, "system.posix_acl_access"));
	node = find(tree, "bin/ping");
	assert_int_equal(node->mode, S_IFREG | 0700);
	assert_int_equal(node->uid, 0);
	assert_non_null(tree_find_xattr(node, "security.capability"));
	node = find(tree, "bin/sudo");
	assert_int_equal(node->mode, S_IFREG | 04755);
	node = find(tree, "etc/hosts");
	assert_int_equal(node->mtime_sec, 77);
	assert_int_equal(tree_find_xattr(node, "user.note")->size, 1);
	assert_int_equal(tree_find_xattr(node, "trusted.note")->size, 6);
	node = find(tree, "dev/moved");
	assert_int_equal(node->mode, S_IFCHR | 0666);
	assert_int_equal(tree_rdev_to_dev(node->rdev), makedev(1, 3));
	assert_null(tree_find(tree, "dev/null"));
	assert_null(tree_find(tree, "dev/sda"));
	node = find(tree, "home/moved");
	assert_int_equal(node->uid, 1003);
	node = find(tree, "home/moved/mail");
	assert_int_equal(node->uid, 1003);
	cop_object_free(object);
}

static void a_plain_users_second_commit_keeps_what_the_first_kept(void **state)
{
	struct scratch *scratch = *state;
	struct cop_digest first, second;
	struct cop_error err = {};
	const char *path;
	struct cop_object *object;

	if (is_root())
		skip_because("this is for plain users");
	commit_sample(scratch, "base");
	object = grow(scratch, "base", &path);
	write_file(path, "bin/new", "ours");
	first = commit(scratch, object);
	assert_ok(cop_object_write(object, &path, &err), &err);
	second = commit(scratch, object);
	assert_digests_equal(first, second);
	cop_object_free(object);

	/* And so does a view that grows from it anew. */
	object = grow(scratch, "result", &path);
	assert_digests_equal(commit(scratch, object), first);
	cop_object_free(object);
}

static void a_file_in_the_place_of_another_is_new(void **state)
{
	struct scratch *scratch = *state;
	const char *path;
	struct cop_object *object;
	auto_ptr(tree) tree = NULL;

	if (is_root())
		skip_because("this is for plain users");
	commit_sample(scratch, "base");
	object = grow(scratch, "base", &path);
	/* The inode number is very likely to be given out again. */
	assert_int_equal(unlink(join(path, "bin/sudo")), 0);
	write_file(path, "bin/sudo", "ours");
	commit(scratch, object);
	tree = committed_tree(scratch, "result");
	assert_int_equal(find(tree, "bin/sudo")->uid, geteuid());
	assert_int_equal(find(tree, "bin/sudo")->mode, S_IFREG | 0644);
	cop_object_free(object);
}

static void a_mode_that_did_not_come_out_is_not_changed(void **state)
{
	struct scratch *scratch = *state;
	const char *path;
	struct cop_object *object;
	struct cop_error err = {};

	if (is_root())
		skip_because("this is for plain users");
	commit_sample(scratch, "base");
	object = grow(scratch, "base", &path);
	assert_int_equal(chmod(join(path, "bin/sudo"), 0700), 0);
	refused(scratch, object, "'/bin/sudo'", "mode");

	/* After the change is undone it is all as before. */
	assert_ok(cop_object_write(object, &path, &err), &err);
	assert_int_equal(chmod(join(path, "bin/sudo"), 0755), 0);
	commit(scratch, object);
	{
		auto_ptr(tree) tree = committed_tree(scratch, "result");

		assert_int_equal(find(tree, "bin/sudo")->mode, S_IFREG | 04755);
	}
	cop_object_free(object);
}

static void a_placeholder_is_not_written_to(void **state)
{
	struct scratch *scratch = *state;
	const char *path;
	struct cop_object *object;

	if (is_root())
		skip_because("this is for plain users");
	commit_sample(scratch, "base");
	object = grow(scratch, "base", &path);
	write_file(path, "dev/null", "into the void");
	refused(scratch, object, "'/dev/null'", "device");
	cop_object_free(object);
}

static void clamping_touches_only_what_was_written(void **state)
{
	struct scratch *scratch = *state;
	const char *path;
	struct cop_object *object;
	struct object_changes found;
	struct cop_error err = {};
	auto_ptr(tree) tree = NULL;

	commit_small(scratch, "base", "text");
	object = grow(scratch, "base", &path);
	write_file(path, "new", "new");
	assert_int_equal(symlink("new", join(path, "link")), 0);
	write_file(path, "old", "old");
	write_times(path, "old", 5);
	assert_fails(object_clamp(object, 1000, &err), -EBUSY, &err);
	assert_ok(cop_object_write_end(object, &err), &err);
	assert_ok(object_clamp(object, 1000, &err), &err);
	assert_ok(object_changes(object, &found, &err), &err);
	assert_int_equal(found.n_changed, 4);
	commit(scratch, object);
	tree = committed_tree(scratch, "result");
	assert_int_equal(find(tree, "new")->mtime_sec, 1000);
	assert_int_equal(find(tree, "new")->mtime_nsec, 0);
	assert_int_equal(find(tree, "link")->mtime_sec, 1000);
	assert_int_equal(find(tree, "/")->mtime_sec, 1000);
	assert_int_equal(find(tree, "old")->mtime_sec, 5);
	/* Later than the epoch, but of the base. */
	assert_int_equal(find(tree, "data")->mtime_sec, 1600000000);
	cop_object_free(object);
}

static void changes_are_counted_without_hashing(void **state)
{
	struct scratch *scratch = *state;
	const char *path;
	struct cop_object *object;
	struct object_changes found;
	struct cop_error err = {};

	commit_sample(scratch, "base");
	assert_ok(cop_object_new(scratch->store, "base", &object, &err), &err);
	assert_ok(object_changes(object, &found, &err), &err);
	assert_int_equal(found.n_changed, 0);
	assert_int_equal(found.n_entries, 86);
	assert_ok(cop_object_write(object, &path, &err), &err);
	assert_ok(cop_object_write_end(object, &err), &err);
	assert_ok(object_changes(object, &found, &err), &err);
	assert_int_equal(found.n_changed, 0);
	assert_int_equal(found.n_entries, 86);
	assert_int_equal(found.n_changed_bytes, 0);
	assert_ok(cop_object_write(object, &path, &err), &err);
	write_file(path, "tmp/new", "12345");
	assert_int_equal(unlink(join(path, "home/user00/mail")), 0);
	assert_ok(cop_object_write_end(object, &err), &err);
	assert_ok(object_changes(object, &found, &err), &err);
	/* new, tmp, mail, user00 */
	assert_int_equal(found.n_changed, 4);
	assert_int_equal(found.n_entries, 86);
	assert_int_equal(found.n_changed_bytes, 5);
	cop_object_free(object);
}

static void what_cannot_be_read_is_an_error(void **state)
{
	struct scratch *scratch = *state;
	const char *path;
	struct cop_object *object;
	struct cop_error err = {};

	if (is_root())
		skip_because("root may read everything");
	commit_small(scratch, "base", "text");
	object = grow(scratch, "base", &path);
	write_file(path, "dark", "something");
	assert_int_equal(chmod(join(path, "dark"), 0), 0);
	assert_ok(cop_object_write_end(object, &err), &err);
	assert_fails(cop_store_commit(scratch->store, object, "result", NULL, &err),
		     -EACCES, &err);
	assert_non_null(strstr(err.message, "dark"));
	cop_object_free(object);
}

static int run_all(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)
		TEST(an_untouched_view_commits_to_its_base),
		TEST(an_untouched_view_commits_to_its_base_again_and_again),
		TEST(as_root_everything_comes_out),
		TEST(every_change_gives_what_a_scan_of_the_directory_gives),
		TEST(changes_after_changes_need_no_new_layout),
		TEST(marks_of_whiteouts_stay_what_they_were_taken_for),
		TEST(an_overwrite_right_after_the_layout_is_noticed),
		TEST(an_overwrite_right_after_a_commit_is_noticed),
		TEST(a_plain_users_changes_are_merged),
		TEST(a_plain_users_second_commit_keeps_what_the_first_kept),
		TEST(a_file_in_the_place_of_another_is_new),
		TEST(a_mode_that_did_not_come_out_is_not_changed),
		TEST(a_placeholder_is_not_written_to),
		TEST(clamping_touches_only_what_was_written),
		TEST(changes_are_counted_without_hashing),
		TEST(what_cannot_be_read_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	int failed = run_as_nobody(run_all);

	if (lacks_overlay())
		return 77;
	return run_all() + failed;
}
