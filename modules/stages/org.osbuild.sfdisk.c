/* SPDX-License-Identifier: Apache-2.0 */
/* Partition tables, made by sfdisk on a device. */
#include "modkit/options.h"
#include "modules/stages/partitions.h"
#include "modules/stages/stages.h"

int stage_sfdisk(struct kit *kit)
{
	struct partition_table table = {};
	json_t *partitions = NULL;
	const struct option options[] = {NEEDED_TEXT("label", table.label),
					 NEEDED_TEXT("uuid", table.uuid),
					 OPTION_ARRAY("partitions", partitions)};
	auto_free char *device = NULL;
	int r = options_only(kit->options, "options", options, ARRAY_SIZE(options),
			     kit->err);

	if (r == 0)
		r = kit_device_path(kit, "device", &device);
	if (r == 0)
		r = partitions_read(kit, partitions, &table);
	if (r == 0)
		r = partitions_write(kit, &table, device);
	partitions_done(&table);
	return r;
}
