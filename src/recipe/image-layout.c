/* SPDX-License-Identifier: Apache-2.0 */
/* From the words of a layout to partitions that can be made. */
#include <string.h>

#include "base/text.h"
#include "recipe/image.h"

#define GENERIC "0FC63DAF-8483-4772-8E79-3D69D8477DE4"

static const struct {
	const char *word, *architecture, *uuid;
} types[] = {
	{"esp", NULL, "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"},
	{"bios", NULL, "21686148-6449-6E6F-744E-656564454649"},
	{"root", "amd64", "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709"},
	{"root", "arm64", "B921B045-1DF0-41C3-AF44-4C6F280D3FAE"},
	{"root", "armhf", "69DAD710-2CE4-4E3C-B16C-21A1D49ABED3"},
	{"root", "i386", "44479540-F297-41B2-9AF7-D131D5F0458A"},
	{"root", "ppc64el", "C31C45E6-3F39-412E-80FB-4809C4980599"},
	{"root", "riscv64", "72EC70A6-CF74-40E6-BD49-4BDA08E8F224"},
	{"root", "s390x", "5EEAD9A9-FE09-4A1E-A1D7-520D00531306"},
	{"root", NULL, GENERIC},
	{"home", NULL, "933AC7E1-2EB4-4F13-B844-0E14E2AEF915"},
	{"srv", NULL, "3B8F8425-20E0-4F3B-907F-1A25A76F98E8"},
	{"var", NULL, "4D21B016-B534-45C2-A9FB-5C16E091FD2D"},
	{"linux", NULL, GENERIC},
};

static int wrong(const struct recipe *recipe, struct cop_error *err, const char *part,
		 const char *reason)
{
	return err_set(err, -EINVAL, "%s:%u:%u: image: %s%s%s%s", recipe->path,
		       recipe->image->line, recipe->image->column,
		       part ? "partition '" : "", part ? part : "", part ? "' " : "",
		       reason);
}

int image_id(const struct recipe *recipe, const char *purpose, char uuid[37],
	     struct cop_error *err)
{
	auto_buf text = {};
	char hex[SHA256_HEX + 1];
	int r;

	(void)buf_printf(&text, "coppice-image 1\n%s\n%s\n%s\n%s", recipe->suite,
			 recipe->architecture, purpose, recipe->image->seed);
	if (text.failed)
		return err_oom(err);
	r = sha256_bytes(text.data, text.size, hex, err);
	if (r < 0)
		return r;
	/* Looks like a random one (RFC 4122). */
	hex[12] = '4';
	hex[16] = "89ab"[hex[16] % 4];
	(void)snprintf(uuid, 37, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12,
		       hex + 16, hex + 20);
	return 0;
}

static bool is_uuid(const char *text)
{
	static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

	for (size_t i = 0; form[i]; i++)
		if (form[i] == '-'
			    ? text[i] != '-'
			    : !text[i] || !strchr("0123456789abcdefABCDEF", text[i]))
			return false;
	return strlen(text) == strlen(form);
}

static const char *find_type(const struct recipe *recipe, const char *word)
{
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (strcmp(types[i].word, word) == 0 &&
		    (!types[i].architecture ||
		     strcmp(types[i].architecture, recipe->architecture) == 0))
			return types[i].uuid;
	return is_uuid(word) ? word : NULL;
}

static int default_layout(struct recipe *recipe, struct cop_error *err)
{
	struct recipe_image *image = recipe->image;
	struct image_part *parts = arena_alloc(recipe->arena, 2 * sizeof(*parts));
	size_t n = 0;

	if (!parts)
		return err_oom(err);
	if (image->boot == IMAGE_BOOT_UEFI)
		parts[n++] = (struct image_part){.word = "esp"};
	if (image->boot == IMAGE_BOOT_BIOS)
		parts[n++] = (struct image_part){.word = "bios"};
	parts[n++] = (struct image_part){.word = "root"};
	image->parts = parts;
	image->n_parts = n;
	return 0;
}

