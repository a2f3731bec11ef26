/* SPDX-License-Identifier: Apache-2.0 */
#include "base/work.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>

#define QUEUE_LENGTH 256
#define MOST_THREADS 64
/* Idle workers are woken for so many items at once: a wake-up costs more than a small
 * file. */
#define WAKE_AT 16

struct work {
	struct work_ops ops;
	void *data;
	pthread_mutex_t mutex;
	pthread_cond_t not_empty, not_full, idle;
	void *queue[QUEUE_LENGTH];
	unsigned int head, n_queued, n_running, n_waiting;
	bool closed;
	struct cop_error error;
	bool is_inline; /* no threads: work_add() does it */
	unsigned int n_threads;
	pthread_t threads[MOST_THREADS];
};

unsigned int work_default_threads(void)
{
	cpu_set_t set;
	int n = 1;

	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		n = CPU_COUNT(&set);
	if (n < 1)
		n = 1;
	return n > MOST_THREADS ? MOST_THREADS : (unsigned int)n;
}

/* For traces and for tests that count system calls. */
static bool threads_are_off(void)
{
	const char *text = getenv("COPPICE_THREADS");

	return text && strcmp(text, "0") == 0;
}

static void *take_item(struct work *work)
{
	void *item;

	while (work->n_queued == 0 && !work->closed) {
		work->n_waiting++;
		(void)pthread_cond_wait(&work->not_empty, &work->mutex);
		work->n_waiting--;
	}
	if (work->n_queued == 0)
		return NULL;
	item = work->queue[work->head];
	work->head = (work->head + 1) % QUEUE_LENGTH;
	work->n_queued--;
	work->n_running++;
	/* Room for many, so that the one who adds does not wake for each. */
	if (work->n_queued == QUEUE_LENGTH / 2)
		(void)pthread_cond_broadcast(&work->not_full);
	return item;
}

static void run_item(struct work *work, void *item)
{
	struct cop_error err = {};
	bool skip = work->error.code < 0;
	int r = 0;

	(void)pthread_mutex_unlock(&work->mutex);
	if (!skip)
		r = work->ops.run(work->data, item, &err);
	else if (work->ops.drop)
		work->ops.drop(work->data, item);
	(void)pthread_mutex_lock(&work->mutex);
	if (r < 0 && work->error.code == 0) {
		work->error = err;
		work->error.code = r;
	}
}

static void *worker(void *argument)
{
	struct work *work = argument;
	void *item;

	(void)pthread_mutex_lock(&work->mutex);
	while ((item = take_item(work)) != NULL) {
		run_item(work, item);
		work->n_running--;
		if (work->n_running == 0 && work->n_queued == 0)
			(void)pthread_cond_broadcast(&work->idle);
	}
	(void)pthread_mutex_unlock(&work->mutex);
	return NULL;
}

static int start_threads(struct work *work, unsigned int n_threads)
{
	sigset_t all, before;
	int r = 0;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	for (unsigned int i = 0; i < n_threads && r == 0; i++) {
		r = pthread_create(&work->threads[i], NULL, worker, work);
		if (r == 0)
			work->n_threads++;
	}
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	/* Fewer threads than asked for are still threads. */
	return work->n_threads > 0 ? 0 : -r;
}

int work_new(const struct work_ops *ops, void *data, unsigned int n_threads,
	     struct work **ret, struct cop_error *err)
{
	auto_ptr(work) work = calloc(1, sizeof(*work));
	int r;

	if (!work)
		return err_oom(err);
	work->ops = *ops;
	work->data = data;
	(void)pthread_mutex_init(&work->mutex, NULL);
	(void)pthread_cond_init(&work->not_empty, NULL);
	(void)pthread_cond_init(&work->not_full, NULL);
	(void)pthread_cond_init(&work->idle, NULL);
	work->is_inline = threads_are_off();
	if (work->is_inline) {
		*ret = TAKE_PTR(work);
		return 0;
	}
	if (n_threads == 0)
		n_threads = work_default_threads();
	r = start_threads(work, n_threads > MOST_THREADS ? MOST_THREADS : n_threads);
	if (r < 0)
		return err_code(err, r, "start worker threads");
	*ret = TAKE_PTR(work);
	return 0;
}

int work_add(struct work *work, void *item)
{
	int r;

	(void)pthread_mutex_lock(&work->mutex);
	while (work->n_queued == QUEUE_LENGTH && work->error.code == 0)
		(void)pthread_cond_wait(&work->not_full, &work->mutex);
	r = work->error.code;
	if (r == 0 && work->is_inline) {
		run_item(work, item);
	} else if (r == 0) {
		work->queue[(work->head + work->n_queued) % QUEUE_LENGTH] = item;
		work->n_queued++;
		if (work->n_waiting > 0 && work->n_queued >= WAKE_AT)
			(void)pthread_cond_signal(&work->not_empty);
	}
	(void)pthread_mutex_unlock(&work->mutex);
	if (r < 0 && work->ops.drop)
		work->ops.drop(work->data, item);
	return r;
}

int work_aside(int (*run)(void *data, void *item, struct cop_error *err), void *item,
	       struct work **ret, struct cop_error *err)
{
	const struct work_ops ops = {.run = run};
	auto_ptr(work) work = NULL;
	int r = work_new(&ops, NULL, 1, &work, err);

	if (!work)
		return r;
	(void)work_add(work, item); /* work_finish() tells what went wrong */
	work_wake(work);
	*ret = TAKE_PTR(work);
	return 0;
}

void work_wake(struct work *work)
{
	(void)pthread_mutex_lock(&work->mutex);
	(void)pthread_cond_broadcast(&work->not_empty);
	(void)pthread_mutex_unlock(&work->mutex);
}

int work_finish(struct work *work, struct cop_error *err)
{
	struct cop_error first;

	(void)pthread_mutex_lock(&work->mutex);
	(void)pthread_cond_broadcast(&work->not_empty);
	while (work->n_queued > 0 || work->n_running > 0)
		(void)pthread_cond_wait(&work->idle, &work->mutex);
	first = work->error;
	(void)pthread_mutex_unlock(&work->mutex);
	return first.code < 0 ? err_copy(err, &first) : 0;
}

struct work *work_free(struct work *work)
{
	if (!work)
		return NULL;
	(void)pthread_mutex_lock(&work->mutex);
	if (work->n_queued > 0 && work->error.code == 0)
		work->error.code = -ECANCELED;
	work->closed = true;
	(void)pthread_cond_broadcast(&work->not_empty);
	(void)pthread_mutex_unlock(&work->mutex);
	for (unsigned int i = 0; i < work->n_threads; i++)
		(void)pthread_join(work->threads[i], NULL);
	(void)pthread_cond_destroy(&work->idle);
	(void)pthread_cond_destroy(&work->not_full);
	(void)pthread_cond_destroy(&work->not_empty);
	(void)pthread_mutex_destroy(&work->mutex);
	free(work);
	return NULL;
}
