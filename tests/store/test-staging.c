/* SPDX-License-Identifier: Apache-2.0 */
/* Staging: what is read, hashed and kept of files. */
#include "teststore.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/fs.h"
#include "digest/verity.h"

struct fixture {
	struct scratch *scratch;
	struct workdir *workdir;
	struct tree *tree;
};

/* Scans @path and leaves the work directory for a look. */
static int stage(struct fixture *fixture, const char *path, struct staging_totals *totals,
		 struct cop_error *err)
{
	struct staging *staging = NULL;
	struct cop_error scan_err = {};
	int fd, r, scanned;

	assert_ok(
		workdir_new(fixture->scratch->store, NULL, NULL, &fixture->workdir, err),
		err);
	assert_ok(staging_new(fixture->scratch->store, fixture->workdir, NULL, &staging,
			      err),
		  err);
	fd = openat(fixture->scratch->fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	scanned = tree_scan(fd, staging_scan_options(staging), &fixture->tree, &scan_err);
	r = staging_finish(staging, err);
	if (totals)
		staging_totals(staging, totals);
	staging_free(staging);
	(void)close(fd);
	if (r == 0 && scanned < 0)
		fail_msg("%s", scan_err.message);
	return r;
}

static void done(struct fixture *fixture)
{
	tree_free(fixture->tree);
	workdir_free(fixture->workdir);
	*fixture = (struct fixture){.scratch = fixture->scratch};
}

static const struct tree_node *node_at(const struct fixture *fixture, const char *path)
{
	const struct tree_node *node = tree_find(fixture->tree, path);

	assert_non_null(node);
	return tree_inode(node);
}

/* Opens what was staged for a node. */
static int staged(const struct fixture *fixture, const char *path, struct stat *st)
{
	char payload[TREE_PAYLOAD_SIZE], name[128];
	const struct tree_node *node = node_at(fixture, path);
	int fd;

	assert_non_null(node->digest);
	(void)snprintf(name, sizeof(name), "files/%s",
		       tree_payload(node->digest, payload));
	fd = openat(workdir_fd(fixture->workdir), name, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, st), 0);
	return fd;
}

static void assert_staged_equals(const struct fixture *fixture, const char *path,
				 const void *data, size_t size)
{
	struct cop_digest digest, copy;
	struct stat st;
	int fd = staged(fixture, path, &st);
	struct cop_error err = {};

	assert_int_equal(st.st_size, size);
	assert_int_equal(st.st_mode & 07777, 0444);
	assert_ok(verity_digest_bytes(data, size, &digest, &err), &err);
	assert_ok(verity_digest_fd(fd, size, 1, &copy, &err), &err);
	assert_digest_equal(&digest, &copy);
	assert_digest_equal(node_at(fixture, path)->digest, &digest);
	(void)close(fd);
}

static void sixty_four_bytes_are_inline_and_one_more_is_not(void **state)
{
	struct fixture fixture = {.scratch = *state};
	char text[65];
	struct cop_error err = {};

	memset(text, 'x', sizeof(text));
	scratch_write(*state, "tree/one", text, 1);
	scratch_write(*state, "tree/most", text, 64);
	scratch_write(*state, "tree/more", text, 65);
	assert_ok(stage(&fixture, "tree", NULL, &err), &err);
	assert_null(node_at(&fixture, "one")->digest);
	assert_memory_equal(node_at(&fixture, "one")->content, "x", 1);
	assert_int_equal(node_at(&fixture, "most")->size, 64);
	assert_memory_equal(node_at(&fixture, "most")->content, text, 64);
	assert_null(node_at(&fixture, "more")->content);
	assert_staged_equals(&fixture, "more", text, 65);
	done(&fixture);
}

static void sizes_around_blocks_are_kept_byte_for_byte(void **state)
{
	static const size_t sizes[] = {4095,  4096,  4097,   8191,    8192,
				       65535, 65536, 131072, 1048576, 1048577};
	struct fixture fixture = {.scratch = *state};
	char *data = malloc(2 * MIB), path[64];
	struct cop_error err = {};

	for (size_t i = 0; i < 2 * MIB; i++)
		data[i] = (char)(i * 31 + i / 4096);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		(void)snprintf(path, sizeof(path), "tree/%zu", sizes[i]);
		scratch_write(*state, path, data, sizes[i]);
	}
	assert_ok(stage(&fixture, "tree", NULL, &err), &err);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		(void)snprintf(path, sizeof(path), "%zu", sizes[i]);
		assert_staged_equals(&fixture, path, data, sizes[i]);
	}
	free(data);
	done(&fixture);
}

static void blocks_of_zeros_are_holes(void **state)
{
	struct fixture fixture = {.scratch = *state};
	size_t size = 100 * 4096;
	char *data = calloc(1, size);
	struct cop_error err = {};
	struct stat st;

	data[0] = 'a';
	data[50 * 4096 + 4095] = 'b';
	scratch_write(*state, "tree/sparse", data, size);
	scratch_write(*state, "tree/zeros", data + 4096, 40 * 4096);
	assert_ok(stage(&fixture, "tree", NULL, &err), &err);
	assert_staged_equals(&fixture, "sparse", data, size);
	assert_staged_equals(&fixture, "zeros", data + 4096, 40 * 4096);
	(void)close(staged(&fixture, "sparse", &st));
	assert_true(st.st_blocks * 512 <= 16 * 4096);
	(void)close(staged(&fixture, "zeros", &st));
	assert_int_equal(st.st_blocks, 0);
	free(data);
	done(&fixture);
}

