/* SPDX-License-Identifier: Apache-2.0 */
/* Work directories, and the sweep of what the dead left. */
#include "teststore.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

static void a_work_directory_lives_as_long_as_its_handle(void **state)
{
	struct scratch *scratch = *state;
	struct workdir *workdir = NULL;
	struct cop_error err = {};
	struct stat st;
	char path[512];
	int fd;

	assert_ok(workdir_new(scratch->store, "pre-", ".suf", &workdir, &err), &err);
	(void)snprintf(path, sizeof(path), "%s/tmp/pre-", scratch->store_path);
	assert_int_equal(strncmp(workdir_path(workdir), path, strlen(path)), 0);
	assert_string_equal(workdir_path(workdir) + strlen(workdir_path(workdir)) - 4,
			    ".suf");
	(void)snprintf(path, sizeof(path), "%s", workdir_path(workdir));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(mkdirat(workdir_fd(workdir), "sub", 0700), 0);
	fd = openat(workdir_fd(workdir), "sub/file", O_WRONLY | O_CREAT | O_CLOEXEC, 0);
	assert_true(fd >= 0);
	(void)close(fd);
	workdir_free(workdir);
	assert_int_equal(stat(path, &st), -1);
}

static void an_affix_cannot_lead_elsewhere(void **state)
{
	static const char *const affixes[] = {"../x", "/", ".hidden"};
	struct scratch *scratch = *state;

	for (size_t i = 0; i < ARRAY_SIZE(affixes); i++) {
		struct workdir *workdir = NULL;
		struct cop_error err = {};

		assert_fails(
			workdir_new(scratch->store, affixes[i], NULL, &workdir, &err),
			-EINVAL, &err);
	}
}

static void temporary_directories_end_with_the_store_handle(void **state)
{
	struct scratch *scratch = *state;
	struct cop_store *store = scratch_open(scratch, 0);
	struct cop_error err = {};
	char *one = NULL, *two = NULL;
	struct stat st;

	assert_ok(cop_store_tempdir(store, "a-", NULL, &one, &err), &err);
	assert_ok(cop_store_tempdir(store, NULL, NULL, &two, &err), &err);
	assert_string_not_equal(one, two);
	assert_int_equal(stat(one, &st), 0);
	cop_store_close(store);
	assert_int_equal(stat(one, &st), -1);
	assert_int_equal(scratch_count(scratch, "store/tmp"), 0);
	free(one);
	free(two);
}

/* A child that makes a work directory with files and dies by SIGKILL. */
static void leave_one(const struct scratch *scratch)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		struct cop_store *store = NULL;
		struct workdir *workdir = NULL;

		if (cop_store_open(scratch->store_path, 0, &store, NULL) < 0 ||
		    workdir_new(store, "left-", NULL, &workdir, NULL) < 0 ||
		    mkdirat(workdir_fd(workdir), "a", 0700) < 0 ||
		    mkdirat(workdir_fd(workdir), "a/b", 0700) < 0)
			_exit(1);
		(void)kill(getpid(), SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
}

static void what_a_killed_process_left_is_swept_by_the_next_open(void **state)
{
	struct scratch *scratch = *state;

	leave_one(scratch);
	leave_one(scratch);
	/* the second child's open swept after the first */
	assert_int_equal(scratch_count(scratch, "store/tmp"), 1);
	scratch_reopen(scratch);
	assert_int_equal(scratch_count(scratch, "store/tmp"), 0);
}

static void opening_for_reading_sweeps_nothing(void **state)
{
	struct scratch *scratch = *state;

	leave_one(scratch);
	cop_store_close(scratch_open(scratch, COP_STORE_READ_ONLY));
	assert_int_equal(scratch_count(scratch, "store/tmp"), 1);
}

static void what_is_in_use_is_not_swept(void **state)
{
	struct scratch *scratch = *state;
	struct workdir *workdir = NULL;
	struct cop_error err = {};
	struct stat st;

	assert_ok(workdir_new(scratch->store, NULL, NULL, &workdir, &err), &err);
	cop_store_close(scratch_open(scratch, 0));
	assert_int_equal(stat(workdir_path(workdir), &st), 0);
	workdir_free(workdir);
}

