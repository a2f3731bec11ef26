/* SPDX-License-Identifier: Apache-2.0 */
#include "testlib.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "base/process.h"
#include "base/work.h"

struct tally {
	atomic_uint run, dropped;
	uintptr_t failing; /* the item that fails; 0: none */
};

static int count_item(void *data, void *item, struct cop_error *err)
{
	struct tally *tally = data;

	if ((uintptr_t)item == tally->failing)
		return err_set(err, -EIO, "item %u failed",
			       (unsigned int)(uintptr_t)item);
	atomic_fetch_add(&tally->run, 1);
	return 0;
}

static void drop_item(void *data, void *item)
{
	struct tally *tally = data;

	(void)item;
	atomic_fetch_add(&tally->dropped, 1);
}

static const struct work_ops ops = {.run = count_item, .drop = drop_item};

static void every_item_is_run_once(void **state)
{
	struct tally tally = {};
	struct cop_error err = {};
	auto_ptr(work) work = NULL;

	(void)state;
	assert_ok(work_new(&ops, &tally, 4, &work, &err), &err);
	for (uintptr_t i = 1; i <= 5000; i++)
		assert_int_equal(work_add(work, (void *)i), 0);
	assert_ok(work_finish(work, &err), &err);
	assert_int_equal(tally.run, 5000);
	assert_int_equal(tally.dropped, 0);
}

static void the_first_error_stops_the_rest(void **state)
{
	struct tally tally = {.failing = 10};
	struct cop_error err = {};
	auto_ptr(work) work = NULL;
	unsigned int added = 0;

	(void)state;
	assert_ok(work_new(&ops, &tally, 2, &work, &err), &err);
	for (uintptr_t i = 1; i <= 5000; i++, added++)
		if (work_add(work, (void *)i) < 0)
			break;
	assert_fails(work_finish(work, &err), -EIO, &err);
	assert_string_equal(err.message, "item 10 failed");
	assert_true(tally.run < 5000);
	work = work_free(work);
	assert_true(tally.run + tally.dropped + 1 >= added);
}

static void collect(void *data, const char *bytes, size_t size)
{
	(void)buf_append(data, bytes, size);
}

static void output_and_status_of_a_program_arrive(void **state)
{
	const char *argv[] = {"sh", "-c", "echo out; echo err >&2; exit 3", NULL};
	auto_buf output = {};
	struct process_options options = {
		.argv = argv, .on_output = collect, .data = &output};
	struct cop_error err = {};
	int status = 0;

	(void)state;
	assert_ok(process_run(&options, &status, &err), &err);
	assert_int_equal(WEXITSTATUS(status), 3);
	assert_string_equal(buf_text(&output), "out\nerr\n");
}

static void a_missing_program_is_named(void **state)
{
	const char *argv[] = {"no-such-program-here", NULL};
	struct cop_error err = {};

	(void)state;
	assert_fails(process_check(argv, NULL, NULL, &err), -ENOENT, &err);
	assert_string_equal(err.message,
			    "run 'no-such-program-here': No such file or directory");
}

static void a_failing_program_leaves_its_last_line(void **state)
{
	const char *argv[] = {"sh", "-c", "echo first >&2; echo 'the reason' >&2; exit 1",
			      NULL};
	struct cop_error err = {};

	(void)state;
	assert_fails(process_check(argv, NULL, NULL, &err), -ECHILD, &err);
	assert_string_equal(err.message, "run 'sh': exit status 1: the reason");
}

static void a_program_that_takes_too_long_is_ended(void **state)
{
	const char *argv[] = {"sleep", "60", NULL};
	struct process_options options = {.argv = argv, .timeout_ms = 100};
	struct cop_error err = {};
	int status = 0;

	(void)state;
	assert_fails(process_run(&options, &status, &err), -ETIMEDOUT, &err);
}

static void a_program_gets_no_fd_of_ours_but_those_given(void **state)
{
	const char *argv[] = {"sh", "-c", "ls /proc/self/fd | tr '\\n' ' '", NULL};
	auto_close int given = open("/proc/self/comm", O_RDONLY | O_CLOEXEC);
	auto_close int other = open("/dev/null", O_RDONLY | O_CLOEXEC);
	const struct process_fd fds[] = {{given, 7}};
	auto_buf output = {};
	struct process_options options = {.argv = argv,
					  .fds = fds,
					  .n_fds = 1,
					  .on_output = collect,
					  .data = &output};
	struct cop_error err = {};
	int status = 0;

	(void)state;
	assert_true(other >= 0);
	assert_ok(process_run(&options, &status, &err), &err);
	/* 3 is the directory that ls reads */
	assert_string_equal(buf_text(&output), "0 1 2 3 7 ");
}

static void a_grandchild_that_keeps_the_pipe_does_not_hold_us(void **state)
{
	const char *argv[] = {"sh", "-c", "sleep 30 & echo done", NULL};
	auto_buf output = {};
	struct process_options options = {
		.argv = argv, .on_output = collect, .data = &output};
	struct cop_error err = {};
	int status = -1;

	(void)state;
	assert_ok(process_run(&options, &status, &err), &err);
	assert_int_equal(status, 0);
	assert_string_equal(buf_text(&output), "done\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_item_is_run_once),
		cmocka_unit_test(the_first_error_stops_the_rest),
		cmocka_unit_test(output_and_status_of_a_program_arrive),
		cmocka_unit_test(a_missing_program_is_named),
		cmocka_unit_test(a_failing_program_leaves_its_last_line),
		cmocka_unit_test(a_program_that_takes_too_long_is_ended),
		cmocka_unit_test(a_program_gets_no_fd_of_ours_but_those_given),
		cmocka_unit_test(a_grandchild_that_keeps_the_pipe_does_not_hold_us),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
