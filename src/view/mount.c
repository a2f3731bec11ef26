/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images and overlays, mounted.
 *
 * Kernels differ in what they take: EROFS from a file since 6.12 (and not from a file on
 * tmpfs or overlayfs), layers of an overlay one by one since 6.7, by fd since 6.13, from
 * mounts that are attached nowhere later still.  Each way is tried until one works, and
 * later mounts begin there.  Layers are never given by paths of the user, in which ':'
 * and ',' would mean something.
 */
#include "view/mount.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/loop.h"
#include "base/mount.h"
#include "image/format.h"

#define LOWER_NAME "lower"

static atomic_int first_image_way = MOUNT_IMAGE_FILE;
static atomic_int first_overlay_way = MOUNT_OVERLAY_DETACHED;

void mount_set_ways(enum mount_image_way image, enum mount_overlay_way overlay)
{
	first_image_way = (int)image;
	first_overlay_way = (int)overlay;
}

void mount_get_ways(enum mount_image_way *ret_image, enum mount_overlay_way *ret_overlay)
{
	*ret_image = (enum mount_image_way)first_image_way;
	*ret_overlay = (enum mount_overlay_way)first_overlay_way;
}

/* Without ACLs in the image the kernel need not look for any. */
static int image_has_acl(int image_fd, struct cop_error *err)
{
	uint8_t header[HEADER_SIZE];
	ssize_t n = fs_pread_full(image_fd, header, sizeof(header), 0);

	if (n < 0)
		return err_code(err, (int)n, "read the image");
	if (n != HEADER_SIZE)
		return err_set(err, -EBADMSG, "read the image: it is too short");
	return (get_le32(header + HEADER_FLAGS) & HEADER_FLAG_ACL) != 0;
}

static int mount_erofs(const char *source, bool has_acl, struct cop_error *err)
{
	auto_close int context = mount_open("erofs", err);
	int r;

	if (context < 0)
		return context;
	r = mount_set_text(context, "source", source, err);
	if (r == 0)
		r = mount_set_flag(context, "ro", err);
	if (r == 0 && !has_acl)
		r = mount_set_flag(context, "noacl", err);
	return r < 0 ? r : mount_create(context, true, err);
}

static int mount_from_file(int image_fd, bool has_acl, struct cop_error *err)
{
	char source[64];

	(void)snprintf(source, sizeof(source), "/proc/self/fd/%d", image_fd);
	return mount_erofs(source, has_acl, err);
}

static int mount_from_loop(int image_fd, bool has_acl, struct cop_error *err)
{
	static const struct loop_options options = {.read_only = true,
						    .may_be_direct = true};
	auto_close int loop_fd = -EBADF;
	unsigned int number;
	char name[64];

	loop_fd = loop_open(image_fd, &options, &number, err);
	if (loop_fd < 0)
		return loop_fd;
	/* The device ends with the last fd or mount of it. */
	(void)snprintf(name, sizeof(name), "/dev/loop%u", number);
	return mount_erofs(name, has_acl, err);
}

int mount_image(int image_fd, struct cop_error *err)
{
	int has_acl = image_has_acl(image_fd, err), r = -ENOTBLK;

	if (has_acl < 0)
		return has_acl;
	if (first_image_way == MOUNT_IMAGE_FILE)
		r = mount_from_file(image_fd, has_acl, err);
	if (r != -ENOTBLK)
		return r;
	return mount_from_loop(image_fd, has_acl, err);
}

static int set_layers(int context, const struct mount_overlay *options,
		      enum mount_overlay_way way, int lower_fd, struct cop_error *err)
{
	char text[96];
	int r;

	if (way == MOUNT_OVERLAY_JOINED) {
		(void)snprintf(text, sizeof(text), "/proc/self/fd/%d::/proc/self/fd/%d",
			       lower_fd, options->pool_fd);
		return mount_set_text(context, "lowerdir", text, err);
	}
	r = mount_set_directory(context, "lowerdir+", lower_fd, err);
	if (r == 0)
		r = mount_set_directory(context, "datadir+", options->pool_fd, err);
	return r;
}

static int set_features(int context, const struct mount_overlay *options,
			struct cop_error *err)
{
	int r = mount_set_text(context, "source", options->source, err);

