/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every stage in one static program, found by the name under which it is called, so that
 * a stage runs in any build root, even an empty one.
 */
#include <errno.h>
#include <iconv.h>
#include <string.h>

#include "modules/stages/stages.h"

/*
 * libarchive converts names that pax headers give in UTF-8.  A static program must not:
 * glibc would load converters of the tree it runs in.  Names are bytes, so the conversion
 * is to leave them alone; other character sets are refused.  The linker takes these
 * before libc's.
 */
#define CONVERTER ((iconv_t)&converter)

static char converter;

iconv_t iconv_open(const char *to, const char *from)
{
	if (strcmp(to, "UTF-8") != 0 && strcmp(from, "UTF-8") != 0) {
		errno = EINVAL;
		return (iconv_t)-1;
	}
	return CONVERTER;
}

size_t iconv(iconv_t descriptor, char **in, size_t *in_left, char **out, size_t *out_left)
{
	size_t n;

	if (descriptor != CONVERTER) {
		errno = EBADF;
		return (size_t)-1;
	}
	if (!in || !*in)
		return 0;
	n = *in_left < *out_left ? *in_left : *out_left;
	memcpy(*out, *in, n);
	*in += n;
	*out += n;
	*in_left -= n;
	*out_left -= n;
	if (*in_left == 0)
		return 0;
	errno = E2BIG;
	return (size_t)-1;
}

int iconv_close(iconv_t descriptor)
{
	(void)descriptor;
	return 0;
}

static const struct kit_module modules[] = {
	{"org.coppice.apt.sources", stage_apt_sources},
	{"org.coppice.boot.grub", stage_boot_grub},
	{"org.coppice.boot.systemd", stage_boot_systemd},
	{"org.coppice.deb.configure", stage_deb_configure},
	{"org.coppice.deb.unpack", stage_deb_unpack},
	{"org.coppice.disk", stage_disk},
	{"org.coppice.files", stage_files},
	{"org.coppice.hosts", stage_hosts},
	{"org.coppice.initramfs", stage_initramfs},
	{"org.coppice.kernel", stage_kernel},
	{"org.coppice.run", stage_run},
	{"org.osbuild.chmod", stage_chmod},
	{"org.osbuild.chown", stage_chown},
	{"org.osbuild.copy", stage_copy},
	{"org.osbuild.erofs", stage_erofs},
	{"org.osbuild.error", stage_error},
	{"org.osbuild.fstab", stage_fstab},
	{"org.osbuild.groups", stage_groups},
	{"org.osbuild.hostname", stage_hostname},
	{"org.osbuild.kernel-cmdline", stage_kernel_cmdline},
	{"org.osbuild.ln", stage_ln},
	{"org.osbuild.machine-id", stage_machine_id},
	{"org.osbuild.mkdir", stage_mkdir},
	{"org.osbuild.mkfs.ext4", stage_mkfs_ext4},
	{"org.osbuild.mkfs.fat", stage_mkfs_fat},
	{"org.osbuild.noop", stage_noop},
	{"org.osbuild.oci-archive", stage_oci_archive},
	{"org.osbuild.qemu", stage_qemu},
	{"org.osbuild.sfdisk", stage_sfdisk},
	{"org.osbuild.squashfs", stage_squashfs},
	{"org.osbuild.systemd", stage_systemd},
	{"org.osbuild.systemd.unit.create", stage_systemd_unit_create},
	{"org.osbuild.tar", stage_tar},
	{"org.osbuild.truncate", stage_truncate},
	{"org.osbuild.untar", stage_untar},
	{"org.osbuild.users", stage_users},
	{"org.osbuild.xz", stage_xz},
	{"org.osbuild.zstd", stage_zstd},
};

int main(int argc, char **argv)
{
	return kit_main(modules, ARRAY_SIZE(modules), argc, argv);
}
