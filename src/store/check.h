/* SPDX-License-Identifier: Apache-2.0 */
/* Hashing what the store holds by name, in parallel; what verify and repair share. */
#pragma once

#include <stdatomic.h>

#include "store/private.h"
#include "store/verify.h"

enum check_kind { CHECK_FILE, CHECK_OBJECT, CHECK_SOURCE };
enum check_state { CHECK_RIGHT, CHECK_WRONG, CHECK_UNREADABLE, CHECK_GONE };

/* struct check - one thing to be looked at; @name: of a source, borrowed */
struct check {
	union {
		struct cop_digest digest;
		const char *name;
	};
	uint64_t n_bytes; /* for the progress */
	int error;
	uint8_t kind;
	uint8_t state;
};

/* check_path() - below the store; NULL when it is too long */
char *check_path(const struct check *check, char *path, size_t size);

/* check_all() - fill in the states, with all processors.  Files marked as damaged that
 * are right lose their mark.  Only what keeps us from looking at all is an error. */
int check_all(struct cop_store *store, struct check *checks, size_t n,
	      const struct cop_progress *progress, struct cop_error *err);

/* check_content() - 1 when @fd holds what @digest names, else 0, or an errno */
int check_content(int fd, const struct cop_digest *digest, struct cop_error *err);

/* check_sort() - by digest; check_find() - NULL: not among them */
void check_sort(struct check *checks, size_t n);
struct check *check_find(struct check *checks, size_t n, const struct cop_digest *digest);

/* check_how() - "wrong", "unreadable", "missing" */
const char *check_how(const struct check *check);

/* pool_mark_damaged() - from now on the pool does not have the file, until it is replaced
 * or found right.  Best effort. */
void pool_mark_damaged(struct cop_store *store, const struct cop_digest *digest);

/* ---- repair.c */

/* struct wound - something that is damaged, and how it got well */
struct wound {
	struct check check;
	uint64_t size;	  /* of a file, where known; else 0 */
	json_t *victims;  /* trees that have it */
	const char *from; /* NULL: not repaired */
};

/* repair_all() - put aside and put back; @sources may hold some of it too */
int repair_all(struct cop_store *store, const struct verify_request *request,
	       struct wound *wounds, size_t n, struct cop_error *err);
