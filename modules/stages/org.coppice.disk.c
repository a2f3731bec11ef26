/* SPDX-License-Identifier: Apache-2.0 */
/* A disk image from a tree. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "modkit/options.h"
#include "modkit/root.h"
#include "modules/stages/disk.h"
#include "modules/stages/partitions.h"
#include "modules/stages/stages.h"
#include "json/json.h"

#define PARTS_MAX 32
#define EMBED_MAX ((int64_t)MIB)

static int wrong(const struct disk *disk, const struct disk_part *part,
		 const char *reason)
{
	return err_set(disk->kit->err, -EINVAL, "partition '%s': %s", part->name, reason);
}

static int check_part(const struct disk *disk, const struct disk_part *part)
{
	if (part->size < 0 || part->free < 0 || part->size % (int64_t)DISK_ALIGN != 0)
		return wrong(disk, part, "its size is not a number of whole MiB");
	if (part->mount && part->mount[0] != '/')
		return wrong(disk, part, "'mount' is not an absolute path");
	if (part->mount && !part->filesystem)
		return wrong(disk, part, "'mount' needs a 'filesystem'");
	if (part->filesystem && strcmp(part->filesystem, "ext4") != 0 &&
	    strcmp(part->filesystem, "vfat") != 0)
		return wrong(disk, part, "'filesystem' is neither ext4 nor vfat");
	if (part->filesystem && !part->fs_uuid)
		return wrong(disk, part, "its file system needs an 'fs-uuid'");
	if (part->filesystem && strcmp(part->filesystem, "vfat") == 0 && part->size == 0)
		return wrong(disk, part, "a vfat needs a 'size'");
	if (part->embed && strcmp(part->embed, "grub") != 0)
		return wrong(disk, part, "'embed' is not 'grub'");
	if ((!part->filesystem || !part->mount) && part->size == 0)
		return wrong(disk, part, "without content it needs a 'size'");
	return 0;
}

static int read_part(struct disk *disk, const json_t *json, struct disk_part *part)
{
	const struct option options[] = {NEEDED_TEXT("name", part->name),
					 NEEDED_TEXT("type", part->type),
					 NEEDED_TEXT("uuid", part->uuid),
					 OPTION_TEXT("filesystem", part->filesystem),
					 OPTION_TEXT("fs-uuid", part->fs_uuid),
					 OPTION_TEXT("label", part->label),
					 OPTION_TEXT("mount", part->mount),
					 OPTION_TEXT("embed", part->embed),
					 OPTION_INTEGER("size", part->size),
					 OPTION_INTEGER("free", part->free)};
	int r = options_only(json, "partitions", options, ARRAY_SIZE(options),
			     disk->kit->err);

	return r < 0 ? r : check_part(disk, part);
}

static int read_options(struct disk *disk)
{
	struct kit *kit = disk->kit;
	json_t *parts = NULL;
	const struct option options[] = {
		NEEDED_TEXT("filename", disk->filename), NEEDED_TEXT("uuid", disk->uuid),
		OPTION_INTEGER("size", disk->size), NEEDED_ARRAY("partitions", parts)};
	int r = options_only(kit->options, "options", options, ARRAY_SIZE(options),
			     kit->err);

	if (r < 0)
		return r;
	if (strchr(disk->filename, '/') || disk->filename[0] == '.' || !*disk->filename)
		return err_set(kit->err, -EINVAL, "filename '%s' is not a file's name",
			       disk->filename);
	if (disk->size < 0 || disk->size % (int64_t)DISK_ALIGN != 0)
		return err_set(kit->err, -EINVAL,
			       "the size is not a number of whole MiB");
	disk->n_parts = json_array_size(parts);
	if (disk->n_parts == 0 || disk->n_parts > PARTS_MAX)
		return err_set(kit->err, -EINVAL, "1 to %d partitions can be made",
			       PARTS_MAX);
	disk->parts = calloc(disk->n_parts, sizeof(*disk->parts));
	if (!disk->parts ||
	    asprintf(&disk->path, "%s/%s", kit->tree_path, disk->filename) < 0) {
		disk->path = NULL;
		return err_oom(kit->err);
	}
	for (size_t i = 0; i < disk->n_parts && r == 0; i++)
		r = read_part(disk, json_array_get(parts, i), &disk->parts[i]);
	return r;
}

static uint64_t needed(const struct disk_part *part, uint64_t free_bytes)
{
	if (!part->mount)
		return 0;
	if (strcmp(part->filesystem, "ext4") == 0)
		return disk_ext4_size(&part->content, free_bytes);
	return disk_fat_size(&part->content, (uint64_t)part->size);
}

static int too_small(const struct disk *disk, const char *what, const char *name,
		     uint64_t has, uint64_t wants)
{
	char has_text[32], wants_text[32];

	return err_set(disk->kit->err, -ENOSPC,
		       "%s '%s' is too small: it has %s and its content needs %s; give "
		       "it more, or 'size: auto'",
		       what, name, text_size(has, has_text, sizeof(has_text)),
		       text_size(wants, wants_text, sizeof(wants_text)));
}

/* Every place and size, before anything is written. */
static int place(struct disk *disk)
{
	const size_t last = disk->n_parts - 1;
	uint64_t at = DISK_ALIGN;

	for (size_t i = 0; i < disk->n_parts; i++) {
		struct disk_part *part = &disk->parts[i];
		const uint64_t least = needed(part, 0);

		part->start = at;
		if (part->size == 0 && i == last && disk->size > 0) {
			/* Behind it lies the second table. */
			uint64_t end = (uint64_t)disk->size - DISK_ALIGN;

			if (end < at + least)
				return too_small(disk, "the disk", disk->filename,
						 (uint64_t)disk->size,
						 at + least + DISK_ALIGN);
			part->size = (int64_t)(end - at);
		} else if (part->size == 0) {
			part->size = (int64_t)needed(part, (uint64_t)part->free);
		}
		if (least > (uint64_t)part->size)
			return too_small(disk, "partition", part->name,
					 (uint64_t)part->size, least);
		at += (uint64_t)part->size;
	}
	if (disk->size > 0 && at + DISK_ALIGN > (uint64_t)disk->size)
		return too_small(disk, "the disk", disk->filename, (uint64_t)disk->size,
				 at + DISK_ALIGN);
	if (disk->size == 0)
		disk->size = (int64_t)(at + DISK_ALIGN);
	return 0;
}

