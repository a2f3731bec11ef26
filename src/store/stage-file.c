/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One file: read once, hashed, kept when the pool lacks it.  What is hashed are the bytes
 * that are kept; the source is looked at before and after, so that a torn read is never
 * taken for a file that once was.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/mutant.h"
#include "store/private.h"

/* The disk starts on files over this while we still hash others. */
#define WRITE_BACK_MIN ((uint64_t)(64 * KIB))

/* From here on one file is hashed by all threads. */
#define ALL_THREADS_MIN (64 * MIB)

/* Positive outcomes beside 0. */
enum {
	SOURCE_CHANGED = 1,
	CONTENT_KNOWN = 2, /* nothing to keep */
};

static int changed(const struct stage_item *item, struct cop_error *err)
{
	return err_set(err, -ESTALE, "'%s' changed while it was read", item->path);
}

static bool is_same(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev &&
	       a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
	       a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
	       a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* 0, SOURCE_CHANGED, or an error */
static int check_source(const struct stage_item *item, struct cop_error *err)
{
	struct stat st;

	commit_step(COMMIT_FILE_READ);
	if (fstat(item->fd, &st) < 0)
		return err_errno(err, "stat '%s'", item->path);
	return is_same(&st, &item->st) || mutant("changed-source") ? 0 : SOURCE_CHANGED;
}

static int write_failed(const struct staging *staging, const struct stage_item *item,
			int code, struct cop_error *err)
{
	return err_code(err, code, "keep the content of '%s' in store '%s'", item->path,
			staging->store->path);
}

/*
 * Who is first with a content keeps it; the others have nothing to do.
 * Return: 1 for the first, 0 for the others.
 */
static int claim(struct staging *staging, const struct cop_digest *digest, uint64_t size,
		 struct staged_file **ret_file, struct cop_error *err)
{
	struct staged_file *file;
	void **slot;
	int r = 0;

	(void)pthread_mutex_lock(&staging->mutex);
	if (!map_get(staging->files, digest, sizeof(*digest))) {
		file = arena_alloc(staging->arena, sizeof(*file));
		slot = file ? map_slot(staging->files,
				       memcpy(&file->digest, digest, sizeof(*digest)),
				       sizeof(*digest))
			    : NULL;
		if (slot) {
			file->size = size;
			*slot = file;
			*ret_file = file;
			r = 1;
		} else {
			(void)err_oom(err);
			r = -ENOMEM;
		}
	}
	(void)pthread_mutex_unlock(&staging->mutex);
	return r;
}

static void set_state(struct staging *staging, struct staged_file *file,
		      enum staged_state state)
{
	(void)pthread_mutex_lock(&staging->mutex);
	file->state = state;
	if (state == STAGED_NEW) {
		staging->totals.n_new_files++;
		staging->totals.n_new_bytes += file->size;
	} else {
		staging->n_known++;
	}
	(void)pthread_mutex_unlock(&staging->mutex);
}

static int open_new(const struct staging *staging, const char *name)
{
	int flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(staging->files_fd, name, flags, 0444);
	char shard[3];

	if (fd < 0 && errno == ENOENT) {
		(void)snprintf(shard, sizeof(shard), "%.2s", name);
		if (mkdirat(staging->files_fd, shard, 0700) < 0 && errno != EEXIST)
			return -errno;
		fd = openat(staging->files_fd, name, flags, 0444);
	}
	if (fd < 0)
		return -errno;
	if (staging->fix_mode && fchmod(fd, 0444) < 0) {
		int r = -errno;

		(void)close(fd);
		return r;
	}
	return fd;
}

static bool is_zero_block(const uint8_t *block)
{
	return block[0] == 0 && memcmp(block, block + 1, VERITY_BLOCK - 1) == 0;
}

/* Ends a staged file: its length, an early start for the disk, and late errors. */
static int finish_new(int fd, const uint8_t *last_block, uint64_t size)
{
	int r = 0;

	if (last_block && ftruncate(fd, (off_t)size) < 0)
		r = -errno;
	if (r == 0 && size > WRITE_BACK_MIN)
		(void)sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	if (close(fd) < 0 && errno != EINTR && r == 0)
		r = -errno;
	return r;
}

static int keep_buffer(struct staging *staging, struct stage_context *context,
		       const struct stage_item *item, const struct cop_digest *digest,
		       struct cop_error *err)
{
	size_t size = (size_t)item->st.st_size;
	const uint8_t *last =
		size % VERITY_BLOCK == 0 ? context->buffer + size - VERITY_BLOCK : NULL;
	char name[TREE_PAYLOAD_SIZE];
	struct staged_file *file = NULL;
	int fd, r;

	r = claim(staging, digest, size, &file, err);
	if (r <= 0)
		return r;
	r = pool_state(staging->store, digest, size, err);
	if (r < 0)
		return r;
	if (r > 0) {
		set_state(staging, file, STAGED_IN_POOL);
		return 0;
	}
	fd = open_new(staging, tree_payload(digest, name));
	if (fd < 0)
		return write_failed(staging, item, fd, err);
	r = fs_pwrite_sparse(fd, context->buffer, size, 0);
	if (last && !is_zero_block(last))
		last = NULL;
	if (r < 0)
		(void)close(fd);
	else
		r = finish_new(fd, last, size);
	if (r < 0)
		return write_failed(staging, item, r, err);
	set_state(staging, file, STAGED_NEW);
	return 0;
}

/* Left where it is until it is published. */
static int keep_in_place(struct staging *staging, const struct stage_item *item,
			 const struct cop_digest *digest, struct cop_error *err)
{
	size_t below_size = strlen(item->below), path_size = strlen(item->path) + 1;
	struct staged_file *file = NULL;
	char *path;
	int r = claim(staging, digest, (uint64_t)item->st.st_size, &file, err);

	if (r <= 0)
		return r;
	r = pool_state(staging->store, digest, (uint64_t)item->st.st_size, err);
	if (r < 0)
		return r;
	if (r > 0) {
		set_state(staging, file, STAGED_IN_POOL);
		return 0;
	}
	(void)pthread_mutex_lock(&staging->mutex);
	path = arena_alloc(staging->arena, below_size + 1 + path_size);
	(void)pthread_mutex_unlock(&staging->mutex);
	if (!path)
		return err_oom(err);
	memcpy(path, item->below, below_size);
	path[below_size] = '/';
	memcpy(path + below_size + 1, item->path, path_size);
	file->path = path;
	set_state(staging, file, STAGED_NEW);
	return 0;
}

static int give_digest(struct staging *staging, const struct stage_item *item,
		       const struct cop_digest *digest, struct cop_error *err)
{
	int r;

	(void)pthread_mutex_lock(&staging->mutex);
	r = tree_set_digest(item->tree, item->node, digest, err);
	(void)pthread_mutex_unlock(&staging->mutex);
	return r;
}

static int give_content(struct staging *staging, const struct stage_item *item,
			const uint8_t *data, struct cop_error *err)
{
	int r;

	(void)pthread_mutex_lock(&staging->mutex);
	r = tree_set_content(item->tree, item->node, data, (size_t)item->st.st_size, err);
	(void)pthread_mutex_unlock(&staging->mutex);
	return r;
}

static int stage_small(struct staging *staging, struct stage_context *context,
		       const struct stage_item *item, struct cop_error *err)
{
	size_t size = (size_t)item->st.st_size;
	struct cop_digest digest;
	ssize_t n;
	int r;

	/* One byte more than there should be tells a file that has grown. */
	n = pread(item->fd, context->buffer, size + 1, 0);
	if (n >= 0 && (size_t)n < size)
		n = fs_pread_full(item->fd, context->buffer, size + 1, 0);
	else if (n < 0)
		n = -errno;
	if (n < 0)
		return err_code(err, (int)n, "read '%s'", item->path);
	r = check_source(item, err);
	if (r != 0)
		return r;
	if ((size_t)n != size)
		return SOURCE_CHANGED;
	if (size <= TREE_INLINE_MAX)
		return give_content(staging, item, context->buffer, err);
	r = verity_update(context->verity, context->buffer, size, err);
	if (r == 0)
		r = verity_end(context->verity, &digest, err);
	if (r == 0 && staging->workdir)
		r = item->below ? keep_in_place(staging, item, &digest, err)
				: keep_buffer(staging, context, item, &digest, err);
	return r < 0 ? r : give_digest(staging, item, &digest, err);
}

/* To @to, or only hashed where that is negative. */
static int take_bytes(struct stage_context *context, int to, size_t size, uint64_t at,
		      struct cop_error *err)
{
	int r = verity_update(context->verity, context->buffer, size, err);

	if (r < 0 || to < 0)
		return r;
	r = fs_pwrite_sparse(to, context->buffer, size, at);
	(void)sync_file_range(to, (off_t)at, (off_t)size, SYNC_FILE_RANGE_WRITE);
	return r;
}

/* Hashes the bytes as it writes them; *@ret_digest is of the copy.  -ESTALE: shorter. */
static int copy_hashing(struct stage_context *context, size_t buffer_size,
			const struct stage_item *item, int to,
			struct cop_digest *ret_digest, struct cop_error *err)
{
	uint64_t size = (uint64_t)item->st.st_size, at = 0;
	int r = 0;

	while (r == 0 && at < size) {
		off_t data = lseek(item->fd, (off_t)at, SEEK_DATA);
		size_t wanted;
		ssize_t n;

		if (data < 0 && errno == ENXIO)
			data = (off_t)size;
		if (data > (off_t)at) {
			uint64_t next = min_u64((uint64_t)data, size);

			/* Only whole blocks: the hash goes on at a block's start. */
			if (next < size)
				next -= next % VERITY_BLOCK;
			r = verity_update_zeros(context->verity, next - at, err);
			at = next;
			if (r < 0 || at == size)
				continue;
		}
		wanted = (size_t)min_u64(size - at, buffer_size);
		n = fs_pread_full(item->fd, context->buffer, wanted, at);
		if (n >= 0 && (size_t)n < wanted)
			n = -ESTALE;
		if (n < 0) {
			/* Empty the hash for the next file. */
			(void)verity_end(context->verity, ret_digest, NULL);
			return (int)n;
		}
		r = take_bytes(context, to, wanted, at, err);
		at += wanted;
	}
	if (r == 0)
		r = verity_end(context->verity, ret_digest, err);
	if (r == 0 && to >= 0 && ftruncate(to, (off_t)size) < 0)
		r = -errno;
	return r;
}

/* A content that is kept under a name of its own gets the one that its digest gives. */
static int adopt_large(struct staging *staging, const struct stage_item *item,
		       const char *name, const struct cop_digest *digest,
		       struct cop_error *err)
{
	uint64_t size = (uint64_t)item->st.st_size;
	char payload[TREE_PAYLOAD_SIZE], shard[3];
	struct staged_file *file = NULL;
	int r;

	r = claim(staging, digest, size, &file, err);
	if (r > 0) {
		r = pool_state(staging->store, digest, size, err);
		if (r > 0)
			set_state(staging, file, STAGED_IN_POOL);
		else if (r == 0)
			r = -EAGAIN;
	}
	if (r != -EAGAIN) {
		(void)unlinkat(staging->files_fd, name, 0);
		return r < 0 ? r : 0;
	}
	(void)snprintf(shard, sizeof(shard), "%.2s", tree_payload(digest, payload));
	if (mkdirat(staging->files_fd, shard, 0700) < 0 && errno != EEXIST)
		return write_failed(staging, item, -errno, err);
	if (renameat(staging->files_fd, name, staging->files_fd, payload) < 0)
		return write_failed(staging, item, -errno, err);
	set_state(staging, file, STAGED_NEW);
	return 0;
}

static int hash_clone(const struct stage_item *item, int fd,
		      struct cop_digest *ret_digest, struct cop_error *err)
{
	uint64_t size = (uint64_t)item->st.st_size;
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return err_errno(err, "stat the clone of '%s'", item->path);
	if ((uint64_t)st.st_size != size)
		return SOURCE_CHANGED;
	r = verity_digest_fd(fd, size, 1, ret_digest, err);
	return r < 0 ? err_prefix(err, r, "hash '%s'", item->path) : 0;
}

static int copy_large(struct staging *staging, struct stage_context *context,
		      const struct stage_item *item, int fd,
		      struct cop_digest *ret_digest, struct cop_error *err)
{
	int r = copy_hashing(context, staging->buffer_size, item, fd, ret_digest, err);

	if (r == -ESTALE)
		return SOURCE_CHANGED;
	return r < 0 ? write_failed(staging, item, r, err) : 0;
}

static char *large_name(struct staging *staging, char name[STORE_PATH_SIZE])
{
	(void)pthread_mutex_lock(&staging->mutex);
	(void)snprintf(name, STORE_PATH_SIZE, "large-%llu",
		       (unsigned long long)staging->n_large++);
	(void)pthread_mutex_unlock(&staging->mutex);
	return name;
}

/* CONTENT_KNOWN: it is kept or in the pool already, or only its digest is asked for */
static int is_known(struct staging *staging, const struct stage_item *item,
		    const struct cop_digest *digest, struct cop_error *err)
{
	struct staged_file *file = NULL;
	bool known;
	int r;

	if (!staging->workdir)
		return CONTENT_KNOWN;
	(void)pthread_mutex_lock(&staging->mutex);
	known = map_get(staging->files, digest, sizeof(*digest)) != NULL;
	(void)pthread_mutex_unlock(&staging->mutex);
	if (known)
		return CONTENT_KNOWN;
	r = pool_state(staging->store, digest, (uint64_t)item->st.st_size, err);
	if (r <= 0)
		return r;
	r = claim(staging, digest, (uint64_t)item->st.st_size, &file, err);
	if (r > 0)
		set_state(staging, file, STAGED_IN_POOL);
	return r < 0 ? r : CONTENT_KNOWN;
}

/* Without a place for a copy.  A very large file is worth all threads. */
static int only_hash(struct staging *staging, struct stage_context *context,
		     const struct stage_item *item, struct cop_digest *ret_digest,
		     struct cop_error *err)
{
	uint64_t size = (uint64_t)item->st.st_size;
	int r;

	if (size >= ALL_THREADS_MIN)
		r = verity_digest_fd(item->fd, size, 0, ret_digest, err);
	else
		r = copy_hashing(context, staging->buffer_size, item, -1, ret_digest,
				 err);
	if (r == -ESTALE)
		return SOURCE_CHANGED;
	if (r < 0)
		return err_prefix(err, r, "hash '%s'", item->path);
	return check_source(item, err);
}

/* CONTENT_KNOWN, or what only_hash() says */
static int hash_first(struct staging *staging, struct stage_context *context,
		      const struct stage_item *item, struct cop_digest *ret_digest,
		      struct cop_error *err)
{
	int r = only_hash(staging, context, item, ret_digest, err);

	return r != 0 ? r : is_known(staging, item, ret_digest, err);
}

/* Whether files from where @item is are worth an attempt to share their blocks. */
static bool may_clone(struct staging *staging, const struct stage_item *item)
{
	bool may;

	(void)pthread_mutex_lock(&staging->mutex);
	may = !staging->clone_refused || staging->clone_refused_by != item->st.st_dev;
	(void)pthread_mutex_unlock(&staging->mutex);
	return may;
}

static bool share_blocks(struct staging *staging, const struct stage_item *item, int fd)
{
	if (!may_clone(staging, item))
		return false;
	if (ioctl(fd, FICLONE, item->fd) == 0)
		return true;
	(void)pthread_mutex_lock(&staging->mutex);
	staging->clone_refused = true;
	staging->clone_refused_by = item->st.st_dev;
	(void)pthread_mutex_unlock(&staging->mutex);
	return false;
}

/* So far the pool had most of what was looked at: better to hash than to copy at once. */
static bool most_is_known(struct staging *staging)
{
	bool most;

	(void)pthread_mutex_lock(&staging->mutex);
	most = staging->n_known >= staging->totals.n_new_files;
	(void)pthread_mutex_unlock(&staging->mutex);
	return most;
}

static int keep_large(struct staging *staging, struct stage_context *context,
		      const struct stage_item *item, struct cop_digest *ret_digest,
		      struct cop_error *err)
{
	char name[STORE_PATH_SIZE];
	int fd, r = 0;

	if (!may_clone(staging, item) && most_is_known(staging)) {
		r = hash_first(staging, context, item, ret_digest, err);
		if (r != 0)
			return r;
	}
	fd = open_new(staging, large_name(staging, name));
	if (fd < 0)
		return write_failed(staging, item, fd, err);
	if (share_blocks(staging, item, fd))
		r = hash_clone(item, fd, ret_digest, err);
	else
		r = copy_large(staging, context, item, fd, ret_digest, err);
	if (r == 0)
		r = check_source(item, err);
	if (close(fd) < 0 && errno != EINTR && r == 0)
		r = write_failed(staging, item, -errno, err);
	if (r == 0)
		return adopt_large(staging, item, name, ret_digest, err);
	(void)unlinkat(staging->files_fd, name, 0);
	return r;
}

static int stage_large(struct staging *staging, struct stage_context *context,
		       const struct stage_item *item, struct cop_error *err)
{
	struct cop_digest digest;
	int r;

	if (staging->workdir && !item->below)
		r = keep_large(staging, context, item, &digest, err);
	else
		r = hash_first(staging, context, item, &digest, err);
	if (r == 0 && item->below)
		r = keep_in_place(staging, item, &digest, err);
	if (r == CONTENT_KNOWN)
		r = 0;
	return r != 0 ? r : give_digest(staging, item, &digest, err);
}

/* The xattrs again, by the name that the kernel knows the open file by now. */
static int fresh_xattrs(struct staging *staging, const struct stage_item *item,
			struct cop_error *err)
{
	char link[64], path[4096];
	uint64_t n_foreign = 0;
	struct stat st;
	ssize_t n;
	int r;

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", item->fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n <= 0)
		return changed(item, err);
	path[n] = '\0';
	if (lstat(path, &st) < 0 || !is_same(&st, &item->st))
		return changed(item, err);
	(void)pthread_mutex_lock(&staging->mutex);
	item->node->xattrs = NULL;
	item->node->n_xattrs = 0;
	r = tree_read_xattrs(item->tree, item->node, path, item->path, &n_foreign, err);
	(void)pthread_mutex_unlock(&staging->mutex);
	return r;
}

static int take_fresh(struct staging *staging, struct stage_item *item,
		      struct cop_error *err)
{
	struct tree_node *node = item->node;

	if (fstat(item->fd, &item->st) < 0)
		return err_errno(err, "stat '%s'", item->path);
	node->mode = item->st.st_mode;
	node->uid = item->st.st_uid;
	node->gid = item->st.st_gid;
	node->size = (uint64_t)item->st.st_size;
	node->mtime_sec = item->st.st_mtim.tv_sec;
	node->mtime_nsec = (uint32_t)item->st.st_mtim.tv_nsec;
	return fresh_xattrs(staging, item, err);
}

int stage_file(struct staging *staging, struct stage_context *context,
	       struct stage_item *item, struct cop_error *err)
{
	int n_attempts = item->is_frozen ? 1 : 2;

	for (int attempt = 0; attempt < n_attempts; attempt++) {
		int r = 0;

		if (attempt > 0)
			r = take_fresh(staging, item, err);
		if (r < 0)
			return r;
		if (item->st.st_size == 0)
			r = check_source(item, err);
		else if ((uint64_t)item->st.st_size <= staging->buffer_size)
			r = stage_small(staging, context, item, err);
		else
			r = stage_large(staging, context, item, err);
		if (r <= 0)
			return r;
	}
	return changed(item, err);
}
