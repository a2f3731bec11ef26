/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Merkle tree is never held: each level keeps only the block of hashes that it is
 * filling.  Zeros are added as whole subtrees, whose hashes are calculated once, and a
 * large file is cut into subtrees that threads hash on their own.
 */
#include "digest/verity.h"

#include <endian.h>
#include <nettle/nettle-meta.h>
#include <string.h>

#include "base/fs.h"
#include "base/work.h"

#define BLOCK		VERITY_BLOCK
#define HASH		COP_DIGEST_SIZE
#define HASHES_IN_BLOCK ((unsigned int)(BLOCK / HASH))
/* 128^8 blocks are more than the 2^52 of the largest file. */
#define LEVELS 9
/* Bytes below one hash of level 1. */
#define GROUP ((uint64_t)HASHES_IN_BLOCK * BLOCK)
/* What a thread takes at once; from where on threads are worth it; what is in flight. */
#define RANGE_GROUPS ((size_t)4)
#define LARGE	     (8 * MIB)
#define WINDOW	     GIB

/* As in Documentation/filesystems/fsverity.rst; all little-endian. */
struct descriptor {
	uint8_t version;
	uint8_t hash_algorithm;
	uint8_t log_blocksize;
	uint8_t salt_size;
	uint32_t reserved_1;
	uint64_t data_size;
	uint8_t root_hash[64];
	uint8_t salt[32];
	uint8_t reserved_2[144];
};
_Static_assert(sizeof(struct descriptor) == 256, "the kernel hashes 256 bytes");

struct level {
	uint8_t hashes[BLOCK];
	unsigned int n_hashes;
};

struct verity {
	uint64_t size;
	uint8_t block[BLOCK]; /* the first size % BLOCK bytes wait to become a block */
	struct level levels[LEVELS];
	uint8_t zeros[LEVELS][HASH]; /* of a full subtree of zeros with so many levels */
	max_align_t context[];
};

static void hash(struct verity *verity, const void *data, size_t size, uint8_t *ret_hash)
{
	nettle_sha256.update(verity->context, size, data);
	nettle_sha256.digest(verity->context, HASH, ret_hash); /* begins anew, too */
}

static void reset(struct verity *verity)
{
	verity->size = 0;
	for (unsigned int i = 0; i < LEVELS; i++)
		verity->levels[i].n_hashes = 0;
}

static void prepare_zeros(struct verity *verity)
{
	uint8_t block[BLOCK] = {};

	for (unsigned int level = 0; level < LEVELS; level++) {
		hash(verity, block, BLOCK, verity->zeros[level]);
		for (unsigned int i = 0; i < HASHES_IN_BLOCK; i++)
			memcpy(block + (size_t)i * HASH, verity->zeros[level], HASH);
	}
}

static int verity_make(struct verity **ret, struct cop_error *err)
{
	struct verity *verity = calloc(1, sizeof(*verity) + nettle_sha256.context_size);

	if (!verity) {
		(void)err_oom(err);
		return -ENOMEM;
	}
	nettle_sha256.init(verity->context);
	prepare_zeros(verity);
	*ret = verity;
	return 0;
}

struct verity *verity_new(struct cop_error *err)
{
	struct verity *verity = NULL;

	(void)verity_make(&verity, err);
	return verity;
}

struct verity *verity_free(struct verity *verity)
{
	free(verity);
	return NULL;
}

/* Add the hash of a block of @level, and those of the levels above that it completes. */
static int add_hash(struct verity *verity, unsigned int level, const uint8_t *block_hash,
		    struct cop_error *err)
{
	uint8_t above[HASH];

	for (; level < LEVELS; level++, block_hash = above) {
		struct level *here = &verity->levels[level];

		memcpy(here->hashes + (size_t)here->n_hashes * HASH, block_hash, HASH);
		here->n_hashes++;
		if (here->n_hashes < HASHES_IN_BLOCK)
			return 0;
		hash(verity, here->hashes, BLOCK, above);
		here->n_hashes = 0;
	}
	return err_set(err, -EFBIG, "calculate an fs-verity digest: too many levels");
}

static int add_block(struct verity *verity, const void *block, struct cop_error *err)
{
	uint8_t block_hash[HASH];

	hash(verity, block, BLOCK, block_hash);
	return add_hash(verity, 0, block_hash, err);
}

static int grow(struct verity *verity, uint64_t size, struct cop_error *err)
{
	if (size > INT64_MAX - verity->size)
		return err_set(err, -EFBIG, "calculate an fs-verity digest: too long");
	verity->size += size;
	return 0;
}

int verity_update(struct verity *verity, const void *data, size_t size,
		  struct cop_error *err)
{
	size_t waiting = (size_t)(verity->size % BLOCK);
	const uint8_t *bytes = data;
	int r = grow(verity, size, err);

