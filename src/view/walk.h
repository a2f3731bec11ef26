/* SPDX-License-Identifier: Apache-2.0 */
/* What is on disk below a directory, without opening any file. */
#pragma once

#include <time.h>

#include "tree/tree.h"

/* struct seen - what one look at a file told */
struct seen {
	uint64_t ino;
	uint64_t size;
	struct timespec mtime, ctime;
	struct timespec btime; /* of birth; zero where the file system does not know */
	uint32_t mode;
	uint32_t uid, gid;
	uint64_t rdev;
};

/* seen_is_same_file() - one inode at two times, not a later one with the same number */
bool seen_is_same_file(const struct seen *a, const struct seen *b);

/* seen_same_time() - to the nanosecond */
bool seen_same_time(const struct timespec *a, const struct timespec *b);

/* seen_file() - look at @name in @dir_fd, following nothing.  Return: 0 or an errno. */
int seen_file(int dir_fd, const char *name, struct seen *ret);

/*
 * struct walk_entry - one name
 * @dir_fd, @name: how to reach it; "." for the root
 * @path: for messages
 * @node: at the same path in the tree that walk_directory() got; NULL: none there
 */
struct walk_entry {
	int dir_fd;
	const char *name;
	const char *path;
	struct seen seen;
	struct tree_node *node;
};

/*
 * walk_directory() - visit @root_fd and everything below, parents first, by sorted names
 * @tree:  may be NULL
 * @visit: a negative return ends the walk and is returned; everything in the entry dies
 *         with the call
 */
int walk_directory(int root_fd, const struct tree *tree,
		   int (*visit)(void *data, const struct walk_entry *entry,
				struct cop_error *err),
		   void *data, struct cop_error *err);
