/* SPDX-License-Identifier: Apache-2.0 */
/* Locking against a small archive that make-repo.sh makes and signs: no network. */
#include "testlib.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/process.h"
#include "base/text.h"
#include "recipe/world.h"

#define BASE_EPOCH 1600000000
#define SHARED_PACKAGES                            \
	"packages:\n  one: [app]\n  two: [tool]\n" \
	"  three: [other]\n"

/* "name layer mark" of each package, in the order of the lock. */
static void describe(const struct lock *lock, struct buf *text)
{
	for (size_t i = 0; i < lock->n_packages; i++)
		(void)buf_printf(text, "%s %s %s%s\n", lock->packages[i].layer,
				 lock->packages[i].name, lock->packages[i].version,
				 lock->packages[i].manual ? " manual" : "");
}

#define BASE_TEXT                                        \
	"base tiny-lib 1.0\nbase tiny-core 1.0 manual\n" \
	"base tiny-required 1.0 manual\nbase usr-is-merged 1.0 manual\n"

static void each_package_is_in_the_first_layer_that_needs_it(void **state)
{
	auto_ptr(recipe) recipe = NULL;
	auto_ptr(lock) lock = NULL;
	auto_buf text = {};

	NEED_TOOLS();
	recipe = plain_recipe(*state, SHARED_PACKAGES);
	lock = solved(*state, recipe, NULL);
	describe(lock, &text);
	assert_string_equal(text.data, BASE_TEXT
			    "one shared 1.0\none app-data 1.0\none app 1.0 manual\n"
			    "two tool 1.0 manual\nthree other 1.0 manual\n");
}

static void groups_in_another_order_give_other_layers(void **state)
{
	auto_ptr(recipe) recipe = NULL;
	auto_ptr(lock) lock = NULL;
	auto_buf text = {};

	NEED_TOOLS();
	recipe = plain_recipe(*state, "packages:\n  two: [tool]\n  one: [app]\n");
	lock = solved(*state, recipe, NULL);
	describe(lock, &text);
	assert_string_equal(text.data,
			    BASE_TEXT "two shared 1.0\ntwo tool 1.0 manual\n"
				      "one app-data 1.0\none app 1.0 manual\n");
}

static void without_packages_there_is_only_the_base(void **state)
{
	auto_ptr(recipe) recipe = NULL;
	auto_ptr(lock) lock = NULL;
	auto_buf text = {};

	NEED_TOOLS();
	recipe = plain_recipe(*state, "");
	lock = solved(*state, recipe, NULL);
	describe(lock, &text);
	assert_string_equal(text.data, BASE_TEXT);
}

static void asking_for_a_base_package_changes_nothing(void **state)
{
	auto_ptr(recipe) recipe = NULL;
	auto_ptr(lock) lock = NULL;
	auto_buf text = {};

	NEED_TOOLS();
	recipe = plain_recipe(*state, "packages: [tiny-lib]\n");
	lock = solved(*state, recipe, NULL);
	describe(lock, &text);
	assert_string_equal(text.data, BASE_TEXT);
}

static void the_lock_says_where_packages_are_and_who_signed(void **state)
{
	struct world *world = *state;
	auto_ptr(recipe) recipe = NULL;
	auto_ptr(lock) lock = NULL;
	auto_ptr(lock) again = NULL;
	auto_buf text = {};
	struct cop_error err = {};

	NEED_TOOLS();
	recipe = plain_recipe(world, SHARED_PACKAGES);
	lock = solved(world, recipe, NULL);
	assert_string_equal(lock->date, "20240101T100000Z");
	assert_int_equal(lock->n_repositories, 3);
	assert_string_equal(lock->repositories[2].id, "trixie-security");
	assert_string_equal(lock->repositories[2].label, "Debian-Security");
	assert_int_equal(strlen(lock->repositories[0].keys[0]), 40);
	assert_true(text_starts_with(lock->packages[0].path, "pool/tiny-lib_1.0_"));
	assert_true(world->n_updates > 0);
	assert_true(world->ended);
	assert_ok(lock_format(lock, &text, &err), &err);
	assert_null(strstr(text.data, world->dir));
	assert_ok(lock_parse("again", text.data, text.size, &again, &err), &err);
}

static void the_time_is_that_of_the_base(void **state)
{
	auto_ptr(recipe) recipe = NULL;
	auto_ptr(lock) lock = NULL;

	NEED_TOOLS();
	/* 'shared' is newer than anything in the base. */
	recipe = plain_recipe(*state, SHARED_PACKAGES);
	lock = solved(*state, recipe, NULL);
	assert_int_equal(lock->source_epoch, BASE_EPOCH);
}

