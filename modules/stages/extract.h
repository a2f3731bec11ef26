/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Laying out packages without the help of any program, so that the tree's own dpkg can
 * run.  Where directories are given different attributes, the first package in the order
 * of installation wins, whichever thread was faster.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"

/* Where the merged /usr comes from when the packages leave it to the installer. */
int extract_merged_usr(int tree_fd, const char *architecture, struct cop_error *err);

/*
 * struct extract_package
 * @path: of the .deb file
 * @list: filled with what is in it as dpkg notes it, a line for each path; freed by the
 *        caller
 */
struct extract_package {
	const char *path;
	struct buf list;
};

/*
 * extract_packages() - the contents of packages into a tree that has none yet
 * @packages: in the order of installation
 * @first:    one of them that goes ahead of the others, alone: it brings the symlinks at
 *            the top; @n: none does
 * @ret_overlap: whether two of them have the same path for anything but a directory;
 * which of them is there now is left to chance
 *
 * A directory gets the time that its package gives it, unless something else than
 * directories was made in it: as when dpkg does the same.
 */
int extract_packages(int tree_fd, struct extract_package *packages, size_t n,
		     size_t first, bool *ret_overlap, struct cop_error *err);

/* extract_brings_link() - 1 when @path of the package is a symlink, 0, or a negative
 * errno */
int extract_brings_link(const char *deb_path, const char *path, struct cop_error *err);
