/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The initramfs of every kernel, made once, when all is there that it may hold.
 *
 * Its hook for fsck asks the root's device what is on it, which is not there yet: while
 * it runs, a line of configuration says it.
 */
#include <string.h>
#include <unistd.h>

#include "modkit/options.h"
#include "modkit/root.h"
#include "modules/stages/kernels.h"
#include "modules/stages/stages.h"

#define SETTINGS "etc/initramfs-tools/conf.d"
#define SETTING	 SETTINGS "/coppice-build"

static int make(struct kit *kit, const char *version)
{
	const char *argv[] = {"update-initramfs", "-c", "-k", version, NULL};

	return kernels_run(kit, argv);
}

/* Where the tree's own configuration says nothing.
 * Return: 1 when it is there, and to be taken away again; 0 when there is no need. */
static int write_settings(struct kit *kit, const char *filesystem)
{
	auto_buf text = {};
	struct stat st;
	int r;

	if (root_stat(kit->tree_fd, SETTINGS, &st, NULL) < 0)
		return 0;
	(void)buf_append_text(&text, "[ \"$COMPRESS\" != zstd ] || "
				     "COMPRESSLEVEL=${COMPRESSLEVEL:-3}\n");
	if (filesystem)
		(void)buf_printf(&text, "[ \"$FSTYPE\" != auto ] || FSTYPE=%s\n",
				 filesystem);
	if (text.failed)
		return err_oom(kit->err);
	r = root_write(kit->tree_fd, SETTING, text.data, text.size, 0644, kit->err);
	return r < 0 ? r : 1;
}

static int take_back(struct kit *kit)
{
	char name[NAME_MAX + 1];
	auto_close int parent = root_open_parent(kit->tree_fd, SETTING, name, kit->err);

	if (parent < 0)
		return parent;
	if (unlinkat(parent, name, 0) < 0)
		return err_errno(kit->err, "remove '%s'", SETTING);
	return 0;
}

int stage_initramfs(struct kit *kit)
{
	const char *filesystem = NULL;
	const struct option options[] = {OPTION_TEXT("root-filesystem", filesystem)};
	int r = options_only(kit->options, "options", options, ARRAY_SIZE(options),
			     kit->err);
	bool is_written;

	if (r < 0)
		return r;
	if (filesystem && strspn(filesystem, "abcdefghijklmnopqrstuvwxyz0123456789") !=
				  strlen(filesystem))
		return err_set(kit->err, -EINVAL,
			       "root-filesystem: '%s' is not the name of one",
			       filesystem);
	r = write_settings(kit, filesystem);
	is_written = r > 0;
	if (r >= 0)
		r = kernels_each(kit, make);
	return r == 0 && is_written ? take_back(kit) : r;
}
