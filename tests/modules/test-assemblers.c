/* SPDX-License-Identifier: Apache-2.0 */
/* The assemblers: archives, and images that are the same twice and hold the tree. */
#include "stagelib.h"

#include <sched.h>

#include "base/process.h"
#include "modules/assemblers/assemblers.h"
#include "modules/stages/stages.h"

#define UUID	  "9c6ae55b-cf88-45b8-84e8-64990759f39d"
#define OTHER	  "a4f2bb2d-9f2b-4b75-a4c6-3d1f3c35ab13"
#define BOOT_TYPE "21686148-6449-6E6F-744E-656564454649"
#define LINUX	  "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
#define ESP	  "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"

/* The tree is divided by mounts in a namespace of its own. */
static bool may_mount(void)
{
	static int may = -1;

	if (may < 0)
		may = geteuid() == 0 && unshare(CLONE_NEWNS) == 0;
	if (!may)
		print_message("skipped: mount namespaces need root\n");
	return may;
}

static void make_source(struct world *world)
{
	run_shell(world, "cd input; mkdir -p boot/efi/EFI/BOOT boot/grub etc usr/bin\n"
			 "printf loader >boot/efi/EFI/BOOT/BOOTX64.EFI\n"
			 "seq 1 20000 >boot/vmlinuz; printf host >etc/hostname\n"
			 "ln -s ../bin/true usr/bin/yes; chown 7:8 etc/hostname\n"
			 "ln etc/hostname etc/hard; chmod 4755 etc/hostname\n"
			 "chmod 700 boot; find . -exec touch -hd @1500000000 {} +");
	world->source_epoch = 1600000000;
}

/* Twice, with a second between them. */
static void assert_same_twice(struct world *world, int (*assembler)(struct kit *kit),
			      const char *options)
{
	assert_ok(stage_with(world, assembler, options), &world->err);
	run_shell(world, "mv tree/x first; sleep 1.1");
	assert_ok(stage_with(world, assembler, options), &world->err);
	run_shell(world, "cmp tree/x first; test \"$(ls -A tree)\" = x");
}

static void noop_and_error_do_what_they_say(void **state)
{
	struct world *world = *state;

	assert_ok(stage_with(world, assembler_noop, "{}"), &world->err);
	assert_int_equal(stat_of(world, "tree").st_nlink, 2);
	assert_int_equal(stage_with(world, assembler_error, "{}"), 255);
	assert_int_equal(stage_with(world, assembler_error, "{'returncode': 3}"), 3);
}

static void tar_compresses_by_the_option_and_not_by_the_name(void **state)
{
	static const char *const kinds[] = {"none", "gzip", "xz", "bzip2", "lzma"};
	struct world *world = *state;

	put_dir(world, "input/d", 0755);
	put(world, "input/d/f", "text");
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		char options[128], command[256];

		(void)snprintf(options, sizeof(options),
			       i ? "{'filename': 'a.zst', 'compression': '%s'}"
				 : "{'filename': 'a.zst'}",
			       kinds[i]);
		assert_ok(stage_with(world, assembler_tar, options), &world->err);
		(void)snprintf(command, sizeof(command),
			       "test \"$(tar -t%s%s -f tree/a.zst | tr '\\n' ' ')\" = "
			       "'./ ./d/ ./d/f '",
			       i ? " --" : "", i ? kinds[i] : "");
		run_shell(world, command);
	}
}

static void rawfs_makes_an_ext4_that_holds_the_tree(void **state)
{
	struct world *world = *state;

	if (!may_mount() || !has_program("mke2fs"))
		return;
	make_source(world);
	assert_same_twice(world, assembler_rawfs,
			  "{'filename': 'x', 'root_fs_uuid': '" UUID
			  "', 'size': 33554432}");
	run_shell(world,
		  "e2fsck -fn tree/x; dumpe2fs -h tree/x | grep -q 'UUID: *" UUID "'\n"
		  "debugfs -R 'cat etc/hostname' tree/x | grep -qx host\n"
		  "debugfs -R 'stat etc/hostname' tree/x >s\n"
		  "grep -q 'Mode:  04755' s; grep -q 'User: *7 *Group: *8' s\n"
		  "grep -q 'Links: 2' s; grep -q 'mtime: 0x59682f00' s\n"
		  "test $(stat -c %s tree/x) = 33554432");
}

