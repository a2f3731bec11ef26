/* SPDX-License-Identifier: Apache-2.0 */
/* GRUB for BIOS, made of the build root's parts. */
#pragma once

#include "modules/assemblers/assemble.h"
#include "modules/stages/partitions.h"

/* grub_install() - the core image behind the first sector or in the BIOS boot partition,
 * and the boot code; @boot is the index of the partition with boot/ */
int grub_install(const struct assembly *assembly, const struct partition_table *table,
		 size_t boot);
