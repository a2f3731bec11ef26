/* SPDX-License-Identifier: Apache-2.0 */
/* Disk images, converted by qemu-img, the same in every run. */
#pragma once

#include "modkit/kit.h"

/*
 * struct diskimage_format
 * @type:     as qemu-img calls it: qcow2, vdi, vmdk, vpc, vhdx
 * @settings: for its -o, or ""
 */
struct diskimage_format {
	const char *type, *settings;
	bool compress;
};

/* diskimage_convert() - the raw (or other) image @source into @filename in the tree */
int diskimage_convert(struct kit *kit, const char *source,
		      const struct diskimage_format *format, const char *filename);
