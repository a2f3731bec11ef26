/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this room share.  Keys begin with "v1/"; docs/remote-format.md. */
#pragma once

#include "base/fs.h"
#include "remote/index.h"
#include "remote/plan.h"
#include "remote/remote.h"
#include "remote/transport.h"
#include "store/workdir.h"

#define REMOTE_MARKER_AGE (24 * 60 * 60)

struct remote {
	struct cop_store *store;
	char *name;
	int dir_fd; /* STORE/remotes/NAME */
	json_t *config;
	struct remote_monitor monitor;
	struct transport *transport;
	struct catalogue *catalogue;
	struct remote_totals totals;
	struct marker *marker; /* of the push that runs */
	bool config_is_checked;
	bool has_conditions;
};

/* remote_note() - a line for people */
void remote_note(const struct remote *remote, const char *format, ...) printf_like(2, 3);

/* remote_tell() - progress */
void remote_tell(const struct remote *remote, const char *what, uint64_t done,
		 uint64_t total, const char *unit);

/* remote_forget_index() - what a collection removed meanwhile is not to be found any more
 */
int remote_forget_index(struct remote *remote, struct cop_error *err);

/* remote_check_cancel() - -EINTR */
int remote_check_cancel(const struct remote *remote, struct cop_error *err);

/* ---- config.c: v1/config */

/* config_check() - the place is a remote of our format, and the one that was added.
 * -ENOENT: it is none. */
int config_check(struct remote *remote, struct cop_error *err);
/* config_begin() - make it one; somebody else may have, which is as good */
int config_begin(struct remote *remote, struct cop_error *err);

/* ---- probe.c */

int probe_run(struct remote *remote, struct remote_abilities *ret_abilities,
	      struct cop_error *err);

/* ---- state.c: STORE/remotes/NAME */

/* state_open() - the directory of a remote.  Return: the fd; -ENOENT. */
int state_open(struct cop_store *store, const char *name, struct cop_error *err);
bool remote_name_is_valid(const char *name);

/* state_segments() - have these segments in the catalogue, from the mirror or the remote;
 * @names as plans have them.  Every one is whole and under its own name. */
int state_segments(struct remote *remote, const char (*names)[SHA256_HEX + 1], size_t n,
		   struct cop_error *err);
/* state_keep_segment() - one that we made is in the mirror and the catalogue from now on
 */
int state_keep_segment(struct remote *remote, const void *data, size_t size,
		       struct cop_error *err);
/* state_forget_segments() - drop those of the mirror that @is_listed does not name */
void state_forget_segments(struct remote *remote,
			   bool (*is_listed)(void *data, const char *name), void *data);

/* state_keep_plan() / state_plan() - plans that the remote has; -ENOENT */
void state_keep_plan(struct remote *remote, const struct plan *plan);
int state_plan(struct remote *remote, const struct cop_digest *object, struct plan *plan);

/* state_recent_plans() - objects that the remote has or had, newest first; returns how
 * many, at most @max */
size_t state_recent_plans(struct remote *remote, struct cop_digest *objects, size_t max);

/* ---- entry.c: names and stage keys */

/*
 * struct entry - v1/r/NAME or v1/k/ab/KEY
 * @kind: "ref" or "stage"; @name: the name or the key
 */
struct entry {
	const char *kind, *name;
	struct cop_digest object;
	json_t *json; /* owned; as it was read */
	char etag[REQUEST_ETAG_SIZE];
};
void entry_done(struct entry *entry);
#define auto_entry cleanup_with(entry_done) struct entry

/* entry_parse() - what a body says; -EBADMSG; -EKEYREJECTED by the policy */
int entry_parse(const struct remote *remote, const struct buf *body, struct entry *entry,
		struct cop_error *err);
/* entry_get() - by kind and name; -ENOENT, and as entry_parse() */
int entry_get(struct remote *remote, struct entry *entry, struct cop_error *err);
/* entry_put_ref() / entry_put_key() - the last write of a push */
int entry_put_ref(struct remote *remote, const struct push_item *item,
		  struct cop_error *err);
int entry_put_key(struct remote *remote, const struct push_item *item,
		  struct cop_error *err);
/* entry_key() - the key of the transport; returns @key */
char *entry_key(const char *kind, const char *name, char key[REQUEST_KEY_SIZE]);

/* ---- sign.c */

/* sign_statement() - @ret_signature: base64 text, freed by the caller */
int sign_statement(const char *key_path, const char *statement, char **ret_signature,
		   struct cop_error *err);
/* sign_verify() - 1: a good signature of the key in the file; 0: not */
int sign_verify(int dir_fd, const char *key_name, const char *statement,
		const char *signature, struct cop_error *err);
/* sign_check_key() - a file that holds an Ed25519 key; -EINVAL */
int sign_check_key(const char *path, bool is_private, struct cop_error *err);
/* sign_public() - the public key that belongs to a private one, as PEM */
int sign_public(const char *key_path, struct buf *pem, struct cop_error *err);

/* ---- tree-text.c: trees as dump text */

/* tree_text() - the dump of an object of the store */
int tree_text(struct cop_store *store, const struct cop_digest *object, struct buf *text,
	      struct cop_error *err);
/* tree_nearest() - which of the objects shares most files with @tree; n: none enough */
size_t tree_nearest(struct cop_store *store, const struct cop_digest *object,
		    const struct cop_digest *others, size_t n);

