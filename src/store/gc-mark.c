/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Marking: from an object to its files by its side list, which costs a look per file.
 * Where neither list nor image can be read, nobody knows what the object needs, so no
 * file may go.
 */
#include <string.h>

#include "base/log.h"
#include "store/gc-private.h"

void gc_mark_file(struct gc *gc, const struct cop_digest *digest)
{
	ssize_t i = snapshot_find(&gc->files, digest);

	if (i >= 0)
		atomic_store_explicit(&gc->files.is_live[i], 1, memory_order_relaxed);
}

bool gc_is_marked(const struct gc *gc, const struct cop_digest *digest)
{
	return map_get(gc->marked, digest, sizeof(*digest)) != NULL;
}

/* Return: 1 when it is new. */
static int remember(struct gc *gc, const struct cop_digest *digest, struct cop_error *err)
{
	const char *key;
	void **slot;
	ssize_t i;

	if (gc_is_marked(gc, digest))
		return 0;
	key = arena_memdup(gc->arena, digest, sizeof(*digest));
	slot = key ? map_slot(gc->marked, key, sizeof(*digest)) : NULL;
	if (!slot)
		return err_oom(err);
	*slot = gc;
	i = snapshot_find(&gc->objects, digest);
	if (i >= 0)
		atomic_store_explicit(&gc->objects.is_live[i], 1, memory_order_relaxed);
	return 1;
}

/* An object that is gone needs nothing; a ref to it stays for people to see. */
static int read_list(struct gc *gc, const struct cop_digest *digest, bool is_locked,
		     struct buf *list, struct cop_error *err)
{
	struct cop_error reason = {};
	int r = list_get(gc->store, digest, is_locked, list, &reason);

	if (r == 0)
		return 0;
	buf_truncate(list, 0);
	if (r == -ENOMEM)
		return err_copy(err, &reason);
	if (r != -ENOENT) {
		log_debug("gc: %s", reason.message);
		gc->cannot_read = true;
	}
	return 0;
}

static int mark_one(void *data, void *item, struct cop_error *err)
{
	auto_buf list = {};
	int r = read_list(data, item, false, &list, err);

	if (r == 0)
		snapshot_mark(&((struct gc *)data)->files, &list);
	return r;
}

int gc_mark_objects(struct gc *gc, const struct cop_digest *digests, size_t n,
		    struct cop_error *err)
{
	static const struct work_ops ops = {.run = mark_one};
	auto_ptr(work) work = NULL;
	int r = 0, added = 0;

	for (size_t i = 0; i < n && r >= 0; i++) {
		added = remember(gc, &digests[i], err);
		if (added < 0)
			return added;
		if (added == 0)
			continue;
		if (!work)
			r = work_new(&ops, gc, 0, &work, err);
		if (r == 0)
			r = work_add(work, (void *)&digests[i]);
	}
	return work ? work_finish(work, err) : r;
}

int gc_mark_locked(struct gc *gc, const struct cop_digest *digest, struct cop_error *err)
{
	auto_buf list = {};
	int r = remember(gc, digest, err);

	if (r > 0)
		r = read_list(gc, digest, true, &list, err);
	if (r == 0)
		snapshot_mark(&gc->files, &list);
	return r;
}

static uint64_t own_bytes(const struct gc *gc, const struct cop_digest *digest)
{
	ssize_t i = snapshot_find(&gc->objects, digest);

	return i >= 0 ? gc->objects.bytes[i] : 0;
}

/* Marks as it counts, and notes what to take back. */
static uint64_t count_list(struct gc *gc, const struct buf *list, size_t *undo,
			   size_t *n_undo)
{
	struct snapshot *files = &gc->files;
	uint64_t n_bytes = 0;

	for (size_t at = 0; at + LIST_PREFIX <= list->size; at += LIST_PREFIX) {
		uint64_t key = prefix_key((const uint8_t *)list->data + at);

		for (size_t i = snapshot_first(files, key);
		     i < files->n && files->keys[i] == key; i++) {
			if (files->is_live[i])
				continue;
			files->is_live[i] = 1;
			n_bytes += files->bytes[i];
			undo[(*n_undo)++] = i;
		}
	}
	return n_bytes;
}

int gc_mark_within(struct gc *gc, const struct cop_digest *digest, uint64_t limit,
		   uint64_t *ret_bytes, struct cop_error *err)
{
	auto_free size_t *undo = NULL;
	auto_buf list = {};
	size_t n_undo = 0;
	int r;

	*ret_bytes = 0;
	if (gc_is_marked(gc, digest))
		return 0;
	r = read_list(gc, digest, false, &list, err);
	if (r < 0)
		return r;
	/* Each mark is noted once, so there are no more than files. */
	undo = calloc(gc->files.n + 1, sizeof(*undo));
	if (!undo)
		return err_oom(err);
	*ret_bytes = own_bytes(gc, digest) + count_list(gc, &list, undo, &n_undo);
	if (*ret_bytes <= limit) {
		r = remember(gc, digest, err);
		return r < 0 ? r : 0;
	}
	while (n_undo > 0)
		gc->files.is_live[undo[--n_undo]] = 0;
	return -EDQUOT;
}
