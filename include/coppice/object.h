/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An Object: one tree on its way through a run.  It begins empty or from a base, is
 * written any number of times, read any number of times, and enters the store only when
 * it is committed.  One thread at a time per Object.
 *
 * Where it may, the library mounts trees instead of copying them, in the mount namespace
 * it is called in.  A program should make one of its own before its first thread, with
 * mounts that are slaves of those outside: then nobody else keeps them busy, and they end
 * with the program, however it ends.
 */
#pragma once

#include <coppice/store.h>

#ifdef __cplusplus
extern "C" {
#endif

struct cop_object;
struct cop_reader;

/*
 * cop_object_new() - a new Object, of which the store knows nothing
 * @base: a name, stage id or digest from which it grows; NULL: an empty tree (root
 *        directory 0755, owned by us)
 *
 * @base is kept as it is and resolved when the Object is next read or written.
 */
COP_API int cop_object_new(struct cop_store *store, const char *base,
			   struct cop_object **ret_object, struct cop_error *err);

/* cop_object_free() - drop it with everything that was not committed; open readers and
 * the writer end, but readers are still to be closed.  NULL is fine.  Return: NULL. */
COP_API struct cop_object *cop_object_free(struct cop_object *object);

/* cop_object_base() - what it grows from, as given; NULL: nothing.  Borrowed until the
 * next commit or cop_object_set_base(). */
COP_API const char *cop_object_base(const struct cop_object *object);

/* cop_object_set_base() - grow from @base (NULL: from nothing) at the next read or write;
 * what was written since is dropped.  -EBUSY while it is open. */
COP_API int cop_object_set_base(struct cop_object *object, const char *base,
				struct cop_error *err);

/* cop_object_init() - grow from the base now; nothing to do when it has already.
 * -ENOENT when the base is not in the store (any more); -EBUSY while it is open. */
COP_API int cop_object_init(struct cop_object *object, struct cop_error *err);

/*
 * cop_object_write() - open for writing
 * @ret_path: absolute path of the tree; borrowed, good until cop_object_write_end()
 *
 * Return: 0; -EBUSY while there is a reader or another writer; as cop_object_init().
 */
COP_API int cop_object_write(struct cop_object *object, const char **ret_path,
			     struct cop_error *err);

/* cop_object_write_end() - no more writing for now; 0 when it was not open */
COP_API int cop_object_write_end(struct cop_object *object, struct cop_error *err);

/* cop_object_read() - open for reading; any number of times at once; -EBUSY while it is
 * being written.  Return: 0 and a reader to be closed with cop_reader_close(). */
COP_API int cop_object_read(struct cop_object *object, struct cop_reader **ret_reader,
			    struct cop_error *err);

/* cop_reader_path() - absolute path of the tree; borrowed; NULL once the Object is gone.
 * What is written there is lost or ends up in some later commit: do not. */
COP_API const char *cop_reader_path(const struct cop_reader *reader);

/* cop_reader_close() - NULL is fine.  Return: NULL. */
COP_API struct cop_reader *cop_reader_close(struct cop_reader *reader);

/* cop_object_digest() - of the tree as it is now; stores nothing, and lays nothing out
 * for an Object that was not written.  -EBUSY while open for writing; -EPERM as
 * cop_store_commit(). */
COP_API int cop_object_digest(struct cop_object *object, struct cop_digest *ret_digest,
			      struct cop_error *err);

/*
 * cop_store_commit() - put the tree into the store and point @id at it
 * @id:         a name, or 64 hexadecimal digits for a stage id; replaced atomically
 * @ret_digest: of the tree; may be NULL
 *
 * An equal tree that is in the store already is kept.  From then on @id is the Object's
 * base, and the next read or write starts from what @id stands for then.  Durable when it
 * returns 0; after a failure the Object is as it was and can be committed again.
 * Return: 0; -EBUSY while it is open for reading or writing, or while a process still has
 * files of it open for writing or keeps it mounted (the message says who); -EPERM when
 * something was changed that the view could not make as the base has it, such as the mode
 * of a set-uid file of root by a plain user; another negative errno.
 */
COP_API int cop_store_commit(struct cop_store *store, struct cop_object *object,
			     const char *id, struct cop_digest *ret_digest,
			     struct cop_error *err);

/* cop_object_store_tree() - put the tree into the store without any name, durably, and
 * reset the Object; the caller should name it before the next collection */
COP_API int cop_object_store_tree(struct cop_object *object,
				  struct cop_digest *ret_digest, struct cop_error *err);

/* cop_object_reset() - back to the state after cop_object_new() with the current base.
 * -EBUSY while it is open. */
COP_API int cop_object_reset(struct cop_object *object, struct cop_error *err);

#ifdef __cplusplus
}
#endif
