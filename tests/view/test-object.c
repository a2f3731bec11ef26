/* SPDX-License-Identifier: Apache-2.0 */
/* The promises of the Object.  The first three tests are those of osbuild's
 * objectstore.py of 2020, by their names. */
#include "viewlib.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "base/fs.h"
#include "store/object.h"

#define STAGE_ID "00000000000000000000000000000000000000000000000000000000000000aa"

static struct cop_object *new_object(struct scratch *scratch, const char *base)
{
	struct cop_object *object = NULL;
	struct cop_error err = {};

	assert_ok(cop_object_new(scratch->store, base, &object, &err), &err);
	return object;
}

static const char *begin(struct cop_object *object)
{
	struct cop_error err = {};
	const char *path = NULL;

	assert_ok(cop_object_write(object, &path, &err), &err);
	return path;
}

static void end(struct cop_object *object)
{
	struct cop_error err = {};

	assert_ok(cop_object_write_end(object, &err), &err);
}

static struct cop_reader *open_reader(struct cop_object *object)
{
	struct cop_error err = {};
	struct cop_reader *reader = NULL;

	assert_ok(cop_object_read(object, &reader, &err), &err);
	return reader;
}

static struct cop_digest commit(struct scratch *scratch, struct cop_object *object,
				const char *id)
{
	struct cop_digest digest = {};
	struct cop_error err = {};

	assert_ok(cop_store_commit(scratch->store, object, id, &digest, &err), &err);
	return digest;
}

/* Writes one file, and everything it touched gets one time. */
static void write_one(struct cop_object *object, const char *name, const char *text)
{
	const char *path = begin(object);

	write_file(path, name, text);
	write_times(path, name, 1);
	write_times(path, ".", 1);
	end(object);
}

static bool tree_has(struct scratch *scratch, const char *id, const char *name)
{
	auto_ptr(tree) tree = committed_tree(scratch, id);

	return tree_find(tree, name) != NULL;
}

