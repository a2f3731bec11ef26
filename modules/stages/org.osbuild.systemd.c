/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Units, by systemctl, which alone knows every rule of [Install] sections: the tree's
 * own, so that the result belongs to the tree; else that of the build root.
 */
#include <stdio.h>
#include <string.h>

#include "base/process.h"
#include "modkit/command.h"
#include "modkit/options.h"
#include "modkit/root.h"
#include "modkit/tool.h"
#include "modules/stages/stages.h"

#define GENERATORS "etc/systemd/system-generators"

struct systemctl {
	struct kit *kit;
	bool in_tree;
};

static int run(struct systemctl *systemctl, const char *verb, const char *unit)
{
	struct kit *kit = systemctl->kit;
	const char *argv[] = {"systemctl", "--root", kit->tree_path, verb, "--",
			      unit,	   NULL};
	int r;

	kit_log("systemctl %s %s", verb, unit);
	/* With a root it never looks for a running manager. */
	if (systemctl->in_tree)
		argv[2] = "/";
	if (systemctl->in_tree)
		r = command_check(kit, &(struct command){.argv = argv});
	else
		r = tool_run(kit, &(struct tool){.argv = argv, .package = "systemd"});
	return r < 0 ? err_prefix(kit->err, r, "%s unit '%s'", verb, unit) : 0;
}

static int run_each(struct systemctl *systemctl, const char *verb, const json_t *units)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < json_array_size(units); i++) {
		const char *unit = NULL;

		r = options_text_at(units, i, "options", &unit, systemctl->kit->err);
		if (r == 0)
			r = run(systemctl, verb, unit);
	}
	return r;
}

/* systemctl cannot. */
static int mask_generators(struct kit *kit, const json_t *names)
{
	int r = json_array_size(names) > 0
			? root_make_dirs(kit->tree_fd, GENERATORS, 0755, kit->err)
			: 0;

	for (size_t i = 0; r == 0 && i < json_array_size(names); i++) {
		auto_close int parent = -EBADF;
		char path[PATH_MAX], last[NAME_MAX + 1];
		const char *name = NULL;

		r = options_text_at(names, i, "masked_generators", &name, kit->err);
		if (r < 0)
			return r;
		if (snprintf(path, sizeof(path), "%s/%s", GENERATORS, name) >=
		    (int)sizeof(path))
			return err_code(kit->err, -ENAMETOOLONG, "mask '%s'", name);
		parent = root_open_parent(kit->tree_fd, path, last, kit->err);
		if (parent < 0)
			return parent;
		if (symlinkat("/dev/null", parent, last) < 0)
			return err_errno(kit->err, "mask generator '%s'", name);
	}
	return r;
}

int stage_systemd(struct kit *kit)
{
	json_t *enabled = NULL, *disabled = NULL, *masked = NULL, *generators = NULL;
	const char *target = "";
	const struct option options[] = {OPTION_ARRAY("enabled_services", enabled),
					 OPTION_ARRAY("disabled_services", disabled),
					 OPTION_ARRAY("masked_services", masked),
					 OPTION_ARRAY("masked_generators", generators),
					 OPTION_TEXT("default_target", target)};
	struct systemctl systemctl = {.kit = kit};
	int r = options_only(kit->options, "options", options, ARRAY_SIZE(options),
			     kit->err);

	systemctl.in_tree = root_has_program(kit->tree_fd, "systemctl");
	if (r == 0)
		r = run_each(&systemctl, "enable", enabled);
	if (r == 0)
		r = run_each(&systemctl, "disable", disabled);
	if (r == 0)
		r = run_each(&systemctl, "mask", masked);
	if (r == 0)
		r = mask_generators(kit, generators);
	if (r == 0 && *target)
		r = run(&systemctl, "set-default", target);
	return r;
}
