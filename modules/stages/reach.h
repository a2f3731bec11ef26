/* SPDX-License-Identifier: Apache-2.0 */
/* What decides on an initramfs beside the programs that packages install. */
#pragma once

#include "base/buf.h"
#include "base/error.h"

/*
 * Who makes an initramfs before all packages are there can leave a record of what reached
 * it.  A package that asks for a new one takes it away, and the next to make it compares:
 * with the same record it would be the same initramfs.
 */
#define REACH_RECORD "var/lib/coppice-initramfs"

/*
 * reach_describe() - configuration, scripts, and names of modules and firmware, as text
 * @root_is_known: the root's file system is not looked up in etc/fstab
 *
 * Return: 0; -EFBIG when a record would be too large; another negative errno.
 */
int reach_describe(int tree_fd, bool root_is_known, struct buf *text,
		   struct cop_error *err);
