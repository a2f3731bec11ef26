/* SPDX-License-Identifier: Apache-2.0 */
/* ext4 on a device, with nothing in it that differs from run to run. */
#include <stdio.h>

#include "modkit/tool.h"
#include "modules/stages/stages.h"
#include "json/json.h"

static int add_lazy(struct kit *kit, struct words *words, const char *uuid)
{
	bool lazy = false;
	int r = json_optional_bool(kit->options, "lazy_init", "options", &lazy, kit->err);

	/* mke2fs heeds only the last -E. */
	words_add(words, "-E", NULL);
	if (json_object_get(kit->options, "lazy_init"))
		words_printf(words,
			     "hash_seed=%s,lazy_itable_init=%d,lazy_journal_init=%d",
			     uuid, lazy, lazy);
	else
		words_printf(words, "hash_seed=%s", uuid);
	return r;
}

static int add_features(struct kit *kit, struct words *words)
{
	static const char *const features[] = {"verity", "orphan_file",
					       "metadata_csum_seed"};
	char list[128] = "";
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
		bool wanted = false;
		int r = json_optional_bool(kit->options, features[i], "options", &wanted,
					   kit->err);

		if (r < 0)
			return r;
		if (!json_object_get(kit->options, features[i]))
			continue;
		n += (size_t)snprintf(list + n, sizeof(list) - n, "%s%s%s", n ? "," : "",
				      wanted ? "" : "^", features[i]);
	}
	if (n > 0)
		words_add(words, "-O", list, NULL);
	return 0;
}

int stage_mkfs_ext4(struct kit *kit)
{
	static const char *const keys[] = {"uuid",   "label",	    "lazy_init",
					   "verity", "orphan_file", "metadata_csum_seed",
					   NULL};
	auto_free char *device = NULL;
	auto_words words = {};
	const char *uuid = NULL, *label = "";
	int r = json_only_keys(kit->options, keys, "options", kit->err);

	if (r == 0)
		r = json_get_string(kit->options, "uuid", "options", &uuid, kit->err);
	if (r == 0)
		r = json_optional_string(kit->options, "label", "options", &label,
					 kit->err);
	if (r == 0)
		r = kit_device_path(kit, "device", &device);
	if (r < 0)
		return r;
	words_add(&words, "mkfs.ext4", "-U", uuid, NULL);
	if (*label)
		words_add(&words, "-L", label, NULL);
	r = add_lazy(kit, &words, uuid);
	if (r == 0)
		r = add_features(kit, &words);
	words_add(&words, device, NULL);
	return r == 0 ? tool_run_at_epoch(kit, &words, "e2fsprogs") : r;
}
