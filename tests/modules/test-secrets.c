/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values that no manifest holds.  What is checked beside the result: that no message and
 * no file but the one asked for ever has a value in it.
 */
#include "stagelib.h"

#include <fcntl.h>

#include "modules/stages/stages.h"

#define HASH "$6$salt$0123456789abcdef"

/* "hash" ends with a newline, as files do; "binary" is 00 ff 0a. */
static void make_tree(struct world *world)
{
	put_dir(world, "tree/etc", 0755);
	put(world, "tree/etc/passwd",
	    "root:x:0:0:root:/root:/bin/bash\nme:x:1005:1005::/home/me:/bin/sh\n");
	put(world, "tree/etc/shadow",
	    "root:*:19000:0:99999:7:::\nme:!:19000:0:99999:7:::\n");
	put(world, "tree/etc/group", "root:x:0:\nme:x:1005:\n");
	put(world, "secrets",
	    "{\"token\": \"68756e746572\", \"binary\": \"00ff0a\", \"empty\": \"\","
	    " \"hash\": \"24362473616c7424303132333435363738396162636465660a\","
	    " \"bad\": \"zz\", \"odd\": 7}");
	world->has_secrets = true;
}

static void a_file_gets_the_secret_and_only_its_owner_may_read_it(void **state)
{
	struct world *world = *state;
	struct stat st;

	needs_root();
	make_tree(world);
	assert_ok(stage_with(world, stage_secrets,
			     "{'secrets': ['token'], 'files': [{'path': '/srv/a/token',"
			     " 'secret': 'token'}]}"),
		  &world->err);
	assert_text(world, "tree/srv/a/token", "hunter");
	st = stat_of(world, "tree/srv/a/token");
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(stat_of(world, "tree/srv/a").st_mode & 07777, 0755);
}

static void mode_and_owner_are_those_asked_for(void **state)
{
	struct world *world = *state;
	struct stat st;

	if (geteuid() != 0) {
		print_message("skipped: files are given away as root only\n");
		skip();
	}
	make_tree(world);
	put(world, "tree/etc/token", "an older one, and readable by all");
	assert_ok(
		stage_with(world, stage_secrets,
			   "{'secrets': ['token'], 'files': [{'path': '/etc/token',"
			   " 'secret': 'token', 'mode': 416, 'user': 'me', 'gid': 7}]}"),
		&world->err);
	assert_text(world, "tree/etc/token", "hunter");
	st = stat_of(world, "tree/etc/token");
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(st.st_uid, 1005);
	assert_int_equal(st.st_gid, 7);
}

static void any_bytes_can_be_a_secret(void **state)
{
	struct world *world = *state;
	auto_buf found = {};

	needs_root();
	make_tree(world);
	assert_ok(stage_with(world, stage_secrets,
			     "{'secrets': ['binary', 'empty'], 'files':"
			     " [{'path': '/b', 'secret': 'binary'},"
			     "  {'path': '/e', 'secret': 'empty'}]}"),
		  &world->err);
	read_whole(world, "tree/b", &found);
	assert_int_equal(found.size, 3);
	assert_memory_equal(found.data, "\0\xff\n", 3);
	assert_int_equal(stat_of(world, "tree/e").st_size, 0);
}

static void a_password_is_set_where_the_tree_keeps_it(void **state)
{
	struct world *world = *state;

	make_tree(world);
	assert_ok(stage_with(world, stage_secrets,
			     "{'secrets': ['hash'], 'passwords': {'me': 'hash'}}"),
		  &world->err);
	assert_text(world, "tree/etc/shadow",
		    "root:*:19000:0:99999:7:::\nme:" HASH ":19000:0:99999:7:::\n");
	assert_text(
		world, "tree/etc/passwd",
		"root:x:0:0:root:/root:/bin/bash\nme:x:1005:1005::/home/me:/bin/sh\n");
	assert_int_equal(unlinkat(world->fd, "tree/etc/shadow", 0), 0);
	assert_ok(stage_with(world, stage_secrets,
			     "{'secrets': ['hash'], 'passwords': {'me': 'hash'}}"),
		  &world->err);
	assert_text(world, "tree/etc/passwd",
		    "root:x:0:0:root:/root:/bin/bash\nme:" HASH
		    ":1005:1005::/home/me:/bin/sh\n");
}

static void what_cannot_be_done_is_one_line_without_the_value(void **state)
{
	static const struct {
		const char *options, *says;
	} cases[] = {
		{"{'secrets': ['x'], 'files': [{'path': '/a', 'secret': 'x'}]}",
		 "secret 'x' is not there"},
		{"{'secrets': ['odd'], 'files': [{'path': '/a', 'secret': 'odd'}]}",
		 "secret 'odd' is not there"},
		{"{'secrets': ['bad'], 'files': [{'path': '/a', 'secret': 'bad'}]}",
		 "secret 'bad' is damaged"},
		{"{'secrets': ['token'], 'passwords': {'me': 'token'}}",
		 "secret 'token' is no hash of a password"},
		{"{'secrets': ['hash'], 'passwords': {'nobody': 'hash'}}",
		 "the tree has no user 'nobody'"},
		{"{'secrets': ['token'], 'files': [{'path': '/a', 'secret': 'token',"
		 " 'mode': 4096}]}",
		 "mode 4096 of '/a'"},
		{"{'secrets': ['token'], 'files': [{'path': '/a', 'secret': 'token',"
		 " 'user': 'nobody'}]}",
		 "nobody"},
	};
	struct world *world = *state;

	make_tree(world);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_not_equal(stage_with(world, stage_secrets, cases[i].options),
				     0);
		assert_non_null(strstr(world->err.message, cases[i].says));
		assert_null(strchr(world->err.message, '\n'));
		assert_null(strstr(world->err.message, "hunter"));
		assert_null(strstr(world->err.message, "salt"));
		assert_absent(world, "tree/a");
	}
	assert_text(world, "tree/etc/shadow",
		    "root:*:19000:0:99999:7:::\nme:!:19000:0:99999:7:::\n");
}

static void a_secret_never_leaves_the_tree(void **state)
{
	struct world *world = *state;

	needs_root();
	make_tree(world);
	put_dir(world, "outside", 0755);
	put_link(world, "tree/srv", "../outside");
	put_link(world, "tree/last", "../outside/file");
	(void)stage_with(world, stage_secrets,
			 "{'secrets': ['token'], 'files':"
			 " [{'path': '/srv/token', 'secret': 'token'}]}");
	assert_absent(world, "outside/token");
	/* A link in the place of the file is replaced, not followed. */
	assert_ok(stage_with(world, stage_secrets,
			     "{'secrets': ['token'], 'files':"
			     " [{'path': '/last', 'secret': 'token'}]}"),
		  &world->err);
	assert_absent(world, "outside/file");
	assert_true(S_ISREG(stat_of(world, "tree/last").st_mode));
}

#define T(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_file_gets_the_secret_and_only_its_owner_may_read_it),
		T(mode_and_owner_are_those_asked_for),
		T(any_bytes_can_be_a_secret),
		T(a_password_is_set_where_the_tree_keeps_it),
		T(what_cannot_be_done_is_one_line_without_the_value),
		T(a_secret_never_leaves_the_tree),
	};

	return cmocka_run_group_tests_name("secrets", tests, NULL, NULL);
}
