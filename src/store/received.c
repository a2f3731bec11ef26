/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Large files that come in pieces.  Who is killed half-way finds what came of a file of
 * RESUMED_MIN bytes or more in STORE/partial/DIGEST:
 *
 *     0 .. size                the pieces that came, holes for the others
 *     size, to 4096 rounded up one byte for each piece, 1 when it is there
 *
 * The bytes of a piece are written before its mark, but neither is synced: whether the
 * file is right is seen when it is whole, from its digest.  Who has the kernel's lock on
 * the file is the one who goes on with it; a second one begins a file of his own.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "store/private.h"
#include "store/receive.h"

#define RESUMED_MIN (8 * MIB)
#define DIRECTORY   "partial"

struct received {
	struct staging *staging;
	struct cop_digest digest;
	uint64_t size;
	pthread_mutex_t mutex; /* guards the opening */
	int fd;
	char name[COP_DIGEST_HEX + sizeof(DIRECTORY "/")]; /* "": not there, or ended */
	bool is_partial; /* below the store, else below tmp/ID/files */
	bool is_resumed;
	uint8_t *marks; /* of what was there at the beginning, or NULL */
};

static uint64_t n_pieces(const struct received *received)
{
	return (received->size + RECEIVED_PIECE - 1) / RECEIVED_PIECE;
}

static uint64_t marks_at(const struct received *received)
{
	return (received->size + 4095) / 4096 * 4096;
}

static int directory_of(const struct received *received)
{
	return received->is_partial ? received->staging->store->fd
				    : received->staging->files_fd;
}

/* --- what may be resumed --- */

static void name_partial(struct received *received)
{
	char hex[COP_DIGEST_HEX + 1];

	(void)snprintf(received->name, sizeof(received->name), DIRECTORY "/%s",
		       cop_digest_to_hex(&received->digest, hex));
	received->is_partial = true;
}

/* 1 when the file is ours; a collection may have taken it between open and lock. */
static bool is_ours(int fd)
{
	struct stat st;

	return flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &st) == 0 &&
	       S_ISREG(st.st_mode) && st.st_nlink == 1;
}

static bool read_marks(struct received *received, int fd)
{
	size_t n = n_pieces(received), n_there = 0;
	struct stat st;

	if (fstat(fd, &st) < 0 || (uint64_t)st.st_size != marks_at(received) + n)
		return false;
	received->marks = malloc(n);
	if (!received->marks ||
	    pread(fd, received->marks, n, (off_t)marks_at(received)) != (ssize_t)n)
		return false;
	for (size_t i = 0; i < n; i++)
		n_there += received->marks[i] == 1;
	/* Whoever writes the last piece ends the file. */
	if (n_there == n)
		received->marks[0] = 0;
	return n_there > 0;
}

/* What does not fit is removed: it is of no use to anybody. */
static void find_partial(struct received *received)
{
	auto_close int fd = -EBADF;

	name_partial(received);
	fd = openat(directory_of(received), received->name,
		    O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0 && is_ours(fd)) {
		if (read_marks(received, fd)) {
			received->fd = TAKE_FD(fd);
			received->is_resumed = true;
			return;
		}
		(void)unlinkat(directory_of(received), received->name, 0);
	}
	free(received->marks);
	received->marks = NULL;
	received->is_partial = false;
	*received->name = '\0';
}

