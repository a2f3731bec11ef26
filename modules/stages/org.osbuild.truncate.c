/* SPDX-License-Identifier: Apache-2.0 */
/* The size of a file, in the words of truncate(1). */
#include <ctype.h>
#include <fcntl.h>
#include <string.h>

#include "base/text.h"
#include "modkit/options.h"
#include "modkit/root.h"
#include "modules/stages/stages.h"

/* "K" and "KiB" are powers of 1024, "KB" is one of 1000; a bare "K" is one of them. */
static int read_unit(const char *unit, uint64_t *ret)
{
	static const char letters[] = "KMGTPE";
	const char *letter = *unit ? strchr(letters, toupper((unsigned char)*unit)) : "";
	uint64_t base = 1024;

	*ret = 1;
	if (!*unit)
		return 0;
	if (!letter)
		return -EINVAL;
	if (strcmp(unit + 1, "B") == 0)
		base = 1000;
	else if (unit[1] && strcmp(unit + 1, "iB") != 0)
		return -EINVAL;
	for (const char *l = letters; l <= letter; l++)
		*ret *= base;
	return 0;
}

static int read_size(const char *text, char *ret_how, uint64_t *ret_size)
{
	char digits[24];
	uint64_t unit = 1;
	size_t n;
	int r;

	while (isspace((unsigned char)*text))
		text++;
	*ret_how = *text && strchr("+-<>/%", *text) ? *text++ : '=';
	while (isspace((unsigned char)*text))
		text++;
	n = strspn(text, "0123456789");
	if (n >= sizeof(digits))
		return -ERANGE;
	memcpy(digits, text, n);
	digits[n] = '\0';
	if (n == 0 && !text[n])
		return -EINVAL;
	if (n == 0)
		(void)strcpy(digits, "1");
	r = text_to_u64(digits, ret_size);
	if (r == 0)
		r = read_unit(text + n, &unit);
	if (r < 0)
		return r;
	if (__builtin_mul_overflow(*ret_size, unit, ret_size) || *ret_size > INT64_MAX)
		return -ERANGE;
	return 0;
}

static int new_size(char how, uint64_t now, uint64_t size, uint64_t *ret)
{
	switch (how) {
	case '+':
		*ret = now + size;
		break;
	case '-':
		*ret = now > size ? now - size : 0;
		break;
	case '<':
		*ret = min_u64(now, size);
		break;
	case '>':
		*ret = max_u64(now, size);
		break;
	case '/':
		*ret = size ? now - now % size : now;
		break;
	case '%':
		*ret = size && now % size ? now - now % size + size : now;
		break;
	default:
		*ret = size;
	}
	return *ret > INT64_MAX ? -EFBIG : 0;
}

int stage_truncate(struct kit *kit)
{
	const char *filename = NULL, *size_text = NULL;
	const struct option options[] = {NEEDED_TEXT("filename", filename),
					 NEEDED_TEXT("size", size_text)};
	auto_close int fd = -EBADF;
	uint64_t size = 0;
	struct stat st;
	char how;
	int r = options_only(kit->options, "options", options, ARRAY_SIZE(options),
			     kit->err);

	if (r < 0)
		return r;
	r = read_size(size_text, &how, &size);
	if (r < 0 || ((how == '/' || how == '%') && size == 0))
		return err_set(kit->err, -EINVAL,
			       "'%s' is not a size: a number with an optional unit "
			       "(K, KiB, KB, M, ...) was expected",
			       size_text);
	r = root_open_file(kit->tree_fd, filename, 0644, kit->err);
	if (r < 0)
		return r;
	fd = r;
	if (fstat(fd, &st) < 0)
		return err_errno(kit->err, "stat '%s'", filename);
	r = new_size(how, (uint64_t)st.st_size, size, &size);
	if (r == 0 && ftruncate(fd, (off_t)size) < 0)
		r = -errno;
	return r < 0 ? err_code(kit->err, r, "make '%s' %s bytes long", filename,
				size_text)
		     : 0;
}
