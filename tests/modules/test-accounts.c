/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Users and groups, against what shadow's useradd, usermod and groupadd 4.13 made of the
 * same files with SOURCE_DATE_EPOCH=1700000000 (day 19675).
 */
#include "stagelib.h"

#include <fcntl.h>

#include "modules/stages/stages.h"

#define DEFS                                                                              \
	"# comment\nUID_MIN\t\t\t 1000\nUID_MAX 60000\nGID_MIN 1000\nGID_MAX 60000\n"     \
	"PASS_MAX_DAYS\t99999\nPASS_MIN_DAYS\t0\nPASS_WARN_AGE\t7\nUSERGROUPS_ENAB yes\n" \
	"UMASK 022\n"

static void make_tree(struct world *world)
{
	put_dir(world, "tree/etc", 0755);
	put_dir(world, "tree/etc/default", 0755);
	put_dir(world, "tree/etc/skel", 0755);
	put_dir(world, "tree/home", 0755);
	put(world, "tree/etc/login.defs", DEFS);
	put(world, "tree/etc/default/useradd", "# SHELL=/bin/no\nSHELL=/bin/sh\n");
	put(world, "tree/etc/skel/.bashrc", "skeleton\n");
	put(world, "tree/etc/nsswitch.conf", "passwd: files systemd\n");
	put(world, "tree/etc/passwd",
	    "root:x:0:0:root:/root:/bin/bash\nme:x:1005:1005::/home/me:/bin/sh\n");
	put(world, "tree/etc/shadow",
	    "root:*:19000:0:99999:7:::\nme:!:19000:0:99999:7:::\n");
	put(world, "tree/etc/group",
	    "root:x:0:\nsudo:x:27:me\nusers:x:100:\nme:x:1005:\n");
	put(world, "tree/etc/gshadow", "root:*::\nsudo:*::me\nusers:*::\nme:!::\n");
	put(world, "tree/etc/subuid", "");
	put(world, "tree/etc/subgid", "");
	assert_int_equal(fchmodat(world->fd, "tree/etc/shadow", 0640, 0), 0);
	world->source_epoch = 1700000000;
}

static void new_users_are_what_useradd_makes(void **state)
{
	struct world *world = *state;

	make_tree(world);
	assert_ok(stage_with(
			  world, stage_users,
			  "{'users': {'a': {},"
			  " 'b': {'uid': 2000, 'groups': ['sudo', 'users'],"
			  "  'description': 'B b', 'home': '', 'shell': '/bin/zsh',"
			  "  'password': 'xyz', 'expiredate': 100},"
			  " 'low': {'uid': 500}, 'c': {'gid': 100}, 'h': {'uid': 100}}}"),
		  &world->err);
	assert_text(world, "tree/etc/passwd",
		    "root:x:0:0:root:/root:/bin/bash\nme:x:1005:1005::/home/me:/bin/sh\n"
		    "a:x:1006:1006::/home/a:/bin/sh\nb:x:2000:2000:B b:/home/b:/bin/zsh\n"
		    "low:x:500:2001::/home/low:/bin/sh\nc:x:2001:100::/home/c:/bin/sh\n"
		    "h:x:100:2002::/home/h:/bin/sh\n");
	assert_text(world, "tree/etc/shadow",
		    "root:*:19000:0:99999:7:::\nme:!:19000:0:99999:7:::\n"
		    "a:!:19675:0:99999:7:::\nb:xyz:19675:0:99999:7::100:\n"
		    "low:!:19675:0:99999:7:::\nc:!:19675:0:99999:7:::\n"
		    "h:!:19675:0:99999:7:::\n");
	assert_text(world, "tree/etc/group",
		    "root:x:0:\nsudo:x:27:me,b\nusers:x:100:b\nme:x:1005:\na:x:1006:\n"
		    "b:x:2000:\nlow:x:2001:\nh:x:2002:\n");
	assert_text(world, "tree/etc/gshadow",
		    "root:*::\nsudo:*::me,b\nusers:*::b\nme:!::\na:!::\nb:!::\nlow:!::\n"
		    "h:!::\n");
	assert_text(world, "tree/etc/subuid",
		    "a:100000:65536\nb:165536:65536\nc:231072:65536\n");
	assert_text(world, "tree/etc/subgid",
		    "a:100000:65536\nb:165536:65536\nc:231072:65536\n");
	assert_int_equal(stat_of(world, "tree/etc/shadow").st_mode & 07777, 0640);
	assert_absent(world, "tree/home/a");
	assert_absent(world, "tree/home/b");
}