static void a_file_larger_than_a_buffer_is_kept_whole(void **state)
{
	struct fixture fixture = {.scratch = *state};
	size_t size = (size_t)(18 * MIB) + 77;
	char *data = calloc(1, size);
	struct staging_totals totals;
	struct cop_error err = {};
	struct stat st;
	char name[128];
	int fd;

	/* data, a hole of 10 MiB, data */
	for (size_t i = 0; i < 3 * MIB; i++)
		data[i] = (char)(i * 13 + i / 977);
	memset(data + 13 * MIB + 100, 'z', 5000);
	scratch_write(*state, "tree/large", data, 3 * MIB);
	fd = openat(((struct scratch *)*state)->fd, "tree/large", O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, data + 13 * MIB + 100, 5000, 13 * MIB + 100), 5000);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	(void)close(fd);
	scratch_write(*state, "tree/twin", data, size);
	assert_ok(stage(&fixture, "tree", &totals, &err), &err);
	assert_int_equal(totals.n_files, 2);
	assert_int_equal(totals.n_new_files, 1);
	assert_staged_equals(&fixture, "large", data, size);
	assert_staged_equals(&fixture, "twin", data, size);
	(void)close(staged(&fixture, "large", &st));
	assert_true(st.st_blocks * 512 <= (off_t)(4 * MIB));
	(void)snprintf(name, sizeof(name), "%s/files/large-0",
		       workdir_path(fixture.workdir));
	assert_int_equal(stat(name, &st), -1);
	free(data);
	done(&fixture);
}

static void a_large_file_that_the_pool_has_is_not_written_again(void **state)
{
	struct fixture fixture = {.scratch = *state};
	size_t size = (size_t)(9 * MIB);
	char *data = malloc(size);
	struct staging_totals totals;
	struct cop_error err = {};

	for (size_t i = 0; i < size; i++)
		data[i] = (char)(i * 13 + i / 977);
	scratch_write(*state, "tree/large", data, size);
	assert_ok(scratch_commit(*state, "tree", "a", NULL, NULL, &err), &err);
	assert_ok(stage(&fixture, "tree", &totals, &err), &err);
	assert_int_equal(totals.n_bytes, size);
	assert_int_equal(totals.n_new_files, 0);
	free(data);
	done(&fixture);
}

static void hard_links_are_read_once(void **state)
{
	struct fixture fixture = {.scratch = *state};
	struct scratch *scratch = *state;
	struct staging_totals totals;
	struct cop_error err = {};
	char text[100] = "linked";

	scratch_write(*state, "tree/a", text, sizeof(text));
	assert_int_equal(linkat(scratch->fd, "tree/a", scratch->fd, "tree/b", 0), 0);
	assert_ok(stage(&fixture, "tree", &totals, &err), &err);
	assert_int_equal(totals.n_files, 1);
	assert_ptr_equal(node_at(&fixture, "a"), node_at(&fixture, "b"));
	done(&fixture);
}

static void a_narrow_umask_does_not_change_modes(void **state)
{
	struct fixture fixture = {.scratch = *state};
	struct cop_error err = {};
	char text[100] = "mode";
	mode_t before;

	scratch_write(*state, "tree/a", text, sizeof(text));
	before = umask(0777);
	(void)umask(0077);
	assert_ok(stage(&fixture, "tree", NULL, &err), &err);
	(void)umask(before);
	assert_staged_equals(&fixture, "a", text, sizeof(text));
	done(&fixture);
}

/* ---- files that change */

struct change {
	const struct scratch *scratch;
	int times; /* how often the file changes yet */
	int kind;
	size_t n;
};

static void change_file(void *data, enum commit_step step)
{
	struct change *change = data;
	char text[2000];
	int fd;

	if (step != COMMIT_FILE_READ || change->times-- <= 0)
		return;
	memset(text, 'A' + (int)change->n++, sizeof(text));
	fd = openat(change->scratch->fd, "tree/file", O_WRONLY | O_CLOEXEC);
	if (change->kind == 0) /* the same length */
		assert_int_equal(pwrite(fd, text, 100, 0), 100);
	else if (change->kind == 1) /* longer */
		assert_int_equal(pwrite(fd, text, 700 + change->n, 0), 700 + change->n);
	else if (change->kind == 2) /* empty */
		assert_int_equal(ftruncate(fd, 0), 0);
	else /* only the attributes */
		assert_int_equal(fchmod(fd, 0640), 0);
	if (change->kind == 3)
		assert_int_equal(fsetxattr(fd, "user.new", "v", 1, 0), 0);
	(void)close(fd);
}

