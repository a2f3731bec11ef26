/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this room share.  Paths are relative to the store's directory fd. */
#pragma once

#include <pthread.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/fs.h"
#include "base/map.h"
#include "base/work.h"
#include "digest/verity.h"
#include "store/commit.h"
#include "store/lock.h"
#include "store/object.h"
#include "store/ref.h"
#include "store/store.h"
#include "store/workdir.h"

struct cop_store {
	char *path; /* absolute */
	char *sources_path;
	int fd;
	bool read_only;
	bool is_trusted;       /* see store_trust() */
	char *writes_need;     /* why it is, when a newer version made it so */
	pthread_mutex_t mutex; /* guards @temps */
	struct workdir **temps;
	size_t n_temps;
};

/* store_check_writable() - 0, or -EROFS with a message */
int store_check_writable(const struct cop_store *store, struct cop_error *err);

/* Names below the store.  Each returns @path. */
#define STORE_PATH_SIZE 96
char *object_path(const struct cop_digest *digest, char path[STORE_PATH_SIZE]);
char *pool_path(const struct cop_digest *digest, char path[STORE_PATH_SIZE]);
char *list_path(const struct cop_digest *digest, char path[STORE_PATH_SIZE]);
char *damaged_path(const struct cop_digest *digest, char path[STORE_PATH_SIZE]);

/* ---- format.c */

/* format_check() - -ENOENT when there is no format file; *@ret_writes_need: NULL, or what
 * writing needs that we do not know; freed by the caller */
int format_check(int store_fd, const char *path, char **ret_writes_need,
		 struct cop_error *err);
/* format_create() - make what @store_fd lacks, the format file last */
int format_create(int store_fd, const char *path, struct cop_error *err);
/* format_make_dirs() - the directories of a store, where they are missing */
int format_make_dirs(int store_fd, struct cop_error *err);

/* ---- lock.c */

/* lock_try_exclusive() - as store_lock_take(), but -EAGAIN instead of waiting */
int lock_try_exclusive(struct cop_store *store, struct store_lock **ret_lock,
		       struct cop_error *err);
/* lock_exclusive_soon() - as store_lock_take(), but whoever has the store now may keep it
 * for long, and those who come meanwhile do not wait for us more than a tenth of a second
 * at a time */
int lock_exclusive_soon(struct cop_store *store, struct store_lock **ret_lock,
			struct cop_error *err);
/* lock_try_stage() - as store_lock_stage(), but -EAGAIN instead of waiting */
int lock_try_stage(struct cop_store *store, const char *id, struct store_lock **ret_lock,
		   struct cop_error *err);
/* lock_tmp() - shared, waiting, to make a work directory; exclusive and without waiting
 * (-EAGAIN) to look for dead ones */
int lock_tmp(struct cop_store *store, enum store_lock_mode mode,
	     struct store_lock **ret_lock, struct cop_error *err);
/* lock_refs() - on top of a shared lock: only one process replaces names */
int lock_refs(struct store_lock *lock, struct cop_error *err);
void unlock_refs(struct store_lock *lock);

/* ---- sweep.c, workdir.c */

void store_sweep(struct cop_store *store);
/* workdir_make_root() - tmp/ID/roots/DIGEST below the directory @workdir_fd */
int workdir_make_root(int workdir_fd, const struct cop_digest *digest,
		      struct cop_error *err);

/* The root that stands for all sources; others have the name of one (workdir.h). */
#define ROOT_ALL_SOURCES "sources"

/* ---- gc-room.c */

/* store_free_bytes() - of the file system, for such as us */
uint64_t store_free_bytes(const struct cop_store *store);

/* ---- pool.c */

/* pool_is_right() - as far as one can see: a regular file of this size that carries no
 * mark of damage, which is that nobody may read it */
bool pool_is_right(const struct stat *st, uint64_t size);
/* pool_state() - 1: there is one that is right so far; 0: none */
int pool_state(const struct cop_store *store, const struct cop_digest *digest,
	       uint64_t size, struct cop_error *err);
/* pool_verify() - 1: the content is right; 0: missing or wrong */
int pool_verify(const struct cop_store *store, const struct cop_digest *digest,
		uint64_t size, struct cop_error *err);

/* ---- object.c */

/* object_is_whole() - 1 when the image of @size bytes and its side list are there and no
 * mark says otherwise, else 0 */
int object_is_whole(const struct cop_store *store, const struct cop_digest *digest,
		    uint64_t size);
bool object_is_damaged(const struct cop_store *store, const struct cop_digest *digest);
/* object_open_path() - an image, read-only, by its path.  Return: the fd, or -1 and
 * errno.
 */
int object_open_path(const struct cop_store *store, const char *path);

/* ---- encode.c */

/* struct encoded - @size: of the image; @list: the side list of the object */
struct encoded {
	struct cop_digest digest;
	uint64_t size;
	uint8_t *list;
	size_t list_size;
};

