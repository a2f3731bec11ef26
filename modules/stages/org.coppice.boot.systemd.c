/* SPDX-License-Identifier: Apache-2.0 */
/*
 * systemd-boot in the tree's EFI system partition, and an entry for every kernel made by
 * the tree's own kernel-install, just as a new kernel package will make one later.
 *
 * `bootctl install` would look for a real partition and write a random seed, so its few
 * files are laid out here.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "modkit/options.h"
#include "modkit/root.h"
#include "modules/stages/kernels.h"
#include "modules/stages/stages.h"

#define LOADERS "usr/lib/systemd/boot/efi/"
#define SHIMS	"usr/lib/shim/"

/* struct loader - names of UEFI for an architecture */
struct loader {
	const char *debian, *lower, *upper;
};

static const struct loader architectures[] = {
	{"amd64", "x64", "X64"},
	{"arm64", "aa64", "AA64"},
};

struct boot {
	struct kit *kit;
	const char *esp;
	const struct loader *loader;
};

static bool is_file(struct kit *kit, const char *path)
{
	struct stat st;

	return root_stat(kit->tree_fd, path, &st, NULL) == 0 && S_ISREG(st.st_mode);
}

static int place(const struct boot *boot, const char *from, const char *directory,
		 const char *name)
{
	struct kit *kit = boot->kit;
	auto_close int source =
		fs_open_in_root(kit->tree_fd, from, O_RDONLY, 0, kit->err);
	auto_close int target = -EBADF;
	auto_buf path = {};
	struct stat st;
	int r;

	if (source < 0)
		return source;
	if (fstat(source, &st) < 0)
		return err_errno(kit->err, "stat '%s'", from);
	if (buf_printf(&path, "%s/%s", boot->esp, directory) < 0)
		return err_oom(kit->err);
	r = root_make_dirs(kit->tree_fd, path.data, 0755, kit->err);
	if (r == 0 && buf_printf(&path, "/%s", name) < 0)
		r = err_oom(kit->err);
	if (r < 0)
		return r;
	target = fs_open_in_root(kit->tree_fd, path.data, O_WRONLY | O_CREAT | O_TRUNC,
				 0644, kit->err);
	if (target < 0)
		return target;
	r = fs_copy_data(source, target, (uint64_t)st.st_size, kit->err);
	return r < 0 ? err_prefix(kit->err, r, "'%s'", path.data) : 0;
}

static int write_text(const struct boot *boot, const char *directory, const char *name,
		      const char *text)
{
	auto_buf path = {};
	int r = buf_printf(&path, "%s/%s", boot->esp, directory);

	if (r == 0)
		r = root_make_dirs(boot->kit->tree_fd, path.data, 0755, boot->kit->err);
	else
		(void)err_oom(boot->kit->err);
	if (r == 0 && buf_printf(&path, "/%s", name) < 0)
		r = err_oom(boot->kit->err);
	return r < 0 ? r
		     : root_replace(boot->kit->tree_fd, path.data, text, strlen(text),
				    0644, boot->kit->err);
}

/* The signed one where there are two: it boots either way. */
static int find_loader(const struct boot *boot, bool signed_only, char *path, size_t size)
{
	(void)snprintf(path, size, LOADERS "systemd-boot%s.efi.signed",
		       boot->loader->lower);
	if (is_file(boot->kit, path))
		return 0;
	if (signed_only)
		return err_set(boot->kit->err, -ENOENT,
			       "secure boot: the tree has no '%s'; its suite may not "
			       "have the package systemd-boot-efi-%s-signed",
			       path, boot->loader->debian);
	(void)snprintf(path, size, LOADERS "systemd-boot%s.efi", boot->loader->lower);
	if (is_file(boot->kit, path))
		return 0;
	return err_set(boot->kit->err, -ENOENT,
		       "the tree has no '%s': add the package systemd-boot", path);
}

/* What the firmware looks for where nobody told it more: systemd-boot, or the shim that
 * the firmware trusts and that loads it under the name of GRUB. */
