/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading .deb files: an ar archive with control.tar and data.tar in it, in that order,
 * each compressed by xz, zstd, gzip or not at all.
 */
#pragma once

#include <archive.h>
#include <archive_entry.h>

#include "base/buf.h"
#include "base/error.h"

struct deb;

/* deb_open() - @path is absolute or below the working directory.  -EBADMSG when it is not
 * a Debian package. */
int deb_open(const char *path, struct deb **ret_deb, struct cop_error *err);
struct deb *deb_free(struct deb *deb);
DEFINE_AUTO_PTR(deb)

/* deb_control_next() - the next entry of control.tar, as deb_data_next(), which must not
 * have been called before */
int deb_control_next(struct deb *deb, struct archive_entry **ret_entry,
		     struct cop_error *err);

/* deb_control() - the text of the control file, appended; call it first, once */
int deb_control(struct deb *deb, struct buf *text, struct cop_error *err);

/* deb_read_text() - the content of an entry of control.tar, appended; at most 1 MiB */
int deb_read_text(struct deb *deb, struct buf *text, struct cop_error *err);

/*
 * deb_data_next() - the next entry of data.tar
 *
 * Its content is then read from deb_data(); both are good until the next call.  Return:
 * 1; 0 at the end; -EBADMSG.
 */
int deb_data_next(struct deb *deb, struct archive_entry **ret_entry,
		  struct cop_error *err);
struct archive *deb_data(struct deb *deb);
