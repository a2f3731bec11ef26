/* SPDX-License-Identifier: Apache-2.0 */
/* What of the Debian stages needs no chroot: control files, leftovers, apt's sources. */
#include "stagelib.h"

#include "modules/stages/control.h"
#include "modules/stages/deb.h"
#include "modules/stages/leftovers.h"
#include "modules/stages/stages.h"

#define KEYRING	 "tree/usr/share/keyrings/debian-archive-keyring.gpg"
#define EXAMPLES "tree/usr/share/doc/apt/examples"

static void stanzas_are_split_at_empty_lines(void **state)
{
	const char *at = "\n\nA: 1\nB: two\n three\n\n\nA: 2";
	struct stanza stanza, value;

	(void)state;
	assert_true(stanza_next(&at, &stanza));
	assert_true(stanza_is(&stanza, "a", "1"));
	assert_true(stanza_get(&stanza, "B", &value));
	assert_int_equal(value.size, strlen("two\n three"));
	assert_true(stanza_next(&at, &stanza));
	assert_true(stanza_is(&stanza, "A", "2"));
	assert_false(stanza_get(&stanza, "B", &value));
	assert_false(stanza_next(&at, &stanza));
}

static void a_field_is_not_found_in_another_ones_value(void **state)
{
	const char *at =
		"Description: x\n Package: wrong\nPackages: no\nPackage: right\n";
	struct stanza stanza;

	(void)state;
	assert_true(stanza_next(&at, &stanza));
	assert_true(stanza_is(&stanza, "Package", "right"));
}

static void what_is_no_package_is_refused(void **state)
{
	static const char *const bad[] = {
		"", "!<arch>\n", "not an archive at all",
		("!<arch>\ndebian-binary   0           0     0  "
		 "   100644  4         `\n2.0\n")};
	struct world *world = *state;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		auto_ptr(deb) deb = NULL;
		auto_buf text = {}, path = {};
		char name[16];
		int r;

		(void)snprintf(name, sizeof(name), "p%zu", i);
		put(world, name, bad[i]);
		(void)buf_printf(&path, "%s/%s", world->path, name);
		r = deb_open(path.data, &deb, &world->err);
		if (r == 0)
			r = deb_control(deb, &text, &world->err);
		assert_int_equal(r, -EBADMSG);
	}
}

static void plant_database(struct world *world)
{
	put_dir(world, "tree/var", 0755);
	put_dir(world, "tree/var/lib", 0755);
	put_dir(world, "tree/var/lib/dpkg", 0755);
	put_dir(world, "tree/var/lib/dpkg/info", 0755);
	put_dir(world, "tree/etc", 0755);
	put_dir(world, "tree/etc/ssh", 0755);
}

static void only_what_the_run_left_is_removed(void **state)
{
	auto_ptr(leftovers) before = NULL;
	struct world *world = *state;

	plant_database(world);
	put(world, "tree/etc/ssh/ssh_host_mine", "kept");
	assert_ok(leftovers_note(world->tree_fd, &before, &world->err), &world->err);
	put(world, "tree/etc/ssh/ssh_host_new", "random");
	put(world, "tree/etc/ssh/sshd_config", "kept");
	put(world, "tree/etc/passwd-", "backup");
	put(world, "tree/etc/passwd", "kept");
	put(world, "tree/etc/machine-id", "0123456789abcdef\n");
	put(world, "tree/var/lib/dpkg/status-old", "");
	put(world, "tree/var/lib/dpkg/lock-frontend", "");
	assert_ok(leftovers_remove(world->tree_fd, before, &world->err), &world->err);
	assert_absent(world, "tree/etc/ssh/ssh_host_new");
	assert_absent(world, "tree/etc/passwd-");
	assert_absent(world, "tree/var/lib/dpkg/status-old");
	assert_absent(world, "tree/var/lib/dpkg/lock-frontend");
	assert_text(world, "tree/etc/ssh/ssh_host_mine", "kept");
	assert_text(world, "tree/etc/ssh/sshd_config", "kept");
	assert_text(world, "tree/etc/passwd", "kept");
	assert_text(world, "tree/etc/machine-id", "");
}

static void what_a_package_brought_stays(void **state)
{
	auto_ptr(leftovers) before = NULL;
	struct world *world = *state;

	plant_database(world);
	assert_ok(leftovers_note(world->tree_fd, &before, &world->err), &world->err);
	put(world, "tree/var/lib/dpkg/info/p.list",
	    "/.\n/etc/ssh\n/etc/ssh/ssh_host_p\n");
	put(world, "tree/etc/ssh/ssh_host_p", "of a package");
	put(world, "tree/etc/ssh/ssh_host_p2", "random");
	assert_ok(leftovers_remove(world->tree_fd, before, &world->err), &world->err);
	assert_text(world, "tree/etc/ssh/ssh_host_p", "of a package");
	assert_absent(world, "tree/etc/ssh/ssh_host_p2");
}

static void a_machine_id_that_was_set_before_stays(void **state)
{
	auto_ptr(leftovers) before = NULL;
	struct world *world = *state;

	plant_database(world);
	put(world, "tree/etc/machine-id", "0123456789abcdef\n");
	assert_ok(leftovers_note(world->tree_fd, &before, &world->err), &world->err);
	assert_ok(leftovers_remove(world->tree_fd, before, &world->err), &world->err);
	assert_text(world, "tree/etc/machine-id", "0123456789abcdef\n");
}

