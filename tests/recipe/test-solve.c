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
#include "recipe/model.h"

#define BASE_EPOCH 1600000000
#define SHARED_PACKAGES                            \
	"packages:\n  one: [app]\n  two: [tool]\n" \
	"  three: [other]\n"

/* @dir: of the archive; @notes: what lock_solve() told; @updates: its progress calls */
struct world {
	char dir[64];
	struct buf notes;
	unsigned int n_updates;
	bool ended;
};

static bool have_tools(void)
{
	static const char *const tools[][3] = {{"gpg", "--version"},
					       {"apt-get", "--version"},
					       {"dpkg-deb", "--version"}};

	for (size_t i = 0; i < ARRAY_SIZE(tools); i++)
		if (process_check(tools[i], NULL, NULL, NULL) < 0) {
			print_message("skipped: there is no %s here\n", tools[i][0]);
			return false;
		}
	return true;
}

static void run_step(struct world *world, const char *step)
{
	const char *script = getenv("COPPICE_MAKE_REPO");
	const char *const argv[] = {"sh", script, world->dir, step, NULL};
	struct cop_error err = {};

	assert_non_null(script);
	assert_ok(process_check(argv, NULL, NULL, &err), &err);
}

/* The archive is made once; every test gets a copy. */
static struct world template;

static int group_setup(void **state)
{
	(void)state;
	(void)strcpy(template.dir, "/tmp/test-solve-XXXXXX");
	if (!mkdtemp(template.dir))
		return -1;
	if (have_tools()) {
		run_step(&template, "key");
		run_step(&template, "first");
	}
	return 0;
}

static int group_teardown(void **state)
{
	(void)state;
	return fs_remove_all(AT_FDCWD, template.dir, true, NULL);
}

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));
	const char *argv[] = {"cp", "-aT", template.dir, NULL, NULL};

	if (!world)
		return -1;
	*state = world;
	(void)strcpy(world->dir, "/tmp/test-solve-XXXXXX");
	argv[3] = world->dir;
	return mkdtemp(world->dir) && process_check(argv, NULL, NULL, NULL) >= 0 ? 0 : -1;
}

static int teardown(void **state)
{
	struct world *world = *state;

	(void)fs_remove_all(AT_FDCWD, world->dir, true, NULL);
	buf_done(&world->notes);
	free(world);
	return 0;
}

#define NEED_TOOLS()               \
	do {                       \
		if (!have_tools()) \
			skip();    \
	} while (0)

static void take_note(void *data, const char *line)
{
	(void)buf_printf(&((struct world *)data)->notes, "%s\n", line);
}

static void take_progress(void *data, const char *what, uint64_t done, uint64_t total,
			  const char *unit)
{
	struct world *world = data;

	(void)what;
	(void)unit;
	/* Two readers may call at once; only whether anything came matters. */
	__atomic_add_fetch(&world->n_updates, 1, __ATOMIC_RELAXED);
	if (done == total)
		__atomic_store_n(&world->ended, true, __ATOMIC_RELAXED);
}

static struct recipe *make_recipe(const struct world *world, const char *mirror,
				  const char *keyring, const char *rest)
{
	auto_buf text = {}, path = {};
	struct recipe *recipe = NULL;
	struct cop_error err = {};

	(void)buf_printf(&path, "%s/r.yaml", world->dir);
	(void)buf_printf(&text,
			 "suite: trixie\nmirror: %s%s/main\n"
			 "security-mirror: file:%s/security\nkeyring: %s\n%s",
			 mirror, world->dir, world->dir, keyring, rest);
	assert_ok(recipe_parse(path.data, text.data, text.size, &recipe, &err), &err);
	return recipe;
}

static struct recipe *plain_recipe(const struct world *world, const char *rest)
{
	return make_recipe(world, "file:", "good.gpg", rest);
}

static int solve(struct world *world, const struct recipe *recipe,
		 const struct lock *previous, bool update,
		 const char *const *update_packages, struct lock **ret_lock,
		 struct cop_error *err)
{
	const struct cop_progress progress = {take_progress, world};
	auto_buf sources = {};
	const struct lock_options options = {.update = update,
					     .update_packages = update_packages,
					     .progress = &progress,
					     .note = take_note,
					     .data = world};
	struct lock_options with_sources = options;

	(void)buf_printf(&sources, "%s/store/sources", world->dir);
	with_sources.sources_dir = sources.data;
	buf_truncate(&world->notes, 0);
	return lock_solve(recipe, previous, &with_sources, ret_lock, err);
}

static struct lock *solved(struct world *world, const struct recipe *recipe,
			   const struct lock *previous)
{
	struct cop_error err = {};
	struct lock *lock = NULL;

	assert_ok(solve(world, recipe, previous, false, NULL, &lock, &err), &err);
	assert_non_null(lock);
	return lock;
}

