/* SPDX-License-Identifier: Apache-2.0 */
/* Packages that lie beside the recipe as files. */
#include "recipe/world.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/text.h"
#include "json/json.h"

/* make-repo.sh has put mine.deb, lib.deb and app.deb there. */
static struct recipe *mine(const struct world *world, const char *packages)
{
	auto_buf rest = {};

	(void)buf_printf(&rest, "packages: %s\n", packages);
	return plain_recipe(world, rest.data);
}

static int parse(const struct world *world, const char *rest, struct recipe **ret_recipe,
		 struct cop_error *err)
{
	auto_buf path = {}, text = {};

	(void)buf_printf(&path, "%s/r.yaml", world->dir);
	(void)buf_printf(&text, "suite: trixie\n%s", rest);
	return recipe_parse(path.data, text.data, text.size, ret_recipe, err);
}

static void refuses(const struct world *world, const char *rest, const char *wanted)
{
	struct recipe *recipe = NULL;
	struct cop_error err = {};

	assert_fails(parse(world, rest, &recipe, &err), -EINVAL, &err);
	if (!strstr(err.message, wanted))
		fail_msg("'%s' is not in '%s'", wanted, err.message);
}

static void its_dependencies_are_solved_with_the_rest(void **state)
{
	struct world *world = *state;
	auto_ptr(recipe) recipe = NULL;
	auto_ptr(lock) lock = NULL;
	auto_ptr(lock) again = NULL;
	const struct lock_package *package;
	struct cop_error err = {};
	auto_buf text = {};

	NEED_TOOLS();
	/* mine depends on lib, which is a file, and on tool, which is not. */
	recipe = mine(world, "{own: [./debs/mine.deb, debs/lib.deb], rest: [app]}");
	lock = solved(world, recipe, NULL);
	package = lock_find(lock, "mine");
	assert_non_null(package);
	assert_string_equal(package->layer, "own");
	assert_string_equal(package->version, "1:0.1-2");
	assert_string_equal(package->repository, "local");
	assert_string_equal(package->path, "debs/mine.deb");
	assert_true(package->manual);
	assert_string_equal(lock_find(lock, "mine-lib")->repository, "local");
	assert_string_equal(lock_find(lock, "tool")->repository, "trixie");
	assert_string_equal(lock_find(lock, "tool")->layer, "own");
	assert_false(lock_find(lock, "tool")->manual);
	assert_int_equal(lock->n_repositories, 3);
	assert_ok(lock_format(lock, &text, &err), &err);
	assert_null(strstr(text.data, world->dir));
	assert_ok(lock_parse("again", text.data, text.size, &again, &err), &err);
}

static void a_missing_dependency_is_told_with_its_line(void **state)
{
	struct world *world = *state;
	auto_ptr(recipe) recipe = NULL;

	NEED_TOOLS();
	recipe = mine(world, "[app, debs/mine.deb]");
	refused(world, recipe, "/r.yaml:5:17: package 'mine' of group 'packages': ");
	refused(world, recipe, "Depends: mine-lib");
}

static void it_goes_before_the_archives_of_that_name(void **state)
{
	struct world *world = *state;
	auto_ptr(recipe) older = NULL;
	auto_ptr(recipe) same = NULL;
	auto_ptr(lock) first = NULL;
	auto_ptr(lock) second = NULL;

	NEED_TOOLS();
	older = mine(world, "[debs/app.deb]");
	first = solved(world, older, NULL);
	assert_string_equal(version_of(first, "app"), "0.5");
	assert_string_equal(lock_find(first, "app")->repository, "local");
	/* The very version that the archive has, with another content. */
	same = mine(world, "[debs/other.deb]");
	second = solved(world, same, NULL);
	assert_string_equal(version_of(second, "other"), "1.0");
	assert_string_equal(lock_find(second, "other")->repository, "local");
}

static void it_goes_before_what_was_locked_and_back(void **state)
{
	struct world *world = *state;
	auto_ptr(recipe) archive = NULL;
	auto_ptr(recipe) file = NULL;
	auto_ptr(lock) first = NULL;
	auto_ptr(lock) second = NULL;
	auto_ptr(lock) third = NULL;

	NEED_TOOLS();
	archive = mine(world, "[app]");
	file = mine(world, "[debs/app.deb]");
	first = solved(world, archive, NULL);
	second = solved(world, file, first);
	assert_string_equal(version_of(second, "app"), "0.5");
	assert_int_equal(world->notes.size, 0);
	third = solved(world, archive, second);
	assert_string_equal(version_of(third, "app"), "1.0");
	assert_int_equal(world->notes.size, 0);
}

