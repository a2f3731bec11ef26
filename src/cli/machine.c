/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/machine.h"

#include <endian.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "base/process.h"
#include "base/text.h"

#define QEMU	  "qemu-system-x86_64"
#define SECTOR	  512
#define HEAD_SIZE ((size_t)(64 * SECTOR))
#define PROBE_MS  10000
/* What the probe's guest says on its way out, as QEMU makes an exit status of it. */
#define PROBE_WORD 0x10

static const char *const code_files[] = {"/usr/share/OVMF/OVMF_CODE_4M.fd",
					 "/usr/share/OVMF/OVMF_CODE.fd",
					 "/usr/share/edk2/x64/OVMF_CODE.4m.fd"};
static const char *const vars_files[] = {"/usr/share/OVMF/OVMF_VARS_4M.fd",
					 "/usr/share/OVMF/OVMF_VARS.fd",
					 "/usr/share/edk2/x64/OVMF_VARS.4m.fd"};
/* With the keys that computers are sold with. */
static const char *const secure_code_files[] = {"/usr/share/OVMF/OVMF_CODE_4M.ms.fd",
						"/usr/share/OVMF/OVMF_CODE.ms.fd"};
static const char *const secure_vars_files[] = {"/usr/share/OVMF/OVMF_VARS_4M.ms.fd",
						"/usr/share/OVMF/OVMF_VARS.ms.fd"};

void machine_done(struct machine *machine)
{
	free((char *)machine->image);
	free(machine->kernel);
	free(machine->initrd);
	free(machine->cmdline);
}

/* --- the image --- */

static bool is_directory(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static char *join(const char *directory, const char *name)
{
	char *path;

	return asprintf(&path, "%s/%s", directory, name) < 0 ? NULL : path;
}

static int look_in_directory(struct machine *machine, const char *path,
			     struct cop_error *err)
{
	static const char *const names[] = {"disk.raw", "disk.qcow2", "disk.vmdk",
					    "disk.vhd"};
	auto_free char *kernel = join(path, "vmlinuz"), *cmdline = NULL;
	auto_close int fd = -EBADF;
	auto_buf text = {};
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(names) && !machine->image; i++) {
		auto_free char *image = join(path, names[i]);

		if (image && access(image, F_OK) == 0)
			machine->image = TAKE_PTR(image);
	}
	if (!machine->image)
		return err_set(err, -ENOENT,
			       "boot '%s': no disk image is in this directory "
			       "(disk.raw, disk.qcow2, disk.vmdk or disk.vhd)",
			       path);
	if (!kernel || access(kernel, F_OK) < 0 || machine->firmware != MACHINE_AUTO)
		return 0;
	cmdline = join(path, "cmdline");
	machine->kernel = TAKE_PTR(kernel);
	machine->initrd = join(path, "initrd.img");
	fd = cmdline ? open(cmdline, O_RDONLY | O_CLOEXEC) : -1;
	if (fd < 0)
		return err_errno(err, "open '%s'", cmdline ? cmdline : path);
	r = fs_read_all(fd, 64 * KIB, &text, err);
	if (r < 0)
		return r;
	while (text.size > 0 && text.data[text.size - 1] == '\n')
		buf_truncate(&text, text.size - 1);
	machine->cmdline = strdup(buf_text(&text));
	machine->firmware = MACHINE_DIRECT;
	return machine->cmdline && machine->initrd ? 0 : err_oom(err);
}

static const char *format_of(const char *path, const char *head, size_t size)
{
	if (size >= 4 && memcmp(head, "QFI\xfb", 4) == 0)
		return "qcow2";
	if (size >= 4 && (memcmp(head, "KDMV", 4) == 0 || text_ends_with(path, ".vmdk")))
		return "vmdk";
	if (size >= 8 && memcmp(head, "conectix", 8) == 0)
		return "vpc";
	return text_ends_with(path, ".vhd") ? "vpc" : "raw";
}

/* The first sectors of the disk, whatever it is wrapped in. */
static int read_head(const struct machine *machine, struct buf *head,
		     struct cop_error *err)
{
	auto_free char *input = NULL;
	const char *argv[] = {"qemu-img", "dd",	 "-f",	   machine->format,
			      "-O",	  "raw", "bs=512", "count=64",
			      NULL,	  NULL,	 NULL};
	char output[] = "/tmp/coppice-head-XXXXXX";
	auto_close int fd = mkostemp(output, O_CLOEXEC);
	auto_buf target = {};
	int r;

