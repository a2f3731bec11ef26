/* SPDX-License-Identifier: Apache-2.0 */
/* The three classes of refs, and what is known about each. */
#pragma once

#include <jansson.h>

#include <coppice/store.h>

#include "base/buf.h"

enum ref_class {
	REF_NAME,   /* people's names: roots */
	REF_STAGE,  /* checkpoints by stage id: a cache */
	REF_FAILED, /* trees of failed stages: never a base for resume */
};

/* ref_class_name() - "name", "stage", "failed" */
const char *ref_class_name(enum ref_class class);

/* ref_name_is_valid() - as cop_ref_set() says; for stages and failed: exactly 64 digits
 */
bool ref_name_is_valid(enum ref_class class, const char *name);

/* ref_set() - atomically and durably; takes the shared lock; @meta (borrowed, may be
 * NULL) is kept beside it: any JSON object; "digest" and "created" are added */
int ref_set(struct cop_store *store, enum ref_class class, const char *name,
	    const struct cop_digest *digest, const json_t *meta, struct cop_error *err);

/* ref_get() - what it points to; does not look whether that is there.  -ENOENT. */
int ref_get(struct cop_store *store, enum ref_class class, const char *name,
	    struct cop_digest *ret_digest, struct cop_error *err);

/* ref_remove() - with its meta; -ENOENT */
int ref_remove(struct cop_store *store, enum ref_class class, const char *name,
	       struct cop_error *err);

#define STORE_REF_SIZE 1024
/* store_find_ref() - which ref @word means: a name, failed/ID, a stage id or an
 * unambiguous prefix of one.  -ENOENT: none; digests are no refs. */
int store_find_ref(struct cop_store *store, const char *word, enum ref_class *ret_class,
		   char name[STORE_REF_SIZE], struct cop_error *err);

/* ref_list() - sorted by bytes; @pattern as in cop_ref_list() */
int ref_list(struct cop_store *store, enum ref_class class, const char *pattern,
	     int (*visit)(void *data, const char *name, const struct cop_digest *digest),
	     void *data, struct cop_error *err);

/* ref_meta() - what was kept with ref_set(), as a new reference; -ENOENT when there is
 * none or when it speaks of another digest than the ref points to now */
int ref_meta(struct cop_store *store, enum ref_class class, const char *name,
	     json_t **ret_meta, struct cop_error *err);

/* store_ref_last_use() - seconds since 1970; 0: there is no such ref */
int64_t store_ref_last_use(const struct cop_store *store, enum ref_class class,
			   const char *name);

/* ref_touch() - last used now; failures do not matter */
void ref_touch(struct cop_store *store, enum ref_class class, const char *name);

/* store_log_write() - keep the log of a stage run (meta/log/ID), capped to its last MiB
 */
int store_log_write(struct cop_store *store, const char *id, const char *text,
		    size_t size, struct cop_error *err);

/* store_log_read() - appended to @buf; -ENOENT */
int store_log_read(struct cop_store *store, const char *id, struct buf *buf,
		   struct cop_error *err);
