/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tmp/ID: a private directory of this process, held by a kernel lock for as long as the
 * handle (or the process) lives.  Everything unfinished happens in one; what a killed
 * process leaves is recognised by its free lock and swept.
 */
#pragma once

#include <coppice/store.h>

#include "base/defs.h"
#include "base/error.h"

struct workdir;

/* workdir_new() - make and lock one; @prefix and @suffix may be NULL */
int workdir_new(struct cop_store *store, const char *prefix, const char *suffix,
		struct workdir **ret_workdir, struct cop_error *err);

/* workdir_free() - remove it with everything in it; NULL is fine.  Return: NULL. */
struct workdir *workdir_free(struct workdir *workdir);
DEFINE_AUTO_PTR(workdir)

/*
 * views/ID: a directory that stays when its handle is freed and is never swept: that of a
 * view that lives until somebody ends it.  Its lock only says that somebody works on it.
 *
 * workdir_keep() - move it from tmp to views, under the same id
 * workdir_open_kept() - by its id.  Return: 0; -ENOENT: there is none; -EBUSY: another
 * process works on it; another negative errno.
 * workdir_doom() - it goes with its handle after all
 * workdir_doom_free() - the same, and the caller knows that nothing is mounted from it
 */
int workdir_keep(struct workdir *workdir, struct cop_error *err);
int workdir_open_kept(struct cop_store *store, const char *id,
		      struct workdir **ret_workdir, struct cop_error *err);
void workdir_doom(struct workdir *workdir);
void workdir_doom_free(struct workdir *workdir);

/* workdir_id() - its name; borrowed */
const char *workdir_id(const struct workdir *workdir);

/* workdir_fd() - the directory; borrowed */
int workdir_fd(const struct workdir *workdir);

/* workdir_path() - its absolute path; borrowed */
const char *workdir_path(const struct workdir *workdir);

/*
 * workdir_register() - count an object as in use for as long as this directory lives
 *
 * The caller must hold the store's shared lock (store/lock.h), taken before it looked
 * whether the object is there.
 */
int workdir_register(struct workdir *workdir, const struct cop_digest *digest,
		     struct cop_error *err);

/*
 * workdir_register_source() - the same for a download, which is looked for afterwards
 * @name: its name in a directory of STORE/sources; NULL: all of them
 *
 * Takes the shared lock.
 */
int workdir_register_source(struct workdir *workdir, const char *name,
			    struct cop_error *err);
