/* SPDX-License-Identifier: Apache-2.0 */
/* Locking as of a date: a directory per date stands for the archive of snapshots. */
#include "recipe/world.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/text.h"
#include "json/json.h"

#define FIRST  "20240101T120000Z"
#define SECOND "20240102T120000Z"

/* The archive of two dates: app 1.0 and 2.0; both have long expired. */
static void make_dates(struct world *world)
{
	run_step(world, "expired");
	run_shell(world, "mkdir \"$0/" FIRST "\" \"$0/" SECOND "\" && "
			 "cp -a \"$0/main\" \"$0/security\" \"$0/" FIRST "\"");
	run_step(world, "second");
	run_shell(world, "cp -a \"$0/main\" \"$0/security\" \"$0/" SECOND "\"");
}

static struct recipe *dated_recipe(const struct world *world, const char *mirror,
				   const char *keyring, const char *rest)
{
	auto_buf text = {};

	(void)buf_printf(&text,
			 "snapshot: file:%s/@SNAPSHOTID@/main\n"
			 "security-snapshot: file:%s/@SNAPSHOTID@/security\n%s",
			 world->dir, world->dir, rest);
	return make_recipe(world, mirror, keyring, text.data);
}

static struct lock *dated(struct world *world, const struct recipe *recipe,
			  const struct lock *previous, const char *date)
{
	struct cop_error err = {};
	struct lock *lock = NULL;

	assert_ok(solve_snapshot(world, recipe, previous, date, &lock, &err), &err);
	assert_non_null(lock);
	return lock;
}

static void each_date_has_its_versions(void **state)
{
	struct world *world = *state;
	auto_ptr(recipe) recipe = NULL;
	auto_ptr(lock) first = NULL;
	auto_ptr(lock) second = NULL;
	struct lock *none = NULL;
	struct cop_error err = {};
	auto_buf text = {};

	NEED_TOOLS();
	make_dates(world);
	/* There is no mirror but that of dates. */
	recipe =
		dated_recipe(world, "file:/nonexistent", "good.gpg", "packages: [app]\n");
	first = dated(world, recipe, NULL, FIRST);
	assert_string_equal(version_of(first, "app"), "1.0");
	assert_string_equal(first->snapshot, FIRST);
	assert_string_equal(first->date, "20240101T100000Z");
	assert_int_equal(solve_snapshot(world, recipe, first, FIRST, &none, &err), 1);
	second = dated(world, recipe, first, SECOND);
	assert_string_equal(version_of(second, "app"), "2.0");
	assert_ok(lock_format(second, &text, &err), &err);
	assert_null(strstr(text.data, world->dir));
	assert_non_null(strstr(text.data, "\nsnapshot " SECOND "\n"));
}

static void another_date_is_not_held_up_by_versions_of_before(void **state)
{
	struct world *world = *state;
	auto_ptr(recipe) recipe = NULL;
	auto_ptr(lock) now = NULL;
	auto_ptr(lock) then = NULL;

	NEED_TOOLS();
	make_dates(world);
	recipe = dated_recipe(world, "file:", "good.gpg", "packages: [app]\n");
	now = solved(world, recipe, NULL);
	assert_string_equal(version_of(now, "app"), "2.0");
	assert_null(now->snapshot);
	then = dated(world, recipe, now, FIRST);
	assert_string_equal(version_of(then, "app"), "1.0");
	assert_int_equal(world->notes.size, 0);
}

static void a_package_more_is_of_the_same_date(void **state)
{
	struct world *world = *state;
	auto_ptr(recipe) recipe = NULL;
	auto_ptr(recipe) more = NULL;
	auto_ptr(lock) first = NULL;
	auto_ptr(lock) next = NULL;

	NEED_TOOLS();
	make_dates(world);
	recipe = dated_recipe(world, "file:", "good.gpg", "packages: [other]\n");
	more = dated_recipe(world, "file:", "good.gpg", "packages: [other, app]\n");
	first = dated(world, recipe, NULL, FIRST);
	next = solved(world, more, first);
	assert_string_equal(version_of(next, "app"), "1.0");
	assert_string_equal(next->snapshot, FIRST);
}

