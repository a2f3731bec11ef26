/* SPDX-License-Identifier: Apache-2.0 */
/* Modes against chmod itself, owners by the tree's names, links. */
#include "stagelib.h"

#include <fcntl.h>

#include "base/process.h"
#include "modules/stages/stages.h"

static unsigned int mode_of(struct world *world, const char *path)
{
	return stat_of(world, path).st_mode & 07777;
}

static void modes_are_what_chmod_makes_of_them(void **state)
{
	static const char *const modes[] = {
		"644",	"0",	   "4755",    "07777",	       "00755",
		"u+x",	"go-rwx",  "a=rX",    "u=rwx,g=rx,o=", "+x",
		"-w",	"=r",	   "g+s",     "u+s,g-s",       "+t",
		"o=u",	"g=o+w",   "u=g,g=u", "ug=rw",	       "+X",
		"a-st", "-022",	   "+7",      "=5555",	       "u=rwxs",
		"a=",	"ugo+rwx", "u+xX-w",  "g+w,g-w",       "02755",
		"u-s",	"g=",	   "=",	      "o+t",
	};
	static const mode_t before[] = {0644, 0755, 06711, 01777, 0};
	struct world *world = *state;
	char options[128], expected[128];

	(void)snprintf(expected, sizeof(expected), "%s/expected", world->path);
	put(world, "tree/x", "");
	put(world, "expected", "");
	for (int is_dir = 0; is_dir < 2; is_dir++) {
		for (size_t m = 0; m < ARRAY_SIZE(modes); m++) {
			for (size_t b = 0; b < ARRAY_SIZE(before); b++) {
				const char *argv[] = {"chmod", modes[m], "--", expected,
						      NULL};
				int status = 0;

				assert_int_equal(
					fchmodat(world->fd, "tree/x", before[b], 0), 0);
				assert_int_equal(
					fchmodat(world->fd, "expected", before[b], 0), 0);
				(void)snprintf(options, sizeof(options),
					       "{'items': {'/x': {'mode': '%s'}}}",
					       modes[m]);
				assert_ok(stage_with(world, stage_chmod, options),
					  &world->err);
				/* It also complains about the umask, but does it. */
				assert_ok(process_run(
						  &(struct process_options){.argv = argv},
						  &status, &world->err),
					  &world->err);
				if (mode_of(world, "tree/x") !=
				    mode_of(world, "expected"))
					fail_msg("%s of %o: %o, not %o", modes[m],
						 (unsigned int)before[b],
						 mode_of(world, "tree/x"),
						 mode_of(world, "expected"));
			}
		}
		(void)unlinkat(world->fd, "tree/x", is_dir ? AT_REMOVEDIR : 0);
		(void)unlinkat(world->fd, "expected", is_dir ? AT_REMOVEDIR : 0);
		if (!is_dir) {
			put_dir(world, "tree/x", 0755);
			put_dir(world, "expected", 0755);
		}
	}
}

static void what_is_no_mode_is_refused(void **state)
{
	static const char *const bad[] = {"",	  "8",	 "u",	"u+7", "77777", "x+u",
					  "u+r,", "rwx", "+r;", "+7x", "u+rg",	"644 "};
	struct world *world = *state;
	char options[128];

	put(world, "tree/x", "");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		(void)snprintf(options, sizeof(options),
			       "{'items': {'/x': {'mode': '%s'}}}", bad[i]);
		assert_fails(stage_with(world, stage_chmod, options), -EINVAL,
			     &world->err);
	}
	assert_fails(stage_with(world, stage_chmod, "{'items': {'/y': {'mode': '0'}}}"),
		     -ENOENT, &world->err);
}

static void chmod_goes_down_but_not_through_symlinks(void **state)
{
	struct world *world = *state;

	put(world, "outside", "");
	put_dir(world, "tree/d", 0755);
	put_dir(world, "tree/d/e", 0755);
	put(world, "tree/d/e/f", "");
	put(world, "tree/real", "");
	put_link(world, "tree/d/l", "/real");
	put_link(world, "tree/d/up", "../../outside");
	put_link(world, "tree/top", "/d");
	assert_ok(stage_with(world, stage_chmod,
			     "{'items': {'/top': {'mode': 'go-rx', 'recursive': true}}}"),
		  &world->err);
	assert_int_equal(mode_of(world, "tree/d"), 0700);
	assert_int_equal(mode_of(world, "tree/d/e"), 0700);
	assert_int_equal(mode_of(world, "tree/d/e/f"), 0600);
	assert_int_equal(mode_of(world, "tree/real"), 0644);
	assert_int_equal(mode_of(world, "outside"), 0644);
	assert_true(stage_with(world, stage_chmod,
			       "{'items': {'/d/up': {'mode': '0'}}}") < 0);
	assert_int_equal(mode_of(world, "outside"), 0644);
}

static bool is_root(void)
{
	if (geteuid() == 0)
		return true;
	print_message("skipped: changing owners needs root\n");
	return false;
}

