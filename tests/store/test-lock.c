/* SPDX-License-Identifier: Apache-2.0 */
/* Locks between processes and between threads, and what a death does to them. */
#include "teststore.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

static const char id[] =
	"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
static const char other_id[] =
	"10112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/* A child that takes a lock, says so, and holds it until it is killed. */
struct holder {
	pid_t pid;
	int pipe;
};

static int take(struct cop_store *store, int how, struct store_lock **ret_lock)
{
	if (how == 2)
		return store_lock_stage(store, id, -1, NULL, NULL, ret_lock, NULL);
	return store_lock_take(store, how ? STORE_LOCK_EXCLUSIVE : STORE_LOCK_SHARED,
			       ret_lock, NULL);
}

static struct holder start_holder(const struct scratch *scratch, int how)
{
	struct holder holder;
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	holder.pid = fork();
	if (holder.pid == 0) {
		struct cop_store *store = NULL;
		struct store_lock *lock = NULL;

		if (cop_store_open(scratch->store_path, 0, &store, NULL) < 0 ||
		    take(store, how, &lock) < 0 || write(ends[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			(void)pause();
	}
	(void)close(ends[1]);
	holder.pipe = ends[0];
	return holder;
}

static bool has_it(const struct holder *holder, int wait_ms)
{
	struct pollfd poll_fd = {.fd = holder->pipe, .events = POLLIN};

	return poll(&poll_fd, 1, wait_ms) == 1 && (poll_fd.revents & POLLIN);
}

static void kill_holder(const struct holder *holder)
{
	int status;

	(void)kill(holder->pid, SIGKILL);
	assert_int_equal(waitpid(holder->pid, &status, 0), holder->pid);
	(void)close(holder->pipe);
}

static void sharers_do_not_exclude_each_other(void **state)
{
	struct scratch *scratch = *state;
	struct holder holder = start_holder(scratch, 0);
	struct store_lock *lock = NULL;
	struct cop_error err = {};

	assert_true(has_it(&holder, 10000));
	assert_ok(store_lock_take(scratch->store, STORE_LOCK_SHARED, &lock, &err), &err);
	store_lock_drop(lock);
	kill_holder(&holder);
}

static void an_exclusive_lock_waits_for_sharers_and_ends_with_death(void **state)
{
	struct scratch *scratch = *state;
	struct holder sharer = start_holder(scratch, 0), owner, late;

	assert_true(has_it(&sharer, 10000));
	owner = start_holder(scratch, 1);
	assert_false(has_it(&owner, 100));
	/* the gate is shut: no further sharer overtakes who waits */
	late = start_holder(scratch, 0);
	assert_false(has_it(&late, 100));
	kill_holder(&sharer);
	assert_true(has_it(&owner, 10000));
	assert_false(has_it(&late, 100));
	kill_holder(&owner);
	assert_true(has_it(&late, 10000));
	kill_holder(&late);
}

struct racer {
	struct cop_store *store;
	int inside, most_inside;
	pthread_mutex_t mutex;
};

static void *race(void *data)
{
	struct racer *racer = data;

	for (int i = 0; i < 200; i++) {
		struct store_lock *lock = NULL;

		if (store_lock_take(racer->store, STORE_LOCK_EXCLUSIVE, &lock, NULL) < 0)
			return data;
		(void)pthread_mutex_lock(&racer->mutex);
		if (++racer->inside > racer->most_inside)
			racer->most_inside = racer->inside;
		(void)pthread_mutex_unlock(&racer->mutex);
		(void)sched_yield();
		(void)pthread_mutex_lock(&racer->mutex);
		racer->inside--;
		(void)pthread_mutex_unlock(&racer->mutex);
		store_lock_drop(lock);
	}
	return NULL;
}

static void threads_of_one_process_exclude_each_other(void **state)
{
	struct scratch *scratch = *state;
	struct racer racer = {.store = scratch->store,
			      .mutex = PTHREAD_MUTEX_INITIALIZER};
	pthread_t threads[3];

	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, race, &racer), 0);
	for (int i = 0; i < 3; i++) {
		void *failed = NULL;

		assert_int_equal(pthread_join(threads[i], &failed), 0);
		assert_null(failed);
	}
	assert_int_equal(racer.most_inside, 1);
}

static void count_waiting(void *data)
{
	++*(int *)data;
}

static void a_free_stage_is_taken_at_once(void **state)
{
	struct scratch *scratch = *state;
	struct store_lock *lock = NULL, *other = NULL;
	struct cop_error err = {};
	int waited = 0;

	assert_int_equal(store_lock_stage(scratch->store, id, -1, count_waiting, &waited,
					  &lock, &err),
			 0);
	/* another id is another lock */
	assert_int_equal(store_lock_stage(scratch->store, other_id, -1, count_waiting,
					  &waited, &other, &err),
			 0);
	assert_int_equal(waited, 0);
	store_lock_drop(lock);
	store_lock_drop(other);
}

static void *kill_later(void *data)
{
	(void)usleep(50000);
	(void)kill(*(pid_t *)data, SIGKILL);
	return NULL;
}

static void a_stage_that_is_being_built_is_waited_for(void **state)
{
	struct scratch *scratch = *state;
	struct holder holder = start_holder(scratch, 2);
	struct store_lock *lock = NULL;
	struct cop_error err = {};
	pthread_t thread;
	int waited = 0;

	assert_true(has_it(&holder, 10000));
	assert_int_equal(pthread_create(&thread, NULL, kill_later, &holder.pid), 0);
	assert_int_equal(store_lock_stage(scratch->store, id, -1, count_waiting, &waited,
					  &lock, &err),
			 1);
	assert_int_equal(waited, 1);
	assert_int_equal(pthread_join(thread, NULL), 0);
	store_lock_drop(lock);
	kill_holder(&holder);
}

static void waiting_for_a_stage_can_be_cancelled(void **state)
{
	struct scratch *scratch = *state;
	struct holder holder = start_holder(scratch, 2);
	struct store_lock *lock = NULL;
	struct cop_error err = {};
	int ends[2];

	assert_true(has_it(&holder, 10000));
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(write(ends[1], "x", 1), 1);
	assert_fails(
		store_lock_stage(scratch->store, id, ends[0], NULL, NULL, &lock, &err),
		-EINTR, &err);
	assert_non_null(strstr(err.message, id));
	assert_null(lock);
	(void)close(ends[0]);
	(void)close(ends[1]);
	kill_holder(&holder);
}

static void a_stage_needs_an_id(void **state)
{
	struct scratch *scratch = *state;
	struct store_lock *lock = NULL;
	struct cop_error err = {};

	assert_fails(store_lock_stage(scratch->store, "abc", -1, NULL, NULL, &lock, &err),
		     -EINVAL, &err);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(sharers_do_not_exclude_each_other),
		TEST(an_exclusive_lock_waits_for_sharers_and_ends_with_death),
		TEST(threads_of_one_process_exclude_each_other),
		TEST(a_free_stage_is_taken_at_once),
		TEST(a_stage_that_is_being_built_is_waited_for),
		TEST(waiting_for_a_stage_can_be_cancelled),
		TEST(a_stage_needs_an_id),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
