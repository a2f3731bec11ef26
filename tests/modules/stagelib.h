/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stage run directly, with arguments as the engine would write them.  The world is a
 * scratch directory with tree/ and input/, removed at the end.
 */
#pragma once

#include "testlib.h"

#include "base/fs.h"
#include "modkit/kit.h"

struct world {
	char path[64];
	int fd;	     /* of the scratch directory */
	int tree_fd; /* of its tree/ */
	int input_fd;
	int64_t source_epoch; /* -1 at first: none */
	const char *file;     /* the one of the inputs "image" and "file"; NULL: none */
	bool only_tree;	      /* "tree" is the only input, for stages that take all */
	bool has_secrets;     /* the file "secrets" is the document of secrets */
	struct cop_error err;
};

/* For cmocka_unit_test_setup_teardown(). */
int world_setup(void **state);
int world_teardown(void **state);

/* needs_root() - skips what gives files to others, as a plain user */
static inline void needs_root(void)
{
	if (geteuid() != 0)
		skip();
}

/* The id that stages are told. */
#define STAGE_ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/*
 * stage_with() - run @stage with options as JSON, '...' instead of "..." for ease
 *
 * input/ is the inputs "tree", "files", "packages", "image" and "file"; mounts/ is the
 * directory of all mounts and mounts/m the mount "m"; the file "disk" is the device
 * "device".
 */
int stage_with(struct world *world, int (*stage)(struct kit *kit), const char *options);

/* Files by paths below the scratch directory. */
void put(struct world *world, const char *path, const char *text);
void put_dir(struct world *world, const char *path, unsigned int mode);
void put_link(struct world *world, const char *path, const char *target);
void assert_text(struct world *world, const char *path, const char *text);
void assert_absent(struct world *world, const char *path);
struct stat stat_of(struct world *world, const char *path);

/* read_whole() - owned by @buf */
void read_whole(struct world *world, const char *path, struct buf *buf);

/* has_program() - false, and a line that says so, where a test must be left out */
bool has_program(const char *name);

/* run_shell() - a command of the shell in the scratch directory, which must succeed */
void run_shell(struct world *world, const char *text);