static void every_package_is_in_the_store_of_sources(void **state)
{
	struct world *world = *state;
	auto_ptr(recipe) recipe = NULL;
	auto_ptr(lock) lock = NULL;

	NEED_TOOLS();
	recipe = plain_recipe(world, SHARED_PACKAGES);
	lock = solved(world, recipe, NULL);
	for (size_t i = 0; i < lock->n_packages; i++) {
		auto_buf path = {};
		auto_close int fd = -EBADF;
		char hex[SHA256_HEX + 1];
		struct cop_error err = {};

		(void)buf_printf(&path, "%s/store/sources/org.osbuild.files/sha256:%s",
				 world->dir, lock->packages[i].sha256);
		fd = open(path.data, O_RDONLY | O_CLOEXEC);
		assert_true(fd >= 0);
		assert_ok(sha256_fd(fd, hex, &err), &err);
		assert_string_equal(hex, lock->packages[i].sha256);
	}
}

static void an_unchanged_request_needs_no_archive(void **state)
{
	struct world *world = *state;
	auto_ptr(recipe) recipe = NULL;
	auto_ptr(recipe) gone = NULL;
	auto_ptr(lock) lock = NULL;
	struct lock *none = NULL;
	struct cop_error err = {};

	NEED_TOOLS();
	recipe = plain_recipe(world, SHARED_PACKAGES);
	lock = solved(world, recipe, NULL);
	/* The mirror is no part of the request. */
	gone = make_recipe(world, "file:/nonexistent", "good.gpg",
			   SHARED_PACKAGES "hostname: other\n");
	assert_int_equal(solve(world, gone, lock, false, NULL, &none, &err), 1);
	assert_null(none);
	assert_int_equal(world->notes.size, 0);
}

static void a_wrong_key_is_refused(void **state)
{
	auto_ptr(recipe) recipe = NULL;

	NEED_TOOLS();
	recipe = make_recipe(*state, "file:", "wrong.gpg", SHARED_PACKAGES);
	refused(*state, recipe, "is not signed");
}

static void a_missing_keyring_is_named(void **state)
{
	auto_ptr(recipe) recipe = NULL;

	NEED_TOOLS();
	recipe = make_recipe(*state, "file:", "no.gpg", SHARED_PACKAGES);
	refused(*state, recipe, "keyring 'no.gpg' of '");
}

static void a_dead_mirror_is_named(void **state)
{
	auto_ptr(recipe) recipe = NULL;

	NEED_TOOLS();
	recipe = make_recipe(*state, "file:/nonexistent", "good.gpg", SHARED_PACKAGES);
	refused(*state, recipe, "read the archive of trixie: ");
	refused(*state, recipe, "/nonexistent/");
}

static void after_a_dead_mirror_the_next_is_tried(void **state)
{
	struct world *world = *state;
	auto_ptr(recipe) recipe = NULL;
	auto_ptr(lock) lock = NULL;
	auto_buf mirrors = {};

	NEED_TOOLS();
	(void)buf_printf(&mirrors, "[file:/nonexistent, file:%s/main] # ", world->dir);
	recipe = make_recipe(world, mirrors.data, "good.gpg", SHARED_PACKAGES);
	lock = solved(world, recipe, NULL);
	assert_int_equal(lock->n_packages, 9);
	assert_non_null(strstr(buf_text(&world->notes),
			       "mirror 'file:/nonexistent/' failed, trying the next"));
}

static void an_unknown_package_is_named_with_its_line(void **state)
{
	auto_ptr(recipe) recipe = NULL;

	NEED_TOOLS();
	recipe = plain_recipe(*state, "packages:\n  one: [app, tol]\n");
	refused(*state, recipe,
		"/r.yaml:6:14: package 'tol' of group 'one': Unable to "
		"locate package tol; did you mean 'tool'?");
}

static void a_virtual_package_is_refused_with_what_provides_it(void **state)
{
	auto_ptr(recipe) recipe = NULL;

	NEED_TOOLS();
	recipe = plain_recipe(*state, "packages: [mail-agent]\n");
	refused(*state, recipe,
		"/r.yaml:5:12: package 'mail-agent' of group 'packages': "
		"Unable to locate package mail-agent; it is provided by: "
		"tool");
}

static void an_unmet_dependency_is_told_in_the_words_of_apt(void **state)
{
	auto_ptr(recipe) recipe = NULL;

	NEED_TOOLS();
	recipe =
		plain_recipe(*state, "packages:\n  one: [app]\n  two: [other, broken]\n");
	refused(*state, recipe, "/r.yaml:7:16: package 'broken' of group 'two': ");
	refused(*state, recipe, "Depends: nowhere");
}

