/* SPDX-License-Identifier: Apache-2.0 */
/* Refs, what is known of them, and looking things up. */
#include "teststore.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/buf.h"

static const char id_a[] =
	"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
static const char id_b[] =
	"0011223344556677ffffffffccddeeff00112233445566778899aabbccddeeff";

struct fixture {
	struct scratch *scratch;
	struct cop_store *store;
	struct cop_digest one, two;
};

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	struct cop_error err = {};
	void *scratch = NULL;

	if (!fixture || scratch_setup(&scratch) < 0)
		return -1;
	fixture->scratch = scratch;
	fixture->store = fixture->scratch->store;
	scratch_fill(fixture->scratch, "one", 1);
	scratch_fill(fixture->scratch, "two", 2);
	assert_ok(scratch_commit(scratch, "one", NULL, &fixture->one, NULL, &err), &err);
	assert_ok(scratch_commit(scratch, "two", NULL, &fixture->two, NULL, &err), &err);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;
	void *scratch = fixture->scratch;

	free(fixture);
	return scratch_teardown(&scratch);
}

static void set(const struct fixture *fixture, const char *name)
{
	struct cop_error err = {};

	assert_ok(cop_ref_set(fixture->store, name, &fixture->one, &err), &err);
}

static void names_are_checked(void **state)
{
	static const char *const good[] = {
		"a",	   "A.b_c:d+e@f-g", "a/b/c",	     "12345",	 "abcde",
		"abcdefg", "ABCDEF",	    "debian:trixie", "failed/x", "a/00112233",
	};
	static const char *const bad[] = {
		"",   "/",    "a/",	  "/a",	    "a//b",	  ".a",
		"-a", "a/.b", "a/-b",	  "a b",    "a%",	  "a\n",
		"..", "a/..", "\xc3\xa4", "abcdef", "0123456789", id_a,
	};
	char name[600];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_true(ref_name_is_valid(REF_NAME, good[i]));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(ref_name_is_valid(REF_NAME, bad[i]));
	memset(name, 'x', sizeof(name));
	name[255] = '\0';
	assert_true(ref_name_is_valid(REF_NAME, name));
	name[255] = 'x';
	name[256] = '\0';
	assert_false(ref_name_is_valid(REF_NAME, name));
	(void)snprintf(name, sizeof(name), "failed/%s", id_a);
	assert_false(ref_name_is_valid(REF_NAME, name));
	assert_true(ref_name_is_valid(REF_STAGE, id_a));
	assert_true(ref_name_is_valid(REF_FAILED, id_a));
	assert_false(ref_name_is_valid(REF_STAGE, id_a + 1));
	assert_false(ref_name_is_valid(REF_STAGE, "a"));
}

static void a_name_points_to_what_it_was_set_to(void **state)
{
	const struct fixture *fixture = *state;
	struct cop_digest digest = {};
	struct cop_error err = {};

	set(fixture, "a");
	assert_ok(cop_ref_set(fixture->store, "a", &fixture->two, &err), &err);
	assert_ok(cop_store_resolve(fixture->store, "a", &digest, &err), &err);
	assert_digest_equal(&digest, &fixture->two);
}

static void a_ref_is_a_relative_symlink(void **state)
{
	const struct fixture *fixture = *state;
	char text[200] = {}, expected[200], payload[TREE_PAYLOAD_SIZE];
	struct stat st;

	set(fixture, "a/b");
	assert_true(readlinkat(fixture->scratch->fd, "store/refs/name/a/b", text,
			       sizeof(text) - 1) > 0);
	(void)snprintf(expected, sizeof(expected), "../../../objects/%s",
		       tree_payload(&fixture->one, payload));
	assert_string_equal(text, expected);
	/* it leads to the image */
	assert_int_equal(fstatat(fixture->scratch->fd, "store/refs/name/a/b", &st, 0), 0);
	assert_true(S_ISREG(st.st_mode));
}

static void a_ref_to_nothing_is_refused(void **state)
{
	const struct fixture *fixture = *state;
	struct cop_digest digest = {.bytes = {1}};
	struct cop_error err = {};

	assert_fails(cop_ref_set(fixture->store, "a", &digest, &err), -ENOENT, &err);
	assert_false(scratch_has(fixture->scratch, "store/refs/name/a"));
	assert_int_equal(scratch_count(fixture->scratch, "store/refs"), 3);
	assert_int_equal(scratch_count(fixture->scratch, "store/meta"), 4);
}

