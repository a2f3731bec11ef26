/* SPDX-License-Identifier: Apache-2.0 */
/* The line between changes, also where the clock of the file system moves in ticks. */
#include "viewlib.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "view/clock.h"

#define N_ROUNDS 50

static struct timespec touch(int fd)
{
	struct stat st;

	assert_int_equal(futimens(fd, NULL), 0);
	assert_int_equal(fstat(fd, &st), 0);
	return st.st_ctim;
}

/* Many changes, a line, and one more change; 0 when the line was between them. */
static int check_lines(const char *path)
{
	auto_close int dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_close int fd = openat(dir_fd, "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	for (int i = 0; i < N_ROUNDS; i++) {
		struct timespec before = touch(fd), line, after;

		if (clock_settle(dir_fd, &line, NULL) < 0)
			return 1;
		after = touch(fd);
		if (clock_is_after(&before, &line) || !clock_is_after(&after, &line))
			return 1;
	}
	return 0;
}

static void a_line_lies_between_the_changes(void **state)
{
	const struct scratch *scratch = *state;

	assert_int_equal(check_lines(scratch->path), 0);
}

/* ramfs stamps with the tick of the kernel and nothing finer. */
static void a_line_lies_between_changes_on_a_clock_with_ticks(void **state)
{
	const struct scratch *scratch = *state;
	int status = 1;
	pid_t pid;

	if (!is_root())
		skip_because("mounting takes root");
	pid = fork();
	if (pid == 0) {
		if (unshare(CLONE_NEWNS) < 0 ||
		    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		    mount("ramfs", scratch->store_path, "ramfs", 0, NULL) < 0)
			_exit(77);
		_exit(check_lines(scratch->store_path));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip_because("mounting ramfs is not permitted here");
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void a_directory_without_room_for_the_probe_is_an_error(void **state)
{
	auto_close int fd = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct cop_error err = {};
	struct timespec line;

	(void)state;
	assert_true(clock_settle(fd, &line, &err) < 0);
	assert_non_null(strstr(err.message, "create 'clock'"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)
		TEST(a_line_lies_between_the_changes),
		TEST(a_line_lies_between_changes_on_a_clock_with_ticks),
		TEST(a_directory_without_room_for_the_probe_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
