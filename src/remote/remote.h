/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Remotes: places that many stores push trees to and pull them from.
 *
 * A store knows its remotes by name (STORE/remotes/NAME).  Nothing that a remote says is
 * believed: what is fetched gets a name in the store only after its digest was checked.
 * A handle belongs to one thread.
 */
#pragma once

#include <jansson.h>

#include <coppice/progress.h>
#include <coppice/store.h>

#include "base/defs.h"
#include "base/error.h"
#include "store/ref.h"

struct remote;

/*
 * struct remote_config - what remote_add() keeps
 * @url, @endpoint, @region, @profile, @path_style, @pause_ms: see transport.h
 * @sign_key: path of an Ed25519 private key (PEM) that signs what is pushed, or NULL
 * @builder:  the name that signatures are made in, or NULL
 * @require_signatures: what no trusted key has signed is not used
 * @trusted:  paths of public keys (PEM), NULL-terminated; BUILDER.pem is the key of
 *            BUILDER; may be NULL
 */
struct remote_config {
	const char *url, *endpoint, *region, *profile;
	bool path_style;
	unsigned int pause_ms;
	const char *sign_key, *builder;
	bool require_signatures;
	const char *const *trusted;
};

/* struct remote_monitor - @note: a line for people; both may be NULL */
struct remote_monitor {
	void (*note)(void *data, const char *line);
	void *data;
	const struct cop_progress *progress;
};

/* struct remote_abilities - what a probe found */
struct remote_abilities {
	bool can_write, can_list, can_range, has_conditions;
};

/* struct remote_totals - what went over the wire, bodies only */
struct remote_totals {
	uint64_t n_requests, n_sent, n_received;
	uint64_t n_files, n_file_bytes; /* that were missing on the other side */
};

/* remote_add() - look what is there, begin a remote where there is none yet and it can be
 * written, and remember it.  -EEXIST: the store has a remote of that name. */
int remote_add(struct cop_store *store, const char *name,
	       const struct remote_config *config, const struct remote_monitor *monitor,
	       int cancel_fd, struct remote_abilities *ret_abilities,
	       struct cop_error *err);

/* remote_remove() - forget it; the place itself stays as it is.  -ENOENT. */
int remote_remove(struct cop_store *store, const char *name, struct cop_error *err);

/* remote_list() - name and what is kept of it, sorted; @config has "url" and more */
int remote_list(struct cop_store *store,
		int (*visit)(void *data, const char *name, const json_t *config),
		void *data, struct cop_error *err);

/*
 * remote_open() - by name; nothing is sent yet
 * @monitor: copied; may be NULL
 * @cancel_fd: readable: whatever goes on ends with -EINTR; 0 or less: none
 */
int remote_open(struct cop_store *store, const char *name,
		const struct remote_monitor *monitor, int cancel_fd,
		struct remote **ret_remote, struct cop_error *err);
struct remote *remote_free(struct remote *remote);
DEFINE_AUTO_PTR(remote)

/* remote_name() / remote_url() - borrowed */
const char *remote_name(const struct remote *remote);
const char *remote_url(const struct remote *remote);

/* remote_is_writable() - as far as its kind goes */
bool remote_is_writable(const struct remote *remote);

/* remote_set_tries() - how often a request is tried; for who cannot wait long */
void remote_set_tries(struct remote *remote, unsigned int n);

void remote_totals(const struct remote *remote, struct remote_totals *ret);

/* remote_probe() - try what it can do, and remember that; leaves nothing behind */
int remote_probe(struct remote *remote, struct remote_abilities *ret_abilities,
		 struct cop_error *err);

/*
 * struct push_item - a tree and the names that it gets there
 * @id:  what stands for it in the store
 * @ref: a name there, or NULL
 * @key: a stage's key (64 hexadecimal digits) for a checkpoint, or NULL
 * @stage: the id of that stage
 * @meta: kept with the key; borrowed, may be NULL
 * @digest: set by remote_push()
 */
struct push_item {
	const char *id;
	const char *ref;
	const char *key, *stage;
	const json_t *meta;
	struct cop_digest digest;
};

/*
 * remote_push() - send what the remote lacks, then the names
 *
 * When this returns 0 every item can be pulled by its names.  Killed or failed, it left
 * no name that cannot be pulled, and the next push goes on where it was.
 */
int remote_push(struct remote *remote, struct push_item *items, size_t n,
		struct cop_error *err);

/*
 * remote_pull() - a tree by a name there, or by its digest
 * @class, @as, @meta: the ref that it gets here; @as NULL: none
 *
 * Return: 0; -ENOENT: there is no such name; -EKEYREJECTED: signatures are required, and
 * there is no good one; -EBADMSG: what is there is damaged or a fraud.
 */
int remote_pull(struct remote *remote, const char *name, enum ref_class class,
		const char *as, const json_t *meta, struct cop_digest *ret_digest,
		struct cop_error *err);

/*
 * remote_find_keys() - which of these stage keys does the remote have?
 * @keys: n keys of 64 hexadecimal digits
 * @ret_found: the last one of them that it has and that may be used; n: none
 *
 * An entry that is not signed as required counts as missing, with a note.
 */
struct remote_entry {
	struct cop_digest digest;
	json_t *meta; /* owned; an object */
};
void remote_entry_done(struct remote_entry *entry);
int remote_find_keys(struct remote *remote, const char *const *keys, size_t n,
		     size_t *ret_found, struct remote_entry *entry,
		     struct cop_error *err);

/*
 * struct remote_gc_options
 * @young_seconds: a push whose marker is younger keeps the collection away
 * @keep_key_seconds: stage keys not written for longer are forgotten; 0: all are kept
 * @dry_run: only count
 */
struct remote_gc_options {
	uint64_t young_seconds;
	uint64_t keep_key_seconds;
	bool dry_run;
};

struct remote_gc_report {
	uint64_t n_names, n_keys, n_packs, n_bytes;	     /* that stay */
	uint64_t n_dropped_keys, n_dropped, n_dropped_bytes; /* keys, files and bytes */
	uint64_t n_moved, n_moved_bytes; /* of these: packs of which little was needed,
					    which is in new ones */
};

/* remote_gc() - remove what no name and no key needs.  -EBUSY: somebody pushes, or
 * another collection runs. */
int remote_gc(struct remote *remote, const struct remote_gc_options *options,
	      struct remote_gc_report *ret_report, struct cop_error *err);
