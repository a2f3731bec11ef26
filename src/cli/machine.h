/* SPDX-License-Identifier: Apache-2.0 */
/* A virtual machine that runs a disk image: QEMU's command line, and what it needs from
 * the host. */
#pragma once

#include "base/words.h"
#include "cli/cli.h"

enum machine_firmware {
	MACHINE_AUTO,
	MACHINE_UEFI,
	MACHINE_BIOS,
	MACHINE_DIRECT,
};

/*
 * struct machine
 * @image:   path of the disk
 * @format:  as QEMU calls it; filled by machine_look()
 * @kernel, @initrd, @cmdline: for MACHINE_DIRECT; paths, and text
 * @ssh_port: of this host that leads to the guest's 22; 0: none
 * @with_kvm: the probe found that it works
 */
struct machine {
	const char *image;
	const char *format;
	enum machine_firmware firmware;
	char *kernel, *initrd, *cmdline;
	unsigned int memory_mib, n_cpus, ssh_port;
	bool persist, secure_boot, with_kvm;
};

void machine_done(struct machine *machine);

/*
 * machine_look() - what kind of image is it, and how does it boot?
 *
 * An exported directory stands for the disk in it; one with a kernel beside the disk is
 * booted with that.  Return: 0; -ENOENT; -EINVAL for what is no disk image.
 */
int machine_look(struct machine *machine, const char *path, struct cop_error *err);

/* machine_probe_kvm() - does a guest really run?  @reason says why not. */
bool machine_probe_kvm(const char **reason);

/* machine_command() - the words of QEMU; @interactive: the terminal is the guest's serial
 * line.  -ENOENT names the package that is missing. */
int machine_command(const struct machine *machine, bool interactive, struct words *words,
		    struct cop_error *err);
