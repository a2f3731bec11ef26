/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images that lie.  Every read must end in an error that names an offset, or in a tree
 * that can be written.
 */
#include <sys/stat.h>

#include "images.h"

#define ROOT "/ 0 40755 1 0 0 0 1.0 - - -\n"

static uint16_t le16(const uint8_t *at)
{
	return (uint16_t)(at[0] | at[1] << 8);
}

static uint32_t le32(const uint8_t *at)
{
	return le16(at) | (uint32_t)le16(at + 2) << 16;
}

static void set_le32(uint8_t *at, uint32_t value)
{
	for (unsigned int i = 0; i < 4; i++)
		at[i] = (uint8_t)(value >> 8 * i);
}

static void assert_bad(const struct image *image, const char *reason)
{
	struct cop_error err = {};
	struct tree *tree = NULL;

	assert_fails(image_read(image->data, image->size, &tree, NULL, &err), -EBADMSG,
		     &err);
	assert_null(tree);
	if (strncmp(err.message, "image: offset 0x", 16) != 0 ||
	    !strstr(err.message, reason))
		fail_msg("'%s' instead of '%s'", err.message, reason);
}

/* Offset of the root's inode, of its only block, and of an entry in it by name. */
static uint8_t *root_inode(const struct image *image)
{
	return image->data + (size_t)le16(image->data + 1024 + 14) * 32;
}

static uint8_t *root_block(const struct image *image)
{
	return image->data + (size_t)le32(root_inode(image) + 16) * 4096;
}

static uint8_t *entry_in(uint8_t *block, const char *name)
{
	unsigned int n = le16(block + 8) / 12u;

	for (unsigned int i = 0; i < n; i++) {
		const uint8_t *found = block + le16(block + 12 * i + 8);

		if (memcmp(found, name, strlen(name)) == 0)
			return block + (size_t)12 * i;
	}
	fail_msg("no entry '%s'", name);
	return NULL;
}

static uint8_t *root_entry(const struct image *image, const char *name)
{
	return entry_in(root_block(image), name);
}

static uint8_t *inode_of(const struct image *image, const uint8_t *entry)
{
	return image->data + (size_t)le32(entry) * 32;
}

/* Where the data behind an inode without xattrs begins. */
static uint8_t *tail_of(uint8_t *inode)
{
	unsigned int n_words = le16(inode + 2);

	return inode + (inode[0] & 1 ? 64 : 32) + (n_words ? 12 + 4 * (n_words - 1) : 0);
}

static void a_truncated_image_is_refused_at_every_length(void **state)
{
	static const char *const names[] = {"01-empty", "06-hardlinks"};

	(void)state;
	for (size_t k = 0; k < ARRAY_SIZE(names); k++) {
		auto_ptr(tree) tree = tree_of_vector(names[k]);
		auto_image image = image_of(tree, 1);

		for (size_t size = 0; size < image.size; size++) {
			/* A block of its own: the sanitizer sees every byte too far. */
			auto_free uint8_t *cut = malloc(size + 1);
			struct image shorter = {.data = cut + 1, .size = size};

			assert_non_null(cut);
			memcpy(shorter.data, image.data, size);
			assert_bad(&shorter, "cut off");
		}
	}
}

static void a_truncated_image_that_admits_it_is_refused(void **state)
{
	auto_ptr(tree) tree = tree_of_vector("04-inline-large");
	auto_image image = image_of(tree, 1);

	(void)state;
	for (size_t size = 4096; size < image.size; size += 4096) {
		auto_free uint8_t *cut = malloc(size);
		struct image shorter = {.data = cut, .size = size};

		assert_non_null(cut);
		memcpy(cut, image.data, size);
		set_le32(cut + 1024 + 36, (uint32_t)(size / 4096));
		assert_bad(&shorter, "");
	}
}

struct outcome {
	size_t n_refused;
	size_t n_read;
};

