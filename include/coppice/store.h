/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A store: immutable trees by content, and names that point to them.
 *
 * A store handle may be used from several threads and a store by any number of processes.
 * What a function that returned 0 promised survives a power cut.  Nothing has to be
 * cleared by hand after a crash: locks are the kernel's, leftovers are swept on the next
 * open.
 */
#pragma once

#include <coppice/digest.h>
#include <coppice/error.h>

#ifdef __cplusplus
extern "C" {
#endif

struct cop_store;

enum cop_store_flags {
	/* Make the store when the directory is missing or empty. */
	COP_STORE_CREATE = 1u << 0,
	/* Nothing is written; nothing is swept. */
	COP_STORE_READ_ONLY = 1u << 1,
};

/*
 * cop_store_open() - open a store
 * @path:      its directory; parents are not made; in a store of osbuild's (it has a file
 *             cache.info) ours is the subdirectory "coppice"
 * @flags:     of enum cop_store_flags
 * @ret_store: to be given back with cop_store_close()
 *
 * Sweeps what killed processes left.  Return: 0; -ENOENT (no store there); -EPERM (it
 * belongs to another user); -EPROTONOSUPPORT (made by a newer version); -ENOTDIR,
 * -EEXIST (the directory holds something else); another negative errno.
 */
COP_API int cop_store_open(const char *path, unsigned int flags,
			   struct cop_store **ret_store, struct cop_error *err);

/* cop_store_close() - NULL is fine; removes the temporary directories of this handle;
 * objects of the store must have been freed.  Return: NULL. */
COP_API struct cop_store *cop_store_close(struct cop_store *store);

/* cop_store_path() - the absolute path it was opened by; borrowed */
COP_API const char *cop_store_path(const struct cop_store *store);

/*
 * cop_store_contains() - is there a whole object for @id?
 * @id: a name, a stage id or a digest; NULL: no
 *
 * Return: 1, 0 (also for one that is marked damaged), or a negative errno.
 */
COP_API int cop_store_contains(struct cop_store *store, const char *id,
			       struct cop_error *err);

/*
 * cop_store_resolve() - the digest that @id stands for
 * @id: looked up as a name, then a stage id, then a digest, then an unambiguous prefix of
 *      ids and digests, 6 digits or more
 *
 * Return: 0; -ENOENT; -ENOTUNIQ (an ambiguous prefix); another negative errno.
 */
COP_API int cop_store_resolve(struct cop_store *store, const char *id,
			      struct cop_digest *ret_digest, struct cop_error *err);

/*
 * cop_store_tempdir() - a private directory inside the store
 * @prefix:   may be NULL; begins the name
 * @suffix:   may be NULL; ends the name
 * @ret_path: absolute; freed by the caller
 *
 * It lives until cop_store_close() or the end of the process, whatever comes first.
 */
COP_API int cop_store_tempdir(struct cop_store *store, const char *prefix,
			      const char *suffix, char **ret_path, struct cop_error *err);

/*
 * cop_ref_set() - point a name at an object, atomically and durably
 * @name:   parts of [A-Za-z0-9._:+@-] joined by '/', none beginning with '.' or '-', at
 *          most 255 bytes each, not looking like an id (6 to 64 hexadecimal digits)
 * @digest: of an object that is in the store
 *
 * Readers see the old or the new target.  Return: 0; -EINVAL (@name); -ENOENT (@digest);
 * -EEXIST (@name and another name cannot both be: one is a directory of the other; the
 * message has both); -EROFS; another negative errno.
 */
COP_API int cop_ref_set(struct cop_store *store, const char *name,
			const struct cop_digest *digest, struct cop_error *err);

/* cop_ref_remove() - forget a name, durably; the object stays.  -ENOENT: no such name. */
COP_API int cop_ref_remove(struct cop_store *store, const char *name,
			   struct cop_error *err);

/*
 * cop_ref_list() - call @visit for every name, sorted by bytes
 * @pattern: a shell pattern (fnmatch(3), '*' matches '/' too), or NULL for all
 * @visit:   a negative return ends the list and is returned
 */
COP_API int cop_ref_list(struct cop_store *store, const char *pattern,
			 int (*visit)(void *data, const char *name,
				      const struct cop_digest *digest),
			 void *data, struct cop_error *err);

#ifdef __cplusplus
}
#endif
