/* SPDX-License-Identifier: Apache-2.0 */
/* Packages laid out and noted without dpkg: dpkg itself says what has to come out. */
#include "stagelib.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/process.h"
#include "modules/stages/database.h"
#include "modules/stages/extract.h"

static const char *const all[] = {"plain",	"conf",		"with-preinst",
				  "interested", "without-sums", "leaving"};
/* The first two need nothing but to be laid out. */
#define N_SIMPLE 2

static void shell(struct world *world, const char *script)
{
	const char *const argv[] = {"/bin/sh", "-euc", script, "sh", world->path, NULL};
	auto_buf output = {};
	int r = process_check(argv, NULL, &output, &world->err);

	assert_ok(r, &world->err);
}

static void make_packages(struct world *world)
{
	const char *const argv[] = {getenv("COPPICE_MAKE_PACKAGES"), world->path, NULL};
	auto_buf output = {};

	assert_non_null(argv[0]);
	assert_ok(process_check(argv, NULL, &output, &world->err), &world->err);
}

/* Lay out @n of the packages; which of them were noted is in @ret_noted. */
static bool lay_out(struct world *world, size_t n, bool *ret_noted)
{
	struct extract_package packages[ARRAY_SIZE(all)] = {};
	auto_ptr(database) database = NULL;
	char *paths[ARRAY_SIZE(all)];
	bool overlap = false;

	for (size_t i = 0; i < n; i++) {
		assert_true(asprintf(&paths[i], "%s/%s.deb", world->path, all[i]) > 0);
		packages[i].path = paths[i];
	}
	assert_ok(extract_packages(world->tree_fd, packages, n, n, &overlap, &world->err),
		  &world->err);
	assert_ok(database_new(world->tree_fd, "amd64", &database, &world->err),
		  &world->err);
	for (size_t i = 0; i < n; i++) {
		int r = database_add(database, paths[i], &packages[i].list, &world->err);

		assert_ok(r, &world->err);
		ret_noted[i] = r > 0;
		free(paths[i]);
		buf_done(&packages[i].list);
	}
	assert_ok(database_write(database, &world->err), &world->err);
	return overlap;
}

static void dpkg_finds_what_it_would_have_written_itself(void **state)
{
	struct world *world = *state;
	bool noted[ARRAY_SIZE(all)];

	needs_root();
	make_packages(world);
	assert_false(lay_out(world, N_SIMPLE, noted));
	assert_true(noted[0] && noted[1]);
	shell(world,
	      "cd \"$1\" && mkdir -p its/var/lib/dpkg/info its/var/lib/dpkg/updates && "
	      "dpkg --print-architecture >its/var/lib/dpkg/arch && "
	      "cp its/var/lib/dpkg/arch tree/var/lib/dpkg/arch && "
	      ": >its/var/lib/dpkg/status && "
	      "dpkg --root=its --log=/dev/null --force-unsafe-io --force-depends --no-triggers --unpack "
	      "plain.deb conf.deb");
	/* Before it is configured: every file, and every part of the database but the
	 * status, whose fields dpkg sorts when it next writes it. */
	shell(world,
	      "list() { (cd \"$1\" && find . -type f ! -path './var/lib/dpkg/status*' "
	      "! -name 'lock*' ! -name Lock ! -name Unincorp ! -path ./var/lib/dpkg/available "
	      "! -name 'diversions*' ! -name 'statoverride*' ! -name '*-old' "
	      "! -path './etc/conf' ! -path ./etc/conf.d/two | sort | "
	      "xargs -d '\\n' stat -c '%n %f %U %s %Y' | "
	      "sed '/\\.list \\|format \\|arch /s/ [0-9]*$//'); }; "
	      "list \"$1/tree\" >\"$1/a\"; list \"$1/its\" >\"$1/b\"; "
	      "diff \"$1/a\" \"$1/b\" && test -s \"$1/a\"");
	/* And all of it afterwards. */
	shell(world,
	      "cd \"$1\" && for t in tree its; do "
	      "dpkg --root=$t --log=/dev/null --configure -a; "
	      "rm -f $t/var/lib/dpkg/*-old $t/var/lib/dpkg/lock* $t/var/lib/dpkg/available "
	      "$t/var/lib/dpkg/triggers/*; rm -rf $t/var/lib/dpkg/tmp.ci; "
	      "rmdir $t/var/lib/dpkg/triggers $t/var/lib/dpkg/parts 2>/dev/null || :; done; "
	      "diff -r tree its && ! find tree -name '*.dpkg-new' | grep . && "
	      "grep -q 'X-Own-Field: kept' tree/var/lib/dpkg/status && "
	      "grep -q '^ /etc/conf [0-9a-f]' tree/var/lib/dpkg/status");
	shell(world, "list() { (cd \"$1\" && find . ! -path './var*' ! -type d -printf "
		     "'%p %m %U %G %s %n %T@ %l\\n' | sort); }; "
		     "list \"$1/tree\" >\"$1/a\"; list \"$1/its\" >\"$1/b\"; "
		     "diff \"$1/a\" \"$1/b\" && grep -q same-tool \"$1/a\"");
}

static void what_dpkg_does_more_for_is_left_to_it(void **state)
{
	struct world *world = *state;
	bool noted[ARRAY_SIZE(all)];
	struct stat st;

	needs_root();
	make_packages(world);
	(void)lay_out(world, ARRAY_SIZE(all), noted);
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		assert_int_equal(noted[i], i < N_SIMPLE);
	assert_text(world, "tree/usr/share/doc/interested/README", "about interested\n");
	assert_int_equal(
		fstatat(world->tree_fd, "var/lib/dpkg/info/interested.list", &st, 0), -1);
}

static void two_packages_with_one_file_are_noticed(void **state)
{
	struct world *world = *state;
	bool noted[ARRAY_SIZE(all)];

	needs_root();
	make_packages(world);
	shell(world, "cp \"$1/plain.deb\" \"$1/conf.deb\"");
	assert_true(lay_out(world, 1, noted) == false);
	assert_ok(fs_remove_all(world->tree_fd, "var", false, &world->err), &world->err);
	assert_true(lay_out(world, 1, noted));
}

/* A directory keeps the package's time unless files were made in it. */
static void times_of_directories_are_as_dpkg_leaves_them(void **state)
{
	struct world *world = *state;
	bool noted[ARRAY_SIZE(all)];

	needs_root();
	make_packages(world);
	(void)lay_out(world, 1, noted);
	assert_int_equal(stat_of(world, "tree/usr/share/empty/deep").st_mtime,
			 1400000000);
	assert_int_equal(stat_of(world, "tree/usr").st_mtime, 1400000000);
	assert_true(stat_of(world, "tree/usr/bin").st_mtime > 1500000000);
	assert_int_equal(stat_of(world, "tree/usr/bin/other-tool").st_mtime, 1400000000);
}

#define T(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(dpkg_finds_what_it_would_have_written_itself),
		T(what_dpkg_does_more_for_is_left_to_it),
		T(two_packages_with_one_file_are_noticed),
		T(times_of_directories_are_as_dpkg_leaves_them),
	};

	return cmocka_run_group_tests_name("database", tests, NULL, NULL);
}
