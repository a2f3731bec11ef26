/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files from packs: the blocks that are needed become a few ranges, each range one
 * request; what came is unpacked, verified and kept by all processors while the next is
 * on its way.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/monotonic.h"
#include "base/text.h"
#include "base/work.h"
#include "remote/block.h"
#include "remote/private.h"
#include "store/receive.h"

/* Bytes that nobody needs are fetched, too, where that saves a request. */
#define GAP_MAX (256 * KIB)
/* Of a pack of which so many of a hundred bytes are needed, every gap is fetched. */
#define MOST_OF_IT 60
#define RANGE_MAX  (8 * MIB)
#define IN_FLIGHT  6
/* On the way, waiting to be unpacked, or being unpacked: so much memory it may take. */
#define IN_HAND 16
/* What was received is kept for good now and then: soon where it is much, later where it
 * is little.  Each time costs a sync, and a rename for each file. */
#define KEEP_BYTES     (32 * MIB)
#define KEEP_MUCH_MS   2000
#define KEEP_LITTLE_MS 10000
#define STEP_MS	       500

/* A file of several blocks on its way. */
struct large {
	struct received *received;
	size_t n_left; /* blocks; guarded by the mutex */
};

/* Who wants a block: a file in it, or a piece of a large one. */
struct use {
	struct use *next;
	const struct download_file *file;
	struct large *large; /* NULL: the whole file is in the block, from @inner on */
	uint32_t inner;
	uint64_t at;
};

struct needed {
	const struct segment *segment;
	uint32_t block;
	struct use *uses;
};

struct range {
	struct download *download;
	struct request request;
	size_t first, n; /* of download->needed */
	uint64_t offset;
};

struct download {
	struct remote *remote;
	struct staging *staging;
	struct arena *arena;
	struct map *blocks; /* {segment, number} -> struct needed */
	struct needed **needed;
	size_t n_needed;
	struct large **large;
	size_t n_large;
	struct range *ranges;
	size_t n_ranges, next_range, n_flying;
	struct work *work;
	pthread_mutex_t mutex; /* guards the large files' counts, and these: */
	size_t n_in_hand;      /* ranges */
	uint64_t n_not_kept;   /* bytes */
	bool is_keeping;
	int64_t kept_ms; /* when that was last ended */
	uint64_t n_bytes, n_done;
	struct cop_error failure;
	bool has_failed; /* the workers */
};

static void download_done(struct download *download)
{
	(void)work_free(download->work);
	for (size_t i = 0; i < download->n_large; i++)
		(void)received_free(download->large[i]->received);
	for (size_t i = 0; i < download->n_ranges; i++)
		request_done(&download->ranges[i].request);
	free(download->ranges);
	free(download->needed);
	free(download->large);
	map_free(download->blocks);
	arena_free(download->arena);
	(void)pthread_mutex_destroy(&download->mutex);
}

/* --- what is needed --- */

static const struct block *block_of(const struct needed *needed)
{
	return &needed->segment->blocks[needed->block];
}

static const uint8_t *pack_of(const struct needed *needed)
{
	return needed->segment->packs[block_of(needed)->pack].id;
}

static int need_block(struct download *download, const struct segment *segment,
		      uint32_t block, const struct use *use, struct cop_error *err)
{
	struct {
		const struct segment *segment;
		uint64_t block;
	} *key = arena_alloc(download->arena, sizeof(*key));
	struct use *copy = arena_alloc(download->arena, sizeof(*copy));
	struct needed *needed;
	void **slot;

	if (!key || !copy)
		return err_oom(err);
	key->segment = segment;
	key->block = block;
	slot = map_slot(download->blocks, key, sizeof(*key));
	if (!slot)
		return err_oom(err);
	if (!*slot) {
		needed = arena_alloc(download->arena, sizeof(*needed));
		if (!needed)
			return err_oom(err);
		*needed = (struct needed){.segment = segment, .block = block};
		*slot = needed;
	}
	needed = *slot;
	*copy = *use;
	copy->next = needed->uses;
	needed->uses = copy;
	return 0;
}