/* Return: an fd; -EEXIST: somebody else receives it. */
static int make_partial(struct received *received)
{
	int store_fd = received->staging->store->fd, fd;

	name_partial(received);
	fd = openat(store_fd, received->name,
		    O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (is_ours(fd))
		return fd;
	(void)close(fd);
	return -EEXIST;
}

static int make_plain(struct received *received)
{
	struct staging *staging = received->staging;

	received->is_partial = false;
	(void)pthread_mutex_lock(&staging->mutex);
	(void)snprintf(received->name, sizeof(received->name), "received-%llu",
		       (unsigned long long)staging->n_large++);
	(void)pthread_mutex_unlock(&staging->mutex);
	return receive_open_new(staging, received->name);
}

static int open_it(struct received *received)
{
	uint64_t size = received->size;
	int fd = -EEXIST;

	if (received->fd >= 0)
		return 0;
	if (size >= RESUMED_MIN)
		fd = make_partial(received);
	if (fd == -EEXIST)
		fd = make_plain(received);
	if (fd < 0) {
		*received->name = '\0';
		return fd;
	}
	received->fd = fd;
	if (received->is_partial)
		size = marks_at(received) + n_pieces(received);
	return ftruncate(fd, (off_t)size) < 0 ? -errno : 0;
}

/* --- from outside --- */

int received_new(struct staging *staging, const struct cop_digest *digest, uint64_t size,
		 struct received **ret_received, struct cop_error *err)
{
	struct received *received = calloc(1, sizeof(*received));

	if (!received)
		return err_oom(err);
	*received = (struct received){
		.staging = staging, .digest = *digest, .size = size, .fd = -EBADF};
	(void)pthread_mutex_init(&received->mutex, NULL);
	if (size >= RESUMED_MIN)
		find_partial(received);
	*ret_received = received;
	return 0;
}

static void drop(struct received *received)
{
	if (*received->name)
		(void)unlinkat(directory_of(received), received->name, 0);
	*received->name = '\0';
}

struct received *received_free(struct received *received)
{
	if (!received)
		return NULL;
	if (!received->is_partial)
		drop(received);
	closep(&received->fd);
	(void)pthread_mutex_destroy(&received->mutex);
	free(received->marks);
	free(received);
	return NULL;
}

bool received_has(const struct received *received, uint64_t offset)
{
	return received->marks && received->marks[offset / RECEIVED_PIECE] == 1;
}

static int write_piece(const struct received *received, const void *data, size_t size,
		       uint64_t offset)
{
	uint64_t piece = offset / RECEIVED_PIECE;
	int r = receive_write(received->fd, data, size, offset);

	if (r < 0 || !received->is_partial)
		return r;
	return pwrite(received->fd, "\1", 1, (off_t)(marks_at(received) + piece)) < 0
		       ? -errno
		       : 0;
}

int received_write(struct received *received, const void *data, size_t size,
		   uint64_t offset, struct cop_error *err)
{
	int r;

	(void)pthread_mutex_lock(&received->mutex);
	r = open_it(received);
	(void)pthread_mutex_unlock(&received->mutex);
	if (r == 0)
		r = write_piece(received, data, size, offset);
	if (r < 0)
		return receive_failed(received->staging, &received->digest, r, err);
	(void)sync_file_range(received->fd, (off_t)offset, (off_t)size,
			      SYNC_FILE_RANGE_WRITE);
	return 0;
}

static int take_marks_off(const struct received *received)
{
	if (!received->is_partial)
		return 0;
	return ftruncate(received->fd, (off_t)received->size) < 0 ||
			       fchmod(received->fd, 0444) < 0
		       ? -errno
		       : 0;
}

/* What came in an earlier attempt may have been lost by a power cut. */
static int wrong(struct received *received, struct cop_error *err)
{
	char hex[COP_DIGEST_HEX + 1];

	drop(received);
	if (!received->is_resumed)
		return receive_wrong(&received->digest, err);
	return err_set(err, -EAGAIN,
		       "what an earlier attempt left of file '%s' is damaged",
		       cop_digest_to_hex(&received->digest, hex));
}

int received_end(struct received *received, struct cop_error *err)
{
	struct staging *staging = received->staging;
	char payload[TREE_PAYLOAD_SIZE];
	struct cop_digest found;
	int r;

	r = verity_digest_fd(received->fd, received->size, 1, &found, err);
	if (r < 0)
		return r;
	if (!cop_digest_equal(&found, &received->digest))
		return wrong(received, err);
	r = take_marks_off(received);
	if (r == 0)
		r = receive_make_shard(staging, tree_payload(&found, payload));
	if (r == 0 && renameat(directory_of(received), received->name, staging->files_fd,
			       payload) < 0)
		r = -errno;
	if (r == 0) {
		*received->name = '\0';
		closep(&received->fd);
		r = receive_enter(staging, &found, received->size, STAGED_NEW);
	}
	return r < 0 ? receive_failed(staging, &found, r, err) : 0;
}

int received_take_abandoned(int store_fd, const char *name)
{
	char path[NAME_MAX + sizeof(DIRECTORY "/")];
	auto_close int fd = -EBADF;

	(void)snprintf(path, sizeof(path), DIRECTORY "/%s", name);
	fd = openat(store_fd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 ? TAKE_FD(fd) : -EBUSY;
}
