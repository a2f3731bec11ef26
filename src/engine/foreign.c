/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/foreign.h"

#include <elf.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/fs.h"
#include "base/process.h"
#include "json/json.h"

#define PROBE_DIR  "foreign"
#define TIMEOUT_MS 20000
#define LOAD_AT	   UINT64_C(0x400000)

/*
 * struct machine - what a program of an architecture looks like
 * @uname: of a kernel that runs it without further ado
 * @code:  the system call that ends a process, with status 0
 */
struct machine {
	const char *architecture, *uname;
	uint16_t elf;
	uint32_t flags;
	bool is_64, is_big;
	unsigned char code[16];
	unsigned char code_size;
};

static const struct machine machines[] = {
	{"amd64", "x86_64", EM_X86_64, 0, true, false,
	 "\x31\xff\xb8\x3c\x00\x00\x00\x0f\x05", 9},
	{"arm64", "aarch64", EM_AARCH64, 0, true, false,
	 "\x00\x00\x80\xd2\xa8\x0b\x80\xd2\x01\x00\x00\xd4", 12},
	{"armel", "armv5l", EM_ARM, 0x05000200, false, false,
	 "\x00\x00\xa0\xe3\x01\x70\xa0\xe3\x00\x00\x00\xef", 12},
	{"armhf", "armv7l", EM_ARM, 0x05000400, false, false,
	 "\x00\x00\xa0\xe3\x01\x70\xa0\xe3\x00\x00\x00\xef", 12},
	{"i386", "i686", EM_386, 0, false, false, "\x31\xdb\xb8\x01\x00\x00\x00\xcd\x80",
	 9},
	{"mips64el", "mips64", EM_MIPS, 0x80000007, true, false,
	 "\xc2\x13\x02\x24\x25\x20\x00\x00\x0c\x00\x00\x00", 12},
	{"mipsel", "mips", EM_MIPS, 0x70001007, false, false,
	 "\xa1\x0f\x02\x24\x25\x20\x00\x00\x0c\x00\x00\x00", 12},
	{"ppc64el", "ppc64le", EM_PPC64, 2, true, false,
	 "\x01\x00\x00\x38\x00\x00\x60\x38\x02\x00\x00\x44", 12},
	{"riscv64", "riscv64", EM_RISCV, 5, true, false,
	 "\x93\x08\xd0\x05\x13\x05\x00\x00\x73\x00\x00\x00", 12},
	{"s390x", "s390x", EM_S390, 0, true, true, "\xa7\x29\x00\x00\x0a\x01", 6},
};

static const struct machine *find(const char *architecture)
{
	for (size_t i = 0; i < ARRAY_SIZE(machines); i++)
		if (strcmp(machines[i].architecture, architecture) == 0)
			return &machines[i];
	return NULL;
}

/* @size bytes of a number in the machine's order. */
static void put(struct buf *elf, const struct machine *machine, uint64_t value,
		size_t size)
{
	for (size_t i = 0; i < size; i++) {
		size_t byte = machine->is_big ? size - 1 - i : i;

		(void)buf_append_char(elf, (char)(value >> (8 * byte)));
	}
}

static void put_segment(struct buf *elf, const struct machine *machine, uint64_t total)
{
	const size_t word = machine->is_64 ? 8 : 4;

	put(elf, machine, PT_LOAD, 4);
	if (machine->is_64)
		put(elf, machine, PF_R | PF_X, 4);
	put(elf, machine, 0, word);
	put(elf, machine, LOAD_AT, word);
	put(elf, machine, LOAD_AT, word);
	put(elf, machine, total, word);
	put(elf, machine, total, word);
	if (!machine->is_64)
		put(elf, machine, PF_R | PF_X, 4);
	put(elf, machine, 0x10000, word);
}

int foreign_program(const char *architecture, struct buf *elf)
{
	const struct machine *machine = find(architecture);
	size_t word, head, segment;

	if (!machine)
		return -ENOENT;
	word = machine->is_64 ? 8 : 4;
	head = machine->is_64 ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr);
	segment = machine->is_64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
	(void)buf_append(elf, ELFMAG, SELFMAG);
	(void)buf_append_char(elf, machine->is_64 ? ELFCLASS64 : ELFCLASS32);
	(void)buf_append_char(elf, machine->is_big ? ELFDATA2MSB : ELFDATA2LSB);
	(void)buf_append_char(elf, EV_CURRENT);
	for (size_t i = EI_OSABI; i < EI_NIDENT; i++)
		(void)buf_append_char(elf, 0);
	put(elf, machine, ET_EXEC, 2);
	put(elf, machine, machine->elf, 2);
	put(elf, machine, EV_CURRENT, 4);
	put(elf, machine, LOAD_AT + head + segment, word);
	put(elf, machine, head, word);
	put(elf, machine, 0, word);
	put(elf, machine, machine->flags, 4);
	put(elf, machine, head, 2);
	put(elf, machine, segment, 2);
	put(elf, machine, 1, 2);
	for (size_t i = 0; i < 3; i++)
		put(elf, machine, 0, 2);
	put_segment(elf, machine, head + segment + machine->code_size);
	(void)buf_append(elf, machine->code, machine->code_size);
	return elf->failed ? -ENOMEM : 0;
}