static int place_loaders(const struct boot *boot, bool secure)
{
	char loader[128], shim[128], name[32];
	const struct loader *names = boot->loader;
	int r = find_loader(boot, secure, loader, sizeof(loader));

	(void)snprintf(name, sizeof(name), "systemd-boot%s.efi", names->lower);
	if (r == 0)
		r = place(boot, loader, "EFI/systemd", name);
	(void)snprintf(name, sizeof(name), "BOOT%s.EFI", names->upper);
	if (r < 0 || !secure)
		return r < 0 ? r : place(boot, loader, "EFI/BOOT", name);
	(void)snprintf(shim, sizeof(shim), SHIMS "shim%s.efi.signed", names->lower);
	if (!is_file(boot->kit, shim))
		return err_set(boot->kit->err, -ENOENT,
			       "secure boot: the tree has no '%s': add the package "
			       "shim-signed",
			       shim);
	r = place(boot, shim, "EFI/BOOT", name);
	(void)snprintf(shim, sizeof(shim), SHIMS "mm%s.efi.signed", names->lower);
	(void)snprintf(name, sizeof(name), "mm%s.efi", names->lower);
	if (r == 0 && is_file(boot->kit, shim))
		r = place(boot, shim, "EFI/BOOT", name);
	(void)snprintf(name, sizeof(name), "grub%s.efi", names->lower);
	return r < 0 ? r : place(boot, loader, "EFI/BOOT", name);
}

/* kernel-install writes paths below the file system that it finds: the partition's own,
 * for which another one stands here.  The kernel's package has run depmod already. */
static const char script[] =
	"set -e\n"
	"esp=$1\n"
	"shift\n"
	"depmod=/usr/lib/kernel/install.d/50-depmod.install\n"
	"if [ -e $depmod ] && [ -e /usr/lib/modules/$1/modules.dep.bin ]\n"
	"then mount --bind /bin/true $depmod\n"
	"fi\n"
	"mkdir /run/esp\n"
	"mount --bind \"$esp\" /run/esp\n"
	"mount -t tmpfs -o mode=0755 tmpfs \"$esp\"\n"
	"kernel-install add \"$@\"\n"
	"exec cp -a \"$esp/.\" /run/esp/\n";

static int add_entry(struct kit *kit, const char *version)
{
	const char *esp = json_string_value(json_object_get(kit->options, "esp"));
	char kernel[512], initrd[512];
	const char *argv[] = {"/bin/sh", "-c",	 script, "sh", esp,
			      version,	 kernel, initrd, NULL};

	(void)snprintf(kernel, sizeof(kernel), "/boot/vmlinuz-%s", version);
	(void)snprintf(initrd, sizeof(initrd), "/boot/initrd.img-%s", version);
	if (!is_file(kit, initrd))
		argv[7] = NULL;
	return kernels_run(kit, argv);
}

int stage_boot_systemd(struct kit *kit)
{
	struct boot boot = {.kit = kit, .esp = NULL};
	const char *architecture = NULL;
	int64_t timeout = 1;
	bool secure = false;
	char text[64];
	const struct option options[] = {
		NEEDED_TEXT("esp", boot.esp), NEEDED_TEXT("architecture", architecture),
		OPTION_INTEGER("timeout", timeout), OPTION_FLAG("secure-boot", secure)};
	int r = options_only(kit->options, "options", options, ARRAY_SIZE(options),
			     kit->err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(architectures); i++)
		if (strcmp(architectures[i].debian, architecture) == 0)
			boot.loader = &architectures[i];
	if (!boot.loader)
		return err_set(kit->err, -EOPNOTSUPP,
			       "systemd-boot is not set up for '%s' (amd64 and arm64 "
			       "are)",
			       architecture);
	r = place_loaders(&boot, secure);
	(void)snprintf(text, sizeof(text), "timeout %lld\n", (long long)timeout);
	if (r == 0)
		r = write_text(&boot, "loader", "loader.conf", text);
	if (r == 0)
		r = write_text(&boot, "loader", "entries.srel", "type1\n");
	return r < 0 ? r : kernels_each(kit, add_entry);
}
