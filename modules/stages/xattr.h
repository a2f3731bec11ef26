/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extended attributes of anything, symlinks and devices too.  Those that belong to a file
 * system or to the kernel's own bookkeeping are not shown: only user.*, trusted.*,
 * security.* except ima and evm, and the POSIX ACLs.
 */
#pragma once

#include "base/error.h"

/*
 * xattr_each() - call @each for every attribute of @fd, which may be an O_PATH fd
 *
 * Needs /proc.  The order is the file system's.  Return: 0; what @each returned when it
 * was negative; another negative errno.
 */
int xattr_each(int fd,
	       int (*each)(void *data, const char *name, const void *value, size_t size,
			   struct cop_error *err),
	       void *data, struct cop_error *err);

/* xattr_set() - on @fd, which may be an O_PATH fd */
int xattr_set(int fd, const char *name, const void *value, size_t size,
	      struct cop_error *err);
