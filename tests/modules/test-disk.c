/* SPDX-License-Identifier: Apache-2.0 */
/* Files that stand for disks: made, partitioned, formatted, converted; twice the same. */
#include "stagelib.h"

#include <fcntl.h>

#include "base/process.h"
#include "modules/stages/stages.h"
#include "json/json.h"

#define UUID "9c6ae55b-cf88-45b8-84e8-64990759f39d"

static void make_disk(struct world *world, uint64_t size)
{
	auto_close int fd = openat(world->fd, "disk", O_WRONLY | O_CREAT | O_TRUNC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
}

static void assert_output(struct world *world, const char *const *argv, const char *part)
{
	auto_buf text = {};

	assert_ok(process_check(argv, NULL, &text, &world->err), &world->err);
	if (!strstr(buf_text(&text), part))
		fail_msg("'%s' is not in: %s", part, buf_text(&text));
}

/* Run @stage on a new disk twice: the same bytes. */
static void assert_same_twice(struct world *world, int (*stage)(struct kit *kit),
			      const char *options, uint64_t size)
{
	auto_buf first = {}, second = {};

	make_disk(world, size);
	assert_ok(stage_with(world, stage, options), &world->err);
	read_whole(world, "disk", &first);
	/* Another second, for what looks at the clock. */
	if (stage == stage_mkfs_fat)
		assert_int_equal(usleep(1100000), 0);
	make_disk(world, size);
	assert_ok(stage_with(world, stage, options), &world->err);
	read_whole(world, "disk", &second);
	assert_int_equal(first.size, second.size);
	assert_memory_equal(first.data, second.data, first.size);
}

static void truncate_knows_truncates_words(void **state)
{
	static const struct {
		const char *size;
		int64_t result; /* of a file of 1000 bytes; negative: refused */
	} sizes[] = {
		{"0", 0},	{"1024", 1024},	  {"1K", 1024},
		{"2KiB", 2048}, {"1KB", 1000},	  {"1k", 1024},
		{"K", 1024},	{"+24", 1024},	  {"-1", 999},
		{"-2000", 0},	{"<500", 500},	  {"<5000", 1000},
		{">500", 1000}, {">5000", 5000},  {"/300", 900},
		{"%300", 1200}, {"1MB", 1000000}, {" 7", 7},
		{"", -1},	{"x", -1},	  {"1X", -1},
		{"1KiBx", -1},	{"%0", -1},	  {"99999E", -1},
		{"8E", -1},	{"1.5M", -1},	  {"18446744073709551616", -1},
	};
	struct world *world = *state;

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		char options[128];
		int r;

		assert_ok(stage_with(world, stage_truncate,
				     "{'filename': '/f', 'size': '1000'}"),
			  &world->err);
		(void)snprintf(options, sizeof(options),
			       "{'filename': 'f', 'size': '%s'}", sizes[i].size);
		r = stage_with(world, stage_truncate, options);
		if (sizes[i].result < 0)
			assert_fails(r, -EINVAL, &world->err);
		else
			assert_ok(r, &world->err);
		assert_int_equal(stat_of(world, "tree/f").st_size,
				 sizes[i].result < 0 ? 1000 : sizes[i].result);
	}
}

static void truncate_stays_inside_the_tree(void **state)
{
	struct world *world = *state;

	put(world, "victim", "safe");
	put_link(world, "tree/l", "../victim");
	assert_true(stage_with(world, stage_truncate, "{'filename': 'l', 'size': '0'}") <=
		    0);
	assert_text(world, "victim", "safe");
	put_dir(world, "tree/d", 0755);
	assert_true(stage_with(world, stage_truncate, "{'filename': 'd', 'size': '0'}") <
		    0);
}

static void sfdisk_makes_the_same_gpt_twice(void **state)
{
	static const char options[] =
		"{'label': 'gpt', 'uuid': '" UUID "', 'partitions': ["
		" {'bootable': true, 'size': 2048, 'start': 2048,"
		"  'type': '21686148-6449-6E6F-744E-656564454649'},"
		" {'start': 4096, 'name': 'root \\u00e9', 'attrs': [2, 48, 5],"
		"  'type': '0FC63DAF-8483-4772-8E79-3D69D8477DE4'}]}";
	struct world *world = *state;
	char disk[128];
	const char *argv[] = {"sfdisk", "--dump", disk, NULL};

	if (!has_program("sfdisk"))
		return;
	(void)snprintf(disk, sizeof(disk), "%s/disk", world->path);
	assert_same_twice(world, stage_sfdisk, options, 16 * MIB);
	assert_output(world, argv, "label-id: 9C6AE55B-CF88-45B8-84E8-64990759F39D");
	assert_output(world, argv,
		      "start=        2048, size=        2048, "
		      "type=21686148-6449-6E6F-744E-656564454649");
	/* The UUID of the second partition comes from the stage's id. */
	assert_output(world, argv, "uuid=0121456");
}

