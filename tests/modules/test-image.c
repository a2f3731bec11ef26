/* SPDX-License-Identifier: Apache-2.0 */
/* Disk images of trees: what is in them by the word of other programs, twice the same,
 * and refused in time where they cannot be. */
#include "stagelib.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/process.h"
#include "modkit/tool.h"
#include "modules/stages/disk.h"
#include "modules/stages/stages.h"

#define ROOT_UUID "6f2f7c1e-0001-4000-8000-000000000001"
#define ESP                                                                  \
	"{'name': 'esp', 'type': 'C12A7328-F81F-11D2-BA4B-00A0C93EC93B', "   \
	"'uuid': '6F2F7C1E-0004-4000-8000-000000000004', 'size': 41943040, " \
	"'filesystem': 'vfat', 'fs-uuid': 'CAFE0001', 'label': 'ESP', "      \
	"'mount': '/boot/efi'}"
#define ROOT(more)                                                               \
	"{'name': 'root', 'type': '4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709', "      \
	"'uuid': '6F2F7C1E-0005-4000-8000-000000000005', 'filesystem': 'ext4', " \
	"'fs-uuid': '" ROOT_UUID "', 'label': 'root', 'mount': '/'" more "}"
#define DISK(more, parts)                                                           \
	"{'filename': 'disk.raw', 'uuid': '6F2F7C1E-0003-4000-8000-000000000003', " \
	"'partitions': [" parts "]" more "}"
#define AT_ROOT "?offset=42991616" /* behind 1 MiB and the 40 of the ESP */

static bool can_run(void)
{
	static const char *const programs[] = {"mke2fs", "debugfs", "e2fsck", "mkfs.fat",
					       "mcopy",	 "mtype",   "sfdisk"};

	if (geteuid() != 0) {
		print_message("skipped: needs root, to mount\n");
		return false;
	}
	for (size_t i = 0; i < ARRAY_SIZE(programs); i++)
		if (!tool_is_there(programs[i])) {
			print_message("skipped: there is no '%s'\n", programs[i]);
			return false;
		}
	return true;
}

/* put(), with the directories on the way. */
static void add(struct world *world, const char *path, const char *text)
{
	auto_free char *directory = strdup(path);

	*strrchr(directory, '/') = '\0';
	assert_ok(fs_make_dirs(world->fd, directory, 0755, &world->err), &world->err);
	put(world, path, text);
}

static void fill_tree(struct world *world)
{
	struct timespec times[2] = {{.tv_sec = 1500000000}, {.tv_sec = 1500000000}};

	add(world, "input/etc/hostname", "demo\n");
	add(world, "input/boot/efi/loader/loader.conf", "timeout 1\n");
	add(world, "input/boot/efi/EFI/Long Name.efi", "efi\n");
	add(world, "input/boot/kernel", "kernel\n");
	put_link(world, "input/etc/link", "hostname");
	assert_int_equal(
		linkat(world->fd, "input/boot/kernel", world->fd, "input/boot/second", 0),
		0);
	assert_int_equal(fchownat(world->fd, "input/etc/hostname", 7, 8, 0), 0);
	assert_int_equal(fchmodat(world->fd, "input/etc/hostname", 04711, 0), 0);
	/* What is read may get another time, what is listed another order. */
	assert_int_equal(utimensat(world->fd, "input/etc/hostname", times, 0), 0);
	assert_int_equal(utimensat(world->fd, "input/boot/kernel", times, 0), 0);
	world->source_epoch = 1600000000;
}

static void clamp(struct world *world)
{
	static const char *const paths[] = {"input",
					    "input/zeros",
					    "input/etc",
					    "input/etc/link",
					    "input/boot",
					    "input/boot/efi",
					    "input/boot/efi/loader",
					    "input/boot/efi/EFI",
					    "input/boot/efi/loader/loader.conf",
					    "input/boot/efi/EFI/Long Name.efi"};
	struct timespec times[2] = {{.tv_sec = 1600000000}, {.tv_sec = 1600000000}};

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		assert_int_equal(
			utimensat(world->fd, paths[i], times, AT_SYMLINK_NOFOLLOW), 0);
}

static void assert_says(struct world *world, const char *const *argv, const char *part)
{
	auto_buf text = {};

	assert_ok(process_check(argv, NULL, &text, &world->err), &world->err);
	if (!strstr(buf_text(&text), part))
		fail_msg("'%s' is not in: %s", part, buf_text(&text));
}

