/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of an archive; those of gzip are unpacked here, as libarchive does not look
 * at the checksums behind them.
 */
#pragma once

#include "base/error.h"

struct source;

/* source_new() - @fd must stay open */
int source_new(int fd, struct source **ret_source, struct cop_error *err);
struct source *source_free(struct source *source);
DEFINE_AUTO_PTR(source)

/* source_read() - the next bytes, borrowed.  Return: how many; 0 at the end; a negative
 * errno, and the same again from then on. */
ssize_t source_read(struct source *source, const void **ret_data, struct cop_error *err);

/* source_position() - bytes read, before anything is unpacked */
uint64_t source_position(const struct source *source);