static void plant_apt(struct world *world)
{
	static const char *const dirs[] = {
		"tree/usr",	      "tree/usr/share",		"tree/usr/share/keyrings",
		"tree/usr/share/doc", "tree/usr/share/doc/apt", EXAMPLES};

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		put_dir(world, dirs[i], 0755);
	put(world, KEYRING, "key");
}

#define SOURCES "tree/etc/apt/sources.list.d/debian.sources"
#define EXPECTED                                                                     \
	"Types: deb\nURIs: http://a.example/debian\nSuites: trixie trixie-updates\n" \
	"Components: main contrib\n"                                                 \
	"Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n"              \
	"Types: deb\nURIs: http://s.example/sec\nSuites: trixie-security\n"          \
	"Components: main contrib\n"                                                 \
	"Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
#define OPTIONS "'suite': 'trixie', 'components': ['main', 'contrib']"

static void sources_take_the_trees_own_mirrors(void **state)
{
	struct world *world = *state;

	plant_apt(world);
	put(world, EXAMPLES "/debian.sources",
	    "## comment\n# URIs: http://wrong.example/\nTypes: deb\n"
	    "URIs: http://a.example/debian\n# in between\nSuites: x x-updates\n\n"
	    "Types: deb\nURIs: http://s.example/sec\nSuites: x-security\n");
	assert_ok(stage_with(world, stage_apt_sources, "{" OPTIONS "}"), &world->err);
	assert_text(world, SOURCES, EXPECTED);
}

static void sources_read_the_old_format_too(void **state)
{
	struct world *world = *state;

	plant_apt(world);
	put(world, EXAMPLES "/sources.list",
	    "# deb http://wrong.example/ x main\n"
	    "deb-src http://wrong.example/ x main\n"
	    "deb [arch=amd64 a=b] http://a.example/debian x main\n"
	    "deb http://b.example/debian x-updates main\n"
	    "deb http://s.example/sec x-security main\n");
	assert_ok(stage_with(world, stage_apt_sources, "{" OPTIONS "}"), &world->err);
	assert_text(world, SOURCES, EXPECTED);
}

static void sources_take_the_given_mirrors(void **state)
{
	struct world *world = *state;

	plant_apt(world);
	assert_ok(stage_with(world, stage_apt_sources,
			     "{" OPTIONS ", 'mirror': 'http://a.example/debian', "
			     "'security-mirror': 'http://s.example/sec'}"),
		  &world->err);
	assert_text(world, SOURCES, EXPECTED);
}

static void a_rolling_suite_has_neither_updates_nor_security(void **state)
{
	struct world *world = *state;

	plant_apt(world);
	assert_ok(stage_with(world, stage_apt_sources,
			     "{'suite': 'sid', 'components': ['main'], 'mirror': "
			     "'http://a.example/debian'}"),
		  &world->err);
	assert_text(world, SOURCES,
		    "Types: deb\nURIs: http://a.example/debian\nSuites: sid\n"
		    "Components: main\n"
		    "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n");
}

static void sources_without_mirror_or_keyring_are_refused(void **state)
{
	struct world *world = *state;

	assert_fails(stage_with(world, stage_apt_sources, "{" OPTIONS "}"), -ENOENT,
		     &world->err);
	plant_apt(world);
	assert_fails(stage_with(world, stage_apt_sources, "{" OPTIONS "}"), -ENOENT,
		     &world->err);
	assert_non_null(strstr(world->err.message, "no mirror is given"));
	assert_absent(world, SOURCES);
	assert_fails(stage_with(world, stage_apt_sources,
				"{" OPTIONS ", 'mirror': 'http://a b/'}"),
		     -EINVAL, &world->err);
}

static void unpack_refuses_names_that_are_paths(void **state)
{
	struct world *world = *state;

	assert_fails(stage_with(world, stage_deb_unpack,
				"{'architecture': 'amd64', 'packages': [{'name': 'a', "
				"'version': '1', 'architecture': 'all', 'checksum': "
				"'../x'}]}"),
		     -EINVAL, &world->err);
}

static void unpack_of_nothing_does_nothing(void **state)
{
	struct world *world = *state;

	assert_ok(stage_with(world, stage_deb_unpack,
			     "{'architecture': 'amd64', 'packages': []}"),
		  &world->err);
	assert_absent(world, "tree/var");
}

#define T(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stanzas_are_split_at_empty_lines),
		cmocka_unit_test(a_field_is_not_found_in_another_ones_value),
		T(what_is_no_package_is_refused),
		T(only_what_the_run_left_is_removed),
		T(what_a_package_brought_stays),
		T(a_machine_id_that_was_set_before_stays),
		T(sources_take_the_trees_own_mirrors),
		T(sources_read_the_old_format_too),
		T(sources_take_the_given_mirrors),
		T(a_rolling_suite_has_neither_updates_nor_security),
		T(sources_without_mirror_or_keyring_are_refused),
		T(unpack_refuses_names_that_are_paths),
		T(unpack_of_nothing_does_nothing),
	};

	return cmocka_run_group_tests_name("deb", tests, NULL, NULL);
}
