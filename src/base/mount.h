/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's mount interface by file descriptors: a context is opened, gets parameters,
 * becomes a mount that is nowhere, and is attached to a directory.
 *
 * All of it needs CAP_SYS_ADMIN.  Messages end with what the kernel had to say.  Safe
 * from any thread.
 */
#pragma once

#include <sys/types.h>

#include "base/error.h"

/* mount_open() - a context for a file system of @type.  Return: the fd; -ENODEV: the
 * kernel has no such file system; another negative errno. */
int mount_open(const char *type, struct cop_error *err);

int mount_set_text(int context, const char *key, const char *value,
		   struct cop_error *err);
int mount_set_flag(int context, const char *key, struct cop_error *err);

/* mount_set_directory() - a parameter that is a directory, by fd, or through /proc on
 * kernels that do not take one */
int mount_set_directory(int context, const char *key, int dir_fd, struct cop_error *err);

/* mount_create() - make the file system; the mount is attached nowhere and goes away with
 * its fd.  Return: the fd, or a negative errno. */
int mount_create(int context, bool read_only, struct cop_error *err);

/* mount_attach() - to what is at @name in @dir_fd, or with "" to @dir_fd itself; the fd
 * still counts as a user */
int mount_attach(int mount, int dir_fd, const char *name, struct cop_error *err);

/* mount_clone() - a mount of what is at @name in @dir_fd ("": @dir_fd itself) and
 * everything that is mounted below it, for mount_attach().  A symlink is refused.
 * Return: the fd, or a negative errno. */
int mount_clone(int dir_fd, const char *name, bool read_only, struct cop_error *err);

/*
 * mount_set_read_only() - the file system itself, not only one mount of it
 * @dir_fd, @name: its root
 *
 * -EBUSY: somebody has a file open for writing, be it in another mount namespace.
 */
int mount_set_read_only(int dir_fd, const char *name, bool read_only,
			struct cop_error *err);

/* mount_detach() - unmount what is at @name in @dir_fd; @lazy: even while it is in use.
 * -EBUSY; -EINVAL: nothing is mounted there. */
int mount_detach(int dir_fd, const char *name, bool lazy, struct cop_error *err);

/*
 * mount_device_node() - a device node @name in @dir_fd, whose file system must allow
 * devices; one that is there already is fine
 * @type: S_IFBLK or S_IFCHR, with the permissions
 *
 * Where nodes cannot be made the host's node of that name is bound there.
 */
int mount_device_node(int dir_fd, const char *name, mode_t type, dev_t device,
		      struct cop_error *err);

/* mount_detach_below() - unmount lazily whatever is mounted below the absolute @path, and
 * on it where @itself is set.  Return: how many mounts that were; a negative errno. */
int mount_detach_below(const char *path, bool itself, struct cop_error *err);

/* mount_each() - call @visit for every mount of our namespace, later ones last; a return
 * that is not 0 ends the list and is returned.  Strings die with the call. */
int mount_each(int (*visit)(void *data, const char *path, const char *source), void *data,
	       struct cop_error *err);

/*
 * mount_upper_in_use() - is the upper of an overlay still mounted, in whatever namespace?
 * @lower_fd: its lower layer, or any other directory when the upper has been mounted
 *	before (it refuses another lower) or is not used again
 *
 * Right only for overlays that are mounted with index=on.  Return: 1; 0; a negative errno
 * when that cannot be found out.
 */
int mount_upper_in_use(int upper_fd, int work_fd, int lower_fd, struct cop_error *err);
