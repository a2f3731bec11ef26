/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <coppice/progress.h>
#include <coppice/store.h>

#include "archive/output.h"
#include "tree/tree.h"

/* tar_write_tree() - @tree with its end mark; @holes: keep long runs of zeros as such */
int tar_write_tree(struct cop_store *store, const struct tree *tree, bool holes,
		   struct output *output, const struct cop_progress *progress,
		   struct cop_error *err);

/* tar_write_file() - the entry of a file or directory (@path ends in '/') of root, from
 * 1970, and its content; @data NULL: the caller writes @size bytes and the padding */
int tar_write_file(struct output *output, const char *path, const void *data,
		   uint64_t size, struct cop_error *err);

/* tar_write_end() - the end mark */
int tar_write_end(struct output *output, struct cop_error *err);
