/* SPDX-License-Identifier: Apache-2.0 */
/* Files and trees from inputs, mounts and the tree. */
#include "modules/stages/copytree.h"
#include "modules/stages/stages.h"
#include "json/json.h"

static int copy_item(struct kit *kit, const json_t *item)
{
	static const char *const keys[] = {"from", "to", "remove_destination", NULL};
	cleanup_with(location_done) struct location source = LOCATION_NONE;
	cleanup_with(location_done) struct location target = LOCATION_NONE;
	const char *from = NULL, *to = NULL;
	struct copytree_options options = {};
	int r = json_only_keys(item, keys, "paths", kit->err);

	if (r == 0)
		r = json_get_string(item, "from", "paths", &from, kit->err);
	if (r == 0)
		r = json_get_string(item, "to", "paths", &to, kit->err);
	if (r == 0)
		r = json_optional_bool(item, "remove_destination", "paths",
				       &options.remove_destination, kit->err);
	if (r < 0)
		return r;
	kit_log("copying '%s' -> '%s'", from, to);
	r = location_open(kit, from, &source);
	if (r == 0)
		r = location_open(kit, to, &target);
	if (r == 0)
		r = copytree(&source, &target, &options, kit->err);
	return r < 0 ? err_prefix(kit->err, r, "copy '%s'", from) : 0;
}

int stage_copy(struct kit *kit)
{
	static const char *const keys[] = {"paths", NULL};
	json_t *paths = NULL;
	int r = json_only_keys(kit->options, keys, "options", kit->err);

	if (r == 0)
		r = json_get_array(kit->options, "paths", "options", &paths, kit->err);
	for (size_t i = 0; r == 0 && i < json_array_size(paths); i++)
		r = copy_item(kit, json_array_get(paths, i));
	return r;
}
