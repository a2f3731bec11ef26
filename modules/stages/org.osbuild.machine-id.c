/* SPDX-License-Identifier: Apache-2.0 */
/* What the machine's id is at its first boot. */
#include <fcntl.h>
#include <string.h>

#include "modkit/options.h"
#include "modkit/root.h"
#include "modules/stages/stages.h"

#define MACHINE_ID "etc/machine-id"

static int demand_file(struct kit *kit)
{
	auto_close int fd = fs_open_in_root(kit->tree_fd, MACHINE_ID, O_PATH, 0, NULL);
	struct stat st;

	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		return 0;
	return err_set(kit->err, -ENOENT,
		       "'%s' cannot be preserved: the tree has no such file", MACHINE_ID);
}

int stage_machine_id(struct kit *kit)
{
	const char *how = NULL;
	const struct option options[] = {NEEDED_TEXT("first-boot", how)};
	const char *text = "";
	int r = options_only(kit->options, "options", options, ARRAY_SIZE(options),
			     kit->err);

	if (r < 0)
		return r;
	if (strcmp(how, "preserve") == 0)
		return demand_file(kit);
	if (strcmp(how, "yes") == 0)
		text = "uninitialized\n";
	else if (strcmp(how, "no") != 0)
		return err_set(kit->err, -EINVAL,
			       "first-boot '%s' is none of 'yes', 'no' and 'preserve'",
			       how);
	r = root_make_dirs(kit->tree_fd, "etc", 0755, kit->err);
	return r == 0 ? root_write(kit->tree_fd, MACHINE_ID, text, strlen(text), 0644,
				   kit->err)
		      : r;
}
