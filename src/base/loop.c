/* SPDX-License-Identifier: Apache-2.0 */
#include "base/loop.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "base/mount.h"

/* How often somebody else may take the device that we were told is free. */
#define TRIES 64
/* Waiting for others begins with this and doubles up to that. */
#define FIRST_WAIT_MS 1
#define LAST_WAIT_MS  64
#define NAME_SIZE     32

static int configure(int loop_fd, int file_fd, const struct loop_options *options)
{
	struct loop_config config = {
		.fd = (uint32_t)file_fd,
		.block_size = options->sector_size ? options->sector_size : 512,
		.info.lo_offset = options->offset_bytes,
		.info.lo_sizelimit = options->size_bytes,
		.info.lo_flags = LO_FLAGS_AUTOCLEAR,
	};

	if (options->read_only)
		config.info.lo_flags |= LO_FLAGS_READ_ONLY;
	if (options->scan)
		config.info.lo_flags |= LO_FLAGS_PARTSCAN;
	if (options->may_be_direct)
		config.info.lo_flags |= LO_FLAGS_DIRECT_IO;
	if (ioctl(loop_fd, LOOP_CONFIGURE, &config) == 0)
		return 0;
	if (errno != EINVAL || !options->may_be_direct)
		return -errno;
	config.info.lo_flags &= ~(uint32_t)LO_FLAGS_DIRECT_IO;
	return ioctl(loop_fd, LOOP_CONFIGURE, &config) < 0 ? -errno : 0;
}

/* Return: the fd; -EBUSY: somebody else was faster; another negative errno. */
static int try_one(int file_fd, const struct loop_options *options, unsigned int number,
		   struct cop_error *err)
{
	auto_close int loop_fd = -EBADF;
	char name[NAME_SIZE];
	int r;

	(void)snprintf(name, sizeof(name), "/dev/loop%u", number);
	loop_fd = open(name, O_RDWR | O_CLOEXEC);
	if (loop_fd < 0)
		return err_errno(err, "open '%s'", name);
	if (options->claim)
		options->claim(options->data, number);
	if (options->lock && flock(loop_fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? -EBUSY : err_errno(err, "lock '%s'", name);
	r = configure(loop_fd, file_fd, options);
	if (r == -EBUSY || r == -EAGAIN)
		return -EBUSY;
	return r < 0 ? err_code(err, r, "set up '%s'", name) : TAKE_FD(loop_fd);
}

int loop_open(int file_fd, const struct loop_options *options, unsigned int *ret_number,
	      struct cop_error *err)
{
	auto_close int control_fd = open("/dev/loop-control", O_RDWR | O_CLOEXEC);

	if (control_fd < 0)
		return err_errno(err, "open '/dev/loop-control'");
	for (int i = 0; i < TRIES; i++) {
		int number = ioctl(control_fd, LOOP_CTL_GET_FREE), fd;

		if (number < 0)
			return err_errno(err, "find a free loop device");
		fd = try_one(file_fd, options, (unsigned int)number, err);
		if (fd >= 0)
			*ret_number = (unsigned int)number;
		if (fd != -EBUSY)
			return fd;
	}
	return err_set(err, -EBUSY, "find a free loop device: others take them all");
}

/* What the device is made of, as the kernel names it; "": nothing any more. */
static void read_backing(unsigned int number, char *text, size_t size)
{
	char path[64];
	auto_close int fd = -EBADF;
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/sys/block/loop%u/loop/backing_file", number);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? 0 : read(fd, text, size - 1);
	text[n > 0 ? n : 0] = '\0';
}

static void wait_ms(unsigned int ms)
{
	struct timespec time = {.tv_sec = ms / 1000,
				.tv_nsec = (long)(ms % 1000) * 1000000};

	while (nanosleep(&time, &time) < 0 && errno == EINTR)
		;
}

int loop_close(int loop_fd, unsigned int number, unsigned int timeout_ms,
	       struct cop_error *err)
{
	auto_close int fd = loop_fd;
	char before[512], now[512];
	int r = 0;

	read_backing(number, before, sizeof(before));
	if (fsync(fd) < 0)
		r = err_errno(err, "write back '/dev/loop%u'", number);
	/* Kernels have lost what the cache of a device still held when it was cleared. */
	(void)ioctl(fd, BLKFLSBUF, 0);
	(void)ioctl(fd, LOOP_CLR_FD, 0);
	(void)close(TAKE_FD(fd));
	for (unsigned int waited = 0, next = FIRST_WAIT_MS;; waited += next) {
		read_backing(number, now, sizeof(now));
		if (!*now || strcmp(before, now) != 0)
			return r;
		if (waited >= timeout_ms)
			break;
		if (waited > 0 && next < LAST_WAIT_MS)
			next *= 2;
		wait_ms(next);
	}
	return err_set(err, -EBUSY, "'/dev/loop%u' is still in use after %u s", number,
		       timeout_ms / 1000);
}

int loop_make_node(int dir_fd, unsigned int number, struct cop_error *err)
{
	char name[NAME_SIZE];

	(void)snprintf(name, sizeof(name), "loop%u", number);
	return mount_device_node(dir_fd, name, S_IFBLK | 0600,
				 makedev(LOOP_MAJOR_NUMBER, number), err);
}