static void what_does_not_fit_leaves_nothing_behind(void **state)
{
	struct world *world = *state;

	if (!may_mount() || !has_program("mke2fs"))
		return;
	make_source(world);
	run_shell(world, "seq 1 2000000 >input/large");
	assert_true(stage_with(world, assembler_rawfs,
			       "{'filename': 'x', 'root_fs_uuid': '" UUID
			       "', 'size': 8388608}") < 0);
	run_shell(world, "test -z \"$(ls -A tree)\"");
	assert_fails(stage_with(world, assembler_rawfs,
				"{'filename': 'x', 'root_fs_uuid': '" UUID
				"', 'size': 0}"),
		     -EINVAL, &world->err);
}

#define PARTITIONS                                                              \
	"'partitions': ["                                                       \
	"{'type': '" BOOT_TYPE "', 'size': 2048, 'bootable': true},"            \
	"{'type': '" ESP "', 'size': 81920, 'uuid': '" OTHER "', 'filesystem':" \
	" {'type': 'vfat', 'uuid': '7B77-95E7', 'label': 'ESP', 'mountpoint':"  \
	" '/boot/efi'}},"                                                       \
	"{'type': '" LINUX "', 'name': 'boot', 'size': 40960, 'filesystem':"    \
	" {'type': 'ext4', 'uuid': '" OTHER "', 'mountpoint': '/boot'}},"       \
	"{'type': '" LINUX "', 'name': 'root', 'filesystem':"                   \
	" {'type': 'ext4', 'uuid': '" UUID "', 'label': 'top', 'mountpoint': '/'}}]"

#define GPT(more)                                                                     \
	"{'filename': 'x', 'ptuuid': '" UUID "', 'pttype': 'gpt', 'size': 100663296," \
	" " more ", " PARTITIONS "}"

static void a_disk_has_what_belongs_to_each_partition(void **state)
{
	struct world *world = *state;

	if (!may_mount() || !has_program("mke2fs") || !has_program("sfdisk") ||
	    !has_program("mcopy"))
		return;
	make_source(world);
	assert_same_twice(world, assembler_qemu, GPT("'format': 'raw'"));
	run_shell(
		world,
		"sfdisk -d tree/x | grep -q 'start= *4096, size= *81920, .*uuid=A4F2BB2D'\n"
		"mtype -i tree/x@@2M ::/EFI/BOOT/BOOTX64.EFI | grep -qx loader\n"
		"minfo -i tree/x@@2M :: | grep -qi 'serial number: 7B7795E7'\n"
		"dd if=tree/x of=boot bs=1M skip=42 count=20; e2fsck -fn boot\n"
		"debugfs -R 'cat vmlinuz' boot | tail -n1 | grep -qx 20000\n"
		"debugfs -R 'ls efi' boot >l; ! grep -q EFI l\n"
		"dd if=tree/x of=root bs=1M skip=62; truncate -s -1M root\n"
		"debugfs -R 'cat etc/hostname' root | grep -qx host\n"
		"debugfs -R 'ls boot' root >l; ! grep -q vmlinuz l\n"
		"debugfs -R 'stat boot' root | grep -q 'Mode: *0700'\n"
		"dumpe2fs -h root | grep -q 'name: *top'");
}

static void every_format_is_the_same_twice(void **state)
{
	static const char *const options[] = {
		GPT("'format': 'qcow2', 'qcow2_compat': '0.10'"),
		GPT("'format': 'raw.xz'"),
		GPT("'format': 'vmdk', 'vmdk_subformat': 'streamOptimized'"),
	};
	struct world *world = *state;

	if (!may_mount() || !has_program("mke2fs") || !has_program("sfdisk") ||
	    !has_program("mcopy") || !has_program("qemu-img"))
		return;
	make_source(world);
	assert_ok(stage_with(world, assembler_qemu, GPT("'format': 'raw'")), &world->err);
	run_shell(world, "mv tree/x raw");
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		assert_same_twice(world, assembler_qemu, options[i]);
		run_shell(world,
			  i == 1 ? "xz -dc tree/x | cmp - raw; rm tree/x"
				 : "qemu-img compare -F raw tree/x raw; rm tree/x");
	}
}

