/* SPDX-License-Identifier: Apache-2.0 */
/* The stages of a few lines, and what every stage does with its arguments. */
#include "stagelib.h"

#include "modkit/users.h"
#include "modules/stages/hostname.h"
#include "modules/stages/stages.h"
#include "json/json.h"

#define MKDIR(item) "{'paths': [{" item "}]}"

static void noop_leaves_the_tree_alone(void **state)
{
	struct world *world = *state;

	assert_ok(stage_with(world, stage_noop, "{'anything': [1, 2]}"), &world->err);
	assert_int_equal(stat_of(world, "tree").st_nlink, 2);
}

static void error_ends_with_the_status_that_was_asked_for(void **state)
{
	struct world *world = *state;

	assert_int_equal(stage_with(world, stage_error, "{}"), 255);
	assert_int_equal(stage_with(world, stage_error, "{'returncode': 7}"), 7);
	assert_fails(stage_with(world, stage_error, "{'returncode': 256}"), -EINVAL,
		     &world->err);
}

static void hostname_writes_one_line(void **state)
{
	struct world *world = *state;

	assert_ok(stage_with(world, stage_hostname, "{'hostname': 'web1'}"), &world->err);
	assert_text(world, "tree/etc/hostname", "web1\n");
	assert_ok(stage_with(world, stage_hostname, "{'hostname': 'db.example'}"),
		  &world->err);
	assert_text(world, "tree/etc/hostname", "db.example\n");
}

static void hostname_does_not_follow_a_symlink_out_of_the_tree(void **state)
{
	struct world *world = *state;

	put_dir(world, "outside", 0755);
	put_link(world, "tree/etc", "../outside");
	assert_true(stage_with(world, stage_hostname, "{'hostname': 'a'}") < 0);
	assert_absent(world, "outside/hostname");
}

static void hostname_replaces_a_symlink(void **state)
{
	struct world *world = *state;

	put_dir(world, "tree/etc", 0755);
	put(world, "tree/etc/other", "kept");
	put_link(world, "tree/etc/hostname", "other");
	assert_ok(stage_with(world, stage_hostname, "{'hostname': 'a'}"), &world->err);
	assert_text(world, "tree/etc/other", "kept");
	assert_text(world, "tree/etc/hostname", "a\n");
}

static void odd_hostnames_are_refused(void **state)
{
	static const char *const bad[] = {"",	  ".",	 "a.",	"-a",	    "a-", "a b",
					  "a..b", "a_b", "a/b", "\xc3\xa4", "a\n"};
	struct cop_error err = {};
	char longest[HOSTNAME_LENGTH_MAX + 2];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_fails(hostname_check(bad[i], &err), -EINVAL, &err);
	memset(longest, 'a', sizeof(longest));
	longest[HOSTNAME_LENGTH_MAX] = '\0';
	assert_ok(hostname_check(longest, &err), &err);
	longest[HOSTNAME_LENGTH_MAX] = 'a';
	longest[HOSTNAME_LENGTH_MAX + 1] = '\0';
	assert_fails(hostname_check(longest, &err), -EINVAL, &err);
}

static void hosts_are_written_where_there_are_none(void **state)
{
	struct world *world = *state;

	assert_ok(stage_with(world, stage_hosts, "{'hostname': 'web1'}"), &world->err);
	assert_text(world, "tree/etc/hosts",
		    "127.0.0.1\tlocalhost\n127.0.1.1\tweb1\n"
		    "::1\tlocalhost ip6-localhost ip6-loopback\n"
		    "ff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n");
}

static void hosts_that_are_there_keep_every_line(void **state)
{
	struct world *world = *state;

	put_dir(world, "tree/etc", 0755);
	put(world, "tree/etc/hosts", "10.0.0.1 gate # not web1\n127.0.0.1 localhost");
	assert_ok(stage_with(world, stage_hosts, "{}"), &world->err);
	assert_text(world, "tree/etc/hosts",
		    "10.0.0.1 gate # not web1\n127.0.0.1 localhost");
	for (int i = 0; i < 2; i++) {
		assert_ok(stage_with(world, stage_hosts, "{'hostname': 'web1'}"),
			  &world->err);
		assert_text(world, "tree/etc/hosts",
			    "10.0.0.1 gate # not web1\n127.0.0.1 localhost\n"
			    "127.0.1.1\tweb1\n");
	}
}

static void mkdir_makes_one_directory_with_its_mode(void **state)
{
	struct world *world = *state;

	assert_ok(stage_with(world, stage_mkdir, MKDIR("'path': '/a', 'mode': 448")),
		  &world->err);
	assert_int_equal(stat_of(world, "tree/a").st_mode & 07777, 0700);
	assert_ok(stage_with(world, stage_mkdir, MKDIR("'path': 'b'")), &world->err);
	assert_int_equal(stat_of(world, "tree/b").st_mode & 07777, 0755);
}