static void an_update_leaves_the_date_and_says_so(void **state)
{
	static const char *const names[] = {"app", NULL};
	struct world *world = *state;
	auto_ptr(recipe) recipe = NULL;
	auto_ptr(lock) first = NULL;
	struct cop_error err = {};

	NEED_TOOLS();
	make_dates(world);
	recipe = dated_recipe(world, "file:", "good.gpg", "packages: [app]\n");
	first = dated(world, recipe, NULL, FIRST);
	for (int i = 0; i < 2; i++) {
		auto_ptr(lock) next = NULL;

		assert_ok(
			solve(world, recipe, first, true, i ? names : NULL, &next, &err),
			&err);
		assert_string_equal(version_of(next, "app"), "2.0");
		assert_null(next->snapshot);
		assert_non_null(strstr(buf_text(&world->notes),
				       "the lock was of the archive of " FIRST
				       ", and is now of today's\n"));
	}
}

static void what_has_expired_is_read_only_as_of_a_date(void **state)
{
	struct world *world = *state;
	auto_ptr(recipe) recipe = NULL;
	auto_ptr(lock) lock = NULL;

	NEED_TOOLS();
	make_dates(world);
	run_step(world, "expired");
	recipe = dated_recipe(world, "file:", "good.gpg", "packages: [app]\n");
	refused(world, recipe, "is expired");
	lock = dated(world, recipe, NULL, FIRST);
	assert_string_equal(version_of(lock, "app"), "1.0");
}

static void signatures_are_verified_all_the_same(void **state)
{
	struct world *world = *state;
	auto_ptr(recipe) recipe = NULL;
	struct lock *none = NULL;
	struct cop_error err = {};

	NEED_TOOLS();
	make_dates(world);
	recipe = dated_recipe(world, "file:", "wrong.gpg", "packages: [app]\n");
	assert_fails(solve_snapshot(world, recipe, NULL, FIRST, &none, &err), -EIO, &err);
	assert_non_null(strstr(err.message, "is not signed"));
}

static void a_date_that_nobody_has_is_named(void **state)
{
	struct world *world = *state;
	auto_ptr(recipe) recipe = NULL;
	struct lock *none = NULL;
	struct cop_error err = {};

	NEED_TOOLS();
	make_dates(world);
	recipe = dated_recipe(world, "file:", "good.gpg", "packages: [app]\n");
	assert_fails(solve_snapshot(world, recipe, NULL, "20200101T000000Z", &none, &err),
		     -EIO, &err);
	assert_non_null(strstr(err.message, "/20200101T000000Z/main"));
	assert_null(none);
}

/* What apt of the host is configured with; no file: the tests' own has nothing. */
static void set_host(const struct world *world, const char *conf)
{
	auto_buf path = {};
	FILE *file;

	(void)buf_printf(&path, "%s/host.conf", world->dir);
	file = fopen(path.data, "we");
	assert_non_null(file);
	(void)fprintf(file, "#clear Acquire::Snapshots;\n%s", conf);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(setenv("APT_CONFIG", path.data, 1), 0);
}

static void without_a_place_in_the_recipe_it_is_that_of_the_hosts_apt(void **state)
{
	struct world *world = *state;
	auto_ptr(recipe) recipe = NULL;
	struct lock *lock = NULL;
	struct cop_error err = {};
	auto_buf conf = {};
	int without, with;

	NEED_TOOLS();
	make_dates(world);
	(void)buf_printf(&conf,
			 "Acquire::Snapshots::URI::Origin::Debian "
			 "\"file:%s/@SNAPSHOTID@/main\";\n"
			 "Acquire::Snapshots::URI::Label::Debian-Security "
			 "\"file:%s/@SNAPSHOTID@/security\";\n",
			 world->dir, world->dir);
	recipe = plain_recipe(world, "packages: [app]\n");
	set_host(world, "");
	without = solve_snapshot(world, recipe, NULL, FIRST, &lock, &err);
	set_host(world, conf.data);
	with = solve_snapshot(world, recipe, NULL, FIRST, &lock, NULL);
	assert_int_equal(unsetenv("APT_CONFIG"), 0);
	assert_int_equal(without, -EINVAL);
	assert_non_null(strstr(err.message, "there is no 'snapshot:' that says where "
					    "snapshots are, and the host's apt has no "
					    "Acquire::Snapshots::URI::Label::Debian"));
	assert_int_equal(with, 0);
	assert_string_equal(version_of(lock, "app"), "1.0");
	lock_free(lock);
}