	if (r == 0)
		r = mount_set_text(context, "metacopy", "on", err);
	if (r == 0)
		r = mount_set_text(context, "redirect_dir", "on", err);
	if (r == 0)
		r = mount_set_text(context, "xino", "auto", err);
	if (r < 0 || options->upper_fd < 0)
		return r;
	r = mount_set_directory(context, "upperdir", options->upper_fd, err);
	if (r == 0)
		r = mount_set_directory(context, "workdir", options->work_fd, err);
	if (r == 0)
		r = mount_set_text(context, "index", "on", err);
	if (r == 0 && options->is_volatile)
		r = mount_set_flag(context, "volatile", err);
	return r;
}

static int create_overlay(const struct mount_overlay *options, enum mount_overlay_way way,
			  int lower_fd, struct cop_error *err)
{
	auto_close int context = mount_open("overlay", err);
	int r;

	if (context < 0)
		return context;
	r = set_layers(context, options, way, lower_fd, err);
	if (r == 0)
		r = set_features(context, options, err);
	return r < 0 ? r : mount_create(context, options->upper_fd < 0, err);
}

/* The overlay makes private clones of its layers, so it can do without the place. */
static int create_attached(const struct mount_overlay *options,
			   enum mount_overlay_way way, struct cop_error *err)
{
	auto_close int place_fd = -EBADF;
	int r;

	if (mkdirat(options->temporary_fd, LOWER_NAME, 0700) < 0 && errno != EEXIST)
		return err_errno(err, "make a directory for the lower layer");
	r = mount_attach(options->lower_fd, options->temporary_fd, LOWER_NAME, err);
	/* It may have been attached there by an earlier mount. */
	if (r < 0 && r != -EINVAL)
		return r;
	place_fd = openat(options->temporary_fd, LOWER_NAME,
			  O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (place_fd < 0)
		r = err_errno(err, "open the lower layer");
	else
		r = create_overlay(options, way, place_fd, err);
	return r;
}

/* An overlay over a view that is only read. */
static bool can_stack(int image_fd, int pool_fd)
{
	struct mount_overlay options = {
		.source = "coppice:probe",
		.pool_fd = pool_fd,
		.upper_fd = -EBADF,
		.work_fd = -EBADF,
		.temporary_fd = -EBADF,
	};
	auto_close int lower_fd = mount_image(image_fd, NULL), view_fd = -EBADF,
		       above_fd = -EBADF;

	if (lower_fd < 0)
		return false;
	view_fd = create_overlay(&options, MOUNT_OVERLAY_DETACHED, lower_fd, NULL);
	if (view_fd < 0)
		return false;
	above_fd = create_overlay(&options, MOUNT_OVERLAY_DETACHED, view_fd, NULL);
	return above_fd >= 0;
}

bool mount_choose_way(int image_fd, int pool_fd)
{
	if (can_stack(image_fd, pool_fd))
		return true;
	/* Kernels that know no detached layers are older than those that count. */
	if (first_image_way != MOUNT_IMAGE_FILE ||
	    first_overlay_way != MOUNT_OVERLAY_DETACHED)
		return false;
	first_image_way = MOUNT_IMAGE_LOOP;
	if (can_stack(image_fd, pool_fd))
		return true;
	first_image_way = MOUNT_IMAGE_FILE;
	return false;
}

static int try_way(const struct mount_overlay *options, enum mount_overlay_way way,
		   struct cop_error *err)
{
	int r;

	if (way == MOUNT_OVERLAY_DETACHED)
		r = create_overlay(options, way, options->lower_fd, err);
	else
		r = create_attached(options, way, err);
	return r < 0 ? err_prefix(err, r, "mount an overlay") : r;
}

int mount_overlay(const struct mount_overlay *options, struct cop_error *err)
{
	int first = first_overlay_way, r;
	struct cop_error later = {};

	r = try_way(options, (enum mount_overlay_way)first, err);
	for (int way = first + 1; r == -EINVAL && way <= MOUNT_OVERLAY_JOINED; way++) {
		int again = try_way(options, (enum mount_overlay_way)way, &later);

		if (again < 0)
			continue;
		first_overlay_way = way;
		return again;
	}
	return r;
}
