/* SPDX-License-Identifier: Apache-2.0 */
/* Making and opening stores. */
#include "teststore.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

static void put_format(const struct scratch *scratch, const char *text)
{
	scratch_write_text(scratch, "store/format", text);
}

static int try_open(const struct scratch *scratch, unsigned int flags,
		    struct cop_error *err)
{
	struct cop_store *store = NULL;
	int r = cop_store_open(scratch->store_path, flags, &store, err);

	cop_store_close(store);
	return r;
}

static void a_new_store_has_its_parts_and_is_private(void **state)
{
	static const char *const parts[] = {
		"objects",     "files",	       "refs/name",	 "refs/stage",
		"refs/failed", "views",	       "meta/refs/name", "meta/refs/stage",
		"meta/files",  "meta/damaged", "meta/log",	 "sources",
		"tmp",
	};
	struct scratch *scratch = *state;
	char path[128], text[64] = {};
	struct stat st;
	int fd;

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		(void)snprintf(path, sizeof(path), "store/%s", parts[i]);
		assert_int_equal(fstatat(scratch->fd, path, &st, 0), 0);
		assert_true(S_ISDIR(st.st_mode));
	}
	assert_int_equal(fstatat(scratch->fd, "store", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	fd = openat(scratch->fd, "store/format", O_RDONLY | O_CLOEXEC);
	assert_int_equal(read(fd, text, sizeof(text) - 1), 16);
	(void)close(fd);
	assert_string_equal(text, "coppice-store 1\n");
}

static void the_path_is_absolute(void **state)
{
	struct scratch *scratch = *state;
	char sources[128];

	assert_string_equal(cop_store_path(scratch->store), scratch->store_path);
	(void)snprintf(sources, sizeof(sources), "%s/sources", scratch->store_path);
	assert_string_equal(store_sources_path(scratch->store), sources);
	assert_false(store_is_read_only(scratch->store));
}

static void a_missing_store_is_not_made_unasked(void **state)
{
	struct scratch *scratch = *state;
	struct cop_store *store = NULL;
	struct cop_error err = {};
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/none", scratch->path);
	assert_fails(cop_store_open(path, 0, &store, &err), -ENOENT, &err);
	assert_non_null(strstr(err.message, path));
	assert_false(scratch_has(scratch, "none"));
	assert_null(store);
}

static void a_directory_of_something_else_is_refused(void **state)
{
	struct scratch *scratch = *state;
	struct cop_store *store = NULL;
	struct cop_error err = {};
	char path[128];

	scratch_write_text(scratch, "home/letter", "dear");
	(void)snprintf(path, sizeof(path), "%s/home", scratch->path);
	assert_fails(cop_store_open(path, COP_STORE_CREATE, &store, &err), -EEXIST, &err);
	assert_non_null(strstr(err.message, "letter"));
	assert_int_equal(scratch_count(scratch, "home"), 1);
}

static void a_file_in_its_place_is_refused(void **state)
{
	struct scratch *scratch = *state;
	struct cop_store *store = NULL;
	struct cop_error err = {};
	char path[128];

	scratch_write_text(scratch, "letter", "dear");
	(void)snprintf(path, sizeof(path), "%s/letter", scratch->path);
	assert_fails(cop_store_open(path, COP_STORE_CREATE, &store, &err), -ENOTDIR,
		     &err);
}

static void an_empty_directory_becomes_a_store(void **state)
{
	struct scratch *scratch = *state;
	struct cop_store *store = NULL;
	struct cop_error err = {};
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/new", scratch->path);
	assert_int_equal(mkdir(path, 0755), 0);
	assert_ok(cop_store_open(path, COP_STORE_CREATE, &store, &err), &err);
	cop_store_close(store);
	assert_true(scratch_has(scratch, "new/format"));
}

static void a_half_made_store_is_completed(void **state)
{
	struct scratch *scratch = *state;
	struct cop_error err = {};

	assert_int_equal(unlinkat(scratch->fd, "store/format", 0), 0);
	assert_int_equal(unlinkat(scratch->fd, "store/views", AT_REMOVEDIR), 0);
	scratch_write_text(scratch, "store/format.new", "copp");
	assert_fails(try_open(scratch, 0, &err), -ENOENT, &err);
	assert_ok(try_open(scratch, COP_STORE_CREATE, &err), &err);
	assert_true(scratch_has(scratch, "store/format"));
	assert_true(scratch_has(scratch, "store/views"));
	assert_false(scratch_has(scratch, "store/format.new"));
}

static void missing_directories_are_made_again(void **state)
{
	struct scratch *scratch = *state;
	struct cop_error err = {};

	assert_int_equal(unlinkat(scratch->fd, "store/meta/damaged", AT_REMOVEDIR), 0);
	assert_ok(try_open(scratch, COP_STORE_READ_ONLY, &err), &err);
	assert_false(scratch_has(scratch, "store/meta/damaged"));
	assert_ok(try_open(scratch, 0, &err), &err);
	assert_true(scratch_has(scratch, "store/meta/damaged"));
}

static void a_newer_version_is_refused_by_name(void **state)
{
	struct scratch *scratch = *state;
	struct cop_error err = {};

	put_format(scratch, "coppice-store 2\n");
	assert_fails(try_open(scratch, 0, &err), -EPROTONOSUPPORT, &err);
	assert_non_null(strstr(err.message, scratch->store_path));
	assert_non_null(strstr(err.message, "coppice-store 2"));
}

static void an_unknown_need_is_refused_by_name(void **state)
{
	struct scratch *scratch = *state;
	struct cop_error err = {};

	put_format(scratch, "coppice-store 1\nneeds packs\n");
	assert_fails(try_open(scratch, COP_STORE_READ_ONLY, &err), -EPROTONOSUPPORT,
		     &err);
	assert_non_null(strstr(err.message, "'packs'"));
}

static void an_unknown_need_of_writers_makes_it_read_only(void **state)
{
	struct scratch *scratch = *state;
	struct cop_error err = {};

	put_format(scratch, "coppice-store 1\nwrites-need quota\n");
	scratch_reopen(scratch);
	assert_true(store_is_read_only(scratch->store));
	assert_fails(cop_ref_remove(scratch->store, "x", &err), -EROFS, &err);
}

static void a_broken_format_file_is_an_error(void **state)
{
	static const char *const texts[] = {
		"", "\n", "coppice\n", "coppice-store 1\nfoo\n", "coppice-store 11\n"};
	struct scratch *scratch = *state;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct cop_error err = {};

		put_format(scratch, texts[i]);
		assert_true(try_open(scratch, 0, &err) < 0);
		assert_non_null(strstr(err.message, scratch->store_path));
	}
	scratch_write(scratch, "store/format", "coppice-store 1\n\0needs x\n", 25);
	assert_fails(try_open(scratch, 0, &(struct cop_error){}), -EBADMSG,
		     &(struct cop_error){});
}

