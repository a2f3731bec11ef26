/* SPDX-License-Identifier: Apache-2.0 */
#include "testlib.h"

#include <sys/stat.h>

#include "view/table.h"

static const struct timespec line = {.tv_sec = 50};

static struct tree_node base_file = {.name = "file", .mode = S_IFREG | 0644};
static struct tree_node base_device = {.name = "device", .mode = S_IFCHR | 0644};

static struct walk_entry entry_of(uint64_t ino, int64_t ctime, struct tree_node *base)
{
	return (struct walk_entry){
		.node = base,
		.seen = {.ino = ino,
			 .size = 10,
			 .mode = S_IFREG | 0644,
			 .mtime.tv_sec = 20,
			 .btime.tv_sec = 10,
			 .ctime.tv_sec = ctime},
	};
}

static struct stat stat_of(const struct walk_entry *entry)
{
	return (struct stat){.st_ino = entry->seen.ino,
			     .st_size = (off_t)entry->seen.size,
			     .st_mode = entry->seen.mode,
			     .st_mtim = entry->seen.mtime,
			     .st_ctim = entry->seen.ctime};
}

static int setup(void **state)
{
	*state = table_new(2);
	return *state ? 0 : -1;
}

static int teardown(void **state)
{
	table_free(*state);
	return 0;
}

static void add(struct table *table, const struct walk_entry *entry)
{
	struct record *record = NULL;

	assert_int_equal(table_add(table, entry, &line, &record), 1);
	assert_non_null(record);
}

static void a_file_that_nobody_touched_is_found(void **state)
{
	const struct walk_entry entry = entry_of(7, 50, &base_file);
	struct stat st = stat_of(&entry);

	assert_null(table_find_unchanged(*state, &st));
	add(*state, &entry);
	assert_ptr_equal(table_find_unchanged(*state, &st)->base, &base_file);
	assert_non_null(table_find(*state, &entry.seen));
}

static void a_file_that_changed_after_the_line_tells_nothing(void **state)
{
	struct walk_entry entry = entry_of(7, 50, &base_file);
	struct stat st;

	entry.seen.ctime.tv_nsec = 1;
	st = stat_of(&entry);
	add(*state, &entry);
	assert_null(table_find_unchanged(*state, &st));
	assert_false(record_is_untouched(table_find(*state, &entry.seen), &entry.seen));
}

static void every_difference_counts(void **state)
{
	const struct walk_entry entry = entry_of(7, 40, &base_file);
	struct stat st;

	add(*state, &entry);
	st = stat_of(&entry);
	st.st_size++;
	assert_null(table_find_unchanged(*state, &st));
	st = stat_of(&entry);
	st.st_mtim.tv_nsec++;
	assert_null(table_find_unchanged(*state, &st));
	st = stat_of(&entry);
	st.st_ctim.tv_nsec++;
	assert_null(table_find_unchanged(*state, &st));
	st = stat_of(&entry);
	st.st_ino++;
	assert_null(table_find_unchanged(*state, &st));
}

static void what_stands_for_a_device_has_no_content_of_the_base(void **state)
{
	const struct walk_entry entry = entry_of(7, 40, &base_device);
	const struct stat st = stat_of(&entry);

	add(*state, &entry);
	assert_null(table_find_unchanged(*state, &st));
	assert_non_null(table_find(*state, &entry.seen));
}

static void a_later_inode_with_the_same_number_is_another(void **state)
{
	const struct walk_entry entry = entry_of(7, 40, &base_file);
	struct seen seen = entry.seen;

	add(*state, &entry);
	seen.btime.tv_nsec = 1;
	assert_null(table_find(*state, &seen));
	seen = entry.seen;
	seen.mode = S_IFDIR | 0644;
	assert_null(table_find(*state, &seen));
}

static void an_inode_is_recorded_once_and_room_is_limited(void **state)
{
	const struct walk_entry first = entry_of(1, 40, &base_file),
				second = entry_of(2, 40, &base_file),
				third = entry_of(3, 40, &base_file);
	struct record *record = NULL;

	add(*state, &first);
	assert_int_equal(table_add(*state, &first, &line, &record), 0);
	assert_null(record);
	add(*state, &second);
	assert_int_equal(table_add(*state, &third, &line, &record), -ENOMEM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		TEST(a_file_that_nobody_touched_is_found),
		TEST(a_file_that_changed_after_the_line_tells_nothing),
		TEST(every_difference_counts),
		TEST(what_stands_for_a_device_has_no_content_of_the_base),
		TEST(a_later_inode_with_the_same_number_is_another),
		TEST(an_inode_is_recorded_once_and_room_is_limited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