static void try_one(const struct image *image, struct outcome *outcome)
{
	struct cop_error err = {};
	auto_ptr(tree) tree = NULL;
	auto_image second = {};
	unsigned int version = 0;
	int r = image_read(image->data, image->size, &tree, &version, &err);

	if (r < 0) {
		if (r != -EBADMSG || strncmp(err.message, "image: offset 0x", 16) != 0)
			fail_msg("%d: %s", r, err.message);
		outcome->n_refused++;
		return;
	}
	outcome->n_read++;
	assert_ok(image_write(tree, version, &second.data, &second.size, &err), &err);
}

/*
 * Every bit of the headers and the first inodes, one in five of what is not zero, one in
 * @step elsewhere: the 256 whiteouts of the root are all alike.
 */
static bool is_worth_a_try(const struct image *image, size_t bit, size_t step)
{
	size_t names = (size_t)(root_block(image) - image->data) + (size_t)259 * 12;
	size_t at = bit / 8;

	if (bit % step == 0)
		return true;
	if (at < 32 || (at >= 1024 && at < 2048))
		return true;
	return image->data[at] != 0 && at < names && bit % 5 == 0;
}

static void flip_bits(const char *name, size_t step, struct outcome *outcome)
{
	auto_ptr(tree) tree = tree_of_vector(name);
	auto_image image = image_of(tree, 1);

	for (size_t bit = 0; bit < image.size * 8; bit++) {
		uint8_t *byte = &image.data[bit / 8];

		if (!is_worth_a_try(&image, bit, step))
			continue;
		*byte ^= (uint8_t)(1u << bit % 8);
		try_one(&image, outcome);
		*byte ^= (uint8_t)(1u << bit % 8);
	}
}

static void a_flipped_bit_is_refused_or_gives_a_tree(void **state)
{
	static const char *const names[] = {"06-hardlinks", "18-whiteouts", "20-acl"};
	struct outcome outcome = {};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		flip_bits(names[i], 41, &outcome);
	print_message("%zu flips refused, %zu read\n", outcome.n_refused, outcome.n_read);
	assert_true(outcome.n_refused > 8000);
	assert_true(outcome.n_read > 1000);
}

/* xorshift: the same "random" damage every time */
static uint32_t next_random(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

static void damage_of_many_bytes_is_refused_or_gives_a_tree(void **state)
{
	static const char *const names[] = {"14-xattrs-many", "21-mtimes", "12-all-types",
					    "31-shared-order", "33-hardlink-late-target"};
	struct outcome outcome = {};
	uint32_t seed = 20240607;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		auto_ptr(tree) tree = tree_of_vector(names[i]);
		auto_image image = image_of(tree, 1);
		auto_free uint8_t *sound = malloc(image.size);

		assert_non_null(sound);
		memcpy(sound, image.data, image.size);
		for (unsigned int round = 0; round < 600; round++) {
			unsigned int n = 1 + next_random(&seed) % 4;

			while (n-- > 0) {
				size_t at =
					1024 + next_random(&seed) % (image.size - 1024);

				/* Moved pieces of the image make better lies. */
				if (round % 2)
					image.data[at] = (uint8_t)next_random(&seed);
				else
					image.data[at] =
						sound[next_random(&seed) % image.size];
			}
			try_one(&image, &outcome);
			memcpy(image.data, sound, image.size);
		}
	}
	assert_true(outcome.n_refused > 100);
}

