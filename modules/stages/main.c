/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every stage and runner in one static program, found by the name under which it is
 * called, so that a stage runs in any build root, even an empty one.
 */
#include "modules/runners/runners.h"
#include "modules/stages/stages.h"

static const struct kit_module modules[] = {
	{"org.coppice.apt.sources", stage_apt_sources},
	{"org.coppice.boot.grub", stage_boot_grub},
	{"org.coppice.boot.systemd", stage_boot_systemd},
	{"org.coppice.deb.configure", stage_deb_configure},
	{"org.coppice.deb.unpack", stage_deb_unpack},
	{"org.coppice.disk", stage_disk},
	{"org.coppice.debconf", stage_debconf},
	{"org.coppice.directories", stage_directories},
	{"org.coppice.keyboard", stage_keyboard},
	{"org.coppice.locale", stage_locale},
	{"org.coppice.timezone", stage_timezone},
	{"org.coppice.files", stage_files},
	{"org.coppice.hosts", stage_hosts},
	{"org.coppice.initramfs", stage_initramfs},
	{"org.coppice.kernel", stage_kernel},
	{"org.coppice.run", stage_run},
	{"org.coppice.secrets", stage_secrets},
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
	if (argc > 0 && runner_is_meant(argv[0]))
		return runner_main(argc, argv);
	return kit_main(modules, ARRAY_SIZE(modules), argc, argv);
}