static void what_would_remove_a_base_package_is_refused(void **state)
{
	auto_ptr(recipe) recipe = NULL;

	NEED_TOOLS();
	recipe = plain_recipe(
		*state, "packages:\n  one: [app]\n  two: [evil]\n  three: [other]\n");
	refused(*state, recipe,
		"/r.yaml:7:9: package 'evil' of group 'two': it would remove "
		"'tiny-required' of the base layer");
}

static void a_damaged_package_is_refused(void **state)
{
	struct world *world = *state;
	auto_ptr(recipe) recipe = NULL;
	auto_buf command = {};
	const char *argv[] = {"sh", "-c", NULL, NULL};
	struct cop_error err = {};

	NEED_TOOLS();
	/* Of the same size, so that only its content tells. */
	(void)buf_printf(&command,
			 "printf x | dd of=$(echo %s/main/pool/other_*.deb) "
			 "bs=1 seek=500 conv=notrunc 2>/dev/null",
			 world->dir);
	argv[2] = command.data;
	assert_ok(process_check(argv, NULL, NULL, &err), &err);
	recipe = plain_recipe(world, "packages: [other]\n");
	/* The reason that follows is apt's, and not the same in each version. */
	refused(world, recipe, "fetch 'other' 1.0: no mirror has it: ");
}

static void a_pin_is_kept_while_the_archive_has_it(void **state)
{
	struct world *world = *state;
	auto_ptr(recipe) recipe = NULL;
	auto_ptr(recipe) changed = NULL;
	auto_ptr(lock) lock = NULL;
	auto_ptr(lock) next = NULL;

	NEED_TOOLS();
	recipe = plain_recipe(world, "packages: [app]\n");
	lock = solved(world, recipe, NULL);
	run_step(world, "both");
	changed = plain_recipe(world, "packages: [app, other]\n");
	next = solved(world, changed, lock);
	assert_string_equal(version_of(next, "app"), "1.0");
	assert_string_equal(version_of(next, "other"), "1.0");
	assert_int_equal(world->notes.size, 0);
}

static void a_dropped_version_is_kept_from_the_store(void **state)
{
	struct world *world = *state;
	auto_ptr(recipe) recipe = NULL;
	auto_ptr(recipe) changed = NULL;
	auto_ptr(lock) lock = NULL;
	auto_ptr(lock) next = NULL;

	NEED_TOOLS();
	recipe = plain_recipe(world, "packages: {one: [app]}\n");
	lock = solved(world, recipe, NULL);
	run_step(world, "second");
	changed = plain_recipe(world, "packages: {one: [app], two: [other]}\n");
	next = solved(world, changed, lock);
	assert_string_equal(version_of(next, "app"), "1.0");
	assert_string_equal(lock_find(next, "app")->sha256,
			    lock_find(lock, "app")->sha256);
	assert_string_equal(lock_find(next, "app")->repository, "trixie");
	assert_string_equal(buf_text(&world->notes),
			    "'app' 1.0 is no longer in the archive: kept from the store "
			    "of sources\n");
}

static void a_dropped_version_without_its_file_is_updated(void **state)
{
	struct world *world = *state;
	auto_ptr(recipe) recipe = NULL;
	auto_ptr(recipe) changed = NULL;
	auto_ptr(lock) lock = NULL;
	auto_ptr(lock) next = NULL;
	auto_buf store = {};
	struct cop_error err = {};

	NEED_TOOLS();
	recipe = plain_recipe(world, "packages: [app]\n");
	lock = solved(world, recipe, NULL);
	run_step(world, "second");
	(void)buf_printf(&store, "%s/store", world->dir);
	assert_ok(fs_remove_all(AT_FDCWD, store.data, true, &err), &err);
	changed = plain_recipe(world, "packages: [app, other]\n");
	next = solved(world, changed, lock);
	assert_string_equal(version_of(next, "app"), "2.0");
	assert_string_equal(buf_text(&world->notes),
			    "'app' 1.0 is no longer in the archive: now 2.0\n");
}