static void nothing_is_written_to_a_store_open_for_reading(void **state)
{
	struct scratch *scratch = *state;
	struct cop_store *store = scratch_open(scratch, COP_STORE_READ_ONLY);
	struct workdir *workdir = NULL;
	struct store_lock *lock = NULL;
	struct cop_digest digest = {};
	struct cop_error err = {};

	assert_fails(workdir_new(store, NULL, NULL, &workdir, &err), -EROFS, &err);
	assert_fails(cop_ref_set(store, "x", &digest, &err), -EROFS, &err);
	assert_fails(store_lock_take(store, STORE_LOCK_EXCLUSIVE, &lock, &err), -EROFS,
		     &err);
	assert_ok(store_lock_take(store, STORE_LOCK_SHARED, &lock, &err), &err);
	store_lock_drop(lock);
	cop_store_close(store);
}

static void the_store_of_another_user_is_refused(void **state)
{
	struct scratch *scratch = *state;
	struct cop_error err = {};

	if (geteuid() != 0) {
		print_message("skipped: giving a store to another user needs root\n");
		skip();
	}
	assert_int_equal(fchownat(scratch->fd, "store", 65534, 65534, 0), 0);
	assert_fails(try_open(scratch, 0, &err), -EPERM, &err);
	assert_non_null(strstr(err.message, scratch->store_path));
	assert_non_null(strstr(err.message, "65534"));
	assert_int_equal(fchownat(scratch->fd, "store", 0, 0, 0), 0);
}

/* Two at a time, again and again: both must succeed, and find a store. */
static void two_processes_may_make_it_at_once(void **state)
{
	struct scratch *scratch = *state;
	char path[128];

	for (int round = 0; round < 20; round++) {
		pid_t pids[2];

		(void)snprintf(path, sizeof(path), "%s/race-%d", scratch->path, round);
		for (int i = 0; i < 2; i++) {
			pids[i] = fork();
			if (pids[i] == 0) {
				struct cop_store *store = NULL;
				int r = cop_store_open(path, COP_STORE_CREATE, &store,
						       NULL);

				cop_store_close(store);
				_exit(r == 0 ? 0 : 1);
			}
		}
		for (int i = 0; i < 2; i++) {
			int status = -1;

			assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
			assert_int_equal(status, 0);
		}
	}
}

static void the_default_path_follows_the_environment(void **state)
{
	struct cop_error err = {};
	char *path = NULL;

	(void)state;
	assert_int_equal(setenv("COPPICE_STORE", "/some/where", 1), 0);
	assert_ok(store_default_path(&path, &err), &err);
	assert_string_equal(path, "/some/where");
	free(path);
	assert_int_equal(unsetenv("COPPICE_STORE"), 0);
	assert_int_equal(setenv("XDG_DATA_HOME", "/data", 1), 0);
	assert_ok(store_default_path(&path, &err), &err);
	assert_string_equal(path, geteuid() == 0 ? "/var/lib/coppice" : "/data/coppice");
	free(path);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_new_store_has_its_parts_and_is_private),
		TEST(the_path_is_absolute),
		TEST(a_missing_store_is_not_made_unasked),
		TEST(a_directory_of_something_else_is_refused),
		TEST(a_file_in_its_place_is_refused),
		TEST(an_empty_directory_becomes_a_store),
		TEST(a_half_made_store_is_completed),
		TEST(missing_directories_are_made_again),
		TEST(a_newer_version_is_refused_by_name),
		TEST(an_unknown_need_is_refused_by_name),
		TEST(an_unknown_need_of_writers_makes_it_read_only),
		TEST(a_broken_format_file_is_an_error),
		TEST(nothing_is_written_to_a_store_open_for_reading),
		TEST(the_store_of_another_user_is_refused),
		TEST(two_processes_may_make_it_at_once),
		cmocka_unit_test(the_default_path_follows_the_environment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
