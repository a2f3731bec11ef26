/* SPDX-License-Identifier: Apache-2.0 */
/* Nothing is written; the options are told in the log. */
#include "modules/assemblers/assemblers.h"
#include "modules/stages/status.h"

int assembler_noop(struct kit *kit)
{
	return status_tell_options(kit, "Not doing anything with these options: ");
}
