/* SPDX-License-Identifier: Apache-2.0 */
#include "stagelib.h"

#include <fcntl.h>
#include <sys/xattr.h>

#include "modules/stages/stages.h"

#define COPY(from, to) "{'paths': [{'from': '" from "', 'to': '" to "'}]}"

static void a_file_goes_under_the_name_that_is_given(void **state)
{
	struct world *world = *state;

	put(world, "input/a", "text");
	assert_ok(stage_with(world, stage_copy, COPY("input://tree/a", "tree:///b")),
		  &world->err);
	assert_text(world, "tree/b", "text");
}

static void a_file_goes_into_a_directory_that_is_there(void **state)
{
	struct world *world = *state;

	put(world, "input/a", "text");
	put_dir(world, "tree/d", 0755);
	assert_ok(stage_with(world, stage_copy, COPY("input://tree/a", "tree:///d")),
		  &world->err);
	assert_ok(stage_with(world, stage_copy, COPY("input://tree/a", "tree:///d/")),
		  &world->err);
	assert_text(world, "tree/d/a", "text");
}

static void a_slash_at_the_end_of_the_destination_demands_a_directory(void **state)
{
	struct world *world = *state;

	put(world, "input/a", "text");
	assert_fails(stage_with(world, stage_copy, COPY("input://tree/a", "tree:///d/")),
		     -ENOENT, &world->err);
	assert_absent(world, "tree/d");
}

static void a_slash_at_the_end_of_the_source_means_its_content(void **state)
{
	struct world *world = *state;

	put_dir(world, "input/d", 0750);
	put(world, "input/d/a", "1");
	put_dir(world, "input/d/sub", 0700);
	put(world, "input/d/sub/b", "2");
	assert_ok(stage_with(world, stage_copy, COPY("input://tree/d/", "tree:///new")),
		  &world->err);
	assert_text(world, "tree/new/a", "1");
	assert_text(world, "tree/new/sub/b", "2");
	assert_int_equal(stat_of(world, "tree/new").st_mode & 07777, 0750);
	assert_ok(stage_with(world, stage_copy, COPY("input://tree/", "tree:///")),
		  &world->err);
	assert_text(world, "tree/d/a", "1");
}

static void a_directory_is_copied_with_its_name(void **state)
{
	struct world *world = *state;

	put_dir(world, "input/d", 0750);
	put(world, "input/d/a", "1");
	put_dir(world, "tree/there", 0755);
	assert_ok(stage_with(world, stage_copy, COPY("input://tree/d", "tree:///there")),
		  &world->err);
	assert_text(world, "tree/there/d/a", "1");
	assert_ok(stage_with(world, stage_copy, COPY("input://tree/d", "tree:///x")),
		  &world->err);
	assert_text(world, "tree/x/a", "1");
}

static void modes_and_times_are_kept(void **state)
{
	const struct timespec times[2] = {{.tv_sec = 11}, {.tv_sec = 22, .tv_nsec = 33}};
	struct world *world = *state;
	struct stat st;

	put(world, "input/a", "text");
	assert_int_equal(fchmodat(world->fd, "input/a", 04711, 0), 0);
	assert_int_equal(utimensat(world->fd, "input/a", times, 0), 0);
	assert_ok(stage_with(world, stage_copy, COPY("input://tree/a", "tree:///b")),
		  &world->err);
	st = stat_of(world, "tree/b");
	assert_int_equal(st.st_mode & 07777, 04711);
	assert_int_equal(st.st_mtim.tv_sec, 22);
	assert_int_equal(st.st_mtim.tv_nsec, 33);
}

static void hard_links_stay_links(void **state)
{
	struct world *world = *state;

	put(world, "input/a", "text");
	assert_int_equal(linkat(world->input_fd, "a", world->input_fd, "b", 0), 0);
	assert_ok(stage_with(world, stage_copy, COPY("input://tree/", "tree:///")),
		  &world->err);
	assert_int_equal(stat_of(world, "tree/a").st_nlink, 2);
	assert_int_equal(stat_of(world, "tree/a").st_ino,
			 stat_of(world, "tree/b").st_ino);
}

