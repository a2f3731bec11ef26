/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Laying out packages without the help of any program, so that the tree's own dpkg can
 * run.  It unpacks everything once more afterwards; what stays of this is the attributes
 * of directories, and there the first package in the order of installation wins,
 * whichever thread was faster.
 */
#pragma once

#include "base/error.h"

/* Where the merged /usr comes from when the packages leave it to the installer. */
int extract_merged_usr(int tree_fd, const char *architecture, struct cop_error *err);

/*
 * extract_packages() - the contents of packages into a tree that has none yet
 * @paths: of the .deb files, in the order of installation
 * @first: one of them that goes ahead of the others, alone: it brings the symlinks at the
 *         top; @n: none does
 */
int extract_packages(int tree_fd, const char *const *paths, size_t n, size_t first,
		     struct cop_error *err);

/* extract_brings_link() - 1 when @path of the package is a symlink, 0, or a negative
 * errno */
int extract_brings_link(const char *deb_path, const char *path, struct cop_error *err);
