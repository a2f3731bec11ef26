/* SPDX-License-Identifier: Apache-2.0 */
#include "tar/header.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* The block of IEEE 1003.1, "ustar Interchange Format". */
struct header {
	char name[100];
	char mode[8];
	char uid[8];
	char gid[8];
	char size[12];
	char mtime[12];
	char checksum[8];
	char type;
	char link[100];
	char magic[8]; /* and version */
	char user[32];
	char group[32];
	char major[8];
	char minor[8];
	char prefix[155];
	char pad[12];
};

_Static_assert(sizeof(struct header) == TAR_BLOCK, "a header is one block");

size_t tar_padding(uint64_t size_bytes)
{
	return (size_t)(round_up_u64(size_bytes, TAR_BLOCK) - size_bytes);
}

static int add_padding(struct buf *out, uint64_t size_bytes)
{
	static const char zeros[TAR_BLOCK];

	return buf_append(out, zeros, tar_padding(size_bytes));
}

char tar_type(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return '0';
	case S_IFLNK:
		return '2';
	case S_IFCHR:
		return '3';
	case S_IFBLK:
		return '4';
	case S_IFDIR:
		return '5';
	case S_IFIFO:
		return '6';
	default:
		return 0;
	}
}

int tar_record(struct buf *records, const char *key, const void *value, size_t size)
{
	size_t rest = strlen(key) + size + 3, total = rest;
	char digits[32];

	/* The length counts its own digits. */
	for (;;) {
		size_t n = (size_t)snprintf(digits, sizeof(digits), "%zu", total);

		if (rest + n == total)
			break;
		total = rest + n;
	}
	(void)buf_printf(records, "%s %s=", digits, key);
	(void)buf_append(records, value, size);
	return buf_append_char(records, '\n');
}

static bool fits_octal(uint64_t value, size_t field_size)
{
	return value >> (3 * (field_size - 1)) == 0;
}

/* Octal digits and a NUL. */
static void put_octal(char *field, size_t size, uint64_t value)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "%0*llo", (int)size - 1,
		       (unsigned long long)value);
	memcpy(field, text, size);
}

/* GNU's way for large and negative numbers: two's complement, the top bit set. */
static void put_binary(char *field, size_t size, int64_t value)
{
	for (size_t i = size; i-- > 0; value >>= 8)
		field[i] = (char)(value & 0xff);
	field[0] = (char)(field[0] | 0x80);
}

/* What is made of one entry. */
struct making {
	enum tar_format format;
	const struct tar_entry *entry;
	struct header header;
	struct buf records; /* of the pax header */
	struct buf *out;
	struct cop_error *err;
};

static int too_large(struct making *making, const char *what)
{
	static const char *const names[] = {"gnu", "posix", "ustar", "v7"};

	return err_set(making->err, -E2BIG,
		       "'%s': its %s does not fit into the '%s' format",
		       making->entry->path, what, names[making->format]);
}

static int add_number(struct making *making, char *field, size_t size, const char *key,
		      int64_t value)
{
	char text[32];
	int n;

	if (value >= 0 && fits_octal((uint64_t)value, size)) {
		put_octal(field, size, (uint64_t)value);
		return 0;
	}
	if (making->format == TAR_GNU) {
		put_binary(field, size, value);
		return 0;
	}
	if (making->format != TAR_POSIX)
		return too_large(making, key);
	put_octal(field, size, 0);
	n = snprintf(text, sizeof(text), "%lld", (long long)value);
	return tar_record(&making->records, key, text, (size_t)n);
}

static int add_mtime(struct making *making)
{
	const struct tar_entry *entry = making->entry;
	char text[48];
	int n;

	if (making->format != TAR_POSIX || entry->mtime_ns == 0)
		return add_number(making, making->header.mtime,
				  sizeof(making->header.mtime), "mtime", entry->mtime);
	put_octal(making->header.mtime, sizeof(making->header.mtime),
		  entry->mtime >= 0 && fits_octal((uint64_t)entry->mtime, 12)
			  ? (uint64_t)entry->mtime
			  : 0);
	/* Times before 1970 count back from zero: -0.25, not -1 + 0.75. */
	if (entry->mtime < 0)
		n = snprintf(text, sizeof(text), "-%lld.%09u",
			     -((long long)entry->mtime + 1),
			     1000000000 - entry->mtime_ns);
	else
		n = snprintf(text, sizeof(text), "%lld.%09u", (long long)entry->mtime,
			     entry->mtime_ns);
	while (text[n - 1] == '0')
		n--;
	return tar_record(&making->records, "mtime", text, (size_t)n);
}

/* ustar's second place for long names: split at a '/'. */
static bool split_name(struct header *header, const char *path, size_t size)
{
	const char *slash = path + size - 1 - sizeof(header->name);

	if (size > sizeof(header->prefix) + 1 + sizeof(header->name))
		return false;
	slash = memchr(slash, '/', (size_t)(path + size - 1 - slash));
	if (!slash || slash == path || (size_t)(slash - path) > sizeof(header->prefix))
		return false;
	memcpy(header->prefix, path, (size_t)(slash - path));
	memcpy(header->name, slash + 1, (size_t)(path + size - slash - 1));
	return true;
}

/* A GNU entry whose content is the name that did not fit. */
static int add_long_name(struct making *making, char type, const char *text);