static void sfdisk_makes_a_dos_table(void **state)
{
	static const char options[] =
		"{'label': '%s', 'uuid': '0x14fc63d2', 'partitions': ["
		" {'bootable': true, 'type': '83', 'size': 2048, 'partnum': 2}]}";
	static const char *const labels[] = {"dos", "mbr"};
	struct world *world = *state;
	char disk[128], text[512];
	const char *argv[] = {"sfdisk", "--dump", disk, NULL};

	if (!has_program("sfdisk"))
		return;
	(void)snprintf(disk, sizeof(disk), "%s/disk", world->path);
	for (size_t i = 0; i < ARRAY_SIZE(labels); i++) {
		make_disk(world, 16 * MIB);
		(void)snprintf(text, sizeof(text), options, labels[i]);
		assert_ok(stage_with(world, stage_sfdisk, text), &world->err);
		assert_output(world, argv, "label-id: 0x14fc63d2");
		assert_output(world, argv,
			      "disk2 : start=        2048, size=        2048, "
			      "type=83, bootable");
	}
}

static void sfdisk_refuses_what_would_be_another_line(void **state)
{
	static const char *const bad[] = {
		"{'label': 'gpt', 'uuid': 'x\\nlabel: dos'}",
		"{'label': 'gpt', 'uuid': '" UUID
		"', 'partitions': [{'name': 'a\\\"b'}]}",
		"{'label': 'gpt', 'uuid': '" UUID "', 'partitions': [{'size': -1}]}",
		"{'label': 'bsd', 'uuid': '" UUID "'}",
		"{'uuid': '" UUID "'}",
	};
	struct world *world = *state;

	make_disk(world, 16 * MIB);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_fails(stage_with(world, stage_sfdisk, bad[i]), -EINVAL,
			     &world->err);
}

static void what_sfdisk_says_is_in_the_message(void **state)
{
	struct world *world = *state;

	if (!has_program("sfdisk"))
		return;
	make_disk(world, 4 * MIB);
	assert_fails(stage_with(world, stage_sfdisk,
				"{'label': 'gpt', 'uuid': '" UUID
				"', 'partitions': [{'size': 99999999}]}"),
		     -ECHILD, &world->err);
	assert_non_null(strstr(world->err.message, "'sfdisk': exit status 1: "));
}

static void mkfs_ext4_makes_the_same_bytes_twice(void **state)
{
	static const char options[] =
		"{'uuid': '" UUID "', 'label': 'root', 'lazy_init': false,"
		" 'metadata_csum_seed': true, 'verity': true}";
	struct world *world = *state;
	char disk[128];
	const char *argv[] = {"dumpe2fs", "-h", disk, NULL};

	if (!has_program("mkfs.ext4"))
		return;
	(void)snprintf(disk, sizeof(disk), "%s/disk", world->path);
	assert_same_twice(world, stage_mkfs_ext4, options, 16 * MIB);
	assert_output(world, argv, "Filesystem volume name:   root\n");
	assert_output(world, argv, "Filesystem UUID:          " UUID "\n");
	assert_output(world, argv, "metadata_csum_seed");
	assert_output(world, argv, "verity");
	assert_output(world, argv, "Tue Jan  1 00:00:00 1980");
}

static void mkfs_fat_makes_the_same_bytes_twice(void **state)
{
	struct world *world = *state;
	auto_buf disk = {};

	if (!has_program("mkfs.fat"))
		return;
	world->source_epoch = 1700000000;
	assert_same_twice(world, stage_mkfs_fat,
			  "{'volid': '7b7795e7', 'label': 'ESP', 'fat-size': 16,"
			  " 'geometry': {'heads': 12, 'sectors-per-track': 42}}",
			  16 * MIB);
	read_whole(world, "disk", &disk);
	assert_memory_equal(disk.data + 39,
			    "\xe7\x95\x77\x7b"
			    "ESP        FAT16   ",
			    23);
	assert_int_equal(disk.data[24], 42);
	assert_int_equal(disk.data[26], 12);
}

