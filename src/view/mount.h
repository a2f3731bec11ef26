/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tree of the store as a mount: its image as an EROFS file system, the pool as a layer
 * that only holds data, and for writing an upper directory on top.  Which of the ways
 * that kernels offer works is found out once per process.
 */
#pragma once

#include "base/error.h"

/*
 * mount_image() - the file system of a composefs image, attached nowhere
 * @image_fd: of the store; may be renamed or unlinked meanwhile
 *
 * A loop device only where the file system of the image cannot do without; it goes away
 * with the mount.  Return: the fd of the mount; a negative errno.
 */
int mount_image(int image_fd, struct cop_error *err);

/*
 * struct mount_overlay
 * @source:   what mountinfo shows
 * @lower_fd: of mount_image()
 * @pool_fd:  the directory that the redirects of the image start from
 * @upper_fd, @work_fd: on one file system; negative: a read-only mount of the lower
 * @is_volatile: nothing is synced; the work directory says so for ever
 * @temporary_fd: a directory in which the lower is attached for a moment, as "lower",
 *		  where the kernel cannot take it otherwise
 */
struct mount_overlay {
	const char *source;
	int lower_fd;
	int pool_fd;
	int upper_fd, work_fd;
	bool is_volatile;
	int temporary_fd;
};

/* mount_overlay() - attached nowhere.  Return: the fd; -EBUSY: the upper is in use; a
 * negative errno. */
int mount_overlay(const struct mount_overlay *options, struct cop_error *err);

/*
 * mount_choose_way() - may something in a view mount an overlay over a part of it?
 *
 * Some kernels count an image that is mounted from a file as one more of the few levels
 * of stacked file systems; where a loop device saves that level, images are mounted so
 * from now on.  Return: true when overlays can be stacked on views.
 */
bool mount_choose_way(int image_fd, int pool_fd);

/* The ways, for what an earlier process found out, and for tests of kernels that have
 * fewer. */
enum mount_image_way { MOUNT_IMAGE_FILE, MOUNT_IMAGE_LOOP };
enum mount_overlay_way {
	MOUNT_OVERLAY_DETACHED, /* layers by fd, the lower attached nowhere */
	MOUNT_OVERLAY_ATTACHED, /* one option per layer */
	MOUNT_OVERLAY_JOINED,	/* one text for all layers, as before Linux 6.7 */
};
void mount_set_ways(enum mount_image_way image, enum mount_overlay_way overlay);
void mount_get_ways(enum mount_image_way *ret_image, enum mount_overlay_way *ret_overlay);