	if (fd < 0)
		return err_errno(err, "make a file in /tmp");
	if (asprintf(&input, "if=%s", machine->image) < 0)
		input = NULL;
	(void)buf_printf(&target, "of=%s", output);
	argv[8] = input;
	argv[9] = buf_text(&target);
	r = !input || target.failed ? err_oom(err) : process_check(argv, NULL, NULL, err);
	(void)close(TAKE_FD(fd));
	if (r == 0) {
		fd = open(output, O_RDONLY | O_CLOEXEC);
		r = fd < 0 ? err_errno(err, "open '%s'", output)
			   : fs_read_all(fd, MIB, head, err);
	}
	(void)unlink(output);
	if (r == -ENOENT)
		return err_set(err, r, "boot '%s': needs qemu-img: install qemu-utils",
			       machine->image);
	return r;
}

/* A table of partitions, of whatever kind, or a FAT: what firmware can start from. */
static bool has_signature(const char *head, size_t size)
{
	return size >= SECTOR && (unsigned char)head[SECTOR - 2] == 0x55 &&
	       (unsigned char)head[SECTOR - 1] == 0xaa;
}

/* A partition for BIOS-GRUB and none for UEFI: BIOS.  Anything else: UEFI.  There is a
 * sector at least, which has the signature. */
static enum machine_firmware firmware_of(const char *head, size_t size)
{
	static const unsigned char esp[] = {0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8,
					    0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0,
					    0xc9, 0x3e, 0xc9, 0x3b};
	static const unsigned char bios[] = {0x48, 0x61, 0x68, 0x21, 0x49, 0x64,
					     0x6f, 0x6e, 0x74, 0x4e, 0x65, 0x65,
					     0x64, 0x45, 0x46, 0x49};
	bool has_bios = false;

	if (size < 3 * SECTOR || memcmp(head + SECTOR, "EFI PART", 8) != 0)
		return head[0] ? MACHINE_BIOS : MACHINE_UEFI;
	for (size_t at = 2 * SECTOR; at + 128 <= size && at < 34 * SECTOR; at += 128) {
		if (memcmp(head + at, esp, sizeof(esp)) == 0)
			return MACHINE_UEFI;
		has_bios = has_bios || memcmp(head + at, bios, sizeof(bios)) == 0;
	}
	return has_bios ? MACHINE_BIOS : MACHINE_UEFI;
}

int machine_look(struct machine *machine, const char *path, struct cop_error *err)
{
	auto_close int fd = -EBADF;
	auto_buf head = {};
	char start[16] = "";
	struct stat st;
	ssize_t n;
	int r = 0;

	if (is_directory(path))
		r = look_in_directory(machine, path, err);
	else
		machine->image = strdup(path);
	if (r < 0)
		return r;
	if (!machine->image)
		return err_oom(err);
	fd = open(machine->image, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return err_errno(err, "open '%s'", machine->image);
	if (fstat(fd, &st) < 0 || (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)))
		return err_set(err, -EINVAL, "boot '%s': not a disk image",
			       machine->image);
	n = fs_pread_full(fd, start, sizeof(start), 0);
	if (n < 0)
		return err_code(err, (int)n, "read '%s'", machine->image);
	machine->format = format_of(machine->image, start, (size_t)n);
	if (machine->firmware != MACHINE_AUTO)
		return 0;
	r = read_head(machine, &head, err);
	if (r < 0)
		return r;
	if (!has_signature(buf_text(&head), head.size))
		return err_set(err, -EINVAL,
			       "boot '%s': not a disk image: it begins with neither "
			       "partitions nor a FAT",
			       machine->image);
	machine->firmware = firmware_of(buf_text(&head), head.size);
	return 0;
}

/* --- KVM --- */

static bool cpu_can_virtualise(void)
{
	auto_close int fd = open("/proc/cpuinfo", O_RDONLY | O_CLOEXEC);
	auto_buf text = {};

	if (fd < 0 || fs_read_all(fd, 4 * MIB, &text, NULL) < 0)
		return false;
	return strstr(buf_text(&text), " vmx") || strstr(buf_text(&text), " svm");
}

/* A guest of one sector that leaves at once. */
static int run_probe(const char *sector)
{
	auto_free char *drive = NULL;
	const char *argv[] = {
		QEMU,	    "-accel",  "kvm",
		"-cpu",	    "host",    "-nodefaults",
		"-display", "none",    "-m",
		"32",	    "-device", "isa-debug-exit,iobase=0xf4,iosize=0x04",
		"-drive",   NULL,      NULL};
	int status = 0, r;

	if (asprintf(&drive, "file=%s,format=raw,snapshot=on", sector) < 0) {
		drive = NULL;
		return -ENOMEM;
	}
	argv[13] = drive;
	r = process_run(&(struct process_options){.argv = argv, .timeout_ms = PROBE_MS},
			&status, NULL);
	if (r < 0)
		return r;
	return WIFEXITED(status) && WEXITSTATUS(status) == (PROBE_WORD << 1 | 1) ? 0
										 : -EIO;
}