_Static_assert(FILE_BLOCK == RECEIVED_PIECE, "a block of a large file is one piece");

static int begin_large(struct download *download, const struct download_file *file,
		       struct large **ret_large, struct cop_error *err)
{
	struct large *large = arena_alloc(download->arena, sizeof(*large));
	void *grown = reallocarray(download->large, download->n_large + 1,
				   sizeof(struct large *));

	if (grown)
		download->large = grown;
	if (!large || !grown)
		return err_oom(err);
	download->large[download->n_large++] = large;
	*ret_large = large;
	return received_new(download->staging, &file->id, file->size, &large->received,
			    err);
}

static int need_file(struct download *download, const struct download_file *file,
		     struct cop_error *err)
{
	const struct segment *segment = NULL;
	const struct index_file *row =
		catalogue_file(download->remote->catalogue, &file->id, &segment);
	struct use use = {.file = file};
	char hex[COP_DIGEST_HEX + 1];
	int64_t n;
	int r = 0;

	if (!row || row->size != file->size)
		return err_set(err, -EBADMSG,
			       "remote '%s' does not say where file '%s' is",
			       download->remote->name, cop_digest_to_hex(&file->id, hex));
	n = segment_file_blocks(segment, row, err);
	if (n < 0)
		return (int)n;
	use.inner = row->inner;
	if (n > 1)
		r = begin_large(download, file, &use.large, err);
	for (int64_t i = 0; i < n && r == 0; i++) {
		use.at = (uint64_t)i * FILE_BLOCK;
		if (use.large && received_has(use.large->received, use.at))
			continue;
		if (use.large)
			use.large->n_left++;
		r = need_block(download, segment, row->block + (uint32_t)i, &use, err);
	}
	return r;
}

static int by_place(const void *a, const void *b)
{
	const struct needed *const *x = a, *const *y = b;
	int order = memcmp(pack_of(*x), pack_of(*y), SHA256_SIZE);
	uint64_t p = block_of(*x)->offset, q = block_of(*y)->offset;

	return order ? order : (p > q) - (p < q);
}

static int sort_needed(struct download *download, struct cop_error *err)
{
	size_t position = 0;
	void *value;

	download->needed =
		calloc(map_size(download->blocks) + 1, sizeof(struct needed *));
	if (!download->needed)
		return err_oom(err);
	while (map_next(download->blocks, &position, NULL, NULL, &value))
		download->needed[download->n_needed++] = value;
	if (download->n_needed > 0)
		qsort(download->needed, download->n_needed, sizeof(struct needed *),
		      by_place);
	return 0;
}

static uint64_t end_of(const struct needed *needed)
{
	return block_of(needed)->offset + block_of(needed)->stored_size;
}

/* From @first on, how many blocks are in the same pack, and which gap is bridged there.
 */
static size_t pack_blocks(const struct download *download, size_t first,
			  uint64_t *ret_gap)
{
	struct needed *const *needed = download->needed;
	uint64_t pack_size =
		needed[first]->segment->packs[block_of(needed[first])->pack].size;
	uint64_t sum = 0;
	size_t n = 0;

	while (first + n < download->n_needed &&
	       memcmp(pack_of(needed[first]), pack_of(needed[first + n]), SHA256_SIZE) ==
		       0)
		sum += block_of(needed[first + n++])->stored_size;
	*ret_gap = sum * 100 / MOST_OF_IT > pack_size ? PACK_MAX : GAP_MAX;
	return n;
}

static void add_range(struct download *download, size_t first, size_t n)
{
	struct range *range = &download->ranges[download->n_ranges++];
	struct needed *const *needed = download->needed + first;
	char hex[SHA256_HEX + 1];
	uint64_t end = 0;

	for (size_t i = 0; i < n; i++)
		end = max_u64(end, end_of(needed[i]));
	(void)hex_encode(pack_of(needed[0]), SHA256_SIZE, hex);
	*range = (struct range){.download = download,
				.first = first,
				.n = n,
				.offset = block_of(needed[0])->offset};
	request_init(&range->request, REQUEST_GET, "v1/p/%.2s/%s", hex, hex);
	range->request.offset = range->offset;
	range->request.length = end - range->offset;
	range->request.owner = range;
	download->n_bytes += range->request.length;
}

