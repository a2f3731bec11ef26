/* SPDX-License-Identifier: Apache-2.0 */
/* Answers to what packages would ask, before they are configured. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "modkit/command.h"
#include "modkit/options.h"
#include "modules/stages/leftovers.h"
#include "modules/stages/stages.h"

#define INSIDE "run/coppice/debconf"

static int load(struct kit *kit, const char *directory)
{
	const char *argv[] = {"debconf-set-selections", "/" INSIDE "/selections", NULL};
	const struct command_bind binds[] = {{directory, INSIDE}};
	auto_ptr(leftovers) before = NULL;
	int r = leftovers_note(kit->tree_fd, &before, kit->err);

	if (r == 0)
		r = command_check(kit, &(struct command){.argv = argv,
							 .binds = binds,
							 .n_binds = ARRAY_SIZE(binds)});
	if (r < 0)
		return err_prefix(kit->err, r, "debconf-set-selections");
	return leftovers_remove(kit->tree_fd, before, kit->err);
}

int stage_debconf(struct kit *kit)
{
	const char *selections = NULL;
	const struct option options[] = {NEEDED_TEXT("selections", selections)};
	char directory[] = "/tmp/debconf-XXXXXX";
	auto_close int fd = -EBADF;
	int r = options_only(kit->options, "options", options, ARRAY_SIZE(options),
			     kit->err);

	if (r < 0)
		return r;
	if (!mkdtemp(directory))
		return err_errno(kit->err, "make a directory in '/tmp'");
	fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = fd < 0 ? err_errno(kit->err, "open '%s'", directory)
		   : fs_write_new(fd, "selections", selections, strlen(selections), 0600,
				  kit->err);
	if (r == 0)
		r = load(kit, directory);
	(void)fs_remove_all(AT_FDCWD, directory, false, NULL);
	return r;
}
