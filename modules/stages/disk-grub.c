/* SPDX-License-Identifier: Apache-2.0 */
/* GRUB for BIOS: what grub-install writes with a loop device, written with pwrite(). */
#include <endian.h>
#include <fcntl.h>
#include <string.h>

#include "modkit/root.h"
#include "modules/stages/disk.h"

#define SECTOR	   ((size_t)512)
#define BOOT_IMAGE "boot/grub/i386-pc/boot.img"
#define CORE_IMAGE "boot/grub/i386-pc/core.img"
#define CORE_MAX   (DISK_ALIGN)
/* Places in boot.img and in the first sector of core.img, from GRUB's sources. */
#define BOOT_SECTOR    0x5c
#define BOOT_JUMP      0x66
#define BOOT_CODE_SIZE 0x1b8
#define LIST_START     0x1f4
#define LIST_SEGMENT   0x820

static int read_image(const struct disk *disk, const char *path, struct buf *image)
{
	auto_close int fd = open(disk->tree, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = fd < 0 ? err_errno(disk->kit->err, "open '%s'", disk->tree)
		       : root_read(fd, path, CORE_MAX, image, disk->kit->err);

	if (r == 0 && image->size < SECTOR)
		r = err_set(disk->kit->err, -EBADMSG, "'%s' is too short for GRUB", path);
	return r;
}

static int write_at(const struct disk *disk, int fd, const struct buf *data, size_t size,
		    uint64_t offset)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = pwrite(fd, data->data + done, size - done,
				   (off_t)(offset + done));

		if (n < 0)
			return err_errno(disk->kit->err, "write '%s'", disk->filename);
		done += (size_t)n;
	}
	return 0;
}

int disk_embed_grub(const struct disk *disk, const struct disk_part *part)
{
	const uint64_t first = part->start / SECTOR;
	auto_close int fd = open(disk->path, O_WRONLY | O_CLOEXEC);
	auto_buf boot = {}, core = {};
	uint64_t place;
	uint16_t value;
	int r;

	if (fd < 0)
		return err_errno(disk->kit->err, "open '%s'", disk->filename);
	r = read_image(disk, BOOT_IMAGE, &boot);
	if (r == 0)
		r = read_image(disk, CORE_IMAGE, &core);
	if (r < 0)
		return r;
	if (core.size > (uint64_t)part->size)
		return err_set(disk->kit->err, -ENOSPC,
			       "GRUB needs %zu bytes and the partition '%s' has %lld",
			       core.size, part->name, (long long)part->size);
	place = htole64(first);
	memcpy(boot.data + BOOT_SECTOR, &place, sizeof(place));
	/* Take the drive from the BIOS, as grub-install has it for hard disks. */
	memset(boot.data + BOOT_JUMP, 0x90, 2);
	place = htole64(first + 1);
	memcpy(core.data + LIST_START, &place, sizeof(place));
	value = htole16((uint16_t)((core.size + SECTOR - 1) / SECTOR - 1));
	memcpy(core.data + LIST_START + 8, &value, sizeof(value));
	value = htole16(LIST_SEGMENT);
	memcpy(core.data + LIST_START + 10, &value, sizeof(value));
	/* What follows the code in the first sector belongs to the partition table. */
	r = write_at(disk, fd, &boot, BOOT_CODE_SIZE, 0);
	return r < 0 ? r : write_at(disk, fd, &core, core.size, part->start);
}
