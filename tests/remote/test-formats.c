/* SPDX-License-Identifier: Apache-2.0 */
/* Packs, index segments, plans, listings and credentials: what is written can be read,
 * and what somebody else wrote is believed in nothing. */
#include "testlib.h"

#include "base/text.h"
#include "remote/credentials.h"
#include "remote/index.h"
#include "remote/listing.h"
#include "remote/pack.h"
#include "remote/plan.h"

static struct cop_digest digest_of(uint8_t first)
{
	struct cop_digest digest = {{first, 1, 2, 3}};

	return digest;
}

static struct pack *make_pack(void)
{
	struct cop_error err = {};
	struct pack *pack = pack_new(&err);
	auto_ptr(packer) packer = packer_new(&err);
	auto_buf stored = {}, tree = {}, base = {};
	enum block_codec codec = BLOCK_STORED;
	struct cop_digest none = {};
	static char text[100000];
	uint32_t block = 9;

	assert_non_null(pack);
	memset(text, 'x', sizeof(text));
	assert_ok(block_pack(packer, text, sizeof(text), &stored, &codec, &err), &err);
	assert_int_equal(codec, BLOCK_ZSTD);
	assert_ok(pack_add_block(pack, &stored, sizeof(text), codec, &block, &err), &err);
	assert_int_equal(block, 0);
	for (uint8_t i = 0; i < 2; i++) {
		struct pack_file file = {.id = digest_of(i + 1),
					 .size = 40000,
					 .block = block,
					 .inner = i * 40000u,
					 .length = 40000};

		assert_ok(pack_add_file(pack, &file, &err), &err);
	}
	assert_ok(tree_pack("a tree", 6, &none, &base, &tree, &err), &err);
	assert_ok(pack_add_block(pack, &tree, 6, BLOCK_TREE, &block, &err), &err);
	assert_ok(pack_add_tree(pack, &(struct pack_tree){digest_of(9), block}, &err),
		  &err);
	assert_ok(pack_finish(pack, &err), &err);
	return pack;
}

static void a_pack_tells_what_is_in_it(void **state)
{
	auto_ptr(pack) pack = make_pack();
	cleanup_with(pack_directory_done) struct pack_directory directory = {};
	struct cop_error err = {};
	char hex[SHA256_HEX + 1];

	(void)state;
	assert_ok(sha256_bytes(pack->bytes.data, pack->bytes.size, hex, &err), &err);
	assert_string_equal(hex, pack->id);
	assert_ok(pack_read_directory((uint8_t *)pack->bytes.data, pack->bytes.size,
				      pack->bytes.size, &directory, &err),
		  &err);
	assert_int_equal(directory.n_blocks, 2);
	assert_int_equal(directory.n_files, 2);
	assert_int_equal(directory.n_trees, 1);
	assert_int_equal(directory.files[1].inner, 40000);
	assert_int_equal(directory.blocks[1].codec, BLOCK_TREE);
}

static void the_same_content_never_has_the_same_pack_twice(void **state)
{
	auto_ptr(pack) a = make_pack();
	auto_ptr(pack) b = make_pack();

	(void)state;
	assert_int_equal(a->bytes.size, b->bytes.size);
	assert_string_not_equal(a->id, b->id);
}

static void a_damaged_directory_is_refused(void **state)
{
	auto_ptr(pack) pack = make_pack();
	size_t size = pack->bytes.size;

	(void)state;
	for (size_t at = pack->directory_at; at < size; at++) {
		cleanup_with(pack_directory_done) struct pack_directory directory = {};
		struct cop_error err = {};
		int r;

		pack->bytes.data[at] ^= 0x21;
		r = pack_read_directory((uint8_t *)pack->bytes.data, size, size,
					&directory, &err);
		/* A size that says more than there is asks for more. */
		if (r != -EBADMSG && r != -EMSGSIZE)
			fail_msg("byte %zu: %d", at, r);
		pack->bytes.data[at] ^= 0x21;
	}
}

static void part_of_a_directory_asks_for_more(void **state)
{
	auto_ptr(pack) pack = make_pack();
	cleanup_with(pack_directory_done) struct pack_directory directory = {};
	struct cop_error err = {};

	(void)state;
	assert_fails(pack_read_directory((uint8_t *)pack->bytes.data + pack->bytes.size -
						 PACK_TRAILER_SIZE - 3,
					 PACK_TRAILER_SIZE + 3, pack->bytes.size,
					 &directory, &err),
		     -EMSGSIZE, &err);
}