static void what_is_no_image_is_refused(void **state)
{
	auto_image image = image_of_text(ROOT);
	static const struct {
		size_t offset;
		uint8_t value;
		const char *reason;
	} changes[] = {
		{0, 0, "not a composefs image"},
		{4, 2, "header version 2 is unknown"},
		{8, 2, "flags 0x2 are unknown"},
		{8, 1, "no ACLs, but the flag"},
		{12, 2, "format version 2 is unknown"},
		{31, 1, "reserved bytes"},
		{1024, 0, "no EROFS superblock"},
		{1024 + 4, 1, "checksum"},
		{1024 + 8, 7, "compatible features 0x7"},
		{1024 + 12, 13, "blocks are not 4096 bytes"},
		{1024 + 13, 1, "layout"},
		{1024 + 14, 35, "no inode can be here"},
		{1024 + 16, 7, "inodes are said to be there, 257 are"},
		{1024 + 36, 9, "9 blocks in an image of 4"},
		{1024 + 40, 1, "layout"},
		{1024 + 46, 1, "shared xattrs are beyond the end"},
		{1024 + 50, 1, "a name where composefs has none"},
		{1024 + 80, 1, "features 0x1 are unknown"},
		{1024 + 91, 1, "reserved bytes"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		uint8_t *byte = &image.data[changes[i].offset];
		uint8_t was = *byte;

		*byte = changes[i].value;
		assert_bad(&image, changes[i].reason);
		*byte = was;
	}
}

static void acls_without_the_flag_are_refused(void **state)
{
	auto_ptr(tree) tree = tree_of_vector("20-acl");
	auto_image image = image_of(tree, 1);

	(void)state;
	image.data[8] = 0;
	assert_bad(&image, "there are ACLs, but not the flag");
}

static void directories_that_loop_are_refused(void **state)
{
	auto_image image = image_of_text(ROOT "/a 0 40755 1 0 0 0 1.0 - - -\n"
					      "/a/b 0 40755 1 0 0 0 1.0 - - -\n"
					      "/c 0 40755 1 0 0 0 1.0 - - -\n");
	uint8_t *a = root_entry(&image, "a"), *c = root_entry(&image, "c");
	uint8_t *b = entry_in(tail_of(inode_of(&image, a)), "b");
	uint32_t was = le32(b);

	(void)state;
	set_le32(b, le16(image.data + 1024 + 14));
	assert_bad(&image, "a directory has a second name: the image loops");
	set_le32(b, le32(a));
	assert_bad(&image, "a directory has a second name: the image loops");
	set_le32(b, was);
	set_le32(c, le32(a));
	assert_bad(&image, "a directory has a second name: the image loops");
}

static void dots_that_lead_elsewhere_are_refused(void **state)
{
	auto_image image = image_of_text(ROOT "/a 0 40755 1 0 0 0 1.0 - - -\n");
	uint8_t *a = root_entry(&image, "a");
	uint8_t *tail = tail_of(inode_of(&image, a));
	uint32_t root = le32(tail + 12);

	(void)state;
	set_le32(tail, root);
	assert_bad(&image, "'.' leads elsewhere");
	set_le32(tail, le32(a));
	set_le32(tail + 12, le32(a));
	assert_bad(&image, "'..' leads elsewhere");
	set_le32(tail + 12, root);
	tail[12 + 10] = 1;
	assert_bad(&image, "'..' leads elsewhere");
}

static void a_directory_without_dots_is_refused(void **state)
{
	auto_image image = image_of_text(ROOT "/a 0 40755 1 0 0 0 1.0 - - -\n");
	uint8_t *inode = inode_of(&image, root_entry(&image, "a"));

	(void)state;
	/* "." alone, of 13 bytes */
	inode[8] = 13;
	tail_of(inode)[8] = 12;
	tail_of(inode)[12] = '.';
	assert_bad(&image, "the directory lacks '.' or '..'");
}

static void names_out_of_order_are_refused(void **state)
{
	auto_image image = image_of_text(ROOT "/x1 0 100644 1 0 0 0 1.0 - - -\n"
					      "/x2 0 100644 1 0 0 0 1.0 - - -\n");
	uint8_t *block = root_block(&image);
	uint8_t *name = block + le16(root_entry(&image, "x2") + 8);

	(void)state;
	name[1] = '0';
	assert_bad(&image, "names are not in order");
	name[1] = '1';
	assert_bad(&image, "names are not in order");
	name[1] = '/';
	assert_bad(&image, "a name is not 1 to 255 bytes");
}

static void names_that_overlap_or_leave_the_block_are_refused(void **state)
{
	auto_image image = image_of_text(ROOT "/x1 0 100644 1 0 0 0 1.0 - - -\n"
					      "/x2 0 100644 1 0 0 0 1.0 - - -\n");
	uint8_t *head = root_entry(&image, "x2");
	uint16_t was = le16(head + 8);

	(void)state;
	set_le32(head + 8, (uint32_t)(was - 3) | 1u << 16);
	assert_bad(&image, "the next name's offset");
	set_le32(head + 8, 4097u | 1u << 16);
	assert_bad(&image, "the next name's offset");
	set_le32(head + 8, was | 1u << 16 | 1u << 24);
	assert_bad(&image, "reserved byte");
	set_le32(head + 8, was | 1u << 16);
	root_block(&image)[8]++;
	assert_bad(&image, "is not behind the entries");
	root_block(&image)[8]--;
	root_block(&image)[4000] = 'x';
	assert_bad(&image, "bytes behind the last name");
}

static void a_type_that_does_not_fit_is_refused(void **state)
{
	auto_image image = image_of_text(ROOT "/x 0 100644 1 0 0 0 1.0 - - -\n");

	(void)state;
	root_entry(&image, "x")[10] = 7;
	assert_bad(&image, "type 7 does not fit the inode's mode 100644");
}

static void an_entry_beyond_the_image_is_refused(void **state)
{
	auto_image image = image_of_text(ROOT "/x 0 100644 1 0 0 0 1.0 - - -\n");
	uint8_t *entry = root_entry(&image, "x");

	(void)state;
	set_le32(entry, (uint32_t)(image.size / 32));
	assert_bad(&image, "beyond the end of the image");
	set_le32(entry + 4, 0xffffffff);
	assert_bad(&image, "beyond the end of the image");
	set_le32(entry + 4, 0);
	set_le32(entry, 3);
	assert_bad(&image, "no inode can be here");
}

static void data_blocks_belong_to_one_inode(void **state)
{
	char text[9000], content[2501];
	auto_image image = {};
	uint8_t *a, *b;

	(void)state;
	memset(content, 'c', 2500);
	content[2500] = '\0';
	(void)snprintf(text, sizeof(text),
		       ROOT "/xa 2500 100644 1 0 0 0 1.0 - %s -\n"
			    "/xb 2500 100644 1 0 0 0 1.0 - %s -\n",
		       content, content);
	image = image_of_text(text);
	a = inode_of(&image, root_entry(&image, "xa"));
	b = inode_of(&image, root_entry(&image, "xb"));
	set_le32(b + 16, le32(a + 16));
	assert_bad(&image, "a data block overlaps something else");
	/* the block of the root directory, then the header */
	set_le32(b + 16, le32(root_inode(&image) + 16));
	assert_bad(&image, "a data block overlaps something else");
	set_le32(b + 16, 0);
	assert_bad(&image, "a data block overlaps something else");
	set_le32(b + 16, (uint32_t)(image.size / 4096));
	assert_bad(&image, "a data block is beyond the end of the image");
	set_le32(b + 16, 0xffffffff);
	assert_bad(&image, "a data block is beyond the end of the image");
}

static void inodes_do_not_overlap(void **state)
{
	auto_image image =
		image_of_text(ROOT "/xa 40 100644 1 0 0 0 1.0 - "
				   "0123456789012345678901234567890123456789 -\n"
				   "/xb 0 100644 1 0 0 0 1.0 - - -\n");
	uint8_t *a = root_entry(&image, "xa"), *b = root_entry(&image, "xb");
	uint8_t *inside = inode_of(&image, a) + 32;

	(void)state;
	/* An empty file in the content of another. */
	memcpy(inside, inode_of(&image, b), 32);
	set_le32(b, le32(a) + 1);
	assert_bad(&image, "the inode overlaps something else");
}

static void sizes_that_cannot_be_are_refused(void **state)
{
	auto_image image = image_of_text(ROOT "/xc 0 20644 1 0 0 7 1.0 - - -\n"
					      "/xf 3 100644 1 0 0 0 1.0 - abc -\n"
					      "/xl 1 120777 1 0 0 0 1.0 t - -\n"
					      "/xp 70 100644 1 0 0 0 1.0 p - -\n");
	uint8_t *character = inode_of(&image, root_entry(&image, "xc"));
	uint8_t *file = inode_of(&image, root_entry(&image, "xf"));
	uint8_t *link = inode_of(&image, root_entry(&image, "xl"));
	uint8_t *pooled = inode_of(&image, root_entry(&image, "xp"));

	(void)state;
	character[8] = 1;
	assert_bad(&image, "a size of 1 for an inode of mode 20644");
	character[8] = 0;
	set_le32(file + 8, 5001);
	assert_bad(&image, "a size of 5001 for an inode of mode 100644");
	set_le32(file + 8, 4096);
	assert_bad(&image, "a tail of no size");
	set_le32(file + 8, 4095);
	assert_bad(&image, "the inode's tail crosses a block");
	set_le32(file + 8, 3);
	file[16] = 1;
	assert_bad(&image, "names a block that it does not need");
	file[16] = 0;
	set_le32(link + 8, 0);
	assert_bad(&image, "a size of 0 for an inode of mode 120777");
	set_le32(link + 8, 4096);
	assert_bad(&image, "a size of 4096 for an inode of mode 120777");
	set_le32(link + 8, 1);
	*tail_of(link) = '\0';
	assert_bad(&image, "the symlink's text holds a NUL");
	*tail_of(link) = 't';
	pooled[16] = 1;
	assert_bad(&image, "chunk format 0x1 for a file of 70 bytes");
	pooled[16] = 0;
	tail_of(pooled)[0] = 0;
	assert_bad(&image, "a chunk that is not a hole");
	tail_of(pooled)[0] = 0xff;
	file[0] = 1 << 1;
	assert_bad(&image, "inode format 0x2 is unknown");
	file[0] = 4 << 1;
	file[4] = 0;
	file[5] = 0xa0;
	root_entry(&image, "xf")[10] = 7;
	assert_bad(&image, "only regular files can have chunks");
}

/* An inode with one inline xattr; the offset of its entry. */
static struct image image_with_xattr(const char *xattr, uint8_t **ret_entry)
{
	char text[600];
	struct image image;

	(void)snprintf(text, sizeof(text), ROOT "/x 0 100644 1 0 0 0 1.0 - - - %s\n",
		       xattr);
	image = image_of_text(text);
	*ret_entry = inode_of(&image, root_entry(&image, "x")) + 32 + 12;
	return image;
}

static void xattrs_that_cannot_be_are_refused(void **state)
{
	uint8_t *entry;
	auto_image image = image_with_xattr("user.key=value", &entry);

	(void)state;
	entry[1] = 5;
	assert_bad(&image, "xattr namespace 5 is not composefs's");
	entry[1] = 9;
	assert_bad(&image, "xattr namespace 9 is not composefs's");
	entry[1] = 6;
	assert_bad(&image, "the name filter does not fit");
	entry[1] = 1;
	entry[2] = 200;
	assert_bad(&image, "an xattr is beyond its area");
	entry[2] = 5;
	entry[5] = '\0';
	assert_bad(&image, "an xattr's name is empty or holds a NUL");
	entry[5] = 'e';
	entry[-12 + 4] = 2;
	assert_bad(&image, "shared xattr");
	entry[-12 + 4] = 255;
	assert_bad(&image, "more shared xattrs than the inode has room for");
	entry[-12 + 4] = 0;
	entry[-1] = 1;
	assert_bad(&image, "reserved bytes of an xattr area");
	entry[-1] = 0;
	entry[-12] ^= 1;
	assert_bad(&image, "the name filter does not fit");
}

static void a_key_in_the_wrong_namespace_is_refused(void **state)
{
	uint8_t *entry;
	auto_image image = image_with_xattr("odd.key=value", &entry);

	(void)state;
	memcpy(entry + 4, "user.ke", 7);
	assert_bad(&image, "an xattr is stored in the wrong namespace");
}

static void an_xattr_twice_is_refused(void **state)
{
	uint8_t *entry, *single;
	auto_image image = image_with_xattr("user.a=1 user.b=2", &entry);
	auto_image other = image_with_xattr("user.a=1", &single);

	(void)state;
	assert_int_equal(other.size, image.size);
	entry[8 + 4] = 'a';
	memcpy(entry - 12, single - 12, 4);
	assert_bad(&image, "the inode has an xattr twice");
}

static void overlay_xattrs_where_no_writer_puts_them_are_refused(void **state)
{
	static const struct {
		const char *xattr;
		const char *reason;
	} cases[] = {
		{"trusted.xxxxxxx.opaque=y", "only the root of an image is opaque"},
		{"trusted.xxxxxxx.opaque=z", "that composefs does not use"},
		{"trusted.xxxxxxx.whiteout=", "that composefs does not use"},
		{"trusted.xxxxxxx.origin=x", "that composefs does not use"},
		{"trusted.xxxxxxx.metacopy=", "where the content is not in the pool"},
		{"trusted.xxxxxxx.metacopy=1", "does not hold an fs-verity SHA-256"},
		{"trusted.xxxxxxx.redirect=/a", "where the content is not in the pool"},
		{"trusted.xxxxxxx.redirect=aa", "redirect is not a path"},
		{"trusted.xxxxxxx.redirect=/", "redirect is not a path"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint8_t *entry;
		auto_image image = image_with_xattr(cases[i].xattr, &entry);

		memcpy(entry + 4, "overlay", 7);
		assert_bad(&image, cases[i].reason);
	}
}

static void shared_xattrs_do_not_overlap(void **state)
{
	auto_image image = image_of_text(
		ROOT
		"/xa 0 100644 1 0 0 0 1.0 - - - user.k=\\x01\\x01\\x00\\x00ab user.l=1\n"
		"/xb 0 100644 1 0 0 0 1.0 - - - user.k=\\x01\\x01\\x00\\x00ab user.l=1\n");
	uint8_t *inode = inode_of(&image, root_entry(&image, "xb"));
	uint32_t id = le32(inode + 32 + 12);

	(void)state;
	assert_int_equal(inode[32 + 4], 2);
	/* user.k's value looks like an entry; 1 word behind its start begins the name */
	set_le32(inode + 32 + 12, id + 2);
	assert_bad(&image, "a shared xattr overlaps something else");
	set_le32(inode + 32 + 12, 0x3fffffff);
	assert_bad(&image, "is beyond the end of the image");
	set_le32(inode + 32 + 12, 0);
	assert_bad(&image, "");
}

/* A root label that every whiteout shares is decoded once, links are one node each. */
static void memory_is_bounded_by_the_size_of_the_image(void **state)
{
	struct cop_error err = {};
	auto_ptr(tree) tree = tree_new(&err);
	auto_ptr(tree) again = NULL;
	struct tree_node *inode, *dir = NULL;
	auto_image image = {};

	(void)state;
	assert_ok(tree_add(tree, tree->root, "inode", 5, S_IFREG | 0644, &inode, &err),
		  &err);
	for (unsigned int i = 0; i < 120; i++) {
		char key[16];

		(void)snprintf(key, sizeof(key), "user.%u", i);
		assert_ok(tree_set_xattr(tree, inode, key, "value", 5, &err), &err);
	}
	for (unsigned int i = 0; i < 20000; i++) {
		struct tree_node *node;
		char name[8];

		if (i % 200 == 0) {
			(void)snprintf(name, sizeof(name), "d%u", i / 200);
			assert_ok(tree_add(tree, tree->root, name, strlen(name),
					   S_IFDIR | 0755, &dir, &err),
				  &err);
			dir->xattrs = inode->xattrs;
			dir->n_xattrs = inode->n_xattrs;
		}
		(void)snprintf(name, sizeof(name), "%u", i % 200);
		assert_ok(
			tree_add_link(tree, dir, name, strlen(name), inode, &node, &err),
			&err);
	}
	assert_ok(tree_finish(tree, &err), &err);
	image = image_of(tree, 1);
	again = tree_of(&image);
	assert_int_equal(again->n_nodes, 20102);
	print_message("image %zu bytes, tree %zu bytes\n", image.size,
		      arena_size(again->arena));
	assert_true(arena_size(again->arena) < 32 * image.size);
	/* the values of the shared xattrs are the same memory */
	assert_ptr_equal(tree_find_xattr(tree_find(again, "/d1"), "user.7")->value,
			 tree_find_xattr(tree_find(again, "/d2"), "user.7")->value);
}

/* Numbers that fit no name: the first name is taken, and links still lead to it. */
static void hard_links_without_sound_numbers_stand_at_their_first_name(void **state)
{
	auto_ptr(tree) tree = tree_of_vector("33-hardlink-late-target");
	auto_image image = image_of(tree, 1);
	uint8_t *inode = inode_of(&image, root_entry(&image, "z"));
	auto_ptr(tree) again = NULL;

	(void)state;
	set_le32(inode + 20, 0xfffffff0);
	again = tree_of(&image);
	assert_null(tree_find(again, "/a")->link);
	assert_ptr_equal(tree_find(again, "/z")->link, tree_find(again, "/a"));
	assert_ptr_equal(tree_find(again, "/d/x")->link, tree_find(again, "/a"));
	assert_int_equal(tree_find(again, "/a")->nlink, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_truncated_image_is_refused_at_every_length),
		cmocka_unit_test(a_truncated_image_that_admits_it_is_refused),
		cmocka_unit_test(a_flipped_bit_is_refused_or_gives_a_tree),
		cmocka_unit_test(damage_of_many_bytes_is_refused_or_gives_a_tree),
		cmocka_unit_test(what_is_no_image_is_refused),
		cmocka_unit_test(acls_without_the_flag_are_refused),
		cmocka_unit_test(directories_that_loop_are_refused),
		cmocka_unit_test(dots_that_lead_elsewhere_are_refused),
		cmocka_unit_test(a_directory_without_dots_is_refused),
		cmocka_unit_test(names_out_of_order_are_refused),
		cmocka_unit_test(names_that_overlap_or_leave_the_block_are_refused),
		cmocka_unit_test(a_type_that_does_not_fit_is_refused),
		cmocka_unit_test(an_entry_beyond_the_image_is_refused),
		cmocka_unit_test(data_blocks_belong_to_one_inode),
		cmocka_unit_test(inodes_do_not_overlap),
		cmocka_unit_test(sizes_that_cannot_be_are_refused),
		cmocka_unit_test(xattrs_that_cannot_be_are_refused),
		cmocka_unit_test(a_key_in_the_wrong_namespace_is_refused),
		cmocka_unit_test(an_xattr_twice_is_refused),
		cmocka_unit_test(overlay_xattrs_where_no_writer_puts_them_are_refused),
		cmocka_unit_test(shared_xattrs_do_not_overlap),
		cmocka_unit_test(memory_is_bounded_by_the_size_of_the_image),
		cmocka_unit_test(
			hard_links_without_sound_numbers_stand_at_their_first_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
