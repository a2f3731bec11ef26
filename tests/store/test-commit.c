/* SPDX-License-Identifier: Apache-2.0 */
/* Commits: what they give, what they keep, and what a kill between any two steps leaves.
 */
#include "teststore.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "base/fs.h"

static const char stage_id[] =
	"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

static void commit_ok(const struct scratch *scratch, const char *path, const char *name,
		      struct cop_digest *ret_digest)
{
	struct cop_error err = {};

	assert_ok(scratch_commit(scratch, path, name, ret_digest, NULL, &err), &err);
}

static void an_object_is_there_after_its_commit(void **state)
{
	struct scratch *scratch = *state;
	struct cop_digest digest = {}, ref;
	char hex[COP_DIGEST_HEX + 1];

	scratch_fill(scratch, "tree", 0);
	commit_ok(scratch, "tree", "a", &digest);
	ref = scratch_ref(scratch, "a");
	assert_digest_equal(&ref, &digest);
	assert_int_equal(cop_store_contains(scratch->store, "a", NULL), 1);
	assert_int_equal(
		cop_store_contains(scratch->store, cop_digest_to_hex(&digest, hex), NULL),
		1);
	scratch_check(scratch, false);
	assert_int_equal(scratch_count(scratch, "store/tmp"), 0);
}

/* The image itself is proven by the vectors of tests/golden; this holds fast what
 * scanning and staging make of a directory. */
static void the_digest_of_a_known_tree_is_golden(void **state)
{
	const struct commit_directory_options options = {.source_epoch = -1,
							 .only_digest = true};
	struct scratch *scratch = *state;
	struct cop_digest digest = {}, committed = {};
	struct cop_error err = {};
	int fd;

	scratch_fill(scratch, "tree", 3);
	fd = openat(scratch->fd, "tree", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_ok(store_commit_directory(NULL, fd, &options, &digest, &err), &err);
	(void)close(fd);
	commit_ok(scratch, "tree", NULL, &committed);
	assert_digest_equal(&committed, &digest);
	/* Where the system labels new files, or for another owner, it is another tree. */
	if (geteuid() == 0 && fgetxattr(scratch->fd, "security.selinux", NULL, 0) < 0) {
		char hex[COP_DIGEST_HEX + 1];

		assert_string_equal(
			cop_digest_to_hex(&digest, hex),
			"f64c9b1fc5cedceb9355ec5f1cac11f44f53fb50a025bc1355f8e3e6fe1e4206");
	}
}

static void equal_trees_are_one_object(void **state)
{
	struct scratch *scratch = *state;
	struct cop_digest a = {}, b = {};
	struct staging_totals totals;
	struct cop_error err = {};

	scratch_fill(scratch, "one", 0);
	scratch_fill(scratch, "two", 0);
	commit_ok(scratch, "one", "a", &a);
	assert_ok(scratch_commit(scratch, "two", "b", &b, &totals, &err), &err);
	assert_digest_equal(&a, &b);
	assert_int_equal(totals.n_new_files, 0);
	scratch_check(scratch, false);
}

static void the_pool_has_each_content_once(void **state)
{
	struct scratch *scratch = *state;
	struct staging_totals totals;
	struct cop_error err = {};

	scratch_fill(scratch, "tree", 0);
	assert_ok(scratch_commit(scratch, "tree", "a", NULL, &totals, &err), &err);
	/* empty files are not read; the hard link counts once; inline is not new */
	assert_int_equal(totals.n_files, 6);
	assert_int_equal(totals.n_new_files, 4);
	assert_int_equal(totals.n_new_bytes, 65 + 10000 + 9999 + 65536);
}

static void a_file_that_the_pool_lost_is_put_back(void **state)
{
	static char text[500] = "lost and found";
	struct scratch *scratch = *state;
	struct cop_digest a = {}, b = {};
	char path[128];

	scratch_write(scratch, "tree/file", text, sizeof(text));
	commit_ok(scratch, "tree", "a", &a);
	assert_int_equal(unlinkat(scratch->fd, pool_file(text, sizeof(text), path), 0),
			 0);
	commit_ok(scratch, "tree", "a", &b);
	assert_digest_equal(&a, &b);
	scratch_check(scratch, false);
}

static void a_pool_file_of_another_length_is_replaced(void **state)
{
	static char text[500] = "lost and found";
	struct scratch *scratch = *state;
	char path[128];

	scratch_write(scratch, "tree/file", text, sizeof(text));
	commit_ok(scratch, "tree", "a", NULL);
	assert_int_equal(unlinkat(scratch->fd, pool_file(text, sizeof(text), path), 0),
			 0);
	scratch_write(scratch, path, text, 20);
	commit_ok(scratch, "tree", "a", NULL);
	scratch_check(scratch, false);
}

/* Same length, other bytes: only a mark can tell, and only hashing can find it. */
static void a_damaged_object_is_absent_until_it_is_whole(void **state)
{
	static char text[500] = "lost and found", wrong[500] = "lost und found";
	struct scratch *scratch = *state;
	struct cop_digest digest = {};
	struct cop_error err = {};
	char path[128];

	scratch_write(scratch, "tree/file", text, sizeof(text));
	scratch_write(scratch, "tree/other", text, sizeof(text) - 1);
	commit_ok(scratch, "tree", "a", &digest);
	assert_int_equal(unlinkat(scratch->fd, pool_file(text, sizeof(text), path), 0),
			 0);
	scratch_write(scratch, path, wrong, sizeof(wrong));
	assert_ok(object_mark_damaged(scratch->store, &digest, &err), &err);
	assert_int_equal(object_exists(scratch->store, &digest, &err), 0);
	assert_int_equal(cop_store_contains(scratch->store, "a", &err), 0);
	assert_fails(cop_ref_set(scratch->store, "b", &digest, &err), -ENOENT, &err);
	commit_ok(scratch, "tree", "a", NULL);
	assert_int_equal(object_exists(scratch->store, &digest, &err), 1);
	scratch_check(scratch, false);
}

static void a_damaged_image_is_found_and_replaced(void **state)
{
	struct scratch *scratch = *state;
	char payload[TREE_PAYLOAD_SIZE], path[128];
	struct cop_digest digest = {};
	struct cop_error err = {};
	struct tree *tree = NULL;
	int fd;

	scratch_fill(scratch, "tree", 0);
	commit_ok(scratch, "tree", "a", &digest);
	(void)snprintf(path, sizeof(path), "store/objects/%s",
		       tree_payload(&digest, payload));
	assert_int_equal(fchmodat(scratch->fd, path, 0600, 0), 0);
	fd = openat(scratch->fd, path, O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "x", 1, 2000), 1);
	(void)close(fd);
	assert_int_equal(fchmodat(scratch->fd, path, 0444, 0), 0);
	assert_fails(object_read_tree(scratch->store, &digest, &tree, &err), -EUCLEAN,
		     &err);
	assert_int_equal(cop_store_contains(scratch->store, "a", NULL), 0);
	commit_ok(scratch, "tree", "a", NULL);
	scratch_check(scratch, false);
}