	if (r < 0)
		return r;
	if (waiting > 0) {
		size_t taken = size < BLOCK - waiting ? size : BLOCK - waiting;

		if (taken > 0)
			memcpy(verity->block + waiting, bytes, taken);
		if (waiting + taken < BLOCK)
			return 0;
		r = add_block(verity, verity->block, err);
		if (r < 0)
			return r;
		bytes += taken;
		size -= taken;
	}
	for (; size >= BLOCK; bytes += BLOCK, size -= BLOCK) {
		r = add_block(verity, bytes, err);
		if (r < 0)
			return r;
	}
	if (size > 0)
		memcpy(verity->block, bytes, size);
	return 0;
}

/* @n blocks of zeros: up to the next border of a subtree one by one, then a subtree of
 * the next size, up and down again. */
static int add_zero_blocks(struct verity *verity, uint64_t n, struct cop_error *err)
{
	uint64_t subtree = 1; /* blocks below one hash of @level */
	unsigned int level = 0;

	while (n > 0) {
		int r;

		if (verity->levels[level].n_hashes == 0 && level + 1 < LEVELS &&
		    n / HASHES_IN_BLOCK >= subtree) {
			level++;
			subtree *= HASHES_IN_BLOCK;
			continue;
		}
		if (n < subtree) {
			level--;
			subtree /= HASHES_IN_BLOCK;
			continue;
		}
		r = add_hash(verity, level, verity->zeros[level], err);
		if (r < 0)
			return r;
		n -= subtree;
	}
	return 0;
}

int verity_update_zeros(struct verity *verity, uint64_t size, struct cop_error *err)
{
	size_t waiting = (size_t)(verity->size % BLOCK);
	int r = grow(verity, size, err);

	if (r < 0)
		return r;
	if (waiting > 0) {
		size_t taken = (size_t)min_u64(size, BLOCK - waiting);

		memset(verity->block + waiting, 0, taken);
		if (waiting + taken < BLOCK)
			return 0;
		r = add_block(verity, verity->block, err);
		if (r < 0)
			return r;
		size -= taken;
	}
	r = add_zero_blocks(verity, size / BLOCK, err);
	if (r < 0)
		return r;
	memset(verity->block, 0, (size_t)(size % BLOCK));
	return 0;
}

static bool is_topmost(const struct verity *verity, unsigned int level)
{
	while (++level < LEVELS)
		if (verity->levels[level].n_hashes > 0)
			return false;
	return true;
}

/* Complete what is open, level by level, until one hash is left. */
static int find_root(struct verity *verity, uint8_t *ret_root, struct cop_error *err)
{
	size_t waiting = (size_t)(verity->size % BLOCK);
	int r = 0;

	if (waiting > 0) {
		memset(verity->block + waiting, 0, BLOCK - waiting);
		r = add_block(verity, verity->block, err);
	}
	for (unsigned int i = 0; i < LEVELS && r == 0; i++) {
		struct level *level = &verity->levels[i];
		size_t used = (size_t)level->n_hashes * HASH;
		uint8_t above[HASH];

		if (used == 0)
			continue;
		if (level->n_hashes == 1 && is_topmost(verity, i)) {
			memcpy(ret_root, level->hashes, HASH);
			break;
		}
		memset(level->hashes + used, 0, BLOCK - used);
		hash(verity, level->hashes, BLOCK, above);
		r = add_hash(verity, i + 1, above, err);
	}
	return r;
}

int verity_end(struct verity *verity, struct cop_digest *ret_digest,
	       struct cop_error *err)
{
	struct descriptor descriptor = {
		.version = 1,
		.hash_algorithm = 1,
		.log_blocksize = 12,
		.data_size = htole64(verity->size),
	};
	int r = find_root(verity, descriptor.root_hash, err);

	reset(verity);
	if (r == 0)
		hash(verity, &descriptor, sizeof(descriptor), ret_digest->bytes);
	return r;
}

int verity_digest_bytes(const void *data, size_t size, struct cop_digest *ret_digest,
			struct cop_error *err)
{
	auto_ptr(verity) verity = NULL;
	int r = verity_make(&verity, err);

	if (r == 0)
		r = verity_update(verity, data, size, err);
	return r < 0 ? r : verity_end(verity, ret_digest, err);
}

/* A window of a large file: whole groups, each the subtree below one hash of level 1. */
struct window {
	int fd;
	uint64_t start;
	uint8_t (*hashes)[HASH];
};

struct range {
	size_t first_group;
	size_t n_groups;
};

static int read_exactly(int fd, void *chunk, size_t size, uint64_t offset,
			struct cop_error *err)
{
	ssize_t n = fs_pread_full(fd, chunk, size, offset);

	if (n < 0)
		return err_code(err, (int)n, "read");
	if ((size_t)n < size)
		return err_set(err, -ESTALE, "read: the file became shorter");
	return 0;
}

static int hash_range(const struct window *window, const struct range *range,
		      struct cop_error *err)
{
	auto_ptr(verity) verity = NULL;
	auto_free char *chunk = malloc(GROUP);
	int r = verity_make(&verity, err);

