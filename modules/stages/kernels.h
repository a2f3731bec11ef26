/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels that packages brought into a tree. */
#pragma once

#include "modkit/kit.h"

/*
 * kernels_each() - call @take for the version of every kernel in boot/, in order
 *
 * Return: 0; -ENOENT when there is none; what @take returned, when that is negative.
 */
int kernels_each(struct kit *kit, int (*take)(struct kit *kit, const char *version));

/* kernels_newest() - the version of the last one, on the heap; -ENOENT */
int kernels_newest(int tree_fd, char **ret_version, struct cop_error *err);

/* kernels_run() - a program of the tree; -ECHILD with its last words when it fails */
int kernels_run(struct kit *kit, const char *const *argv);