bool machine_probe_kvm(const char **reason)
{
	/* mov al, PROBE_WORD; out 0xf4, al; hlt; jmp to itself */
	static const unsigned char code[] = {0xb0, PROBE_WORD, 0xe6, 0xf4,
					     0xf4, 0xeb,       0xfd};
	unsigned char sector[SECTOR] = {};
	char path[] = "/tmp/coppice-probe-XXXXXX";
	auto_close int fd = -EBADF;
	int r;

	*reason = "there is no /dev/kvm that we may use";
	if (access("/dev/kvm", R_OK | W_OK) < 0)
		return false;
	/* Without the processor's help there may still be a /dev/kvm, with which real
	 * kernels stand still. */
	*reason = "the processor shows neither vmx nor svm";
	if (!cpu_can_virtualise())
		return false;
	*reason = "a guest of one sector did not run with it";
	memcpy(sector, code, sizeof(code));
	sector[SECTOR - 2] = 0x55;
	sector[SECTOR - 1] = 0xaa;
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return false;
	r = fs_write_all(fd, sector, sizeof(sector));
	if (r == 0)
		r = run_probe(path);
	(void)unlink(path);
	return r == 0;
}

/* --- the command --- */

static const char *find_file(const char *const *paths, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (access(paths[i], R_OK) == 0)
			return paths[i];
	return NULL;
}

static int add_firmware(const struct machine *machine, struct words *words,
			struct cop_error *err)
{
	const char *code, *vars;

	if (machine->firmware == MACHINE_DIRECT) {
		words_add(words, "-kernel", machine->kernel, "-initrd", machine->initrd,
			  "-append", machine->cmdline, NULL);
		return 0;
	}
	if (machine->firmware != MACHINE_UEFI)
		return 0;
	code = machine->secure_boot
		       ? find_file(secure_code_files, ARRAY_SIZE(secure_code_files))
		       : find_file(code_files, ARRAY_SIZE(code_files));
	vars = machine->secure_boot
		       ? find_file(secure_vars_files, ARRAY_SIZE(secure_vars_files))
		       : find_file(vars_files, ARRAY_SIZE(vars_files));
	if (!code || !vars)
		return err_set(err, -ENOENT,
			       "boot '%s': there is no UEFI firmware for QEMU: install "
			       "the package ovmf",
			       machine->image);
	words_add(words, "-drive", NULL);
	words_printf(words, "if=pflash,format=raw,readonly=on,file=%s", code);
	words_add(words, "-drive", NULL);
	words_printf(words, "if=pflash,format=raw,snapshot=on,file=%s", vars);
	return 0;
}

/* A comma in a file's name is written twice. */
static void add_disk(const struct machine *machine, struct words *words)
{
	auto_buf name = {};

	for (const char *c = machine->image; *c; c++)
		(void)buf_printf(&name, *c == ',' ? ",%c" : "%c", *c);
	words_add(words, "-drive", NULL);
	words_printf(words, "if=none,id=disk,format=%s,snapshot=%s,file=%s",
		     machine->format, machine->persist ? "off" : "on", buf_text(&name));
	words_add(words, "-device", "virtio-blk-pci,drive=disk,bootindex=1", NULL);
}

static void add_network(const struct machine *machine, struct words *words)
{
	words_add(words, "-netdev", NULL);
	if (machine->ssh_port)
		words_printf(words, "user,id=net,hostfwd=tcp:127.0.0.1:%u-:22",
			     machine->ssh_port);
	else
		words_add(words, "user,id=net", NULL);
	/* Nothing is booted over the network. */
	words_add(words, "-device", "virtio-net-pci,netdev=net,romfile=", NULL);
}

int machine_command(const struct machine *machine, bool interactive, struct words *words,
		    struct cop_error *err)
{
	words_add(words, QEMU, "-machine", NULL);
	words_printf(words, "q35%s,accel=%s", machine->secure_boot ? ",smm=on" : "",
		     machine->with_kvm ? "kvm" : "tcg");
	words_add(words, "-cpu", machine->with_kvm ? "host" : "max", "-smp", NULL);
	words_printf(words, "%u", machine->n_cpus);
	words_add(words, "-m", NULL);
	words_printf(words, "%u", machine->memory_mib);
	words_add(words, "-nodefaults", "-no-user-config", "-display", "none", "-device",
		  "virtio-rng-pci", "-serial", interactive ? "mon:stdio" : "stdio", NULL);
	if (machine->secure_boot)
		words_add(words, "-global",
			  "driver=cfi.pflash01,property=secure,value=on", NULL);
	add_disk(machine, words);
	add_network(machine, words);
	return add_firmware(machine, words, err);
}
