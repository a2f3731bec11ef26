/* SPDX-License-Identifier: Apache-2.0 */
/* Modes of what is in the tree. */
#include <fcntl.h>
#include <stdio.h>

#include "modkit/options.h"
#include "modkit/root.h"
#include "modules/stages/mode.h"
#include "modules/stages/stages.h"
#include "modules/stages/walk.h"

/* The tree's names may be device nodes, so nothing is opened for more than its path. */
static int change(int fd, const char *mode, const struct stat *st, struct cop_error *err)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (chmod(path, mode_change(mode, st->st_mode, S_ISDIR(st->st_mode))) < 0)
		return err_errno(err, "change mode");
	return 0;
}

static int visit(void *data, int parent_fd, const char *name, const struct stat *st,
		 struct cop_error *err)
{
	auto_close int fd = -EBADF;

	if (S_ISLNK(st->st_mode))
		return 0;
	fd = openat(parent_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? err_errno(err, "open") : change(fd, data, st, err);
}

static int change_item(struct kit *kit, const char *path, const json_t *item)
{
	const char *mode = NULL;
	bool recursive = false;
	const struct option options[] = {NEEDED_TEXT("mode", mode),
					 OPTION_FLAG("recursive", recursive)};
	auto_close int fd = -EBADF, dir = -EBADF;
	struct stat st;
	int r = options_read(item, path, options, ARRAY_SIZE(options), kit->err);

	if (r == 0)
		r = mode_check(mode, kit->err);
	if (r < 0)
		return r;
	fd = fs_open_in_root(kit->tree_fd, path, O_PATH, 0, kit->err);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return err_errno(kit->err, "stat");
	r = change(fd, mode, &st, kit->err);
	if (r < 0 || !recursive || !S_ISDIR(st.st_mode))
		return r;
	dir = fs_open_in_root(kit->tree_fd, path, O_RDONLY | O_DIRECTORY, 0, kit->err);
	if (dir < 0)
		return dir;
	return walk_below(dir, &(struct walk_ops){.visit = visit, .data = (void *)mode},
			  kit->err);
}

int stage_chmod(struct kit *kit)
{
	json_t *items = NULL, *item;
	const struct option options[] = {NEEDED_OBJECT("items", items)};
	const char *path;
	int r = options_only(kit->options, "options", options, ARRAY_SIZE(options),
			     kit->err);

	if (r < 0)
		return r;
	json_object_foreach (items, path, item) {
		r = change_item(kit, path, item);
		if (r < 0)
			return err_prefix(kit->err, r, "chmod '%s'", path);
	}
	return 0;
}
