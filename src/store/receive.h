/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Contents that come from elsewhere than a directory: from a remote.  Nothing is kept but
 * under the digest that it has.  Safe from several threads at the same time.
 */
#pragma once

#include "store/commit.h"

/*
 * receive_bytes() - keep the content of a file, of TREE_INLINE_MAX + 1 bytes or more
 *
 * Return: 0, also when the pool has it; -EBADMSG when it has another digest than @digest;
 * another negative errno.
 */
int receive_bytes(struct staging *staging, const struct cop_digest *digest,
		  const void *data, size_t size, struct cop_error *err);

/* A large file whose pieces come in any order. */
struct received;

/* received_new() - the file is as long as @size at once, and all hole */
int received_new(struct staging *staging, const struct cop_digest *digest, uint64_t size,
		 struct received **ret_received, struct cop_error *err);
/* received_free() - what was not ended is dropped; NULL is fine.  Return: NULL. */
struct received *received_free(struct received *received);
DEFINE_AUTO_PTR(received)

/* received_write() - one piece; @offset is a multiple of 4096 */
int received_write(struct received *received, const void *data, size_t size,
		   uint64_t offset, struct cop_error *err);

/* received_end() - every piece was written: keep the file.  -EBADMSG: it is another one.
 */
int received_end(struct received *received, struct cop_error *err);

/*
 * receive_publish() - put what was received so far into the pool, durably
 *
 * Nothing refers to it yet, so a collection may take it away again; but who is
 * interrupted need not receive it a second time.  More may be received meanwhile, but
 * only one publishes at a time.
 */
int receive_publish(struct staging *staging, struct cop_error *err);

/* object_list() - the sorted first 8 bytes of the digests of its pool files, appended to
 * the empty @list: what tells how near two objects are */
#define OBJECT_LIST_PREFIX 8
int object_list(struct cop_store *store, const struct cop_digest *digest,
		struct buf *list, struct cop_error *err);
