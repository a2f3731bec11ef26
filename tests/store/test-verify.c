/* SPDX-License-Identifier: Apache-2.0 */
/* Damage: that it is found, told, kept from spreading, and healed. */
#include "teststore.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#include "base/fs.h"
#include "base/text.h"
#include "digest/verity.h"
#include "store/gc.h"
#include "store/verify.h"
#include "json/json.h"

static const char text[500] = "the content of a file";

static struct cop_digest commit(const struct scratch *scratch, const char *path,
				const char *name)
{
	struct cop_digest digest = {};
	struct cop_error err = {};

	assert_ok(scratch_commit(scratch, path, name, &digest, NULL, &err), &err);
	return digest;
}

/* "a" has the file as /usr/one and /usr/two. */
static struct cop_digest fill(const struct scratch *scratch)
{
	scratch_write(scratch, "a/usr/one", text, sizeof(text));
	scratch_write(scratch, "a/usr/two", text, sizeof(text));
	scratch_write(scratch, "a/other", text + 1, sizeof(text) - 1);
	return commit(scratch, "a", "team/a");
}

static void flip(const struct scratch *scratch, const char *path, size_t at)
{
	struct stat st;
	char byte;
	int fd;

	assert_int_equal(fstatat(scratch->fd, path, &st, 0), 0);
	assert_int_equal(fchmodat(scratch->fd, path, 0600, 0), 0);
	fd = openat(scratch->fd, path, O_RDWR | O_CLOEXEC);
	assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
	byte ^= 4;
	assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
	(void)close(fd);
	assert_int_equal(fchmodat(scratch->fd, path, st.st_mode & 07777, 0), 0);
}

static char *file_path(char path[128])
{
	return pool_file(text, sizeof(text), path);
}

static char *image_path(const struct cop_digest *digest, char path[128])
{
	char payload[TREE_PAYLOAD_SIZE];

	(void)snprintf(path, 128, "store/objects/%s", tree_payload(digest, payload));
	return path;
}

static struct verify_result verify_with(const struct scratch *scratch,
					const struct verify_request *request,
					json_t **ret_damaged)
{
	struct verify_result result;
	struct cop_error err = {};
	json_t *damaged = NULL;

	assert_ok(store_verify(scratch->store, request, &result, &damaged, &err), &err);
	assert_int_equal(json_array_size(damaged), result.n_damaged);
	if (ret_damaged)
		*ret_damaged = damaged;
	else
		json_decref(damaged);
	return result;
}

static struct verify_result verify(const struct scratch *scratch)
{
	return verify_with(scratch, &(struct verify_request){}, NULL);
}

static const char *member(const json_t *json, const char *key)
{
	return json_string_value(json_object_get(json, key));
}

static void a_whole_store_has_nothing_to_tell(void **state)
{
	struct scratch *scratch = *state;
	struct verify_result result;

	(void)fill(scratch);
	scratch_fill(scratch, "b", 0);
	(void)commit(scratch, "b", "b");
	result = verify(scratch);
	assert_int_equal(result.n_damaged, 0);
	assert_int_equal(result.n_objects, 2);
	assert_int_equal(result.n_files, 6);
}

static void a_wrong_byte_leads_from_the_file_to_trees_and_names(void **state)
{
	struct scratch *scratch = *state;
	struct cop_digest digest = fill(scratch);
	json_t *damaged = NULL, *wound, *tree;
	char path[128], hex[COP_DIGEST_HEX + 1];

	flip(scratch, file_path(path), 99);
	(void)verify_with(scratch, &(struct verify_request){}, &damaged);
	assert_int_equal(json_array_size(damaged), 1);
	wound = json_array_get(damaged, 0);
	assert_string_equal(member(wound, "what"), "file");
	assert_string_equal(member(wound, "how"), "wrong");
	assert_int_equal(json_array_size(json_object_get(wound, "trees")), 1);
	tree = json_array_get(json_object_get(wound, "trees"), 0);
	assert_string_equal(member(tree, "digest"), cop_digest_to_hex(&digest, hex));
	assert_string_equal(member(tree, "path"), "/usr/one");
	assert_string_equal(
		json_string_value(json_array_get(json_object_get(tree, "refs"), 0)),
		"team/a");
	json_decref(damaged);
}

