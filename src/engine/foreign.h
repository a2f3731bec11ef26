/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trees of another architecture: their programs run here only when the kernel can, by
 * itself (i386 on amd64) or through binfmt_misc.  That is tried before the first stage,
 * with a program of a few instructions.
 */
#pragma once

#include "engine/run.h"

/*
 * foreign_can_run() - 1 when programs of this architecture of Debian run here in a tree
 * that holds nothing else, 0 when not, with the reason in @why
 * @work_fd, @work_path: a directory of ours, on a file system that programs may run from
 *
 * An architecture that is not known here counts as one that runs: nothing can be tried.
 * Return: 0, 1, or a negative errno.
 */
int foreign_can_run(const char *architecture, int work_fd, const char *work_path,
		    int cancel_fd, char *why, size_t size, struct cop_error *err);

/* foreign_program() - a whole ELF file for it that ends with status 0, appended to @elf.
 * -ENOENT: the architecture is not known. */
int foreign_program(const char *architecture, struct buf *elf);

/* foreign_check() - can the trees that are to be built run their programs?  -ENOEXEC,
 * naming the pipeline and what would help */
int foreign_check(struct run *run, struct cop_error *err);