static void a_program_that_is_missing_is_named_with_its_package(void **state)
{
	struct world *world = *state;
	auto_free char *path = strdup(getenv("PATH"));

	make_disk(world, 16 * MIB);
	(void)setenv("PATH", "/nonexistent", 1);
	assert_fails(stage_with(world, stage_mkfs_fat, "{'volid': '7b7795e7'}"), -ENOENT,
		     &world->err);
	(void)setenv("PATH", path, 1);
	assert_non_null(strstr(world->err.message, "'mkfs.fat'"));
	assert_non_null(strstr(world->err.message, "'dosfstools'"));
}

static void a_device_that_is_missing_is_named(void **state)
{
	const struct kit_module module = {"org.osbuild.mkfs.fat", stage_mkfs_fat};
	struct world *world = *state;
	auto_json *arguments = json_pack("{s:s, s:{s:s}}", "tree", world->path, "options",
					 "volid", "7b7795e7");

	assert_fails(kit_run(&module, arguments, &world->err), -EINVAL, &world->err);
	assert_non_null(strstr(world->err.message, "'device'"));
}

/* Twice, a second apart where the clock counts, and back again. */
static void assert_converts(struct world *world, const char *format, const char *type,
			    const char *content)
{
	char options[256], image[128], back[128];
	auto_buf first = {}, second = {}, raw = {};

	(void)snprintf(image, sizeof(image), "%s/tree/x.img", world->path);
	(void)snprintf(back, sizeof(back), "%s/back", world->path);
	(void)snprintf(options, sizeof(options), "{'filename': '/x.img', 'format': %s}",
		       format);
	assert_ok(stage_with(world, stage_qemu, options), &world->err);
	read_whole(world, "tree/x.img", &first);
	if (strstr(format, "dynamic"))
		assert_int_equal(usleep(1100000), 0);
	assert_ok(stage_with(world, stage_qemu, options), &world->err);
	read_whole(world, "tree/x.img", &second);
	assert_int_equal(first.size, second.size);
	assert_memory_equal(first.data, second.data, first.size);
	assert_ok(process_check((const char *[]){"qemu-img", "convert", "-f", type, "-O",
						 "raw", image, back, NULL},
				NULL, NULL, &world->err),
		  &world->err);
	read_whole(world, "back", &raw);
	assert_memory_equal(raw.data, content, strlen(content));
}

static void converted_images_are_the_same_twice(void **state)
{
	static const struct {
		const char *format, *type;
	} formats[] = {
		{"{'type': 'qcow2', 'compat': '1.1'}", "qcow2"},
		{"{'type': 'qcow2', 'compression': false}", "qcow2"},
		{"{'type': 'vmdk', 'subformat': 'streamOptimized',"
		 " 'adapter_type': 'lsilogic'}",
		 "vmdk"},
		{"{'type': 'vmdk', 'compression': false}", "vmdk"},
		{"{'type': 'vpc'}", "vpc"},
		{"{'type': 'vpc', 'subformat': 'dynamic', 'force_size': false}", "vpc"},
		{"{'type': 'vdi'}", "vdi"},
	};
	struct world *world = *state;
	auto_buf content = {};

	if (!has_program("qemu-img"))
		return;
	for (int i = 0; i < 30000; i++)
		(void)buf_printf(&content, "line %d\n", i);
	/* Whole sectors. */
	buf_truncate(&content, 256 * KIB);
	put(world, "input/disk.raw", content.data);
	world->file = "disk.raw";
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++)
		assert_converts(world, formats[i].format, formats[i].type, content.data);
}

static void an_input_of_several_files_is_refused(void **state)
{
	struct world *world = *state;

	assert_fails(stage_with(world, stage_qemu,
				"{'filename': 'a', 'format': {'type': 'qcow2'}}"),
		     -EINVAL, &world->err);
	world->file = "missing";
	assert_fails(stage_with(world, stage_qemu,
				"{'filename': 'a', 'format': {'type': 'tape'}}"),
		     -EINVAL, &world->err);
}

#define T(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(truncate_knows_truncates_words),
		T(truncate_stays_inside_the_tree),
		T(sfdisk_makes_the_same_gpt_twice),
		T(sfdisk_makes_a_dos_table),
		T(sfdisk_refuses_what_would_be_another_line),
		T(what_sfdisk_says_is_in_the_message),
		T(mkfs_ext4_makes_the_same_bytes_twice),
		T(mkfs_fat_makes_the_same_bytes_twice),
		T(a_program_that_is_missing_is_named_with_its_package),
		T(a_device_that_is_missing_is_named),
		T(converted_images_are_the_same_twice),
		T(an_input_of_several_files_is_refused),
	};

	return cmocka_run_group_tests_name("disks", tests, NULL, NULL);
}
