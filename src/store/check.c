/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A queue of names between one thread and those that hash.  Each of these has one buffer
 * and one calculation that go from file to file; large files are hashed one after the
 * other by all of them.
 */
#include "store/check.h"

#include <fcntl.h>
#include <string.h>

#include "base/log.h"
#include "base/monotonic.h"
#include "base/mutant.h"
#include "digest/checksum.h"

#define BUFFER_SIZE  ((size_t)(1 * MIB))
#define LARGE	     (64 * MIB)
#define PROGRESS_MS  50
#define DAMAGED_MODE 0
#define POOL_MODE    0444

struct context {
	struct context *next;
	struct verity *verity;
	char *buffer;
};

struct checking {
	struct cop_store *store;
	const struct cop_progress *progress;
	uint64_t total;
	_Atomic uint64_t done;
	_Atomic int64_t told_ms;
	pthread_mutex_t mutex; /* guards: */
	struct context *contexts;
};

static struct context *context_free(struct context *context)
{
	if (!context)
		return NULL;
	verity_free(context->verity);
	free(context->buffer);
	free(context);
	return NULL;
}

static void checking_done(struct checking *checking)
{
	while (checking->contexts) {
		struct context *context = checking->contexts;

		checking->contexts = context->next;
		context_free(context);
	}
	(void)pthread_mutex_destroy(&checking->mutex);
}

static struct context *take_context(struct checking *checking, struct cop_error *err)
{
	struct context *context;

	(void)pthread_mutex_lock(&checking->mutex);
	context = checking->contexts;
	if (context)
		checking->contexts = context->next;
	(void)pthread_mutex_unlock(&checking->mutex);
	if (context)
		return context;
	context = calloc(1, sizeof(*context));
	if (context) {
		context->verity = verity_new(err);
		context->buffer = malloc(BUFFER_SIZE);
	}
	if (context && context->verity && context->buffer)
		return context;
	(void)err_oom(err);
	return context_free(context);
}

static void give_context(struct checking *checking, struct context *context)
{
	(void)pthread_mutex_lock(&checking->mutex);
	context->next = checking->contexts;
	checking->contexts = context;
	(void)pthread_mutex_unlock(&checking->mutex);
}

static void tell(struct checking *checking, uint64_t n_bytes)
{
	uint64_t done = atomic_fetch_add(&checking->done, n_bytes) + n_bytes;
	int64_t told = atomic_load(&checking->told_ms), now_ms;

	if (!checking->progress)
		return;
	now_ms = monotonic_coarse_ms();
	if (now_ms - told >= PROGRESS_MS &&
	    atomic_compare_exchange_strong(&checking->told_ms, &told, now_ms) &&
	    done < checking->total)
		checking->progress->update(checking->progress->data, "verifying", done,
					   checking->total, "bytes");
}

char *check_path(const struct check *check, char *path, size_t size)
{
	char text[STORE_PATH_SIZE];
	int n;

	if (check->kind == CHECK_SOURCE)
		n = snprintf(path, size, "sources/%s", check->name);
	else
		n = snprintf(path, size, "%s",
			     check->kind == CHECK_FILE
				     ? pool_path(&check->digest, text)
				     : object_path(&check->digest, text));
	return n < 0 || (size_t)n >= size ? NULL : path;
}

const char *check_how(const struct check *check)
{
	static const char *const words[] = {"right", "wrong", "unreadable", "missing"};

	return words[check->state];
}

static int compare_checks(const void *a, const void *b)
{
	const struct check *x = a, *y = b;

	return memcmp(&x->digest, &y->digest, sizeof(x->digest));
}

void check_sort(struct check *checks, size_t n)
{
	if (n > 0)
		qsort(checks, n, sizeof(*checks), compare_checks);
}

struct check *check_find(struct check *checks, size_t n, const struct cop_digest *digest)
{
	const struct check key = {.digest = *digest};

	return n > 0 ? bsearch(&key, checks, n, sizeof(*checks), compare_checks) : NULL;
}

