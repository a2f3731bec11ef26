/* SPDX-License-Identifier: Apache-2.0 */
/*
 * objects/ or files/ in memory: 48 bytes per file, sorted, so that lists of prefixes find
 * their files by one look each.
 */
#include <fcntl.h>
#include <string.h>

#include "base/text.h"
#include "store/gc-private.h"

/* Digits of a name in a shard. */
#define NAME_DIGITS (COP_DIGEST_HEX - 2)

/* While the shards are read. */
struct shard {
	struct cop_digest *digests;
	uint64_t *bytes;
	size_t n;
	uint64_t other_bytes;
};

struct reading {
	struct cop_store *store;
	const char *directory;
	struct shard shards[SNAPSHOT_SHARDS];
};

static int add_file(struct shard *shard, int fd, const char *name, unsigned int number)
{
	struct cop_digest *digest = &shard->digests[shard->n];
	struct stat st;

	if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	digest->bytes[0] = (uint8_t)number;
	if (!S_ISREG(st.st_mode) || strlen(name) != NAME_DIGITS ||
	    hex_decode(name, digest->bytes + 1, sizeof(digest->bytes) - 1) < 0)
		shard->other_bytes += (uint64_t)st.st_blocks * 512;
	else
		shard->bytes[shard->n++] = (uint64_t)st.st_blocks * 512;
	return 0;
}

static int read_shard(void *data, void *item, struct cop_error *err)
{
	struct reading *reading = data;
	struct shard *shard = item;
	unsigned int number = (unsigned int)(shard - reading->shards);
	char path[STORE_PATH_SIZE];
	auto_close int fd = -EBADF;
	char **names = NULL;
	size_t n_names = 0;
	int r;

	(void)snprintf(path, sizeof(path), "%s/%02x", reading->directory, number);
	fd = openat(reading->store->fd, path,
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0)
		return err_errno(err, "open '%s'", path);
	r = fs_list(fd, &names, &n_names, err);
	if (r < 0)
		return err_prefix(err, r, "read '%s'", path);
	shard->digests = calloc(n_names + 1, sizeof(*shard->digests));
	shard->bytes = calloc(n_names + 1, sizeof(*shard->bytes));
	r = shard->digests && shard->bytes ? 0 : -ENOMEM;
	for (size_t i = 0; i < n_names && r == 0; i++)
		r = add_file(shard, fd, names[i], number);
	fs_list_free(names);
	return r < 0 ? err_code(err, r, "read '%s'", path) : 0;
}

static int read_shards(struct reading *reading, struct cop_error *err)
{
	static const struct work_ops ops = {.run = read_shard};
	auto_ptr(work) work = NULL;
	int r = work_new(&ops, reading, 0, &work, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < SNAPSHOT_SHARDS && r == 0; i++)
		r = work_add(work, &reading->shards[i]);
	return work_finish(work, err);
}

/* About one file per slot. */
static int make_index(struct snapshot *snapshot, struct cop_error *err)
{
	size_t slot = 0;

	snapshot->index_bits = 8;
	while (snapshot->index_bits < 28 &&
	       (size_t)1 << snapshot->index_bits < snapshot->n)
		snapshot->index_bits++;
	snapshot->index =
		calloc(((size_t)1 << snapshot->index_bits) + 1, sizeof(*snapshot->index));
	if (!snapshot->index)
		return err_oom(err);
	for (size_t i = 0; i < snapshot->n; i++) {
		size_t own = snapshot->keys[i] >> (64 - snapshot->index_bits);

		while (slot <= own)
			snapshot->index[slot++] = i;
	}
	while (slot <= (size_t)1 << snapshot->index_bits)
		snapshot->index[slot++] = snapshot->n;
	return 0;
}

static int join(struct reading *reading, struct snapshot *snapshot, struct cop_error *err)
{
	size_t n = 0;

	for (size_t i = 0; i < SNAPSHOT_SHARDS; i++)
		n += reading->shards[i].n;
	snapshot->digests = calloc(n + 1, sizeof(*snapshot->digests));
	snapshot->keys = calloc(n + 1, sizeof(*snapshot->keys));
	snapshot->bytes = calloc(n + 1, sizeof(*snapshot->bytes));
	snapshot->is_live = calloc(n + 1, sizeof(*snapshot->is_live));
	if (!snapshot->digests || !snapshot->keys || !snapshot->bytes ||
	    !snapshot->is_live)
		return err_oom(err);
	for (size_t i = 0; i < SNAPSHOT_SHARDS; i++) {
		const struct shard *shard = &reading->shards[i];

		snapshot->other_bytes += shard->other_bytes;
		for (size_t k = 0; k < shard->n; k++) {
			snapshot->digests[snapshot->n] = shard->digests[k];
			snapshot->keys[snapshot->n] = prefix_key(shard->digests[k].bytes);
			snapshot->bytes[snapshot->n++] = shard->bytes[k];
			snapshot->n_bytes += shard->bytes[k];
		}
	}
	return make_index(snapshot, err);
}

