/* SPDX-License-Identifier: Apache-2.0 */
/* The golden vectors: dumps, the digests of their images, small images to the byte. */
#include "images.h"

#include "digest/verity.h"

/* Its fifo of 5 GB makes an inode larger than what the size that is stored, 0, asks for.
 */
#define LOSES_SIZES "29-bogus-sizes"

static void check_digest(const char *name, unsigned int version, const char *suffix)
{
	auto_ptr(tree) tree = tree_of_vector(name);
	auto_image image = image_of(tree, version);
	char hex[COP_DIGEST_HEX + 1];
	struct cop_digest digest;
	struct cop_error err = {};
	auto_buf wanted = {};

	assert_true(read_golden(name, suffix, &wanted));
	assert_ok(verity_digest_bytes(image.data, image.size, &digest, &err), &err);
	cop_digest_to_hex(&digest, hex);
	if (wanted.size < COP_DIGEST_HEX || memcmp(hex, wanted.data, COP_DIGEST_HEX) != 0)
		fail_msg("%s version %u: %s instead of %s", name, version, hex,
			 wanted.data);
}

static void check_digest_1(const char *name)
{
	check_digest(name, 1, ".digest");
}

static void check_digest_0(const char *name)
{
	check_digest(name, 0, ".v0.digest");
}

static void every_dump_gives_its_version_1_digest(void **state)
{
	(void)state;
	for_each_vector(check_digest_1);
}

static void every_dump_gives_its_version_0_digest(void **state)
{
	(void)state;
	for_each_vector(check_digest_0);
}

/* "00000010: 0011 2233 ...  text": the bytes of such lines. */
static struct image parse_hexdump(const char *text)
{
	struct image image = {};
	auto_buf bytes = {};

	while (*text) {
		const char *at = strchr(text, ':');
		unsigned int value;

		assert_non_null(at);
		for (at++; at[0] == ' ' && at[1] != ' '; at += 5) {
			assert_int_equal(sscanf(at, "%4x", &value), 1);
			buf_append_char(&bytes, (char)(value >> 8));
			buf_append_char(&bytes, (char)(value & 0xff));
		}
		text = strchr(at, '\n');
		assert_non_null(text);
		text++;
	}
	image.size = bytes.size;
	image.data = (uint8_t *)buf_take(&bytes);
	return image;
}

static unsigned int n_hexdumps;

static void check_hexdump(const char *name)
{
	auto_ptr(tree) tree = tree_of_vector(name);
	auto_image wanted = {}, image = image_of(tree, 1);
	auto_buf text = {};

	if (!read_golden(name, ".xxd", &text))
		return;
	n_hexdumps++;
	wanted = parse_hexdump(text.data);
	assert_same_image(name, &wanted, &image);
}

static void small_images_are_their_hexdumps_to_the_byte(void **state)
{
	(void)state;
	for_each_vector(check_hexdump);
	assert_true(n_hexdumps >= 20);
}

static void check_identity(const char *name, unsigned int version)
{
	auto_ptr(tree) tree = tree_of_vector(name);
	auto_image image = image_of(tree, version);
	auto_ptr(tree) again = NULL;
	auto_image second = {};
	struct cop_error err = {};
	unsigned int found = 99;

	assert_ok(image_read(image.data, image.size, &again, &found, &err), &err);
	assert_int_equal(found, version);
	second = image_of(again, version);
	if (strcmp(name, LOSES_SIZES) == 0)
		assert_true(second.size == image.size);
	else
		assert_same_image(name, &image, &second);
}

static void check_identities(const char *name)
{
	check_identity(name, 0);
	check_identity(name, 1);
}

static void an_image_read_and_written_again_is_the_same(void **state)
{
	(void)state;
	for_each_vector(check_identities);
}

/* What the image does not keep, and the text says itself is to be ignored. */
static void drop_sizes(struct tree *tree)
{
	for (struct tree_node *node = tree->root; node; node = tree_next(node))
		if (!node->link && !S_ISREG(node->mode))
			node->size = 0;
}

static void check_dump(const char *name, unsigned int version)
{
	auto_ptr(tree) tree = tree_of_vector(name);
	auto_image image = image_of(tree, version);
	auto_ptr(tree) again = tree_of(&image);
	auto_free char *before = NULL, *after = NULL;

	drop_sizes(tree);
	before = dump_of(tree);
	after = dump_of(again);
	assert_string_equal(before, after);
}

static void check_dumps(const char *name)
{
	check_dump(name, 0);
	check_dump(name, 1);
}

static void a_dump_through_an_image_is_the_same(void **state)
{
	(void)state;
	for_each_vector(check_dumps);
}

static void without_the_lost_sizes_the_odd_vector_is_stable_too(void **state)
{
	auto_ptr(tree) tree = tree_of_vector(LOSES_SIZES);
	auto_ptr(tree) again = NULL;
	auto_image first = {}, second = {};

	(void)state;
	drop_sizes(tree);
	first = image_of(tree, 1);
	again = tree_of(&first);
	second = image_of(again, 1);
	assert_same_image(LOSES_SIZES, &first, &second);
}

static void the_writer_leaves_the_tree_as_it_was(void **state)
{
	auto_ptr(tree) tree = tree_of_vector("18-whiteouts");
	auto_free char *before = dump_of(tree), *after = NULL;
	auto_image image = image_of(tree, 1);

	(void)state;
	after = dump_of(tree);
	assert_string_equal(before, after);
	assert_int_equal(image.size, 16384);
}

static void a_late_hard_link_stays_where_it_was(void **state)
{
	auto_ptr(tree) tree = tree_of_vector("33-hardlink-late-target");
	auto_image image = image_of(tree, 1);
	auto_ptr(tree) again = tree_of(&image);
	const struct tree_node *inode = tree_find(again, "/z");

	(void)state;
	assert_non_null(inode);
	assert_null(inode->link);
	assert_ptr_equal(tree_find(again, "/a")->link, inode);
	assert_ptr_equal(tree_find(again, "/d/x")->link, inode);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_dump_gives_its_version_1_digest),
		cmocka_unit_test(every_dump_gives_its_version_0_digest),
		cmocka_unit_test(small_images_are_their_hexdumps_to_the_byte),
		cmocka_unit_test(an_image_read_and_written_again_is_the_same),
		cmocka_unit_test(a_dump_through_an_image_is_the_same),
		cmocka_unit_test(without_the_lost_sizes_the_odd_vector_is_stable_too),
		cmocka_unit_test(the_writer_leaves_the_tree_as_it_was),
		cmocka_unit_test(a_late_hard_link_stays_where_it_was),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