/* ---- pull.c */

struct tree;
/* pull_read_tree() - the tree of an object that the remote has */
int pull_read_tree(struct remote *remote, const struct plan *plan, struct tree **ret_tree,
		   struct cop_error *err);

/* ---- repack.c: what little is needed of a pack moves to another */

/* struct repack_segment - @goes: plans are to name @next in its place, once it is written
 */
struct repack_segment {
	struct segment *segment, *next;
	bool goes;
};

struct repack;
struct repack *repack_new(struct remote *remote, struct cop_error *err);
struct repack *repack_free(struct repack *repack);
DEFINE_AUTO_PTR(repack)

/* repack_add_plan() / repack_add_segment() - one that is needed; the segment is taken
 * over, in any case */
int repack_add_plan(struct repack *repack, const struct plan *plan,
		    struct cop_error *err);
int repack_add_segment(struct repack *repack, struct segment *segment,
		       struct cop_error *err);

/* repack_plan() - what is to be done: nothing is written.  @ret_packs, @ret_bytes: so
 * many go.  -ENOENT, -EBADMSG: not all that is needed can be read. */
int repack_plan(struct repack *repack, uint64_t *ret_packs, uint64_t *ret_bytes,
		struct cop_error *err);

/* repack_run() - do it.  What went is still there, for the caller to remove. */
int repack_run(struct repack *repack, struct cop_error *err);

/* repack_segments() - all that were added; borrowed */
const struct repack_segment *repack_segments(const struct repack *repack, size_t *ret_n);

/* repack_keeps() - will the place of this segment need that pack of it? */
bool repack_keeps(const struct repack *repack, const struct repack_segment *segment,
		  const uint8_t pack[SHA256_SIZE]);

/* ---- upload.c: files into packs, packs to the remote */

/*
 * struct upload_file - a file to send, and where its blocks ended up
 * @first_job: in upload->jobs
 */
struct upload_file {
	struct cop_digest id;
	uint64_t size;
	size_t first_job;
	uint32_t inner;
};

struct upload_job {
	size_t first_file, n_files; /* share the block; one of a large file: one file */
	uint64_t at;		    /* of a large file's piece */
	uint32_t size;
	/* the outcome */
	uint32_t pack;
	struct block block;
	bool has_hash;
	uint8_t hash[SHA256_SIZE];
	const struct segment *reused; /* not sent: this segment's block is the same */
	uint32_t reused_block;
	size_t same_as; /* not sent: this job's block is the same, plus 1 */
};

struct upload_tree {
	struct cop_digest id, base;
	struct buf stored; /* as tree_pack() gives it */
	uint32_t size;
	uint32_t pack;
	struct block block;
};

struct upload_pack {
	uint8_t id[SHA256_SIZE];
	uint64_t size;
};

struct upload {
	struct remote *remote;
	struct upload_file *files;
	size_t n_files;
	struct upload_job *jobs;
	size_t n_jobs;
	struct upload_tree *trees;
	size_t n_trees;
	struct upload_pack *packs; /* that were sent, by number */
	size_t n_packs;
};

void upload_done(struct upload *upload);
/* upload_plan() - cut @files into jobs */
int upload_plan(struct upload *upload, struct cop_error *err);
/* upload_run() - pack and send everything; each pack is journalled once it is there */
int upload_run(struct upload *upload, struct cop_error *err);

/* ---- journal.c: packs that an unfinished push has sent */

/*
 * struct journal - what earlier pushes left, or others of this store have sent so far
 * @names: the packs; @segment: what they hold, as a segment of the catalogue; NULL:
 * nothing
 */
struct journal {
	char **names;
	size_t n;
	const struct segment *segment;
};
void journal_done(struct journal *journal);

/* journal_note() - pack @number of @upload was sent: for the index, and journal_clear()
 */
int journal_note(struct upload *upload, size_t number, const char *pack_id,
		 uint64_t pack_size, struct cop_error *err);
int journal_add(struct remote *remote, const char *pack_id, uint64_t pack_size,
		const void *tail, size_t size, struct cop_error *err);
/* journal_load() - the packs that are still there */
int journal_load(struct remote *remote, struct journal *journal, struct cop_error *err);
/* journal_clear() - an index says now what was in @journal and in the packs of @upload */
void journal_clear(const struct remote *remote, const struct journal *journal,
		   const struct upload *upload);

/* ---- marker.c: v1/w/ID, which keeps collections away from a push */

struct marker {
	struct remote *remote;
	int fd; /* holds the lock of the file that remembers it */
	char id[33];
	int64_t written; /* by our monotonic clock */
};
int marker_begin(struct remote *remote, struct marker *marker, struct cop_error *err);
/* marker_refresh() - when it has become old; -ESTALE when it may have been overlooked */
int marker_refresh(struct marker *marker, struct cop_error *err);
/* marker_end() - @reachable: take it away there, too; else the next push takes it over */
void marker_end(struct marker *marker, bool reachable);

/* ---- download.c: the files of a tree */

struct download_file {
	struct cop_digest id;
	uint64_t size;
};

struct staging;
int download_files(struct remote *remote, struct staging *staging,
		   const struct download_file *files, size_t n, struct cop_error *err);