/* Of an image and of a file, at the ends and between them. */
static void any_byte_counts(void **state)
{
	struct scratch *scratch = *state;
	struct cop_digest digest = fill(scratch);
	char path[128];
	struct stat st;

	for (int part = 0; part < 2; part++) {
		(void)(part ? file_path(path) : image_path(&digest, path));
		assert_int_equal(fstatat(scratch->fd, path, &st, 0), 0);
		for (off_t at = 0; at < st.st_size;
		     at += at + 1 == st.st_size ? 1 : st.st_size / 12) {
			flip(scratch, path, (size_t)at);
			assert_int_equal(verify(scratch).n_damaged, 1);
			assert_int_equal(
				cop_store_contains(scratch->store, "team/a", NULL), 0);
			flip(scratch, path, (size_t)at);
			/* What was found wrong and is right takes its marks off. */
			assert_int_equal(verify(scratch).n_damaged, 0);
			assert_int_equal(
				cop_store_contains(scratch->store, "team/a", NULL), 1);
		}
	}
	scratch_check(scratch, false);
}

static void a_commit_of_the_tree_heals_it(void **state)
{
	struct scratch *scratch = *state;
	struct cop_digest digest = fill(scratch);
	char path[128];

	flip(scratch, file_path(path), 99);
	flip(scratch, image_path(&digest, path), 1500);
	assert_true(verify(scratch).n_damaged > 0);
	(void)commit(scratch, "a", "team/a");
	assert_int_equal(cop_store_contains(scratch->store, "team/a", NULL), 1);
	assert_int_equal(verify(scratch).n_damaged, 0);
	scratch_check(scratch, false);
}

/* The damaged file has the right name and size: only its mark keeps it out. */
static void a_damaged_file_gets_into_no_other_tree(void **state)
{
	struct scratch *scratch = *state;
	char path[128];

	(void)fill(scratch);
	flip(scratch, file_path(path), 99);
	(void)verify(scratch);
	scratch_write(scratch, "b/same", text, sizeof(text));
	(void)commit(scratch, "b", "b");
	assert_int_equal(verify(scratch).n_damaged, 0);
	scratch_check(scratch, false);
}

static void what_carries_a_mark_cannot_be_read(void **state)
{
	struct scratch *scratch = *state;
	struct cop_error err = {};
	struct cop_digest digest;
	char path[128];

	(void)fill(scratch);
	flip(scratch, file_path(path), 99);
	(void)verify(scratch);
	assert_ok(verity_digest_bytes(text, sizeof(text), &digest, &err), &err);
	assert_fails(pool_open_file(scratch->store, &digest, sizeof(text), &err),
		     -EUCLEAN, &err);
	assert_non_null(strstr(err.message, "marked"));
}

static void a_missing_file_is_found_with_and_without_a_side_list(void **state)
{
	struct scratch *scratch = *state;
	struct cop_digest digest = fill(scratch);
	char path[128], hex[COP_DIGEST_HEX + 1];
	json_t *damaged = NULL;

	assert_int_equal(unlinkat(scratch->fd, file_path(path), 0), 0);
	(void)verify_with(scratch, &(struct verify_request){}, &damaged);
	assert_string_equal(member(json_array_get(damaged, 0), "how"), "missing");
	json_decref(damaged);
	(void)snprintf(path, sizeof(path), "store/meta/files/%.64s",
		       cop_digest_to_hex(&digest, hex));
	assert_int_equal(unlinkat(scratch->fd, path, 0), 0);
	assert_int_equal(verify(scratch).n_damaged, 1);
	(void)commit(scratch, "a", "team/a");
	assert_int_equal(verify(scratch).n_damaged, 0);
}

