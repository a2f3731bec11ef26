/* SPDX-License-Identifier: Apache-2.0 */
#include "modules/stages/diskimage.h"

#include <fcntl.h>
#include <string.h>

#include "base/buf.h"
#include "base/text.h"
#include "modkit/tool.h"

/* 2000-01-01, from which vpc counts its seconds. */
#define VPC_ZERO 946684800

#define VPC_FOOTER  512
#define VMDK_SEARCH ((size_t)(64 * KIB))

static int read_at(struct kit *kit, int fd, void *data, size_t size, uint64_t offset)
{
	ssize_t n = fs_pread_full(fd, data, size, offset);

	if (n < 0)
		return err_code(kit->err, (int)n, "read the image");
	return (size_t)n == size ? 0
				 : err_set(kit->err, -EBADMSG, "the image is cut off");
}

static int write_at(struct kit *kit, int fd, const void *data, size_t size,
		    uint64_t offset)
{
	ssize_t n = pwrite(fd, data, size, (off_t)offset);

	if (n < 0)
		return err_errno(kit->err, "write the image");
	return (size_t)n == size ? 0 : err_set(kit->err, -EIO, "write the image");
}

static void uuid_bytes(struct kit *kit, unsigned int number, unsigned char bytes[16])
{
	char text[KIT_UUID_SIZE], hex[33];
	size_t n = 0;

	(void)kit_uuid(kit, number, text);
	for (const char *c = text; *c; c++)
		if (*c != '-')
			hex[n++] = *c;
	hex[n] = '\0';
	(void)hex_decode(hex, bytes, 16);
}

static void put_be32(unsigned char *at, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		at[i] = (unsigned char)(value >> (24 - 8 * i));
}

/* Time and UUID of a footer, and its sum, which is that of its other bytes, inverted. */
static int settle_footer(struct kit *kit, int fd, uint64_t offset)
{
	unsigned char footer[VPC_FOOTER];
	uint32_t sum = 0;
	int64_t epoch = tool_epoch(kit);
	int r = read_at(kit, fd, footer, sizeof(footer), offset);

	if (r < 0 || memcmp(footer, "conectix", 8) != 0)
		return r;
	put_be32(footer + 24, epoch > VPC_ZERO ? (uint32_t)(epoch - VPC_ZERO) : 0);
	uuid_bytes(kit, 1, footer + 68);
	put_be32(footer + 64, 0);
	for (size_t i = 0; i < sizeof(footer); i++)
		sum += footer[i];
	put_be32(footer + 64, ~sum);
	return write_at(kit, fd, footer, sizeof(footer), offset);
}

/* Fixed images have a footer; growing ones a copy of it in front too. */
static int settle_vpc(struct kit *kit, int fd, uint64_t size)
{
	int r = size < VPC_FOOTER ? 0 : settle_footer(kit, fd, size - VPC_FOOTER);

	return r == 0 && size >= 2 * VPC_FOOTER ? settle_footer(kit, fd, 0) : r;
}

/* The image's own UUID and that of the last change, in the header of version 1.1. */
static int settle_vdi(struct kit *kit, int fd, uint64_t size)
{
	unsigned char uuids[32];

	if (size < 0x200)
		return 0;
	uuid_bytes(kit, 1, uuids);
	uuid_bytes(kit, 2, uuids + 16);
	return write_at(kit, fd, uuids, sizeof(uuids), 0x188);
}

/* "CID=89abcdef" in the descriptor, a text that is the whole first file or stands in its
 * front before zeros.  qemu-img leaves leading zeros out, so what follows may move. */
static int settle_vmdk(struct kit *kit, int fd, uint64_t size)
{
	static const char key[] = "\nCID=";
	size_t n = (size_t)min_u64(size, VMDK_SEARCH);
	auto_free char *front = malloc(n + 1);
	unsigned char id[16];
	auto_buf text = {};
	char *at, *rest;
	int r;

	if (!front)
		return err_oom(kit->err);
	r = read_at(kit, fd, front, n, 0);
	if (r < 0)
		return r;
	front[n] = '\0';
	at = memmem(front, n, key, strlen(key));
	if (!at)
		return 0;
	at += strlen(key);
	rest = at + strspn(at, "0123456789abcdef");
	uuid_bytes(kit, 1, id);
	(void)buf_printf(&text, "%02x%02x%02x%02x%s", id[0] | 0x80, id[1], id[2], id[3],
			 rest);
	if (text.failed)
		return err_oom(kit->err);
	return write_at(kit, fd, text.data, text.size, (uint64_t)(at - front));
}

/* What qemu-img rolls dice for, or asks the clock. */
static int settle(struct kit *kit, const char *type, int parent, const char *name)
{
	auto_close int fd = openat(parent, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_errno(kit->err, "open '%s'", name);
	if (strcmp(type, "vpc") == 0)
		return settle_vpc(kit, fd, (uint64_t)st.st_size);
	if (strcmp(type, "vdi") == 0)
		return settle_vdi(kit, fd, (uint64_t)st.st_size);
	if (strcmp(type, "vmdk") == 0)
		return settle_vmdk(kit, fd, (uint64_t)st.st_size);
	return 0;
}

int diskimage_convert(struct kit *kit, const char *source,
		      const struct diskimage_format *format, const char *filename)
{
	auto_close int parent = -EBADF;
	auto_free const char **argv = NULL;
	auto_free char *target = NULL;
	auto_words words = {};
	int r = tool_target(kit, filename, &parent, &target);

	if (r < 0)
		return r;
	words_add(&words, "qemu-img", "convert", "-O", format->type, NULL);
	if (format->compress)
		words_add(&words, "-c", NULL);
	if (*format->settings)
		words_add(&words, "-o", format->settings, NULL);
	/* A name with a colon would be a protocol. */
	words_printf(&words, "file:%s", source);
	words_printf(&words, "file:%s", target);
	r = words_list(&words, &argv, kit->err);
	if (r == 0)
		r = tool_run(kit, &(struct tool){.argv = argv, .package = "qemu-utils"});
	return r == 0 ? settle(kit, format->type, parent, strrchr(target, '/') + 1) : r;
}
