/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

#include "base/text.h"
#include "modules/stages/disk.h"

/* Where @inner lies below @outer: "boot/efi" below "/", or NULL. */
static const char *below(const char *inner, const char *outer)
{
	size_t size = strlen(outer);

	if (strcmp(outer, "/") == 0)
		return inner[1] ? inner + 1 : NULL;
	if (strncmp(inner, outer, size) != 0 || inner[size] != '/')
		return NULL;
	return inner + size + 1;
}

/* An empty directory that looks like the one it covers. */
static int cover(struct kit *kit, const char *target, const char *empty)
{
	struct timespec times[2];
	struct stat st;

	if (lstat(target, &st) < 0)
		return err_errno(kit->err, "stat '%s'", target);
	if (mkdir(empty, 0755) < 0 || chown(empty, st.st_uid, st.st_gid) < 0 ||
	    chmod(empty, st.st_mode & 07777) < 0)
		return err_errno(kit->err, "make '%s'", empty);
	times[0] = times[1] = st.st_mtim;
	if (utimensat(AT_FDCWD, empty, times, 0) < 0)
		return err_errno(kit->err, "set the time of '%s'", empty);
	if (mount(empty, target, NULL, MS_BIND, NULL) < 0)
		return err_errno(kit->err, "cover '%s'", target);
	return 0;
}

static int split_one(struct disk *disk, const char *work, size_t i)
{
	struct disk_part *part = &disk->parts[i];
	struct kit *kit = disk->kit;
	auto_close int fd = -EBADF;
	char from[64];
	int r = 0;

	/* Resolved as if the tree were /, and mounted from there. */
	fd = open(disk->tree, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(kit->err, "open '%s'", disk->tree);
	if (part->mount[1]) {
		int inner = fs_open_in_root(fd, part->mount, O_RDONLY | O_DIRECTORY, 0,
					    kit->err);

		if (inner < 0)
			return err_prefix(kit->err, inner,
					  "the tree has no directory for partition '%s'",
					  part->name);
		closep(&fd);
		fd = inner;
	}
	(void)snprintf(part->source, sizeof(part->source), "%s/part-%zu", work, i);
	(void)snprintf(from, sizeof(from), "/proc/self/fd/%d", fd);
	if (mkdir(part->source, 0755) < 0 ||
	    mount(from, part->source, NULL, MS_BIND, NULL) < 0)
		return err_errno(kit->err, "mount '%s'", part->source);
	for (size_t j = 0; j < disk->n_parts && r == 0; j++) {
		const char *other = disk->parts[j].mount;
		const char *rest = other && j != i ? below(other, part->mount) : NULL;
		char target[768], empty[320];

		if (!rest)
			continue;
		(void)snprintf(target, sizeof(target), "%s/%s", part->source, rest);
		(void)snprintf(empty, sizeof(empty), "%s/empty-%zu-%zu", work, i, j);
		r = cover(kit, target, empty);
	}
	return r;
}

int disk_split(struct disk *disk)
{
	struct cop_error *err = disk->kit->err;
	const char *work = disk->kit->mounts_path;
	int r = 0;

	if (strlen(work) > sizeof(disk->parts->source) / 2)
		return err_set(err, -ENAMETOOLONG, "mounts at '%s'", work);
	if (unshare(CLONE_NEWNS) < 0)
		return err_errno(err, "make a mount namespace");
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return err_errno(err, "make mounts private");
	if (mount("tmpfs", work, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0700") < 0)
		return err_errno(err, "mount '%s'", work);
	disk->is_split = true;
	for (size_t i = 0; i < disk->n_parts && r == 0; i++)
		if (disk->parts[i].mount)
			r = split_one(disk, work, i);
	return r;
}

void disk_split_end(struct disk *disk)
{
	if (disk->is_split)
		(void)umount2(disk->kit->mounts_path, MNT_DETACH);
	disk->is_split = false;
}
