/* SPDX-License-Identifier: Apache-2.0 */
/* The key `image`, word by word. */
#include "recipe/image.h"

#include <string.h>

#include "base/text.h"
#include "recipe/check.h"

static const char *const no_tools[] = {NULL};
static const char *const disk_tools[] = {"e2fsprogs", "dosfstools", "mtools", "fdisk",
					 NULL};
static const char *const qemu_tools[] = {"e2fsprogs", "dosfstools", "mtools",
					 "fdisk",     "qemu-utils", NULL};
static const char *const squashfs_tools[] = {"squashfs-tools", NULL};
static const char *const erofs_tools[] = {"erofs-utils", NULL};

static const struct image_format formats[] = {
	{"raw", "disk.raw", NULL, true, disk_tools},
	{"qcow2", "disk.qcow2", "qcow2", true, qemu_tools},
	{"vmdk", "disk.vmdk", "vmdk", true, qemu_tools},
	{"vhd", "disk.vhd", "vpc", true, qemu_tools},
	{"tar", "rootfs.tar", NULL, false, no_tools},
	{"squashfs", "rootfs.squashfs", NULL, false, squashfs_tools},
	{"erofs", "rootfs.erofs", NULL, false, erofs_tools},
	{"oci", "image.oci", NULL, false, no_tools},
	{"directory", NULL, NULL, false, no_tools},
};

/* "MiB" may also be "M"; bytes otherwise. */
static int parse_size(const char *text, uint64_t *ret)
{
	static const struct {
		const char *word;
		uint64_t factor;
	} units[] = {{"M", MIB},       {"MiB", MIB},	  {"G", GIB},
		     {"GiB", GIB},     {"T", 1024 * GIB}, {"TiB", 1024 * GIB},
		     {"", UINT64_C(1)}};
	const size_t digits = strspn(text, "0123456789");
	const char *unit = text + digits + (text[digits] == ' ');
	char number[24] = "";
	uint64_t value;

	if (digits == 0 || digits >= sizeof(number))
		return -EINVAL;
	memcpy(number, text, digits);
	if (text_to_u64(number, &value) < 0)
		return -EINVAL;
	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		if (strcmp(unit, units[i].word) == 0) {
			if (value > 8 * 1024 * 1024 * GIB / units[i].factor)
				return -EINVAL;
			*ret = value * units[i].factor;
			return *ret % MIB == 0 ? 0 : -EINVAL;
		}
	return -EINVAL;
}

static int take_bytes(const struct decode *decode, const struct node *node,
		      bool may_be_auto, uint64_t *ret, struct cop_error *err)
{
	const char *text = NULL;
	int r = decode_text(decode, node, &text, err);

	if (r < 0)
		return r;
	if (may_be_auto && strcmp(text, "auto") == 0) {
		*ret = 0;
		return 0;
	}
	if (parse_size(text, ret) < 0 || *ret == 0)
		return decode_wrong(decode, node, err,
				    "%s: '%.64s' is not a size such as 512M or 2G%s",
				    node->key, text, may_be_auto ? ", or auto" : "");
	return 0;
}

static int take_word(const struct decode *decode, const struct node *node,
		     const char *const *words, size_t *ret, struct cop_error *err)
{
	const char *text = NULL, *nearest;
	int r = decode_text(decode, node, &text, err);

	if (r < 0)
		return r;
	for (size_t i = 0; words[i]; i++)
		if (strcmp(words[i], text) == 0) {
			*ret = i;
			return 0;
		}
	nearest = check_nearest(text, words);
	{
		auto_buf list = {};

		for (size_t i = 0; words[i]; i++)
			(void)buf_printf(&list, "%s%s", i ? ", " : "", words[i]);
		return decode_wrong(decode, node, err, "%s: '%.64s' is none of %s%s%s%s",
				    node->key, text, buf_text(&list),
				    nearest ? "; did you mean '" : "",
				    nearest ? nearest : "", nearest ? "'?" : "");
	}
}

static int take_format(struct decode *decode, const struct node *node,
		       struct cop_error *err)
{
	const char *names[ARRAY_SIZE(formats) + 1] = {};
	size_t i = 0;
	int r;

	for (i = 0; i < ARRAY_SIZE(formats); i++)
		names[i] = formats[i].name;
	r = take_word(decode, node, names, &i, err);
	if (r == 0)
		decode->recipe->image->format = &formats[i];
	return r;
}

static int take_boot(struct decode *decode, const struct node *node,
		     struct cop_error *err)
{
	static const char *const words[] = {"none", "uefi", "bios", "direct", NULL};
	size_t i = 0;
	int r = take_word(decode, node, words, &i, err);

	if (r == 0) {
		decode->recipe->image->boot = (enum image_boot)i;
		decode->recipe->image->has_boot = true;
	}
	return r;
}

static int take_secure_boot(struct decode *decode, const struct node *node,
			    struct cop_error *err)
{
	static const char *const words[] = {"no", "yes", "false", "true", NULL};
	size_t i = 0;
	int r = take_word(decode, node, words, &i, err);

	if (r == 0)
		decode->recipe->image->secure_boot = i % 2 == 1;
	return r;
}

static int take_size(struct decode *decode, const struct node *node,
		     struct cop_error *err)
{
	return take_bytes(decode, node, true, &decode->recipe->image->size, err);
}

static int take_free(struct decode *decode, const struct node *node,
		     struct cop_error *err)
{
	return take_bytes(decode, node, false, &decode->recipe->image->free, err);
}

static int take_seed(struct decode *decode, const struct node *node,
		     struct cop_error *err)
{
	return decode_text(decode, node, &decode->recipe->image->seed, err);
}