static void an_update_drops_all_pins_or_those_named(void **state)
{
	static const char *const others[] = {"shared", NULL},
				 *const app[] = {"app", NULL},
				 *const unknown[] = {"nothing", NULL};
	struct world *world = *state;
	auto_ptr(recipe) recipe = NULL;
	auto_ptr(lock) lock = NULL;
	struct cop_error err = {};
	static const struct {
		const char *const *names;
		const char *version;
	} cases[] = {{NULL, "2.0"}, {app, "2.0"}, {others, "1.0"}};

	NEED_TOOLS();
	recipe = plain_recipe(world, "packages: [app]\n");
	lock = solved(world, recipe, NULL);
	run_step(world, "both");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_ptr(lock) next = NULL;

		assert_ok(solve(world, recipe, lock, true, cases[i].names, &next, &err),
			  &err);
		assert_string_equal(version_of(next, "app"), cases[i].version);
		assert_string_equal(version_of(next, "shared"), "1.0");
	}
	{
		struct lock *none = NULL;

		assert_fails(solve(world, recipe, lock, true, unknown, &none, &err),
			     -EINVAL, &err);
	}
}

static void nothing_is_left_behind(void **state)
{
	struct world *world = *state;
	auto_ptr(recipe) recipe = NULL;
	auto_ptr(lock) lock = NULL;
	auto_buf path = {};
	auto_close int fd = -EBADF;
	char **names = NULL;
	size_t n = 0;
	struct cop_error err = {};

	NEED_TOOLS();
	(void)buf_printf(&path, "%s/tmp", world->dir);
	assert_int_equal(mkdir(path.data, 0700), 0);
	assert_int_equal(setenv("TMPDIR", path.data, 1), 0);
	recipe = plain_recipe(world, "packages: [app]\n");
	lock = solved(world, recipe, NULL);
	assert_int_equal(unsetenv("TMPDIR"), 0);
	fd = open(path.data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_ok(fs_list(fd, &names, &n, &err), &err);
	fs_list_free(names);
	assert_int_equal(n, 0);
	buf_truncate(&path, 0);
	(void)buf_printf(&path, "%s/store/sources/org.osbuild.files", world->dir);
	closep(&fd);
	fd = open(path.data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_ok(fs_list(fd, &names, &n, &err), &err);
	for (size_t i = 0; i < n; i++)
		assert_true(text_starts_with(names[i], "sha256:"));
	fs_list_free(names);
	assert_int_equal(n, lock->n_packages);
}

/* The only directory that a lock has left beside the downloads, opened. */
static int open_kept(const struct world *world)
{
	auto_buf path = {};
	auto_close int fd = -EBADF;
	char **names = NULL;
	size_t n = 0;
	int kept_fd;

	(void)buf_printf(&path, "%s/store/sources/org.coppice.apt", world->dir);
	fd = open(path.data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fs_list(fd, &names, &n, NULL), 0);
	assert_int_equal(n, 1);
	kept_fd = openat(fd, names[0], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fs_list_free(names);
	assert_true(kept_fd >= 0);
	return kept_fd;
}

static void assert_same_lock(const struct lock *a, const struct lock *b)
{
	auto_buf left = {}, right = {};
	struct cop_error err = {};

	assert_ok(lock_format(a, &left, &err), &err);
	assert_ok(lock_format(b, &right, &err), &err);
	assert_string_equal(left.data, right.data);
}

static void a_wanted_version_goes_before_the_newest_and_the_old_lock(void **state)
{
	auto_ptr(recipe) plain = NULL;
	auto_ptr(recipe) older = NULL;
	auto_ptr(recipe) newer = NULL;
	auto_ptr(recipe) none = NULL;
	auto_ptr(lock) first = NULL;
	auto_ptr(lock) second = NULL;
	auto_ptr(lock) third = NULL;
	struct world *world = *state;

	NEED_TOOLS();
	run_step(world, "both");
	plain = plain_recipe(world, "packages: [app]\n");
	older = plain_recipe(world, "packages: [app=1.*]\n");
	newer = plain_recipe(world, "packages: [app=2.0]\n");
	first = solved(world, plain, NULL);
	assert_string_equal(lock_find(first, "app")->version, "2.0");
	second = solved(world, older, first);
	assert_string_equal(lock_find(second, "app")->version, "1.0");
	third = solved(world, newer, second);
	assert_string_equal(lock_find(third, "app")->version, "2.0");
	none = plain_recipe(world, "packages: [app=3*]\n");
	refused(world, none,
		"r.yaml:5:12: package 'app' of group 'packages': no version is "
		"'3*'; there is ");
}

static void recommendations_are_followed_on_request(void **state)
{
	auto_ptr(recipe) without = NULL;
	auto_ptr(recipe) with = NULL;
	auto_ptr(lock) few = NULL;
	auto_ptr(lock) more = NULL;
	struct world *world = *state;

	NEED_TOOLS();
	without = plain_recipe(world, "packages: {one: [tool], two: [other]}\n");
	with = plain_recipe(world,
			    "packages: {one: [tool], two: [other]}\nrecommends: yes\n");
	few = solved(world, without, NULL);
	more = solved(world, with, few);
	assert_null(lock_find(few, "nice"));
	assert_non_null(lock_find(more, "nice"));
	assert_string_equal(lock_find(more, "nice")->layer, "one");
	assert_false(lock_find(more, "nice")->manual);
}

static void lists_that_were_kept_give_the_same_lock(void **state)
{
	auto_ptr(recipe) first = NULL;
	auto_ptr(recipe) recipe = NULL;
	auto_ptr(lock) before = NULL;
	auto_ptr(lock) fresh = NULL;
	auto_ptr(lock) kept = NULL;
	auto_ptr(lock) beside = NULL;
	auto_close int kept_fd = -EBADF;
	struct world *world = *state;

	NEED_TOOLS();
	first = plain_recipe(world, "packages: [other]\n");
	recipe = plain_recipe(world, SHARED_PACKAGES);
	fresh = solved(world, recipe, NULL);
	before = solved(world, first, NULL);
	kept_fd = open_kept(world);
	kept = solved(world, recipe, NULL);
	assert_same_lock(kept, fresh);
	/* While somebody has them, another one does without. */
	assert_int_equal(flock(kept_fd, LOCK_EX | LOCK_NB), 0);
	beside = solved(world, recipe, NULL);
	assert_same_lock(beside, fresh);
}

static void kept_lists_follow_the_archive(void **state)
{
	auto_ptr(recipe) recipe = NULL;
	auto_ptr(lock) before = NULL;
	auto_ptr(lock) after = NULL;
	struct world *world = *state;

	NEED_TOOLS();
	recipe = plain_recipe(world, SHARED_PACKAGES);
	before = solved(world, recipe, NULL);
	run_step(world, "second");
	after = solved(world, recipe, NULL);
	assert_string_equal(lock_find(before, "app")->version, "1.0");
	assert_string_equal(lock_find(after, "app")->version, "2.0");
	assert_string_equal(after->date, "20240102T100000Z");
}

/* A key that is no longer trusted must not live on in lists that it has signed. */
static void kept_lists_are_of_one_keyring(void **state)
{
	auto_ptr(recipe) recipe = NULL;
	auto_ptr(lock) lock = NULL;
	struct world *world = *state;
	const char *argv[] = {"sh", "-c", "cp \"$0/wrong.gpg\" \"$0/good.gpg\"",
			      world->dir, NULL};

	NEED_TOOLS();
	recipe = plain_recipe(world, SHARED_PACKAGES);
	lock = solved(world, recipe, NULL);
	assert_true(process_check(argv, NULL, NULL, NULL) >= 0);
	refused(world, recipe, "not signed");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WORLD_TEST(each_package_is_in_the_first_layer_that_needs_it),
		WORLD_TEST(groups_in_another_order_give_other_layers),
		WORLD_TEST(without_packages_there_is_only_the_base),
		WORLD_TEST(asking_for_a_base_package_changes_nothing),
		WORLD_TEST(the_lock_says_where_packages_are_and_who_signed),
		WORLD_TEST(the_time_is_that_of_the_base),
		WORLD_TEST(every_package_is_in_the_store_of_sources),
		WORLD_TEST(an_unchanged_request_needs_no_archive),
		WORLD_TEST(a_wrong_key_is_refused),
		WORLD_TEST(a_missing_keyring_is_named),
		WORLD_TEST(a_dead_mirror_is_named),
		WORLD_TEST(after_a_dead_mirror_the_next_is_tried),
		WORLD_TEST(an_unknown_package_is_named_with_its_line),
		WORLD_TEST(a_virtual_package_is_refused_with_what_provides_it),
		WORLD_TEST(an_unmet_dependency_is_told_in_the_words_of_apt),
		WORLD_TEST(what_would_remove_a_base_package_is_refused),
		WORLD_TEST(a_damaged_package_is_refused),
		WORLD_TEST(a_pin_is_kept_while_the_archive_has_it),
		WORLD_TEST(a_dropped_version_is_kept_from_the_store),
		WORLD_TEST(a_dropped_version_without_its_file_is_updated),
		WORLD_TEST(an_update_drops_all_pins_or_those_named),
		WORLD_TEST(a_wanted_version_goes_before_the_newest_and_the_old_lock),
		WORLD_TEST(recommendations_are_followed_on_request),
		WORLD_TEST(lists_that_were_kept_give_the_same_lock),
		WORLD_TEST(kept_lists_follow_the_archive),
		WORLD_TEST(kept_lists_are_of_one_keyring),
		WORLD_TEST(nothing_is_left_behind),
	};

	return cmocka_run_group_tests_name("recipe solve", tests, world_group_setup,
					   world_group_teardown);
}
