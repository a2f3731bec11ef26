/* SPDX-License-Identifier: Apache-2.0 */
/* A file that is compressed while it is written.  The same bytes in give the same bytes
 * out. */
#pragma once

#include "base/error.h"

struct compressor;

/* compressor_kind() - what a name's ending asks for, as GNU tar reads it: "gzip" for .gz,
 * .tgz and .taz, and so on; "none" for others */
const char *compressor_kind(const char *name);

/*
 * compressor_new() - write to @fd, which is borrowed
 * @kind: "none", "bzip2", "compress", "gzip", "lzip", "lzma", "lzop" (by the program of
 *        that name), "xz" or "zstd"; -EINVAL for others
 */
int compressor_new(int fd, const char *kind, struct compressor **ret,
		   struct cop_error *err);
struct compressor *compressor_free(struct compressor *compressor);
DEFINE_AUTO_PTR(compressor)

/* compressor_write() - all of it, or a negative errno */
int compressor_write(struct compressor *compressor, const void *data, size_t size,
		     struct cop_error *err);

/* compressor_finish() - write what is still held back; nothing may follow */
int compressor_finish(struct compressor *compressor, struct cop_error *err);
