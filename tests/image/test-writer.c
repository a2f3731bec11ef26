/* SPDX-License-Identifier: Apache-2.0 */
/* What the writer refuses, and the rewriting of overlay xattrs and whiteouts. */
#include <sys/stat.h>

#include "images.h"

#define ROOT  "/ 0 40755 1 0 0 0 1.0 - - -\n"
#define XATTR "trusted.overlay.opaque=y"

/* A tree with one node of this mode in it. */
static struct tree *tree_with(uint32_t mode, struct tree_node **ret_node)
{
	struct cop_error err = {};
	struct tree *tree = tree_new(&err);

	assert_non_null(tree);
	assert_ok(tree_add(tree, tree->root, "node", 4, mode, ret_node, &err), &err);
	return tree;
}

static void assert_refused(struct tree *tree, int code, const char *message)
{
	uint8_t *data = (uint8_t *)"untouched";
	struct cop_error err = {};
	size_t size = 17;

	assert_ok(tree_finish(tree, &err), &err);
	assert_fails(image_write(tree, 1, &data, &size, &err), code, &err);
	assert_string_equal(err.message, message);
	assert_string_equal((char *)data, "untouched");
	assert_int_equal(size, 17);
}

static void xattrs_over_the_limit_are_refused_by_name(void **state)
{
	static const char value[32000];
	struct cop_error err = {};
	struct tree_node *node;
	auto_ptr(tree) tree = tree_with(S_IFREG | 0644, &node);
	auto_image image = {};

	(void)state;
	/* 12 + 7 + 6 + 32000, and 7 + 6 + 729 for the second: exactly 32767 */
	assert_ok(tree_set_xattr(tree, node, "user.a", value, 32000, &err), &err);
	assert_ok(tree_set_xattr(tree, node, "user.b", value, 729, &err), &err);
	assert_ok(tree_finish(tree, &err), &err);
	image = image_of(tree, 1);
	assert_ok(tree_set_xattr(tree, node, "user.b", value, 730, &err), &err);
	assert_refused(tree, -ERANGE,
		       "write image: '/node': its xattrs are over the 32767 bytes that "
		       "an image can hold for one file");
}

static void a_key_over_255_bytes_is_refused(void **state)
{
	char key[257];
	struct tree_xattr xattr = {.key = key, .value = "", .size = 0};
	struct tree_node *node;
	auto_ptr(tree) tree = tree_with(S_IFREG | 0644, &node);

	(void)state;
	memset(key, 'k', 256);
	key[256] = '\0';
	node->xattrs = &xattr;
	node->n_xattrs = 1;
	assert_refused(tree, -ERANGE,
		       "write image: '/node': the key of an xattr is 1 to 255 bytes");
}

static void the_longest_overlay_key_survives_its_escape(void **state)
{
	struct cop_error err = {};
	struct tree_node *node;
	auto_ptr(tree) tree = tree_with(S_IFREG | 0644, &node);
	auto_ptr(tree) again = NULL;
	auto_image image = {};
	char key[256];

	(void)state;
	memset(key, 'k', 255);
	key[255] = '\0';
	memcpy(key, "trusted.overlay.", 16);
	assert_ok(tree_set_xattr(tree, node, key, "v", 1, &err), &err);
	assert_ok(tree_finish(tree, &err), &err);
	image = image_of(tree, 1);
	again = tree_of(&image);
	assert_non_null(tree_find_xattr(tree_find(again, "/node"), key));
}

static void files_of_more_than_1024_chunks_are_refused(void **state)
{
	struct tree_node *node;
	auto_ptr(tree) tree = tree_with(S_IFREG | 0644, &node);
	struct cop_error err = {};
	auto_image image = {};

	(void)state;
	node->size = (uint64_t)1 << 53;
	assert_ok(tree_finish(tree, &err), &err);
	image = image_of(tree, 1);
	node->size++;
	assert_refused(
		tree, -EFBIG,
		"write image: '/node': the file is larger than 1024 chunks of 8 TiB");
}

static void inline_content_over_5000_bytes_is_refused(void **state)
{
	static const char content[5001];
	struct tree_node *node;
	auto_ptr(tree) tree = tree_with(S_IFREG | 0644, &node);

	(void)state;
	node->content = content;
	node->size = sizeof(content);
	assert_refused(tree, -EFBIG,
		       "write image: '/node': inline content is over 5000 bytes");
}