void pool_mark_damaged(struct cop_store *store, const struct cop_digest *digest)
{
	char path[STORE_PATH_SIZE];
	struct stat st;

	(void)pool_path(digest, path);
	if (!store->read_only &&
	    fstatat(store->fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISREG(st.st_mode) && fchmodat(store->fd, path, DAMAGED_MODE, 0) < 0)
		log_debug("mark '%s' as damaged: %m", path);
}

/* The rest of @fd through @add.  Return: 0 or a negative errno. */
static int read_through(int fd, struct context *context,
			int (*add)(void *data, const void *bytes, size_t size),
			void *data)
{
	for (;;) {
		ssize_t n = read(fd, context->buffer, BUFFER_SIZE);
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		r = add(data, context->buffer, (size_t)n);
		if (r < 0)
			return r;
	}
}

static int add_to_verity(void *data, const void *bytes, size_t size)
{
	return verity_update(data, bytes, size, NULL);
}

static int add_to_checksum(void *data, const void *bytes, size_t size)
{
	checksum_update(data, bytes, size);
	return 0;
}

/* Return: 1 right, 0 wrong, or an errno. */
static int hash_digest(const struct check *check, struct context *context, int fd,
		       const struct stat *st)
{
	bool is_sparse = (uint64_t)st->st_blocks * 512 < (uint64_t)st->st_size;
	struct cop_digest found;
	int r;

	if (is_sparse || (uint64_t)st->st_size >= LARGE) {
		r = verity_digest_fd(fd, (uint64_t)st->st_size,
				     (uint64_t)st->st_size >= LARGE ? 0 : 1, &found,
				     NULL);
	} else {
		r = read_through(fd, context, add_to_verity, context->verity);
		/* Also ends what was begun with an error. */
		if (verity_end(context->verity, &found, NULL) < 0 && r == 0)
			r = -EIO;
	}
	if (r == -ESTALE)
		return 0;
	return r < 0 ? r
		     : cop_digest_equal(&found, &check->digest) ||
			       mutant("verify-digest");
}

static int hash_source(const struct check *check, struct context *context, int fd)
{
	auto_ptr(checksum) checksum = NULL;
	int r = checksum_new(strrchr(check->name, '/') + 1, &checksum, NULL);

	if (r == 0)
		r = read_through(fd, context, add_to_checksum, checksum);
	if (r == 0)
		r = checksum_end(checksum, check->name, NULL);
	if (r == -EBADMSG)
		return 0;
	return r < 0 ? r : 1;
}

/* Whoever marked it took away the permission to read it, from plain users in truth. */
static int open_marked(struct cop_store *store, const char *path)
{
	int fd;

	if (fchmodat(store->fd, path, 0400, 0) < 0)
		return -EACCES;
	fd = openat(store->fd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fchmodat(store->fd, path, DAMAGED_MODE, 0) < 0)
		log_debug("mark '%s' as damaged again: %m", path);
	return fd < 0 ? -EACCES : fd;
}

static int look(struct checking *checking, struct context *context,
		const struct check *check)
{
	struct cop_store *store = checking->store;
	auto_close int fd = -EBADF;
	char path[REF_PATH_SIZE];
	struct stat st;
	int r;

	if (!check_path(check, path, sizeof(path)))
		return -ENAMETOOLONG;
	fd = object_open_path(store, path);
	if (fd < 0 && errno == EACCES && check->kind == CHECK_FILE && !store->read_only)
		fd = open_marked(store, path);
	else if (fd < 0)
		fd = -errno;
	if (fd < 0)
		return fd == -ELOOP || fd == -ENXIO ? 0 : fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return 0;
	r = check->kind == CHECK_SOURCE ? hash_source(check, context, fd)
					: hash_digest(check, context, fd, &st);
	if (r == 1 && check->kind == CHECK_FILE && !(st.st_mode & 0444) &&
	    !store->read_only)
		(void)fchmod(fd, POOL_MODE);
	return r;
}

static int run_check(void *data, void *item, struct cop_error *err)
{
	struct checking *checking = data;
	struct check *check = item;
	struct context *context = take_context(checking, err);
	int r;

	if (!context)
		return -ENOMEM;
	r = look(checking, context, check);
	give_context(checking, context);
	if (r == -ENOMEM || r == -EMFILE || r == -ENFILE)
		return err_code(err, r, "verify");
	check->error = r < 0 ? -r : 0;
	if (r == -ENOENT)
		check->state = CHECK_GONE;
	else if (r < 0)
		check->state = CHECK_UNREADABLE;
	else
		check->state = r ? CHECK_RIGHT : CHECK_WRONG;
	tell(checking, check->n_bytes);
	return 0;
}

int check_all(struct cop_store *store, struct check *checks, size_t n,
	      const struct cop_progress *progress, struct cop_error *err)
{
	static const struct work_ops ops = {.run = run_check};
	cleanup_with(checking_done) struct checking checking = {
		.store = store,
		.progress = progress,
		.mutex = PTHREAD_MUTEX_INITIALIZER,
	};
	auto_ptr(work) work = NULL;
	int r = work_new(&ops, &checking, 0, &work, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++)
		checking.total += checks[i].n_bytes;
	for (size_t i = 0; i < n && r == 0; i++)
		if (checks[i].n_bytes < LARGE)
			r = work_add(work, &checks[i]);
	r = work_finish(work, err);
	for (size_t i = 0; i < n && r == 0; i++)
		if (checks[i].n_bytes >= LARGE)
			r = run_check(&checking, &checks[i], err);
	if (r == 0 && progress && checking.total > 0)
		progress->update(progress->data, "verifying", checking.total,
				 checking.total, "bytes");
	return r;
}

int check_content(int fd, const struct cop_digest *digest, struct cop_error *err)
{
	struct cop_digest found;
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return err_errno(err, "stat");
	r = verity_digest_fd(fd, (uint64_t)st.st_size, 0, &found, err);
	return r < 0 ? r : cop_digest_equal(&found, digest);
}