static void only_the_named_trees_are_looked_at(void **state)
{
	static const char *const only_b[] = {"b", NULL}, *const only_a[] = {"team/a",
									    NULL};
	struct scratch *scratch = *state;
	struct verify_result result;
	char path[128];

	(void)fill(scratch);
	scratch_write(scratch, "b/file", text + 2, sizeof(text) - 2);
	(void)commit(scratch, "b", "b");
	flip(scratch, file_path(path), 3);
	result = verify_with(scratch, &(struct verify_request){.trees = only_b}, NULL);
	assert_int_equal(result.n_damaged, 0);
	assert_int_equal(result.n_files, 1);
	result = verify_with(scratch, &(struct verify_request){.trees = only_a}, NULL);
	assert_int_equal(result.n_damaged, 1);
}

static void a_download_is_held_to_its_name(void **state)
{
	static const char name[] =
		"store/sources/org.osbuild.files/sha256:"
		"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
	const struct verify_request repair = {.repair = true};
	struct scratch *scratch = *state;
	struct verify_result result;

	scratch_write_text(scratch, name, "abc");
	assert_int_equal(verify(scratch).n_damaged, 0);
	scratch_write_text(scratch, name, "abd");
	assert_int_equal(verify(scratch).n_damaged, 1);
	assert_true(scratch_has(scratch, name));
	result = verify_with(scratch, &repair, NULL);
	assert_int_equal(result.n_repaired, 1);
	assert_false(scratch_has(scratch, name));
}

/* ---- repairs */

static void a_repair_takes_what_another_store_has(void **state)
{
	struct scratch *scratch = *state;
	struct verify_supplier supplier;
	struct verify_request request = {
		.repair = true, .suppliers = &supplier, .n_suppliers = 1};
	struct cop_digest digest = fill(scratch);
	struct cop_store *other = NULL;
	struct verify_result result;
	struct cop_error err = {};
	char other_path[256], path[128];

	(void)snprintf(other_path, sizeof(other_path), "cp -a %s %s/other",
		       scratch->store_path, scratch->path);
	assert_int_equal(system(other_path), 0); /* NOLINT: a test's own words */
	(void)snprintf(other_path, sizeof(other_path), "%s/other", scratch->path);
	assert_ok(cop_store_open(other_path, COP_STORE_READ_ONLY, &other, &err), &err);
	supplier = store_supplier(other);
	flip(scratch, file_path(path), 99);
	flip(scratch, image_path(&digest, path), 1500);
	result = verify_with(scratch, &request, NULL);
	assert_int_equal(result.n_damaged, 2);
	assert_int_equal(result.n_repaired, 2);
	assert_int_equal(scratch_count(scratch, "store/damaged"), 2);
	assert_int_equal(verify(scratch).n_damaged, 0);
	assert_int_equal(cop_store_contains(scratch->store, "team/a", NULL), 1);
	scratch_check(scratch, false);
	cop_store_close(other);
}

static void a_repair_takes_what_a_download_is(void **state)
{
	const struct verify_request request = {.repair = true};
	struct scratch *scratch = *state;
	struct verify_result result;
	char path[128];

	(void)fill(scratch);
	scratch_write(scratch, "store/sources/org.osbuild.files/package", text,
		      sizeof(text));
	assert_int_equal(unlinkat(scratch->fd, file_path(path), 0), 0);
	result = verify_with(scratch, &request, NULL);
	assert_int_equal(result.n_repaired, 1);
	scratch_check(scratch, false);
}

static int lie(void *data, const struct cop_digest *digest, bool is_image, int fd,
	       struct cop_error *err)
{
	(void)data;
	(void)digest;
	(void)is_image;
	(void)err;
	return fs_write_all(fd, "lies", 4) < 0 ? -EIO : 1;
}

static void whoever_helps_is_not_believed(void **state)
{
	const struct verify_supplier liar = {.name = "liar", .fetch = lie};
	const struct verify_request request = {
		.repair = true, .suppliers = &liar, .n_suppliers = 1};
	struct scratch *scratch = *state;
	struct verify_result result;
	char path[128];

	(void)fill(scratch);
	flip(scratch, file_path(path), 0);
	result = verify_with(scratch, &request, NULL);
	assert_int_equal(result.n_repaired, 0);
	assert_false(scratch_has(scratch, path));
	assert_int_equal(cop_store_contains(scratch->store, "team/a", NULL), 0);
	(void)commit(scratch, "a", "team/a");
	scratch_check(scratch, false);
}