static int make_ranges(struct download *download, struct cop_error *err)
{
	struct needed *const *needed = download->needed;

	download->ranges = calloc(download->n_needed + 1, sizeof(*download->ranges));
	if (!download->ranges)
		return err_oom(err);
	for (size_t at = 0; at < download->n_needed;) {
		uint64_t gap = 0;
		size_t end = at + pack_blocks(download, at, &gap);

		while (at < end) {
			uint64_t begin = block_of(needed[at])->offset;
			size_t n = 1;

			while (at + n < end &&
			       block_of(needed[at + n])->offset <=
				       end_of(needed[at + n - 1]) + gap &&
			       end_of(needed[at + n]) - begin <= RANGE_MAX)
				n++;
			add_range(download, at, n);
			at += n;
		}
	}
	return 0;
}

/* --- in the workers --- */

static int use_block(struct download *download, const struct needed *needed,
		     const uint8_t *data, struct cop_error *err)
{
	const struct block *block = block_of(needed);
	int r = 0;

	for (const struct use *use = needed->uses; use && r == 0; use = use->next) {
		bool is_last = false;

		if (!use->large) {
			r = receive_bytes(download->staging, &use->file->id,
					  data + use->inner, use->file->size, err);
			continue;
		}
		r = received_write(use->large->received, data, block->size, use->at, err);
		(void)pthread_mutex_lock(&download->mutex);
		is_last = --use->large->n_left == 0;
		(void)pthread_mutex_unlock(&download->mutex);
		if (r == 0 && is_last)
			r = received_end(use->large->received, err);
	}
	return r;
}

static int run_range(struct download *download, struct range *range,
		     struct cop_error *err)
{
	auto_ptr(packer) packer = packer_new(err);
	auto_free uint8_t *room = malloc(FILE_BLOCK);
	int r = packer && room ? 0 : err_oom(err);

	for (size_t i = 0; i < range->n && r == 0; i++) {
		const struct needed *needed = download->needed[range->first + i];
		const struct block *block = block_of(needed);
		const char *stored =
			range->request.data.data + (block->offset - range->offset);

		if (block->codec == BLOCK_STORED && block->stored_size == block->size) {
			r = use_block(download, needed, (const uint8_t *)stored, err);
			continue;
		}
		r = block_unpack(packer, block, stored, room, err);
		if (r == 0)
			r = use_block(download, needed, room, err);
	}
	return r;
}

static void drop_item(void *data, void *item)
{
	struct download *download = data;
	struct range *range = item;

	if (item == data)
		return;
	request_done(&range->request);
	(void)pthread_mutex_lock(&download->mutex);
	download->n_in_hand--;
	(void)pthread_mutex_unlock(&download->mutex);
	transport_wake(download->remote->transport);
}

/* One of the workers keeps what came while the others go on. */
static int keep(struct download *download, struct cop_error *err)
{
	int r = receive_publish(download->staging, err);

	(void)pthread_mutex_lock(&download->mutex);
	download->is_keeping = false;
	download->kept_ms = monotonic_ms();
	(void)pthread_mutex_unlock(&download->mutex);
	return r;
}

/* An item is a range, or the download itself: then it is time to keep. */
static int run_item(void *data, void *item, struct cop_error *err)
{
	struct download *download = data;
	struct range *range = item;
	int r;

	if (item == data)
		return keep(download, err);
	r = run_range(download, range, err);
	(void)pthread_mutex_lock(&download->mutex);
	download->n_not_kept += range->request.length;
	(void)pthread_mutex_unlock(&download->mutex);
	drop_item(download, range);
	return r;
}

/* --- in the thread that fetches --- */

