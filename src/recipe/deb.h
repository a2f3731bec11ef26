/* SPDX-License-Identifier: Apache-2.0 */
/* Looking into .deb files, without unpacking them. */
#pragma once

#include "base/buf.h"
#include "base/error.h"

/* deb_control() - the control file of a .deb, appended to @control
 * @fd: of the .deb, or with @name of the directory that has it
 *
 * Return: 0; a negative errno with dpkg-deb's words when it is not a package. */
int deb_control(int fd, const char *name, struct buf *control, struct cop_error *err);

/* deb_newest_mtime() - newest modification time of anything in control.tar and data.tar
 * @fd: open at the start of the .deb
 * @name: for messages
 *
 * Return: 0; -EBADMSG when it is not a package. */
int deb_newest_mtime(int fd, const char *name, int64_t *ret_seconds,
		     struct cop_error *err);

/*
 * deb_texts() - what may say which users and groups a package makes: its scripts preinst
 * and postinst, and its files for systemd-sysusers
 * @fd: open at the start of the .deb
 * @name: for messages
 * @each: @file is "preinst", "postinst" or "sysusers"; @text ends with a NUL
 *
 * The content of the package is read only as far as its list of checksums or its scripts
 * speak of sysusers.
 * Return: 0; what @each returned when it was negative; -EBADMSG when it is not a package.
 */
int deb_texts(int fd, const char *name,
	      int (*each)(void *data, const char *file, const char *text,
			  struct cop_error *err),
	      void *data, struct cop_error *err);
