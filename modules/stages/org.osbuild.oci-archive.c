/* SPDX-License-Identifier: Apache-2.0 */
/* An image for containers, of the trees that are its layers. */
#include "modules/stages/oci.h"
#include "modules/stages/stages.h"

int stage_oci_archive(struct kit *kit)
{
	return oci_archive(kit);
}