static void came(struct request *request)
{
	struct range *range = request->owner;
	struct download *download = range->download;

	download->n_flying--;
	download->n_done += request->length;
	if (request->result < 0) {
		if (download->failure.code == 0)
			download->failure = request->error;
		return;
	}
	/* The first failure of the workers is told by the end of their work. */
	download->has_failed = work_add(download->work, range) < 0;
	work_wake(download->work);
}

static void keep_sometimes(struct download *download)
{
	bool is_time = false;
	int64_t ms;

	(void)pthread_mutex_lock(&download->mutex);
	ms = monotonic_ms() - download->kept_ms;
	if (download->n_not_kept > 0 && !download->is_keeping)
		is_time = ms >= (download->n_not_kept >= KEEP_BYTES ? KEEP_MUCH_MS
								    : KEEP_LITTLE_MS);
	if (is_time) {
		download->is_keeping = true;
		download->n_not_kept = 0;
	}
	(void)pthread_mutex_unlock(&download->mutex);
	if (!is_time)
		return;
	(void)work_add(download->work, download);
	work_wake(download->work);
}

static bool may_start(struct download *download)
{
	bool has_room;

	if (download->n_flying == IN_FLIGHT || download->next_range == download->n_ranges)
		return false;
	(void)pthread_mutex_lock(&download->mutex);
	has_room = download->n_in_hand < IN_HAND;
	download->n_in_hand += has_room;
	(void)pthread_mutex_unlock(&download->mutex);
	return has_room;
}

static int fetch(struct download *download, struct cop_error *err)
{
	struct transport *transport = download->remote->transport;
	int r = 0;

	while (r == 0 && download->failure.code == 0 && !download->has_failed) {
		while (r == 0 && may_start(download)) {
			struct request *request =
				&download->ranges[download->next_range++].request;

			request->done = came;
			download->n_flying++;
			r = transport_start(transport, request);
		}
		keep_sometimes(download);
		remote_tell(download->remote, "fetching", download->n_done,
			    download->n_bytes, "bytes");
		if (download->n_flying == 0 && download->next_range == download->n_ranges)
			break;
		if (r == 0)
			r = transport_step(transport, STEP_MS, err);
	}
	if (r == 0 && download->failure.code < 0)
		r = err_copy(err, &download->failure);
	if (r < 0 || download->has_failed)
		transport_abort(transport);
	return r;
}

static int fetch_and_keep(struct download *download, struct cop_error *err)
{
	static const struct work_ops ops = {.run = run_item, .drop = drop_item};
	struct cop_error failure = {};
	int r, worked;

	download->kept_ms = monotonic_ms();
	/* One more, since one may be keeping what came. */
	r = work_new(&ops, download, work_default_threads() + 1, &download->work, err);
	if (r < 0)
		return r;
	r = fetch(download, err);
	worked = work_finish(download->work, &failure);
	download->work = work_free(download->work);
	/* A fraud is worse than whatever followed from it. */
	return worked < 0 ? err_copy(err, &failure) : r;
}

/* Who was interrupted loses nothing that is whole. */
static int run(struct download *download, struct cop_error *err)
{
	int r = fetch_and_keep(download, err);

	if (r < 0)
		(void)receive_publish(download->staging, NULL);
	return r;
}

int download_files(struct remote *remote, struct staging *staging,
		   const struct download_file *files, size_t n, struct cop_error *err)
{
	cleanup_with(download_done) struct download download = {
		.remote = remote,
		.staging = staging,
		.arena = arena_new(),
		.blocks = map_new(),
	};
	int r = download.arena && download.blocks ? 0 : err_oom(err);

	(void)pthread_mutex_init(&download.mutex, NULL);
	for (size_t i = 0; i < n && r == 0; i++)
		r = need_file(&download, &files[i], err);
	if (r == 0)
		r = sort_needed(&download, err);
	if (r == 0)
		r = make_ranges(&download, err);
	return r < 0 ? r : run(&download, err);
}
