/* SPDX-License-Identifier: Apache-2.0 */
#include "recipe/initramfs.h"

#include <string.h>

#include "base/text.h"

bool initramfs_is_wanted(const struct lock *lock)
{
	for (size_t i = 0; i < lock->n_packages; i++)
		if (strcmp(lock->packages[i].name, "initramfs-tools") == 0 &&
		    !lock_is_tool(&lock->packages[i]))
			return true;
	return false;
}

/* Only a guess that saves time: one that is missing here has the initramfs made twice. */
static bool is_known_to_reach(const char *name)
{
	static const char *const names[] = {"btrfs-progs",
					    "busybox",
					    "cryptsetup",
					    "dmraid",
					    "dracut-install",
					    "intel-microcode",
					    "amd64-microcode",
					    "kbd",
					    "keyutils",
					    "klibc-utils",
					    "kmod",
					    "lvm2",
					    "mdadm",
					    "multipath-tools-boot",
					    "open-iscsi",
					    "plymouth",
					    "thin-provisioning-tools",
					    "udev",
					    "zfs-dkms",
					    "zstd"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return strstr(name, "initramfs") || text_starts_with(name, "linux-image-") ||
	       text_starts_with(name, "firmware-") ||
	       text_starts_with(name, "plymouth-theme");
}

static bool says_what_reaches(const struct recipe *recipe)
{
	static const char *const places[] = {
		"/etc/crypttab",	 "/etc/fstab",
		"/etc/initramfs-tools/", "/etc/modprobe.d/",
		"/etc/modules",		 "/etc/udev/",
		"/usr/lib/firmware/",	 "/usr/share/initramfs-tools/"};

	for (size_t i = 0; i < recipe->n_files; i++)
		for (size_t k = 0; k < ARRAY_SIZE(places); k++)
			if (text_starts_with(recipe->files[i].path, places[k]))
				return true;
	/* A command may do anything. */
	return *recipe->commands;
}

size_t initramfs_layer(const struct recipe *recipe, const struct lock *lock)
{
	const char *layer = NULL;
	size_t end = 0, last = 0;

	if (!initramfs_is_wanted(lock) || says_what_reaches(recipe))
		return 0;
	for (size_t i = 0; i < lock->n_packages; i++) {
		const struct lock_package *package = &lock->packages[i];

		if (lock_is_tool(package) || strcmp(package->layer, BASE_LAYER) == 0)
			continue;
		if (is_known_to_reach(package->name))
			layer = package->layer;
		last = i + 1;
		if (layer && strcmp(package->layer, layer) == 0)
			end = last;
	}
	return end < last ? end : 0;
}