/* A segment with one pack, three blocks and three files, of which one is large. */
static void make_segment(struct buf *bytes, const struct block *extra)
{
	struct cop_error err = {};
	auto_ptr(segment_writer) writer = segment_writer_new(&err);
	uint8_t id[SHA256_SIZE] = {7};
	char name[SHA256_HEX + 1];
	struct block block = {
		.offset = 24, .stored_size = 1000, .size = 4000, .codec = BLOCK_ZSTD};
	uint32_t number = 0;

	assert_ok(segment_writer_add_pack(writer, id, 100000, &block.pack, &err), &err);
	assert_ok(segment_writer_add_block(writer, &block, &number, &err), &err);
	assert_ok(segment_writer_add_file(
			  writer, &(struct index_file){digest_of(5), 1000, number, 0},
			  &err),
		  &err);
	assert_ok(segment_writer_add_file(
			  writer, &(struct index_file){digest_of(3), 3000, number, 1000},
			  &err),
		  &err);
	block.offset = 2000;
	block.size = FILE_BLOCK;
	assert_ok(segment_writer_add_block(writer, &block, &number, &err), &err);
	assert_ok(segment_writer_add_file(
			  writer,
			  &(struct index_file){digest_of(8), FILE_BLOCK + 500, number, 0},
			  &err),
		  &err);
	block.offset = 4000;
	block.size = 500;
	assert_ok(segment_writer_add_block(writer, extra ? extra : &block, &number, &err),
		  &err);
	assert_ok(segment_writer_finish(writer, bytes, name, &err), &err);
}

static void a_segment_finds_what_was_entered(void **state)
{
	struct cop_error err = {};
	auto_ptr(catalogue) catalogue = catalogue_new(&err);
	struct segment *segment = NULL;
	const struct segment *found = NULL;
	struct cop_digest id;
	auto_buf bytes = {};

	(void)state;
	make_segment(&bytes, NULL);
	assert_ok(segment_read(bytes.data, bytes.size, &segment, &err), &err);
	assert_ok(catalogue_add(catalogue, segment, &err), &err);
	id = digest_of(3);
	assert_int_equal(catalogue_file(catalogue, &id, &found)->inner, 1000);
	id = digest_of(8);
	assert_int_equal(
		segment_file_blocks(found, catalogue_file(catalogue, &id, &found), &err),
		2);
	id = digest_of(4);
	assert_null(catalogue_file(catalogue, &id, &found));
}

static void blocks_that_do_not_fit_their_file_are_refused(void **state)
{
	const struct block wrong = {
		.offset = 4000, .stored_size = 10, .size = 499, .codec = BLOCK_ZSTD};
	auto_ptr(segment) segment = NULL;
	struct cop_error err = {};
	auto_buf bytes = {};

	(void)state;
	make_segment(&bytes, &wrong);
	assert_ok(segment_read(bytes.data, bytes.size, &segment, &err), &err);
	assert_int_equal(segment_file_blocks(segment, &segment->files[2], &err),
			 -EBADMSG);
	segment->files[2].size = UINT64_MAX;
	assert_int_equal(segment_file_blocks(segment, &segment->files[2], &err),
			 -EBADMSG);
}

static void impossible_segments_are_refused(void **state)
{
	static const struct block wrong[] = {
		{.offset = 99999, .stored_size = 10, .size = 10, .codec = BLOCK_ZSTD},
		{.offset = 24, .stored_size = 0, .size = 10, .codec = BLOCK_ZSTD},
		{.offset = 24,
		 .stored_size = 10,
		 .size = FILE_BLOCK + 1,
		 .codec = BLOCK_ZSTD},
		{.offset = 24,
		 .stored_size = 10,
		 .size = 10,
		 .codec = (enum block_codec)7},
		{.pack = 1,
		 .offset = 24,
		 .stored_size = 10,
		 .size = 10,
		 .codec = BLOCK_ZSTD},
		{.offset = UINT64_MAX - 3,
		 .stored_size = 10,
		 .size = 10,
		 .codec = BLOCK_ZSTD},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct segment *segment = NULL;
		struct cop_error err = {};
		auto_buf bytes = {};

		make_segment(&bytes, &wrong[i]);
		assert_fails(segment_read(bytes.data, bytes.size, &segment, &err),
			     -EBADMSG, &err);
	}
}

static void a_segment_that_declares_more_than_it_has_takes_no_memory(void **state)
{
	struct segment *segment = NULL;
	struct cop_error err = {};
	auto_buf bytes = {};

	(void)state;
	make_segment(&bytes, NULL);
	/* n_files, at byte 16: the sum of all sizes does not fit any more. */
	memset(bytes.data + 16, 0xff, 4);
	assert_fails(segment_read(bytes.data, bytes.size, &segment, &err), -EBADMSG,
		     &err);
	memset(bytes.data + 28, 0xff, 4);
	assert_fails(segment_read(bytes.data, bytes.size, &segment, &err), -EBADMSG,
		     &err);
	assert_fails(segment_read(bytes.data, 20, &segment, &err), -EBADMSG, &err);
}

