/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must not leave this store: a key that only it has, and marks on objects that hold
 * secrets of a build.
 */
#pragma once

#include <coppice/store.h>

#define STORE_SECRET_KEY 32

/*
 * store_secret_key() - random bytes that are this store's own, made when first asked for
 *
 * With them a secret gets a digest that says nothing to who has not got the store.
 * Durable when it returns.  Return: 0; -EROFS (a read-only store that has none);
 * -EBADMSG; another negative errno.
 */
int store_secret_key(struct cop_store *store, unsigned char key[STORE_SECRET_KEY],
		     struct cop_error *err);

/* object_mark_private() - it holds a secret: no remote may get it */
int object_mark_private(struct cop_store *store, const struct cop_digest *digest,
			struct cop_error *err);
bool object_is_private(const struct cop_store *store, const struct cop_digest *digest);