static void the_manifest_looks_in_the_archive_of_that_date(void **state)
{
	struct world *world = *state;
	auto_ptr(recipe) recipe = NULL;
	auto_ptr(lock) lock = NULL;
	auto_json *manifest = NULL;
	struct cop_error err = {};
	auto_buf wanted = {};
	json_t *trixie;

	NEED_TOOLS();
	make_dates(world);
	recipe = dated_recipe(world, "file:", "good.gpg", "packages: [app]\n");
	lock = dated(world, recipe, NULL, SECOND);
	assert_ok(recipe_manifest(recipe, lock, false, &manifest, &err), &err);
	assert_int_equal(json_unpack(manifest, "{s:{s:{s:{s:{s:o}}}}}", "sources",
				     "org.coppice.deb", "options", "repositories",
				     "trixie", &trixie),
			 0);
	assert_string_equal(json_string_value(json_object_get(trixie, "date")), SECOND);
	(void)buf_printf(&wanted, "file:%s/@SNAPSHOTID@/main", world->dir);
	assert_string_equal(json_string_value(json_object_get(trixie, "snapshot")),
			    wanted.data);
}

static void another_repository_may_have_dates_of_its_own(void **state)
{
	struct world *world = *state;
	auto_ptr(recipe) without = NULL;
	auto_ptr(recipe) with = NULL;
	auto_ptr(lock) now = NULL;
	auto_ptr(lock) then = NULL;
	auto_buf text = {};

	NEED_TOOLS();
	make_dates(world);
	run_shell(world, "mv \"$0/vendor\" \"$0/" FIRST "\"");
	(void)buf_printf(&text,
			 "repositories:\n- id: flat\n  baseurls: file:%s/flat\n"
			 "  suites: ./\n  gpgkeys: vendor.asc\npackages: [flat-app]\n",
			 world->dir);
	without = dated_recipe(world, "file:", "good.gpg", text.data);
	now = dated(world, without, NULL, FIRST);
	assert_string_equal(version_of(now, "flat-app"), "1.0");
	assert_string_equal(buf_text(&world->notes),
			    "repository 'flat' has no 'snapshot:', so it is read as it "
			    "is now\n");
	buf_truncate(&text, 0);
	(void)buf_printf(&text,
			 "repositories:\n- id: vendor\n  baseurls: file:/nonexistent\n"
			 "  suites: stable\n  components: main\n  gpgkeys: vendor.asc\n"
			 "  snapshot: file:%s/@SNAPSHOTID@/vendor\npackages: [gadget]\n",
			 world->dir);
	with = dated_recipe(world, "file:", "good.gpg", text.data);
	then = dated(world, with, NULL, FIRST);
	assert_string_equal(version_of(then, "gadget"), "1.0");
	assert_int_equal(world->notes.size, 0);
}

static void dates_are_written_in_some_ways(void **state)
{
	static const char *const good[][2] = {
		{"20260912T075541Z", "20260912T075541Z"},
		{"2026-09-12T07:55:41Z", "20260912T075541Z"},
		{"2026-09-12", "20260912T000000Z"},
		{"20240229", "20240229T000000Z"}};
	static const char *const bad[] = {"",
					  "yesterday",
					  "2026",
					  "20260230",
					  "2026-13-01",
					  "2026-9-12",
					  "20260912T",
					  "20260912T256060Z",
					  "20260912T075541",
					  "20260912T075541+0200"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		char date[LOCK_DATE_SIZE];
		struct cop_error err = {};

		assert_ok(lock_date(good[i][0], date, &err), &err);
		assert_string_equal(date, good[i][1]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		char date[LOCK_DATE_SIZE] = "untouched";
		struct cop_error err = {};

		assert_fails(lock_date(bad[i], date, &err), -EINVAL, &err);
		assert_string_equal(date, "untouched");
		assert_non_null(strstr(err.message, "' is not a date such as "));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WORLD_TEST(each_date_has_its_versions),
		WORLD_TEST(another_date_is_not_held_up_by_versions_of_before),
		WORLD_TEST(a_package_more_is_of_the_same_date),
		WORLD_TEST(an_update_leaves_the_date_and_says_so),
		WORLD_TEST(what_has_expired_is_read_only_as_of_a_date),
		WORLD_TEST(signatures_are_verified_all_the_same),
		WORLD_TEST(a_date_that_nobody_has_is_named),
		WORLD_TEST(without_a_place_in_the_recipe_it_is_that_of_the_hosts_apt),
		WORLD_TEST(the_manifest_looks_in_the_archive_of_that_date),
		WORLD_TEST(another_repository_may_have_dates_of_its_own),
		WORLD_TEST(dates_are_written_in_some_ways),
	};

	return cmocka_run_group_tests_name("recipe snapshot", tests, world_group_setup,
					   world_group_teardown);
}
