/* SPDX-License-Identifier: Apache-2.0 */
/* File systems that only the kernel can fill, on loop devices that the engine makes. */
#pragma once

#include "modules/stages/disk.h"

/* loop_make() - xfs or btrfs at the place of @part, mounted and filled.  -EOPNOTSUPP for
 * other types. */
int loop_make(const struct disk *disk, const struct disk_part *part);
