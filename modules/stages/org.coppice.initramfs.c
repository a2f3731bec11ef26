/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The initramfs of every kernel, made when all is there that it may hold; or before, with
 * a record of what reached it, and then again only where that has changed.
 *
 * Its hook for fsck asks the root's device what is on it, which is not there yet: while
 * it runs, a line of configuration says it.
 */
#include <string.h>
#include <unistd.h>

#include "modkit/options.h"
#include "modkit/root.h"
#include "modules/stages/kernels.h"
#include "modules/stages/reach.h"
#include "modules/stages/stages.h"

#define SETTINGS "etc/initramfs-tools/conf.d"
#define SETTING	 SETTINGS "/coppice-build"

#define INITRAMFS "boot/initrd.img-"

static int take_back(struct kit *kit, const char *path)
{
	char name[NAME_MAX + 1];
	auto_close int parent = root_open_parent(kit->tree_fd, path, name, kit->err);

	if (parent < 0)
		return parent;
	if (unlinkat(parent, name, 0) < 0)
		return err_errno(kit->err, "remove '%s'", path);
	return 0;
}

static int make(struct kit *kit, const char *version)
{
	const char *argv[] = {"update-initramfs", "-c", "-k", version, NULL};

	return kernels_run(kit, argv);
}

static int has_initramfs(struct kit *kit, const char *version)
{
	char path[PATH_MAX];
	struct stat st;

	(void)snprintf(path, sizeof(path), INITRAMFS "%s", version);
	return root_stat(kit->tree_fd, path, &st, kit->err);
}

/* Is there a record, and does it say what is there now?  It is read and removed.
 * Return: 1 or 0, or a negative errno. */
static int take_record(struct kit *kit, const char *filesystem)
{
	auto_buf record = {}, now = {};
	struct cop_error err = {};
	struct stat st;
	int r = root_stat(kit->tree_fd, REACH_RECORD, &st, NULL);

	if (r == -ENOENT)
		return 0;
	r = root_read(kit->tree_fd, REACH_RECORD, UINT32_MAX, &record, kit->err);
	if (r == 0)
		r = take_back(kit, REACH_RECORD);
	if (r < 0)
		return r;
	r = reach_describe(kit->tree_fd, filesystem != NULL, &now, &err);
	if (r < 0 && r != -EFBIG)
		return err_copy(kit->err, &err);
	return r == 0 && record.size == now.size &&
	       memcmp(buf_text(&record), buf_text(&now), now.size) == 0 &&
	       kernels_each(kit, has_initramfs) == 0;
}

/* Where too much reaches it there is none, and it is made again. */
static int leave_record(struct kit *kit, const char *filesystem)
{
	auto_buf now = {};
	struct cop_error err = {};
	int r = reach_describe(kit->tree_fd, filesystem != NULL, &now, &err);

	if (r == -EFBIG) {
		kit_log("no record of the initramfs: %s", err.message);
		return 0;
	}
	if (r < 0)
		return err_copy(kit->err, &err);
	return root_replace(kit->tree_fd, REACH_RECORD, buf_text(&now), now.size, 0644,
			    kit->err);
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

static int make_all(struct kit *kit, const char *filesystem)
{
	int r = write_settings(kit, filesystem);
	bool is_written = r > 0;

	if (r >= 0)
		r = kernels_each(kit, make);
	return r == 0 && is_written ? take_back(kit, SETTING) : r;
}

int stage_initramfs(struct kit *kit)
{
	const char *filesystem = NULL;
	bool record = false;
	const struct option options[] = {
		OPTION_TEXT("root-filesystem", filesystem),
		OPTION_FLAG("record", record),
	};
	int r = options_only(kit->options, "options", options, ARRAY_SIZE(options),
			     kit->err);

	if (r < 0)
		return r;
	if (filesystem && strspn(filesystem, "abcdefghijklmnopqrstuvwxyz0123456789") !=
				  strlen(filesystem))
		return err_set(kit->err, -EINVAL,
			       "root-filesystem: '%s' is not the name of one",
			       filesystem);
	r = take_record(kit, filesystem);
	if (r > 0)
		kit_log("nothing that the initramfs holds has changed since it was made");
	else if (r == 0)
		r = make_all(kit, filesystem);
	if (r < 0)
		return r;
	return record ? leave_record(kit, filesystem) : 0;
}
