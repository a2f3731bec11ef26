/* SPDX-License-Identifier: Apache-2.0 */
#include "modules/stages/walk.h"

#include <fcntl.h>

#include "base/fs.h"

static int walk_entry(int dir_fd, const char *name, const struct walk_ops *ops,
		      struct cop_error *err)
{
	auto_close int fd = -EBADF;
	struct stat st;
	int r;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_errno(err, "stat '%s'", name);
	r = ops->visit(ops->data, dir_fd, name, &st, err);
	if (r < 0 || !S_ISDIR(st.st_mode))
		return r < 0 ? err_prefix(err, r, "'%s'", name) : 0;
	fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, "open '%s'", name);
	r = walk_below(fd, ops, err);
	return r == 0 && ops->leave ? ops->leave(ops->data, err) : r;
}

int walk_below(int dir_fd, const struct walk_ops *ops, struct cop_error *err)
{
	char **names = NULL;
	int r = fs_list(dir_fd, &names, NULL, err);

	for (char **name = names; r == 0 && name && *name; name++)
		r = walk_entry(dir_fd, *name, ops, err);
	(void)fs_list_free(names);
	return r;
}

static int keep_newest(void *data, int parent_fd, const char *name, const struct stat *st,
		       struct cop_error *err)
{
	int64_t *newest = data;

	(void)parent_fd;
	(void)name;
	(void)err;
	if (st->st_mtim.tv_sec > *newest)
		*newest = st->st_mtim.tv_sec;
	return 0;
}

int walk_newest(int dir_fd, int64_t *ret, struct cop_error *err)
{
	const struct walk_ops ops = {.visit = keep_newest, .data = ret};
	struct stat st;

	if (fstat(dir_fd, &st) < 0)
		return err_errno(err, "stat");
	*ret = st.st_mtim.tv_sec;
	return walk_below(dir_fd, &ops, err);
}
