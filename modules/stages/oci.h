/* SPDX-License-Identifier: Apache-2.0 */
/* Container images in the layout of the Open Container Initiative, as one tar archive. */
#pragma once

#include "modkit/kit.h"

/* oci_archive() - the inputs, sorted by name, as the layers of one image; everything else
 * from the options.  Sorted, with the time of tool_epoch(): two runs give the same bytes.
 */
int oci_archive(struct kit *kit);
