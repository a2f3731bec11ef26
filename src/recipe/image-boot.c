/* SPDX-License-Identifier: Apache-2.0 */
/* What a tree must have to boot: packages, and files that say where everything is. */
#include <string.h>

#include "base/text.h"
#include "recipe/image.h"

static int wrong(const struct recipe *recipe, struct cop_error *err, const char *reason)
{
	return err_set(err, -EINVAL, "%s:%u:%u: image: %s", recipe->path,
		       recipe->image->line, recipe->image->column, reason);
}

const char *const *image_tools(const struct recipe *recipe)
{
	return recipe->image && *recipe->image->format->tools
		       ? recipe->image->format->tools
		       : NULL;
}

/* --- packages --- */

static const char *kernel_package(const struct recipe *recipe)
{
	static const char *const names[][2] = {
		{"amd64", "linux-image-amd64"},
		{"arm64", "linux-image-arm64"},
		{"armhf", "linux-image-armmp"},
		{"i386", "linux-image-686"},
		{"ppc64el", "linux-image-powerpc64le"},
		{"riscv64", "linux-image-riscv64"},
		{"s390x", "linux-image-s390x"},
	};

	if (recipe->kernel_name)
		return recipe->kernel_name;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(names[i][0], recipe->architecture) == 0)
			return names[i][1];
	return NULL;
}

static void add_package(const struct recipe *recipe, struct recipe_group *group,
			const char *name)
{
	group->packages[group->n_packages++] = (struct recipe_package){
		.name = name,
		.line = recipe->image->line,
		.column = recipe->image->column,
	};
}

static void add_boot_packages(const struct recipe *recipe, struct recipe_group *group)
{
	static const char *const always[] = {
		"systemd-sysv", "udev", "kmod", "zstd", "e2fsprogs", "initramfs-tools"};
	const bool is_trixie = strcmp(recipe->suite, "trixie") == 0;

	add_package(recipe, group, kernel_package(recipe));
	for (size_t i = 0; i < ARRAY_SIZE(always); i++)
		add_package(recipe, group, always[i]);
	/* In bookworm it is part of systemd. */
	if (is_trixie)
		add_package(recipe, group, "systemd-repart");
	if (recipe->image->boot == IMAGE_BOOT_UEFI) {
		add_package(recipe, group, "systemd-boot");
		add_package(recipe, group, "dosfstools");
	}
	if (recipe->image->secure_boot)
		add_package(recipe, group, "shim-signed");
	if (recipe->image->boot == IMAGE_BOOT_BIOS) {
		add_package(recipe, group, "grub-pc-bin");
		add_package(recipe, group, "grub2-common");
	}
}

#define BOOT_PACKAGES_MAX 16

static int add_group(struct recipe *recipe, struct cop_error *err)
{
	struct recipe_group *groups =
		arena_alloc(recipe->arena, (recipe->n_groups + 2) * sizeof(*groups));

	if (!groups)
		return err_oom(err);
	if (recipe->n_groups > 0)
		memcpy(groups + 1, recipe->groups, recipe->n_groups * sizeof(*groups));
	groups[0].name = BOOT_LAYER;
	groups[0].packages = arena_alloc(recipe->arena,
					 BOOT_PACKAGES_MAX * sizeof(*groups[0].packages));
	if (!groups[0].packages)
		return err_oom(err);
	add_boot_packages(recipe, &groups[0]);
	recipe->groups = groups;
	recipe->n_groups++;
	return 0;
}

/* --- files --- */

static int add_file(struct recipe *recipe, const char *path, const struct buf *text,
		    struct cop_error *err)
{
	struct recipe_image *image = recipe->image;
	struct recipe_file *file = &image->files[image->n_files++];

	*file = (struct recipe_file){.path = path, .mode = 0644, .size = text->size};
	file->content = arena_memdup(recipe->arena, buf_text(text), text->size);
	if (text->failed || !file->content)
		return err_oom(err);
	return sha256_bytes(file->content, file->size, file->sha256, err);
}

