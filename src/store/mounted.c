/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Work directories in which a view was mounted.  To remove what a mounted overlay stands
 * on would damage it under the hands of whoever uses it: a child of a killed process, or
 * somebody in another mount namespace.
 */
#include <fcntl.h>

#include "base/mount.h"
#include "store/private.h"

/* Names that views use; those in view/overlay.c. */
static const char *const places[] = {"tree", "lower"};

static int open_part(int workdir_fd, const char *name)
{
	return openat(workdir_fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

bool workdir_unmount(int workdir_fd)
{
	auto_close int upper_fd = open_part(workdir_fd, "upper");
	auto_close int work_fd = open_part(workdir_fd, "work");
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		if (faccessat(workdir_fd, places[i], F_OK, AT_SYMLINK_NOFOLLOW) == 0 &&
		    mount_detach(workdir_fd, places[i], false, NULL) == -EBUSY)
			return false;
	if (upper_fd < 0 || work_fd < 0)
		return true;
	r = mount_upper_in_use(upper_fd, work_fd, workdir_fd, NULL);
	/* A plain user has mounted none, and a store has one owner; root may have had
	 * more capabilities before. */
	return r == 0 || r == -ENODEV || (r == -EPERM && geteuid() != 0);
}
