/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verifying: every byte is hashed again.  What is wrong is marked, so that nothing is
 * built on it and whoever has the content next puts it back; a repair looks for it
 * elsewhere.
 */
#pragma once

#include <jansson.h>

#include <coppice/progress.h>
#include <coppice/store.h>

/*
 * struct verify_supplier - somewhere else where content may be had
 * @name:  for people
 * @fetch: write the content of the pool file or image @digest to @fd, an empty file.
 *	   Return: 1 when it is there (it is checked afterwards); 0: not to be had; a
 *	   negative errno ends the repair.
 */
struct verify_supplier {
	const char *name;
	int (*fetch)(void *data, const struct cop_digest *digest, bool is_image, int fd,
		     struct cop_error *err);
	void *data;
};

/*
 * struct verify_request
 * @trees: names, ids or digests, ended by NULL; NULL: the whole store with its downloads
 * @repair: put what is wrong aside, and put back what a download of the store or one of
 *	    @suppliers has
 */
struct verify_request {
	const char *const *trees;
	bool repair;
	const struct verify_supplier *suppliers;
	size_t n_suppliers;
	const struct cop_progress *progress;
};

struct verify_result {
	uint64_t n_objects, n_files, n_sources, n_bytes; /* looked at */
	uint64_t n_damaged, n_repaired;
};

/*
 * store_verify() - hash with all processors, report, mark, and repair when asked to
 * @ret_damaged: an array of objects, a new reference: "what" (file, tree, download),
 *	"name" (its digest or name), "how" (wrong, unreadable, missing), "trees" (an array
 *	of "digest", "path" in it, "refs" to it), "repaired-from" (a string or null)
 *
 * A damaged tree counts as absent until it is whole again.  A mark that proves to be
 * wrong is taken away.  In a store that may only be read nothing is marked.
 * Return: 0, also when something is damaged; a negative errno.
 */
int store_verify(struct cop_store *store, const struct verify_request *request,
		 struct verify_result *ret, json_t **ret_damaged, struct cop_error *err);

/*
 * object_verify() - are all bytes of an object right?  As store_verify() for one object,
 * without a repair: for those who are about to give it away or to build on it.
 *
 * Return: 0; -EUCLEAN, naming what is wrong; another negative errno.
 */
int object_verify(struct cop_store *store, const struct cop_digest *digest,
		  const struct cop_progress *progress, struct cop_error *err);

/* store_supplier() - another store as a supplier; @store and the result are borrowed by
 * each other as long as it is used */
struct verify_supplier store_supplier(struct cop_store *store);
