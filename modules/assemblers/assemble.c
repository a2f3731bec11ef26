/* SPDX-License-Identifier: Apache-2.0 */
#include "modules/assemblers/assemble.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "modkit/root.h"
#include "modules/assemblers/loop.h"

int assemble_begin(struct kit *kit, struct assembly *assembly, const char *filename,
		   int64_t size, struct disk_part *parts, size_t n_parts)
{
	auto_close int fd = -EBADF;

	*assembly = (struct assembly){.disk = {
					      .kit = kit,
					      .filename = filename,
					      .size = size,
					      .parts = parts,
					      .n_parts = n_parts,
				      }};
	if (size <= 0)
		return err_set(kit->err, -EINVAL, "size %lld is not above 0",
			       (long long)size);
	assembly->disk.tree = kit_input_path(kit, "tree");
	if (!assembly->disk.tree)
		return kit->err->code;
	(void)fs_temporary_name(assembly->work);
	if (asprintf(&assembly->disk.path, "%s/%s", kit->tree_path, assembly->work) < 0) {
		assembly->disk.path = NULL;
		return err_oom(kit->err);
	}
	fd = openat(kit->tree_fd, assembly->work,
		    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
		return err_errno(kit->err, "make an image of %lld bytes",
				 (long long)size);
	return disk_split(&assembly->disk);
}

int assemble_fill(const struct assembly *assembly, const struct disk_part *part)
{
	int r;

	if (strcmp(part->filesystem, "ext4") == 0)
		r = disk_make_ext4(&assembly->disk, part);
	else if (strcmp(part->filesystem, "vfat") == 0)
		r = disk_make_fat(&assembly->disk, part);
	else
		r = loop_make(&assembly->disk, part);
	return r < 0 ? err_prefix(assembly->disk.kit->err, r, "file system for '%s'",
				  part->mount)
		     : 0;
}

int assemble_keep(struct assembly *assembly)
{
	struct kit *kit = assembly->disk.kit;
	auto_close int parent = -EBADF;
	char name[NAME_MAX + 1];

	parent = root_open_parent(kit->tree_fd, assembly->disk.filename, name, kit->err);
	if (parent < 0)
		return parent;
	if (renameat(kit->tree_fd, assembly->work, parent, name) < 0)
		return err_errno(kit->err, "name the image '%s'",
				 assembly->disk.filename);
	return 0;
}

void assemble_end(struct assembly *assembly)
{
	disk_split_end(&assembly->disk);
	if (assembly->disk.path)
		(void)unlinkat(assembly->disk.kit->tree_fd, assembly->work, 0);
	free(assembly->disk.path);
	assembly->disk.path = NULL;
}
