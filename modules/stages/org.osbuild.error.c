/* SPDX-License-Identifier: Apache-2.0 */
/* A stage that fails with the exit status that was asked for. */
#include "modules/stages/stages.h"
#include "modules/stages/status.h"

int stage_error(struct kit *kit)
{
	return status_of_options(kit, "Error stage");
}
