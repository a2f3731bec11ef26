/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void buf_done(struct buf *buf)
{
	free(buf->data);
	*buf = (struct buf){};
}

int buf_reserve(struct buf *buf, size_t more)
{
	size_t wanted, capacity = buf->capacity ? buf->capacity : 64;
	char *data;

	if (buf->failed || __builtin_add_overflow(buf->size, more, &wanted) ||
	    __builtin_add_overflow(wanted, 1, &wanted))
		goto out;
	if (wanted <= buf->capacity)
		return 0;
	while (capacity < wanted)
		if (__builtin_mul_overflow(capacity, 2, &capacity))
			goto out;
	data = realloc(buf->data, capacity);
	if (!data)
		goto out;
	buf->data = data;
	buf->capacity = capacity;
	return 0;
out:
	buf->failed = true;
	return -ENOMEM;
}

int buf_append(struct buf *buf, const void *data, size_t size)
{
	int r = buf_reserve(buf, size);

	if (r < 0)
		return r;
	if (size)
		memcpy(buf->data + buf->size, data, size);
	buf->size += size;
	buf->data[buf->size] = '\0';
	return 0;
}

int buf_append_text(struct buf *buf, const char *text)
{
	return buf_append(buf, text, strlen(text));
}

int buf_append_char(struct buf *buf, char c)
{
	return buf_append(buf, &c, 1);
}

int buf_printf(struct buf *buf, const char *format, ...)
{
	va_list ap;
	int n, r;

	va_start(ap, format);
	n = vsnprintf(NULL, 0, format, ap);
	va_end(ap);
	if (n < 0) {
		buf->failed = true;
		return -ENOMEM;
	}
	r = buf_reserve(buf, (size_t)n);
	if (r < 0)
		return r;
	va_start(ap, format);
	(void)vsnprintf(buf->data + buf->size, (size_t)n + 1, format, ap);
	va_end(ap);
	buf->size += (size_t)n;
	return 0;
}

void buf_truncate(struct buf *buf, size_t size)
{
	if (size < buf->size) {
		buf->size = size;
		buf->data[size] = '\0';
	}
}

char *buf_take(struct buf *buf)
{
	char *data;

	if (buf->failed || buf_reserve(buf, 0) < 0)
		return NULL;
	buf->data[buf->size] = '\0';
	data = buf->data;
	*buf = (struct buf){};
	return data;
}

const char *buf_text(const struct buf *buf)
{
	return buf->data ? buf->data : "";
}
