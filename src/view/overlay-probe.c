/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does an overlay view work in a store?  Kernels turn off features in silence where a
 * file system lacks something, so a small view is mounted and used, and what it left in
 * the upper directory is looked at.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

#include <linux/magic.h>

#include "base/fs.h"
#include "base/mount.h"
#include "image/image.h"
#include "store/store.h"
#include "view/mount.h"
#include "view/overlay.h"

struct probe {
	int dir_fd;
	int pool_fd, image_fd, lower_fd, upper_fd, work_fd, mount_fd;
};

static void probe_done(struct probe *probe)
{
	closep(&probe->mount_fd);
	closep(&probe->pool_fd);
	closep(&probe->image_fd);
	closep(&probe->lower_fd);
	closep(&probe->upper_fd);
	closep(&probe->work_fd);
	/* Attached there only where the kernel needed it. */
	(void)mount_detach(probe->dir_fd, "lower", true, NULL);
}

/* A directory to be renamed, and a file to be changed without its data. */
static int make_tree(struct tree **ret_tree, struct cop_error *err)
{
	auto_ptr(tree) tree = tree_new(err);
	struct tree_node *node;
	int r;

	if (!tree)
		return -ENOMEM;
	tree->root->mode = S_IFDIR | 0755;
	r = tree_add(tree, tree->root, "dir", 3, S_IFDIR | 0755, &node, err);
	if (r == 0)
		r = tree_add(tree, tree->root, "file", 4, S_IFREG | 0644, &node, err);
	if (r == 0)
		r = tree_set_content(tree, node, "content", strlen("content"), err);
	if (r == 0)
		r = tree_finish(tree, err);
	if (r == 0)
		r = tree_canonicalise(tree, err);
	if (r < 0)
		return r;
	*ret_tree = TAKE_PTR(tree);
	return 0;
}

static int make_image(const struct probe *probe, struct cop_error *err)
{
	auto_ptr(tree) tree = NULL;
	auto_free uint8_t *image = NULL;
	size_t size = 0;
	int r = make_tree(&tree, err);

	if (r == 0)
		r = image_write(tree, IMAGE_VERSION, &image, &size, err);
	return r < 0 ? r : fs_write_new(probe->dir_fd, "image", image, size, 0400, err);
}

static int open_directory(const struct probe *probe, const char *name,
			  struct cop_error *err)
{
	if (mkdirat(probe->dir_fd, name, 0755) < 0)
		return err_errno(err, "make directory '%s'", name);
	return fs_open_plain(probe->dir_fd, name, O_RDONLY | O_DIRECTORY, 0, err);
}

static int open_parts(struct probe *probe, struct cop_store *store, struct cop_error *err)
{
	int r = make_image(probe, err);

	if (r < 0)
		return r;
	probe->image_fd = fs_open_plain(probe->dir_fd, "image", O_RDONLY, 0, err);
	if (probe->image_fd < 0)
		return probe->image_fd;
	probe->pool_fd =
		fs_open_plain(store_fd(store), "files", O_RDONLY | O_DIRECTORY, 0, err);
	if (probe->pool_fd < 0)
		return probe->pool_fd;
	probe->upper_fd = open_directory(probe, "upper", err);
	if (probe->upper_fd < 0)
		return probe->upper_fd;
	probe->work_fd = open_directory(probe, "work", err);
	return probe->work_fd < 0 ? probe->work_fd : 0;
}

static int mount_both(struct probe *probe, struct cop_error *err)
{
	struct mount_overlay options = {
		.source = "coppice:probe",
		.pool_fd = probe->pool_fd,
		.upper_fd = probe->upper_fd,
		.work_fd = probe->work_fd,
		.is_volatile = true,
		.temporary_fd = probe->dir_fd,
	};

	closep(&probe->lower_fd);
	probe->lower_fd = mount_image(probe->image_fd, err);
	if (probe->lower_fd < 0)
		return probe->lower_fd;
	options.lower_fd = probe->lower_fd;
	probe->mount_fd = mount_overlay(&options, err);
	return probe->mount_fd < 0 ? probe->mount_fd : 0;
}

static int use(const struct probe *probe, struct cop_error *err)
{
	if (fchmodat(probe->mount_fd, "file", 0600, 0) < 0)
		return err_errno(err, "chmod in an overlay");
	if (renameat(probe->mount_fd, "dir", probe->mount_fd, "moved") < 0)
		return err_errno(err, "rename a directory in an overlay");
	return 0;
}

static int look(const struct probe *probe, struct cop_error *err)
{
	auto_close int file_fd = fs_open_plain(probe->upper_fd, "file", O_RDONLY, 0, err);
	auto_close int moved_fd =
		fs_open_plain(probe->upper_fd, "moved", O_RDONLY | O_DIRECTORY, 0, err);
	int r;

	if (file_fd < 0 || moved_fd < 0)
		return file_fd < 0 ? file_fd : moved_fd;
	if (fgetxattr(file_fd, "trusted.overlay.metacopy", NULL, 0) < 0 ||
	    fgetxattr(moved_fd, "trusted.overlay.redirect", NULL, 0) <= 0)
		return err_set(err, -EOPNOTSUPP,
			       "the kernel makes overlays there without metacopy or "
			       "redirect_dir");
	/* Asked as a commit asks, with a lower that is not that of the upper. */
	r = mount_upper_in_use(probe->upper_fd, probe->work_fd, probe->dir_fd, err);
	if (r == 0)
		r = err_set(err, -EOPNOTSUPP,
			    "the kernel makes overlays there without an index");
	return r < 0 ? r : 0;
}

/* What people ask first. */
static const char *describe_file_system(const struct probe *probe)
{
	struct statfs fs;

	if (fstatfs(probe->dir_fd, &fs) < 0)
		return NULL;
	if (fs.f_type == TMPFS_MAGIC)
		return "tmpfs";
	if (fs.f_type == OVERLAYFS_SUPER_MAGIC)
		return "overlayfs";
	return NULL;
}

int overlay_probe(struct cop_store *store, struct cop_error *err)
{
	auto_ptr(workdir) workdir = NULL;
	const char *type;
	int r = workdir_new(store, "probe", NULL, &workdir, err);

	if (r < 0)
		return r;
	{
		cleanup_with(probe_done) struct probe probe = {
			.dir_fd = workdir_fd(workdir),
			.pool_fd = -EBADF,
			.image_fd = -EBADF,
			.lower_fd = -EBADF,
			.upper_fd = -EBADF,
			.work_fd = -EBADF,
			.mount_fd = -EBADF,
		};

		r = open_parts(&probe, store, err);
		if (r < 0)
			return r;
		(void)mount_choose_way(probe.image_fd, probe.pool_fd);
		r = mount_both(&probe, err);
		/* To be removed at once. */
		if (r < 0)
			workdir_doom_free(workdir);
		else
			r = use(&probe, err);
		if (r == 0)
			r = look(&probe, err);
		type = describe_file_system(&probe);
	}
	return r < 0 && type ? err_prefix(err, r, "the store is on %s", type) : r;
}
