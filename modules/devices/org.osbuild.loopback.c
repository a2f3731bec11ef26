/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file of the tree, or a part of it, as a block device.  It is closed, and everything
 * in the file, before the service ends.
 */
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/fs.h"
#include "base/loop.h"
#include "base/text.h"
#include "modules/devices/devices.h"
#include "json/json.h"

#define SECTOR_SIZE 512
/* A stage that was told to stop may need so long to let go of the device. */
#define TIMEOUT_MS 30000
/* osbuild's own rules for udev look here, and leave the device alone. */
#define INHIBITORS "run/osbuild/locks/udev"

#define NO_NUMBER UINT_MAX

struct loopback {
	int fd;
	unsigned int number;
};

/* Where no udev runs nobody needs to be kept away. */
static bool has_udev(void)
{
	return faccessat(AT_FDCWD, "/run/udev/control", F_OK, 0) == 0;
}

static void inhibitor_name(unsigned int number, char name[64])
{
	(void)snprintf(name, 64, "/" INHIBITORS "/device-%d:%u", LOOP_MAJOR_NUMBER,
		       number);
}

static void release(unsigned int number)
{
	char name[64];

	inhibitor_name(number, name);
	(void)unlink(name);
}

/* Of the devices that are tried, the last is the one. */
static void inhibit(void *data, unsigned int number)
{
	auto_close int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	auto_close int fd = -EBADF;
	unsigned int *last = data;
	char name[64];

	if (*last != number && *last != NO_NUMBER)
		release(*last);
	*last = number;
	if (root < 0 || !has_udev() || fs_make_dirs(root, INHIBITORS, 0755, NULL) < 0)
		return;
	inhibitor_name(number, name);
	fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
}

/* A number of sectors; manifests may write 1.0 for 1. */
static int get_sectors(const json_t *options, const char *key, double *ret,
		       struct cop_error *err)
{
	const json_t *value = json_object_get(options, key);
	double number = json_number_value(value);

	if (!value)
		return 0;
	if (!json_is_number(value) || !(number >= 0) || number > 0x1p52 ||
	    floor(number) != number)
		return err_set(err, -EINVAL, "'%s' is not a number of sectors", key);
	*ret = number;
	return 0;
}

static int read_options(const json_t *options, uint64_t file_size,
			struct loop_options *loop, struct cop_error *err)
{
	double start = 0, size = 0, sector = SECTOR_SIZE;
	int r = get_sectors(options, "start", &start, err);

	if (r == 0)
		r = get_sectors(options, "size", &size, err);
	if (r == 0)
		r = get_sectors(options, "sector-size", &sector, err);
	if (r < 0)
		return r;
	if (sector < 512 || sector > 65536)
		return err_set(err, -EINVAL, "'sector-size' is not a size of sectors");
	loop->offset_bytes = (uint64_t)(start * sector);
	loop->size_bytes = (uint64_t)(size * sector);
	loop->sector_size = (uint32_t)sector;
	loop->lock = json_is_true(json_object_get(options, "lock"));
	loop->scan = json_is_true(json_object_get(options, "partscan"));
	loop->read_only = json_is_true(json_object_get(options, "read-only"));
	if (loop->offset_bytes >= file_size && file_size > 0)
		return err_set(err, -EINVAL,
			       "sector %.0f is behind the end of the file (%llu bytes)",
			       start, (unsigned long long)file_size);
	return 0;
}

static int open_file(const char *tree, const char *filename, bool read_only,
		     struct stat *ret_stat, struct cop_error *err)
{
	auto_close int tree_fd = open(tree, O_PATH | O_DIRECTORY | O_CLOEXEC);
	auto_close int fd = -EBADF;

	if (tree_fd < 0)
		return err_errno(err, "open '%s'", tree);
	filename += strspn(filename, "/");
	fd = fs_open_in_root(tree_fd, filename,
			     (read_only ? O_RDONLY : O_RDWR) | O_NONBLOCK, 0, err);
	if (fd < 0)
		return fd;
	if (fstat(fd, ret_stat) < 0)
		return err_errno(err, "stat '%s'", filename);
	if (!S_ISREG(ret_stat->st_mode))
		return err_set(err, -EINVAL, "'%s' is not a file", filename);
	return TAKE_FD(fd);
}