void encoded_done(struct encoded *encoded);
/*
 * encode_object() - write the image of @tree as the new file "image" below @dir_fd
 * @dir_fd: negative: only the digest and the size, nothing is written and no list made
 *
 * Not synced, but on its way to the disk.  A failure leaves no file.
 */
int encode_object(const struct tree *tree, int dir_fd, struct encoded *ret,
		  struct cop_error *err);

/* ---- list.c: which pool files an object needs, as the sorted beginnings of their
 * digests
 */

#define LIST_PREFIX 8

/* list_make() - the side list of the object @digest, whose tree is @tree, with its check
 * at the end; freed by the caller */
int list_make(const struct tree *tree, const struct cop_digest *digest,
	      uint8_t **ret_list, size_t *ret_size, struct cop_error *err);
/* list_collect() / list_seal() - the same in two steps, as the digest is known later: the
 * list with room for the check, then the check into the last LIST_PREFIX of its @size
 * bytes */
int list_collect(const struct tree *tree, uint8_t **ret_list, size_t *ret_size,
		 struct cop_error *err);
int list_seal(const struct cop_digest *digest, uint8_t *list, size_t size,
	      struct cop_error *err);
/* list_read() - without the check, into the empty @list.  -ENOENT; -EUCLEAN: damaged */
int list_read(const struct cop_store *store, const struct cop_digest *digest,
	      struct buf *list, struct cop_error *err);
/* list_get() - the same, or made from the image, and then put back unless @is_locked (the
 * caller holds a lock of the store).  Fails only when the image cannot be read either. */
int list_get(struct cop_store *store, const struct cop_digest *digest, bool is_locked,
	     struct buf *list, struct cop_error *err);

/* ---- resolve.c */

struct resolved {
	struct cop_digest digest;
	bool is_ref; /* found as the ref @class and @name */
	enum ref_class class;
	char name[COP_DIGEST_HEX + 1]; /* of a stage found by a prefix; "": as given */
};
int resolve(struct cop_store *store, const char *id, struct resolved *ret,
	    struct cop_error *err);

/* ---- ref.c, meta.c */

#define REF_NAME_SIZE 1024 /* longest name with its NUL */
#define REF_PATH_SIZE (REF_NAME_SIZE + 32)

/* ref_looks_like_id() - 6 to 64 lower-case hexadecimal digits */
bool ref_looks_like_id(const char *name);
/* ref_check_name() - 0, or -EINVAL with a message */
int ref_check_name(enum ref_class class, const char *name, struct cop_error *err);

/*
 * ref_put() - move a meta file into place, then the ref, and make both durable
 * @lock: a shared lock, taken before the caller saw the object
 * @meta_dir_fd, @meta_name: the meta file, already on disk; NULL: leave the meta alone
 */
int ref_put(struct cop_store *store, struct store_lock *lock, enum ref_class class,
	    const char *name, const struct cop_digest *digest, int meta_dir_fd,
	    const char *meta_name, struct cop_error *err);

char *meta_path(enum ref_class class, const char *name, char path[REF_PATH_SIZE]);
/* ref_last_use() - when the ref was used or, where nobody knows, made; 0 when it is gone
 */
void ref_last_use(const struct cop_store *store, enum ref_class class, const char *name,
		  struct timespec *ret);
/* ref_unlink() - the ref and its meta, not durably; the caller has the store exclusively,
 * or shared and the names.  Return: 0 or a negative errno. */
int ref_unlink(struct cop_store *store, enum ref_class class, const char *name);
/* meta_text() - what is kept for a ref, appended to @buf */
int meta_text(const json_t *meta, const struct cop_digest *digest, struct buf *buf,
	      struct cop_error *err);
/* meta_put() - rename a file to where the meta of a ref belongs; clears away what an
 * older name left in the way */
int meta_put(struct cop_store *store, enum ref_class class, const char *name, int dir_fd,
	     const char *file, struct cop_error *err);
/* meta_remove() - best effort: a meta file without its ref says nothing */
void meta_remove(struct cop_store *store, enum ref_class class, const char *name);
/* dir_prune() - remove empty directories above the removed @path, but none of the first
 * @n_keep parts */
void dir_prune(int store_fd, const char *path, unsigned int n_keep);

/* ---- staging.c, stage-file.c */

/* One content that was seen: in the pool already, or kept under tmp/ID/files. */
enum staged_state { STAGED_CLAIMED, STAGED_IN_POOL, STAGED_NEW };
struct staged_file {
	struct cop_digest digest;
	uint64_t size;
	enum staged_state state;
	const char *path; /* below the work directory, where it is not kept in files/ */
};

struct stage_context;