static void stage_while_it_changes(struct fixture *fixture, int kind, int times,
				   int expected, struct cop_error *err)
{
	struct change change = {
		.scratch = fixture->scratch, .times = times, .kind = kind};
	char text[500] = "quiet";

	scratch_write(fixture->scratch, "tree/file", text, sizeof(text));
	store_set_step_hook(change_file, &change);
	assert_int_equal(stage(fixture, "tree", NULL, err), expected);
	store_set_step_hook(NULL, NULL);
}

static void a_file_that_changes_once_is_read_again(void **state)
{
	struct fixture fixture = {.scratch = *state};
	char text[2000] = "quiet";
	struct cop_error err = {};

	stage_while_it_changes(&fixture, 0, 1, 0, &err);
	memset(text, 'A', 100);
	assert_staged_equals(&fixture, "file", text, 500);
	done(&fixture);
	stage_while_it_changes(&fixture, 1, 1, 0, &err);
	memset(text, 'A', 2000);
	assert_staged_equals(&fixture, "file", text, 701);
	assert_int_equal(node_at(&fixture, "file")->size, 701);
	assert_true(node_at(&fixture, "file")->mtime_sec > 1700000000);
	done(&fixture);
}

static void a_file_that_became_empty_is_empty(void **state)
{
	struct fixture fixture = {.scratch = *state};
	struct cop_error err = {};

	stage_while_it_changes(&fixture, 2, 1, 0, &err);
	assert_int_equal(node_at(&fixture, "file")->size, 0);
	assert_null(node_at(&fixture, "file")->digest);
	assert_ok(tree_canonicalise(fixture.tree, &err), &err);
	done(&fixture);
}

static void attributes_that_change_are_taken_anew(void **state)
{
	struct fixture fixture = {.scratch = *state};
	struct cop_error err = {};

	stage_while_it_changes(&fixture, 3, 1, 0, &err);
	assert_int_equal(node_at(&fixture, "file")->mode & 07777, 0640);
	assert_non_null(tree_find_xattr(node_at(&fixture, "file"), "user.new"));
	done(&fixture);
}

static void a_file_that_keeps_changing_is_an_error_that_names_it(void **state)
{
	struct fixture fixture = {.scratch = *state};

	for (int kind = 0; kind < 2; kind++) {
		struct cop_error err = {};

		stage_while_it_changes(&fixture, kind, 2, -ESTALE, &err);
		assert_string_equal(err.message, "'file' changed while it was read");
		done(&fixture);
	}
}

/* The scan gives up while files are still being read: nobody may write into its tree. */
static void a_scan_that_fails_waits_for_its_files(void **state)
{
	struct scratch *scratch = *state;
	size_t size = (size_t)(2 * MIB);
	char *data = malloc(size), path[64];
	struct cop_error err = {};
	int fd, next;

	for (size_t i = 0; i < size; i++)
		data[i] = (char)(i * 13 + i / 977);
	for (int i = 0; i < 40; i++) {
		(void)snprintf(path, sizeof(path), "tree/%d", i);
		data[i] = (char)(data[i] + 1);
		scratch_write(scratch, path, data, size);
	}
	free(data);
	/* more directories than a tree may be deep */
	fd = openat(scratch->fd, "tree", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < TREE_DEPTH_MAX + 2; i++) {
		assert_int_equal(mkdirat(fd, "z", 0755), 0);
		next = openat(fd, "z", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		(void)close(fd);
		fd = next;
	}
	(void)close(fd);
	assert_fails(scratch_commit(scratch, "tree", "a", NULL, NULL, &err), -ERANGE,
		     &err);
	assert_int_equal(scratch_count(scratch, "store/tmp"), 0);
}

static void a_failed_commit_leaves_nothing(void **state)
{
	struct scratch *scratch = *state;
	struct change change = {.scratch = scratch, .times = 10};
	char text[500] = "quiet";
	struct cop_error err = {};

	scratch_write(scratch, "tree/file", text, sizeof(text));
	store_set_step_hook(change_file, &change);
	assert_fails(scratch_commit(scratch, "tree", "a", NULL, NULL, &err), -ESTALE,
		     &err);
	assert_int_equal(scratch_count(scratch, "store/tmp"), 0);
	assert_int_equal(scratch_count(scratch, "store/files"), 0);
	assert_false(scratch_has(scratch, "store/refs/name/a"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(sixty_four_bytes_are_inline_and_one_more_is_not),
		TEST(sizes_around_blocks_are_kept_byte_for_byte),
		TEST(blocks_of_zeros_are_holes),
		TEST(a_file_larger_than_a_buffer_is_kept_whole),
		TEST(a_large_file_that_the_pool_has_is_not_written_again),
		TEST(hard_links_are_read_once),
		TEST(a_narrow_umask_does_not_change_modes),
		TEST(a_file_that_changes_once_is_read_again),
		TEST(a_file_that_became_empty_is_empty),
		TEST(attributes_that_change_are_taken_anew),
		TEST(a_file_that_keeps_changing_is_an_error_that_names_it),
		TEST(a_scan_that_fails_waits_for_its_files),
		TEST(a_failed_commit_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
