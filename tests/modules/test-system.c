/* SPDX-License-Identifier: Apache-2.0 */
/* Time zone, keyboard, language, directories and owners: what needs no chroot. */
#include "stagelib.h"

#include "modules/stages/stages.h"

static void plant(struct world *world)
{
	static const char *const dirs[] = {"tree/etc",
					   "tree/etc/default",
					   "tree/usr",
					   "tree/usr/share",
					   "tree/usr/share/zoneinfo",
					   "tree/usr/share/zoneinfo/Europe"};

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		put_dir(world, dirs[i], 0755);
	put(world, "tree/usr/share/zoneinfo/Europe/Berlin", "TZif");
	put(world, "tree/etc/passwd", "root:x:0:0::/root:/bin/sh\nweb:x:1500:1501::/:\n");
	put(world, "tree/etc/group", "root:x:0:\ndeploy:x:4000:\n");
}

static void assert_link(struct world *world, const char *path, const char *wanted)
{
	char target[256] = "";

	assert_true(readlinkat(world->fd, path, target, sizeof(target) - 1) > 0);
	assert_string_equal(target, wanted);
}

static void a_zone_is_a_link_and_a_name_where_there_was_one(void **state)
{
	struct world *world = *state;

	plant(world);
	assert_ok(stage_with(world, stage_timezone, "{'zone': 'Europe/Berlin'}"),
		  &world->err);
	assert_link(world, "tree/etc/localtime", "/usr/share/zoneinfo/Europe/Berlin");
	assert_absent(world, "tree/etc/timezone");
	put(world, "tree/etc/timezone", "Etc/UTC\n");
	assert_ok(stage_with(world, stage_timezone, "{'zone': 'Europe/Berlin'}"),
		  &world->err);
	assert_text(world, "tree/etc/timezone", "Europe/Berlin\n");
}

static void a_zone_that_the_tree_lacks_is_refused(void **state)
{
	struct world *world = *state;

	plant(world);
	assert_fails(stage_with(world, stage_timezone, "{'zone': 'Europe/Nowhere'}"),
		     -ENOENT, &world->err);
	assert_fails(stage_with(world, stage_timezone, "{'zone': 'Europe'}"), -EISDIR,
		     &world->err);
	assert_fails(stage_with(world, stage_timezone, "{'zone': '../../etc/passwd'}"),
		     -EINVAL, &world->err);
	assert_absent(world, "tree/etc/localtime");
}

static void a_keyboard_is_a_file_that_a_shell_can_read(void **state)
{
	struct world *world = *state;
	auto_buf text = {};

	plant(world);
	assert_ok(stage_with(world, stage_keyboard,
			     "{'layout': 'de', 'variant': 'nodeadkeys'}"),
		  &world->err);
	read_whole(world, "tree/etc/default/keyboard", &text);
	assert_non_null(
		strstr(text.data, "\nXKBLAYOUT=\"de\"\nXKBVARIANT=\"nodeadkeys\"\n"));
	assert_fails(stage_with(world, stage_keyboard, "{'layout': 'de$(reboot)'}"),
		     -EINVAL, &world->err);
}

static void a_built_in_language_needs_nothing_generated(void **state)
{
	struct world *world = *state;

	plant(world);
	put_link(world, "tree/etc/default/locale", "../locale.conf");
	assert_ok(stage_with(world, stage_locale, "{'languages': ['C.UTF-8']}"),
		  &world->err);
	assert_text(world, "tree/etc/locale.conf", "LANG=C.UTF-8\n");
	assert_link(world, "tree/etc/default/locale", "../locale.conf");
}

static void an_unknown_language_is_named(void **state)
{
	struct world *world = *state;

	plant(world);
	put_dir(world, "tree/usr/share/i18n", 0755);
	put(world, "tree/usr/share/i18n/SUPPORTED", "de_DE.UTF-8 UTF-8\n");
	assert_fails(stage_with(world, stage_locale, "{'languages': ['de_DE']}"), -ENOENT,
		     &world->err);
	assert_non_null(strstr(world->err.message, "'de_DE'"));
	assert_absent(world, "tree/etc/default/locale");
}

static void a_directory_gets_mode_and_owner_by_name(void **state)
{
	struct world *world = *state;
	struct stat st;

	needs_root();
	plant(world);
	assert_ok(stage_with(world, stage_directories,
			     "{'directories': [{'path': '/srv/www', 'mode': 1533, "
			     "'user': 'web', 'group': 'deploy'}]}"),
		  &world->err);
	st = stat_of(world, "tree/srv/www");
	assert_int_equal(st.st_mode & 07777, 02775);
	assert_int_equal(st.st_uid, 1500);
	assert_int_equal(st.st_gid, 4000);
	assert_int_equal(stat_of(world, "tree/srv").st_mode & 07777, 0755);
}

static void an_owner_that_the_tree_does_not_know_is_refused(void **state)
{
	struct world *world = *state;

	plant(world);
	assert_fails(
		stage_with(world, stage_directories,
			   "{'directories': [{'path': '/srv', 'user': 'nobody-here'}]}"),
		-ENOENT, &world->err);
	assert_fails(
		stage_with(
			world, stage_directories,
			"{'directories': [{'path': '/srv', 'user': 'web', 'uid': 1}]}"),
		-EINVAL, &world->err);
	assert_absent(world, "tree/srv");
}

#define T(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(a_zone_is_a_link_and_a_name_where_there_was_one),
		T(a_zone_that_the_tree_lacks_is_refused),
		T(a_keyboard_is_a_file_that_a_shell_can_read),
		T(a_built_in_language_needs_nothing_generated),
		T(an_unknown_language_is_named),
		T(a_directory_gets_mode_and_owner_by_name),
		T(an_owner_that_the_tree_does_not_know_is_refused),
	};

	return cmocka_run_group_tests_name("system", tests, NULL, NULL);
}