static void without_defaults_of_the_tree_useradds_own_hold(void **state)
{
	struct world *world = *state;

	make_tree(world);
	assert_int_equal(unlinkat(world->fd, "tree/etc/login.defs", 0), 0);
	assert_int_equal(unlinkat(world->fd, "tree/etc/default/useradd", 0), 0);
	assert_int_equal(unlinkat(world->fd, "tree/etc/gshadow", 0), 0);
	assert_ok(stage_with(world, stage_users, "{'users': {'q': {}}}"), &world->err);
	assert_text(world, "tree/etc/passwd",
		    "root:x:0:0:root:/root:/bin/bash\nme:x:1005:1005::/home/me:/bin/sh\n"
		    "q:x:1006:100::/home/q:/bin/bash\n");
	assert_text(
		world, "tree/etc/shadow",
		"root:*:19000:0:99999:7:::\nme:!:19000:0:99999:7:::\nq:!:19675::::::\n");
	assert_absent(world, "tree/etc/gshadow");
}

static void a_user_that_exists_is_changed_as_usermod_does(void **state)
{
	struct world *world = *state;
	char options[512];

	make_tree(world);
	(void)snprintf(options, sizeof(options),
		       "{'users': {'me': {'uid': 1005, 'gid': 100, 'groups': ['users'],"
		       " 'description': 'X', 'shell': '/bin/q', 'password': 'P',"
		       " 'expiredate': 7}}}");
	put_dir(world, "tree/home/me", 0755);
	assert_ok(stage_with(world, stage_users, options), &world->err);
	assert_text(world, "tree/etc/passwd",
		    "root:x:0:0:root:/root:/bin/bash\nme:x:1005:100:X:/home/me:/bin/q\n");
	assert_text(world, "tree/etc/shadow",
		    "root:*:19000:0:99999:7:::\nme:P:19675:0:99999:7::7:\n");
	assert_text(world, "tree/etc/group",
		    "root:x:0:\nsudo:x:27:\nusers:x:100:me\nme:x:1005:\n");
	assert_text(world, "tree/etc/gshadow",
		    "root:*::\nsudo:*::\nusers:*::me\nme:!::\n");
	assert_ok(stage_with(world, stage_users,
			     "{'users': {'me': {'force_password_reset': true}}}"),
		  &world->err);
	assert_text(world, "tree/etc/shadow",
		    "root:*:19000:0:99999:7:::\nme:P:0:0:99999:7::7:\n");
	assert_fails(stage_with(world, stage_users, "{'users': {'me': {'uid': 7}}}"),
		     -EEXIST, &world->err);
}

static void homes_come_from_the_skeleton_and_hold_the_keys(void **state)
{
	struct world *world = *state;
	char options[512];

	make_tree(world);
	/* A plain user can give files to itself only. */
	(void)snprintf(options, sizeof(options),
		       "{'users': {'n': {'uid': %u, 'gid': 100, 'home': '/srv/x/n',"
		       " 'keys': ['k1', 'k2'], 'key': 'k0'}}}",
		       (unsigned int)geteuid());
	if (geteuid() != 0) {
		print_message("skipped: giving files to a group needs root\n");
		return;
	}
	assert_ok(stage_with(world, stage_users, options), &world->err);
	assert_text(world, "tree/srv/x/n/.bashrc", "skeleton\n");
	assert_text(world, "tree/srv/x/n/.ssh/authorized_keys", "k1\nk2\nk0\n");
	assert_int_equal(stat_of(world, "tree/srv/x/n").st_gid, 100);
	assert_int_equal(stat_of(world, "tree/srv/x/n/.bashrc").st_gid, 100);
	assert_int_equal(stat_of(world, "tree/srv/x/n/.ssh").st_mode & 07777, 0700);
	assert_int_equal(stat_of(world, "tree/srv/x").st_gid, 0);
	assert_int_equal(stat_of(world, "tree/srv/x/n/.ssh/authorized_keys").st_mode &
				 07777,
			 0600);
	/* Again: the home is there, the key is one more. */
	assert_ok(stage_with(world, stage_users, "{'users': {'n': {'key': 'k4'}}}"),
		  &world->err);
	assert_text(world, "tree/srv/x/n/.ssh/authorized_keys", "k1\nk2\nk0\nk4\n");
}

static void keys_do_not_leave_the_home(void **state)
{
	struct world *world = *state;

	make_tree(world);
	put_dir(world, "outside", 0755);
	put(world, "outside/victim", "safe\n");
	put_dir(world, "tree/home/me", 0755);
	put_dir(world, "tree/home/me/.ssh", 0755);
	put_link(world, "tree/home/me/.ssh/authorized_keys",
		 "../../../../outside/victim");
	assert_true(stage_with(world, stage_users, "{'users': {'me': {'key': 'k'}}}") <
		    0);
	assert_text(world, "outside/victim", "safe\n");
	assert_int_equal(unlinkat(world->fd, "tree/home/me/.ssh/authorized_keys", 0), 0);
	assert_int_equal(unlinkat(world->fd, "tree/home/me/.ssh", AT_REMOVEDIR), 0);
	put_link(world, "tree/home/me/.ssh", "/../outside");
	assert_true(stage_with(world, stage_users, "{'users': {'me': {'key': 'k'}}}") <
		    0);
	assert_absent(world, "outside/authorized_keys");
}

