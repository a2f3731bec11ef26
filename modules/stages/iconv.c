/* SPDX-License-Identifier: Apache-2.0 */
/* Only in the static programs, in the place of libc's. */
#include <errno.h>
#include <iconv.h>
#include <string.h>

/*
 * libarchive converts names that pax headers give in UTF-8.  A static program must not:
 * glibc would load converters of the tree it runs in.  Names are bytes, so the conversion
 * is to leave them alone; other character sets are refused.  The linker takes these
 * before libc's.
 */
#define CONVERTER ((iconv_t)&converter)

static char converter;

iconv_t iconv_open(const char *to, const char *from)
{
	if (strcmp(to, "UTF-8") != 0 && strcmp(from, "UTF-8") != 0) {
		errno = EINVAL;
		return (iconv_t)-1;
	}
	return CONVERTER;
}

size_t iconv(iconv_t descriptor, char **in, size_t *in_left, char **out, size_t *out_left)
{
	size_t n;

	if (descriptor != CONVERTER) {
		errno = EBADF;
		return (size_t)-1;
	}
	if (!in || !*in)
		return 0;
	n = *in_left < *out_left ? *in_left : *out_left;
	memcpy(*out, *in, n);
	*in += n;
	*out += n;
	*in_left -= n;
	*out_left -= n;
	if (*in_left == 0)
		return 0;
	errno = E2BIG;
	return (size_t)-1;
}

int iconv_close(iconv_t descriptor)
{
	(void)descriptor;
	return 0;
}
