/* SPDX-License-Identifier: Apache-2.0 */
/* An assembler that fails with the exit status that was asked for. */
#include "modules/assemblers/assemblers.h"
#include "modules/stages/status.h"

int assembler_error(struct kit *kit)
{
	return status_of_options(kit, "Error assembler");
}