static int count_objects(const struct scratch *scratch)
{
	auto_close int fd = openat(store_fd(scratch->store), "objects",
				   O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char **names = NULL;
	int n_objects = 0;

	assert_int_equal(fs_list(fd, &names, NULL, NULL), 0);
	for (char **name = names; *name; name++)
		n_objects += scratch_count(scratch, join("objects", *name));
	fs_list_free(names);
	return n_objects;
}

static void basic(void **state)
{
	struct scratch *scratch = *state;
	struct cop_object *object = new_object(scratch, NULL);
	struct cop_error err = {};

	assert_int_equal(scratch_count(scratch, "refs/name"), 0);
	assert_int_equal(count_objects(scratch), 0);

	write_one(object, "A", "");
	commit(scratch, object, "a");
	cop_object_free(object);
	assert_int_equal(cop_store_contains(scratch->store, "a", &err), 1);
	assert_true(tree_has(scratch, "a", "A"));
	assert_int_equal(scratch_count(scratch, "refs/name"), 1);
	assert_int_equal(count_objects(scratch), 1);

	object = new_object(scratch, NULL);
	write_one(object, "A", "");
	commit(scratch, object, "b");
	cop_object_free(object);
	assert_true(tree_has(scratch, "b", "A"));
	assert_int_equal(scratch_count(scratch, "refs/name"), 2);
	assert_int_equal(count_objects(scratch), 1);

	object = new_object(scratch, "a");
	write_one(object, "C", "");
	commit(scratch, object, "c");
	cop_object_free(object);
	assert_true(tree_has(scratch, "c", "A"));
	assert_true(tree_has(scratch, "c", "C"));
	assert_false(tree_has(scratch, "a", "C"));
	assert_int_equal(scratch_count(scratch, "refs/name"), 3);
	assert_int_equal(count_objects(scratch), 2);
}

static void duplicate(void **state)
{
	struct scratch *scratch = *state;
	struct cop_object *object = new_object(scratch, NULL);
	struct cop_digest a, b;

	write_one(object, "data", "23");
	a = commit(scratch, object, "a");
	cop_object_free(object);

	object = new_object(scratch, NULL);
	write_one(object, "data", "23");
	b = commit(scratch, object, "b");
	cop_object_free(object);

	assert_digests_equal(a, b);
	assert_int_equal(scratch_count(scratch, "refs/name"), 2);
	assert_int_equal(count_objects(scratch), 1);
}

static void snapshot(void **state)
{
	struct scratch *scratch = *state;
	struct cop_object *object = new_object(scratch, NULL);
	struct cop_error err = {};

	write_one(object, "A", "");
	assert_int_equal(cop_store_contains(scratch->store, "a", &err), 0);
	commit(scratch, object, "a");
	assert_int_equal(cop_store_contains(scratch->store, "a", &err), 1);
	assert_string_equal(cop_object_base(object), "a");
	write_one(object, "B", "");
	commit(scratch, object, "b");
	assert_string_equal(cop_object_base(object), "b");
	cop_object_free(object);

	assert_true(tree_has(scratch, "a", "A"));
	assert_false(tree_has(scratch, "a", "B"));
	assert_true(tree_has(scratch, "b", "A"));
	assert_true(tree_has(scratch, "b", "B"));
	assert_int_equal(count_objects(scratch), 2);
}

static void a_snapshot_continues_in_the_same_directory(void **state)
{
	struct scratch *scratch = *state;
	struct cop_object *object = new_object(scratch, NULL);
	auto_free char *before = NULL;

	write_one(object, "A", "");
	before = strdup(begin(object));
	end(object);
	commit(scratch, object, STAGE_ID);
	assert_string_equal(begin(object), before);
	end(object);
	cop_object_free(object);
}

static void a_new_object_is_never_committed_by_itself(void **state)
{
	struct scratch *scratch = *state;
	struct cop_object *object = new_object(scratch, NULL);

	write_one(object, "A",
		  "some content that is too long to stand in the image"
		  " itself, so that it would go to the pool");
	cop_object_free(object);
	assert_int_equal(scratch_count(scratch, "refs/name"), 0);
	assert_int_equal(count_objects(scratch), 0);
	assert_int_equal(scratch_count(scratch, "tmp"), 0);
}

static void writing_is_refused_while_a_reader_is_open(void **state)
{
	struct cop_object *object = new_object(*state, NULL);
	struct cop_reader *first = open_reader(object), *second = open_reader(object);
	struct cop_error err = {};
	const char *path = NULL;

	assert_fails(cop_object_write(object, &path, &err), -EBUSY, &err);
	assert_string_equal(err.message, "write the object: 2 readers are open");
	assert_null(path);
	cop_reader_close(first);
	assert_fails(cop_object_write(object, &path, &err), -EBUSY, &err);
	assert_string_equal(err.message, "write the object: 1 reader is open");
	cop_reader_close(second);
	assert_ok(cop_object_write(object, &path, &err), &err);
	end(object);
	cop_object_free(object);
}

static void reading_is_refused_while_it_is_written(void **state)
{
	struct cop_object *object = new_object(*state, NULL);
	struct cop_reader *reader = NULL;
	struct cop_error err = {};
	const char *path = NULL;

	begin(object);
	assert_fails(cop_object_read(object, &reader, &err), -EBUSY, &err);
	assert_string_equal(err.message, "read the object: it is open for writing");
	assert_fails(cop_object_write(object, &path, &err), -EBUSY, &err);
	assert_null(reader);
	cop_object_free(object);
}

static void an_open_object_is_not_committed_reset_or_moved(void **state)
{
	struct scratch *scratch = *state;
	struct cop_object *object = new_object(scratch, NULL);
	struct cop_digest digest;
	struct cop_error err = {};
	struct cop_reader *reader;

	begin(object);
	assert_fails(cop_store_commit(scratch->store, object, "a", NULL, &err), -EBUSY,
		     &err);
	assert_fails(cop_object_digest(object, &digest, &err), -EBUSY, &err);
	end(object);
	reader = open_reader(object);
	assert_fails(cop_store_commit(scratch->store, object, "a", NULL, &err), -EBUSY,
		     &err);
	assert_string_equal(err.message, "commit the object: 1 reader is open");
	assert_fails(cop_object_reset(object, &err), -EBUSY, &err);
	assert_fails(cop_object_set_base(object, "x", &err), -EBUSY, &err);
	assert_fails(cop_object_init(object, &err), -EBUSY, &err);
	assert_ok(cop_object_digest(object, &digest, &err), &err);
	cop_reader_close(reader);
	cop_object_free(object);
}

static void a_reader_outlives_its_object(void **state)
{
	struct cop_object *object = new_object(*state, NULL);
	struct cop_reader *reader = open_reader(object);

	assert_int_equal(access(cop_reader_path(reader), F_OK), 0);
	cop_object_free(object);
	assert_null(cop_reader_path(reader));
	cop_reader_close(reader);
}

static void a_missing_base_is_named(void **state)
{
	struct cop_object *object = new_object(*state, "no/such");
	struct cop_error err = {};

	assert_fails(cop_object_init(object, &err), -ENOENT, &err);
	assert_non_null(strstr(err.message, "no/such"));
	cop_object_free(object);
}

static void the_base_is_resolved_late(void **state)
{
	struct scratch *scratch = *state;
	struct cop_object *object = new_object(scratch, "late");
	struct cop_digest digest = commit_small(scratch, "late", "now");
	struct cop_digest found;
	struct cop_error err = {};

	assert_ok(cop_object_digest(object, &found, &err), &err);
	assert_digests_equal(found, digest);
	assert_ok(cop_object_init(object, &err), &err);
	cop_object_free(object);
}

static void the_loser_of_a_race_goes_on_from_the_winners_tree(void **state)
{
	struct scratch *scratch = *state;
	struct cop_object *first, *second;
	struct cop_digest winner, now;
	struct cop_error err = {};
	const char *path;

	commit_small(scratch, "base", "text");
	first = new_object(scratch, "base");
	second = new_object(scratch, "base");
	write_one(first, "of-first", "");
	write_one(second, "of-second", "");
	commit(scratch, first, STAGE_ID);
	winner = commit(scratch, second, STAGE_ID);

	path = begin(first);
	assert_int_equal(access(join(path, "of-second"), F_OK), 0);
	assert_int_equal(access(join(path, "of-first"), F_OK), -1);
	end(first);
	assert_ok(cop_object_digest(first, &now, &err), &err);
	assert_digests_equal(now, winner);
	cop_object_free(first);
	cop_object_free(second);
}

static void reading_after_a_commit_gives_what_the_id_stands_for(void **state)
{
	struct scratch *scratch = *state;
	struct cop_object *object = new_object(scratch, NULL);
	struct cop_reader *reader;

	write_one(object, "A", "");
	commit(scratch, object, "a");
	commit_small(scratch, "a", "replaced");
	reader = open_reader(object);
	assert_int_equal(access(join(cop_reader_path(reader), "data"), F_OK), 0);
	assert_int_equal(access(join(cop_reader_path(reader), "A"), F_OK), -1);
	cop_reader_close(reader);
	cop_object_free(object);
}

static void the_digest_is_that_of_a_later_commit(void **state)
{
	struct scratch *scratch = *state;
	struct cop_object *object = new_object(scratch, NULL);
	struct cop_digest before;
	struct cop_error err = {};

	assert_ok(cop_object_digest(object, &before, &err), &err);
	assert_digests_equal(before, commit(scratch, object, "empty"));
	write_one(object, "A", "a");
	assert_ok(cop_object_digest(object, &before, &err), &err);
	assert_int_equal(count_objects(scratch), 1);
	assert_digests_equal(before, commit(scratch, object, "a"));
	assert_int_equal(count_objects(scratch), 2);
	cop_object_free(object);
}

static void store_tree_sets_no_ref_and_resets(void **state)
{
	struct scratch *scratch = *state;
	struct cop_object *object = new_object(scratch, NULL);
	char hex[COP_DIGEST_HEX + 1];
	struct cop_digest digest;
	struct cop_error err = {};
	const char *path;

	write_one(object, "A", "");
	assert_ok(cop_object_store_tree(object, &digest, &err), &err);
	assert_int_equal(scratch_count(scratch, "refs/name"), 0);
	assert_int_equal(scratch_count(scratch, "refs/stage"), 0);
	assert_true(tree_has(scratch, cop_digest_to_hex(&digest, hex), "A"));
	assert_null(cop_object_base(object));
	path = begin(object);
	assert_int_equal(access(join(path, "A"), F_OK), -1);
	cop_object_free(object);
}

static void reset_drops_what_was_written(void **state)
{
	struct scratch *scratch = *state;
	struct cop_digest base = commit_small(scratch, "base", "text"), now;
	struct cop_object *object = new_object(scratch, "base");
	struct cop_error err = {};

	write_one(object, "A", "");
	assert_ok(cop_object_reset(object, &err), &err);
	assert_ok(cop_object_digest(object, &now, &err), &err);
	assert_digests_equal(now, base);
	assert_int_equal(access(join(begin(object), "A"), F_OK), -1);
	cop_object_free(object);
}

static void set_base_begins_anew(void **state)
{
	struct scratch *scratch = *state;
	struct cop_object *object = new_object(scratch, NULL);
	struct cop_error err = {};
	const char *path;

	commit_small(scratch, "base", "text");
	write_one(object, "A", "");
	assert_ok(cop_object_set_base(object, "base", &err), &err);
	assert_string_equal(cop_object_base(object), "base");
	path = begin(object);
	assert_int_equal(access(join(path, "data"), F_OK), 0);
	assert_int_equal(access(join(path, "A"), F_OK), -1);
	cop_object_free(object);
}

static void keep_base_commits_and_goes_on(void **state)
{
	struct scratch *scratch = *state;
	const struct object_commit_options options = {
		.class = REF_FAILED, .name = STAGE_ID, .keep_base = true};
	struct cop_object *object = NULL;
	struct cop_error err = {};

	commit_small(scratch, "base", "text");
	object = new_object(scratch, "base");
	write_one(object, "A", "");
	assert_ok(object_commit_as(object, &options, NULL, &err), &err);
	assert_string_equal(cop_object_base(object), "base");
	assert_int_equal(scratch_count(scratch, "refs/failed"), 1);
	assert_int_equal(cop_store_contains(scratch->store, STAGE_ID, &err), 0);
	assert_int_equal(access(join(begin(object), "A"), F_OK), 0);
	cop_object_free(object);
}

static void a_failed_commit_leaves_the_object_as_it_was(void **state)
{
	struct scratch *scratch = *state;
	struct cop_object *object = NULL;
	struct cop_error err = {};

	commit_small(scratch, "base", "text");
	object = new_object(scratch, "base");
	write_one(object, "A", "a");
	assert_fails(cop_store_commit(scratch->store, object, ".bad", NULL, &err),
		     -EINVAL, &err);
	commit_small(scratch, "name", "text");
	assert_fails(cop_store_commit(scratch->store, object, "name/below", NULL, &err),
		     -EEXIST, &err);
	assert_non_null(strstr(err.message, "name/below"));
	assert_string_equal(cop_object_base(object), "base");
	commit(scratch, object, "good");
	assert_true(tree_has(scratch, "good", "A"));
	cop_object_free(object);
	assert_int_equal(scratch_count(scratch, "tmp"), 0);
}

static void readers_of_one_tree_share_its_layout(void **state)
{
	struct scratch *scratch = *state;
	struct cop_object *first, *second;
	struct cop_reader *a, *b;
	const char *path;

	commit_small(scratch, "base", "text");
	first = new_object(scratch, "base");
	second = new_object(scratch, "base");
	a = open_reader(first);
	b = open_reader(second);
	assert_string_equal(cop_reader_path(a), cop_reader_path(b));
	cop_reader_close(b);
	path = begin(second);
	assert_string_not_equal(cop_reader_path(a), path);
	write_file(path, "data", "changed");
	end(second);
	cop_object_free(second);
	assert_int_equal(access(join(cop_reader_path(a), "data"), F_OK), 0);
	cop_reader_close(a);
	cop_object_free(first);
}

static void a_layout_that_fails_names_the_file_and_leaves_nothing(void **state)
{
	char payload[TREE_PAYLOAD_SIZE];
	struct scratch *scratch = *state;
	struct cop_object *object = NULL;
	struct cop_error err = {};
	auto_ptr(tree) tree = NULL;
	const struct tree_node *node;

	if (is_overlay(scratch))
		skip_because("overlay views are not laid out");
	commit_sample(scratch, "base");
	tree = committed_tree(scratch, "base");
	node = tree_find(tree, "/home/user07/mail");
	assert_int_equal(unlinkat(store_fd(scratch->store),
				  join("files", tree_payload_of(node, payload)), 0),
			 0);
	object = new_object(scratch, "base");
	assert_fails(cop_object_init(object, &err), -ENOENT, &err);
	assert_non_null(strstr(err.message, "grow from 'base'"));
	assert_non_null(strstr(err.message, "'/home/user07/mail'"));
	assert_int_equal(scratch_count(scratch, "tmp"), 0);
	cop_object_free(object);
}

struct heard {
	uint64_t done, total;
	unsigned int n_calls;
};

static void hear(void *data, const char *what, uint64_t done, uint64_t total,
		 const char *unit)
{
	struct heard *heard = data;

	if (strcmp(what, "laying out") != 0)
		return;
	assert_string_equal(unit, "entries");
	heard->done = done;
	heard->total = total;
	heard->n_calls++;
}

static void a_layout_tells_how_far_it_is(void **state)
{
	struct heard heard = {};
	const struct cop_progress progress = {.update = hear, .data = &heard};
	struct cop_object *object = NULL;
	struct cop_error err = {};

	if (is_overlay(*state))
		skip_because("overlay views are not laid out");
	commit_sample(*state, "base");
	object = new_object(*state, "base");
	object_set_progress(object, &progress);
	assert_ok(cop_object_init(object, &err), &err);
	assert_true(heard.n_calls > 0);
	assert_int_equal(heard.done, 86);
	assert_int_equal(heard.total, 86);
	cop_object_free(object);
}

static void wait_for_byte(int fd)
{
	char byte;

	assert_int_equal(read(fd, &byte, 1), 1);
}

static void what_a_killed_process_leaves_is_swept(void **state)
{
	struct scratch *scratch = *state;
	int status, fds[2];
	pid_t pid;

	commit_sample(scratch, "base");
	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (pid == 0) {
		struct cop_object *object = NULL;
		struct cop_store *store = NULL;
		const char *path;

		if (cop_store_open(scratch->store_path, 0, &store, NULL) < 0 ||
		    cop_object_new(store, "base", &object, NULL) < 0 ||
		    cop_object_write(object, &path, NULL) < 0 ||
		    write(fds[1], path, 1) != 1)
			_exit(1);
		for (;;)
			(void)pause();
	}
	closep(&fds[1]);
	wait_for_byte(fds[0]);
	closep(&fds[0]);
	assert_int_equal(scratch_count(scratch, "tmp"), 1);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	scratch_reopen(scratch);
	assert_int_equal(scratch_count(scratch, "tmp"), 0);
}

/* Other bytes, as many of them. */
static void rot(struct scratch *scratch, const char *id, const char *name)
{
	auto_ptr(tree) tree = committed_tree(scratch, id);
	char payload[TREE_PAYLOAD_SIZE];
	const char *file =
		join(scratch->store_path,
		     join("files", tree_payload_of(tree_find(tree, name), payload)));
	auto_close int fd = -EBADF;

	assert_int_equal(chmod(file, 0600), 0);
	fd = open(file, O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "?", 1, 7), 1);
	assert_int_equal(chmod(file, 0444), 0);
}

