/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that is written once from front to end.  With a fault for each small page that
 * takes as long as what is done with it.
 */
#pragma once

#include "base/defs.h"

/* pages_alloc() - @size bytes, not zeroed, in large pages where the kernel has them; for
 * free(); NULL when memory is out */
void *pages_alloc(size_t size);