static char *path_in(const struct world *world, const char *rest, char *path, size_t size)
{
	(void)snprintf(path, size, "%s/tree/disk.raw%s", world->path, rest);
	return path;
}

static void other_programs_find_what_was_put_in(void **state)
{
	struct world *world = *state;
	char root[256], esp[256];
	const char *fsck[] = {"e2fsck", "-fn", root, NULL};
	const char *stat_file[] = {"debugfs", "-R", "stat /etc/hostname", root, NULL};
	const char *links[] = {"debugfs", "-R", "stat /boot/second", root, NULL};
	const char *covered[] = {"debugfs", "-R", "ls -p /boot/efi", root, NULL};
	const char *type[] = {"mtype", "-i", esp, "::/loader/loader.conf", NULL};
	const char *dir[] = {"mdir", "-b", "-i", esp, "::/EFI", NULL};

	if (!can_run())
		return;
	fill_tree(world);
	assert_ok(stage_with(world, stage_disk,
			     DISK("", ESP ", " ROOT(", 'free': 10485760"))),
		  &world->err);
	(void)path_in(world, AT_ROOT, root, sizeof(root));
	(void)path_in(world, "@@1M", esp, sizeof(esp));
	assert_says(world, fsck, "");
	assert_says(world, stat_file, "Mode:  04711");
	assert_says(world, stat_file, "User:     7   Group:     8");
	assert_says(world, stat_file, " atime: 0x5f5e1000:00000000");
	assert_says(world, stat_file, " mtime: 0x59682f00:00000000");
	assert_says(world, links, "Links: 2");
	assert_says(world, covered, "/..//\n");
	assert_says(world, type, "timeout 1");
	assert_says(world, dir, "::/EFI/Long Name.efi");
}

/* Zeros, as a hole or written. */
static void add_zeros(struct world *world, bool hole)
{
	static const char zeros[256 * 1024];
	auto_close int fd =
		openat(world->fd, "input/zeros", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	if (hole)
		assert_int_equal(ftruncate(fd, sizeof(zeros)), 0);
	else
		assert_int_equal(fs_write_all(fd, zeros, sizeof(zeros)), 0);
}

static void the_same_tree_gives_the_same_bytes(void **state)
{
	static const char options[] = DISK("", ESP ", " ROOT(", 'free': 10485760"));
	struct world *world = *state;
	auto_buf first = {}, second = {};
	mode_t mask;

	if (!can_run())
		return;
	fill_tree(world);
	add_zeros(world, true);
	clamp(world);
	assert_ok(stage_with(world, stage_disk, options), &world->err);
	read_whole(world, "tree/disk.raw", &first);
	assert_int_equal(unlinkat(world->tree_fd, "disk.raw", 0), 0);
	/* Laid out anew: other inodes, other change times, another second and mask. */
	assert_ok(fs_remove_all(world->fd, "input", true, &world->err), &world->err);
	put_dir(world, "input", 0755);
	assert_int_equal(usleep(1100000), 0);
	fill_tree(world);
	add_zeros(world, false);
	clamp(world);
	mask = umask(077);
	assert_int_equal(setenv("TMPDIR", "/nonexistent", 1), 0);
	assert_ok(stage_with(world, stage_disk, options), &world->err);
	(void)umask(mask);
	assert_int_equal(unsetenv("TMPDIR"), 0);
	read_whole(world, "tree/disk.raw", &second);
	assert_int_equal(first.size, second.size);
	assert_memory_equal(first.data, second.data, first.size);
}

static void what_is_too_small_is_refused_before_anything_is_written(void **state)
{
	struct world *world = *state;

	if (!can_run())
		return;
	fill_tree(world);
	add(world, "input/large", "");
	{
		auto_close int fd =
			openat(world->fd, "input/large", O_WRONLY | O_CLOEXEC);

		assert_int_equal(ftruncate(fd, 100 * 1024 * 1024), 0);
	}
	assert_fails(stage_with(world, stage_disk,
				DISK("", ESP ", " ROOT(", 'size': 67108864"))),
		     -ENOSPC, &world->err);
	assert_non_null(strstr(world->err.message,
			       "partition 'root' is too small: it has 67.1 MB and its "
			       "content needs "));
	assert_absent(world, "tree/disk.raw");
	world->err = (struct cop_error){};
	assert_fails(stage_with(world, stage_disk,
				DISK(", 'size': 104857600", ESP ", " ROOT(""))),
		     -ENOSPC, &world->err);
	assert_non_null(strstr(world->err.message, "the disk 'disk.raw' is too small"));
	assert_absent(world, "tree/disk.raw");
}

/* The estimate must hold for whatever mke2fs makes of the tree. */
static void an_automatic_size_always_holds_the_content(void **state)
{
	struct world *world = *state;
	char root[256];
	const char *fsck[] = {"e2fsck", "-fn", root, NULL};
	char path[300], name[200];

	if (!can_run())
		return;
	world->source_epoch = 1600000000;
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	/* Many directories, long names and small files; each takes a block. */
	for (int i = 0; i < 1500; i++) {
		(void)snprintf(path, sizeof(path), "input/d%d/%d%s", i % 300, i, name);
		add(world, path, "x");
	}
	assert_ok(stage_with(world, stage_disk, DISK("", ROOT(""))), &world->err);
	(void)path_in(world, "?offset=1048576", root, sizeof(root));
	assert_says(world, fsck, "");
}

static void options_are_checked(void **state)
{
	static const struct {
		const char *options, *message;
	} cases[] = {
		{DISK("", "{'name': 'a', 'type': 't', 'uuid': 'u'}"),
		 "without content it needs a 'size'"},
		{DISK("", "{'name': 'a', 'type': 't', 'uuid': 'u', 'size': 5}"),
		 "whole MiB"},
		{DISK("", "{'name': 'a', 'type': 't', 'uuid': 'u', 'mount': '/'}"),
		 "'mount' needs a 'filesystem'"},
		{DISK("", "{'name': 'a', 'type': 't', 'uuid': 'u', 'filesystem': 'xfs'}"),
		 "neither ext4 nor vfat"},
		{DISK(", 'size': 7", ROOT("")), "whole MiB"},
		{DISK("", ""), "1 to 32 partitions"},
	};
	struct world *world = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		world->err = (struct cop_error){};
		assert_fails(stage_with(world, stage_disk, cases[i].options), -EINVAL,
			     &world->err);
		if (!strstr(world->err.message, cases[i].message))
			fail_msg("'%s' is not in: %s", cases[i].message,
				 world->err.message);
	}
}