static void a_tree_comes_back_from_its_dictionary(void **state)
{
	auto_buf base = {}, text = {}, stored = {}, again = {};
	struct cop_digest base_id = digest_of(1), found;
	struct cop_error err = {};

	(void)state;
	for (unsigned int i = 0; i < 5000; i++) {
		(void)buf_printf(&base, "/usr/share/file%u %u\n", i, i * 7919);
		(void)buf_printf(&text, "/usr/share/file%u %u\n", i, i * 7919);
		if (i == 2500)
			(void)buf_append_text(&text, "/usr/share/one more\n");
	}
	assert_ok(tree_pack(buf_text(&text), text.size, &base_id, &base, &stored, &err),
		  &err);
	assert_in_range(stored.size, 33, 200);
	assert_ok(tree_block_base(stored.data, stored.size, &found, &err), &err);
	assert_true(cop_digest_equal(&found, &base_id));
	assert_ok(tree_unpack(stored.data, stored.size, &base, text.size, &again, &err),
		  &err);
	assert_string_equal(buf_text(&again), buf_text(&text));
}

static void a_tree_of_another_size_or_dictionary_is_refused(void **state)
{
	auto_buf base = {}, same = {}, other = {}, stored = {};
	struct cop_digest base_id = digest_of(1);
	struct cop_error err = {};

	(void)state;
	for (unsigned int i = 0; i < 9000; i++) {
		(void)buf_printf(&base, "line %u\n", i * 31);
		(void)buf_printf(&same, "line %u\n", i * 31);
		(void)buf_printf(&other, "line %u\n", i * 37);
	}
	assert_ok(tree_pack(buf_text(&same), same.size, &base_id, &base, &stored, &err),
		  &err);
	for (int i = 0; i < 4; i++) {
		auto_buf text = {};
		int r = tree_unpack(stored.data, i == 3 ? stored.size - 1 : stored.size,
				    i == 0 ? &other : &base,
				    base.size - (i == 1) + (i == 2), &text, &err);

		if (r != -EBADMSG)
			fail_msg("case %d: %d", i, r);
	}
}

static void a_bomb_stops_at_what_was_declared(void **state)
{
	static char zeros[1 << 24];
	auto_buf none = {}, stored = {}, text = {};
	struct cop_digest no_base = {};
	struct cop_error err = {};

	(void)state;
	assert_ok(tree_pack(zeros, sizeof(zeros), &no_base, &none, &stored, &err), &err);
	assert_in_range(stored.size, 33, 20000);
	assert_fails(tree_unpack(stored.data, stored.size, &none, 1000, &text, &err),
		     -EBADMSG, &err);
	assert_in_range(text.capacity, 0, 1 << 20);
}

static void a_plan_comes_back_and_strange_ones_are_refused(void **state)
{
	static const char *const strange[] = {
		"",
		"[]",
		"{}",
		"{\"format\":1,\"object\":\"x\"}",
		"{\"format\":1,\"object\":"
		"\"0101010101010101010101010101010101010101010101010101010101010101\","
		"\"trees\":[],\"segments\":[]}",
		"{\"format\":1,\"object\":"
		"\"0101010101010101010101010101010101010101010101010101010101010101\","
		"\"trees\":["
		"\"0101010101010101010101010101010101010101010101010101010101010101\"],"
		"\"segments\":[\"../../../../etc/passwd\"]}",
		"{\"format\":1,\"object\":"
		"\"0101010101010101010101010101010101010101010101010101010101010101\","
		"\"trees\":["
		"\"0201010101010101010101010101010101010101010101010101010101010101\"],"
		"\"segments\":["
		"\"0101010101010101010101010101010101010101010101010101010101010101\"]}",
	};
	struct plan plan = {.object = digest_of(2), .n_trees = 2}, again;
	struct cop_error err = {};
	auto_buf text = {};

	(void)state;
	plan.trees[0] = digest_of(1);
	plan.trees[1] = digest_of(2);
	assert_ok(plan_add_segment(&plan,
				   "00112233445566778899aabbccddeeff00112233445566778899"
				   "aabbccddeeff",
				   &err),
		  &err);
	assert_ok(plan_write(&plan, &text, &err), &err);
	assert_ok(plan_read(buf_text(&text), text.size, &again, &err), &err);
	assert_int_equal(again.n_trees, 2);
	assert_string_equal(again.segments[0], plan.segments[0]);
	for (size_t i = 0; i < ARRAY_SIZE(strange); i++)
		assert_fails(plan_read(strange[i], strlen(strange[i]), &again, &err),
			     -EBADMSG, &err);
	assert_fails(plan_read("{\"format\": 2}", 13, &again, &err), -EPROTONOSUPPORT,
		     &err);
}