static void a_payload_that_fills_an_xattr_is_refused(void **state)
{
	auto_free char *payload = malloc(65536);
	struct tree_node *node;
	auto_ptr(tree) tree = tree_with(S_IFREG | 0644, &node);

	(void)state;
	assert_non_null(payload);
	memset(payload, 'p', 65535);
	payload[65535] = '\0';
	node->size = 100;
	node->payload = payload;
	assert_refused(tree, -ERANGE,
		       "write image: '/node': the payload is over 65534 bytes");
}

static void a_symlink_without_a_text_is_refused(void **state)
{
	struct tree_node *node;
	auto_ptr(tree) tree = tree_with(S_IFLNK | 0777, &node);

	(void)state;
	assert_refused(tree, -EINVAL,
		       "write image: '/node': a symlink holds 1 to 4095 bytes");
	node->target = "";
	assert_refused(tree, -EINVAL,
		       "write image: '/node': a symlink holds 1 to 4095 bytes");
}

static void names_that_are_none_are_refused(void **state)
{
	struct tree_node *node;
	auto_ptr(tree) tree = tree_with(S_IFREG | 0644, &node);
	char name[256];

	(void)state;
	memset(name, 'n', 255);
	node->name = "a/b";
	node->name_size = 3;
	assert_refused(tree, -EINVAL,
		       "write image: '/a/b': a name is 1 to 255 bytes without '/'");
	node->name = "";
	node->name_size = 0;
	assert_refused(tree, -EINVAL,
		       "write image: '/': a name is 1 to 255 bytes without '/'");
	node->name = name;
	node->name_size = 255;
	name[255] = '\0';
	assert_ok(tree_finish(tree, NULL), &(struct cop_error){});
	{
		auto_image image = image_of(tree, 1);

		assert_true(image.size > 0);
	}
}

static void an_unknown_type_is_refused(void **state)
{
	struct tree_node *node;
	auto_ptr(tree) tree = tree_with(S_IFREG | 0644, &node);

	(void)state;
	node->mode = 0030644;
	assert_refused(tree, -EINVAL, "write image: '/node': unknown file type");
}

static void a_tree_is_at_most_1024_levels_deep(void **state)
{
	struct cop_error err = {};
	auto_ptr(tree) tree = tree_new(&err);
	struct tree_node *node = tree->root;
	auto_ptr(tree) again = NULL;
	auto_image image = {};
	uint8_t *data = NULL;
	size_t size = 0;

	(void)state;
	for (unsigned int i = 0; i < 1024; i++)
		assert_ok(tree_add(tree, node, "d", 1, S_IFDIR | 0755, &node, &err),
			  &err);
	assert_ok(tree_finish(tree, &err), &err);
	image = image_of(tree, 1);
	again = tree_of(&image);
	assert_int_equal(again->n_nodes, 1025);
	assert_ok(tree_add(tree, node, "f", 1, S_IFREG | 0644, &node, &err), &err);
	assert_ok(tree_finish(tree, &err), &err);
	assert_fails(image_write(tree, 1, &data, &size, &err), -EFBIG, &err);
	assert_non_null(strstr(err.message, "d/f': the tree is more than 1024 levels"));
}

/* A sink that keeps what it is given, and may fail. */
struct kept {
	uint8_t *piece;
	struct buf bytes;
	unsigned int n_taken, n_given, fail_take, fail_give;
};

static int take_piece(void *data, uint8_t **ret_piece, struct cop_error *err)
{
	struct kept *kept = data;

	assert_int_equal(kept->n_taken, kept->n_given);
	if (++kept->n_taken == kept->fail_take)
		return err_set(err, -ENOSPC, "no piece");
	memset(kept->piece, 0xee, IMAGE_PIECE);
	*ret_piece = kept->piece;
	return 0;
}

static int give_piece(void *data, uint8_t *piece, size_t size, struct cop_error *err)
{
	struct kept *kept = data;

	assert_ptr_equal(piece, kept->piece);
	assert_true(size <= IMAGE_PIECE);
	assert_int_equal(size % 4096, 0);
	if (++kept->n_given == kept->fail_give)
		return err_set(err, -ENOSPC, "no room");
	assert_int_equal(buf_append(&kept->bytes, piece, size), 0);
	return 0;
}

/* Inodes and their xattrs, shared ones, and the blocks of a directory each fill more than
 * one piece. */
static struct tree *large_tree(void)
{
	struct cop_error err = {};
	struct tree *tree = tree_new(&err);

