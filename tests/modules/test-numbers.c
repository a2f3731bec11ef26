/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers of users and groups that came while a stage ran. */
#include "stagelib.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "modules/stages/numbers.h"

#define PASSWD "root:x:0:0::/root:/bin/sh\nold:x:105:105::/:/bin/sh\n"
#define GROUP  "root:x:0:\nusers:x:100:\nold:x:105:\n"

/* What a package would do meanwhile, in the shell and in the scratch directory. */
static const char *meanwhile;
static struct world *the_world;

static int stage(struct kit *kit)
{
	auto_ptr(numbers) numbers = NULL;
	int r = numbers_begin(kit, &numbers);

	if (r < 0)
		return r;
	run_shell(the_world, meanwhile);
	return numbers_settle(numbers);
}

static void make_tree(struct world *world)
{
	put_dir(world, "tree/etc", 0755);
	put_dir(world, "tree/srv", 0755);
	put(world, "tree/etc/passwd", PASSWD);
	put(world, "tree/etc/group", GROUP);
	the_world = world;
}

static int run(struct world *world, const char *commands, const char *options)
{
	meanwhile = commands;
	return stage_with(world, stage, options);
}

static void who_is_new_gets_the_number_of_the_lock(void **state)
{
	struct world *world = *state;

	make_tree(world);
	assert_ok(run(world,
		      "echo 'bus:x:100:101::/:/bin/sh' >> tree/etc/passwd; "
		      "echo 'far:x:1000:105::/:/bin/sh' >> tree/etc/passwd; "
		      "echo 'bus:x:101:old' >> tree/etc/group; "
		      "echo 'kvm:x:102:' >> tree/etc/group",
		      "{'numbers': {'bus': 300, 'kvm': 101, 'old': 400, 'far': 500,"
		      " 'users': 600, 'never': 700}}"),
		  &world->err);
	assert_text(world, "tree/etc/passwd",
		    PASSWD "bus:x:300:300::/:/bin/sh\nfar:x:1000:105::/:/bin/sh\n");
	assert_text(world, "tree/etc/group", GROUP "bus:x:300:old\nkvm:x:101:\n");
}

static void two_that_change_places_do_not_meet(void **state)
{
	struct world *world = *state;

	make_tree(world);
	if (geteuid() != 0) {
		print_message("skipped: giving files away needs root\n");
		return;
	}
	assert_ok(run(world,
		      "printf 'a:x:200:1::/:\\nb:x:201:1::/:\\n' >> tree/etc/passwd; "
		      "touch tree/srv/a tree/srv/b; ln tree/srv/a tree/srv/z; "
		      "chown 200 tree/srv/a; chown 201 tree/srv/b",
		      "{'numbers': {'a': 201, 'b': 200}}"),
		  &world->err);
	assert_text(world, "tree/etc/passwd", PASSWD "a:x:201:1::/:\nb:x:200:1::/:\n");
	assert_int_equal(stat_of(world, "tree/srv/a").st_uid, 201);
	assert_int_equal(stat_of(world, "tree/srv/z").st_uid, 201);
	assert_int_equal(stat_of(world, "tree/srv/b").st_uid, 200);
}

static void modes_times_capabilities_and_lists_stay(void **state)
{
	/* cap_net_raw+ep, as setcap writes it */
	static const unsigned char capability[] = {1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0,
						   0, 0, 0, 0, 0, 0,	0, 0, 0, 0};
	static const unsigned char list[] = {
		2,    0, 0, 0, 1,    0,	   6,	 0,    0xff, 0xff, 0xff, 0xff, /* owner */
		2,    0, 4, 0, 200,  0,	   0,	 0,	/* user 200 */
		4,    0, 4, 0, 0xff, 0xff, 0xff, 0xff,	/* group */
		8,    0, 4, 0, 201,  0,	   0,	 0,	/* group 201 */
		0x10, 0, 4, 0, 0xff, 0xff, 0xff, 0xff,	/* mask */
		0x20, 0, 4, 0, 0xff, 0xff, 0xff, 0xff}; /* others */
	struct world *world = *state;
	unsigned char value[64];
	auto_buf helper = {}, file = {};
	struct stat st;

	make_tree(world);
	(void)buf_printf(&helper, "%s/tree/srv/helper", world->path);
	(void)buf_printf(&file, "%s/tree/srv/file", world->path);
	put(world, "tree/srv/helper", "x");
	put(world, "tree/srv/file", "x");
	if (geteuid() != 0 ||
	    setxattr(file.data, "system.posix_acl_access", list, sizeof(list), 0) < 0) {
		print_message("skipped: this needs root and ACLs\n");
		return;
	}
	assert_int_equal(chown(helper.data, 0, 201), 0);
	assert_int_equal(chmod(helper.data, 04754), 0);
	assert_int_equal(setxattr(helper.data, "security.capability", capability,
				  sizeof(capability), 0),
			 0);
	assert_ok(run(world,
		      "touch -h -d @1500000000 tree/srv/helper; "
		      "ln -s nowhere tree/srv/link; chown -h 200:201 tree/srv/link; "
		      "echo 'bus:x:200:201::/:' >> tree/etc/passwd; "
		      "echo 'bus:x:201:' >> tree/etc/group",
		      "{'numbers': {'bus': 300}}"),
		  &world->err);
	st = stat_of(world, "tree/srv/helper");
	assert_int_equal(st.st_mode & 07777, 04754);
	assert_int_equal(st.st_gid, 300);
	assert_int_equal(st.st_mtime, 1500000000);
	assert_int_equal(
		getxattr(helper.data, "security.capability", value, sizeof(value)),
		sizeof(capability));
	assert_memory_equal(value, capability, sizeof(capability));
	st = stat_of(world, "tree/srv/link");
	assert_true(S_ISLNK(st.st_mode) && st.st_uid == 300 && st.st_gid == 300);
	assert_int_equal(
		getxattr(file.data, "system.posix_acl_access", value, sizeof(value)),
		sizeof(list));
	assert_true(value[16] == 300 - 256 && value[17] == 1);
	assert_true(value[32] == 300 - 256 && value[33] == 1);
}

