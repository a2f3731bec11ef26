/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tar stream, decompressed where it is compressed, entry by entry.  libarchive knows
 * the dialects and the compressions; what it forgives is refused here.
 */
#pragma once

#include <archive.h>
#include <archive_entry.h>

#include "base/error.h"

struct stream;

/* stream_open() - read from @fd, which must stay open; -EBADMSG when it is no archive */
int stream_open(int fd, struct stream **ret_stream, struct cop_error *err);
struct stream *stream_free(struct stream *stream);
DEFINE_AUTO_PTR(stream)

/* stream_next() - the next entry, borrowed until the next call.  Return: 1; 0 at the end,
 * when all was read and the end mark was there; a negative errno. */
int stream_next(struct stream *stream, struct archive_entry **ret_entry,
		struct cop_error *err);

/* stream_data() - the next piece of the entry's content, borrowed; what lies between
 * pieces is a hole.  Return: 1; 0 at its end; a negative errno. */
int stream_data(struct stream *stream, const void **ret_data, size_t *ret_size,
		uint64_t *ret_offset, struct cop_error *err);

/* stream_position() - bytes read so far, before decompression */
uint64_t stream_position(const struct stream *stream);