static void what_is_not_ours_is_left_alone(void **state)
{
	struct scratch *scratch = *state;

	scratch_write_text(scratch, "store/tmp/note", "mine");
	scratch_write_text(scratch, "store/tmp/0123456789abcdef", "a file");
	assert_int_equal(mkdirat(scratch->fd, "store/tmp/somebody", 0700), 0);
	assert_int_equal(symlinkat("..", scratch->fd, "store/tmp/fedcba9876543210"), 0);
	scratch_reopen(scratch);
	assert_int_equal(scratch_count(scratch, "store/tmp"), 4);
}

static void sweeping_follows_no_symlink_and_changes_no_inode(void **state)
{
	struct scratch *scratch = *state;
	struct stat before, after;

	scratch_write_text(scratch, "keep/file", "keep");
	assert_int_equal(mkdirat(scratch->fd, "store/tmp/0123456789abcdef", 0700), 0);
	assert_int_equal(symlinkat("../../../keep", scratch->fd,
				   "store/tmp/0123456789abcdef/link"),
			 0);
	assert_int_equal(linkat(scratch->fd, "keep/file", scratch->fd,
				"store/tmp/0123456789abcdef/shared", 0),
			 0);
	assert_int_equal(fstatat(scratch->fd, "keep/file", &before, 0), 0);
	scratch_reopen(scratch);
	assert_int_equal(scratch_count(scratch, "store/tmp"), 0);
	assert_int_equal(fstatat(scratch->fd, "keep/file", &after, 0), 0);
	assert_int_equal(before.st_mode, after.st_mode);
	assert_int_equal(after.st_nlink, 1);
	assert_int_equal(scratch_count(scratch, "keep"), 1);
}

static void half_made_names_are_swept(void **state)
{
	struct scratch *scratch = *state;

	assert_int_equal(symlinkat("x", scratch->fd, "store/refs/.tmp-0123"), 0);
	scratch_write_text(scratch, "store/meta/.tmp-0123", "x");
	scratch_write_text(scratch, "store/meta/log/.tmp-0123", "x");
	scratch_reopen(scratch);
	assert_int_equal(scratch_count(scratch, "store/refs"), 3);
	assert_int_equal(scratch_count(scratch, "store/meta"), 4);
	assert_int_equal(scratch_count(scratch, "store/meta/log"), 0);
}

static void half_made_names_of_the_living_are_not_swept(void **state)
{
	struct scratch *scratch = *state;
	struct store_lock *lock = NULL;
	struct cop_error err = {};

	assert_ok(store_lock_take(scratch->store, STORE_LOCK_SHARED, &lock, &err), &err);
	assert_int_equal(symlinkat("x", scratch->fd, "store/refs/.tmp-0123"), 0);
	cop_store_close(scratch_open(scratch, 0));
	assert_true(scratch_has(scratch, "store/refs/.tmp-0123"));
	store_lock_drop(lock);
}

static void a_damaged_list_of_moves_is_swept(void **state)
{
	static const char *const texts[] = {
		"",
		"x\n",
		"coppice-moves 1\n",
		"coppice-moves 1\nend\n",
		"coppice-moves 1\nobject x 1\nend\n",
		"coppice-moves 1\nfile "
		"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff 5 a%\nend\n",
		"coppice-moves 1\nobject "
		"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff 5\nfile "
		"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff 5 "
		"../../format\nend\n",
		"coppice-moves 1\nref name ../../x\nend\n",
	};
	struct scratch *scratch = *state;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct cop_digest digest;
		struct cop_error err = {};
		int fd;

		scratch_write_text(scratch, "dead/moves", texts[i]);
		fd = openat(scratch->fd, "dead", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(store_resume_commit(scratch->store, fd, &digest, &err) < 0);
		assert_true(*err.message != '\0');
		(void)close(fd);
	}
	assert_true(scratch_has(scratch, "store/format"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_work_directory_lives_as_long_as_its_handle),
		TEST(an_affix_cannot_lead_elsewhere),
		TEST(temporary_directories_end_with_the_store_handle),
		TEST(what_a_killed_process_left_is_swept_by_the_next_open),
		TEST(opening_for_reading_sweeps_nothing),
		TEST(what_is_in_use_is_not_swept),
		TEST(what_is_not_ours_is_left_alone),
		TEST(sweeping_follows_no_symlink_and_changes_no_inode),
		TEST(half_made_names_are_swept),
		TEST(half_made_names_of_the_living_are_not_swept),
		TEST(a_damaged_list_of_moves_is_swept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
