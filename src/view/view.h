/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Views: a tree of the store at a path.  This room chooses how (here: a copy) and says
 * so.
 */
#pragma once

#include <coppice/object.h>
#include <coppice/progress.h>

#include <jansson.h>

#include "store/ref.h"
#include "tree/tree.h"

/* view_describe() - which view is in use and why, one line for status and logs; static */
const char *view_describe(struct cop_store *store);

/* view_set_default() - "overlay" or "copy" for all who open the store from now on; "auto":
 * what works.  COPPICE_VIEW in the environment goes before it.  Durable.  Return: 0;
 * -EINVAL for another @kind; what keeps overlay views from working here. */
int view_set_default(struct cop_store *store, const char *kind, struct cop_error *err);

/*
 * view_export() - lay out @tree in @dir_fd, an empty directory, with full fidelity
 *
 * Owners, modes, set-id bits, times, xattrs, ACLs, hard links, holes, devices.  What the
 * caller or the file system cannot do is an error that names the path and what is
 * missing; what was made until then stays.  The contents come from the pool of @store and
 * are checked for size.  Not durable.  Return: 0; -ENOTEMPTY; another negative errno.
 */
int view_export(struct cop_store *store, const struct tree *tree, int dir_fd,
		const struct cop_progress *progress, struct cop_error *err);

/*
 * Objects, for the engine: what coppice/object.h does not need.
 *
 * object_commit_as() - cop_store_commit() with the class of the ref and its meta
 *
 * With REF_FAILED and without a name the base is kept in any case.
 */
struct object_commit_options {
	enum ref_class class;
	const char *name; /* NULL: no ref */
	const json_t *meta;
	const struct cop_progress *progress;
	bool keep_base; /* do not make the ref the base: the Object goes on as it is */
};
int object_commit_as(struct cop_object *object,
		     const struct object_commit_options *options,
		     struct cop_digest *ret_digest, struct cop_error *err);

/* object_set_progress() - who hears of layouts and, where the options name nobody, of
 * commits; borrowed until the next call or the end of the Object.  NULL: nobody. */
void object_set_progress(struct cop_object *object, const struct cop_progress *progress);

/* object_clamp() - mtimes on disk later than @epoch become it, only where something was
 * written since the Object grew from its base or was committed.  -EBUSY while it is open.
 */
int object_clamp(struct cop_object *object, int64_t epoch, struct cop_error *err);

struct object_changes {
	uint64_t n_entries;	  /* in the tree, its root included */
	uint64_t n_changed;	  /* entries that differ, and those that are gone */
	uint64_t n_changed_bytes; /* of the files among them */
};

/* object_changes() - how much has changed since the base or the last commit, without
 * hashing: an upper limit, as touched files count as changed.  -EBUSY while it is open
 * for writing. */
int object_changes(struct cop_object *object, struct object_changes *ret,
		   struct cop_error *err);