/* The kernel makes loop0p1 and so on in /dev; the stage gets its own nodes. */
static int copy_partitions(int dir_fd, unsigned int number, struct cop_error *err)
{
	auto_close int dev = open("/dev", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char prefix[32], **names = NULL;
	size_t n_names = 0;
	int r = dev < 0 ? err_errno(err, "open '/dev'")
			: fs_list(dev, &names, &n_names, err);

	(void)snprintf(prefix, sizeof(prefix), "loop%up", number);
	for (size_t i = 0; i < n_names && r == 0; i++) {
		struct stat st;

		if (!text_starts_with(names[i], prefix) ||
		    fstatat(dev, names[i], &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    !S_ISBLK(st.st_mode))
			continue;
		if (mknodat(dir_fd, names[i], S_IFBLK | 0600, st.st_rdev) < 0 &&
		    errno != EEXIST)
			r = err_errno(err, "make the device '%s'", names[i]);
	}
	fs_list_free(names);
	return r;
}

static int make_nodes(const char *dev, const struct loopback *loop, bool scan,
		      struct cop_error *err)
{
	auto_close int dir = open(dev, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r;

	if (dir < 0)
		return err_errno(err, "open '%s'", dev);
	r = loop_make_node(dir, loop->number, err);
	return r == 0 && scan ? copy_partitions(dir, loop->number, err) : r;
}

/* Until the device is in *@slot it goes away with its fd. */
static int open_device(const json_t *arguments, void **slot, struct cop_error *err)
{
	auto_free struct loopback *loop = calloc(1, sizeof(*loop));
	auto_close int file = -EBADF, device = -EBADF;
	struct loop_options how = {.claim = inhibit};
	const char *tree, *dev, *filename;
	json_t *options;
	struct stat st;
	int r = json_get_string(arguments, "tree", "arguments", &tree, err);

	if (r == 0)
		r = json_get_string(arguments, "dev", "arguments", &dev, err);
	if (r == 0)
		r = json_get_object(arguments, "options", "arguments", &options, err);
	if (r == 0)
		r = json_get_string(options, "filename", "options", &filename, err);
	if (r != 0)
		return r;
	if (!loop)
		return err_oom(err);
	file = open_file(tree, filename,
			 json_is_true(json_object_get(options, "read-only")), &st, err);
	if (file < 0)
		return file;
	r = read_options(options, (uint64_t)st.st_size, &how, err);
	if (r < 0)
		return err_prefix(err, r, "'%s'", filename);
	loop->number = NO_NUMBER;
	how.data = &loop->number;
	device = loop_open(file, &how, &loop->number, err);
	if (device < 0)
		return err_prefix(err, device, "'%s'", filename);
	loop->fd = TAKE_FD(device);
	r = make_nodes(dev, loop, how.scan, err);
	*slot = TAKE_PTR(loop);
	return r;
}

int device_loopback(struct service_call *call, const char *method, json_t *arguments,
		    json_t **ret_reply, struct cop_error *err)
{
	void **slot = service_state(call);
	const struct loopback *loop;
	char name[32];
	int r;

	if (strcmp(method, "close") == 0)
		return device_loopback_stop(call, err);
	if (strcmp(method, "open") != 0)
		return err_set(err, -EOPNOTSUPP, "there is no method '%.40s'", method);
	if (*slot)
		return err_set(err, -EBUSY, "the device is open already");
	r = open_device(arguments, slot, err);
	if (r < 0)
		return r;
	loop = *slot;
	(void)snprintf(name, sizeof(name), "loop%u", loop->number);
	*ret_reply = json_pack("{s:s, s:{s:i, s:i}}", "path", name, "node", "major",
			       LOOP_MAJOR_NUMBER, "minor", (int)loop->number);
	return *ret_reply ? 0 : err_oom(err);
}

int device_loopback_stop(struct service_call *call, struct cop_error *err)
{
	auto_free struct loopback *loop = TAKE_PTR(*service_state(call));
	int r;

	if (!loop)
		return 0;
	r = loop_close(loop->fd, loop->number, TIMEOUT_MS, err);
	release(loop->number);
	return r;
}
