/* SPDX-License-Identifier: Apache-2.0 */
/* A tree as files in a directory. */
#pragma once

#include <coppice/progress.h>
#include <coppice/store.h>

#include "tree/tree.h"
#include "view/attributes.h"

/*
 * layout_fill() - make everything of @tree below @dir_fd, and @dir_fd itself its root
 * @dir_fd: an empty directory (-ENOTEMPTY)
 * @mode:   in ATTRIBUTES_TOLERANT a device that we may not make becomes an empty regular
 *          file
 *
 * Contents are reflinked where the file system can, else copied, by two threads.
 * Nothing is synced.  What was made before a failure stays.
 */
int layout_fill(struct cop_store *store, const struct tree *tree, int dir_fd,
		enum attributes_mode mode, const struct cop_progress *progress,
		struct cop_error *err);