static void the_side_list_is_sorted_and_complete(void **state)
{
	static char text[500] = "lost and found";
	struct scratch *scratch = *state;
	char hex[COP_DIGEST_HEX + 1], path[128], list[64], *file;
	struct cop_digest digest = {};
	uint8_t bytes[64];
	int fd;

	scratch_write(scratch, "tree/a", text, sizeof(text));
	scratch_write(scratch, "tree/b", text, sizeof(text) - 1);
	scratch_write(scratch, "tree/c", text, sizeof(text));
	commit_ok(scratch, "tree", "a", &digest);
	(void)snprintf(path, sizeof(path), "store/meta/files/%s",
		       cop_digest_to_hex(&digest, hex));
	fd = openat(scratch->fd, path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(read(fd, bytes, sizeof(bytes)), 16 + 8);
	(void)close(fd);
	assert_true(memcmp(bytes, bytes + 8, 8) < 0);
	for (size_t i = 0; i < 2; i++) {
		file = pool_file(text, sizeof(text) - i, path) + strlen("store/files/");
		for (int k = 0; k < 8; k++)
			(void)snprintf(list + 2 * k, 3, "%02x", bytes[k]);
		if (list[0] != file[0] || list[1] != file[1] ||
		    strncmp(list + 2, file + 3, 14) != 0) {
			for (int k = 0; k < 8; k++)
				(void)snprintf(list + 2 * k, 3, "%02x", bytes[8 + k]);
			assert_int_equal(strncmp(list + 2, file + 3, 14), 0);
		}
	}
}

static void a_clamped_commit_has_no_later_times(void **state)
{
	struct commit_directory_options options = {.source_epoch = 1000000000};
	struct scratch *scratch = *state;
	struct cop_digest digest = {};
	struct cop_error err = {};
	struct tree *tree = NULL;
	int fd;

	scratch_fill(scratch, "tree", 0);
	fd = openat(scratch->fd, "tree", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_ok(store_commit_directory(scratch->store, fd, &options, &digest, &err),
		  &err);
	(void)close(fd);
	assert_ok(object_read_tree(scratch->store, &digest, &tree, &err), &err);
	for (const struct tree_node *node = tree->root; node; node = tree_next(node))
		if (!node->link)
			assert_int_equal(node->mtime_sec, 1000000000);
	tree_free(tree);
}

static void a_wrong_name_is_refused_before_anything_is_written(void **state)
{
	struct scratch *scratch = *state;
	struct cop_error err = {};

	scratch_fill(scratch, "tree", 0);
	assert_fails(scratch_commit(scratch, "tree", "-x", NULL, NULL, &err), -EINVAL,
		     &err);
	assert_int_equal(scratch_count(scratch, "store/objects"), 0);
}

/* The same tree and the same name at the same time: one object, nothing torn. */
static void two_processes_may_commit_at_once(void **state)
{
	struct scratch *scratch = *state;
	struct cop_digest digest = {}, ref;
	pid_t pids[3];

	scratch_fill(scratch, "tree", 0);
	scratch_fill(scratch, "other", 1);
	for (int round = 0; round < 10; round++) {
		for (int i = 0; i < 3; i++) {
			pids[i] = fork();
			if (pids[i] == 0) {
				scratch->store = scratch_open(scratch, 0);
				_exit(scratch_commit(scratch, i < 2 ? "tree" : "other",
						     i < 2 ? "a" : "b", NULL, NULL,
						     NULL) < 0);
			}
		}
		for (int i = 0; i < 3; i++) {
			int status = -1;

			assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
			assert_int_equal(status, 0);
		}
		commit_ok(scratch, "tree", NULL, &digest);
		ref = scratch_ref(scratch, "a");
		assert_digest_equal(&ref, &digest);
		scratch_reopen(scratch);
		assert_int_equal(scratch_count(scratch, "store/tmp"), 0);
		scratch_check(scratch, false);
		scratch->store = cop_store_close(scratch->store);
		assert_int_equal(fs_remove_all(scratch->fd, "store", false, NULL), 0);
		scratch->store = scratch_open(scratch, COP_STORE_CREATE);
	}
}

/* ---- failures */

static void a_full_disk_leaves_the_store_as_it_was(void **state)
{
	struct scratch *scratch = *state;
	struct cop_digest before = {}, after;
	struct cop_error err = {};
	static char big[3 * 1024 * 1024];
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/store", scratch->path);
	if (geteuid() != 0 || mount("tmpfs", path, "tmpfs", 0, "size=2m,mode=700") < 0) {
		print_message("skipped: mounting a small tmpfs is not permitted\n");
		skip();
	}
	scratch->store = cop_store_close(scratch->store);
	scratch->store = scratch_open(scratch, COP_STORE_CREATE);
	scratch_fill(scratch, "tree", 0);
	commit_ok(scratch, "tree", "a", &before);
	memset(big, 'x', sizeof(big));
	scratch_write(scratch, "tree/big", big, sizeof(big));
	assert_fails(scratch_commit(scratch, "tree", "a", NULL, NULL, &err), -ENOSPC,
		     &err);
	assert_non_null(strstr(err.message, "'big'"));
	assert_non_null(strstr(err.message, scratch->store_path));
	after = scratch_ref(scratch, "a");
	assert_digest_equal(&before, &after);
	assert_int_equal(scratch_count(scratch, "store/tmp"), 0);
	scratch_check(scratch, false);
	scratch->store = cop_store_close(scratch->store);
	assert_int_equal(umount2(path, MNT_DETACH), 0);
}

static void a_file_size_limit_is_an_error_that_names_the_file(void **state)
{
	struct scratch *scratch = *state;
	static char big[200000];
	struct rlimit before, limit;
	struct cop_error err = {};
	int r;

	memset(big, 'y', sizeof(big));
	scratch_write(scratch, "tree/big", big, sizeof(big));
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	limit = before;
	limit.rlim_cur = 100000;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	r = scratch_commit(scratch, "tree", "a", NULL, NULL, &err);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_fails(r, -EFBIG, &err);
	assert_non_null(strstr(err.message, "'big'"));
	assert_false(scratch_has(scratch, "store/refs/name/a"));
	commit_ok(scratch, "tree", "a", NULL);
	scratch_check(scratch, false);
}

static void an_unwritable_pool_leaves_a_staging_that_can_be_committed(void **state)
{
	struct scratch *scratch = *state;
	struct workdir *workdir = NULL;
	struct staging *staging = NULL;
	struct cop_digest digest = {};
	struct cop_error err = {};
	struct tree *tree = NULL;
	struct commit_request request = {.class = REF_NAME, .name = "a"};
	int fd;

	scratch_fill(scratch, "tree", 0);
	assert_ok(workdir_new(scratch->store, NULL, NULL, &workdir, &err), &err);
	assert_ok(staging_new(scratch->store, workdir, NULL, &staging, &err), &err);
	fd = openat(scratch->fd, "tree", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_ok(tree_scan(fd, staging_scan_options(staging), &tree, &err), &err);
	(void)close(fd);
	assert_ok(staging_finish(staging, &err), &err);
	assert_ok(tree_canonicalise(tree, &err), &err);
	request.tree = tree;
	request.workdir = workdir;
	request.staging = staging;
	/* objects/ is a file: all but the last rename succeeds */
	assert_int_equal(unlinkat(scratch->fd, "store/objects", AT_REMOVEDIR), 0);
	scratch_write_text(scratch, "store/objects", "");
	assert_true(store_commit(scratch->store, &request, &digest, &err) < 0);
	assert_non_null(strstr(err.message, "objects/"));
	assert_int_equal(unlinkat(scratch->fd, "store/objects", 0), 0);
	assert_int_equal(mkdirat(scratch->fd, "store/objects", 0700), 0);
	assert_ok(store_commit(scratch->store, &request, &digest, &err), &err);
	scratch_check(scratch, false);
	tree_free(tree);
	staging_free(staging);
	workdir_free(workdir);
}

/* ---- kills */

struct kill_at {
	enum commit_step step;
	int skip; /* how often the step goes by before */
};

static void die_at(void *data, enum commit_step step)
{
	struct kill_at *at = data;

	if (step == at->step && at->skip-- == 0)
		(void)kill(getpid(), SIGKILL);
}

/* Return: true when the child was killed, false when it came to its end. */
static bool commit_and_die(const struct scratch *scratch, enum commit_step step, int skip,
			   enum ref_class class, const char *name)
{
	const struct commit_directory_options options = {
		.class = class,
		.name = name,
		.source_epoch = -1,
	};
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		struct kill_at at = {.step = step, .skip = skip};
		struct cop_store *store = NULL;
		struct cop_digest digest;
		int fd = openat(scratch->fd, "new", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (cop_store_open(scratch->store_path, 0, &store, NULL) < 0)
			_exit(2);
		store_set_step_hook(die_at, &at);
		if (store_commit_directory(store, fd, &options, &digest, NULL) < 0)
			_exit(3);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status))
		return true;
	assert_int_equal(status, 0);
	return false;
}

static void check_after_kill(struct scratch *scratch, enum commit_step step,
			     const struct cop_digest *old, const struct cop_digest *new)
{
	struct cop_digest ref;

	scratch_reopen(scratch);
	assert_int_equal(scratch_count(scratch, "store/tmp"), 0);
	ref = scratch_ref(scratch, "a");
	assert_digest_equal(&ref, step == COMMIT_REF_SET ? new : old);
	scratch_check(scratch, true);
	/* What passed the first barrier is finished, though not named. */
	assert_int_equal(object_exists(scratch->store, new, NULL), step >= COMMIT_SYNCED);
	commit_ok(scratch, "new", "a", &ref);
	assert_digest_equal(&ref, new);
	scratch_check(scratch, true);
}

static void kill_everywhere(void **state, enum commit_step step, int most)
{
	struct scratch *scratch = *state;
	struct cop_digest old = {}, new = {};
	const struct commit_directory_options only_digest = {.source_epoch = -1,
							     .only_digest = true};
	int fd;

	scratch_fill(scratch, "old", 0);
	scratch_fill(scratch, "new", 9);
	fd = openat(scratch->fd, "new", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(store_commit_directory(NULL, fd, &only_digest, &new, NULL), 0);
	(void)close(fd);
	for (int skip = 0; skip < most; skip++) {
		commit_ok(scratch, "old", "a", &old);
		assert_true(commit_and_die(scratch, step, skip, REF_NAME, "a"));
		check_after_kill(scratch, step, &old, &new);
		/* the next round begins with an empty store */
		scratch->store = cop_store_close(scratch->store);
		assert_int_equal(fs_remove_all(scratch->fd, "store", false, NULL), 0);
		scratch->store = scratch_open(scratch, COP_STORE_CREATE);
	}
}

static void killed_while_it_reads(void **state)
{
	kill_everywhere(state, COMMIT_FILE_READ, 6);
}

static void killed_before_the_first_barrier(void **state)
{
	kill_everywhere(state, COMMIT_STAGED, 1);
}

static void killed_after_the_first_barrier(void **state)
{
	kill_everywhere(state, COMMIT_SYNCED, 1);
}

static void killed_after_each_file(void **state)
{
	kill_everywhere(state, COMMIT_FILE_MOVED, 4);
}

static void killed_after_publishing(void **state)
{
	kill_everywhere(state, COMMIT_PUBLISHED, 1);
}

static void killed_after_the_second_barrier(void **state)
{
	kill_everywhere(state, COMMIT_BARRIER, 1);
}

static void killed_after_the_ref(void **state)
{
	kill_everywhere(state, COMMIT_REF_SET, 1);
}

static void a_killed_stage_gets_its_ref_from_the_next_open(void **state)
{
	struct scratch *scratch = *state;
	struct cop_digest digest = {};
	struct cop_error err = {};
	json_t *meta = NULL;

	scratch_fill(scratch, "new", 0);
	assert_true(commit_and_die(scratch, COMMIT_FILE_MOVED, 1, REF_STAGE, stage_id));
	scratch_reopen(scratch);
	assert_ok(cop_store_resolve(scratch->store, stage_id, &digest, &err), &err);
	assert_ok(ref_meta(scratch->store, REF_STAGE, stage_id, &meta, &err), &err);
	json_decref(meta);
	scratch_check(scratch, false);
}

static void a_torn_staged_file_is_never_published(void **state)
{
	struct scratch *scratch = *state;
	char path[256], name[64] = "";
	char **names = NULL;
	size_t n = 0;
	int fd;

	scratch_fill(scratch, "new", 0);
	assert_true(commit_and_die(scratch, COMMIT_SYNCED, 0, REF_STAGE, stage_id));
	fd = openat(scratch->fd, "store/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(fs_list(fd, &names, &n, NULL), 0);
	assert_int_equal(n, 1);
	(void)snprintf(name, sizeof(name), "%s", names[0]);
	fs_list_free(names);
	(void)close(fd);
	(void)snprintf(path, sizeof(path), "store/tmp/%s/image", name);
	assert_int_equal(unlinkat(scratch->fd, path, 0), 0);
	scratch_write_text(scratch, path, "torn");
	scratch_reopen(scratch);
	assert_int_equal(scratch_count(scratch, "store/tmp"), 0);
	assert_int_equal(scratch_count(scratch, "store/objects"), 0);
	scratch_check(scratch, true);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_object_is_there_after_its_commit),
		TEST(the_digest_of_a_known_tree_is_golden),
		TEST(equal_trees_are_one_object),
		TEST(the_pool_has_each_content_once),
		TEST(a_file_that_the_pool_lost_is_put_back),
		TEST(a_pool_file_of_another_length_is_replaced),
		TEST(a_damaged_object_is_absent_until_it_is_whole),
		TEST(a_damaged_image_is_found_and_replaced),
		TEST(the_side_list_is_sorted_and_complete),
		TEST(a_clamped_commit_has_no_later_times),
		TEST(a_wrong_name_is_refused_before_anything_is_written),
		TEST(two_processes_may_commit_at_once),
		TEST(a_full_disk_leaves_the_store_as_it_was),
		TEST(a_file_size_limit_is_an_error_that_names_the_file),
		TEST(an_unwritable_pool_leaves_a_staging_that_can_be_committed),
		TEST(killed_while_it_reads),
		TEST(killed_before_the_first_barrier),
		TEST(killed_after_the_first_barrier),
		TEST(killed_after_each_file),
		TEST(killed_after_publishing),
		TEST(killed_after_the_second_barrier),
		TEST(killed_after_the_ref),
		TEST(a_killed_stage_gets_its_ref_from_the_next_open),
		TEST(a_torn_staged_file_is_never_published),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
