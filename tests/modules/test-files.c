/* SPDX-License-Identifier: Apache-2.0 */
#include "stagelib.h"

#include <unistd.h>

#include "modules/stages/stages.h"

/* The name of a file in the input; nobody looks whether it is its checksum. */
#define SUM	    "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define FILE_(item) "{'files': [{'checksum': '" SUM "', " item "}]}"

static void files_have_their_content_and_mode(void **state)
{
	struct world *world = *state;

	needs_root();
	put(world, "input/" SUM, "hello\n");
	put_dir(world, "tree/etc", 0755);
	assert_ok(stage_with(world, stage_files, FILE_("'path': '/etc/motd'")),
		  &world->err);
	assert_text(world, "tree/etc/motd", "hello\n");
	assert_int_equal(stat_of(world, "tree/etc/motd").st_mode, S_IFREG | 0644);
	assert_ok(stage_with(world, stage_files,
			     FILE_("'path': '/etc/motd', 'mode': 2541")),
		  &world->err);
	assert_int_equal(stat_of(world, "tree/etc/motd").st_mode, S_IFREG | 04755);
}

static void missing_directories_are_made(void **state)
{
	struct world *world = *state;

	needs_root();
	put(world, "input/" SUM, "x");
	assert_ok(stage_with(world, stage_files, FILE_("'path': '/srv/a/b/c'")),
		  &world->err);
	assert_text(world, "tree/srv/a/b/c", "x");
	assert_int_equal(stat_of(world, "tree/srv/a").st_mode, S_IFDIR | 0755);
}

static void owners_are_given(void **state)
{
	struct world *world = *state;
	struct stat st;

	if (geteuid() != 0) {
		print_message("skipped: only root can give files away\n");
		skip();
	}
	put(world, "input/" SUM, "x");
	assert_ok(stage_with(world, stage_files,
			     FILE_("'path': '/a', 'uid': 33, 'gid': 34, 'mode': 2541")),
		  &world->err);
	st = stat_of(world, "tree/a");
	assert_int_equal(st.st_uid, 33);
	assert_int_equal(st.st_gid, 34);
	assert_int_equal(st.st_mode & 07777, 04755);
}

static void a_symlink_in_the_place_is_replaced_and_not_followed(void **state)
{
	struct world *world = *state;

	needs_root();
	put(world, "input/" SUM, "new");
	put(world, "tree/other", "kept");
	put_link(world, "tree/link", "other");
	assert_ok(stage_with(world, stage_files, FILE_("'path': '/link'")), &world->err);
	assert_text(world, "tree/other", "kept");
	assert_text(world, "tree/link", "new");
}

static void nothing_is_written_outside_of_the_tree(void **state)
{
	struct world *world = *state;

	put(world, "input/" SUM, "x");
	put_dir(world, "outside", 0755);
	put_link(world, "tree/etc", "../outside");
	assert_true(stage_with(world, stage_files, FILE_("'path': '/etc/motd'")) < 0);
	assert_absent(world, "outside/motd");
}

static void a_directory_in_the_place_is_named(void **state)
{
	struct world *world = *state;

	needs_root();
	put(world, "input/" SUM, "x");
	put_dir(world, "tree/etc", 0755);
	assert_fails(stage_with(world, stage_files, FILE_("'path': '/etc'")), -EISDIR,
		     &world->err);
	assert_non_null(strstr(world->err.message, "'/etc'"));
}

static void a_failure_leaves_no_temporary_file(void **state)
{
	struct world *world = *state;
	char **names = NULL;
	size_t n = 0;

	assert_fails(stage_with(world, stage_files, FILE_("'path': '/a'")), -ENOENT,
		     &world->err);
	assert_ok(fs_list(world->tree_fd, &names, &n, &world->err), &world->err);
	fs_list_free(names);
	assert_int_equal(n, 0);
}

static void options_are_checked(void **state)
{
	static const char *const bad[] = {
		"{}",
		"{'files': [{'path': '/a'}]}",
		FILE_("'path': '/a', 'mode': 4096"),
		FILE_("'path': '/a', 'mode': -1"),
		FILE_("'path': '/a', 'uid': -1"),
		FILE_("'path': '/a', 'gid': 4294967295"),
		FILE_("'path': '/a', 'owner': 1"),
		FILE_("'path': '/a/..'"),
	};
	struct world *world = *state;

	put(world, "input/" SUM, "x");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_fails(stage_with(world, stage_files, bad[i]), -EINVAL,
			     &world->err);
}

#define T(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(files_have_their_content_and_mode),
		T(missing_directories_are_made),
		T(owners_are_given),
		T(a_symlink_in_the_place_is_replaced_and_not_followed),
		T(nothing_is_written_outside_of_the_tree),
		T(a_directory_in_the_place_is_named),
		T(a_failure_leaves_no_temporary_file),
		T(options_are_checked),
	};

	return cmocka_run_group_tests_name("stage files", tests, NULL, NULL);
}
