/* SPDX-License-Identifier: Apache-2.0 */
/* One file into another by way of an encoder. */
#pragma once

#include "modkit/kit.h"

/*
 * struct pump_ops
 * @encode: take all of @in and hand what comes out to pump_write(); @is_last: and all
 *          that was held back
 */
struct pump_ops {
	int (*encode)(void *data, const void *in, size_t size, bool is_last, int out_fd,
		      struct cop_error *err);
	void *data;
};

/* pump_write() - @out_fd gets the bytes */
int pump_write(int out_fd, const void *bytes, size_t size, struct cop_error *err);

/* pump() - all of @source by way of the encoder into @target; both stay the caller's */
int pump(int source, int target, const struct pump_ops *ops, struct cop_error *err);

/* pump_open() - the one file of the input "file", and @filename in the tree, emptied;
 * both are then the caller's */
int pump_open(struct kit *kit, const char *filename, int *ret_source, int *ret_target);