	assert_non_null(tree);
	for (uint32_t i = 0; i < 20000; i++) {
		struct cop_digest digest = {.bytes = {(uint8_t)i, (uint8_t)(i >> 8)}};
		struct tree_node *node;
		char name[64], value[64];

		(void)snprintf(name, sizeof(name), "a file with a number %u", i);
		assert_ok(tree_add(tree, tree->root, name, strlen(name), S_IFREG | 0644,
				   &node, &err),
			  &err);
		node->size = 100;
		assert_ok(tree_set_digest(tree, node, &digest, &err), &err);
		(void)snprintf(value, sizeof(value), "two files have the value %u",
			       i / 2);
		assert_ok(tree_set_xattr(tree, node, "user.shared", value, strlen(value),
					 &err),
			  &err);
		assert_ok(
			tree_set_xattr(tree, node, "user.own", name, strlen(name), &err),
			&err);
	}
	assert_ok(tree_finish(tree, &err), &err);
	return tree;
}

static int write_pieces(const struct tree *tree, struct kept *kept, uint64_t *ret_size,
			struct cop_error *err)
{
	const struct image_sink sink = {
		.take = take_piece, .give = give_piece, .data = kept};

	return image_write_to(tree, IMAGE_VERSION, &sink, ret_size, err);
}

static void pieces_make_the_same_image(void **state)
{
	auto_ptr(tree) tree = large_tree();
	auto_image image = image_of(tree, IMAGE_VERSION);
	auto_free uint8_t *piece = malloc(IMAGE_PIECE);
	struct kept kept = {.piece = piece};
	struct cop_error err = {};
	uint64_t size = 0;

	(void)state;
	assert_non_null(piece);
	assert_ok(write_pieces(tree, &kept, &size, &err), &err);
	assert_true(size > 10 * IMAGE_PIECE);
	assert_int_equal(size, image.size);
	assert_int_equal(kept.bytes.size, image.size);
	assert_memory_equal(kept.bytes.data, image.data, image.size);
	assert_int_equal(kept.n_taken, kept.n_given);
	{
		auto_ptr(tree) again = tree_of(&image);

		assert_int_equal(again->n_nodes, 20001);
	}
	buf_done(&kept.bytes);
}

static void a_sink_that_fails_ends_it(void **state)
{
	auto_ptr(tree) tree = large_tree();
	auto_free uint8_t *piece = malloc(IMAGE_PIECE);

	(void)state;
	assert_non_null(piece);
	for (unsigned int n = 1; n <= 12; n++) {
		struct kept taking = {.piece = piece, .fail_take = n};
		struct kept giving = {.piece = piece, .fail_give = n};
		struct cop_error err = {};
		uint64_t size;

		assert_fails(write_pieces(tree, &taking, &size, &err), -ENOSPC, &err);
		assert_string_equal(err.message, "no piece");
		assert_int_equal(taking.n_given, n - 1);
		assert_fails(write_pieces(tree, &giving, &size, &err), -ENOSPC, &err);
		assert_string_equal(err.message, "no room");
		assert_int_equal(giving.n_taken, n);
		buf_done(&taking.bytes);
		buf_done(&giving.bytes);
	}
}

/* All names of a tree again, its directories' children last to first. */
static void add_backwards(struct tree *to, struct tree_node *to_dir,
			  const struct tree_node *from_dir)
{
	struct cop_error err = {};

	for (uint32_t i = from_dir->n_children; i-- > 0;) {
		const struct tree_node *from = from_dir->children[i];
		struct tree_node *node;

		assert_ok(tree_add(to, to_dir, from->name, strlen(from->name), from->mode,
				   &node, &err),
			  &err);
		node->mtime_sec = from->mtime_sec;
		if (from->content)
			assert_ok(tree_set_content(to, node, from->content,
						   (size_t)from->size, &err),
				  &err);
		add_backwards(to, node, from);
	}
}

static void the_order_of_adding_does_not_matter(void **state)
{
	static const char text[] = ROOT "/a 0 40755 1 0 0 0 5.0 - - -\n"
					"/a/x 1 100644 1 0 0 0 1.0 - X -\n"
					"/a/y 1 100644 1 0 0 0 1.0 - Y -\n"
					"/b 2 100755 1 0 0 0 1.0 - BB -\n"
					"/c 0 40700 1 0 0 0 3.0 - - -\n";
	auto_ptr(tree) tree = tree_of_text(text, strlen(text));
	auto_ptr(tree) backwards = tree_new(NULL);
	auto_image a = image_of(tree, 1), b = {};

	(void)state;
	backwards->root->mtime_sec = 1;
	add_backwards(backwards, backwards->root, tree->root);
	assert_ok(tree_finish(backwards, NULL), &(struct cop_error){});
	b = image_of(backwards, 1);
	assert_same_image("backwards", &a, &b);
}