static void a_name_and_a_directory_of_names_clash(void **state)
{
	const struct fixture *fixture = *state;
	struct cop_error err = {};

	set(fixture, "a/b/c");
	assert_fails(cop_ref_set(fixture->store, "a/b", &fixture->one, &err), -EEXIST,
		     &err);
	assert_non_null(strstr(err.message, "'a/b'"));
	assert_non_null(strstr(err.message, "'a/b/c'"));
	assert_fails(cop_ref_set(fixture->store, "a/b/c/d", &fixture->one, &err), -EEXIST,
		     &err);
	assert_non_null(strstr(err.message, "'a/b/c/d'"));
	assert_non_null(strstr(err.message, "'a/b/c'"));
}

static void removing_a_name_removes_empty_directories(void **state)
{
	const struct fixture *fixture = *state;
	struct cop_error err = {};

	set(fixture, "a/b/c");
	set(fixture, "a/d");
	assert_ok(cop_ref_remove(fixture->store, "a/b/c", &err), &err);
	assert_false(scratch_has(fixture->scratch, "store/refs/name/a/b"));
	assert_true(scratch_has(fixture->scratch, "store/refs/name/a/d"));
	assert_ok(cop_ref_remove(fixture->store, "a/d", &err), &err);
	assert_int_equal(scratch_count(fixture->scratch, "store/refs/name"), 0);
	assert_int_equal(scratch_count(fixture->scratch, "store/meta/refs/name"), 0);
	/* now the directory's name is free for a ref */
	set(fixture, "a");
}

static void an_empty_directory_left_behind_is_no_obstacle(void **state)
{
	const struct fixture *fixture = *state;

	assert_int_equal(mkdirat(fixture->scratch->fd, "store/refs/name/a", 0700), 0);
	assert_int_equal(mkdirat(fixture->scratch->fd, "store/refs/name/a/b", 0700), 0);
	assert_int_equal(mkdirat(fixture->scratch->fd, "store/meta/refs/name/a", 0700),
			 0);
	set(fixture, "a");
	assert_int_equal(cop_store_contains(fixture->store, "a", NULL), 1);
}

static void meta_left_behind_is_no_obstacle(void **state)
{
	const struct fixture *fixture = *state;

	scratch_write_text(fixture->scratch, "store/meta/refs/name/a", "{}");
	set(fixture, "a/b");
	assert_int_equal(cop_store_contains(fixture->store, "a/b", NULL), 1);
}

static void removing_what_is_not_there_is_an_error(void **state)
{
	const struct fixture *fixture = *state;
	struct cop_error err = {};

	set(fixture, "a/b");
	assert_fails(cop_ref_remove(fixture->store, "x", &err), -ENOENT, &err);
	assert_fails(cop_ref_remove(fixture->store, "a", &err), -ENOENT, &err);
	assert_fails(cop_ref_remove(fixture->store, "a/b/c", &err), -ENOENT, &err);
	assert_fails(cop_ref_remove(fixture->store, "../x", &err), -EINVAL, &err);
}

static void a_wrong_ref_is_an_error_that_names_it(void **state)
{
	static const char *const texts[] = {
		"../../objects/ab/cd",
		"/etc/passwd",
		"../../files/00/"
		"112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
		"../objects/00/112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
		"../../objects/00/112233445566778899aabbccddeeff00112233445566778899aabbccddeefF",
		"../../objects/00x112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
		"../../objects/../../objects/00/"
		"112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
	};
	const struct fixture *fixture = *state;
	struct cop_digest digest = {};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct cop_error err = {};

		(void)unlinkat(fixture->scratch->fd, "store/refs/name/wrong", 0);
		assert_int_equal(symlinkat(texts[i], fixture->scratch->fd,
					   "store/refs/name/wrong"),
				 0);
		assert_fails(cop_store_resolve(fixture->store, "wrong", &digest, &err),
			     -EBADMSG, &err);
		assert_non_null(strstr(err.message, "'wrong'"));
	}
	(void)unlinkat(fixture->scratch->fd, "store/refs/name/wrong", 0);
	scratch_write_text(fixture->scratch, "store/refs/name/wrong", "x");
	assert_fails(cop_store_resolve(fixture->store, "wrong", &digest, NULL), -EBADMSG,
		     &(struct cop_error){});
}

