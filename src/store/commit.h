/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a canonical tree to a durable object, in the order of docs/store-format.md:
 * stage, sync, publish, sync, ref.  A final name is given only to what is on disk.
 */
#pragma once

#include <jansson.h>

#include <coppice/progress.h>

#include "store/ref.h"
#include "store/workdir.h"
#include "tree/scan.h"

/*
 * Staging: takes the contents of files, hashes them with all processors, and keeps what
 * the pool lacks under the work directory.  Every file is read once; what is hashed is
 * what was kept.
 */
struct staging;

/*
 * staging_new()
 * @workdir: where new files are kept until they are published; NULL: only hash (for
 * digests without storing)
 * @progress: may be NULL
 */
int staging_new(struct cop_store *store, struct workdir *workdir,
		const struct cop_progress *progress, struct staging **ret_staging,
		struct cop_error *err);
struct staging *staging_free(struct staging *staging);
DEFINE_AUTO_PTR(staging)

/* staging_scan_options() - what makes tree_scan() hand files to @staging; borrowed.  Its
 * lock and unlock guard the arena of the tree for other callers of staging_add() too. */
const struct tree_scan_options *staging_scan_options(struct staging *staging);

/*
 * struct staging_place - a directory below the work directory whose files are not copied
 *			  but hashed where they are and moved when they are published
 * @below: its path there; borrowed
 * @options: hand the files of a scan of it to @staging; see staging_scan_options()
 *
 * The files must not change any more: nothing is looked at twice.  Until the first
 * barrier of a commit is passed they stay as they are; from then on they belong to the
 * pool, without owner, mode and xattrs of their own.
 */
struct staging_place {
	struct staging *staging;
	const char *below;
	struct tree_scan_options options;
};
void staging_place_init(struct staging_place *place, struct staging *staging,
			const char *below);

/*
 * staging_add() - give @node (of @tree) its content from @fd, which is consumed
 * @st:   of the file when the caller looked; it is an error (-ESTALE, named) when the
 * file changes while it is read; one change before is taken over into @node
 * @path: for messages
 *
 * Up to TREE_INLINE_MAX bytes become inline content.  May return before the work is done.
 */
int staging_add(struct staging *staging, struct tree *tree, struct tree_node *node,
		int fd, const struct stat *st, const char *path, struct cop_error *err);

/* staging_finish() - wait for everything added; the first error */
int staging_finish(struct staging *staging, struct cop_error *err);

/* staging_is_lost() - a sync failed: what was written before it may not be on disk, and
 * the kernel says so only once */
bool staging_is_lost(const struct staging *staging);

struct staging_totals {
	uint64_t n_files, n_bytes;	   /* read */
	uint64_t n_new_files, n_new_bytes; /* that the pool lacked */
};
void staging_totals(const struct staging *staging, struct staging_totals *ret);

/*
 * struct commit_request
 * @tree:    canonical; every digest is in the pool or in @staging; NULL: @object is meant
 * @object:  without a tree: it is in the store and in use by a work directory of ours
 * @workdir: of this commit
 * @staging: finished; NULL: nothing new
 * @class, @name: the ref to set at the end; NULL: none
 * @meta:    of the ref; borrowed, may be NULL
 * @progress: may be NULL
 * @base_is_held: whatever is not in @staging belongs to an object that a work directory
 *of ours has held in use since it was found whole: need not be looked for again
 * @keep_moves: leave tmp/ID/moves for store_commit_settled(), as the caller has to let go
 *	     of what was moved first
 */
struct commit_request {
	const struct tree *tree;
	const struct cop_digest *object;
	struct workdir *workdir;
	struct staging *staging;
	enum ref_class class;
	const char *name;
	const json_t *meta;
	const struct cop_progress *progress;
	bool keep_moves;
	bool base_is_held;
};

/*
 * store_commit() - make the object durable, then point the ref at it
 *
 * An equal object is kept, and files of it that the pool lost are put back.  After 0 the
 * object and the ref survive a power cut.  After a failure, refs and objects are as
 * before (whole files that were published already stay as garbage), and the call can be
 * repeated with the same staging, unless a sync failed (-EIO from then on: the kernel may
 * have dropped what was staged).  -EAGAIN: a file that the pool had when it was staged is
 * gone or was found damaged; stage again.  The object is registered as in use by
 * @workdir.
 */
int store_commit(struct cop_store *store, const struct commit_request *request,
		 struct cop_digest *ret_digest, struct cop_error *err);

/* store_digest_tree() - the digest that store_commit() would give */
int store_digest_tree(const struct tree *tree, struct cop_digest *ret_digest,
		      struct cop_error *err);

/*
 * store_commit_directory() - scan @dir_fd (not O_PATH) and commit it
 * @store: may be NULL with only_digest
 * @source_epoch: clamp later mtimes to it; negative: do not
 * @report: may be NULL
 */
struct commit_directory_options {
	enum ref_class class;
	const char *name; /* NULL: no ref */
	const json_t *meta;
	int64_t source_epoch;
	bool only_digest; /* store nothing */
	const struct cop_progress *progress;
	struct tree_scan_report *report;
	struct staging_totals *totals;
};
int store_commit_directory(struct cop_store *store, int dir_fd,
			   const struct commit_directory_options *options,
			   struct cop_digest *ret_digest, struct cop_error *err);

/* The moments between the steps of a commit and of a collection, for tests of crashes and
 * power cuts. */
enum commit_step {
	COMMIT_FILE_READ,  /* a file was read and will be looked at again; any thread */
	COMMIT_STAGED,	   /* files and image written, nothing synced */
	COMMIT_SYNCED,	   /* first barrier passed, tmp/ID/moves is in place */
	COMMIT_FILE_MOVED, /* after each file that entered the pool */
	COMMIT_PUBLISHED,  /* image and meta in place */
	COMMIT_BARRIER,	   /* second barrier passed */
	COMMIT_REF_SET,	   /* the ref is replaced and synced */
	GC_PLANNED,	   /* what goes is decided, no lock is held */
	GC_LOOKED,	   /* what is needed was read again; the lock is held */
	GC_EVICTED,	   /* after each ref or source that went; the lock is held */
	GC_REMOVED,	   /* the same after each object and file */
};

/* store_set_step_hook() - called at every step, COMMIT_FILE_READ in the threads that
 * hash, the others in the committing thread; NULL: nobody. For tests; not safe beside
 * running commits. */
void store_set_step_hook(void (*hook)(void *data, enum commit_step step), void *data);

/*
 * store_resume_commit() - finish publishing what a killed commit left in a work directory
 * @workdir_fd: tmp/ID (or a view's own directory) whose former owner is gone
 *
 * Only when tmp/ID/moves exists, which means that the first barrier was passed.  Files
 * and image are published and synced; a stage ref is set if there is none; names are not,
 * as somebody may have given them a newer meaning.  To be followed by
 * store_commit_settled(); until then it can be repeated.  Return: 1 and the digest when
 * something was finished; 0 when there was nothing to finish; a negative errno.
 */
int store_resume_commit(struct cop_store *store, int workdir_fd,
			struct cop_digest *ret_digest, struct cop_error *err);

/* store_commit_is_open() - there is something for store_resume_commit() to finish */
bool store_commit_is_open(int workdir_fd);

/* store_commit_settled() - nobody looks for the published files in the work directory any
 * more: forget the list of them */
int store_commit_settled(int workdir_fd, struct cop_error *err);
