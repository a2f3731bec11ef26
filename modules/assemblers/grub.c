/* SPDX-License-Identifier: Apache-2.0 */
#include "modules/assemblers/grub.h"

#include <endian.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "modkit/tool.h"

#define FILES	    "/usr/lib/grub/i386-pc"
#define BIOS_BOOT   "21686148-6449-6E6F-744E-656564454649"
#define CORE_MAX    (16 * MIB)
#define BOOT_CODE   440	  /* what follows in the first sector is the table's */
#define BOOT_CORE   0x5c  /* where the boot code keeps the place of the core */
#define CORE_SECOND 0x1f4 /* where the core keeps the place of its second sector */

static int put(const struct assembly *assembly, int fd, const void *bytes, size_t size,
	       uint64_t offset)
{
	ssize_t n = pwrite(fd, bytes, size, (off_t)offset);

	if (n == (ssize_t)size)
		return 0;
	return n < 0 ? err_errno(assembly->disk.kit->err, "write the boot loader")
		     : err_set(assembly->disk.kit->err, -EIO, "write the boot loader");
}

/* Where the core goes, and how much room it has there. */
static int find_place(const struct assembly *assembly,
		      const struct partition_table *table, uint64_t *ret_sector,
		      uint64_t *ret_room)
{
	struct cop_error *err = assembly->disk.kit->err;

	if (strcmp(table->label, "gpt") != 0) {
		*ret_sector = 1;
		*ret_room = table->n ? ((uint64_t)table->partitions[0].start_sectors -
					1) * SECTOR
				     : 0;
		return 0;
	}
	for (size_t i = 0; i < table->n; i++) {
		if (strcasecmp(table->partitions[i].type, BIOS_BOOT) != 0)
			continue;
		*ret_sector = (uint64_t)table->partitions[i].start_sectors;
		*ret_room = (uint64_t)table->partitions[i].size_sectors * SECTOR;
		return 0;
	}
	return err_set(err, -EINVAL,
		       "GRUB on a GPT needs a BIOS boot partition (type %s)", BIOS_BOOT);
}

static const char *module_of(const char *filesystem)
{
	return strcmp(filesystem, "ext4") == 0	  ? "ext2"
	       : strcmp(filesystem, "xfs") == 0	  ? "xfs"
	       : strcmp(filesystem, "btrfs") == 0 ? "btrfs"
						  : NULL;
}

/* Fedora's name of the directory, or Debian's where the tree has that. */
static const char *directory_of(const struct assembly *assembly)
{
	auto_close int tree = open(assembly->disk.tree, O_PATH | O_DIRECTORY | O_CLOEXEC);
	auto_close int fd = fs_open_in_root(tree, "boot/grub", O_PATH, 0, NULL);

	return fd >= 0 ? "grub" : "grub2";
}

static int make_core(const struct assembly *assembly, const struct partition_table *table,
		     size_t boot, const char *path)
{
	const struct disk_part *part = &assembly->disk.parts[boot];
	const bool is_gpt = strcmp(table->label, "gpt") == 0;
	const char *module = module_of(part->filesystem);
	const bool is_own = strcmp(part->mount, "/boot") == 0;
	auto_words words = {};

	if (!module)
		return err_set(assembly->disk.kit->err, -EINVAL,
			       "GRUB cannot start from a '%s'", part->filesystem);
	words_add(&words,
		  tool_is_there("grub2-mkimage") ? "grub2-mkimage" : "grub-mkimage",
		  "--directory", FILES, "--prefix", NULL);
	words_printf(&words, "(,%s%zu)%s/%s", is_gpt ? "gpt" : "msdos", boot + 1,
		     is_own ? "" : "/boot", directory_of(assembly));
	words_add(&words, "--format", "i386-pc", "--compression", "auto", "--output",
		  path, "biosdisk", is_gpt ? "part_gpt" : "part_msdos", module, NULL);
	return tool_run_at_epoch(assembly->disk.kit, &words,
				 "grub-common (and grub-pc-bin)");
}

static int read_file(const struct assembly *assembly, const char *path, struct buf *bytes)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	int r;

	if (fd < 0)
		return err_errno(assembly->disk.kit->err,
				 "open '%s' (Debian package grub-pc-bin)", path);
	r = fs_read_all(fd, CORE_MAX, bytes, assembly->disk.kit->err);
	return r < 0 ? err_prefix(assembly->disk.kit->err, r, "read '%s'", path) : 0;
}

static int embed(const struct assembly *assembly, const struct partition_table *table,
		 const struct buf *core, const struct buf *code)
{
	auto_close int fd = open(assembly->disk.path, O_RDWR | O_CLOEXEC);
	uint64_t sector = 0, room = 0, place;
	int r = find_place(assembly, table, &sector, &room);

	if (r < 0)
		return r;
	if (fd < 0)
		return err_errno(assembly->disk.kit->err, "open the image");
	if (code->size < BOOT_CODE || core->size < SECTOR || core->size > room)
		return err_set(assembly->disk.kit->err, -ENOSPC,
			       "GRUB's core has %zu bytes, and there is room for %llu",
			       core->size, (unsigned long long)room);
	r = put(assembly, fd, core->data, core->size, sector * SECTOR);
	if (r == 0)
		r = put(assembly, fd, code->data, BOOT_CODE, 0);
	place = htole64(sector);
	if (r == 0)
		r = put(assembly, fd, &place, sizeof(place), BOOT_CORE);
	place = htole64(sector + 1);
	if (r == 0 && sector != 1)
		r = put(assembly, fd, &place, sizeof(place),
			sector * SECTOR + CORE_SECOND);
	return r;
}

int grub_install(const struct assembly *assembly, const struct partition_table *table,
		 size_t boot)
{
	char path[sizeof(assembly->disk.parts->source) + 8];
	auto_buf core = {}, code = {};
	int r;

	/* Beside the parts of the tree, where nobody else sees it. */
	(void)snprintf(path, sizeof(path), "%s.core", assembly->disk.parts[boot].source);
	r = make_core(assembly, table, boot, path);
	if (r == 0)
		r = read_file(assembly, path, &core);
	if (r == 0)
		r = read_file(assembly, FILES "/boot.img", &code);
	return r == 0 ? embed(assembly, table, &core, &code) : r;
}
