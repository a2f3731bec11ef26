/* SPDX-License-Identifier: Apache-2.0 */
/* Commands in the tree, by the tree's own shell. */
#include <stdio.h>
#include <string.h>

#include "base/process.h"
#include "modkit/command.h"
#include "modules/stages/stages.h"
#include "json/json.h"

static void keep_tail(void *data, const char *bytes, size_t size)
{
	command_log(NULL, bytes, size);
	process_keep_tail(data, bytes, size);
}

static int run(struct kit *kit, const char *text)
{
	const char *argv[] = {"/bin/sh", "-e", "-c", text, NULL};
	char how[64], line[512];
	auto_buf tail = {};
	const struct command command = {
		.argv = argv,
		.on_output = keep_tail,
		.data = &tail,
	};
	int status = 0, r;

	kit_log("+ %s", text);
	r = command_run(kit, &command, &status);
	if (r < 0)
		return r;
	if (status != 0)
		return err_set(kit->err, -ECHILD, "command '%s': %s: %s", text,
			       process_describe(status, how, sizeof(how)),
			       process_last_line(buf_text(&tail), line, sizeof(line)));
	return 0;
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