	if (r == 0 && !chunk)
		r = err_oom(err);
	for (size_t i = 0; i < range->n_groups && r == 0; i++) {
		size_t group = range->first_group + i;

		r = read_exactly(window->fd, chunk, GROUP, window->start + group * GROUP,
				 err);
		if (r == 0)
			r = verity_update(verity, chunk, GROUP, err);
		if (r < 0)
			break;
		memcpy(window->hashes[group], verity->levels[1].hashes, HASH);
		reset(verity);
	}
	return r;
}

static int run_range(void *data, void *item, struct cop_error *err)
{
	auto_free struct range *range = item;

	return hash_range(data, range, err);
}

static void drop_range(void *data, void *item)
{
	(void)data;
	free(item);
}

static int add_ranges(struct work *work, size_t n_groups, struct cop_error *err)
{
	for (size_t first = 0; first < n_groups; first += RANGE_GROUPS) {
		struct range *range = malloc(sizeof(*range));

		if (!range)
			return err_oom(err);
		range->first_group = first;
		range->n_groups = (size_t)min_u64(RANGE_GROUPS, n_groups - first);
		if (work_add(work, range) < 0)
			break; /* work_finish() tells why */
	}
	return work_finish(work, err);
}

static int hash_window(struct verity *verity, int fd, uint64_t start, size_t n_groups,
		       unsigned int n_threads, struct cop_error *err)
{
	static const struct work_ops ops = {.run = run_range, .drop = drop_range};
	auto_free uint8_t(*hashes)[HASH] = calloc(n_groups, HASH);
	struct window window = {.fd = fd, .start = start, .hashes = hashes};
	auto_ptr(work) work = NULL;
	int r;

	if (!hashes)
		return err_oom(err);
	r = work_new(&ops, &window, n_threads, &work, err);
	if (r == 0)
		r = add_ranges(work, n_groups, err);
	for (size_t i = 0; i < n_groups && r == 0; i++)
		r = add_hash(verity, 1, hashes[i], err);
	if (r == 0)
		r = grow(verity, (uint64_t)n_groups * GROUP, err);
	return r;
}

struct source {
	int fd;
	unsigned int n_threads;
	char *chunk; /* GROUP bytes */
};

static int add_data(struct verity *verity, const struct source *source, uint64_t start,
		    uint64_t end, struct cop_error *err)
{
	while (start < end) {
		uint64_t left = end - start, done;
		int r;

		if (source->n_threads > 1 && left >= LARGE && start % GROUP == 0) {
			done = min_u64(left, WINDOW) / GROUP * GROUP;
			r = hash_window(verity, source->fd, start, (size_t)(done / GROUP),
					source->n_threads, err);
		} else {
			/* ends on a border of groups, where threads can go on */
			done = min_u64(left, GROUP - start % GROUP);
			r = read_exactly(source->fd, source->chunk, (size_t)done, start,
					 err);
			if (r == 0)
				r = verity_update(verity, source->chunk, (size_t)done,
						  err);
		}
		if (r < 0)
			return r;
		start += done;
	}
	return 0;
}

/* Where data begins and ends, at or behind @position and before @size. */
static void next_extent(int fd, uint64_t position, uint64_t size, uint64_t *ret_data,
			uint64_t *ret_hole)
{
	off_t data = lseek(fd, (off_t)position, SEEK_DATA), hole;

	*ret_data = *ret_hole = size;
	if (data < 0 && errno == ENXIO)
		return;
	if (data < 0 || (uint64_t)data < position)
		data = (off_t)position; /* no SEEK_DATA here: all is data */
	if ((uint64_t)data >= size)
		return;
	*ret_data = (uint64_t)data;
	hole = lseek(fd, data, SEEK_HOLE);
	if (hole > data)
		*ret_hole = min_u64((uint64_t)hole, size);
}

static int check_size(int fd, uint64_t size, struct cop_error *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_errno(err, "stat");
	if (!S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "read: not a regular file");
	if ((uint64_t)st.st_size < size)
		return err_set(err, -ESTALE, "read: the file became shorter");
	return 0;
}

int verity_digest_fd(int fd, uint64_t size, unsigned int n_threads,
		     struct cop_digest *ret_digest, struct cop_error *err)
{
	auto_free char *chunk = malloc(GROUP);
	struct source source = {
		.fd = fd,
		.n_threads = n_threads ? n_threads : work_default_threads(),
		.chunk = chunk,
	};
	auto_ptr(verity) verity = NULL;
	uint64_t position = 0;
	int r = verity_make(&verity, err);

	if (r == 0 && !chunk)
		r = err_oom(err);
	if (r == 0)
		r = check_size(fd, size, err);
	while (position < size && r == 0) {
		uint64_t data, hole;

		next_extent(fd, position, size, &data, &hole);
		r = verity_update_zeros(verity, data - position, err);
		if (r == 0)
			r = add_data(verity, &source, data, hole, err);
		position = hole;
	}
	/* A file that was cut off meanwhile looked like a hole up to @size. */
	if (r == 0)
		r = check_size(fd, size, err);
	return r < 0 ? r : verity_end(verity, ret_digest, err);
}
