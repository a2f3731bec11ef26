/* SPDX-License-Identifier: Apache-2.0 */
/* etc/hostname, written without the help of any program. */
#include <stdio.h>
#include <string.h>

#include "modkit/root.h"
#include "modules/stages/hostname.h"
#include "modules/stages/stages.h"
#include "json/json.h"

int stage_hostname(struct kit *kit)
{
	static const char *const keys[] = {"hostname", NULL};
	const char *name = NULL;
	char line[HOSTNAME_LENGTH_MAX + 2];
	int r = json_only_keys(kit->options, keys, "options", kit->err);

	if (r == 0)
		r = json_get_string(kit->options, "hostname", "options", &name, kit->err);
	if (r == 0)
		r = hostname_check(name, kit->err);
	if (r == 0)
		r = root_make_dirs(kit->tree_fd, "etc", 0755, kit->err);
	if (r < 0)
		return r;
	(void)snprintf(line, sizeof(line), "%s\n", name);
	return root_replace(kit->tree_fd, "etc/hostname", line, strlen(line), 0644,
			    kit->err);
}