static void grub_is_embedded_in_dos_tables_and_gpts(void **state)
{
	struct world *world = *state;

	if (!may_mount() || !has_program("mke2fs") || !has_program("sfdisk") ||
	    !has_program("mcopy") || !has_program("grub-mkimage"))
		return;
	if (access("/usr/lib/grub/i386-pc/boot.img", R_OK) < 0) {
		print_message("skipped: GRUB's files are not there\n");
		return;
	}
	make_source(world);
	assert_same_twice(world, assembler_qemu,
			  "{'filename': 'x', 'format': 'raw', 'ptuuid': '0x14fc63d2',"
			  " 'size': 67108864, 'root_fs_uuid': '" UUID "'}");
	/* The code, the place of the core, the table that is still there. */
	run_shell(world, "cmp -n 90 tree/x /usr/lib/grub/i386-pc/boot.img\n"
			 "test $(od -An -tu8 -j92 -N8 tree/x) = 1\n"
			 "sfdisk -d tree/x | grep -q 'start= *2048,.*type=83, bootable'\n"
			 "grub-mkimage -d /usr/lib/grub/i386-pc -p '(,msdos1)/boot/grub' "
			 "-O i386-pc -C auto -o core biosdisk part_msdos ext2\n"
			 "cmp -i 512:0 -n $(stat -c %s core) tree/x core");
	assert_ok(stage_with(world, assembler_qemu,
			     GPT("'format': 'raw', 'bootloader': {'type': 'grub2'}")),
		  &world->err);
	run_shell(world, "test $(od -An -tu8 -j92 -N8 tree/x) = 2048\n"
			 "test $(od -An -tu8 -j$((2048 * 512 + 500)) -N8 tree/x) = 2049\n"
			 "grub-mkimage -d /usr/lib/grub/i386-pc -p '(,gpt3)/grub' "
			 "-O i386-pc -C auto -o core biosdisk part_gpt ext2\n"
			 "cmp -i $((2048 * 512 + 512)):512 -n 20000 tree/x core");
}

static void what_a_disk_cannot_be_is_refused(void **state)
{
	static const char *const bad[] = {
		"{'filename': 'x', 'format': 'raw', 'ptuuid': '1', 'size': 1000,"
		" 'root_fs_uuid': '" UUID "'}",
		"{'filename': 'x', 'format': 'raw', 'ptuuid': '1', 'size': 1024}",
		GPT("'format': 'raw', 'more': 1"),
		"{'filename': 'x', 'format': 'raw', 'ptuuid': '1', 'size': 1024,"
		" 'partitions': [{'filesystem': {'type': 'ext4', 'uuid': 'u',"
		" 'mountpoint': 'boot'}}]}",
	};
	struct world *world = *state;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_fails(stage_with(world, assembler_qemu, bad[i]), -EINVAL,
			     &world->err);
	if (!may_mount() || !has_program("sfdisk"))
		return;
	run_shell(world, "mkdir -p input/boot/efi");
	assert_fails(stage_with(world, assembler_qemu,
				GPT("'format': 'raw', 'bootloader': {'type': 'zipl'}")),
		     -EOPNOTSUPP, &world->err);
	run_shell(world, "test -z \"$(ls -A tree)\"");
}

#define T(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(noop_and_error_do_what_they_say),
		T(tar_compresses_by_the_option_and_not_by_the_name),
		T(rawfs_makes_an_ext4_that_holds_the_tree),
		T(what_does_not_fit_leaves_nothing_behind),
		T(a_disk_has_what_belongs_to_each_partition),
		T(every_format_is_the_same_twice),
		T(grub_is_embedded_in_dos_tables_and_gpts),
		T(what_a_disk_cannot_be_is_refused),
	};

	return cmocka_run_group_tests_name("assemblers", tests, NULL, NULL);
}
