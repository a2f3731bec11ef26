/* SPDX-License-Identifier: Apache-2.0 */
/* Files for the pool that no directory has. */
#include "store/receive.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>

#include "store/private.h"

int receive_failed(const struct staging *staging, const struct cop_digest *digest,
		   int code, struct cop_error *err)
{
	char payload[TREE_PAYLOAD_SIZE];

	return err_code(err, code, "keep 'files/%s' in store '%s'",
			tree_payload(digest, payload), staging->store->path);
}

int receive_wrong(const struct cop_digest *digest, struct cop_error *err)
{
	char hex[COP_DIGEST_HEX + 1];

	return err_set(err, -EBADMSG, "what came as file '%s' is something else",
		       cop_digest_to_hex(digest, hex));
}

int receive_enter(struct staging *staging, const struct cop_digest *digest, uint64_t size,
		  enum staged_state state)
{
	struct staged_file *file = NULL;
	void **slot = NULL;
	int r = 0;

	(void)pthread_mutex_lock(&staging->mutex);
	if (!map_get(staging->files, digest, sizeof(*digest))) {
		file = arena_alloc(staging->arena, sizeof(*file));
		slot = file ? map_slot(staging->files,
				       memcpy(&file->digest, digest, sizeof(*digest)),
				       sizeof(*digest))
			    : NULL;
		r = slot ? 1 : -ENOMEM;
	}
	if (slot) {
		file->size = size;
		file->state = state;
		*slot = file;
		if (state == STAGED_NEW) {
			staging->totals.n_new_files++;
			staging->totals.n_new_bytes += size;
		}
	}
	(void)pthread_mutex_unlock(&staging->mutex);
	return r;
}

int receive_make_shard(const struct staging *staging, const char *payload)
{
	char shard[3];

	(void)snprintf(shard, sizeof(shard), "%.2s", payload);
	return mkdirat(staging->files_fd, shard, 0700) < 0 && errno != EEXIST ? -errno
									      : 0;
}

int receive_open_new(const struct staging *staging, const char *name)
{
	int flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(staging->files_fd, name, flags, 0444), r;

	if (fd < 0 && errno == ENOENT) {
		r = receive_make_shard(staging, name);
		if (r < 0)
			return r;
		fd = openat(staging->files_fd, name, flags, 0444);
	}
	if (fd < 0)
		return -errno;
	if (staging->fix_mode && fchmod(fd, 0444) < 0) {
		r = -errno;
		(void)close(fd);
		return r;
	}
	return fd;
}

int receive_write(int fd, const uint8_t *data, size_t size, uint64_t offset)
{
	static const uint8_t zeros[VERITY_BLOCK];

	for (size_t at = 0, end; at < size; at = end) {
		end = at;
		while (size - end >= VERITY_BLOCK &&
		       memcmp(data + end, zeros, VERITY_BLOCK) != 0)
			end += VERITY_BLOCK;
		if (size - end < VERITY_BLOCK)
			end = size;
		for (size_t done = at; done < end;) {
			ssize_t n = pwrite(fd, data + done, end - done,
					   (off_t)(offset + done));

			if (n < 0 && errno != EINTR)
				return -errno;
			done += n > 0 ? (size_t)n : 0;
		}
		if (end < size)
			end += VERITY_BLOCK;
	}
	return 0;
}

static int write_new(const struct staging *staging, const char *name, const void *data,
		     size_t size)
{
	auto_close int fd = receive_open_new(staging, name);
	int r;

	if (fd < 0)
		return fd;
	r = receive_write(fd, data, size, 0);
	/* Only whole blocks can be a hole at the end. */
	if (r < 0 || size % VERITY_BLOCK != 0)
		return r;
	return ftruncate(fd, (off_t)size) < 0 ? -errno : 0;
}

