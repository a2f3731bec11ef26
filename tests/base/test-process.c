/* SPDX-License-Identifier: Apache-2.0 */
#include "testlib.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/process.h"

#define SECONDS 20

static void keep(void *data, const char *bytes, size_t size)
{
	(void)buf_append(data, bytes, size);
}

/* Runs @script in sh under the guard. */
static int run_guarded(const char *script, uint32_t timeout_ms, struct buf *output,
		       int *ret_status, struct cop_error *err)
{
	const char *const argv[] = {"sh", "-c", script, NULL};
	const struct process_options options = {
		.argv = argv,
		.guard = getenv("COPPICE_GUARD"),
		.timeout_ms = timeout_ms,
		.on_output = output ? keep : NULL,
		.data = output,
	};

	assert_non_null(options.guard);
	return process_run(&options, ret_status, err);
}

static bool is_there(const char *pid)
{
	char path[64], text[256], *end;
	int fd;
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", atoi(pid));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, text, sizeof(text) - 1);
	(void)close(fd);
	text[n > 0 ? n : 0] = '\0';
	end = strrchr(text, ')');
	return end && !strchr("ZX", end[2]);
}

static bool goes_soon(const char *pid)
{
	for (int i = 0; i < SECONDS * 100; i++) {
		if (!is_there(pid))
			return true;
		(void)usleep(10000);
	}
	return false;
}

static void a_status_comes_through_the_guard(void **state)
{
	struct cop_error err = {};
	int status = -1;

	(void)state;
	assert_ok(run_guarded("exit 3", 0, NULL, &status, &err), &err);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 3);
	assert_ok(run_guarded("kill -KILL $$", 0, NULL, &status, &err), &err);
	assert_int_equal(WEXITSTATUS(status), 128 + SIGKILL);
}

static void what_a_guarded_program_started_ends_with_it(void **state)
{
	struct cop_error err = {};
	auto_buf output = {};
	int status = -1;

	(void)state;
	assert_ok(run_guarded("setsid sleep 1000 >/dev/null 2>&1 & echo $!", 0, &output,
			      &status, &err),
		  &err);
	assert_int_equal(status, 0);
	assert_true(atoi(buf_text(&output)) > 1);
	assert_false(is_there(buf_text(&output)));
}

static void a_guarded_program_can_be_told_to_end(void **state)
{
	struct cop_error err = {};
	auto_buf output = {};
	int status = -1;

	(void)state;
	assert_int_equal(run_guarded("setsid sleep 1000 & echo $!; wait", 300, &output,
				     &status, &err),
			 -ETIMEDOUT);
	assert_non_null(strstr(err.message, "run 'sh': took longer"));
	assert_true(atoi(buf_text(&output)) > 1);
	assert_false(is_there(buf_text(&output)));
}

static void nothing_guarded_outlives_who_is_killed(void **state)
{
	char pid[32] = "";
	int ends[2];
	pid_t child;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		/* Its standard error comes back to us. */
		const struct process_fd fds[] = {{ends[1], 2}};
		const char *const argv[] = {
			"sh", "-c", "setsid sh -c 'echo $$ >&2; exec sleep 1000' & wait",
			NULL};
		int status;

		_exit(process_run(&(struct process_options){.argv = argv,
							    .guard = getenv("COPPICE_"
									    "GUARD"),
							    .fds = fds,
							    .n_fds = 1},
				  &status, NULL) == 0);
	}
	assert_true(read(ends[0], pid, sizeof(pid) - 1) > 1);
	assert_true(is_there(pid));
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_true(goes_soon(pid));
	(void)close(ends[0]);
	(void)close(ends[1]);
}

static void a_program_that_is_not_there_is_named(void **state)
{
	const char *const argv[] = {"no-such-program", NULL};
	struct process_options options = {.argv = argv};
	struct cop_error err = {};
	int status;

	(void)state;
	assert_fails(process_run(&options, &status, &err), -ENOENT, &err);
	options.guard = getenv("COPPICE_GUARD");
	assert_fails(process_run(&options, &status, &err), -ENOENT, &err);
	assert_non_null(strstr(err.message, "no-such-program"));
	options.guard = "/no-such-guard";
	assert_fails(process_run(&options, &status, &err), -ENOENT, &err);
}

static void a_program_is_found_in_path(void **state)
{
	auto_free char *sh = process_find("sh");
	auto_free char *none = process_find("no-such-program");
	auto_free char *itself = process_find("./x");

	(void)state;
	assert_non_null(sh);
	assert_int_equal(sh[0], '/');
	assert_null(none);
	assert_string_equal(itself, "./x");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_status_comes_through_the_guard),
		cmocka_unit_test(what_a_guarded_program_started_ends_with_it),
		cmocka_unit_test(a_guarded_program_can_be_told_to_end),
		cmocka_unit_test(nothing_guarded_outlives_who_is_killed),
		cmocka_unit_test(a_program_that_is_not_there_is_named),
		cmocka_unit_test(a_program_is_found_in_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
