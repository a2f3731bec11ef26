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

/* A large file whose pieces come in any order.  Each but the last has this size. */
#define RECEIVED_PIECE (1 * MIB)
struct received;

/*
 * received_new() - a file of @size bytes, of which an earlier attempt may have left
 * pieces
 *
 * Nothing is open or on the disk before the first piece is written, so there may be many.
 * One of 8 MiB or more is written where a later attempt finds it, should this one be
 * killed (docs/store-format.md, "partial"); if another process is at the same file, each
 * writes its own.
 */
int received_new(struct staging *staging, const struct cop_digest *digest, uint64_t size,
		 struct received **ret_received, struct cop_error *err);
/* received_free() - what was not ended stays only where it can be resumed; NULL is fine.
 * Return: NULL. */
struct received *received_free(struct received *received);
DEFINE_AUTO_PTR(received)

/* received_has() - the piece at @offset came in an earlier attempt; never true of all */
bool received_has(const struct received *received, uint64_t offset);

/* received_write() - one piece; @offset is a multiple of RECEIVED_PIECE */
int received_write(struct received *received, const void *data, size_t size,
		   uint64_t offset, struct cop_error *err);

/*
 * received_end() - every piece was written: keep the file
 *
 * Return: 0; -EBADMSG: it is another one; -EAGAIN: it is another one, but pieces of an
 * earlier attempt are in it: they are gone now, and all is to be received again; another
 * negative errno.
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
