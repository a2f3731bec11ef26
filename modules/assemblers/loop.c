/* SPDX-License-Identifier: Apache-2.0 */
#include "modules/assemblers/loop.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

#include "modkit/tool.h"
#include "modules/stages/copytree.h"
#include "json/comm.h"
#include "json/json.h"

#define SOCKET "/run/osbuild/api/remoteloop"

/* The socket must stay open as long as the device is used. */
static int ask(const struct disk *disk, const struct disk_part *part, int socket,
	       char *ret_device, size_t size)
{
	struct cop_error *err = disk->kit->err;
	auto_close int image = open(disk->path, O_RDWR | O_CLOEXEC);
	auto_close int dev = open("/dev", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_json *request = NULL, *reply = NULL;
	const int fds[] = {image, dev};
	const char *name = NULL;
	int r;

	if (image < 0 || dev < 0)
		return err_errno(err, "open the image");
	request = json_pack("{s:i, s:i, s:I, s:I}", "fd", 0, "dir_fd", 1, "offset",
			    (json_int_t)part->start, "sizelimit", (json_int_t)part->size);
	if (!request)
		return err_oom(err);
	r = comm_send(socket, request, fds, ARRAY_SIZE(fds), err);
	if (r == 0)
		r = comm_receive(socket, &reply, NULL, err);
	if (r < 0)
		return r;
	if (r == 0 || json_get_string(reply, "devname", "remoteloop", &name, NULL) < 0)
		return err_set(err, -EIO, "the engine made no loop device");
	if (snprintf(ret_device, size, "/dev/%s", name) >= (int)size)
		return err_set(err, -ENAMETOOLONG, "loop device '%s'", name);
	return 0;
}

static int format(const struct disk *disk, const struct disk_part *part,
		  const char *device)
{
	const bool is_xfs = strcmp(part->filesystem, "xfs") == 0;
	auto_words words = {};

	if (!is_xfs && strcmp(part->filesystem, "btrfs") != 0)
		return err_set(disk->kit->err, -EOPNOTSUPP,
			       "file system '%s' is not known", part->filesystem);
	if (is_xfs) {
		words_add(&words, "mkfs.xfs", "-m", NULL);
		words_printf(&words, "uuid=%s", part->fs_uuid);
	} else {
		words_add(&words, "mkfs.btrfs", "-U", part->fs_uuid, NULL);
	}
	if (part->label && *part->label)
		words_add(&words, "-L", part->label, NULL);
	words_add(&words, device, NULL);
	return tool_run_at_epoch(disk->kit, &words, is_xfs ? "xfsprogs" : "btrfs-progs");
}

static int fill(const struct disk *disk, const struct disk_part *part, const char *target)
{
	const struct copytree_options options = {};
	struct cop_error *err = disk->kit->err;
	auto_close int from = open(part->source, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_close int to = open(target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct location source = {from, "", true}, destination = {to, "", true};

	if (from < 0 || to < 0)
		return err_errno(err, "open '%s'", target);
	return copytree(&source, &destination, &options, err);
}

int loop_make(const struct disk *disk, const struct disk_part *part)
{
	struct cop_error *err = disk->kit->err;
	auto_close int socket = comm_connect(SOCKET, err);
	char device[64], target[sizeof(part->source) + 8];
	int r;

	if (socket < 0)
		return err_prefix(err, socket, "%s needs a loop device",
				  part->filesystem);
	r = ask(disk, part, socket, device, sizeof(device));
	if (r == 0)
		r = format(disk, part, device);
	if (r < 0)
		return r;
	(void)snprintf(target, sizeof(target), "%s.mount", part->source);
	if (mkdir(target, 0700) < 0 ||
	    mount(device, target, part->filesystem, 0, NULL) < 0)
		return err_errno(err, "mount the new %s", part->filesystem);
	r = fill(disk, part, target);
	/* What is not written yet fails here, if it does. */
	if (umount2(target, 0) < 0 && r == 0)
		r = err_errno(err, "unmount the new %s", part->filesystem);
	return r;
}