static void assert_xattr(const struct tree_node *node, const char *key, const char *value)
{
	const struct tree_xattr *xattr = tree_find_xattr(node, key);

	if (!xattr)
		fail_msg("no xattr '%s'", key);
	else
		assert_string_equal(xattr->value, value);
}

/* Through an image of this version and back; must be written again as it was. */
static struct tree *round_trip(const char *text, unsigned int version)
{
	auto_ptr(tree) tree = tree_of_text(text, strlen(text));
	auto_image image = image_of(tree, version), second = {};
	auto_ptr(tree) again = tree_of(&image);

	second = image_of(again, version);
	assert_same_image("round trip", &image, &second);
	return TAKE_PTR(again);
}

static void a_directory_with_a_whiteout_comes_back_without_marks(void **state)
{
	static const char text[] = ROOT "/d 0 40755 1 0 0 0 1.0 - - -\n"
					"/d/gone 0 20000 1 0 0 0 1.0 - - - user.k=v\n";
	(void)state;
	for (unsigned int version = 0; version <= 1; version++) {
		auto_ptr(tree) tree = round_trip(text, version);
		const struct tree_node *gone = tree_find(tree, "/d/gone");

		assert_int_equal(tree_find(tree, "/d")->n_xattrs, 0);
		assert_true(tree_is_whiteout(gone));
		assert_int_equal(gone->n_xattrs, 1);
	}
}

static void version_1_loses_opaque_beside_a_whiteout_and_version_0_keeps_it(void **state)
{
	static const char text[] = ROOT "/d 0 40755 1 0 0 0 1.0 - - - " XATTR "\n"
					"/d/gone 0 20000 1 0 0 0 1.0 - - -\n";
	auto_ptr(tree) tree_0 = round_trip(text, 0);
	auto_ptr(tree) tree_1 = round_trip(text, 1);

	(void)state;
	assert_xattr(tree_find(tree_0, "/d"), "trusted.overlay.opaque", "y");
	assert_int_equal(tree_find(tree_1, "/d")->n_xattrs, 0);
}

static void an_opaque_directory_without_whiteouts_stays_opaque(void **state)
{
	static const char text[] = ROOT "/d 0 40755 1 0 0 0 1.0 - - - " XATTR "\n";
	auto_ptr(tree) tree = round_trip(text, 1);

	(void)state;
	assert_xattr(tree_find(tree, "/d"), "trusted.overlay.opaque", "y");
	assert_int_equal(tree->root->n_xattrs, 0);
}

static void an_opaque_root_is_escaped_beside_its_own_mark(void **state)
{
	static const char text[] = "/ 0 40755 1 0 0 0 1.0 - - - " XATTR "\n";
	auto_ptr(tree) tree = round_trip(text, 1);

	(void)state;
	assert_int_equal(tree->root->n_xattrs, 1);
	assert_xattr(tree->root, "trusted.overlay.opaque", "y");
}

static void xattrs_that_only_look_like_marks_are_kept(void **state)
{
	static const char text[] =
		ROOT "/d 0 40755 1 0 0 0 1.0 - - - user.overlay.whiteouts= "
		     "trusted.overlay.whiteouts=\n"
		     "/d/f 0 100644 1 0 0 0 1.0 - - - user.overlay.whiteout= "
		     "trusted.overlay.whiteout=\n"
		     "/e 0 40755 1 0 0 0 1.0 - - - user.overlay.opaque=x\n"
		     "/e/f 0 100644 1 0 0 0 1.0 - - - trusted.overlay.whiteout=\n";
	auto_ptr(tree) tree = round_trip(text, 1);

	(void)state;
	assert_int_equal(tree_find(tree, "/d")->n_xattrs, 2);
	assert_true(S_ISREG(tree_find(tree, "/d/f")->mode));
	assert_int_equal(tree_find(tree, "/d/f")->n_xattrs, 2);
	assert_xattr(tree_find(tree, "/e"), "user.overlay.opaque", "x");
	assert_xattr(tree_find(tree, "/e/f"), "trusted.overlay.whiteout", "");
}

static void escapes_are_taken_off_one_at_a_time(void **state)
{
	static const char text[] =
		ROOT "/f 0 100644 1 0 0 0 1.0 - - - trusted.overlay.overlay.x=1 "
		     "trusted.overlay.metacopy=2 trusted.overlay.=3 user.overlay.x=4\n";
	auto_ptr(tree) tree = round_trip(text, 1);
	const struct tree_node *node = tree_find(tree, "/f");

	(void)state;
	assert_int_equal(node->n_xattrs, 4);
	assert_xattr(node, "trusted.overlay.overlay.x", "1");
	assert_xattr(node, "trusted.overlay.metacopy", "2");
	assert_xattr(node, "trusted.overlay.", "3");
	assert_xattr(node, "user.overlay.x", "4");
}