static void a_kernel_is_copied_by_the_newest_version(void **state)
{
	struct world *world = *state;

	add(world, "input/boot/vmlinuz-6.9.1", "old\n");
	add(world, "input/boot/vmlinuz-6.12.1", "new\n");
	add(world, "input/boot/initrd.img-6.12.1", "initrd\n");
	add(world, "input/etc/kernel/cmdline", "quiet\n");
	assert_ok(stage_with(world, stage_kernel, "{}"), &world->err);
	assert_text(world, "tree/vmlinuz", "new\n");
	assert_text(world, "tree/initrd.img", "initrd\n");
	assert_text(world, "tree/cmdline", "quiet\n");
}

static void a_tree_without_a_kernel_is_told_so(void **state)
{
	struct world *world = *state;

	assert_fails(stage_with(world, stage_initramfs, "{}"), -ENOENT, &world->err);
	assert_non_null(strstr(world->err.message, "the tree has no kernel"));
}

static void secure_boot_needs_the_signed_parts(void **state)
{
	struct world *world = *state;

	add(world, "tree/usr/lib/systemd/boot/efi/systemd-bootx64.efi", "unsigned\n");
	add(world, "tree/boot/vmlinuz-6.12.1", "new\n");
	assert_fails(stage_with(world, stage_boot_systemd,
				"{'esp': '/boot/efi', 'architecture': 'amd64', "
				"'secure-boot': true}"),
		     -ENOENT, &world->err);
	assert_non_null(strstr(world->err.message, "systemd-bootx64.efi.signed"));
	world->err = (struct cop_error){};
	assert_fails(stage_with(world, stage_boot_systemd,
				"{'esp': '/boot/efi', 'architecture': 's390x'}"),
		     -EOPNOTSUPP, &world->err);
}

#define TEST(function) \
	cmocka_unit_test_setup_teardown(function, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(other_programs_find_what_was_put_in),
		TEST(the_same_tree_gives_the_same_bytes),
		TEST(what_is_too_small_is_refused_before_anything_is_written),
		TEST(an_automatic_size_always_holds_the_content),
		TEST(options_are_checked),
		TEST(a_kernel_is_copied_by_the_newest_version),
		TEST(a_tree_without_a_kernel_is_told_so),
		TEST(secure_boot_needs_the_signed_parts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
