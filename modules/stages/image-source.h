/* SPDX-License-Identifier: Apache-2.0 */
/* What makers of read-only file systems have in common: a tree in, a file out. */
#pragma once

#include "modkit/tool.h"

/*
 * struct image_source
 * @path:      of the directory, absolute
 * @target:    of the file, which does not exist
 * @parent_fd: keeps @target valid
 * @env:       SOURCE_DATE_EPOCH: the manifest's, else the newest time in the tree, which
 *             changes no file's
 */
struct image_source {
	char *path, *target;
	int source_fd, parent_fd;
	char epoch[48];
	const char *env[2];
};

/* image_source_open() - the input "tree", or the location @source; and @filename, of
 * which what is there is removed */
int image_source_open(struct kit *kit, const char *source, const char *filename,
		      struct image_source *ret);
void image_source_done(struct image_source *source);