struct listing {
	char text[1000];
	size_t n, stop_at;
};

static int list_name(void *data, const char *name, const struct cop_digest *digest)
{
	struct listing *listing = data;

	assert_false(cop_digest_is_null(digest));
	(void)strcat(strcat(listing->text, name), " ");
	return ++listing->n == listing->stop_at ? -ECANCELED : 0;
}

static void names_are_listed_in_the_order_of_bytes(void **state)
{
	const struct fixture *fixture = *state;
	struct listing listing = {}, some = {}, two = {.stop_at = 2};
	struct cop_error err = {};

	set(fixture, "a/b");
	set(fixture, "a-b");
	set(fixture, "b");
	set(fixture, "a/a/z");
	set(fixture, "Z");
	assert_ok(cop_ref_list(fixture->store, NULL, list_name, &listing, &err), &err);
	assert_string_equal(listing.text, "Z a-b a/a/z a/b b ");
	assert_ok(cop_ref_list(fixture->store, "a*", list_name, &some, &err), &err);
	assert_string_equal(some.text, "a-b a/a/z a/b ");
	assert_fails(cop_ref_list(fixture->store, NULL, list_name, &two, &err),
		     -ECANCELED, &err);
	assert_string_equal(two.text, "Z a-b ");
}

static int remove_visited(void *data, const char *name, const struct cop_digest *digest)
{
	(void)digest;
	return cop_ref_remove(data, name, NULL);
}

static void a_visitor_may_change_refs(void **state)
{
	const struct fixture *fixture = *state;
	struct listing listing = {};
	struct cop_error err = {};

	set(fixture, "a/b");
	set(fixture, "c");
	assert_ok(
		cop_ref_list(fixture->store, NULL, remove_visited, fixture->store, &err),
		&err);
	assert_ok(cop_ref_list(fixture->store, NULL, list_name, &listing, &err), &err);
	assert_int_equal(listing.n, 0);
}

/* ---- meta */

static void meta_is_kept_with_digest_and_time(void **state)
{
	const struct fixture *fixture = *state;
	json_t *meta = json_pack("{s:s, s:i}", "stage", "org.osbuild.test", "digest", 7);
	json_t *found = NULL;
	struct cop_error err = {};
	char hex[COP_DIGEST_HEX + 1];

	assert_ok(ref_set(fixture->store, REF_STAGE, id_a, &fixture->one, meta, &err),
		  &err);
	assert_ok(ref_meta(fixture->store, REF_STAGE, id_a, &found, &err), &err);
	assert_string_equal(json_string_value(json_object_get(found, "stage")),
			    "org.osbuild.test");
	assert_string_equal(json_string_value(json_object_get(found, "digest")),
			    cop_digest_to_hex(&fixture->one, hex));
	assert_true(json_is_integer(json_object_get(found, "created")));
	/* what was given is only borrowed */
	assert_int_equal(json_integer_value(json_object_get(meta, "digest")), 7);
	json_decref(meta);
	json_decref(found);
}

static void meta_of_another_digest_says_nothing(void **state)
{
	const struct fixture *fixture = *state;
	char text[200], hex[COP_DIGEST_HEX + 1];
	struct cop_error err = {};
	json_t *meta = NULL;

	set(fixture, "a");
	(void)snprintf(text, sizeof(text), "{\"digest\": \"%s\"}",
		       cop_digest_to_hex(&fixture->two, hex));
	scratch_write_text(fixture->scratch, "store/meta/refs/name/a", text);
	assert_fails(ref_meta(fixture->store, REF_NAME, "a", &meta, &err), -ENOENT, &err);
	scratch_write_text(fixture->scratch, "store/meta/refs/name/a", "{\"digest\": ");
	assert_fails(ref_meta(fixture->store, REF_NAME, "a", &meta, &err), -EBADMSG,
		     &err);
	assert_int_equal(unlinkat(fixture->scratch->fd, "store/meta/refs/name/a", 0), 0);
	assert_fails(ref_meta(fixture->store, REF_NAME, "a", &meta, &err), -ENOENT, &err);
}

