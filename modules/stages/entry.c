/* SPDX-License-Identifier: Apache-2.0 */
#include "modules/stages/entry.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "modkit/root.h"

char *entry_plain_path(const char *path)
{
	size_t size;

	while (*path == '/' || (path[0] == '.' && path[1] == '/'))
		path++;
	size = strlen(path);
	while (size > 0 && path[size - 1] == '/')
		size--;
	return size ? strndup(path, size) : strdup(".");
}

static void set_times(struct archive_entry *entry, struct timespec times[2])
{
	times[0] = (struct timespec){.tv_nsec = UTIME_NOW};
	times[1] = (struct timespec){.tv_sec = archive_entry_mtime(entry),
				     .tv_nsec = archive_entry_mtime_nsec(entry)};
}

int entry_apply(struct archive_entry *entry, int fd, struct cop_error *err)
{
	struct timespec times[2];

	set_times(entry, times);
	/* chown first: it takes set-id bits away */
	if (fchown(fd, (uid_t)archive_entry_uid(entry), (gid_t)archive_entry_gid(entry)) <
		    0 ||
	    fchmod(fd, archive_entry_mode(entry) & 07777) < 0 || futimens(fd, times) < 0)
		return err_errno(err, "set attributes");
	return 0;
}

int entry_hard_link(int tree_fd, const char *target, int parent_fd, const char *name,
		    struct cop_error *err)
{
	auto_close int parent = -EBADF;
	char old_name[NAME_MAX + 1];

	parent = root_open_parent(tree_fd, target, old_name, err);
	if (parent < 0)
		return parent;
	if (linkat(parent, old_name, parent_fd, name, 0) < 0)
		return err_errno(err, "link to '%s'", target);
	return 0;
}

int entry_special(struct archive_entry *entry, int parent_fd, const char *name,
		  struct cop_error *err)
{
	struct timespec times[2];

	if (archive_entry_filetype(entry) == AE_IFLNK) {
		const char *target = archive_entry_symlink(entry);

		if (symlinkat(target ? target : "", parent_fd, name) < 0)
			return err_errno(err, "create symlink");
	} else if (mknodat(parent_fd, name, archive_entry_mode(entry),
			   archive_entry_rdev(entry)) < 0 ||
		   fchmodat(parent_fd, name, archive_entry_mode(entry) & 07777, 0) < 0) {
		return err_errno(err, "create node");
	}
	set_times(entry, times);
	if (fchownat(parent_fd, name, (uid_t)archive_entry_uid(entry),
		     (gid_t)archive_entry_gid(entry), AT_SYMLINK_NOFOLLOW) < 0 ||
	    utimensat(parent_fd, name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return err_errno(err, "set attributes");
	return 0;
}