/* ---- before use */

static void nothing_damaged_is_given_away_unless_one_must(void **state)
{
	struct scratch *scratch = *state;
	struct cop_digest digest = fill(scratch);
	struct cop_error err = {};
	char path[128];

	assert_ok(object_verify(scratch->store, &digest, NULL, &err), &err);
	flip(scratch, file_path(path), 7);
	store_trust(scratch->store);
	assert_ok(object_verify(scratch->store, &digest, NULL, &err), &err);
	scratch_reopen(scratch);
	assert_fails(object_verify(scratch->store, &digest, NULL, &err), -EUCLEAN, &err);
	assert_non_null(strstr(err.message, "/usr/one"));
}

static void a_base_is_read_back_after_the_first_restart_only(void **state)
{
	struct scratch *scratch = *state;
	struct cop_digest digest = fill(scratch);
	struct cop_error err = {};
	char path[128];

	flip(scratch, file_path(path), 7);
	/* Written since the machine started: memory would answer. */
	assert_ok(object_check_files(scratch->store, &digest, &err), &err);
	object_set_start(time(NULL) + 100);
	assert_fails(object_check_files(scratch->store, &digest, &err), -EUCLEAN, &err);
	(void)commit(scratch, "a", "team/a");
	assert_ok(object_check_files(scratch->store, &digest, &err), &err);
	flip(scratch, file_path(path), 7);
	assert_ok(object_check_files(scratch->store, &digest, &err), &err);
	object_set_start(0);
}

static void a_store_that_may_only_be_read_is_verified_and_left_alone(void **state)
{
	struct scratch *scratch = *state;
	char path[128];
	struct stat st;

	(void)fill(scratch);
	flip(scratch, file_path(path), 7);
	cop_store_close(scratch->store);
	scratch->store = scratch_open(scratch, COP_STORE_READ_ONLY);
	assert_int_equal(verify(scratch).n_damaged, 1);
	assert_int_equal(fstatat(scratch->fd, path, &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0444);
	assert_int_equal(scratch_count(scratch, "store/meta/damaged"), 0);
}

static void what_was_put_aside_goes_once_it_is_back(void **state)
{
	const struct verify_request repair = {.repair = true};
	struct scratch *scratch = *state;
	struct gc_result result;
	struct cop_error err = {};
	char path[128];

	(void)fill(scratch);
	flip(scratch, file_path(path), 7);
	(void)verify_with(scratch, &repair, NULL);
	assert_ok(store_gc(scratch->store, &(struct gc_request){}, &result, &err), &err);
	assert_int_equal(scratch_count(scratch, "store/damaged"), 1);
	(void)commit(scratch, "a", "team/a");
	assert_ok(store_gc(scratch->store, &(struct gc_request){}, &result, &err), &err);
	assert_int_equal(scratch_count(scratch, "store/damaged"), 0);
	scratch_check(scratch, false);
}

#define test(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		test(a_whole_store_has_nothing_to_tell),
		test(a_wrong_byte_leads_from_the_file_to_trees_and_names),
		test(any_byte_counts),
		test(a_commit_of_the_tree_heals_it),
		test(a_damaged_file_gets_into_no_other_tree),
		test(what_carries_a_mark_cannot_be_read),
		test(a_missing_file_is_found_with_and_without_a_side_list),
		test(only_the_named_trees_are_looked_at),
		test(a_download_is_held_to_its_name),
		test(a_repair_takes_what_another_store_has),
		test(a_repair_takes_what_a_download_is),
		test(whoever_helps_is_not_believed),
		test(nothing_damaged_is_given_away_unless_one_must),
		test(a_base_is_read_back_after_the_first_restart_only),
		test(a_store_that_may_only_be_read_is_verified_and_left_alone),
		test(what_was_put_aside_goes_once_it_is_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