static bool is_own(const struct machine *machine)
{
	struct utsname name;

	return uname(&name) == 0 && strcmp(name.machine, machine->uname) == 0;
}

static void keep_words(void *data, const char *bytes, size_t size)
{
	process_keep_tail(data, bytes, size);
}

/* In a root of its own: an interpreter that the kernel does not hold open itself is not
 * to be found in a tree either. */
static int try_program(const char *work_path, int cancel_fd, char *why, size_t size,
		       struct cop_error *err)
{
	auto_buf root = {}, words = {};
	char how[160];
	int status = 0, r;

	if (buf_printf(&root, "%s/" PROBE_DIR, work_path) < 0)
		return err_oom(err);
	const char *const argv[] = {"bwrap", "--bind", root.data, "/",
				    "--",    "/probe", NULL};
	r = process_run(&(struct process_options){.argv = argv,
						  .on_output = keep_words,
						  .data = &words,
						  .cancel_fd = cancel_fd,
						  .timeout_ms = TIMEOUT_MS},
			&status, err);
	if (r == -ETIMEDOUT) {
		(void)snprintf(why, size, "they do not end");
		return 0;
	}
	if (r < 0)
		return r;
	if (status == 0)
		return 1;
	process_last_line(buf_text(&words), why, size);
	if (!*why)
		(void)snprintf(why, size, "%s",
			       process_describe(status, how, sizeof(how)));
	return 0;
}

int foreign_can_run(const char *architecture, int work_fd, const char *work_path,
		    int cancel_fd, char *why, size_t size, struct cop_error *err)
{
	const struct machine *machine = find(architecture);
	auto_buf elf = {};
	int r;

	if (!machine || is_own(machine))
		return 1;
	if (foreign_program(architecture, &elf) < 0)
		return err_oom(err);
	if (mkdirat(work_fd, PROBE_DIR, 0755) < 0)
		return err_errno(err, "make '%s/" PROBE_DIR "'", work_path);
	r = fs_write_new(work_fd, PROBE_DIR "/probe", elf.data, elf.size, 0755, err);
	if (r == 0)
		r = try_program(work_path, cancel_fd, why, size, err);
	(void)fs_remove_all(work_fd, PROBE_DIR, true, NULL);
	return r;
}

/* Where the tree's own programs will run; NULL: in no stage. */
static const char *architecture_of(const struct run_pipeline *pipeline)
{
	for (size_t i = 0; i < pipeline->pipeline->n_stages; i++) {
		const struct manifest_stage *stage = &pipeline->pipeline->stages[i];
		const json_t *name = json_object_get(stage->options, "architecture");

		if (strcmp(stage->type, "org.coppice.deb.unpack") == 0)
			return json_string_value(name);
	}
	return NULL;
}

static int check_pipeline(struct run *run, const struct run_pipeline *pipeline,
			  struct cop_error *err)
{
	const char *architecture = architecture_of(pipeline);
	char why[256] = "";
	int r;

	if (!architecture)
		return 0;
	r = foreign_can_run(architecture, workdir_fd(run->workdir),
			    workdir_path(run->workdir), run->options->cancel_fd, why,
			    sizeof(why), err);
	if (r != 0)
		return r < 0 ? r : 0;
	return err_set(err, -ENOEXEC,
		       "pipeline '%s': programs for %s do not run here, which its "
		       "packages need (%s); install the packages qemu-user-static and "
		       "binfmt-support, and see that binfmt_misc is mounted",
		       pipeline->pipeline->name, architecture, why);
}

int foreign_check(struct run *run, struct cop_error *err)
{
	int r = 0;

	for (size_t i = 0; i < run->manifest->n_pipelines && r == 0; i++)
		if (run->pipelines[i].is_needed &&
		    run->pipelines[i].first < run->pipelines[i].pipeline->n_stages)
			r = check_pipeline(run, &run->pipelines[i], err);
	return r;
}