/* What goes without saying. */
static void fill_in(const struct recipe *recipe, struct image_part *part)
{
	const bool is_esp = strcmp(part->word, "esp") == 0;
	const bool is_bios = strcmp(part->word, "bios") == 0;
	static const char *const places[][2] = {
		{"esp", "/boot/efi"}, {"root", "/"},   {"home", "/home"},
		{"srv", "/srv"},      {"var", "/var"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(places) && !part->mount; i++)
		if (strcmp(places[i][0], part->word) == 0)
			part->mount = places[i][1];
	if (!part->name)
		part->name = is_uuid(part->word) ? "data" : part->word;
	if (!part->filesystem && !is_bios)
		part->filesystem = is_esp ? "vfat" : "ext4";
	if (!part->label)
		part->label = is_esp ? "ESP" : strlen(part->name) <= 16 ? part->name : "";
	if (part->size == 0 && is_esp)
		part->size = 512 * MIB;
	if (part->size == 0 && is_bios)
		part->size = MIB;
	if (part->free == 0 && part->mount && strcmp(part->mount, "/") == 0)
		part->free = recipe->image->free;
}

static int give_ids(const struct recipe *recipe, struct image_part *part, size_t i,
		    struct cop_error *err)
{
	char purpose[64], id[37];
	int r;

	(void)snprintf(purpose, sizeof(purpose), "partition %zu", i);
	r = image_id(recipe, purpose, part->uuid, err);
	(void)snprintf(purpose, sizeof(purpose), "file system %zu", i);
	if (r == 0)
		r = image_id(recipe, purpose, id, err);
	if (r < 0)
		return r;
	(void)snprintf(part->fs_uuid, sizeof(part->fs_uuid), "%s", id);
	if (!part->filesystem || strcmp(part->filesystem, "vfat") != 0)
		return 0;
	/* A FAT has but eight digits, and udev shows them in capitals. */
	part->fs_uuid[8] = '\0';
	for (char *c = part->fs_uuid; *c; c++)
		if (*c >= 'a')
			*c = (char)(*c - 'a' + 'A');
	return 0;
}

static int check_part(const struct recipe *recipe, const struct image_part *part,
		      struct cop_error *err)
{
	const bool is_vfat = part->filesystem && strcmp(part->filesystem, "vfat") == 0;

	if (!part->type)
		return wrong(recipe, err, part->name,
			     "has a type that is neither esp, bios, root, home, srv, "
			     "var, linux nor a UUID");
	if (strcmp(part->word, "bios") == 0 && (part->filesystem || part->mount))
		return wrong(recipe, err, part->name,
			     "is for GRUB alone: it has no file system and no mount");
	if (strcmp(part->word, "esp") == 0 && !is_vfat)
		return wrong(recipe, err, part->name, "must be a vfat: UEFI reads it");
	if (is_vfat && part->size == 0)
		return wrong(recipe, err, part->name, "is a vfat and needs a size");
	if (is_vfat && part->size < 34 * MIB)
		return wrong(recipe, err, part->name,
			     "is smaller than 34M, the least a FAT32 can be");
	if (is_vfat && strlen(part->label) > 11)
		return wrong(recipe, err, part->name, "has a label of over 11 bytes");
	if (is_vfat && part->mount && strcmp(part->mount, "/") == 0)
		return wrong(recipe, err, part->name, "cannot hold the root as a vfat");
	if (!part->mount && part->size == 0)
		return wrong(recipe, err, part->name, "has no mount, so it needs a size");
	return 0;
}

const struct image_part *image_find(const struct recipe_image *image, const char *mount)
{
	for (size_t i = 0; i < image->n_parts; i++)
		if (image->parts[i].mount && strcmp(image->parts[i].mount, mount) == 0)
			return &image->parts[i];
	return NULL;
}

static bool has_word(const struct recipe_image *image, const char *word)
{
	for (size_t i = 0; i < image->n_parts; i++)
		if (strcmp(image->parts[i].word, word) == 0)
			return true;
	return false;
}

static int check_all(const struct recipe *recipe, struct cop_error *err)
{
	const struct recipe_image *image = recipe->image;

	for (size_t i = 0; i < image->n_parts; i++)
		for (size_t j = 0; j < i; j++) {
			const struct image_part *a = &image->parts[i],
						*b = &image->parts[j];

			if (strcmp(a->name, b->name) == 0)
				return wrong(recipe, err, a->name,
					     "is there twice: give them names");
			if (a->mount && b->mount && strcmp(a->mount, b->mount) == 0)
				return wrong(recipe, err, a->name,
					     "has the mount of another one");
		}
	if (!image_find(image, "/"))
		return wrong(recipe, err, NULL, "no partition is mounted at /");
	if (image->boot == IMAGE_BOOT_UEFI && !has_word(image, "esp"))
		return wrong(recipe, err, NULL,
			     "UEFI needs a partition of type esp in the layout");
	if (image->boot == IMAGE_BOOT_BIOS && !has_word(image, "bios"))
		return wrong(recipe, err, NULL,
			     "GRUB needs a partition of type bios in the layout");
	return 0;
}

int image_parts(struct recipe *recipe, struct cop_error *err)
{
	struct recipe_image *image = recipe->image;
	int r = image->has_layout ? 0 : default_layout(recipe, err);

	if (r == 0)
		r = image_id(recipe, "disk", image->uuid, err);
	for (size_t i = 0; i < image->n_parts && r == 0; i++) {
		struct image_part *part = &image->parts[i];

		fill_in(recipe, part);
		part->type = find_type(recipe, part->word);
		r = check_part(recipe, part, err);
		if (r == 0)
			r = give_ids(recipe, part, i, err);
	}
	return r < 0 ? r : check_all(recipe, err);
}
