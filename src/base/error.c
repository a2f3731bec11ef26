/* SPDX-License-Identifier: Apache-2.0 */
/* Error messages in a fixed buffer: an error can always be reported, out of memory too.
 */
#include "base/error.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static size_t escape_one(unsigned char c, char text[5])
{
	switch (c) {
	case '\n':
		(void)strcpy(text, "\\n");
		break;
	case '\t':
		(void)strcpy(text, "\\t");
		break;
	default:
		(void)snprintf(text, 5, "\\x%02x", c);
	}
	return strlen(text);
}

static bool is_control(unsigned char c)
{
	return c < 0x20 || c == 0x7f;
}

void err_escape(char *text, size_t size)
{
	char plain[COP_ERROR_MAX], one[5];
	size_t used = 0;

	for (const char *c = text;; c++) {
		if (!*c)
			return;
		if (is_control((unsigned char)*c))
			break;
	}
	(void)snprintf(plain, sizeof(plain), "%s", text);
	for (const char *c = plain; *c; c++) {
		size_t n = 1;

		one[0] = *c;
		if (is_control((unsigned char)*c))
			n = escape_one((unsigned char)*c, one);
		if (used + n >= size)
			break;
		memcpy(text + used, one, n);
		used += n;
	}
	text[used] = '\0';
}

static void printf_like(3, 0)
	set_text(struct cop_error *err, int code, const char *format, va_list ap)
{
	assert(code < 0);
	err->code = code;
	(void)vsnprintf(err->message, sizeof(err->message), format, ap);
	err_escape(err->message, sizeof(err->message));
}

static void append_reason(struct cop_error *err, int code)
{
	size_t used = strlen(err->message);
	char reason[128];

	(void)snprintf(err->message + used, sizeof(err->message) - used, ": %s",
		       strerror_r(-code, reason, sizeof(reason)));
}

int err_set(struct cop_error *err, int code, const char *format, ...)
{
	va_list ap;

	if (!err)
		return code;
	va_start(ap, format);
	set_text(err, code, format, ap);
	va_end(ap);
	return code;
}

int err_code(struct cop_error *err, int code, const char *format, ...)
{
	va_list ap;

	if (!err)
		return code;
	va_start(ap, format);
	set_text(err, code, format, ap);
	va_end(ap);
	append_reason(err, code);
	return code;
}

int err_errno(struct cop_error *err, const char *format, ...)
{
	int code = errno > 0 ? -errno : -EIO;
	va_list ap;

	if (!err)
		return code;
	va_start(ap, format);
	set_text(err, code, format, ap);
	va_end(ap);
	append_reason(err, code);
	return code;
}

int err_prefix(struct cop_error *err, int code, const char *format, ...)
{
	char inner[COP_ERROR_MAX];
	size_t used;
	va_list ap;

	if (!err)
		return code;
	memcpy(inner, err->message, sizeof(inner));
	va_start(ap, format);
	set_text(err, code, format, ap);
	va_end(ap);
	used = strlen(err->message);
	(void)snprintf(err->message + used, sizeof(err->message) - used, ": %s", inner);
	return code;
}

int err_copy(struct cop_error *err, const struct cop_error *from)
{
	if (err)
		*err = *from;
	return from->code;
}