static void a_symlink_is_copied_not_followed(void **state)
{
	struct world *world = *state;
	char target[32] = "";

	put_link(world, "input/l", "/etc/passwd");
	assert_ok(stage_with(world, stage_copy, COPY("input://tree/l", "tree:///l")),
		  &world->err);
	assert_true(readlinkat(world->tree_fd, "l", target, sizeof(target) - 1) > 0);
	assert_string_equal(target, "/etc/passwd");
}

static void extended_attributes_are_kept(void **state)
{
	struct world *world = *state;
	auto_close int from = -EBADF, to = -EBADF;
	char value[8] = "";

	put(world, "input/a", "text");
	from = openat(world->input_fd, "a", O_RDONLY | O_CLOEXEC);
	if (fsetxattr(from, "user.test", "v", 1, 0) < 0) {
		print_message("no user xattrs in /tmp\n");
		skip();
	}
	assert_ok(stage_with(world, stage_copy, COPY("input://tree/a", "tree:///a")),
		  &world->err);
	to = openat(world->tree_fd, "a", O_RDONLY | O_CLOEXEC);
	assert_int_equal(fgetxattr(to, "user.test", value, sizeof(value)), 1);
	assert_string_equal(value, "v");
}

static void an_absolute_symlink_in_the_tree_stays_inside(void **state)
{
	struct world *world = *state;

	put(world, "input/a", "text");
	put_dir(world, "tree/real", 0755);
	put_link(world, "tree/abs", "/real");
	assert_ok(stage_with(world, stage_copy, COPY("input://tree/a", "tree:///abs/a")),
		  &world->err);
	assert_text(world, "tree/real/a", "text");
	put_link(world, "tree/up", "../../../../tmp");
	assert_fails(
		stage_with(world, stage_copy, COPY("input://tree/a", "tree:///up/a")),
		-ENOENT, &world->err);
}

static void a_symlink_in_the_input_cannot_reach_the_machine(void **state)
{
	struct world *world = *state;

	put_link(world, "input/l", "/etc");
	assert_fails(
		stage_with(world, stage_copy, COPY("input://tree/l/passwd", "tree:///p")),
		-ENOENT, &world->err);
	assert_absent(world, "tree/p");
}

static void a_symlink_as_destination_is_written_through_inside_the_tree(void **state)
{
	struct world *world = *state;

	put(world, "input/a", "new");
	put(world, "tree/old", "old");
	put_link(world, "tree/l", "/old");
	assert_ok(stage_with(world, stage_copy, COPY("input://tree/a", "tree:///l")),
		  &world->err);
	assert_text(world, "tree/old", "new");
	assert_true(S_ISLNK(stat_of(world, "tree/l").st_mode));
}

static void remove_destination_replaces_the_symlink(void **state)
{
	struct world *world = *state;

	put(world, "input/a", "new");
	put(world, "tree/old", "old");
	put_link(world, "tree/l", "old");
	assert_ok(stage_with(world, stage_copy,
			     "{'paths': [{'from': 'input://tree/a', 'to': 'tree:///l', "
			     "'remove_destination': true}]}"),
		  &world->err);
	assert_text(world, "tree/old", "old");
	assert_text(world, "tree/l", "new");
}

static void a_directory_does_not_replace_a_file(void **state)
{
	struct world *world = *state;

	put_dir(world, "input/d", 0755);
	put(world, "tree/d", "file");
	assert_fails(stage_with(world, stage_copy, COPY("input://tree/d", "tree:///d")),
		     -ENOTDIR, &world->err);
	assert_text(world, "tree/d", "file");
}

static void a_directory_cannot_be_copied_into_itself(void **state)
{
	struct world *world = *state;

	put_dir(world, "tree/a", 0755);
	put_dir(world, "tree/a/b", 0755);
	assert_fails(stage_with(world, stage_copy, COPY("tree:///a", "tree:///a/b")),
		     -EINVAL, &world->err);
	assert_absent(world, "tree/a/b/a/b/a");
}