int receive_bytes(struct staging *staging, const struct cop_digest *digest,
		  const void *data, size_t size, struct cop_error *err)
{
	char payload[TREE_PAYLOAD_SIZE];
	struct cop_digest found;
	int r;

	r = verity_digest_bytes(data, size, &found, err);
	if (r < 0)
		return r;
	if (!cop_digest_equal(&found, digest) || size <= TREE_INLINE_MAX)
		return receive_wrong(digest, err);
	r = pool_state(staging->store, digest, size, err);
	if (r < 0)
		return r;
	if (r > 0)
		r = receive_enter(staging, digest, size, STAGED_IN_POOL);
	else {
		r = write_new(staging, tree_payload(digest, payload), data, size);
		/* Another thread keeps the same. */
		if (r == -EEXIST)
			return 0;
		if (r == 0)
			r = receive_enter(staging, digest, size, STAGED_NEW);
	}
	return r < 0 ? receive_failed(staging, digest, r, err) : 0;
}

/* One of the same size that the pool has by now stays. */
static int move_to_pool(const struct staging *staging, const struct staged_file *file,
			struct cop_error *err)
{
	char payload[TREE_PAYLOAD_SIZE], to[STORE_PATH_SIZE], shard[STORE_PATH_SIZE];
	int store_fd = staging->store->fd, r;

	(void)tree_payload(&file->digest, payload);
	(void)pool_path(&file->digest, to);
	(void)snprintf(shard, sizeof(shard), "files/%.2s", payload);
	if (mkdirat(store_fd, shard, 0700) < 0 && errno != EEXIST)
		return receive_failed(staging, &file->digest, -errno, err);
	r = pool_state(staging->store, &file->digest, file->size, err);
	if (r < 0)
		return r;
	r = r > 0 ? unlinkat(staging->files_fd, payload, 0)
		  : renameat(staging->files_fd, payload, store_fd, to);
	return r < 0 ? receive_failed(staging, &file->digest, -errno, err) : 0;
}

struct unpublished {
	struct staged_file **files;
	size_t n;
};

/* What was kept until now; more may come meanwhile. */
static int list_unpublished(struct staging *staging, struct unpublished *list)
{
	size_t position = 0;
	void *value;

	(void)pthread_mutex_lock(&staging->mutex);
	list->files = calloc(map_size(staging->files) + 1, sizeof(struct staged_file *));
	while (list->files && map_next(staging->files, &position, NULL, NULL, &value)) {
		struct staged_file *file = value;

		if (file->state == STAGED_NEW)
			list->files[list->n++] = file;
	}
	(void)pthread_mutex_unlock(&staging->mutex);
	return list->files ? 0 : -ENOMEM;
}

static int publish_one(struct staging *staging, struct staged_file *file,
		       struct cop_error *err)
{
	int r = move_to_pool(staging, file, err);

	if (r < 0)
		return r;
	(void)pthread_mutex_lock(&staging->mutex);
	file->state = STAGED_IN_POOL;
	(void)pthread_mutex_unlock(&staging->mutex);
	return 0;
}

int receive_publish(struct staging *staging, struct cop_error *err)
{
	auto_lock *lock = NULL;
	struct unpublished list = {};
	int r = list_unpublished(staging, &list);

	if (r < 0)
		return err_oom(err);
	r = fs_sync_filesystem(workdir_fd(staging->workdir), err);
	if (r < 0) {
		(void)pthread_mutex_lock(&staging->mutex);
		staging->lost = true;
		(void)pthread_mutex_unlock(&staging->mutex);
	}
	if (r == 0)
		r = store_lock_take(staging->store, STORE_LOCK_SHARED, &lock, err);
	for (size_t i = 0; i < list.n && r == 0; i++)
		r = publish_one(staging, list.files[i], err);
	free(list.files);
	return r;
}

int object_list(struct cop_store *store, const struct cop_digest *digest,
		struct buf *list, struct cop_error *err)
{
	return list_get(store, digest, false, list, err);
}
