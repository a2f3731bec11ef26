/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GRUB for BIOS in the tree: its modules, its core image and the configuration that the
 * tree's own update-grub writes, as it will again with every new kernel.  Nothing of the
 * disk is there yet, so grub-probe is answered from the options.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/process.h"
#include "modkit/command.h"
#include "modkit/options.h"
#include "modkit/root.h"
#include "modules/stages/stages.h"

#define SHIM	 "/tmp/grub-probe"
#define BY_UUID	 "/dev/disk/by-uuid"
#define MKIMAGE	 "usr/bin/grub-mkimage"
#define PLATFORM "usr/lib/grub/i386-pc"

/* $1: the root file system's UUID */
static const char script[] =
	"set -e\n"
	"mkdir -p /boot/grub/i386-pc\n"
	"cp /" PLATFORM "/*.mod /" PLATFORM "/*.lst /" PLATFORM "/boot.img "
	"/boot/grub/i386-pc/\n"
	"echo \"search.fs_uuid $1 root\" > /tmp/early.cfg\n"
	"echo 'set prefix=($root)/boot/grub' >> /tmp/early.cfg\n"
	"grub-mkimage -O i386-pc -d /" PLATFORM " -p /boot/grub -c /tmp/early.cfg "
	"-o /boot/grub/i386-pc/core.img biosdisk part_gpt ext2 search_fs_uuid\n"
	"exec update-grub\n";

static int write_shim(struct kit *kit, const char *uuid)
{
	auto_close int fd = -EBADF;
	auto_buf text = {};
	int r;

	(void)buf_printf(&text,
			 "#!/bin/sh\n"
			 "for word; do case $word in\n"
			 "--target=device) echo /dev/vda2 ;;\n"
			 "--target=disk) echo /dev/vda ;;\n"
			 "--target=fs_uuid) echo %s ;;\n"
			 "--target=fs) echo ext2 ;;\n"
			 "--target=partmap) echo gpt ;;\n"
			 "--target=drive) echo '(hd0,gpt2)' ;;\n"
			 "--target=compatibility_hint) echo hd0,gpt2 ;;\n"
			 "esac; done\n",
			 uuid);
	fd = open(SHIM, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
	if (fd < 0)
		return err_errno(kit->err, "write '%s'", SHIM);
	r = text.failed ? -ENOMEM : fs_write_all(fd, text.data, text.size);
	return r < 0 ? err_code(kit->err, r, "write '%s'", SHIM) : 0;
}

/* update-grub writes root=UUID= only where it sees the device of that name. */
static int make_device(struct kit *kit, const char *uuid)
{
	char path[128];
	int r = fs_make_dirs(AT_FDCWD, BY_UUID, 0755, kit->err);
	auto_close int fd = -EBADF;

	if (r < 0)
		return r;
	(void)snprintf(path, sizeof(path), BY_UUID "/%s", uuid);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	return fd < 0 ? err_errno(kit->err, "make '%s'", path) : 0;
}

static void keep_output(void *data, const char *bytes, size_t size)
{
	command_log(NULL, bytes, size);
	process_keep_tail(data, bytes, size);
}

static int run(struct kit *kit, const char *uuid)
{
	const char *argv[] = {"/bin/sh", "-c", script, "sh", uuid, NULL};
	const struct command_bind binds[] = {{SHIM, "usr/sbin/grub-probe"}};
	auto_buf tail = {};
	const struct command command = {
		.argv = argv,
		.binds = binds,
		.n_binds = ARRAY_SIZE(binds),
		.on_output = keep_output,
		.data = &tail,
	};
	char how[64], line[512];
	int status = 0, r = command_run(kit, &command, &status);

	if (r < 0 || status == 0)
		return r;
	return err_set(kit->err, -ECHILD, "set up GRUB: %s: %s",
		       process_describe(status, how, sizeof(how)),
		       process_last_line(buf_text(&tail), line, sizeof(line)));
}

int stage_boot_grub(struct kit *kit)
{
	static const char *const wanted[] = {PLATFORM "/boot.img", MKIMAGE,
					     "usr/sbin/update-grub"};
	const char *uuid = NULL;
	const struct option options[] = {NEEDED_TEXT("root-fs-uuid", uuid)};
	struct stat st;
	int r = options_only(kit->options, "options", options, ARRAY_SIZE(options),
			     kit->err);

	if (r < 0)
		return r;
	if (strlen(uuid) > 64 || strspn(uuid, "0123456789abcdefABCDEF-") != strlen(uuid))
		return err_set(kit->err, -EINVAL, "root-fs-uuid: '%s' is not a UUID",
			       uuid);
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
		if (root_stat(kit->tree_fd, wanted[i], &st, NULL) < 0)
			return err_set(kit->err, -ENOENT,
				       "the tree has no '%s': add the packages "
				       "grub-pc-bin and grub2-common",
				       wanted[i]);
	r = write_shim(kit, uuid);
	if (r == 0)
		r = make_device(kit, uuid);
	return r < 0 ? r : run(kit, uuid);
}
