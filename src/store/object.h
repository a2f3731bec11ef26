/* SPDX-License-Identifier: Apache-2.0 */
/* Objects and pool files of a store, by digest. */
#pragma once

#include <coppice/store.h>

#include "store/workdir.h"
#include "tree/tree.h"

/*
 * object_get() - resolve @id and register what it stands for as in use by @workdir, in
 * one step under the shared lock: from then on no collection takes it away
 *
 * Also marks a ref found by name or stage id as used now.  Return: as
 * cop_store_resolve(); -ENOENT too when the object is missing or marked damaged.
 */
int object_get(struct cop_store *store, struct workdir *workdir, const char *id,
	       struct cop_digest *ret_digest, struct cop_error *err);

/* object_exists() - 1 when the image is there and not marked damaged, else 0, or an errno
 */
int object_exists(struct cop_store *store, const struct cop_digest *digest,
		  struct cop_error *err);

/* object_open_image() - the composefs image, read-only; the caller closes.  Return: the
 * fd or a negative errno. */
int object_open_image(struct cop_store *store, const struct cop_digest *digest,
		      struct cop_error *err);

/* object_read_tree() - the parsed image; damage is an error that names the object */
int object_read_tree(struct cop_store *store, const struct cop_digest *digest,
		     struct tree **ret_tree, struct cop_error *err);

/*
 * object_check_files() - are all its pool files there, in the right size?
 *
 * A power cut may have taken what a file system had promised, so an object is looked at
 * once after each start of the machine, by whoever uses it first; that it was found whole
 * is noted in the ctime of its image, which is later than the start for what was
 * committed since, too.  After the first start since it was written every byte is hashed,
 * as what was read before may have come from memory; that is noted in the mtime of the
 * image.  A read-only store notes nothing.  Return: 0; -EUCLEAN, naming
 * the file, and the object is marked damaged; -ENOENT; another negative errno.
 */
int object_check_files(struct cop_store *store, const struct cop_digest *digest,
		       struct cop_error *err);

/* object_set_start() - when the machine started, as far as object_check_files() goes, in
 * seconds; for tests */
void object_set_start(int64_t seconds);

/* object_mark_damaged() - whoever found its image or a file of it wrong or missing says
 * so: it counts as absent until a commit has made it whole again */
int object_mark_damaged(struct cop_store *store, const struct cop_digest *digest,
			struct cop_error *err);

/* pool_open_file() - content by its digest, read-only; checks that the size is @size.
 * Return: the fd; -ENOENT, -EUCLEAN (another size), naming the file; another errno. */
int pool_open_file(struct cop_store *store, const struct cop_digest *digest,
		   uint64_t size, struct cop_error *err);

/* pool_has_file() - 1 when a file of that digest and size is there, else 0, or an errno
 */
int pool_has_file(struct cop_store *store, const struct cop_digest *digest, uint64_t size,
		  struct cop_error *err);
