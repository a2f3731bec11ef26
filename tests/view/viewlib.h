/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of this room share: a scratch store and a tree with everything in it. */
#pragma once

#include "testlib.h"

#include <coppice/object.h>

#include "base/defs.h"
#include "store/commit.h"
#include "store/store.h"
#include "tree/tree.h"
#include "view/view.h"

struct scratch {
	char path[64]; /* a private directory */
	char store_path[80];
	int fd;
	struct cop_store *store;
};

/* is_overlay() - is that what the store gives? */
bool is_overlay(const struct scratch *scratch);

/* overlay_works_here() - false: says why not, for tests of nothing else */
bool overlay_works_here(void);

/* scratch_setup() / scratch_teardown() - for cmocka; *state is a struct scratch */
int scratch_setup(void **state);
int scratch_teardown(void **state);

/* scratch_reopen() - close the store and open it again, which sweeps */
void scratch_reopen(struct scratch *scratch);

/* scratch_count() - entries of a directory of the store; -1: there is none */
int scratch_count(const struct scratch *scratch, const char *path);

/* commit_sample() - a tree of many owners, set-id bits, devices, capabilities, links and
 * so on, committed as @name without any file system in between, so by anyone */
struct cop_digest commit_sample(struct scratch *scratch, const char *name);

/* commit_small() - a file "data" with @text in an otherwise empty tree of ours */
struct cop_digest commit_small(struct scratch *scratch, const char *name,
			       const char *text);

/* committed_tree() - the tree that @id stands for; free it */
struct tree *committed_tree(struct scratch *scratch, const char *id);

/* write_file() - make or truncate DIR/NAME with this content, mode 0644 */
void write_file(const char *dir, const char *name, const char *text);

/* write_times() - mtime of DIR/NAME; symlinks are not followed */
void write_times(const char *dir, const char *name, int64_t seconds);

/* join() - DIR/NAME in a static buffer, good for the next few calls */
const char *join(const char *dir, const char *name);

/* directory_digest() - of a directory as it stands on disk, storing nothing */
struct cop_digest directory_digest(struct scratch *scratch, const char *path);

/* assert_digests_equal() / assert_digests_differ() */
void assert_digests_equal(struct cop_digest a, struct cop_digest b);
void assert_digests_differ(struct cop_digest a, struct cop_digest b);

/* is_root() - are we allowed everything? */
bool is_root(void);

/* lacks_overlay() - are overlay views asked for, which take root?  Says so. */
bool lacks_overlay(void);

/* run_as_nobody() - call @run in a child without privileges and return what it returned,
 * or 1; 0, saying so, when we have no privileges to lose */
int run_as_nobody(int (*run)(void));

/* A skip that tells why. */
#define skip_because(why)                              \
	do {                                           \
		print_message("skipped: %s\n", (why)); \
		skip();                                \
	} while (0)