static void refused(struct world *world, const struct recipe *recipe, const char *wanted)
{
	struct cop_error err = {};
	struct lock *lock = NULL;
	int r = solve(world, recipe, NULL, false, NULL, &lock, &err);

	assert_true(r < 0);
	assert_null(lock);
	if (!strstr(err.message, wanted))
		fail_msg("'%s' is not in '%s'", wanted, err.message);
}

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
	refused(world, recipe, "fetch 'other' 1.0: no mirror has it: ");
	refused(world, recipe, "Hash Sum mismatch");
}

static const char *version_of(const struct lock *lock, const char *name)
{
	const struct lock_package *package = lock_find(lock, name);

	assert_non_null(package);
	return package->version;
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

static void a_snapshot_needs_a_place(void **state)
{
	auto_ptr(recipe) recipe = NULL;
	struct lock_options options = {.sources_dir = "unused",
				       .snapshot = "20240101T000000Z"};
	struct lock *lock = NULL;
	struct cop_error err = {};

	NEED_TOOLS();
	recipe = plain_recipe(*state, "");
	assert_fails(lock_solve(recipe, NULL, &options, &lock, &err), -EINVAL, &err);
	assert_non_null(strstr(err.message, "there is no 'snapshot:' that says where "
					    "snapshots are"));
	options.snapshot = "yesterday";
	assert_fails(lock_solve(recipe, NULL, &options, &lock, &err), -EINVAL, &err);
	assert_string_equal(err.message, "snapshot 'yesterday' is not a date such as "
					 "20260912T075541Z");
}

static void a_snapshot_is_read_from_its_place_and_recorded(void **state)
{
	struct world *world = *state;
	auto_ptr(recipe) recipe = NULL;
	auto_ptr(lock) lock = NULL;
	auto_buf rest = {}, sources = {}, link = {};
	struct lock_options options = {.snapshot = "20240101T000000Z"};
	struct lock *none = NULL;
	struct cop_error err = {};

	NEED_TOOLS();
	(void)buf_printf(&rest,
			 "snapshot: file:%s/@SNAPSHOTID@/main\n"
			 "security-snapshot: file:%s/@SNAPSHOTID@/security\n"
			 "packages: [app]\n",
			 world->dir, world->dir);
	(void)buf_printf(&link, "%s/20240101T000000Z", world->dir);
	assert_int_equal(symlink(".", link.data), 0);
	(void)buf_printf(&sources, "%s/store/sources", world->dir);
	options.sources_dir = sources.data;
	recipe = make_recipe(world, "file:/nonexistent", "good.gpg", rest.data);
	assert_ok(lock_solve(recipe, NULL, &options, &lock, &err), &err);
	assert_string_equal(lock->snapshot, "20240101T000000Z");
	assert_string_equal(version_of(lock, "app"), "1.0");
	assert_int_equal(lock_solve(recipe, lock, &options, &none, &err), 1);
	options.snapshot = "20250101T000000Z";
	assert_fails(lock_solve(recipe, lock, &options, &none, &err), -EIO, &err);
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

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

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
		TEST(each_package_is_in_the_first_layer_that_needs_it),
		TEST(groups_in_another_order_give_other_layers),
		TEST(without_packages_there_is_only_the_base),
		TEST(asking_for_a_base_package_changes_nothing),
		TEST(the_lock_says_where_packages_are_and_who_signed),
		TEST(the_time_is_that_of_the_base),
		TEST(every_package_is_in_the_store_of_sources),
		TEST(an_unchanged_request_needs_no_archive),
		TEST(a_wrong_key_is_refused),
		TEST(a_missing_keyring_is_named),
		TEST(a_dead_mirror_is_named),
		TEST(after_a_dead_mirror_the_next_is_tried),
		TEST(an_unknown_package_is_named_with_its_line),
		TEST(a_virtual_package_is_refused_with_what_provides_it),
		TEST(an_unmet_dependency_is_told_in_the_words_of_apt),
		TEST(what_would_remove_a_base_package_is_refused),
		TEST(a_damaged_package_is_refused),
		TEST(a_pin_is_kept_while_the_archive_has_it),
		TEST(a_dropped_version_is_kept_from_the_store),
		TEST(a_dropped_version_without_its_file_is_updated),
		TEST(an_update_drops_all_pins_or_those_named),
		TEST(a_snapshot_needs_a_place),
		TEST(a_snapshot_is_read_from_its_place_and_recorded),
		TEST(a_wanted_version_goes_before_the_newest_and_the_old_lock),
		TEST(recommendations_are_followed_on_request),
		TEST(lists_that_were_kept_give_the_same_lock),
		TEST(kept_lists_follow_the_archive),
		TEST(kept_lists_are_of_one_keyring),
		TEST(nothing_is_left_behind),
	};

	return cmocka_run_group_tests_name("recipe solve", tests, group_setup,
					   group_teardown);
}
