/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System calls that nothing in a sandbox has any business with, in every calling
 * convention of the machine.
 *
 * A stage is root in the initial user namespace, since it makes devices and file systems;
 * what it could do to the host beside is refused here: other kernels, modules, clocks,
 * keys, handles of files that it cannot see, and memory of processes that are not its
 * children.  fsync and its kin do nothing.
 */
#include <fcntl.h>
#include <pthread.h>
#include <seccomp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>

#include "base/fs.h"
#include "engine/sandbox.h"

/* The commit makes a tree durable.  msync stays: it also makes mapped writes visible, and
 * nobody calls it much. */
static const int no_ops[] = {
	SCMP_SYS(fsync),  SCMP_SYS(fdatasync),	     SCMP_SYS(sync),
	SCMP_SYS(syncfs), SCMP_SYS(sync_file_range),
};

static const int refused[] = {
	/* keyrings, which no namespace separates */
	SCMP_SYS(add_key),
	SCMP_SYS(request_key),
	SCMP_SYS(keyctl),
	/* the kernel itself */
	SCMP_SYS(kexec_load),
	SCMP_SYS(kexec_file_load),
	SCMP_SYS(init_module),
	SCMP_SYS(finit_module),
	SCMP_SYS(delete_module),
	SCMP_SYS(create_module),
	SCMP_SYS(query_module),
	SCMP_SYS(get_kernel_syms),
	SCMP_SYS(reboot),
	SCMP_SYS(swapon),
	SCMP_SYS(swapoff),
	SCMP_SYS(acct),
	SCMP_SYS(nfsservctl),
	SCMP_SYS(syslog),
	SCMP_SYS(iopl),
	SCMP_SYS(ioperm),
	SCMP_SYS(vhangup),
	SCMP_SYS(bpf),
	SCMP_SYS(perf_event_open),
	SCMP_SYS(lookup_dcookie),
	SCMP_SYS(userfaultfd),
	SCMP_SYS(_sysctl),
	SCMP_SYS(quotactl),
	SCMP_SYS(quotactl_fd),
	/* clocks */
	SCMP_SYS(clock_settime),
	SCMP_SYS(clock_settime64),
	SCMP_SYS(clock_adjtime),
	SCMP_SYS(clock_adjtime64),
	SCMP_SYS(settimeofday),
	SCMP_SYS(adjtimex),
	SCMP_SYS(stime),
	/* files by handle, past every mount and namespace: the store's, too */
	SCMP_SYS(open_by_handle_at),
	/* other processes */
	SCMP_SYS(process_vm_readv),
	SCMP_SYS(process_vm_writev),
	SCMP_SYS(kcmp),
	SCMP_SYS(pidfd_getfd),
	SCMP_SYS(process_madvise),
};

/* Here programs have another way where the kernel is too old for it. */
static const int unknown[] = {
	SCMP_SYS(io_uring_setup),
	SCMP_SYS(io_uring_enter),
	SCMP_SYS(io_uring_register),
};

/* Pushing characters into the caller's terminal would run them after us. */
static const uint32_t refused_ioctls[] = {TIOCSTI, TIOCLINUX};

/* Of children one may trace what one likes. */
static const uint32_t refused_ptraces[] = {PTRACE_ATTACH, PTRACE_SEIZE};

/* Calls that an architecture does not have are left out there. */
static int add(scmp_filter_ctx filter, const int *calls, size_t n_calls, uint32_t action)
{
	int r = 0;

	for (size_t i = 0; i < n_calls && r >= 0; i++)
		if (calls[i] != __NR_SCMP_ERROR)
			r = seccomp_rule_add(filter, action, calls[i], 0);
	return r;
}

static int add_arguments(scmp_filter_ctx filter)
{
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(refused_ioctls) && r == 0; i++)
		r = seccomp_rule_add(
			filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ioctl), 1,
			SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffffu, refused_ioctls[i]));
	for (size_t i = 0; i < ARRAY_SIZE(refused_ptraces) && r == 0; i++)
		r = seccomp_rule_add(
			filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ptrace), 1,
			SCMP_A0(SCMP_CMP_MASKED_EQ, 0xffffffffu, refused_ptraces[i]));
	return r;
}

/* Programs for 32 bits run, too, and meet the same rules. */
static int add_conventions(scmp_filter_ctx filter)
{
	static const struct {
		uint32_t native, other;
	} others[] = {
		{SCMP_ARCH_X86_64, SCMP_ARCH_X86},  {SCMP_ARCH_X86_64, SCMP_ARCH_X32},
		{SCMP_ARCH_AARCH64, SCMP_ARCH_ARM}, {SCMP_ARCH_S390X, SCMP_ARCH_S390},
		{SCMP_ARCH_PPC64, SCMP_ARCH_PPC},
	};

	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		int r = 0;

		if (others[i].native == seccomp_arch_native())
			r = seccomp_arch_add(filter, others[i].other);
		if (r < 0 && r != -EEXIST)
			return r;
	}
	return 0;
}

static int fill(scmp_filter_ctx filter)
{
	int r = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));

	/* A search in a tree, where the library knows it; else rule after rule. */
	(void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (r == 0)
		r = add_conventions(filter);
	if (r == 0)
		r = add(filter, no_ops, ARRAY_SIZE(no_ops), SCMP_ACT_ERRNO(0));
	if (r == 0)
		r = add(filter, refused, ARRAY_SIZE(refused), SCMP_ACT_ERRNO(EPERM));
	if (r == 0)
		r = add(filter, unknown, ARRAY_SIZE(unknown), SCMP_ACT_ERRNO(ENOSYS));
	return r == 0 ? add_arguments(filter) : r;
}

/* The same for every sandbox of the process, and 2 ms to make. */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct buf program;
static struct cop_error failure;

static int make_program(struct cop_error *err)
{
	auto_close int fd = memfd_create("coppice-filter", MFD_CLOEXEC);
	scmp_filter_ctx filter;
	int r;

	if (fd < 0)
		return err_errno(err, "make a memory file");
	filter = seccomp_init(SCMP_ACT_ALLOW);
	if (!filter)
		return err_oom(err);
	r = fill(filter);
	if (r == 0)
		r = seccomp_export_bpf(filter, fd);
	seccomp_release(filter);
	if (r < 0)
		return err_code(err, r, "make the filter of system calls");
	if (lseek(fd, 0, SEEK_SET) < 0)
		return err_errno(err, "rewind a memory file");
	return fs_read_all(fd, 1 * MIB, &program, err);
}

static void make_once(void)
{
	(void)make_program(&failure);
}

int sandbox_filter_fd(struct cop_error *err)
{
	(void)pthread_once(&once, make_once);
	if (failure.code < 0)
		return err_copy(err, &failure);
	return sandbox_data_fd(program.data, program.size, err);
}
