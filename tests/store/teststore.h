/* SPDX-License-Identifier: Apache-2.0 */
/* Stores and directories for tests, in a scratch directory that the teardown removes. */
#pragma once

#include "testlib.h"

#include "store/commit.h"
#include "store/lock.h"
#include "store/object.h"
#include "store/store.h"

struct scratch {
	char path[64]; /* the scratch directory */
	int fd;
	char store_path[80];
	struct cop_store *store; /* made by scratch_setup() */
};

/* scratch_setup() / scratch_teardown() - for cmocka; *state is a struct scratch */
int scratch_setup(void **state);
int scratch_teardown(void **state);

/* scratch_open() - the store once more */
struct cop_store *scratch_open(const struct scratch *scratch, unsigned int flags);
void scratch_reopen(struct scratch *scratch);

/* scratch_write() - a file below the scratch directory; directories are made; mtime is
 * 1700000000 there and in the directory */
void scratch_write(const struct scratch *scratch, const char *path, const void *data,
		   size_t size);
void scratch_write_text(const struct scratch *scratch, const char *path,
			const char *text);
bool scratch_has(const struct scratch *scratch, const char *path);
/* scratch_count() - entries of a directory, without "." and ".."; 0 when missing */
size_t scratch_count(const struct scratch *scratch, const char *path);
/* scratch_fill() - a small tree at @path: inline, pool, equal, sparse and empty files, a
 * hard link, a symlink */
void scratch_fill(const struct scratch *scratch, const char *path, unsigned int seed);

/* scratch_commit() - of a directory below the scratch directory */
int scratch_commit(const struct scratch *scratch, const char *path, const char *name,
		   struct cop_digest *ret_digest, struct staging_totals *ret_totals,
		   struct cop_error *err);
/* scratch_ref() - what a name points to; null when there is none */
struct cop_digest scratch_ref(const struct scratch *scratch, const char *name);

/* scratch_check() - every ref resolves, every image reads, every pool file is right, and
 * nothing but that is in objects/ and files/ unless @garbage; fails the test */
void scratch_check(const struct scratch *scratch, bool garbage);

/* assert_digest_equal() */
void assert_digest_equal(const struct cop_digest *a, const struct cop_digest *b);

/* pool_file() - "store/files/ab/cdef..." of @size bytes; returns @path */
char *pool_file(const void *data, size_t size, char path[128]);