static void who_is_not_in_the_lock_gets_a_number_of_its_letters(void **state)
{
	struct world *world = *state;
	auto_buf first = {}, second = {};

	make_tree(world);
	assert_ok(run(world,
		      "printf 'x1:x:100:1::/:\\nsome:x:101:1::/:\\n' >> tree/etc/passwd; "
		      "echo 'some:x:102:' >> tree/etc/group",
		      "{'numbers': {}}"),
		  &world->err);
	read_whole(world, "tree/etc/passwd", &first);
	assert_non_null(strstr(buf_text(&first), "\nsome:x:9"));
	assert_non_null(strstr(buf_text(&first), "\nx1:x:9"));
	run_shell(world, "rm tree/etc/passwd tree/etc/group");
	put(world, "tree/etc/passwd", PASSWD);
	put(world, "tree/etc/group", GROUP);
	/* In another order and with others beside it. */
	assert_ok(run(world,
		      "printf 'y:x:998:1::/:\\nsome:x:997:1::/:\\nx1:x:996:1::/:\\n' >> "
		      "tree/etc/passwd; echo 'some:x:999:' >> tree/etc/group",
		      "{'numbers': {'y': 130}}"),
		  &world->err);
	read_whole(world, "tree/etc/passwd", &second);
	assert_memory_equal(strstr(first.data, "\nsome:"), strstr(second.data, "\nsome:"),
			    strlen("\nsome:x:9xx"));
	assert_memory_equal(strstr(first.data, "\nx1:"), strstr(second.data, "\nx1:"),
			    strlen("\nx1:x:9xx"));
}

static void without_the_option_nothing_is_changed(void **state)
{
	struct world *world = *state;

	make_tree(world);
	assert_ok(run(world, "echo 'a:x:200:1::/:' >> tree/etc/passwd", "{}"),
		  &world->err);
	assert_text(world, "tree/etc/passwd", PASSWD "a:x:200:1::/:\n");
}

static void what_cannot_be_is_refused(void **state)
{
	struct world *world = *state;

	make_tree(world);
	assert_fails(run(world, ":", "{'numbers': {'a': 100}}"), -EINVAL, &world->err);
	assert_fails(run(world, ":", "{'numbers': {'a': 1000}}"), -EINVAL, &world->err);
	assert_fails(run(world, ":", "{'numbers': {'a': '200'}}"), -EINVAL, &world->err);
	assert_fails(run(world, "echo 'a:x:200:1::/:' >> tree/etc/passwd",
			 "{'numbers': {'a': 105}}"),
		     -EEXIST, &world->err);
	assert_non_null(strstr(world->err.message,
			       "user 'old' has the number 105, which the lock gave to "
			       "another"));
	assert_text(world, "tree/etc/passwd", PASSWD "a:x:200:1::/:\n");
}

#define TEST(claim) cmocka_unit_test_setup_teardown(claim, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(who_is_new_gets_the_number_of_the_lock),
		TEST(two_that_change_places_do_not_meet),
		TEST(modes_times_capabilities_and_lists_stay),
		TEST(who_is_not_in_the_lock_gets_a_number_of_its_letters),
		TEST(without_the_option_nothing_is_changed),
		TEST(what_cannot_be_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
