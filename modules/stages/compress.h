/* SPDX-License-Identifier: Apache-2.0 */
/* A file that is compressed while it is written, as its name says: .gz .tgz, .xz .txz,
 * .zst .tzst, else not at all.  The same bytes in give the same bytes out. */
#pragma once

#include "base/error.h"

struct compressor;

/*
 * compressor_new() - write to @fd, which is borrowed
 * @name: of the file; -EOPNOTSUPP for endings of compressions that are not known here
 */
int compressor_new(int fd, const char *name, struct compressor **ret,
		   struct cop_error *err);
struct compressor *compressor_free(struct compressor *compressor);

/* compressor_write() - all of it, or a negative errno */
int compressor_write(struct compressor *compressor, const void *data, size_t size,
		     struct cop_error *err);

/* compressor_finish() - write what is still held back; nothing may follow */
int compressor_finish(struct compressor *compressor, struct cop_error *err);