static int count_entry(void *data, const struct listing_entry *entry)
{
	assert_string_equal(entry->modified, "2026-01-02T03:04:05.000Z");
	*(uint64_t *)data += entry->size;
	return 0;
}

static void a_listing_is_read_page_by_page(void **state)
{
	static const char page[] =
		"<?xml version=\"1.0\"?><ListBucketResult><Name>b</Name>"
		"<IsTruncated>true</IsTruncated><Contents><Key>v1/i/x</Key>"
		"<LastModified>2026-01-02T03:04:05.000Z</LastModified>"
		"<ETag>&quot;0&quot;</ETag><Size>12</Size></Contents>"
		"<Contents><Size>30</Size><Key>a&amp;b</Key><Owner><ID>q</ID></Owner>"
		"<LastModified>2026-01-02T03:04:05.000Z</LastModified></Contents>"
		"<NextContinuationToken>to=ken</NextContinuationToken>"
		"</ListBucketResult>";
	auto_free char *token = NULL;
	struct cop_error err = {};
	uint64_t sum = 0;

	(void)state;
	assert_ok(listing_parse(page, sizeof(page) - 1, count_entry, &sum, &token, &err),
		  &err);
	assert_int_equal(sum, 42);
	assert_string_equal(token, "to=ken");
	assert_ok(listing_parse("<x/>", 4, count_entry, &sum, &token, &err), &err);
	assert_null(token);
}

static void a_listing_with_entities_or_cut_short_is_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"<ListBucketResult><Contents>",
		"<!DOCTYPE x [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]><x>&b;</x>",
		"<L><IsTruncated>true</IsTruncated></L>",
		"no xml at all",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		auto_free char *token = NULL;
		struct cop_error err = {};
		uint64_t sum = 0;

		assert_fails(listing_parse(bad[i], strlen(bad[i]), count_entry, &sum,
					   &token, &err),
			     -EBADMSG, &err);
	}
}

static void credentials_come_from_their_profile(void **state)
{
	static const char text[] = "# a comment\n[default]\naws_access_key_id = AK\n"
				   "aws_secret_access_key=S/K+=\n\n[ other ]\n"
				   "aws_access_key_id=B\naws_secret_access_key = C \r\n"
				   "aws_session_token = T\nregion=r\nnonsense\n[half]\n"
				   "aws_access_key_id=D\n";
	struct credentials found = {};
	struct cop_error err = {};

	(void)state;
	assert_int_equal(credentials_parse(text, "default", &found, &err), 1);
	assert_string_equal(found.access, "AK");
	assert_string_equal(found.secret, "S/K+=");
	assert_null(found.token);
	credentials_done(&found);
	assert_int_equal(credentials_parse(text, "other", &found, &err), 1);
	assert_string_equal(found.secret, "C");
	assert_string_equal(found.token, "T");
	assert_string_equal(found.region, "r");
	credentials_done(&found);
	assert_int_equal(credentials_parse(text, "half", &found, &err), 0);
	credentials_done(&found);
	assert_int_equal(credentials_parse(text, "none", &found, &err), 0);
	credentials_done(&found);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pack_tells_what_is_in_it),
		cmocka_unit_test(the_same_content_never_has_the_same_pack_twice),
		cmocka_unit_test(a_damaged_directory_is_refused),
		cmocka_unit_test(part_of_a_directory_asks_for_more),
		cmocka_unit_test(a_segment_finds_what_was_entered),
		cmocka_unit_test(blocks_that_do_not_fit_their_file_are_refused),
		cmocka_unit_test(impossible_segments_are_refused),
		cmocka_unit_test(
			a_segment_that_declares_more_than_it_has_takes_no_memory),
		cmocka_unit_test(a_tree_comes_back_from_its_dictionary),
		cmocka_unit_test(a_tree_of_another_size_or_dictionary_is_refused),
		cmocka_unit_test(a_bomb_stops_at_what_was_declared),
		cmocka_unit_test(a_plan_comes_back_and_strange_ones_are_refused),
		cmocka_unit_test(a_listing_is_read_page_by_page),
		cmocka_unit_test(a_listing_with_entities_or_cut_short_is_refused),
		cmocka_unit_test(credentials_come_from_their_profile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
