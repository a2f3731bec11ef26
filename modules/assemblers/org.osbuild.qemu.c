/* SPDX-License-Identifier: Apache-2.0 */
/* The tree as a disk image. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "modkit/options.h"
#include "modkit/root.h"
#include "modules/assemblers/assemble.h"
#include "modules/assemblers/assemblers.h"
#include "modules/assemblers/grub.h"
#include "modules/stages/diskimage.h"
#include "modules/stages/partitions.h"
#include "modules/stages/xz.h"
#include "json/json.h"

struct wish {
	struct kit *kit;
	const char *format, *filename, *compat, *subformat, *loader;
	int64_t size;
	struct partition_table table;
	struct disk_part *parts; /* as many as the table has */
};

static int read_filesystem(struct wish *wish, const json_t *partition, size_t i)
{
	struct disk_part *part = &wish->parts[i];
	json_t *filesystem = NULL;
	const struct option outer[] = {OPTION_OBJECT("filesystem", filesystem)};
	const struct option options[] = {NEEDED_TEXT("type", part->filesystem),
					 NEEDED_TEXT("uuid", part->fs_uuid),
					 NEEDED_TEXT("mountpoint", part->mount),
					 OPTION_TEXT("label", part->label)};
	int r = options_read(partition, "partitions", outer, ARRAY_SIZE(outer),
			     wish->kit->err);

	part->name = wish->table.partitions[i].name;
	if (r < 0 || json_object_size(filesystem) == 0)
		return r;
	r = options_read(filesystem, "filesystem", options, ARRAY_SIZE(options),
			 wish->kit->err);
	if (r == 0 && *part->mount != '/')
		r = err_set(wish->kit->err, -EINVAL,
			    "mountpoint '%s' is not an absolute path", part->mount);
	return r;
}

/* A vfat's serial number is written with a '-' by people. */
static int strip_serial(struct wish *wish, struct disk_part *part, char serial[16])
{
	size_t n = 0;

	for (const char *c = part->fs_uuid; *c && n < 9; c++)
		if (*c != '-')
			serial[n++] = *c;
	serial[n] = '\0';
	if (n != 8)
		return err_set(wish->kit->err, -EINVAL, "'%s' is not a serial of vfat",
			       part->fs_uuid);
	part->fs_uuid = serial;
	return 0;
}

static int read_partitions(struct wish *wish, const json_t *partitions)
{
	int r = partitions_read(wish->kit, partitions, &wish->table);

	if (r < 0)
		return r;
	wish->parts = calloc(wish->table.n + 1, sizeof(*wish->parts));
	if (!wish->parts)
		return err_oom(wish->kit->err);
	for (size_t i = 0; r == 0 && i < wish->table.n; i++)
		r = read_filesystem(wish, json_array_get(partitions, i), i);
	return r;
}

/* One bootable partition for everything. */
static int read_single(struct wish *wish, const char *uuid, const char *type)
{
	auto_json *partitions = json_pack("[{s:b, s:s}]", "bootable", 1, "type", "83");
	int r;

	if (!partitions)
		return err_oom(wish->kit->err);
	r = read_partitions(wish, partitions);
	if (r < 0)
		return r;
	/* The words of the array die with it. */
	wish->table.partitions[0].type = "83";
	wish->parts[0] = (struct disk_part){.name = "",
					    .filesystem = type,
					    .fs_uuid = uuid,
					    .label = "",
					    .mount = "/"};
	return 0;
}

static int read_options(struct wish *wish)
{
	struct kit *kit = wish->kit;
	json_t *partitions = NULL, *bootloader = NULL;
	const char *uuid = NULL, *type = "ext4";
	const struct option options[] = {
		NEEDED_TEXT("format", wish->format),
		NEEDED_TEXT("filename", wish->filename),
		NEEDED_TEXT("ptuuid", wish->table.uuid),
		NEEDED_INTEGER("size", wish->size),
		OPTION_TEXT("pttype", wish->table.label),
		OPTION_TEXT("qcow2_compat", wish->compat),
		OPTION_TEXT("vmdk_subformat", wish->subformat),
		OPTION_TEXT("root_fs_uuid", uuid),
		OPTION_TEXT("root_fs_type", type),
		OPTION_ARRAY("partitions", partitions),
		OPTION_OBJECT("bootloader", bootloader),
	};
	const struct option loader[] = {OPTION_TEXT("type", wish->loader)};
	const char *label, *table_uuid;
	int r = options_only(kit->options, "options", options, ARRAY_SIZE(options),
			     kit->err);

	if (r == 0 && bootloader)
		r = options_read(bootloader, "bootloader", loader, ARRAY_SIZE(loader),
				 kit->err);
	if (r == 0 && wish->size % SECTOR != 0)
		r = err_set(kit->err, -EINVAL, "size %lld is not a multiple of %d",
			    (long long)wish->size, SECTOR);
	if (r < 0)
		return r;
	label = strcmp(wish->table.label, "mbr") == 0 ? "dos" : wish->table.label;
	table_uuid = wish->table.uuid;
	if (!partitions && !uuid)
		return err_set(kit->err, -EINVAL,
			       "one of 'root_fs_uuid' and 'partitions' is needed");
	r = partitions ? read_partitions(wish, partitions)
		       : read_single(wish, uuid, type);
	wish->table.label = label;
	wish->table.uuid = table_uuid;
	return r;
}

