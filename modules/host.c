/* SPDX-License-Identifier: Apache-2.0 */
/* Every module that runs on the host in one program, found by the name under which it is
 * called. */
#include <string.h>

#include "modules/devices/devices.h"
#include "modules/inputs/inputs.h"
#include "modules/mounts/mounts.h"
#include "modules/sources/sources.h"

/* Inputs and mounts have a module "noop" each: the folder tells which is meant. */
static const struct service_module sources[] = {
	{"org.coppice.deb", source_deb, NULL},
	{"org.osbuild.curl", source_curl, NULL},
	{"org.osbuild.inline", source_inline, NULL},
};

static const struct service_module inputs[] = {
	{"org.osbuild.files", input_files, NULL},
	{"org.osbuild.noop", input_noop, NULL},
	{"org.osbuild.tree", input_tree, NULL},
};

static const struct service_module devices[] = {
	{"org.osbuild.loopback", device_loopback, device_loopback_stop},
};

static const struct service_module mounts[] = {
	{"org.osbuild.bind", mount_bind_directory, mount_undo},
	{"org.osbuild.btrfs", mount_filesystem, mount_undo},
	{"org.osbuild.ext4", mount_filesystem, mount_undo},
	{"org.osbuild.fat", mount_filesystem, mount_undo},
	{"org.osbuild.noop", mount_noop, NULL},
	{"org.osbuild.xfs", mount_filesystem, mount_undo},
};

/* By the folder under which the program is called. */
static const struct {
	const char *folder;
	const struct service_module *modules;
	size_t n_modules;
} classes[] = {
	{"sources", sources, ARRAY_SIZE(sources)},
	{"inputs", inputs, ARRAY_SIZE(inputs)},
	{"devices", devices, ARRAY_SIZE(devices)},
	{"mounts", mounts, ARRAY_SIZE(mounts)},
};

int main(int argc, char **argv)
{
	const char *path = argc > 0 ? argv[0] : "", *name = strrchr(path, '/');

	for (size_t i = 0; name && i < ARRAY_SIZE(classes); i++) {
		size_t length = strlen(classes[i].folder);

		if ((size_t)(name - path) > length && name[-(ssize_t)length - 1] == '/' &&
		    strncmp(name - length, classes[i].folder, length) == 0)
			return service_main(classes[i].modules, classes[i].n_modules,
					    argc, argv);
	}
	return service_main(NULL, 0, argc, argv);
}
