/* SPDX-License-Identifier: Apache-2.0 */
/* What the files gc*.c share. */
#pragma once

#include <endian.h>
#include <stdatomic.h>
#include <string.h>

#include "store/gc.h"
#include "store/private.h"

/* ---- gc-snapshot.c: a directory of 256 shards as it was when it was read */

/*
 * struct snapshot
 * @digests: of its files, sorted; @keys: their first 8 bytes as numbers; @bytes: on disk
 * @is_live: somebody needs it (SNAPSHOT_MOUNTED: a mount does); any thread may set one
 * @other_bytes: of directories, and of what is not ours
 */
#define SNAPSHOT_MOUNTED 2
#define SNAPSHOT_SHARDS	 256
struct snapshot {
	struct cop_digest *digests;
	uint64_t *keys;
	uint64_t *bytes;
	_Atomic uint8_t *is_live;
	size_t n;
	uint64_t n_bytes, other_bytes;
	size_t *index; /* by the first @index_bits of a key */
	unsigned int index_bits;
};

/* snapshot_read() - with all processors */
int snapshot_read(struct cop_store *store, const char *directory,
		  struct snapshot *snapshot, struct cop_error *err);
void snapshot_done(struct snapshot *snapshot);
/* snapshot_directories() - what @directory and the directories in it take on disk */
uint64_t snapshot_directories(const struct cop_store *store, const char *directory);
/* snapshot_find() - the place of @digest, or -1 */
ssize_t snapshot_find(const struct snapshot *snapshot, const struct cop_digest *digest);
/* snapshot_first() - the first place whose key is @key or more */
size_t snapshot_first(const struct snapshot *snapshot, uint64_t key);
/* snapshot_mark() - all whose keys are in a side list, by any thread */
void snapshot_mark(struct snapshot *snapshot, const struct buf *list);

/* prefix_key() - so that keys are in the order of their bytes */
static inline uint64_t prefix_key(const uint8_t prefix[LIST_PREFIX])
{
	uint64_t key;

	memcpy(&key, prefix, sizeof(key));
	return be64toh(key);
}

/* ---- gc-needs.c: what is needed beside refs */

struct need {
	struct cop_digest digest;
	const char *by; /* "tmp/ID" or "views/ID" */
};

/* struct needs - @files: of commits that are not settled; @sources: as people name them
 */
struct needs {
	struct arena *arena;
	struct need *objects, *files;
	size_t n_objects, objects_room, n_files, files_room;
	const char **sources;
	size_t n_sources, sources_room;
	bool all_sources;
};

int needs_read(struct cop_store *store, struct needs *needs, struct cop_error *err);
void needs_done(struct needs *needs);
int needs_add_object(struct needs *needs, const struct cop_digest *digest);
bool needs_source(const struct needs *needs, const char *name);

/*
 * object_lease() - is the image open or mounted anywhere, in whatever mount namespace?
 *
 * Return: an fd; while it is open, the image can be opened, but who does is noticed by
 * the kernel and waits for us; -EBUSY: it is in use; -ENOENT; -EOPNOTSUPP: cannot be
 * told.
 */
int object_lease(struct cop_store *store, const struct cop_digest *digest);

/* ---- gc-plan.c: what goes */

/* A ref or a source that may have to go. */
struct candidate {
	enum gc_kind kind;
	const char *name;
	struct cop_digest digest; /* of a ref */
	struct timespec last_use;
	uint64_t n_bytes; /* of a source; of a ref: what went with it */
	bool is_held;	  /* may not go: pinned, in use, or a name when those stay */
	bool goes;
	const char *why;
};

struct gc {
	struct cop_store *store;
	const struct gc_request *request;
	struct gc_result *result;
	struct arena *arena;
	struct snapshot objects, files;
	struct map *marked; /* digests of objects whose files are marked */
	struct timespec shards_seen[SNAPSHOT_SHARDS]; /* change times of objects/ab */
	struct candidate *candidates;
	size_t n_candidates, candidates_room;
	uint64_t sources_bytes, source_directories;
	struct needs needs;	  /* when the plan was made */
	_Atomic bool cannot_read; /* an object whose files nobody can tell */
};

/* gc_collect_candidates() - refs of all classes and sources, with their last use */
int gc_collect_candidates(struct gc *gc, struct cop_error *err);
/* gc_plan() - mark what stays, decide what goes */
int gc_plan(struct gc *gc, struct cop_error *err);
/* gc_explain() - tell the caller */
void gc_explain(const struct gc *gc);

/* ---- gc-mark.c */

/* gc_mark_objects() - @n objects and their files are needed; with all processors */
int gc_mark_objects(struct gc *gc, const struct cop_digest *digests, size_t n,
		    struct cop_error *err);
/*
 * gc_mark_within() - the same for one object, as long as no more than @limit bytes become
 * needed by it; *@ret_bytes: how many.  Return: 0; -EDQUOT: more, and nothing is marked.
 */
int gc_mark_within(struct gc *gc, const struct cop_digest *digest, uint64_t limit,
		   uint64_t *ret_bytes, struct cop_error *err);
/* gc_mark_file() - a file of the pool is needed, whoever needs it */
void gc_mark_file(struct gc *gc, const struct cop_digest *digest);
bool gc_is_marked(const struct gc *gc, const struct cop_digest *digest);
/* gc_mark_locked() - as gc_mark_objects(), with the lock held, in this thread */
int gc_mark_locked(struct gc *gc, const struct cop_digest *digest, struct cop_error *err);

/* ---- gc-rest.c: what speaks of things that are gone */

int gc_remove_rest(struct gc *gc, struct cop_error *err);
