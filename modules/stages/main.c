/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every stage in one static program, found by the name under which it is called, so that
 * a stage runs in any build root, even an empty one.
 */
#include <errno.h>
#include <iconv.h>

#include "modules/stages/stages.h"

/*
 * libarchive would convert names between character sets.  A static program must not:
 * glibc would load converters of the tree it runs in.  The linker takes these before
 * libc's.
 */
iconv_t iconv_open(const char *to, const char *from)
{
	(void)to;
	(void)from;
	errno = EINVAL;
	return (iconv_t)-1;
}

size_t iconv(iconv_t descriptor, char **in, size_t *in_left, char **out, size_t *out_left)
{
	(void)descriptor;
	(void)in;
	(void)in_left;
	(void)out;
	(void)out_left;
	errno = EBADF;
	return (size_t)-1;
}

int iconv_close(iconv_t descriptor)
{
	(void)descriptor;
	errno = EBADF;
	return -1;
}

static const struct kit_module modules[] = {
	{"org.coppice.apt.sources", stage_apt_sources},
	{"org.coppice.deb.configure", stage_deb_configure},
	{"org.coppice.deb.unpack", stage_deb_unpack},
	{"org.coppice.files", stage_files},
	{"org.coppice.hosts", stage_hosts},
	{"org.coppice.run", stage_run},
	{"org.osbuild.copy", stage_copy},
	{"org.osbuild.error", stage_error},
	{"org.osbuild.fstab", stage_fstab},
	{"org.osbuild.groups", stage_groups},
	{"org.osbuild.hostname", stage_hostname},
	{"org.osbuild.kernel-cmdline", stage_kernel_cmdline},
	{"org.osbuild.machine-id", stage_machine_id},
	{"org.osbuild.mkdir", stage_mkdir},
	{"org.osbuild.mkfs.ext4", stage_mkfs_ext4},
	{"org.osbuild.mkfs.fat", stage_mkfs_fat},
	{"org.osbuild.noop", stage_noop},
	{"org.osbuild.qemu", stage_qemu},
	{"org.osbuild.sfdisk", stage_sfdisk},
	{"org.osbuild.systemd", stage_systemd},
	{"org.osbuild.systemd.unit.create", stage_systemd_unit_create},
	{"org.osbuild.tar", stage_tar},
	{"org.osbuild.truncate", stage_truncate},
	{"org.osbuild.users", stage_users},
};

int main(int argc, char **argv)
{
	return kit_main(modules, ARRAY_SIZE(modules), argc, argv);
}
