/* SPDX-License-Identifier: Apache-2.0 */
/* Entries of archives as files in a tree.  Owners are the archive's numbers. */
#pragma once

#include <archive_entry.h>

#include "base/error.h"

/* entry_plain_path() - "./usr/bin/" -> "usr/bin", "./" -> "."; the formats allow all of
 * them.  On the heap; NULL when memory is out. */
char *entry_plain_path(const char *path);

/* entry_apply() - owner, mode and time of a file or directory that is open */
int entry_apply(struct archive_entry *entry, int fd, struct cop_error *err);

/* entry_hard_link() - @name in @parent_fd becomes another name of @target in the tree */
int entry_hard_link(int tree_fd, const char *target, int parent_fd, const char *name,
		    struct cop_error *err);

/* entry_special() - a symlink, device or fifo, with its owner, mode and time */
int entry_special(struct archive_entry *entry, int parent_fd, const char *name,
		  struct cop_error *err);
