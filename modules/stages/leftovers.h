/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What installing packages leaves in a tree besides the packages: logs, locks, backups,
 * caches and keys that would be different in the next build.  Only what was not there
 * before the run is removed, so nothing that a package brought or a person put there is
 * lost.
 */
#pragma once

#include "base/error.h"

struct leftovers;

/* leftovers_note() - what of it is in the tree now */
int leftovers_note(int tree_fd, struct leftovers **ret, struct cop_error *err);
struct leftovers *leftovers_free(struct leftovers *leftovers);
DEFINE_AUTO_PTR(leftovers)

/* leftovers_remove() - remove what is there now and was not @before */
int leftovers_remove(int tree_fd, const struct leftovers *before, struct cop_error *err);