static void a_base_is_read_back_after_the_machine_was_started(void **state)
{
	struct scratch *scratch = *state;
	struct cop_object *object = new_object(scratch, NULL);
	struct cop_error err = {};
	char text[200] = "";
	const char *path;

	memset(text, 'a', sizeof(text) - 1);
	write_one(object, "A", text);
	commit(scratch, object, "a");
	cop_object_free(object);
	rot(scratch, "a", "A");
	object_set_start(time(NULL) + 100);
	object = new_object(scratch, "a");
	assert_fails(cop_object_write(object, &path, &err), -EUCLEAN, &err);
	assert_non_null(strstr(err.message, "/A"));
	cop_object_free(object);
	/* Marked: a miss for all. */
	assert_int_equal(cop_store_contains(scratch->store, "a", &err), 0);
	object_set_start(0);
}

static int run_all(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)
		TEST(basic),
		TEST(duplicate),
		TEST(snapshot),
		TEST(a_snapshot_continues_in_the_same_directory),
		TEST(a_new_object_is_never_committed_by_itself),
		TEST(writing_is_refused_while_a_reader_is_open),
		TEST(reading_is_refused_while_it_is_written),
		TEST(an_open_object_is_not_committed_reset_or_moved),
		TEST(a_reader_outlives_its_object),
		TEST(a_missing_base_is_named),
		TEST(the_base_is_resolved_late),
		TEST(the_loser_of_a_race_goes_on_from_the_winners_tree),
		TEST(reading_after_a_commit_gives_what_the_id_stands_for),
		TEST(the_digest_is_that_of_a_later_commit),
		TEST(store_tree_sets_no_ref_and_resets),
		TEST(reset_drops_what_was_written),
		TEST(set_base_begins_anew),
		TEST(keep_base_commits_and_goes_on),
		TEST(a_failed_commit_leaves_the_object_as_it_was),
		TEST(readers_of_one_tree_share_its_layout),
		TEST(a_layout_that_fails_names_the_file_and_leaves_nothing),
		TEST(a_layout_tells_how_far_it_is),
		TEST(a_base_is_read_back_after_the_machine_was_started),
		TEST(what_a_killed_process_leaves_is_swept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	int failed = run_as_nobody(run_all);

	if (lacks_overlay())
		return 77;
	return run_all() + failed;
}
