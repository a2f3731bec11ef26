/* SPDX-License-Identifier: Apache-2.0 */
/* The stages of the static program; each is described in its NAME.meta.json and returns
 * as struct kit_module.run does. */
#pragma once

#include "modkit/kit.h"

int stage_apt_sources(struct kit *kit);
int stage_boot_grub(struct kit *kit);
int stage_boot_systemd(struct kit *kit);
int stage_chmod(struct kit *kit);
int stage_chown(struct kit *kit);
int stage_copy(struct kit *kit);
int stage_debconf(struct kit *kit);
int stage_directories(struct kit *kit);
int stage_keyboard(struct kit *kit);
int stage_locale(struct kit *kit);
int stage_timezone(struct kit *kit);
int stage_deb_configure(struct kit *kit);
int stage_deb_unpack(struct kit *kit);
int stage_disk(struct kit *kit);
int stage_erofs(struct kit *kit);
int stage_error(struct kit *kit);
int stage_files(struct kit *kit);
int stage_fstab(struct kit *kit);
int stage_groups(struct kit *kit);
int stage_hostname(struct kit *kit);
int stage_hosts(struct kit *kit);
int stage_initramfs(struct kit *kit);
int stage_kernel(struct kit *kit);
int stage_kernel_cmdline(struct kit *kit);
int stage_ln(struct kit *kit);
int stage_machine_id(struct kit *kit);
int stage_mkdir(struct kit *kit);
int stage_mkfs_ext4(struct kit *kit);
int stage_mkfs_fat(struct kit *kit);
int stage_noop(struct kit *kit);
int stage_oci_archive(struct kit *kit);
int stage_qemu(struct kit *kit);
int stage_run(struct kit *kit);
int stage_secrets(struct kit *kit);
int stage_sfdisk(struct kit *kit);
int stage_squashfs(struct kit *kit);
int stage_systemd(struct kit *kit);
int stage_systemd_unit_create(struct kit *kit);
int stage_tar(struct kit *kit);
int stage_truncate(struct kit *kit);
int stage_untar(struct kit *kit);
int stage_users(struct kit *kit);
int stage_xz(struct kit *kit);
int stage_zstd(struct kit *kit);
