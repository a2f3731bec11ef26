/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Locks on bytes of STORE/lock.  Each handle has an open file description of its own, so
 * that threads of one process exclude each other as processes do.
 *
 * Sharers pass the gate and let go of it; whoever wants the store for itself shuts the
 * gate and waits for those inside.  So a thread must never take the shared lock twice.
 */
#include "store/lock.h"

#include <fcntl.h>
#include <poll.h>
#include <time.h>

#include "base/mutant.h"
#include "base/text.h"
#include "store/private.h"

enum lock_byte {
	BYTE_GATE = 0,
	BYTE_STORE = 1,
	BYTE_TMP = 2,  /* making and sweeping work directories */
	BYTE_REFS = 3, /* replacing and removing names */
	BYTE_STAGES = 16,
};

/* A stage id gives so many bits to the position of its byte. */
#define STAGE_DIGITS 15
/* How long a waiter for a stage sleeps at most before it looks again. */
#define STAGE_SLEEP_MAX_MS 100

struct store_lock {
	int fd;
};

struct store_lock *store_lock_drop(struct store_lock *lock)
{
	if (!lock)
		return NULL;
	closep(&lock->fd);
	free(lock);
	return NULL;
}

static int set_byte(int fd, short type, uint64_t byte, bool wait)
{
	struct flock what = {
		.l_type = type,
		.l_whence = SEEK_SET,
		.l_start = (off_t)byte,
		.l_len = 1,
	};

	if ((mutant("store-lock") && byte == BYTE_STORE) ||
	    (mutant("names-lock") && byte == BYTE_REFS) ||
	    (mutant("stage-lock") && byte >= BYTE_STAGES))
		return 0;
	while (fcntl(fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &what) < 0) {
		if (errno == EINTR)
			continue;
		return errno == EACCES ? -EAGAIN : -errno;
	}
	return 0;
}

static int lock_open(struct cop_store *store, struct store_lock **ret_lock,
		     struct cop_error *err)
{
	auto_lock *lock = calloc(1, sizeof(*lock));

	if (!lock) {
		(void)err_oom(err);
		return -ENOMEM;
	}
	lock->fd =
		openat(store->fd, "lock",
		       (store->read_only ? O_RDONLY : O_RDWR) | O_NOFOLLOW | O_CLOEXEC);
	if (lock->fd < 0) {
		int r = errno > 0 ? -errno : -EIO;

		(void)err_code(err, r, "open the lock of store '%s'", store->path);
		return r;
	}
	*ret_lock = TAKE_PTR(lock);
	return 0;
}

static int take_shared(int fd)
{
	int r = set_byte(fd, F_RDLCK, BYTE_GATE, true);

	if (r == 0)
		r = set_byte(fd, F_RDLCK, BYTE_STORE, true);
	if (r == 0)
		r = set_byte(fd, F_UNLCK, BYTE_GATE, true);
	return r;
}

static int take_exclusive(int fd, bool wait)
{
	int r = set_byte(fd, F_WRLCK, BYTE_GATE, wait);

	return r == 0 ? set_byte(fd, F_WRLCK, BYTE_STORE, wait) : r;
}

static int take(struct cop_store *store, enum store_lock_mode mode, bool wait,
		struct store_lock **ret_lock, struct cop_error *err)
{
	auto_lock *lock = NULL;
	int r;

	if (mode == STORE_LOCK_EXCLUSIVE) {
		r = store_check_writable(store, err);
		if (r < 0)
			return r;
	}
	r = lock_open(store, &lock, err);
	if (r < 0)
		return r;
	r = mode == STORE_LOCK_SHARED ? take_shared(lock->fd)
				      : take_exclusive(lock->fd, wait);
	if (r < 0)
		return err_code(err, r, "lock store '%s'", store->path);
	*ret_lock = TAKE_PTR(lock);
	return 0;
}

int store_lock_take(struct cop_store *store, enum store_lock_mode mode,
		    struct store_lock **ret_lock, struct cop_error *err)
{
	return take(store, mode, true, ret_lock, err);
}

int lock_try_exclusive(struct cop_store *store, struct store_lock **ret_lock,
		       struct cop_error *err)
{
	return take(store, STORE_LOCK_EXCLUSIVE, false, ret_lock, err);
}

/* Somebody publishes: his syncs may take long. */
#define PATIENCE_MS 100
#define TRIES_MAX   100
#define STEP_NS	    1000000

static int wait_inside_gate(int fd)
{
	const struct timespec step = {.tv_nsec = STEP_NS};

	for (int ms = 0; ms < PATIENCE_MS; ms++) {
		int r = set_byte(fd, F_WRLCK, BYTE_STORE, false);

		if (r != -EAGAIN)
			return r;
		(void)nanosleep(&step, NULL);
	}
	return -EAGAIN;
}