static void last_use_is_the_time_of_the_meta(void **state)
{
	const struct fixture *fixture = *state;
	struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
	struct workdir *workdir = NULL;
	struct cop_digest digest;
	struct cop_error err = {};
	struct stat st;

	set(fixture, "a");
	assert_int_equal(
		utimensat(fixture->scratch->fd, "store/meta/refs/name/a", old, 0), 0);
	assert_ok(workdir_new(fixture->store, NULL, NULL, &workdir, &err), &err);
	assert_ok(object_get(fixture->store, workdir, "a", &digest, &err), &err);
	workdir_free(workdir);
	assert_int_equal(fstatat(fixture->scratch->fd, "store/meta/refs/name/a", &st, 0),
			 0);
	assert_true(st.st_mtim.tv_sec > 1000);
}

static void a_log_is_kept_to_its_last_mebibyte(void **state)
{
	const struct fixture *fixture = *state;
	size_t size = (size_t)(3 * MIB);
	char *text = malloc(size);
	struct cop_error err = {};
	struct buf buf = {};

	for (size_t i = 0; i < size; i++)
		text[i] = i % 100 == 99 ? '\n' : (char)('a' + i % 26);
	assert_ok(store_log_write(fixture->store, id_a, text, size, &err), &err);
	assert_ok(store_log_read(fixture->store, id_a, &buf, &err), &err);
	assert_true(buf.size <= MIB && buf.size > MIB - 200);
	assert_memory_equal(buf.data, text + size - buf.size, buf.size);
	assert_int_equal(text[size - buf.size - 1], '\n');
	buf_done(&buf);
	assert_fails(store_log_read(fixture->store, id_b, &buf, &err), -ENOENT, &err);
	assert_fails(store_log_write(fixture->store, "../x", text, 1, &err), -EINVAL,
		     &err);
	buf_done(&buf);
	free(text);
}

/* ---- resolve */

static void a_name_comes_before_an_id(void **state)
{
	const struct fixture *fixture = *state;
	char name[COP_DIGEST_HEX + 8], hex[COP_DIGEST_HEX + 1], prefix[16];
	struct cop_digest digest = {};
	struct cop_error err = {};

	/* names cannot look like ids, so the two never meet; failed/ID is its own way */
	assert_ok(ref_set(fixture->store, REF_FAILED, id_a, &fixture->two, NULL, &err),
		  &err);
	assert_ok(ref_set(fixture->store, REF_STAGE, id_a, &fixture->one, NULL, &err),
		  &err);
	assert_ok(cop_store_resolve(fixture->store, id_a, &digest, &err), &err);
	assert_digest_equal(&digest, &fixture->one);
	(void)snprintf(name, sizeof(name), "failed/%s", id_a);
	assert_ok(cop_store_resolve(fixture->store, name, &digest, &err), &err);
	assert_digest_equal(&digest, &fixture->two);
	(void)snprintf(prefix, sizeof(prefix), "%.8s",
		       cop_digest_to_hex(&fixture->two, hex));
	assert_ok(cop_store_resolve(fixture->store, prefix, &digest, &err), &err);
	assert_digest_equal(&digest, &fixture->two);
	assert_ok(cop_store_resolve(fixture->store, hex, &digest, &err), &err);
	assert_digest_equal(&digest, &fixture->two);
}

static void a_failed_id_alone_is_not_found(void **state)
{
	const struct fixture *fixture = *state;
	struct cop_digest digest = {};
	struct cop_error err = {};

	assert_ok(ref_set(fixture->store, REF_FAILED, id_a, &fixture->two, NULL, &err),
		  &err);
	assert_fails(cop_store_resolve(fixture->store, id_a, &digest, &err), -ENOENT,
		     &err);
}

