/* SPDX-License-Identifier: Apache-2.0 */
/* FAT on a device. */
#include <stdio.h>

#include "modkit/options.h"
#include "modkit/tool.h"
#include "modules/stages/stages.h"

static int add_geometry(struct kit *kit, const json_t *geometry, struct words *words)
{
	int64_t heads = 0, sectors = 0;
	const struct option options[] = {NEEDED_INTEGER("heads", heads),
					 NEEDED_INTEGER("sectors-per-track", sectors)};
	int r = options_only(geometry, "geometry", options, ARRAY_SIZE(options),
			     kit->err);

	if (r == 0) {
		words_add(words, "-g", NULL);
		words_printf(words, "%lld/%lld", (long long)heads, (long long)sectors);
	}
	return r;
}

int stage_mkfs_fat(struct kit *kit)
{
	const char *volid = NULL, *label = "";
	json_t *geometry = NULL;
	int64_t bits = 0;
	const struct option options[] = {
		NEEDED_TEXT("volid", volid), OPTION_TEXT("label", label),
		OPTION_INTEGER("fat-size", bits), OPTION_OBJECT("geometry", geometry)};
	auto_free char *device = NULL;
	auto_words words = {};
	int r = options_only(kit->options, "options", options, ARRAY_SIZE(options),
			     kit->err);

	if (r == 0)
		r = kit_device_path(kit, "device", &device);
	if (r < 0)
		return r;
	/* Fixes the time of the label, and the id too, until -i says it once more. */
	words_add(&words, "mkfs.fat", "-I", "--invariant", "-i", volid, NULL);
	if (*label)
		words_add(&words, "-n", label, NULL);
	if (bits) {
		words_add(&words, "-F", NULL);
		words_printf(&words, "%lld", (long long)bits);
	}
	if (json_object_size(geometry) > 0)
		r = add_geometry(kit, geometry, &words);
	words_add(&words, device, NULL);
	return r == 0 ? tool_run_at_epoch(kit, &words, "dosfstools") : r;
}
