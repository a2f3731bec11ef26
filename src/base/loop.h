/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loop devices: a file, or a part of it, as a block device.  A device made here ends by
 * itself with its last fd and mount, whoever holds it and however that ends.
 */
#pragma once

#include "base/error.h"

/* The major number of all loop devices. */
#define LOOP_MAJOR_NUMBER 7

/*
 * struct loop_options
 * @offset_bytes: where the device begins in the file
 * @size_bytes:   how much of it there is; 0: the rest
 * @sector_size:  512 to 4096; 0: 512
 * @may_be_direct: past the page cache, where the file system can; other file systems are
 *                 used as they are
 * @scan:         look for partitions: they get devices of their own
 * @lock:         take an advisory lock, which keeps udev away; another device is tried
 *                when somebody has it
 * @claim:        called with the number of each device that is tried, before it is made;
 *                may be NULL
 */
struct loop_options {
	uint64_t offset_bytes, size_bytes;
	uint32_t sector_size;
	bool read_only, may_be_direct, scan, lock;
	void (*claim)(void *data, unsigned int number);
	void *data;
};

/*
 * loop_open() - make a free loop device from @file_fd
 *
 * Needs CAP_SYS_ADMIN.  Return: its fd, and its number; -EBUSY when others took every
 * free one away; another negative errno.
 */
int loop_open(int file_fd, const struct loop_options *options, unsigned int *ret_number,
	      struct cop_error *err);

/*
 * loop_close() - write everything to the file and end the device now
 * @timeout_ms: how long others may still use it (-EBUSY)
 *
 * @loop_fd is closed in any case.  What was written is in the file then, if not on disk.
 */
int loop_close(int loop_fd, unsigned int number, unsigned int timeout_ms,
	       struct cop_error *err);

/* loop_make_node() - "loopN" in @dir_fd, as mount_device_node() */
int loop_make_node(int dir_fd, unsigned int number, struct cop_error *err);
