/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What becomes of the tree: the keys `image` and `kernel`.  The words of a recipe turn
 * into partitions with every id filled in, into files of the tree that say the same
 * (fstab, command line), and into the packages that both need.
 */
#pragma once

#include "recipe/decode.h"
#include "json/json.h"

/* The layer that holds kernel and boot loader. */
#define BOOT_LAYER "boot"

enum image_boot {
	IMAGE_BOOT_NONE,
	IMAGE_BOOT_UEFI,
	IMAGE_BOOT_BIOS,
	IMAGE_BOOT_DIRECT,
};

/*
 * struct image_format
 * @name:     in a recipe
 * @filename: of the result, or NULL: a directory
 * @qemu:     what qemu-img calls it, or NULL
 * @is_disk:  with partitions
 * @tools:    the packages that make it
 */
struct image_format {
	const char *name;
	const char *filename;
	const char *qemu;
	bool is_disk;
	const char *const *tools;
};

/*
 * struct image_part - text is never NULL but for @filesystem and @mount
 * @type: UUID of the partition's type
 * @size: bytes; 0: as it comes
 */
struct image_part {
	const char *name, *type, *filesystem, *mount, *label;
	const char *word; /* the type as it was written */
	uint64_t size, free;
	char uuid[37], fs_uuid[37];
};

/*
 * struct recipe_image
 * @seed:  text that all ids are made of
 * @size:  bytes of the disk; 0: auto
 * @files: what the tree gets because it is to boot
 */
struct recipe_image {
	const struct image_format *format;
	enum image_boot boot;
	bool has_boot, has_layout, secure_boot;
	const char *seed;
	uint64_t size, free;
	struct image_part *parts;
	size_t n_parts;
	char uuid[37];
	struct recipe_file *files;
	size_t n_files;
	unsigned int line, column;
};

/* decode_image() / decode_kernel() - the keys `image` and `kernel` */
int decode_image(struct decode *decode, const struct node *node, struct cop_error *err);
int decode_kernel(struct decode *decode, const struct node *node, struct cop_error *err);

/*
 * image_finish() - once all keys were read: the layout where none was given, ids, files,
 * and the group of packages in front of all others
 *
 * Return: 0; -EINVAL for what does not go together; -ENOMEM.
 */
int image_finish(struct recipe *recipe, struct cop_error *err);

/* image_parts() - the layout, checked and with its ids */
int image_parts(struct recipe *recipe, struct cop_error *err);

/* image_find() - the partition that is mounted there, or NULL */
const struct image_part *image_find(const struct recipe_image *image, const char *mount);

/* image_tools() - packages of the build layer, NULL-terminated; NULL: there is none */
const char *const *image_tools(const struct recipe *recipe);

/* image_id() - a UUID from the recipe's seed and @purpose */
int image_id(const struct recipe *recipe, const char *purpose, char uuid[37],
	     struct cop_error *err);

/*
 * Parts of a manifest; new stages are appended to @stages.
 *
 * image_add_config() - files and mount points; before anything that people write
 * image_add_initramfs() - after all that it may hold, or, as the first of two, before
 *	what probably does not reach it
 * image_add_loader() - the boot loader, where there is one; after the initramfs
 * image_add_disk() - the disk as it is, where another format is made of it
 * image_add_format() - what was asked for
 */
int image_add_config(json_t *stages, const struct recipe *recipe, struct cop_error *err);
int image_add_initramfs(json_t *stages, const struct recipe *recipe, bool is_first,
			struct cop_error *err);
int image_add_loader(json_t *stages, const struct recipe *recipe, struct cop_error *err);
int image_add_disk(json_t *stages, const struct recipe *recipe, struct cop_error *err);
int image_add_format(json_t *stages, const struct recipe *recipe, struct cop_error *err);
