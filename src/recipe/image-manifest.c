/* SPDX-License-Identifier: Apache-2.0 */
/* The stages that make a tree bootable, and an image of it. */
#include <string.h>

#include "recipe/image.h"
#include "recipe/stages.h"

static bool boots(const struct recipe *recipe)
{
	return recipe->image && recipe->image->boot != IMAGE_BOOT_NONE;
}

static int add_mount_points(json_t *stages, const struct recipe_image *image,
			    struct cop_error *err)
{
	auto_json *paths = json_array();

	for (size_t i = 0; paths && i < image->n_parts; i++) {
		const char *mount = image->parts[i].mount;

		if (mount && mount[1] &&
		    json_array_append_new(paths,
					  json_pack("{s:s, s:b, s:b}", "path", mount,
						    "parents", 1, "exist_ok", 1)) < 0)
			return err_oom(err);
	}
	if (json_array_size(paths) == 0)
		return paths ? 0 : err_oom(err);
	return stages_add(stages, "org.osbuild.mkdir", NULL,
			  json_pack("{s:O}", "paths", paths), err);
}

int image_add_config(json_t *stages, const struct recipe *recipe, struct cop_error *err)
{
	const struct recipe_image *image = recipe->image;
	int r;

	if (!image || image->n_files == 0)
		return 0;
	r = add_mount_points(stages, image, err);
	return r < 0 ? r : stages_add_files(stages, image->files, image->n_files, err);
}

static const char *esp_mount(const struct recipe_image *image)
{
	for (size_t i = 0; i < image->n_parts; i++)
		if (strcmp(image->parts[i].word, "esp") == 0)
			return image->parts[i].mount;
	return "/boot/efi";
}

int image_add_loader(json_t *stages, const struct recipe *recipe, struct cop_error *err)
{
	const struct recipe_image *image = recipe->image;
	json_t *options;

	if (!boots(recipe) || image->boot == IMAGE_BOOT_DIRECT)
		return 0;
	if (image->boot == IMAGE_BOOT_BIOS)
		return stages_add(stages, "org.coppice.boot.grub", NULL,
				  json_pack("{s:s}", "root-fs-uuid",
					    image_find(image, "/")->fs_uuid),
				  err);
	options = json_pack("{s:s, s:s}", "esp", esp_mount(image), "architecture",
			    recipe->architecture);
	if (options && image->secure_boot)
		(void)json_object_set_new(options, "secure-boot", json_true());
	return stages_add(stages, "org.coppice.boot.systemd", NULL, options, err);
}

int image_add_initramfs(json_t *stages, const struct recipe *recipe, bool is_first,
			struct cop_error *err)
{
	json_t *options = json_object();

	if (options && boots(recipe))
		(void)json_object_set_new(
			options, "root-filesystem",
			json_string(image_find(recipe->image, "/")->filesystem));
	if (options && is_first)
		(void)json_object_set_new(options, "record", json_true());
	return stages_add(stages, "org.coppice.initramfs", NULL, options, err);
}

/* --- the disk --- */

static json_t *partition(const struct image_part *part)
{
	json_t *json = json_pack("{s:s, s:s, s:s}", "name", part->name, "type",
				 part->type, "uuid", part->uuid);

	if (!json)
		return NULL;
	if (part->filesystem)
		(void)json_object_update_new(
			json, json_pack("{s:s, s:s, s:s}", "filesystem", part->filesystem,
					"fs-uuid", part->fs_uuid, "label", part->label));
	if (part->mount)
		(void)json_object_set_new(json, "mount", json_string(part->mount));
	if (strcmp(part->word, "bios") == 0)
		(void)json_object_set_new(json, "embed", json_string("grub"));
	if (part->size > 0)
		(void)json_object_set_new(json, "size",
					  json_integer((json_int_t)part->size));
	else if (part->free > 0)
		(void)json_object_set_new(json, "free",
					  json_integer((json_int_t)part->free));
	return json;
}

