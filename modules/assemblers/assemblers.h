/* SPDX-License-Identifier: Apache-2.0 */
/* The assemblers of the static program: they turn the input "tree" into files in the tree
 * that they are given.  Each is described in its NAME.meta.json and returns as struct
 * kit_module.run does. */
#pragma once

#include "modkit/kit.h"

int assembler_error(struct kit *kit);
int assembler_noop(struct kit *kit);
int assembler_qemu(struct kit *kit);
int assembler_rawfs(struct kit *kit);
int assembler_tar(struct kit *kit);
