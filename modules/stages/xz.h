/* SPDX-License-Identifier: Apache-2.0 */
/* xz as the program of that name compresses with -0 and threads: blocks of a size that
 * does not depend on the machine, so neither do the bytes. */
#pragma once

#include "base/error.h"

/* xz_compress() - all of @source into @target, which is empty */
int xz_compress(int source, int target, struct cop_error *err);
