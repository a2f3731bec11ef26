/* SPDX-License-Identifier: Apache-2.0 */
/* Where mounts are put, and how they are found again when it is time to unmount them. */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

#include "base/mount.h"
#include "modkit/root.h"
#include "modules/mounts/mounts.h"
#include "json/json.h"

int mount_target(const json_t *arguments, const char **ret_root, const char **ret_target,
		 struct cop_error *err)
{
	int root_fd, r = json_get_string(arguments, "root", "arguments", ret_root, err);

	if (r == 0)
		r = json_get_string(arguments, "target", "arguments", ret_target, err);
	if (r < 0)
		return r;
	root_fd = open(*ret_root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return root_fd < 0 ? err_errno(err, "open '%s'", *ret_root) : root_fd;
}

int mount_make_place(int root_fd, const char *target, struct cop_error *err)
{
	int r;

	target += strspn(target, "/");
	if (!*target)
		target = ".";
	r = root_make_dirs(root_fd, target, 0755, err);
	return r < 0 ? r : fs_open_in_root(root_fd, target, O_PATH | O_DIRECTORY, 0, err);
}

int mount_keep(struct service_call *call, int mount, int place, struct cop_error *err)
{
	auto_close int fd = mount;
	auto_free int *kept = malloc(sizeof(*kept));
	int r;

	if (!kept)
		return err_oom(err);
	r = mount_attach(fd, place, "", err);
	if (r < 0)
		return r;
	*kept = TAKE_FD(fd);
	*service_state(call) = TAKE_PTR(kept);
	return 0;
}

/* A stage may have renamed what is on the way: the kernel knows where the mount is now.
 * Our fd must be closed before it can be unmounted. */
int mount_undo(struct service_call *call, struct cop_error *err)
{
	auto_free int *kept = TAKE_PTR(*service_state(call));
	auto_close int fd = kept ? *kept : -EBADF;
	char link[64], path[PATH_MAX];
	ssize_t n;
	int r;

	if (fd < 0)
		return 0;
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n < 0)
		return err_errno(err, "find the mount");
	path[n] = '\0';
	(void)close(TAKE_FD(fd));
	r = mount_detach_below(path, false, err);
	if (r < 0)
		return r;
	if (umount2(path, UMOUNT_NOFOLLOW) < 0)
		return err_errno(err, "unmount '%s'", path);
	return 0;
}