struct staging {
	struct cop_store *store; /* NULL: only hash */
	struct workdir *workdir; /* NULL: only hash */
	const struct cop_progress *progress;
	struct tree_scan_options scan_options;
	struct work *work;
	size_t buffer_size; /* files up to this size are read as a whole */
	int files_fd;	    /* tmp/ID/files */
	bool fix_mode;	    /* the umask takes bits of 0444 */
	bool finished;
	bool lost; /* a sync failed: the kernel may have dropped what we wrote */
	struct cop_error failure;
	pthread_mutex_t mutex; /* guards all below, and the arena of the tree */
	struct arena *arena;
	struct map *files; /* digest -> struct staged_file */
	struct stage_context *contexts;
	uint64_t n_large;
	uint64_t n_known; /* contents that the pool had already */
	bool clone_refused;
	dev_t clone_refused_by; /* the file system that files were read from */
	struct staging_totals totals;
	int64_t last_update_ms;
};

/* What one worker needs to read a file; passed from file to file. */
struct stage_context {
	struct stage_context *next;
	struct verity *verity;
	uint8_t *buffer; /* buffer_size + 1 bytes */
};

struct stage_item {
	struct tree *tree;
	struct tree_node *node;
	int fd;
	struct stat st;
	bool is_frozen;	   /* must not have changed */
	const char *below; /* NULL: to be copied; else see struct staging_place */
	char path[];
};

/* stage_file() - read, hash, keep, and give the node its content */
int stage_file(struct staging *staging, struct stage_context *context,
	       struct stage_item *item, struct cop_error *err);

/* ---- receive.c, for received.c */

/* receive_failed(), receive_wrong() - say so; Return: @code, -EBADMSG */
int receive_failed(const struct staging *staging, const struct cop_digest *digest,
		   int code, struct cop_error *err);
int receive_wrong(const struct cop_digest *digest, struct cop_error *err);

/* receive_enter() - remember a content.  Return: 1; 0 when it was there. */
int receive_enter(struct staging *staging, const struct cop_digest *digest, uint64_t size,
		  enum staged_state state);

/* receive_make_shard() - the directory below tmp/ID/files that @payload is to be in */
int receive_make_shard(const struct staging *staging, const char *payload);

/* receive_open_new() - a new file below tmp/ID/files.  Return: an fd, or negative errno.
 */
int receive_open_new(const struct staging *staging, const char *name);

/* receive_write() - aligned blocks of zeros stay holes; @offset is a multiple of their
 * size */
int receive_write(int fd, const uint8_t *data, size_t size, uint64_t offset);

/* ---- received.c, for the collection */

/* received_take_abandoned() - partial/@name is nobody's: whoever has the fd may remove
 * it. Return: an fd; -EBUSY. */
int received_take_abandoned(int store_fd, const char *name);

/* ---- moves.c: what a commit has to move, in memory and as tmp/ID/moves */

struct move {
	struct cop_digest digest;
	uint64_t size;
	const char *path; /* below the work directory, borrowed; NULL: files/ab/cdef... */
	bool done;
};

struct moves {
	struct cop_digest object;
	uint64_t image_size;
	enum ref_class class;
	char *name; /* owned; NULL: no ref */
	struct move *list;
	size_t n;
	struct buf text; /* what it was read from: the paths stand there */
};

void moves_done(struct moves *moves);
int moves_write(const struct moves *moves, int workdir_fd, const char *name,
		struct cop_error *err);
/* moves_read() - -ENOENT when there is none; -EBADMSG */
int moves_read(int workdir_fd, struct moves *moves, struct cop_error *err);
#define MOVE_PATH_SIZE 8192
const char *move_path(const struct move *move, char text[STORE_PATH_SIZE]);

/* ---- normalise.c */

/* normalise() - what is about to enter the pool gets owner, mode and xattrs of a pool
 * file: no capability, ACL or set-id bit is left in the pool */
int normalise(int dir_fd, const char *path, struct cop_error *err);

/* ---- mounted.c */

/* workdir_unmount() - unmount what a view has mounted in a work directory whose owner is
 * gone.  False: it is in use somewhere, or we cannot tell: nothing may be removed. */
bool workdir_unmount(int workdir_fd);

/* ---- publish.c */

/*
 * struct publication - what gets its final name; the caller holds the shared lock
 * @tree: of the object; every pool file of it must be there in the end; NULL: only those
 *	  that @staging found there
 * @replace_image: the one that is there is not trusted
 */
struct publication {
	struct cop_store *store;
	int workdir_fd;
	struct moves *moves;
	const struct tree *tree;
	const struct staging *staging;
	bool replace_image;
};
/* publish() - -EAGAIN: a file that the pool had is gone; the message names it */
int publish(const struct publication *publication, struct cop_error *err);
/* publish_check_files() - 0 when the pool has every file of @tree; -EAGAIN */
int publish_check_files(const struct cop_store *store, const struct tree *tree,
			struct cop_error *err);
/* publish_check_staged() - the same for what @staging (may be NULL) found in the pool */
int publish_check_staged(const struct cop_store *store, const struct staging *staging,
			 struct cop_error *err);

/* ---- commit.c */

void commit_step(enum commit_step step);
