/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A few threads that take items from a bounded queue, the only place where threads are
 * made. The first error stops the rest: later items are dropped, handed to @drop.
 */
#pragma once

#include "base/error.h"

struct work;

/*
 * struct work_ops
 * @run:  called in a worker thread with one item, which it then owns
 * @drop: frees an item that will not be run; may be NULL
 */
struct work_ops {
	int (*run)(void *data, void *item, struct cop_error *err);
	void (*drop)(void *data, void *item);
};

/* work_default_threads() - processors this process may use, 1 to 64 */
unsigned int work_default_threads(void);

/* work_new() - start @n_threads (0: the default); signals are blocked in them.  With
 * COPPICE_THREADS=0 in the environment there are none: work_add() runs the item. */
int work_new(const struct work_ops *ops, void *data, unsigned int n_threads,
	     struct work **ret, struct cop_error *err);

/* work_aside() - begin @run(NULL, @item) in a thread of its own; work_finish() waits for
 * it.  What it uses must outlive the work. */
int work_aside(int (*run)(void *data, void *item, struct cop_error *err), void *item,
	       struct work **ret, struct cop_error *err);

/* work_add() - hand over @item; waits while the queue is full.  Owned by the queue in any
 * case.  The last few may wait for work_wake() or work_finish() until a thread begins
 * with them.
 * Return: 0, or the negative code of the first failed item. */
int work_add(struct work *work, void *item);

/* work_wake() - begin at once with what was added: for few items that take long */
void work_wake(struct work *work);

/* work_finish() - wait until everything is done; the first error, if any.  Once only. */
int work_finish(struct work *work, struct cop_error *err);

/* work_free() - stop (dropping what was not begun), join, free; NULL is fine */
struct work *work_free(struct work *work);
DEFINE_AUTO_PTR(work)