int snapshot_read(struct cop_store *store, const char *directory,
		  struct snapshot *snapshot, struct cop_error *err)
{
	struct reading *reading = calloc(1, sizeof(*reading));
	int r;

	if (!reading)
		return err_oom(err);
	reading->store = store;
	reading->directory = directory;
	*snapshot = (struct snapshot){};
	r = read_shards(reading, err);
	if (r == 0)
		r = join(reading, snapshot, err);
	snapshot->other_bytes += snapshot_directories(store, directory);
	for (size_t i = 0; i < SNAPSHOT_SHARDS; i++) {
		free(reading->shards[i].digests);
		free(reading->shards[i].bytes);
	}
	free(reading);
	return r;
}

uint64_t snapshot_directories(const struct cop_store *store, const char *directory)
{
	auto_close int fd = openat(store->fd, directory,
				   O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	char **names = NULL;
	uint64_t n_bytes = 0;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || fs_list(fd, &names, NULL, NULL) < 0)
		return 0;
	n_bytes += (uint64_t)st.st_blocks * 512;
	for (char **name = names; *name; name++)
		if (fstatat(fd, *name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISDIR(st.st_mode))
			n_bytes += (uint64_t)st.st_blocks * 512;
	fs_list_free(names);
	return n_bytes;
}

void snapshot_done(struct snapshot *snapshot)
{
	free(snapshot->digests);
	free(snapshot->keys);
	free(snapshot->bytes);
	free(snapshot->is_live);
	free(snapshot->index);
}

size_t snapshot_first(const struct snapshot *snapshot, uint64_t key)
{
	size_t i = snapshot->index[key >> (64 - snapshot->index_bits)];

	while (i < snapshot->n && snapshot->keys[i] < key)
		i++;
	return i;
}

ssize_t snapshot_find(const struct snapshot *snapshot, const struct cop_digest *digest)
{
	uint64_t key = prefix_key(digest->bytes);

	for (size_t i = snapshot_first(snapshot, key);
	     i < snapshot->n && snapshot->keys[i] == key; i++)
		if (cop_digest_equal(&snapshot->digests[i], digest))
			return (ssize_t)i;
	return -1;
}

/* The memory that a look needs is asked for as many looks before. */
#define AHEAD 8

static uint64_t key_of(const struct buf *list, size_t number)
{
	return prefix_key((const uint8_t *)list->data + number * LIST_PREFIX);
}

/* A look misses the processor's cache three times: index, key and mark. */
static void prefetch(const struct snapshot *snapshot, const struct buf *list, size_t next,
		     size_t n)
{
	unsigned int shift = 64 - snapshot->index_bits;

	if (next + 2 * AHEAD < n)
		__builtin_prefetch(
			&snapshot->index[key_of(list, next + 2 * AHEAD) >> shift]);
	if (next + AHEAD < n) {
		size_t i = snapshot->index[key_of(list, next + AHEAD) >> shift];

		__builtin_prefetch(&snapshot->keys[i]);
		__builtin_prefetch((const void *)&snapshot->is_live[i]);
	}
}

/* Most have a mark already, and to write it again would take it from another processor.
 */
static void mark(_Atomic uint8_t *is_live)
{
	if (!atomic_load_explicit(is_live, memory_order_relaxed))
		atomic_store_explicit(is_live, 1, memory_order_relaxed);
}

void snapshot_mark(struct snapshot *snapshot, const struct buf *list)
{
	size_t n = list->size / LIST_PREFIX;

	for (size_t next = 0; next < n; next++) {
		uint64_t key = key_of(list, next);

		prefetch(snapshot, list, next, n);
		for (size_t i = snapshot_first(snapshot, key);
		     i < snapshot->n && snapshot->keys[i] == key; i++)
			mark(&snapshot->is_live[i]);
	}
}