static int add_fstab(struct recipe *recipe, struct cop_error *err)
{
	const struct recipe_image *image = recipe->image;
	auto_buf text = {};

	(void)buf_append_text(&text,
			      "# file system, mount point, type, options, dump, pass\n");
	for (size_t i = 0; i < image->n_parts; i++) {
		const struct image_part *part = &image->parts[i];

		if (!part->mount)
			continue;
		if (strcmp(part->filesystem, "vfat") == 0)
			(void)buf_printf(&text, "UUID=%.4s-%.4s %s vfat umask=0077 0 2\n",
					 part->fs_uuid, part->fs_uuid + 4, part->mount);
		else if (part->mount[1])
			(void)buf_printf(&text, "UUID=%s %s ext4 defaults 0 2\n",
					 part->fs_uuid, part->mount);
		else
			(void)buf_printf(&text,
					 "UUID=%s / ext4 "
					 "errors=remount-ro,x-systemd.growfs 0 1\n",
					 part->fs_uuid);
	}
	return add_file(recipe, "/etc/fstab", &text, err);
}

/* Where people will look, unless the recipe says so itself: on the screen and on the
 * serial line. */
static void append_consoles(const struct recipe *recipe, struct buf *text)
{
	const char *append = recipe->kernel_append ? recipe->kernel_append : "";
	const bool is_arm = text_starts_with(recipe->architecture, "arm");

	if (!strstr(append, "console="))
		(void)buf_printf(text, " console=tty0 console=%s,115200",
				 is_arm ? "ttyAMA0" : "ttyS0");
	if (*append)
		(void)buf_printf(text, " %s", append);
}

static int add_cmdline(struct recipe *recipe, struct cop_error *err)
{
	auto_buf text = {};

	(void)buf_printf(&text, "root=UUID=%s ro",
			 image_find(recipe->image, "/")->fs_uuid);
	append_consoles(recipe, &text);
	(void)buf_append_char(&text, '\n');
	return add_file(recipe, "/etc/kernel/cmdline", &text, err);
}

static int add_text(struct recipe *recipe, const char *path, const char *content,
		    struct cop_error *err)
{
	auto_buf text = {};

	(void)buf_append_text(&text, content);
	return add_file(recipe, path, &text, err);
}

/* For kernel-install, today and with every new kernel. */
static int add_kernel_install(struct recipe *recipe, struct cop_error *err)
{
	const char *esp = NULL;
	auto_buf text = {};
	int r;

	for (size_t i = 0; i < recipe->image->n_parts; i++)
		if (strcmp(recipe->image->parts[i].word, "esp") == 0)
			esp = recipe->image->parts[i].mount;
	(void)buf_printf(&text, "layout=bls\nBOOT_ROOT=%s\n", esp);
	r = add_file(recipe, "/etc/kernel/install.conf", &text, err);
	/* Not the machine's id, which is not known yet. */
	return r < 0 ? r : add_text(recipe, "/etc/kernel/entry-token", "debian\n", err);
}

static int add_grub_defaults(struct recipe *recipe, struct cop_error *err)
{
	auto_buf text = {};

	(void)buf_append_text(&text,
			      "GRUB_DEFAULT=0\nGRUB_TIMEOUT=1\nGRUB_DISTRIBUTOR=Debian\n"
			      "GRUB_DISABLE_OS_PROBER=true\n"
			      "GRUB_TERMINAL=\"console serial\"\n"
			      "GRUB_SERIAL_COMMAND=\"serial --speed=115200\"\n"
			      "GRUB_CMDLINE_LINUX_DEFAULT=\"\"\n"
			      "GRUB_CMDLINE_LINUX=\"");
	append_consoles(recipe, &text);
	(void)buf_append_text(&text, "\"\n");
	return add_file(recipe, "/etc/default/grub", &text, err);
}

#define FILES_MAX 8

