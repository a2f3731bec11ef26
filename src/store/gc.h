/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Collecting garbage: what no ref, view or running process needs goes; with a cap, so do
 * the refs and downloads that were not used for the longest time.
 */
#pragma once

#include <coppice/progress.h>
#include <coppice/store.h>

enum gc_kind {
	GC_NAME,
	GC_STAGE,
	GC_FAILED,
	GC_SOURCE,
	GC_OBJECT,
	GC_FILE, /* of the pool */
	GC_REST, /* of what is gone: lists, marks, logs; what killed downloads left */
	GC_KINDS,
};

/* gc_kind_name() - "name", "stage", "failed", "source", "object", "file", "rest" */
const char *gc_kind_name(enum gc_kind kind);

/*
 * struct gc_word - one decision
 * @name: of a ref or source, digest of an object; "" for all files or all the rest
 * @why:  short, for people
 * @n, @n_bytes: how many and what they take; of a ref: what only it needed, when it goes
 */
struct gc_word {
	enum gc_kind kind;
	const char *name;
	bool goes;
	const char *why;
	uint64_t n, n_bytes;
};

/*
 * struct gc_request
 * @max_size: keep objects, files and sources together to so many bytes on disk; 0: no cap
 * @min_free: let caches go until the file system has so many bytes free
 * @keep_names: neither takes people's names
 * @dry_run: only say what would go
 * @explain: called for each decision, may be NULL
 */
struct gc_request {
	uint64_t max_size;
	uint64_t min_free;
	bool keep_names;
	bool dry_run;
	const struct cop_progress *progress;
	void (*explain)(void *data, const struct gc_word *word);
	void *data;
};

struct gc_count {
	uint64_t n, n_bytes;
};

/*
 * struct gc_result
 * @gone: what was removed, or would be; bytes are those on disk
 * @kept_bytes: of objects, files and sources with their directories, as du(1) counts
 * @over_cap: what is kept is more than the cap, as all of it is in use, pinned or named
 * @blocked: not empty: why no file of the pool could be removed
 * @longest_lock_ms: the longest time that others had to wait for us
 */
struct gc_result {
	struct gc_count gone[GC_KINDS];
	uint64_t objects_bytes, files_bytes, sources_bytes;
	bool over_cap;
	char blocked[512];
	uint64_t longest_lock_ms;
};

/*
 * store_gc() - collect
 *
 * Others may use the store meanwhile; nobody waits for more than 0.3 s.  What is needed:
 * all refs (with a cap: those that stay), what work directories and views registered, and
 * images that are mounted.  A kill leaves nothing that the next collection would not
 * take.  Needs no free space.  -EROFS.
 */
int store_gc(struct cop_store *store, const struct gc_request *request,
	     struct gc_result *ret, struct cop_error *err);

/* gc_total() - what was removed in all */
struct gc_count gc_total(const struct gc_result *result);

/*
 * store_make_room() - after -ENOSPC: collect garbage and, where that does not give a
 * tenth of the file system (4 GB at most) and twice of what is free now, caches that were
 * not used for the longest time
 * @ret_bytes: what that gave; 0: it does not help to try again
 */
int store_make_room(struct cop_store *store, uint64_t *ret_bytes, struct cop_error *err);

/* store_keep_cap() - with a cap in the settings: let caches go (no names) until the store
 * is below it.  Return: 1 when something went, 0, or a negative errno. */
int store_keep_cap(struct cop_store *store, struct gc_result *ret, struct cop_error *err);