/* The partition with boot/: that of /boot, else that of /. */
static int find_boot(const struct wish *wish, size_t *ret)
{
	static const char *const mounts[] = {"/boot", "/"};

	for (size_t m = 0; m < ARRAY_SIZE(mounts); m++)
		for (size_t i = 0; i < wish->table.n; i++)
			if (wish->parts[i].mount &&
			    strcmp(wish->parts[i].mount, mounts[m]) == 0) {
				*ret = i;
				return 0;
			}
	return err_set(wish->kit->err, -EINVAL,
		       "the boot loader needs a partition with '/boot' or '/'");
}

static int install_loader(const struct wish *wish, const struct assembly *assembly)
{
	const char *loader = wish->loader;
	size_t boot = 0;
	int r;

	/* A dos table without a word about it always had it. */
	if (!*loader && strcmp(wish->table.label, "dos") == 0)
		loader = "grub2";
	if (!*loader)
		return 0;
	if (strcmp(loader, "grub2") != 0)
		return err_set(wish->kit->err, -EOPNOTSUPP,
			       "boot loader '%s' is not known to this assembler", loader);
	r = find_boot(wish, &boot);
	return r == 0 ? grub_install(assembly, &wish->table, boot) : r;
}

static int fill(struct wish *wish, const struct assembly *assembly)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < wish->table.n; i++) {
		struct disk_part *part = &wish->parts[i];
		char serial[16];

		part->start = (uint64_t)wish->table.partitions[i].start_sectors * SECTOR;
		part->size = wish->table.partitions[i].size_sectors * SECTOR;
		if (!part->filesystem)
			continue;
		if (strcmp(part->filesystem, "vfat") == 0)
			r = strip_serial(wish, part, serial);
		if (r == 0)
			r = assemble_fill(assembly, part);
	}
	return r;
}

static int compress(const struct wish *wish, const struct assembly *assembly)
{
	struct kit *kit = wish->kit;
	auto_close int source = open(assembly->disk.path, O_RDONLY | O_CLOEXEC);
	auto_close int target =
		root_open_file(kit->tree_fd, wish->filename, 0644, kit->err);

	if (source < 0)
		return err_errno(kit->err, "open the image");
	if (target < 0)
		return target;
	if (ftruncate(target, 0) < 0)
		return err_errno(kit->err, "empty '%s'", wish->filename);
	return xz_compress(source, target, kit->err);
}

static int convert(const struct wish *wish, struct assembly *assembly)
{
	struct diskimage_format format = {.type = wish->format, .settings = ""};
	char settings[128] = "";
	int r = 0;

	if (strcmp(wish->format, "raw") == 0)
		return assemble_keep(assembly);
	if (strcmp(wish->format, "raw.xz") == 0)
		return compress(wish, assembly);
	format.compress =
		strcmp(wish->format, "qcow2") == 0 || strcmp(wish->format, "vmdk") == 0;
	if (strcmp(wish->format, "vpc") == 0)
		(void)strcpy(settings, "subformat=fixed,force_size");
	else if (strcmp(wish->format, "qcow2") == 0 && *wish->compat)
		(void)snprintf(settings, sizeof(settings), "compat=%s", wish->compat);
	else if (strcmp(wish->format, "vmdk") == 0 && *wish->subformat)
		(void)snprintf(settings, sizeof(settings), "subformat=%s",
			       wish->subformat);
	else if (!format.compress && strcmp(wish->format, "vdi") != 0 &&
		 strcmp(wish->format, "vhdx") != 0)
		r = err_set(wish->kit->err, -EINVAL, "format '%s' is not known",
			    wish->format);
	format.settings = settings;
	return r == 0 ? diskimage_convert(wish->kit, assembly->disk.path, &format,
					  wish->filename)
		      : r;
}

static int assemble(struct wish *wish)
{
	struct assembly assembly;
	int r = assemble_begin(wish->kit, &assembly, wish->filename, wish->size,
			       wish->parts, wish->table.n);

	if (r == 0)
		r = partitions_write(wish->kit, &wish->table, assembly.disk.path);
	if (r == 0)
		r = install_loader(wish, &assembly);
	if (r == 0)
		r = fill(wish, &assembly);
	if (r == 0)
		r = convert(wish, &assembly);
	assemble_end(&assembly);
	return r;
}

int assembler_qemu(struct kit *kit)
{
	struct wish wish = {
		.kit = kit,
		.compat = "",
		.subformat = "",
		.loader = "",
		.table = {.label = "dos"},
	};
	int r = read_options(&wish);

	if (r == 0)
		r = assemble(&wish);
	partitions_done(&wish.table);
	free(wish.parts);
	return r;
}