/* --- layout --- */

static int take_part_type(struct decode *decode, const struct node *node,
			  struct cop_error *err)
{
	return decode_text(decode, node, &decode->part->word, err);
}

static int take_part_name(struct decode *decode, const struct node *node,
			  struct cop_error *err)
{
	int r = decode_text(decode, node, &decode->part->name, err);

	if (r == 0 && (!check_word(decode->part->name) || node->size > 36))
		return decode_wrong(decode, node, err,
				    "name: '%.64s' is not one of a partition (lower-case "
				    "letters, digits and -._, at most 36)",
				    node->text);
	return r;
}

static int take_part_filesystem(struct decode *decode, const struct node *node,
				struct cop_error *err)
{
	static const char *const words[] = {"ext4", "vfat", NULL};
	size_t i = 0;
	int r = take_word(decode, node, words, &i, err);

	if (r == 0)
		decode->part->filesystem = words[i];
	return r;
}

static int take_part_mount(struct decode *decode, const struct node *node,
			   struct cop_error *err)
{
	int r = decode_text(decode, node, &decode->part->mount, err);

	if (r < 0)
		return r;
	if ((strcmp(decode->part->mount, "/") != 0 &&
	     !check_absolute_path(decode->part->mount)) ||
	    strpbrk(decode->part->mount, " \t\"'\\#"))
		return decode_wrong(decode, node, err,
				    "mount: '%.128s' is not an absolute path without "
				    "'.', '..' and spaces",
				    node->text);
	return 0;
}

static int take_part_label(struct decode *decode, const struct node *node,
			   struct cop_error *err)
{
	int r = decode_text(decode, node, &decode->part->label, err);

	if (r < 0)
		return r;
	if (strspn(node->text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
			       "0123456789-_") != node->size ||
	    node->size > 16)
		return decode_wrong(decode, node, err,
				    "label: '%.64s' is not one (letters, digits, - and "
				    "_, at most 16, for a vfat 11)",
				    node->text);
	return 0;
}

static int take_part_size(struct decode *decode, const struct node *node,
			  struct cop_error *err)
{
	return take_bytes(decode, node, true, &decode->part->size, err);
}

static int take_part_free(struct decode *decode, const struct node *node,
			  struct cop_error *err)
{
	return take_bytes(decode, node, false, &decode->part->free, err);
}

static int take_layout(struct decode *decode, const struct node *node,
		       struct cop_error *err)
{
	static const struct decode_field fields[] = {
		{"type", take_part_type},   {"name", take_part_name},
		{"size", take_part_size},   {"filesystem", take_part_filesystem},
		{"mount", take_part_mount}, {"label", take_part_label},
		{"free", take_part_free},
	};
	struct recipe_image *image = decode->recipe->image;
	size_t n = decode_count(node);
	int r = decode_list(decode, node, err);

	if (r < 0)
		return r;
	if (n == 0 || n > 16)
		return decode_wrong(decode, node, err,
				    "layout: 1 to 16 partitions are wanted");
	image->parts = arena_alloc(decode->recipe->arena, n * sizeof(*image->parts));
	if (!image->parts)
		return err_oom(err);
	for (const struct node *item = node->first; item && r >= 0; item = item->next) {
		decode->part = &image->parts[image->n_parts++];
		r = decode_map(decode, item, fields, ARRAY_SIZE(fields), "layout", err);
		if (r >= 0 && !decode->part->word)
			return decode_wrong(decode, item, err,
					    "layout: a partition without a type");
	}
	image->has_layout = true;
	return r;
}

int decode_image(struct decode *decode, const struct node *node, struct cop_error *err)
{
	static const struct decode_field fields[] = {
		{"format", take_format}, {"boot", take_boot},
		{"size", take_size},	 {"free", take_free},
		{"seed", take_seed},	 {"secure-boot", take_secure_boot},
		{"layout", take_layout},
	};
	struct recipe *recipe = decode->recipe;
	struct recipe_image *image = arena_alloc(recipe->arena, sizeof(*image));

	if (!image)
		return err_oom(err);
	image->line = node->line;
	image->column = node->column;
	image->seed = "";
	image->free = 256 * MIB;
	image->format = &formats[0];
	recipe->image = image;
	return decode_map(decode, node, fields, ARRAY_SIZE(fields), "image", err);
}

/* --- kernel --- */

static int take_kernel_name(struct decode *decode, const struct node *node,
			    struct cop_error *err)
{
	int r = decode_text(decode, node, &decode->recipe->kernel_name, err);

	if (r == 0 && !check_package_name(decode->recipe->kernel_name))
		return decode_wrong(decode, node, err,
				    "name: '%.128s' is not a package's name", node->text);
	return r;
}

static int take_kernel_append(struct decode *decode, const struct node *node,
			      struct cop_error *err)
{
	int r = decode_text(decode, node, &decode->recipe->kernel_append, err);

	/* It stands in files of lines, and in one of them between quotes. */
	for (const char *c = node->text; r == 0 && *c; c++)
		if ((unsigned char)*c < ' ' || strchr("\"\\`$", *c))
			return decode_wrong(decode, node, err,
					    "append: one line without \" \\ ` and $ is "
					    "wanted");
	return r;
}

int decode_kernel(struct decode *decode, const struct node *node, struct cop_error *err)
{
	static const struct decode_field fields[] = {
		{"name", take_kernel_name},
		{"append", take_kernel_append},
	};

	return decode_map(decode, node, fields, ARRAY_SIZE(fields), "kernel", err);
}
