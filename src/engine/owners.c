/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/owners.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "engine/sandbox.h"

/* Debian's own numbers end before; user_namespaces(7) has the format. */
#define OWNERS_MIN 65535

static uint64_t count_owners(const char *map)
{
	auto_close int fd = open(map, O_RDONLY | O_CLOEXEC);
	unsigned long long inside, outside, n;
	auto_buf text = {};
	uint64_t n_owners = 0;

	/* A kernel without user namespaces. */
	if (fd < 0 || fs_read_all(fd, 64 * KIB, &text, NULL) < 0)
		return UINT64_MAX;
	for (const char *line = buf_text(&text); *line;) {
		if (sscanf(line, "%llu %llu %llu", &inside, &outside, &n) == 3)
			n_owners += n;
		line += strcspn(line, "\n");
		line += *line == '\n';
	}
	return n_owners;
}

static bool has_few_owners(void)
{
	return sandbox_describe() || count_owners("/proc/self/uid_map") < OWNERS_MIN ||
	       count_owners("/proc/self/gid_map") < OWNERS_MIN;
}

static bool will_unpack(const struct run_pipeline *pipeline)
{
	for (size_t i = pipeline->first; i < pipeline->pipeline->n_stages; i++)
		if (strcmp(pipeline->pipeline->stages[i].type,
			   "org.coppice.deb.unpack") == 0)
			return true;
	return false;
}

int owners_check(struct run *run, struct cop_error *err)
{
	for (size_t i = 0; i < run->manifest->n_pipelines; i++) {
		const struct run_pipeline *pipeline = &run->pipelines[i];

		if (pipeline->is_needed && will_unpack(pipeline) && has_few_owners())
			return err_set(
				err, -EPERM,
				"pipeline '%s': files of Debian packages belong to "
				"several users, who do not exist here; %s, or pull the "
				"tree from a remote",
				pipeline->pipeline->name,
				geteuid() == 0 ? "run this outside of the container, or "
						 "with its --privileged"
					       : "run this as root, or get ids of your "
						 "own ('coppice doctor' tells how)");
	}
	return 0;
}
