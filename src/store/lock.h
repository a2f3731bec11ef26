/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store's locks: open-file-description byte-range locks on STORE/lock.  They end with
 * the fd or the process; nothing is ever left to clear.
 *
 * Held shared only to resolve and register, and to publish; never while a stage runs, a
 * view is open, a person is asked or a network is read.  A thread that holds it must not
 * take it again, nor call what takes it (object_get(), ref_set(), ref_remove(),
 * store_commit(), store_log_write(), cop_store_open()): behind somebody who waits for the
 * store alone, that never ends.
 */
#pragma once

#include <coppice/store.h>

#include "base/defs.h"
#include "base/error.h"

struct store_lock;

enum store_lock_mode { STORE_LOCK_SHARED, STORE_LOCK_EXCLUSIVE };

/* store_lock_take() - waits.  Exclusive: gate first, then store, so that a stream of
 * sharers cannot starve it.  -EROFS for a store opened read-only and exclusive. */
int store_lock_take(struct cop_store *store, enum store_lock_mode mode,
		    struct store_lock **ret_lock, struct cop_error *err);

/*
 * store_lock_stage() - single flight: at most one process works on a stage id
 * @id:        64 hexadecimal digits
 * @cancel_fd: readable: give up with -EINTR; 0 or less: none
 * @waiting:   called once before it has to wait; may be NULL
 *
 * Return: 0 when taken at once; 1 when it had to wait (look again whether the result is
 * there now); a negative errno.
 */
int store_lock_stage(struct cop_store *store, const char *id, int cancel_fd,
		     void (*waiting)(void *data), void *data,
		     struct store_lock **ret_lock, struct cop_error *err);

/* store_lock_drop() - NULL is fine.  Return: NULL. */
struct store_lock *store_lock_drop(struct store_lock *lock);

static inline void store_lock_dropp(struct store_lock **lock)
{
	*lock = store_lock_drop(*lock);
}
#define auto_lock cleanup_with(store_lock_dropp) struct store_lock
