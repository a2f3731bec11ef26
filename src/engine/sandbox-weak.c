/* SPDX-License-Identifier: Apache-2.0 */
/* What this machine lets a sandbox isolate, found out by trying: containers and hardened
 * kernels refuse one thing or another. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/process.h"
#include "engine/sandbox.h"

#define FILTER_FD 11

static const struct {
	unsigned int part;
	const char *words[4], *what;
} parts[] = {
	{SANDBOX_NETWORK, {"--unshare-net", NULL}, "the network"},
	{SANDBOX_PROCESSES, {"--unshare-pid", "--proc", "/proc", NULL}, "processes"},
	{SANDBOX_IPC, {"--unshare-ipc", NULL}, "IPC"},
	{SANDBOX_HOST_NAME, {"--unshare-uts", NULL}, "the host's name"},
	{SANDBOX_FILTER, {"--seccomp", "11", NULL}, "system calls"},
};

/* Return: 1 when it works, 0 when not. */
static int try_part(const char *const *part, struct cop_error *err)
{
	auto_close int filter = sandbox_filter_fd(err);
	const struct process_fd fds[] = {{filter, FILTER_FD}};
	struct process_options options = {.fds = fds, .n_fds = ARRAY_SIZE(fds)};
	auto_words words = {};
	auto_free const char **argv = NULL;
	int status = 0, r;

	if (filter < 0)
		return filter;
	words_add(&words, "bwrap", "--ro-bind", "/", "/", NULL);
	if (sandbox_describe())
		words_add(&words, "--unshare-user", NULL);
	for (; *part; part++)
		words_add(&words, *part, NULL);
	words_add(&words, "--", "true", NULL);
	r = words_list(&words, &argv, err);
	if (r < 0)
		return r;
	options.argv = argv;
	r = process_run(&options, &status, err);
	return r < 0 ? r : status == 0;
}

int sandbox_find_lacking(unsigned int *ret_lacking, char **ret_text,
			 struct cop_error *err)
{
	auto_buf text = {};
	unsigned int lacking = 0;

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		int r = try_part(parts[i].words, err);

		if (r < 0)
			return r;
		if (r > 0)
			continue;
		lacking |= parts[i].part;
		(void)buf_printf(&text, "%s%s", text.size ? ", " : "", parts[i].what);
	}
	*ret_text = strdup(buf_text(&text));
	if (!*ret_text || text.failed)
		return err_oom(err);
	*ret_lacking = lacking;
	return 0;
}