static void names_of_the_root_replace_its_whiteouts(void **state)
{
	static const char text[] = ROOT "/00 0 40755 1 0 0 0 1.0 - - -\n"
					"/7f 0 20000 1 0 0 0 1.0 - - -\n"
					"/ff 1 100644 1 0 0 0 1.0 - f -\n";
	auto_ptr(tree) tree = round_trip(text, 1);

	(void)state;
	assert_int_equal(tree->n_nodes, 4);
	assert_true(tree_is_whiteout(tree_find(tree, "/7f")));
	assert_true(S_ISDIR(tree_find(tree, "/00")->mode));
}

/* The offset of what has this inode number in an image where nothing else can. */
static size_t find_inode(const struct image *image, uint32_t number, uint32_t mode)
{
	for (size_t at = 1152; at + 32 <= image->size; at += 32) {
		const uint8_t *inode = image->data + at;
		uint32_t found_mode = (uint32_t)inode[4] | (uint32_t)inode[5] << 8;
		uint32_t found = (uint32_t)inode[20] | (uint32_t)inode[21] << 8;

		if (found == number && found_mode == mode)
			return at;
	}
	fail_msg("no inode %u", number);
	return 0;
}

static void at_most_128_xattrs_of_an_inode_are_references(void **state)
{
	struct cop_error err = {};
	auto_ptr(tree) tree = tree_new(&err);
	auto_ptr(tree) again = NULL;
	auto_image image = {}, second = {};
	size_t at;

	(void)state;
	for (unsigned int file = 0; file < 2; file++) {
		char name[] = {'x', (char)('a' + file), '\0'};
		struct tree_node *node;

		assert_ok(
			tree_add(tree, tree->root, name, 2, S_IFREG | 0640, &node, &err),
			&err);
		for (unsigned int i = 0; i < 150; i++) {
			char key[32];

			(void)snprintf(key, sizeof(key), "user.k%03u", i);
			assert_ok(tree_set_xattr(tree, node, key, "v", 1, &err), &err);
		}
	}
	assert_ok(tree_finish(tree, &err), &err);
	image = image_of(tree, 1);
	at = find_inode(&image, 257, S_IFREG | 0640);
	assert_int_equal(image.data[at + 32 + 4], 128);
	/* 128 references, 22 entries of 4 + 4 + 1 bytes, padded: words, and one more */
	assert_int_equal(image.data[at + 2] | image.data[at + 3] << 8,
			 128 + 22 * 12 / 4 + 1);
	again = tree_of(&image);
	assert_int_equal(tree_find(again, "/xa")->n_xattrs, 150);
	second = image_of(again, 1);
	assert_same_image("many shared", &image, &second);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(xattrs_over_the_limit_are_refused_by_name),
		cmocka_unit_test(a_key_over_255_bytes_is_refused),
		cmocka_unit_test(the_longest_overlay_key_survives_its_escape),
		cmocka_unit_test(files_of_more_than_1024_chunks_are_refused),
		cmocka_unit_test(inline_content_over_5000_bytes_is_refused),
		cmocka_unit_test(a_payload_that_fills_an_xattr_is_refused),
		cmocka_unit_test(a_symlink_without_a_text_is_refused),
		cmocka_unit_test(names_that_are_none_are_refused),
		cmocka_unit_test(an_unknown_type_is_refused),
		cmocka_unit_test(a_tree_is_at_most_1024_levels_deep),
		cmocka_unit_test(pieces_make_the_same_image),
		cmocka_unit_test(a_sink_that_fails_ends_it),
		cmocka_unit_test(the_order_of_adding_does_not_matter),
		cmocka_unit_test(a_directory_with_a_whiteout_comes_back_without_marks),
		cmocka_unit_test(
			version_1_loses_opaque_beside_a_whiteout_and_version_0_keeps_it),
		cmocka_unit_test(an_opaque_directory_without_whiteouts_stays_opaque),
		cmocka_unit_test(an_opaque_root_is_escaped_beside_its_own_mark),
		cmocka_unit_test(xattrs_that_only_look_like_marks_are_kept),
		cmocka_unit_test(escapes_are_taken_off_one_at_a_time),
		cmocka_unit_test(names_of_the_root_replace_its_whiteouts),
		cmocka_unit_test(at_most_128_xattrs_of_an_inode_are_references),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