static int add_files(struct recipe *recipe, struct cop_error *err)
{
	struct recipe_image *image = recipe->image;
	int r;

	image->files = arena_alloc(recipe->arena, FILES_MAX * sizeof(*image->files));
	if (!image->files)
		return err_oom(err);
	r = add_fstab(recipe, err);
	if (r < 0 || image->boot == IMAGE_BOOT_NONE)
		return r;
	r = add_cmdline(recipe, err);
	if (r >= 0)
		r = add_text(recipe, "/etc/repart.d/50-root.conf",
			     "# The root partition takes what room the disk has.\n"
			     "[Partition]\nType=root\n",
			     err);
	if (r >= 0 && image->boot == IMAGE_BOOT_UEFI)
		r = add_kernel_install(recipe, err);
	if (r >= 0 && image->boot == IMAGE_BOOT_BIOS)
		r = add_grub_defaults(recipe, err);
	return r;
}

/* --- the whole --- */

static bool is_one_of(const char *text, const char *a, const char *b)
{
	return strcmp(text, a) == 0 || strcmp(text, b) == 0;
}

static int check_disk(struct recipe *recipe, struct cop_error *err)
{
	struct recipe_image *image = recipe->image;

	if (!image->has_boot)
		image->boot = IMAGE_BOOT_UEFI;
	if (image->boot == IMAGE_BOOT_UEFI &&
	    !is_one_of(recipe->architecture, "amd64", "arm64"))
		return wrong(recipe, err,
			     "boot: uefi is there for amd64 and arm64; say bios, direct "
			     "or none");
	if (image->boot == IMAGE_BOOT_BIOS &&
	    !is_one_of(recipe->architecture, "amd64", "i386"))
		return wrong(recipe, err,
			     "boot: bios is there for amd64 and i386; say uefi, direct "
			     "or none");
	if (image->boot != IMAGE_BOOT_NONE && !kernel_package(recipe))
		return wrong(recipe, err,
			     "which kernel is for this architecture? (kernel: name)");
	if (image->secure_boot && image->boot != IMAGE_BOOT_UEFI)
		return wrong(recipe, err, "secure-boot needs 'boot: uefi'");
	if (image->secure_boot && strcmp(recipe->suite, "trixie") != 0)
		return wrong(recipe, err,
			     "secure-boot: bookworm has no signed systemd-boot; trixie "
			     "has");
	return 0;
}

static int check_plain(const struct recipe *recipe, struct cop_error *err)
{
	const struct recipe_image *image = recipe->image;

	if (image->has_boot && image->boot != IMAGE_BOOT_NONE)
		return wrong(recipe, err,
			     "only raw, qcow2, vmdk and vhd are disks that boot");
	if (image->has_layout || image->size > 0)
		return wrong(recipe, err,
			     "only raw, qcow2, vmdk and vhd are disks with a size and a "
			     "layout");
	if (image->secure_boot)
		return wrong(recipe, err, "secure-boot needs 'boot: uefi'");
	return 0;
}

static int check_groups(const struct recipe *recipe, struct cop_error *err)
{
	for (size_t i = 0; i < recipe->n_groups; i++)
		if (is_one_of(recipe->groups[i].name, BOOT_LAYER, BUILD_LAYER))
			return err_set(err, -EINVAL,
				       "%s: '%s' cannot be a group's name: with 'image:' "
				       "there is a layer of that name already",
				       recipe->path, recipe->groups[i].name);
	return 0;
}

int image_finish(struct recipe *recipe, struct cop_error *err)
{
	int r;

	if (!recipe->image) {
		if (recipe->kernel_name || recipe->kernel_append)
			return err_set(err, -EINVAL,
				       "%s: 'kernel:' needs an 'image:' that boots",
				       recipe->path);
		return 0;
	}
	r = check_groups(recipe, err);
	if (r >= 0 && !recipe->image->format->is_disk)
		return check_plain(recipe, err);
	if (r >= 0)
		r = check_disk(recipe, err);
	if (r >= 0)
		r = image_parts(recipe, err);
	if (r >= 0)
		r = add_files(recipe, err);
	if (r >= 0 && recipe->image->boot != IMAGE_BOOT_NONE)
		r = add_group(recipe, err);
	return r;
}
