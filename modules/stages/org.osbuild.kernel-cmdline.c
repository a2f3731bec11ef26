/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's parameters, where programs that install kernels look for them. */
#include <string.h>
#include <sys/utsname.h>

#include "modkit/options.h"
#include "modkit/root.h"
#include "modules/stages/stages.h"

#define LONGEST 4096

/* COMMAND_LINE_SIZE of the kernels that have less than others. */
static int64_t longest_here(void)
{
	static const struct {
		const char *machine;
		int64_t length;
	} lengths[] = {{"x86_64", 2048},  {"i386", 2048},  {"arm", 1024},
		       {"aarch64", 2048}, {"ppc64", 2048}, {"riscv", 1024},
		       {"powerpc", 2048}};
	struct utsname name;

	if (uname(&name) < 0)
		return LONGEST;
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++)
		if (strcmp(lengths[i].machine, name.machine) == 0)
			return lengths[i].length;
	return LONGEST;
}

static int64_t n_characters(const char *text)
{
	int64_t n = 0;

	for (; *text; text++)
		n += (*text & 0xc0) != 0x80;
	return n;
}

int stage_kernel_cmdline(struct kit *kit)
{
	const char *uuid = "", *more = "";
	int64_t longest = longest_here();
	const struct option options[] = {OPTION_TEXT("root_fs_uuid", uuid),
					 OPTION_TEXT("kernel_opts", more),
					 OPTION_INTEGER("kernel_cmdline_size", longest)};
	auto_buf line = {};
	int r = options_only(kit->options, "options", options, ARRAY_SIZE(options),
			     kit->err);

	if (r < 0)
		return r;
	if (*uuid)
		(void)buf_printf(&line, "root=UUID=%s%s", uuid, *more ? " " : "");
	(void)buf_append_text(&line, more);
	if (line.failed)
		return err_oom(kit->err);
	if (n_characters(buf_text(&line)) > longest)
		return err_set(kit->err, -EINVAL,
			       "the kernel's command line has %lld characters, and %lld "
			       "are allowed",
			       (long long)n_characters(buf_text(&line)),
			       (long long)longest);
	r = root_make_dirs(kit->tree_fd, "etc/kernel", 0755, kit->err);
	return r == 0 ? root_write(kit->tree_fd, "etc/kernel/cmdline", buf_text(&line),
				   line.size, 0644, kit->err)
		      : r;
}