int image_add_disk(json_t *stages, const struct recipe *recipe, struct cop_error *err)
{
	const struct recipe_image *image = recipe->image;
	auto_json *parts = json_array();
	json_t *options;

	for (size_t i = 0; parts && i < image->n_parts; i++)
		if (json_array_append_new(parts, partition(&image->parts[i])) < 0)
			return err_oom(err);
	options = json_pack("{s:s, s:s, s:O}", "filename", "disk.raw", "uuid",
			    image->uuid, "partitions", parts);
	if (options && image->size > 0)
		(void)json_object_set_new(options, "size",
					  json_integer((json_int_t)image->size));
	return stages_add(stages, "org.coppice.disk", stages_tree_input("tree", "tree"),
			  options, err);
}

/* --- formats --- */

static int add_qemu(json_t *stages, const struct image_format *format,
		    struct cop_error *err)
{
	json_t *type = json_pack("{s:s}", "type", format->qemu);
	json_t *inputs = json_pack("{s:{s:s, s:s, s:{s:{s:s}}}}", "image", "type",
				   "org.osbuild.files", "origin", "org.osbuild.pipeline",
				   "references", "name:disk", "file", "disk.raw");

	/* Whoever wants it small compresses better. */
	if (type && strcmp(format->qemu, "qcow2") == 0)
		(void)json_object_set_new(type, "compression", json_false());
	return stages_add(
		stages, "org.osbuild.qemu", inputs,
		json_pack("{s:s, s:o}", "filename", format->filename, "format", type),
		err);
}

/* The word of Go for an architecture of Debian, and its variant where it needs one. */
static int add_oci(json_t *stages, const struct recipe *recipe, struct cop_error *err)
{
	static const char *const words[][3] = {
		{"armel", "arm", "v5"},	    {"armhf", "arm", "v7"},
		{"i386", "386", NULL},	    {"mips64el", "mips64le", NULL},
		{"mipsel", "mipsle", NULL}, {"ppc64el", "ppc64le", NULL},
	};
	const char *architecture = recipe->architecture, *variant = NULL;
	json_t *options;

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (strcmp(words[i][0], recipe->architecture) == 0) {
			architecture = words[i][1];
			variant = words[i][2];
		}
	options = json_pack("{s:s, s:s}", "filename", recipe->image->format->filename,
			    "architecture", architecture);
	if (options && variant)
		(void)json_object_set_new(options, "variant", json_string(variant));
	return stages_add(stages, "org.osbuild.oci-archive",
			  stages_tree_input("base", "tree"), options, err);
}

static int add_archive(json_t *stages, const struct image_format *format,
		       struct cop_error *err)
{
	const bool is_squashfs = strcmp(format->name, "squashfs") == 0;
	json_t *options = json_pack("{s:s}", "filename", format->filename);
	auto_buf type = {};

	if (options && is_squashfs)
		(void)json_object_set_new(options, "compression",
					  json_pack("{s:s}", "method", "zstd"));
	if (buf_printf(&type, "org.osbuild.%s", format->name) < 0) {
		json_decref(options);
		return err_oom(err);
	}
	return stages_add(stages, type.data, stages_tree_input("tree", "tree"), options,
			  err);
}

int image_add_format(json_t *stages, const struct recipe *recipe, struct cop_error *err)
{
	const struct image_format *format = recipe->image->format;
	int r;

	if (strcmp(format->name, "oci") == 0)
		return add_oci(stages, recipe, err);
	if (!format->is_disk)
		return add_archive(stages, format, err);
	r = format->qemu ? add_qemu(stages, format, err)
			 : image_add_disk(stages, recipe, err);
	if (r < 0 || recipe->image->boot != IMAGE_BOOT_DIRECT)
		return r;
	return stages_add(stages, "org.coppice.kernel", stages_tree_input("tree", "tree"),
			  json_object(), err);
}