static void nothing_of_the_base_is_replaced(void **state)
{
	struct world *world = *state;
	auto_ptr(recipe) recipe = NULL;

	NEED_TOOLS();
	recipe = mine(world, "[debs/base.deb]");
	refused(world, recipe,
		"/r.yaml:5:12: package 'tiny-lib' of group 'packages': the base layer "
		"has 1.0 of the archive, as for every recipe");
}

static void of_another_architecture_it_is_refused(void **state)
{
	struct world *world = *state;
	auto_ptr(recipe) recipe = NULL;

	NEED_TOOLS();
	recipe = mine(world, "[debs/alien.deb]");
	refused(world, recipe,
		"/r.yaml:5:12: package 'alien' of 'debs/alien.deb' is for "
		"s390x, not for ");
}

static void it_is_in_the_store_of_sources_by_its_checksum(void **state)
{
	struct world *world = *state;
	auto_ptr(recipe) recipe = NULL;
	auto_ptr(lock) lock = NULL;
	auto_buf path = {}, sources = {};
	struct cop_error err = {};

	NEED_TOOLS();
	recipe = mine(world, "[debs/app.deb]");
	lock = solved(world, recipe, NULL);
	(void)buf_printf(&sources, "%s/store/sources", world->dir);
	(void)buf_printf(&path, "%s/org.osbuild.files/sha256:%s", sources.data,
			 lock_find(lock, "app")->sha256);
	assert_int_equal(access(path.data, R_OK), 0);
	/* Once more, where it was collected. */
	assert_int_equal(unlink(path.data), 0);
	assert_ok(lock_bring_files(lock, recipe, sources.data, &err), &err);
	assert_int_equal(access(path.data, R_OK), 0);
}

static void another_file_than_was_locked_is_an_error(void **state)
{
	struct world *world = *state;
	auto_ptr(recipe) recipe = NULL;
	auto_ptr(recipe) changed = NULL;
	auto_ptr(lock) lock = NULL;
	auto_ptr(lock) next = NULL;
	struct lock *none = NULL;
	struct cop_error err = {};
	json_t *manifest = NULL;

	NEED_TOOLS();
	recipe = mine(world, "[debs/app.deb]");
	lock = solved(world, recipe, NULL);
	assert_int_equal(solve(world, recipe, lock, false, NULL, &none, &err), 1);
	run_shell(world, "cp \"$0/debs/app2.deb\" \"$0/debs/app.deb\"");
	changed = mine(world, "[debs/app.deb]");
	assert_true(lock_matches(lock, changed));
	assert_fails(lock_check_files(lock, changed, &err), -ESTALE, &err);
	assert_fails(recipe_manifest(changed, lock, false, &manifest, &err), -ESTALE,
		     &err);
	assert_non_null(strstr(err.message,
			       "/r.yaml:5:12: 'debs/app.deb' is not what it "
			       "was when it was locked; run 'coppice lock "));
	assert_null(manifest);
	/* Which mends it. */
	next = solved(world, changed, lock);
	assert_string_equal(version_of(next, "app"), "0.6");
	assert_ok(recipe_manifest(changed, next, false, &manifest, &err), &err);
	json_decref(manifest);
}

static void a_file_of_another_package_is_an_error(void **state)
{
	struct world *world = *state;
	auto_ptr(recipe) recipe = NULL;
	auto_ptr(recipe) changed = NULL;
	auto_ptr(lock) lock = NULL;
	struct cop_error err = {};

	NEED_TOOLS();
	recipe = mine(world, "[debs/app.deb]");
	lock = solved(world, recipe, NULL);
	run_shell(world, "cp \"$0/debs/other.deb\" \"$0/debs/app.deb\"");
	changed = mine(world, "[debs/app.deb]");
	assert_fails(lock_check_files(lock, changed, &err), -ESTALE, &err);
	assert_non_null(strstr(err.message,
			       "there is no 'debs/app.deb' any more that was "
			       "locked as package 'app'; run "));
}

static void one_that_changes_while_it_is_read_is_not_kept(void **state)
{
	struct world *world = *state;
	auto_ptr(recipe) recipe = NULL;
	auto_ptr(lock) lock = NULL;
	auto_buf sources = {};
	struct cop_error err = {};

	NEED_TOOLS();
	recipe = mine(world, "[debs/app.deb]");
	lock = solved(world, recipe, NULL);
	run_shell(world, "rm -r \"$0/store\" && printf x | dd of=\"$0/debs/app.deb\" "
			 "bs=1 seek=500 conv=notrunc 2>/dev/null");
	(void)buf_printf(&sources, "%s/store/sources", world->dir);
	assert_fails(lock_bring_files(lock, recipe, sources.data, &err), -ESTALE, &err);
	assert_non_null(
		strstr(err.message, "/debs/app.deb': it changes while it is read"));
	run_shell(world, "test -z \"$(ls -A \"$0/store/sources/org.osbuild.files\")\"");
}

