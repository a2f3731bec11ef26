/* SPDX-License-Identifier: Apache-2.0 */
/* Looking into .deb files, without unpacking them. */
#pragma once

#include "base/buf.h"
#include "base/error.h"

/* deb_newest_mtime() - newest modification time of anything in control.tar and data.tar
 * @fd: open at the start of the .deb
 * @name: for messages
 *
 * Return: 0; -EBADMSG when it is not a package. */
int deb_newest_mtime(int fd, const char *name, int64_t *ret_seconds,
		     struct cop_error *err);