int lock_exclusive_soon(struct cop_store *store, struct store_lock **ret_lock,
			struct cop_error *err)
{
	const struct timespec pause = {.tv_nsec = PATIENCE_MS * STEP_NS};
	auto_lock *lock = NULL;
	int r = lock_open(store, &lock, err);

	if (r < 0)
		return r;
	for (int i = 0; i < TRIES_MAX; i++) {
		r = set_byte(lock->fd, F_WRLCK, BYTE_GATE, true);
		if (r == 0)
			r = wait_inside_gate(lock->fd);
		if (r != -EAGAIN)
			break;
		(void)set_byte(lock->fd, F_UNLCK, BYTE_GATE, true);
		(void)nanosleep(&pause, NULL);
	}
	/* Never idle: now all have to wait. */
	if (r == -EAGAIN)
		r = take_exclusive(lock->fd, true);
	if (r < 0)
		return err_code(err, r, "lock store '%s'", store->path);
	*ret_lock = TAKE_PTR(lock);
	return 0;
}

int lock_tmp(struct cop_store *store, enum store_lock_mode mode,
	     struct store_lock **ret_lock, struct cop_error *err)
{
	bool shared = mode == STORE_LOCK_SHARED;
	auto_lock *lock = NULL;
	int r;

	r = lock_open(store, &lock, err);
	if (r < 0)
		return r;
	r = set_byte(lock->fd, shared ? F_RDLCK : F_WRLCK, BYTE_TMP, shared);
	if (r < 0)
		return err_code(err, r, "lock 'tmp' of store '%s'", store->path);
	*ret_lock = TAKE_PTR(lock);
	return 0;
}

int lock_refs(struct store_lock *lock, struct cop_error *err)
{
	int r = set_byte(lock->fd, F_WRLCK, BYTE_REFS, true);

	return r < 0 ? err_code(err, r, "lock the names of the store") : 0;
}

void unlock_refs(struct store_lock *lock)
{
	(void)set_byte(lock->fd, F_UNLCK, BYTE_REFS, true);
}

static uint64_t stage_byte(const char *id)
{
	uint64_t number = 0;

	for (int i = 0; i < STAGE_DIGITS; i++) {
		char c = id[i];

		number = number << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
	}
	return BYTE_STAGES + number;
}

/* Polls: a wait in F_OFD_SETLKW could not be ended by @cancel_fd. */
static int wait_for_byte(int fd, uint64_t byte, int cancel_fd)
{
	struct pollfd cancel = {.fd = cancel_fd > 0 ? cancel_fd : -1, .events = POLLIN};
	int sleep_ms = 1;

	for (;;) {
		int r = set_byte(fd, F_WRLCK, byte, false);

		if (r != -EAGAIN)
			return r;
		r = poll(&cancel, 1, sleep_ms);
		if (r < 0 && errno != EINTR)
			return -errno;
		if (r > 0)
			return -EINTR;
		sleep_ms = sleep_ms * 2 > STAGE_SLEEP_MAX_MS ? STAGE_SLEEP_MAX_MS
							     : sleep_ms * 2;
	}
}

int lock_try_stage(struct cop_store *store, const char *id, struct store_lock **ret_lock,
		   struct cop_error *err)
{
	auto_lock *lock = NULL;
	int r = lock_open(store, &lock, err);

	if (r == 0)
		r = set_byte(lock->fd, F_WRLCK, stage_byte(id), false);
	if (r == 0)
		*ret_lock = TAKE_PTR(lock);
	return r;
}

int store_lock_stage(struct cop_store *store, const char *id, int cancel_fd,
		     void (*waiting)(void *data), void *data,
		     struct store_lock **ret_lock, struct cop_error *err)
{
	auto_lock *lock = NULL;
	bool waited = false;
	int r;

	if (!ref_name_is_valid(REF_STAGE, id))
		return err_set(err, -EINVAL, "lock stage '%s': not a stage id", id);
	r = store_check_writable(store, err);
	if (r < 0)
		return r;
	r = lock_open(store, &lock, err);
	if (r < 0)
		return r;
	r = set_byte(lock->fd, F_WRLCK, stage_byte(id), false);
	if (r == -EAGAIN) {
		waited = true;
		if (waiting)
			waiting(data);
		r = wait_for_byte(lock->fd, stage_byte(id), cancel_fd);
	}
	if (r == -EINTR)
		return err_set(err, r, "wait for stage '%s': interrupted", id);
	if (r < 0)
		return err_code(err, r, "lock stage '%s'", id);
	*ret_lock = TAKE_PTR(lock);
	return waited ? 1 : 0;
}