static void the_manifest_says_that_it_has_no_mirror(void **state)
{
	struct world *world = *state;
	auto_ptr(recipe) recipe = NULL;
	auto_ptr(lock) lock = NULL;
	auto_json *manifest = NULL;
	struct cop_error err = {};
	json_t *source, *local;
	auto_buf text = {};

	NEED_TOOLS();
	recipe = mine(world, "[debs/app.deb]");
	lock = solved(world, recipe, NULL);
	assert_ok(recipe_manifest(recipe, lock, false, &manifest, &err), &err);
	source = json_object_get(json_object_get(manifest, "sources"), "org.coppice.deb");
	local = json_object_get(
		json_object_get(json_object_get(source, "options"), "repositories"),
		"local");
	assert_true(json_is_true(json_object_get(local, "local")));
	assert_null(json_object_get(local, "mirrors"));
	(void)buf_printf(&text, "sha256:%s", lock_find(lock, "app")->sha256);
	assert_string_equal(
		json_string_value(json_object_get(
			json_object_get(json_object_get(source, "items"), text.data),
			"path")),
		"debs/app.deb");
}

static void mistakes_are_told_with_line_and_column(void **state)
{
	struct world *world = *state;

	NEED_TOOLS();
	run_shell(world,
		  "ln -s app.deb \"$0/debs/link.deb\"; echo x >\"$0/debs/text.deb\"");
	refuses(world, "packages: [app.deb]\n",
		"/r.yaml:2:12: 'app.deb' is not a package's name (for a file beside the "
		"recipe say './app.deb')");
	refuses(world, "packages: [../app.deb]\n",
		"/r.yaml:2:12: packages: '../app.deb' is not a path below the recipe's "
		"directory");
	refuses(world, "packages: [/app.deb]\n",
		"/r.yaml:2:12: packages: '/app.deb' is not a path below the recipe's "
		"directory");
	refuses(world, "packages: [debs/none.deb]\n",
		"/r.yaml:2:12: packages: 'debs/none.deb': open 'debs/none.deb': No such "
		"file or directory");
	refuses(world, "packages: [debs/link.deb]\n",
		"/r.yaml:2:12: packages: 'debs/link.deb': open 'debs/link.deb': ");
	refuses(world, "packages: [debs/text.deb]\n",
		"/r.yaml:2:12: packages: 'debs/text.deb': ");
	refuses(world, "packages: [./debs]\n",
		"/r.yaml:2:12: packages: './debs': 'debs' is not a regular file");
	refuses(world, "packages:\n  a: [app]\n  b: [debs/app.deb]\n",
		"/r.yaml:4:7: package 'app' is given twice, first in line 3");
}

static void in_an_extending_recipe_it_takes_the_place_of_the_name(void **state)
{
	struct world *world = *state;
	auto_ptr(recipe) recipe = NULL;
	struct cop_error err = {};

	NEED_TOOLS();
	run_shell(world, "printf 'packages: {one: [app, tool]}\\n' >\"$0/base.yaml\"");
	assert_ok(parse(world,
			"extends: base.yaml\npackages: {two: [debs/app.deb, tool=1.*]}\n",
			&recipe, &err),
		  &err);
	assert_int_equal(recipe->groups[0].n_packages, 2);
	assert_int_equal(recipe->groups[1].n_packages, 0);
	assert_non_null(recipe->groups[0].packages[0].deb);
	assert_string_equal(recipe->groups[0].packages[0].version, "0.5");
	assert_string_equal(recipe->groups[0].packages[1].version, "1.*");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WORLD_TEST(its_dependencies_are_solved_with_the_rest),
		WORLD_TEST(a_missing_dependency_is_told_with_its_line),
		WORLD_TEST(it_goes_before_the_archives_of_that_name),
		WORLD_TEST(it_goes_before_what_was_locked_and_back),
		WORLD_TEST(nothing_of_the_base_is_replaced),
		WORLD_TEST(of_another_architecture_it_is_refused),
		WORLD_TEST(it_is_in_the_store_of_sources_by_its_checksum),
		WORLD_TEST(another_file_than_was_locked_is_an_error),
		WORLD_TEST(a_file_of_another_package_is_an_error),
		WORLD_TEST(one_that_changes_while_it_is_read_is_not_kept),
		WORLD_TEST(the_manifest_says_that_it_has_no_mirror),
		WORLD_TEST(mistakes_are_told_with_line_and_column),
		WORLD_TEST(in_an_extending_recipe_it_takes_the_place_of_the_name),
	};

	return cmocka_run_group_tests_name("recipe local", tests, world_group_setup,
					   world_group_teardown);
}