static void account_files_stay_in_the_tree(void **state)
{
	struct world *world = *state;

	put_dir(world, "outside", 0755);
	put(world, "outside/passwd", "root:x:0:0::/:/bin/sh\n");
	put(world, "outside/group", "root:x:0:\n");
	put_link(world, "tree/etc", "../outside");
	assert_true(stage_with(world, stage_users, "{'users': {'a': {}}}") < 0);
	assert_true(stage_with(world, stage_groups, "{'groups': {'a': {}}}") < 0);
	assert_text(world, "outside/passwd", "root:x:0:0::/:/bin/sh\n");
	assert_text(world, "outside/group", "root:x:0:\n");
}

static void what_would_break_a_line_is_refused(void **state)
{
	static const char *const bad[] = {
		"{'users': {'a:b': {}}}",
		"{'users': {'..': {}}}",
		"{'users': {'': {}}}",
		"{'users': {'a': {'description': 'x:y'}}}",
		"{'users': {'a': {'shell': '/bin/sh\\nroot2:x:0:0::/:/bin/sh'}}}",
		"{'users': {'a': {'home': '/h:x'}}}",
		"{'users': {'a': {'password': 'a:b'}}}",
		"{'users': {'a': {'uid': -1}}}",
		"{'users': {'a': {'uid': 4294967295}}}",
		"{'users': {'a': {'uid': 1.5}}}",
		"{'users': {'a': {'key': 'k\\nk2', 'home': '/a'}}}",
		"{'users': {'a': {'expiredate': -2}}}",
		"{'users': []}",
		"{}",
	};
	struct world *world = *state;

	needs_root();
	make_tree(world);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_fails(stage_with(world, stage_users, bad[i]), -EINVAL,
			     &world->err);
	assert_fails(stage_with(world, stage_users, "{'users': {'z': {'gid': 7777}}}"),
		     -ENOENT, &world->err);
	assert_fails(
		stage_with(world, stage_users, "{'users': {'z': {'groups': ['nono']}}}"),
		-ENOENT, &world->err);
	assert_fails(stage_with(world, stage_users, "{'users': {'users': {}}}"), -EEXIST,
		     &world->err);
	assert_text(
		world, "tree/etc/passwd",
		"root:x:0:0:root:/root:/bin/bash\nme:x:1005:1005::/home/me:/bin/sh\n");
}

static void new_groups_are_what_groupadd_makes(void **state)
{
	struct world *world = *state;

	make_tree(world);
	assert_ok(
		stage_with(world, stage_groups,
			   "{'groups': {'g1': {}, 'g5': {'gid': 5}, 'g0': {'gid': 0}}}"),
		&world->err);
	assert_fails(stage_with(world, stage_groups, "{'groups': {'g1': {}}}"), -EEXIST,
		     &world->err);
	assert_fails(stage_with(world, stage_groups, "{'groups': {'g3': {'gid': 27}}}"),
		     -EEXIST, &world->err);
	assert_ok(stage_with(world, stage_groups,
			     "{'force': true, 'groups': {'g1': {}, 'g2': {'gid': 27}}}"),
		  &world->err);
	assert_text(world, "tree/etc/group",
		    "root:x:0:\nsudo:x:27:me\nusers:x:100:\nme:x:1005:\ng1:x:1006:\n"
		    "g5:x:5:\ng0:x:1007:\ng2:x:1008:\n");
	assert_text(world, "tree/etc/gshadow",
		    "root:*::\nsudo:*::me\nusers:*::\nme:!::\ng1:!::\ng5:!::\ng0:!::\n"
		    "g2:!::\n");
}

static void numbers_that_are_all_taken_are_told(void **state)
{
	struct world *world = *state;

	make_tree(world);
	assert_int_equal(unlinkat(world->fd, "tree/etc/login.defs", 0), 0);
	put(world, "tree/etc/login.defs", "GID_MIN 1004\nGID_MAX 1005\n");
	assert_ok(stage_with(world, stage_groups, "{'groups': {'gap': {}}}"),
		  &world->err);
	assert_fails(stage_with(world, stage_groups, "{'groups': {'full': {}}}"), -ENOSPC,
		     &world->err);
}

#define T(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(new_users_are_what_useradd_makes),
		T(without_defaults_of_the_tree_useradds_own_hold),
		T(a_user_that_exists_is_changed_as_usermod_does),
		T(homes_come_from_the_skeleton_and_hold_the_keys),
		T(keys_do_not_leave_the_home),
		T(account_files_stay_in_the_tree),
		T(what_would_break_a_line_is_refused),
		T(new_groups_are_what_groupadd_makes),
		T(numbers_that_are_all_taken_are_told),
	};

	return cmocka_run_group_tests_name("users and groups", tests, NULL, NULL);
}
