/* SPDX-License-Identifier: Apache-2.0 */
/* What a boot loader outside of the image needs: the newest kernel of a tree, its
 * initramfs and command line, under names without a version. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "modkit/root.h"
#include "modules/stages/kernels.h"
#include "modules/stages/stages.h"
#include "json/json.h"

static int copy(struct kit *kit, int from_fd, const char *path, const char *name)
{
	auto_close int from =
		fs_open_in_root(from_fd, path, O_RDONLY | O_NONBLOCK, 0, kit->err);
	auto_close int to = -EBADF;
	struct stat st;
	int r;

	if (from < 0)
		return from;
	if (fstat(from, &st) < 0 || !S_ISREG(st.st_mode))
		return err_set(kit->err, -EINVAL, "'%s' is not a regular file", path);
	to = openat(kit->tree_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (to < 0)
		return err_errno(kit->err, "make '%s'", name);
	r = fs_copy_data(from, to, (uint64_t)st.st_size, kit->err);
	return r < 0 ? err_prefix(kit->err, r, "'%s'", name) : 0;
}

int stage_kernel(struct kit *kit)
{
	static const char *const keys[] = {NULL};
	const char *input = kit_input_path(kit, "tree");
	auto_close int from = -EBADF;
	auto_free char *version = NULL;
	char path[512];
	int r = json_only_keys(kit->options, keys, "options", kit->err);

	if (r < 0 || !input)
		return -EINVAL;
	from = open(input, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (from < 0)
		return err_errno(kit->err, "open input '%s'", input);
	r = kernels_newest(from, &version, kit->err);
	if (r < 0)
		return r;
	(void)snprintf(path, sizeof(path), "boot/vmlinuz-%s", version);
	r = copy(kit, from, path, "vmlinuz");
	(void)snprintf(path, sizeof(path), "boot/initrd.img-%s", version);
	if (r == 0)
		r = copy(kit, from, path, "initrd.img");
	return r < 0 ? r : copy(kit, from, "etc/kernel/cmdline", "cmdline");
}