static void a_fifo_is_copied_as_a_fifo(void **state)
{
	struct world *world = *state;

	assert_int_equal(mkfifoat(world->input_fd, "f", 0640), 0);
	assert_ok(stage_with(world, stage_copy, COPY("input://tree/f", "tree:///f")),
		  &world->err);
	assert_true(S_ISFIFO(stat_of(world, "tree/f").st_mode));
	assert_int_equal(stat_of(world, "tree/f").st_mode & 07777, 0640);
}

static void unknown_places_are_refused_by_name(void **state)
{
	struct world *world = *state;

	assert_fails(stage_with(world, stage_copy, COPY("input://nope/a", "tree:///a")),
		     -EINVAL, &world->err);
	assert_non_null(strstr(world->err.message, "unknown input 'nope'"));
	assert_fails(stage_with(world, stage_copy, COPY("mount://nope/a", "tree:///a")),
		     -EINVAL, &world->err);
	/* A mount that the engine made nothing visible of. */
	assert_fails(
		stage_with(world, stage_copy, COPY("mount://nowhere/a", "tree:///a")),
		-EINVAL, &world->err);
	assert_fails(stage_with(world, stage_copy, COPY("http://m/a", "tree:///a")),
		     -EINVAL, &world->err);
}

static void mounts_are_sources_and_destinations(void **state)
{
	struct world *world = *state;

	put(world, "input/a", "1");
	put_dir(world, "mounts/other", 0755);
	assert_ok(stage_with(world, stage_copy, COPY("input://tree/a", "mount://m/b")),
		  &world->err);
	assert_text(world, "mounts/m/b", "1");
	assert_ok(stage_with(world, stage_copy, COPY("mount://m/b", "tree:///c")),
		  &world->err);
	assert_text(world, "tree/c", "1");
	assert_ok(stage_with(world, stage_copy, COPY("tree:///c", "mount:///other/d")),
		  &world->err);
	assert_text(world, "mounts/other/d", "1");
	assert_ok(stage_with(world, stage_copy, COPY("tree:///", "mount://m/")),
		  &world->err);
	assert_text(world, "mounts/m/c", "1");
}

static void a_symlink_in_a_mount_stays_in_the_mount(void **state)
{
	struct world *world = *state;

	put(world, "input/a", "1");
	put_dir(world, "mounts/m/dir", 0755);
	put_link(world, "mounts/m/l", "/dir");
	put_link(world, "mounts/m/up", "../../tree");
	assert_ok(stage_with(world, stage_copy, COPY("input://tree/a", "mount://m/l/a")),
		  &world->err);
	assert_text(world, "mounts/m/dir/a", "1");
	assert_true(stage_with(world, stage_copy,
			       COPY("input://tree/a", "mount://m/up/a")) < 0);
	assert_absent(world, "tree/a");
}

#define T(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_file_goes_under_the_name_that_is_given),
		T(a_file_goes_into_a_directory_that_is_there),
		T(a_slash_at_the_end_of_the_destination_demands_a_directory),
		T(a_slash_at_the_end_of_the_source_means_its_content),
		T(a_directory_is_copied_with_its_name),
		T(modes_and_times_are_kept),
		T(hard_links_stay_links),
		T(a_symlink_is_copied_not_followed),
		T(extended_attributes_are_kept),
		T(an_absolute_symlink_in_the_tree_stays_inside),
		T(a_symlink_in_the_input_cannot_reach_the_machine),
		T(a_symlink_as_destination_is_written_through_inside_the_tree),
		T(remove_destination_replaces_the_symlink),
		T(a_directory_does_not_replace_a_file),
		T(a_directory_cannot_be_copied_into_itself),
		T(a_fifo_is_copied_as_a_fifo),
		T(unknown_places_are_refused_by_name),
		T(mounts_are_sources_and_destinations),
		T(a_symlink_in_a_mount_stays_in_the_mount),
	};

	return cmocka_run_group_tests_name("copy", tests, NULL, NULL);
}
