/* SPDX-License-Identifier: Apache-2.0 */
/* Small programs for other machines. */
#include "testlib.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/process.h"
#include "engine/foreign.h"

static void each_architecture_has_a_program_of_its_machine(void **state)
{
	static const struct {
		const char *name;
		unsigned char class, data;
		unsigned int machine;
	} wanted[] = {
		{"amd64", ELFCLASS64, ELFDATA2LSB, EM_X86_64},
		{"arm64", ELFCLASS64, ELFDATA2LSB, EM_AARCH64},
		{"armhf", ELFCLASS32, ELFDATA2LSB, EM_ARM},
		{"i386", ELFCLASS32, ELFDATA2LSB, EM_386},
		{"mips64el", ELFCLASS64, ELFDATA2LSB, EM_MIPS},
		{"ppc64el", ELFCLASS64, ELFDATA2LSB, EM_PPC64},
		{"riscv64", ELFCLASS64, ELFDATA2LSB, EM_RISCV},
		{"s390x", ELFCLASS64, ELFDATA2MSB, EM_S390},
	};
	auto_buf none = {};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		const bool is_big = wanted[i].data == ELFDATA2MSB;
		const unsigned char *bytes;
		auto_buf elf = {};

		assert_int_equal(foreign_program(wanted[i].name, &elf), 0);
		bytes = (const unsigned char *)elf.data;
		assert_memory_equal(bytes, ELFMAG, SELFMAG);
		assert_int_equal(bytes[EI_CLASS], wanted[i].class);
		assert_int_equal(bytes[EI_DATA], wanted[i].data);
		assert_int_equal(bytes[is_big ? 19 : 18] | bytes[is_big ? 18 : 19] << 8,
				 wanted[i].machine);
	}
	assert_int_equal(foreign_program("pdp11", &none), -ENOENT);
}

static void this_machines_program_runs_and_ends_well(void **state)
{
	static const char *const names[][2] = {{"x86_64", "amd64"},
					       {"aarch64", "arm64"},
					       {"riscv64", "riscv64"},
					       {"ppc64le", "ppc64el"},
					       {"s390x", "s390x"}};
	char path[] = "/tmp/coppice-test-foreign-XXXXXX";
	auto_close int fd = mkostemp(path, O_CLOEXEC);
	struct cop_error err = {};
	struct utsname host;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(uname(&host), 0);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const char *const argv[] = {path, NULL};
		auto_buf elf = {};

		if (strcmp(names[i][0], host.machine) != 0)
			continue;
		assert_int_equal(foreign_program(names[i][1], &elf), 0);
		assert_int_equal(fs_write_all(fd, elf.data, elf.size), 0);
		assert_int_equal(fchmod(fd, 0700), 0);
		closep(&fd);
		fd = -EBADF;
		assert_ok(process_check(argv, NULL, NULL, &err), &err);
	}
	(void)unlink(path);
}

static void what_is_not_known_is_not_tried(void **state)
{
	struct cop_error err = {};
	char why[64] = "";

	(void)state;
	assert_int_equal(
		foreign_can_run("pdp11", -EBADF, "/nowhere", -1, why, sizeof(why), &err),
		1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_architecture_has_a_program_of_its_machine),
		cmocka_unit_test(this_machines_program_runs_and_ends_well),
		cmocka_unit_test(what_is_not_known_is_not_tried),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
