/* SPDX-License-Identifier: Apache-2.0 */
/* Commands in the tree, by the tree's own shell. */
#include "modkit/command.h"
#include "modules/stages/stages.h"
#include "json/json.h"

static int run(struct kit *kit, const char *text)
{
	const char *argv[] = {"/bin/sh", "-e", "-c", text, NULL};
	int r;

	kit_log("+ %s", text);
	r = command_check(kit, &(struct command){.argv = argv});
	return r < 0 ? err_prefix(kit->err, r, "command '%s'", text) : 0;
}

int stage_run(struct kit *kit)
{
	static const char *const keys[] = {"commands", NULL};
	json_t *commands = NULL;
	int r = json_only_keys(kit->options, keys, "options", kit->err);

	if (r == 0)
		r = json_get_array(kit->options, "commands", "options", &commands,
				   kit->err);
	for (size_t i = 0; r == 0 && i < json_array_size(commands); i++) {
		const char *text = json_string_value(json_array_get(commands, i));

		r = text ? run(kit, text)
			 : err_set(kit->err, -EINVAL, "'commands' must be strings");
	}
	return r;
}
