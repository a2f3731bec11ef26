/* SPDX-License-Identifier: Apache-2.0 */
/* The tree on file systems in an image: a file in the output that is renamed when it is
 * whole. */
#pragma once

#include "modules/stages/disk.h"

/*
 * struct assembly
 * @disk: what the rooms below need; its parts are the caller's
 * @work: name of the image in the output while it is made
 */
struct assembly {
	struct disk disk;
	char work[FS_TEMPORARY_NAME];
};

/* assemble_begin() - the image, of @size bytes, all holes; and the tree divided by the
 * mount points of the parts */
int assemble_begin(struct kit *kit, struct assembly *assembly, const char *filename,
		   int64_t size, struct disk_part *parts, size_t n_parts);

/* assemble_fill() - the file system of one part, whose place is known, with its content:
 * ext4, vfat, xfs or btrfs */
int assemble_fill(const struct assembly *assembly, const struct disk_part *part);

/* assemble_keep() - the image gets its name */
int assemble_keep(struct assembly *assembly);

/* assemble_end() - what is left of the work goes away, after a failure too */
void assemble_end(struct assembly *assembly);
