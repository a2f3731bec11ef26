/* SPDX-License-Identifier: Apache-2.0 */
#include "stagelib.h"

#include <fcntl.h>
#include <sys/xattr.h>

#include "modules/stages/stages.h"
#include "tar/acl.h"
#include "tar/header.h"

#define PLAIN "'acls': false, 'selinux': false, 'xattrs': false"

/* A small tree with everything that a plain user can make, in @order. */
static void plant(struct world *world, bool backwards)
{
	static const char *const names[] = {"input/a", "input/a-b", "input/c"};
	const struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1000000000}};

	put_dir(world, "input/dir", 0750);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		put(world, names[backwards ? ARRAY_SIZE(names) - 1 - i : i], "content");
	put(world, "input/dir/file", "x");
	put_link(world, "input/dir/link", "../a");
	assert_int_equal(linkat(world->input_fd, "a", world->input_fd, "z", 0), 0);
	assert_int_equal(
		utimensat(world->input_fd, "dir/link", times, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(utimensat(world->input_fd, "dir/file", times, 0), 0);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		assert_int_equal(utimensat(world->fd, names[i], times, 0), 0);
	assert_int_equal(utimensat(world->input_fd, "dir", times, 0), 0);
	assert_int_equal(utimensat(world->fd, "input", times, 0), 0);
}

static void archive_of(bool backwards, unsigned int mask, const char *options,
		       struct buf *archive)
{
	void *state = NULL;
	struct world *world;

	assert_int_equal(world_setup(&state), 0);
	world = state;
	plant(world, backwards);
	(void)umask(mask);
	assert_ok(stage_with(world, stage_tar, options), &world->err);
	(void)umask(022);
	read_whole(world, "tree/x.tar.gz", archive);
	(void)world_teardown(&state);
}

static void equal_trees_give_equal_bytes(void **state)
{
	auto_buf first = {}, second = {};

	(void)state;
	archive_of(false, 022, "{'filename': 'x.tar.gz'}", &first);
	archive_of(true, 077, "{'filename': 'x.tar.gz'}", &second);
	assert_true(first.size > 100);
	assert_int_equal(first.size, second.size);
	assert_memory_equal(first.data, second.data, first.size);
}

/* Names in an archive without pax headers, each with its type, one per line. */
static void list_names(const struct buf *archive, struct buf *names)
{
	for (size_t at = 0; at + TAR_BLOCK <= archive->size && archive->data[at];) {
		const char *block = archive->data + at;
		size_t size = strtoul(block + 124, NULL, 8);

		(void)buf_printf(names, "%c %.100s\n", block[156], block);
		at += TAR_BLOCK + size + tar_padding(size);
	}
}

static void entries_are_sorted_and_links_come_last(void **state)
{
	struct world *world = *state;
	auto_buf archive = {}, names = {};

	plant(world, true);
	assert_ok(stage_with(world, stage_tar, "{'filename': 'x.tar', " PLAIN "}"),
		  &world->err);
	read_whole(world, "tree/x.tar", &archive);
	list_names(&archive, &names);
	assert_string_equal(buf_text(&names),
			    "5 ./\n0 ./a\n0 ./a-b\n0 ./c\n5 ./dir/\n0 ./dir/file\n"
			    "2 ./dir/link\n1 ./z\n");
	assert_int_equal(archive.size % (20 * TAR_BLOCK), 0);
}

static void the_root_can_be_left_out(void **state)
{
	struct world *world = *state;
	auto_buf archive = {}, names = {};

	plant(world, false);
	assert_ok(stage_with(world, stage_tar,
			     "{'filename': 'x.tar', 'root-node': 'omit', " PLAIN "}"),
		  &world->err);
	read_whole(world, "tree/x.tar", &archive);
	list_names(&archive, &names);
	assert_string_equal(buf_text(&names),
			    "0 a\n0 a-b\n0 c\n5 dir/\n0 dir/file\n2 dir/link\n1 z\n");
}

static void paths_are_archived_in_the_order_that_is_given(void **state)
{
	struct world *world = *state;
	auto_buf archive = {}, names = {};

	plant(world, false);
	assert_ok(stage_with(world, stage_tar,
			     "{'filename': 'x.tar', 'paths': ['c', '/dir/'], " PLAIN "}"),
		  &world->err);
	read_whole(world, "tree/x.tar", &archive);
	list_names(&archive, &names);
	assert_string_equal(buf_text(&names), "0 c\n5 dir/\n0 dir/file\n2 dir/link\n");
}

static void a_path_that_leaves_the_tree_is_refused(void **state)
{
	struct world *world = *state;

	assert_true(stage_with(world, stage_tar,
			       "{'filename': 'x.tar', 'paths': ['..']}") < 0);
	put_link(world, "input/l", "/etc");
	assert_fails(stage_with(world, stage_tar,
				"{'filename': 'y.tar', 'paths': ['l/passwd']}"),
		     -ENOENT, &world->err);
}

static void attributes_are_kept_in_pax_headers(void **state)
{
	struct world *world = *state;
	auto_close int fd = -EBADF;
	auto_buf archive = {};

	put(world, "input/a", "x");
	fd = openat(world->input_fd, "a", O_RDONLY | O_CLOEXEC);
	if (fsetxattr(fd, "user.test", "v", 1, 0) < 0) {
		print_message("no user xattrs in /tmp\n");
		skip();
	}
	assert_ok(stage_with(world, stage_tar, "{'filename': 'x.tar'}"), &world->err);
	read_whole(world, "tree/x.tar", &archive);
	assert_non_null(
		memmem(archive.data, archive.size, "28 SCHILY.xattr.user.test=v\n", 28));
}

static void what_is_not_known_is_refused(void **state)
{
	struct world *world = *state;

	assert_fails(stage_with(world, stage_tar,
				"{'filename': 'x.tar', 'compression': 'lz5'}"),
		     -EINVAL, &world->err);
	assert_non_null(strstr(world->err.message, "'lz5'"));
	assert_fails(stage_with(world, stage_tar,
				"{'filename': 'x.tar', 'transform': 's/a/b/'}"),
		     -EOPNOTSUPP, &world->err);
	assert_fails(stage_with(world, stage_tar,
				"{'filename': 'x.tar', 'paths': [], 'root-node': "
				"'omit'}"),
		     -EINVAL, &world->err);
}

static struct tar_entry plain_entry(const char *path)
{
	return (struct tar_entry){.path = path, .type = '0', .mode = 0644, .mtime = 1};
}

static void a_plain_header_has_these_bytes(void **state)
{
	struct tar_entry entry = plain_entry("./etc/hostname");
	struct cop_error err = {};
	auto_buf out = {};

	(void)state;
	entry.size_bytes = 5;
	entry.uid = 1000;
	assert_ok(tar_header(TAR_POSIX, &entry, &out, &err), &err);
	assert_int_equal(out.size, TAR_BLOCK);
	assert_string_equal(out.data, "./etc/hostname");
	assert_memory_equal(out.data + 100,
			    "0000644\0"
			    "0001750\0"
			    "0000000\0"
			    "00000000005\0"
			    "00000000001\0",
			    48);
	assert_memory_equal(out.data + 148, "011667\0 0", 9);
	assert_memory_equal(out.data + 257, "ustar\00000", 8);
}

static void long_names_go_where_the_format_has_room(void **state)
{
	struct tar_entry entry;
	struct cop_error err = {};
	char path[300];

	(void)state;
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	entry = plain_entry(path);
	for (int format = TAR_GNU; format <= TAR_V7; format++) {
		auto_buf out = {};

		if (format == TAR_GNU || format == TAR_POSIX) {
			assert_ok(tar_header((enum tar_format)format, &entry, &out, &err),
				  &err);
			assert_int_equal(out.size, 3 * TAR_BLOCK);
			assert_int_equal(out.data[156], format == TAR_GNU ? 'L' : 'x');
			assert_non_null(memmem(out.data, out.size, path, 299));
		} else {
			assert_fails(
				tar_header((enum tar_format)format, &entry, &out, &err),
				-E2BIG, &err);
		}
	}
	/* A '/' in the right place lets ustar hold 255 bytes. */
	path[150] = '/';
	path[240] = '\0';
	{
		auto_buf out = {};

		assert_ok(tar_header(TAR_USTAR, &entry, &out, &err), &err);
		assert_int_equal(out.size, TAR_BLOCK);
		assert_int_equal(strlen(out.data + 345), 150);
	}
}

static void large_numbers_and_fractions_are_kept(void **state)
{
	struct tar_entry entry = plain_entry("a");
	struct cop_error err = {};
	auto_buf posix = {}, gnu = {}, ustar = {};

	(void)state;
	entry.uid = 3000000;
	entry.mtime_ns = 250000000;
	entry.size_bytes = UINT64_C(10) << 30;
	assert_ok(tar_header(TAR_POSIX, &entry, &posix, &err), &err);
	assert_non_null(memmem(posix.data, posix.size, " uid=3000000\n", 13));
	assert_non_null(memmem(posix.data, posix.size, " mtime=1.25\n", 12));
	assert_non_null(memmem(posix.data, posix.size, " size=10737418240\n", 18));
	assert_ok(tar_header(TAR_GNU, &entry, &gnu, &err), &err);
	assert_memory_equal(gnu.data + 124, "\x80\0\0\0\0\0\0\x02\x80\0\0\0", 12);
	assert_fails(tar_header(TAR_USTAR, &entry, &ustar, &err), -E2BIG, &err);
}

static void times_before_1970_are_kept(void **state)
{
	struct tar_entry entry = plain_entry("a");
	struct cop_error err = {};
	auto_buf out = {};

	(void)state;
	entry.mtime = -2;
	entry.mtime_ns = 750000000;
	assert_ok(tar_header(TAR_POSIX, &entry, &out, &err), &err);
	assert_non_null(memmem(out.data, out.size, " mtime=-1.25\n", 13));
}

static void the_length_of_a_record_counts_itself(void **state)
{
	auto_buf records = {};
	char value[100];

	(void)state;
	memset(value, 'v', sizeof(value));
	assert_int_equal(tar_record(&records, "k", "", 0), 0);
	assert_string_equal(records.data, "5 k=\n");
	buf_truncate(&records, 0);
	/* One byte more needs one digit more. */
	assert_int_equal(tar_record(&records, "k", value, 93), 0);
	assert_int_equal(records.size, 99);
	buf_truncate(&records, 0);
	assert_int_equal(tar_record(&records, "k", value, 94), 0);
	assert_int_equal(records.size, 101);
	assert_memory_equal(records.data, "101 k=", 6);
}

static void an_acl_becomes_text(void **state)
{
	static const uint8_t acl[] = {
		2, 0,	 0,   0,   1,	0,   6,	 0, 255, 255, 255, 255, 2,   0,	 5,
		0, 0xe8, 3,   0,   0,	4,   0,	 4, 0,	 255, 255, 255, 255, 16, 0,
		7, 0,	 255, 255, 255, 255, 32, 0, 0,	 0,   255, 255, 255, 255};
	struct cop_error err = {};
	auto_buf text = {};

	(void)state;
	assert_ok(acl_text(acl, sizeof(acl), &text, &err), &err);
	assert_string_equal(text.data, "user::rw-,user:1000:r-x,group::r--,mask::rwx,"
				       "other::---");
	assert_fails(acl_text(acl, 3, &text, &err), -EBADMSG, &err);
	assert_fails(acl_text(acl, 11, &text, &err), -EBADMSG, &err);
	assert_fails(acl_text("\1\0\0\0", 4, &text, &err), -EBADMSG, &err);
}

#define T(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equal_trees_give_equal_bytes),
		T(entries_are_sorted_and_links_come_last),
		T(the_root_can_be_left_out),
		T(paths_are_archived_in_the_order_that_is_given),
		T(a_path_that_leaves_the_tree_is_refused),
		T(attributes_are_kept_in_pax_headers),
		T(what_is_not_known_is_refused),
		cmocka_unit_test(a_plain_header_has_these_bytes),
		cmocka_unit_test(long_names_go_where_the_format_has_room),
		cmocka_unit_test(large_numbers_and_fractions_are_kept),
		cmocka_unit_test(times_before_1970_are_kept),
		cmocka_unit_test(the_length_of_a_record_counts_itself),
		cmocka_unit_test(an_acl_becomes_text),
	};

	return cmocka_run_group_tests_name("tar", tests, NULL, NULL);
}