static void an_ambiguous_prefix_lists_what_it_may_be(void **state)
{
	const struct fixture *fixture = *state;
	struct cop_digest digest = {};
	struct cop_error err = {};

	assert_ok(ref_set(fixture->store, REF_STAGE, id_a, &fixture->one, NULL, &err),
		  &err);
	assert_ok(ref_set(fixture->store, REF_STAGE, id_b, &fixture->two, NULL, &err),
		  &err);
	assert_fails(cop_store_resolve(fixture->store, "001122", &digest, &err),
		     -ENOTUNIQ, &err);
	assert_non_null(strstr(err.message, id_a));
	assert_non_null(strstr(err.message, id_b));
	assert_ok(cop_store_resolve(fixture->store, "00112233445566778", &digest, &err),
		  &err);
	assert_digest_equal(&digest, &fixture->one);
}

static void what_is_nothing_is_not_found(void **state)
{
	static const char *const ids[] = {"x", "00112", "ffffff",   "-x",	"../x",
					  "",  id_a,	"failed/x", "failed/00"};
	const struct fixture *fixture = *state;
	struct cop_digest digest = {};

	for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
		struct cop_error err = {};

		assert_fails(cop_store_resolve(fixture->store, ids[i], &digest, &err),
			     -ENOENT, &err);
		assert_non_null(strstr(err.message, ids[i]));
		assert_int_equal(cop_store_contains(fixture->store, ids[i], &err), 0);
	}
	assert_int_equal(cop_store_contains(fixture->store, NULL, NULL), 0);
	assert_true(cop_digest_is_null(&digest));
}

static void an_object_in_use_is_registered(void **state)
{
	const struct fixture *fixture = *state;
	char hex[COP_DIGEST_HEX + 1], path[512];
	struct workdir *workdir = NULL;
	struct cop_digest digest = {};
	struct cop_error err = {};
	struct stat st;

	set(fixture, "a");
	assert_ok(workdir_new(fixture->store, NULL, NULL, &workdir, &err), &err);
	assert_ok(object_get(fixture->store, workdir, "a", &digest, &err), &err);
	(void)snprintf(path, sizeof(path), "%s/roots/%s", workdir_path(workdir),
		       cop_digest_to_hex(&digest, hex));
	assert_int_equal(stat(path, &st), 0);
	assert_ok(object_mark_damaged(fixture->store, &fixture->two, &err), &err);
	assert_fails(object_get(fixture->store, workdir,
				cop_digest_to_hex(&fixture->two, hex), &digest, &err),
		     -ENOENT, &err);
	workdir_free(workdir);
}

/* Each of two processes sets, lists and removes names in one directory of names. */
static void two_processes_may_change_names_at_once(void **state)
{
	const struct fixture *fixture = *state;
	pid_t pids[2];

	for (int i = 0; i < 2; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			struct cop_store *store = scratch_open(fixture->scratch, 0);
			const char *name = i ? "d/e/one" : "d/e/two";

			for (int k = 0; k < 50; k++)
				if (cop_ref_set(store, name, &fixture->one, NULL) < 0 ||
				    cop_ref_remove(store, name, NULL) < 0)
					_exit(1);
			cop_store_close(store);
			_exit(0);
		}
	}
	for (int i = 0; i < 2; i++) {
		int status = -1;

		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
	assert_int_equal(scratch_count(fixture->scratch, "store/refs/name"), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_checked),
		TEST(a_name_points_to_what_it_was_set_to),
		TEST(a_ref_is_a_relative_symlink),
		TEST(a_ref_to_nothing_is_refused),
		TEST(a_name_and_a_directory_of_names_clash),
		TEST(removing_a_name_removes_empty_directories),
		TEST(an_empty_directory_left_behind_is_no_obstacle),
		TEST(meta_left_behind_is_no_obstacle),
		TEST(removing_what_is_not_there_is_an_error),
		TEST(a_wrong_ref_is_an_error_that_names_it),
		TEST(names_are_listed_in_the_order_of_bytes),
		TEST(a_visitor_may_change_refs),
		TEST(meta_is_kept_with_digest_and_time),
		TEST(meta_of_another_digest_says_nothing),
		TEST(last_use_is_the_time_of_the_meta),
		TEST(a_log_is_kept_to_its_last_mebibyte),
		TEST(a_name_comes_before_an_id),
		TEST(a_failed_id_alone_is_not_found),
		TEST(an_ambiguous_prefix_lists_what_it_may_be),
		TEST(what_is_nothing_is_not_found),
		TEST(an_object_in_use_is_registered),
		TEST(two_processes_may_change_names_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