static void owners_are_found_in_the_tree(void **state)
{
	struct world *world = *state;

	if (!is_root())
		return;
	put_dir(world, "tree/etc", 0755);
	put(world, "tree/etc/nsswitch.conf", "passwd: files systemd\n");
	put(world, "tree/etc/passwd", "me:x:7:8::/:/x\n12:x:13:14::/:/x\n");
	put(world, "tree/etc/group", "staff:x:50:\n");
	put(world, "tree/f", "");
	assert_ok(stage_with(world, stage_chown,
			     "{'items': {'/f': {'user': 'me', 'group': 'staff'}}}"),
		  &world->err);
	assert_int_equal(stat_of(world, "tree/f").st_uid, 7);
	assert_int_equal(stat_of(world, "tree/f").st_gid, 50);
	assert_ok(stage_with(world, stage_chown, "{'items': {'/f': {'user': '12'}}}"),
		  &world->err);
	assert_int_equal(stat_of(world, "tree/f").st_uid, 13);
	assert_int_equal(stat_of(world, "tree/f").st_gid, 50);
	assert_ok(stage_with(world, stage_chown,
			     "{'items': {'/f': {'user': '99', 'group': 98}}}"),
		  &world->err);
	assert_int_equal(stat_of(world, "tree/f").st_uid, 99);
	assert_int_equal(stat_of(world, "tree/f").st_gid, 98);
	assert_fails(stage_with(world, stage_chown, "{'items': {'/f': {'user': 'no'}}}"),
		     -ENOENT, &world->err);
	assert_fails(stage_with(world, stage_chown, "{'items': {'/f': {'user': -1}}}"),
		     -EINVAL, &world->err);
	assert_fails(stage_with(world, stage_chown,
				"{'items': {'/f': {'group': 4294967295}}}"),
		     -EINVAL, &world->err);
}

static void chown_changes_symlinks_themselves_on_its_way_down(void **state)
{
	struct world *world = *state;

	if (!is_root())
		return;
	put_dir(world, "tree/d", 0755);
	put(world, "tree/real", "");
	put(world, "outside", "");
	put_link(world, "tree/d/l", "/real");
	put_link(world, "tree/up", "../outside");
	assert_ok(stage_with(world, stage_chown,
			     "{'items': {'/d': {'user': 7, 'recursive': true}}}"),
		  &world->err);
	assert_int_equal(stat_of(world, "tree/d").st_uid, 7);
	assert_int_equal(stat_of(world, "tree/d/l").st_uid, 7);
	assert_int_equal(stat_of(world, "tree/real").st_uid, 0);
	assert_ok(stage_with(world, stage_chown, "{'items': {'/d/l': {'user': 9}}}"),
		  &world->err);
	assert_int_equal(stat_of(world, "tree/real").st_uid, 9);
	assert_int_equal(stat_of(world, "tree/d/l").st_uid, 7);
	assert_true(stage_with(world, stage_chown, "{'items': {'/up': {'user': 9}}}") <
		    0);
	assert_int_equal(stat_of(world, "outside").st_uid, 0);
}

#define LINK(more) "{'paths': [{" more "}]}"

static void symlinks_hold_what_was_said(void **state)
{
	struct world *world = *state;
	char text[64] = "";

	put_dir(world, "tree/d", 0755);
	assert_ok(stage_with(world, stage_ln,
			     LINK("'target': '../nowhere', 'symbolic': true,"
				  " 'link_name': 'tree:///d/l'")),
		  &world->err);
	assert_true(readlinkat(world->fd, "tree/d/l", text, sizeof(text) - 1) > 0);
	assert_string_equal(text, "../nowhere");
	assert_ok(stage_with(world, stage_ln,
			     LINK("'target': '/x', 'symbolic': true,"
				  " 'link_name': 'mount://m/l'")),
		  &world->err);
	assert_true(S_ISLNK(stat_of(world, "mounts/m/l").st_mode));
	assert_fails(stage_with(world, stage_ln,
				LINK("'target': '/x', 'symbolic': true,"
				     " 'link_name': 'tree:///d/l'")),
		     -EEXIST, &world->err);
	assert_fails(stage_with(world, stage_ln,
				LINK("'target': '/x', 'symbolic': true,"
				     " 'link_name': 'tree:///d/'")),
		     -EINVAL, &world->err);
}

static void hard_links_are_inside_one_root(void **state)
{
	struct world *world = *state;
	char options[256];

	put(world, "outside", "");
	put(world, "tree/f", "1");
	put_link(world, "tree/up", "..");
	(void)snprintf(options, sizeof(options),
		       LINK("'target': '%s/tree/f', 'link_name': 'tree:///a'"),
		       world->path);
	assert_ok(stage_with(world, stage_ln, options), &world->err);
	assert_ok(stage_with(world, stage_ln,
			     LINK("'target': '/f', 'link_name': 'tree:///b'")),
		  &world->err);
	assert_ok(stage_with(world, stage_ln,
			     LINK("'target': 'tree:///f', 'link_name': 'tree:///c'")),
		  &world->err);
	assert_int_equal(stat_of(world, "tree/f").st_nlink, 4);
	assert_true(stage_with(world, stage_ln,
			       LINK("'target': '/up/outside',"
				    " 'link_name': 'tree:///x'")) < 0);
	assert_true(stage_with(world, stage_ln,
			       LINK("'target': '/f', 'link_name': 'tree:///up/x'")) <= 0);
	assert_absent(world, "x");
}

#define T(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(modes_are_what_chmod_makes_of_them),
		T(what_is_no_mode_is_refused),
		T(chmod_goes_down_but_not_through_symlinks),
		T(owners_are_found_in_the_tree),
		T(chown_changes_symlinks_themselves_on_its_way_down),
		T(symlinks_hold_what_was_said),
		T(hard_links_are_inside_one_root),
	};

	(void)umask(022);
	return cmocka_run_group_tests_name("modes, owners and links", tests, NULL, NULL);
}
