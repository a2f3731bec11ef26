/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trees as tar archives: entries sorted by name, owners as numbers, no time but the
 * mtime, so that equal trees give equal archives.
 */
#pragma once

#include "modkit/kit.h"
#include "tar/header.h"

/*
 * struct tarball
 * @acls, @selinux, @xattrs: what is taken along; only TAR_POSIX has a place for it
 * @wants:     which of the attributes; NULL: all
 * @with_root: the root itself is the entry "./", and all others begin so
 * @paths:     an array of what is archived, with all below; NULL: everything
 * @write:     gets the bytes
 */
struct tarball {
	enum tar_format format;
	bool acls, selinux, xattrs, with_root;
	bool (*wants)(const char *attribute);
	const json_t *paths;
	int (*write)(void *data, const void *bytes, size_t size, struct cop_error *err);
	void *data;
};

/* tarball_write() - all of it, to the end of the last record */
int tarball_write(int from_fd, const struct tarball *options, struct cop_error *err);

/*
 * tarball_file() - the input "tree" as the file @filename of the tree
 * @compression: as compressor_new(); NULL: as the name's ending says
 */
int tarball_file(struct kit *kit, struct tarball *options, const char *filename,
		 const char *compression);