static int add_name(struct making *making, char *field, char type, const char *key,
		    const char *text)
{
	size_t size = strlen(text);

	memcpy(field, text, min_u64(size, sizeof(making->header.name)));
	if (size <= sizeof(making->header.name))
		return 0;
	if (making->format == TAR_GNU)
		return add_long_name(making, type, text);
	if (making->format != TAR_V7 && field == making->header.name) {
		memset(field, 0, sizeof(making->header.name));
		if (split_name(&making->header, text, size))
			return 0;
		memcpy(field, text, sizeof(making->header.name));
	}
	if (making->format == TAR_POSIX)
		return tar_record(&making->records, key, text, size);
	return too_large(making, key);
}

static int append_header(struct header *header, struct buf *out)
{
	const uint8_t *bytes = (const uint8_t *)header;
	uint64_t sum = 0;

	memset(header->checksum, ' ', sizeof(header->checksum));
	for (size_t i = 0; i < sizeof(*header); i++)
		sum += bytes[i];
	put_octal(header->checksum, 7, sum);
	return buf_append(out, header, sizeof(*header));
}

static void set_magic(struct header *header, enum tar_format format)
{
	if (format == TAR_GNU)
		memcpy(header->magic, "ustar  ", 8);
	else if (format != TAR_V7)
		memcpy(header->magic, "ustar\00000", 8);
}

/* The header of an entry that only says something about the next one. */
static int append_helper(struct making *making, const char *name, char type,
			 uint64_t size)
{
	struct header header = {.type = type};

	(void)strncpy(header.name, name, sizeof(header.name) - 1);
	put_octal(header.mode, sizeof(header.mode), 0644);
	put_octal(header.uid, sizeof(header.uid), 0);
	put_octal(header.gid, sizeof(header.gid), 0);
	put_octal(header.size, sizeof(header.size), size);
	put_octal(header.mtime, sizeof(header.mtime), 0);
	set_magic(&header, making->format);
	return append_header(&header, making->out);
}

static int add_long_name(struct making *making, char type, const char *text)
{
	size_t size = strlen(text) + 1;
	int r = append_helper(making, "././@LongLink", type, size);

	if (r == 0)
		r = buf_append(making->out, text, size);
	return r == 0 ? add_padding(making->out, size) : r;
}

static int add_pax(struct making *making)
{
	const struct buf *more = making->entry->records;
	int r = 0;

	if (more && more->size > 0) {
		if (making->format != TAR_POSIX)
			return too_large(making, "extended attributes");
		r = buf_append(&making->records, more->data, more->size);
	}
	if (making->records.failed || r < 0)
		return -ENOMEM;
	if (making->records.size == 0)
		return 0;
	r = append_helper(making, "././@PaxHeader", 'x', making->records.size);
	if (r == 0)
		r = buf_append(making->out, making->records.data, making->records.size);
	return r == 0 ? add_padding(making->out, making->records.size) : r;
}

static int add_device(struct making *making)
{
	const struct tar_entry *entry = making->entry;
	struct header *header = &making->header;
	bool is_device = entry->type == '3' || entry->type == '4';

	if (making->format == TAR_V7)
		return is_device || entry->type == '6' ? too_large(making, "type") : 0;
	if (making->format == TAR_GNU && !is_device)
		return 0;
	if (!fits_octal(entry->major, sizeof(header->major)) ||
	    !fits_octal(entry->minor, sizeof(header->minor)))
		return too_large(making, "device number");
	put_octal(header->major, sizeof(header->major), entry->major);
	put_octal(header->minor, sizeof(header->minor), entry->minor);
	return 0;
}

static int make(struct making *making)
{
	const struct tar_entry *entry = making->entry;
	struct header *header = &making->header;
	int r;

	put_octal(header->mode, sizeof(header->mode), entry->mode);
	header->type = entry->type;
	/* v7 knows three types; a directory is told by its '/'. */
	if (making->format == TAR_V7 && (entry->type == '0' || entry->type == '5'))
		header->type = '\0';
	set_magic(header, making->format);
	/* GNU tar expects the long link name before the long name. */
	r = entry->link ? add_name(making, header->link, 'K', "linkpath", entry->link)
			: 0;
	if (r == 0)
		r = add_name(making, header->name, 'L', "path", entry->path);
	if (r == 0)
		r = add_number(making, header->uid, sizeof(header->uid), "uid",
			       (int64_t)entry->uid);
	if (r == 0)
		r = add_number(making, header->gid, sizeof(header->gid), "gid",
			       (int64_t)entry->gid);
	if (r == 0)
		r = add_number(making, header->size, sizeof(header->size), "size",
			       (int64_t)entry->size_bytes);
	if (r == 0)
		r = add_mtime(making);
	if (r == 0)
		r = add_device(making);
	if (r == 0)
		r = add_pax(making);
	return r == 0 ? append_header(header, making->out) : r;
}

int tar_header(enum tar_format format, const struct tar_entry *entry, struct buf *out,
	       struct cop_error *err)
{
	struct making making = {
		.format = format,
		.entry = entry,
		.out = out,
		.err = err,
	};
	int r = make(&making);

	buf_done(&making.records);
	return r == -ENOMEM ? err_oom(err) : r;
}