static void mkdir_needs_the_parents_or_leave_to_make_them(void **state)
{
	struct world *world = *state;

	assert_fails(stage_with(world, stage_mkdir, MKDIR("'path': '/a/b/c'")), -ENOENT,
		     &world->err);
	assert_ok(stage_with(world, stage_mkdir,
			     MKDIR("'path': '/a/b/c', 'parents': true, 'mode': 448")),
		  &world->err);
	assert_int_equal(stat_of(world, "tree/a/b").st_mode & 07777, 0755);
	assert_int_equal(stat_of(world, "tree/a/b/c").st_mode & 07777, 0700);
}

static void mkdir_accepts_what_exists_only_when_told_so(void **state)
{
	struct world *world = *state;

	put_dir(world, "tree/a", 0711);
	put(world, "tree/f", "");
	assert_fails(stage_with(world, stage_mkdir, MKDIR("'path': '/a'")), -EEXIST,
		     &world->err);
	assert_ok(stage_with(world, stage_mkdir,
			     MKDIR("'path': '/a', 'exist_ok': true, 'mode': 448")),
		  &world->err);
	assert_int_equal(stat_of(world, "tree/a").st_mode & 07777, 0711);
	assert_fails(
		stage_with(world, stage_mkdir, MKDIR("'path': '/f', 'exist_ok': true")),
		-EEXIST, &world->err);
}

static void mkdir_stays_inside_the_tree(void **state)
{
	struct world *world = *state;

	put_dir(world, "outside", 0755);
	put_link(world, "tree/l", "../outside");
	assert_true(stage_with(world, stage_mkdir, MKDIR("'path': '/l/x'")) < 0);
	assert_absent(world, "outside/x");
	put_dir(world, "tree/real", 0755);
	put_link(world, "tree/abs", "/real");
	assert_ok(stage_with(world, stage_mkdir, MKDIR("'path': '/abs/x'")), &world->err);
	assert_true(S_ISDIR(stat_of(world, "tree/real/x").st_mode));
	assert_fails(stage_with(world, stage_mkdir, MKDIR("'path': '/..'")), -EINVAL,
		     &world->err);
}

static void unknown_options_are_refused(void **state)
{
	struct world *world = *state;

	assert_fails(stage_with(world, stage_hostname, "{'hostname': 'a', 'x': 1}"),
		     -EINVAL, &world->err);
	assert_fails(stage_with(world, stage_hostname, "{'hostname': 1}"), -EINVAL,
		     &world->err);
	assert_fails(stage_with(world, stage_hostname, "{}"), -EINVAL, &world->err);
}

static void a_tree_that_is_not_there_is_named(void **state)
{
	const struct kit_module module = {"org.osbuild.noop", stage_noop};
	auto_json *arguments = json_pack("{s:s}", "tree", "/nonexistent");
	struct cop_error err = {};

	(void)state;
	assert_fails(kit_run(&module, arguments, &err), -ENOENT, &err);
	assert_non_null(strstr(err.message, "/nonexistent"));
}

static void users_come_from_the_tree(void **state)
{
	struct world *world = *state;
	uid_t uid = 0;
	gid_t gid = 0;

	put_dir(world, "tree/etc", 0755);
	put(world, "tree/etc/passwd",
	    "root:x:0:0::/root:/bin/sh\nme:x:7:8::/:/x\nbad:x:y");
	put(world, "tree/etc/group", "root:x:0:\nstaff:x:50:me\n");
	assert_ok(users_find(world->tree_fd, "me", &uid, &gid, &world->err), &world->err);
	assert_int_equal(uid, 7);
	assert_int_equal(gid, 8);
	assert_ok(users_find_group(world->tree_fd, "staff", &gid, &world->err),
		  &world->err);
	assert_int_equal(gid, 50);
	assert_fails(users_find(world->tree_fd, "m", &uid, &gid, &world->err), -ENOENT,
		     &world->err);
	assert_fails(users_find(world->tree_fd, "bad", &uid, &gid, &world->err), -EBADMSG,
		     &world->err);
}

#define T(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(noop_leaves_the_tree_alone),
		T(error_ends_with_the_status_that_was_asked_for),
		T(hostname_writes_one_line),
		T(hostname_does_not_follow_a_symlink_out_of_the_tree),
		T(hostname_replaces_a_symlink),
		T(odd_hostnames_are_refused),
		T(hosts_are_written_where_there_are_none),
		T(hosts_that_are_there_keep_every_line),
		T(mkdir_makes_one_directory_with_its_mode),
		T(mkdir_needs_the_parents_or_leave_to_make_them),
		T(mkdir_accepts_what_exists_only_when_told_so),
		T(mkdir_stays_inside_the_tree),
		T(unknown_options_are_refused),
		T(a_tree_that_is_not_there_is_named),
		T(users_come_from_the_tree),
	};

	return cmocka_run_group_tests_name("small stages", tests, NULL, NULL);
}
