/* SPDX-License-Identifier: Apache-2.0 */
/* etc/hosts: the names of this machine for itself, as Debian's installer writes them. */
#include "modkit/root.h"
#include "modules/stages/hostname.h"
#include "modules/stages/stages.h"
#include "json/json.h"

int stage_hosts(struct kit *kit)
{
	static const char *const keys[] = {"hostname", NULL};
	const char *name = NULL;
	auto_buf text = {};
	int r = json_only_keys(kit->options, keys, "options", kit->err);

	if (r == 0)
		r = json_optional_string(kit->options, "hostname", "options", &name,
					 kit->err);
	if (r == 0 && name)
		r = hostname_check(name, kit->err);
	if (r == 0)
		r = root_make_dirs(kit->tree_fd, "etc", 0755, kit->err);
	if (r < 0)
		return r;
	(void)buf_append_text(&text, "127.0.0.1\tlocalhost\n");
	if (name)
		(void)buf_printf(&text, "127.0.1.1\t%s\n", name);
	(void)buf_append_text(&text, "\n"
				     "::1\tlocalhost ip6-localhost ip6-loopback\n"
				     "ff02::1\tip6-allnodes\n"
				     "ff02::2\tip6-allrouters\n");
	if (text.failed)
		return err_oom(kit->err);
	return root_replace(kit->tree_fd, "etc/hosts", buf_text(&text), text.size, 0644,
			    kit->err);
}