static int write_table(const struct disk *disk)
{
	struct partition_table table = {.label = "gpt", .uuid = disk->uuid};
	int r;

	table.partitions = calloc(disk->n_parts, sizeof(*table.partitions));
	if (!table.partitions)
		return err_oom(disk->kit->err);
	table.n = disk->n_parts;
	for (size_t i = 0; i < disk->n_parts; i++)
		table.partitions[i] = (struct partition){
			.type = disk->parts[i].type,
			.name = disk->parts[i].name,
			.uuid = disk->parts[i].uuid,
			.start_sectors = (int64_t)(disk->parts[i].start / SECTOR),
			.size_sectors = disk->parts[i].size / SECTOR,
		};
	r = partitions_write(disk->kit, &table, disk->path);
	partitions_done(&table);
	return r;
}

static int make_file(const struct disk *disk)
{
	struct kit *kit = disk->kit;
	auto_close int fd = openat(kit->tree_fd, disk->filename,
				   O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	if (fd < 0 || ftruncate(fd, (off_t)disk->size) < 0)
		return err_errno(kit->err, "make '%s'", disk->filename);
	return 0;
}

static int fill_part(const struct disk *disk, const struct disk_part *part)
{
	char size[32];

	kit_log("%s: %s at %llu MiB", part->name,
		text_size((uint64_t)part->size, size, sizeof(size)),
		(unsigned long long)(part->start / MIB));
	if (part->embed)
		return disk_embed_grub(disk, part);
	if (part->filesystem && strcmp(part->filesystem, "ext4") == 0)
		return disk_make_ext4(disk, part);
	return part->filesystem ? disk_make_fat(disk, part) : 0;
}

static int make(struct disk *disk)
{
	int r = read_options(disk);

	if (r == 0)
		r = disk_split(disk);
	for (size_t i = 0; i < disk->n_parts && r == 0; i++)
		if (disk->parts[i].mount)
			r = disk_measure(disk->kit, &disk->parts[i]);
	if (r == 0)
		r = place(disk);
	if (r == 0)
		r = make_file(disk);
	if (r == 0)
		r = write_table(disk);
	for (size_t i = 0; i < disk->n_parts && r == 0; i++) {
		r = fill_part(disk, &disk->parts[i]);
		if (r < 0)
			r = err_prefix(disk->kit->err, r, "partition '%s'",
				       disk->parts[i].name);
	}
	return r;
}

int stage_disk(struct kit *kit)
{
	struct disk disk = {.kit = kit};
	int r;

	disk.tree = kit_input_path(kit, "tree");
	r = disk.tree ? make(&disk) : -EINVAL;
	disk_split_end(&disk);
	free(disk.path);
	free(disk.parts);
	return r;
}
