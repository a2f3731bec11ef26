/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growing string of bytes.  After a failed append the buffer is marked and stays as it
 * was; callers may append many times and look once, at buf_failed() or at the end.
 */
#pragma once

#include "base/defs.h"

/* @data is always NUL-terminated once something was appended; @size leaves the NUL out */
struct buf {
	char *data;
	size_t size;
	size_t capacity;
	bool failed;
};

/* buf_done() - free the memory; the buffer can be used again */
void buf_done(struct buf *buf);
#define auto_buf cleanup_with(buf_done) struct buf

/* buf_append() - add @size bytes; returns 0 or -ENOMEM, and so on for the rest */
int buf_append(struct buf *buf, const void *data, size_t size);
int buf_append_text(struct buf *buf, const char *text);
int buf_append_char(struct buf *buf, char c);
int buf_printf(struct buf *buf, const char *format, ...) printf_like(2, 3);

/* buf_reserve() - room for @more further bytes */
int buf_reserve(struct buf *buf, size_t more);

/* buf_truncate() - forget all but the first @size bytes */
void buf_truncate(struct buf *buf, size_t size);

/* buf_take() - the bytes as a heap string that the caller frees; NULL after a failure */
char *buf_take(struct buf *buf);

/* buf_text() - the bytes as a C string, never NULL; borrowed */
const char *buf_text(const struct buf *buf);
