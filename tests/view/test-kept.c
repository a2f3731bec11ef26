/* SPDX-License-Identifier: Apache-2.0 */
/* Views that stay, and commits from them: killed or failing at every step, they are
 * finished by the next try, with the same digest and nothing lost. */
#include "viewlib.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "base/fs.h"
#include "store/object.h"
#include "view/kept.h"

static const char *target_of(const struct scratch *scratch)
{
	static char path[128];

	(void)snprintf(path, sizeof(path), "%s/target", scratch->path);
	if (mkdir(path, 0755) < 0)
		assert_int_equal(errno, EEXIST);
	return path;
}

static char *mount_base(struct scratch *scratch, bool writable)
{
	struct cop_error err = {};
	char *id = NULL;

	assert_ok(kept_mount(scratch->store, "base", target_of(scratch), writable, &id,
			     &err),
		  &err);
	return id;
}

static struct cop_digest umount_as(struct scratch *scratch, const char *id,
				   const char *name)
{
	const struct kept_end end = {.commit = name};
	struct cop_digest digest = {};
	struct cop_error err = {};

	assert_ok(kept_umount(scratch->store, id, &end, &digest, &err), &err);
	return digest;
}

static void drop(struct scratch *scratch, const char *id)
{
	const struct kept_end end = {.discard = true};
	struct cop_digest digest = {};
	struct cop_error err = {};

	assert_ok(kept_umount(scratch->store, id, &end, &digest, &err), &err);
	assert_int_equal(scratch_count(scratch, "views"), 0);
	assert_int_equal(scratch_count(scratch, "tmp"), 0);
}

static void write_large(const char *dir, const char *name, char fill)
{
	char text[301];

	(void)memset(text, fill, sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	write_file(dir, name, text);
	write_times(dir, name, 5);
}

/* Some of everything that a commit moves, copies from the base or leaves out. */
static void change(const char *path)
{
	static const uint8_t capability[20] = {1, 0, 0, 2, 0, 0x20, 0, 0};

	write_large(path, "a", 'a');
	write_large(path, "b", 'b');
	write_large(path, "same-as-a", 'a');
	assert_int_equal(chown(join(path, "a"), 7, 8), 0);
	assert_int_equal(chmod(join(path, "a"), 04711), 0);
	assert_int_equal(
		setxattr(join(path, "a"), "security.capability", capability, 20, 0), 0);
	assert_int_equal(link(join(path, "b"), join(path, "etc/b")), 0);
	assert_int_equal(rename(join(path, "home"), join(path, "homes")), 0);
	assert_int_equal(chmod(join(path, "first-name"), 0600), 0);
	assert_int_equal(unlink(join(path, "bin/sh")), 0);
	write_times(path, "etc", 5);
	write_times(path, "bin", 5);
	write_times(path, ".", 5);
}

static void an_unchanged_view_ends_as_it_began(void **state)
{
	struct scratch *scratch = *state;
	struct cop_digest base = commit_sample(scratch, "base");

	for (int writable = 0; writable < 2; writable++) {
		auto_free char *id = mount_base(scratch, writable);

		assert_int_equal(access(join(target_of(scratch), "etc/hosts"), F_OK), 0);
		assert_int_equal(scratch_count(scratch, "views"), 1);
		assert_digests_equal(umount_as(scratch, id, NULL), base);
		assert_int_equal(access(join(target_of(scratch), "etc/hosts"), F_OK), -1);
		assert_int_equal(scratch_count(scratch, "views"), 0);
	}
}

static void a_reading_view_is_not_written_to(void **state)
{
	struct scratch *scratch = *state;
	const struct kept_end end = {.commit = "result"};
	struct cop_digest digest;
	struct cop_error err = {};
	auto_free char *id = NULL;

	commit_sample(scratch, "base");
	id = mount_base(scratch, false);
	assert_int_equal(open(join(target_of(scratch), "new"), O_CREAT | O_WRONLY, 0600),
			 -1);
	assert_int_equal(errno, EROFS);
	assert_fails(kept_umount(scratch->store, id, &end, &digest, &err), -EINVAL, &err);
	umount_as(scratch, id, NULL);
}

static void a_changed_view_needs_a_word_on_its_changes(void **state)
{
	struct scratch *scratch = *state;
	const struct kept_end end = {};
	struct cop_digest digest;
	struct cop_error err = {};
	auto_free char *id = NULL;

	commit_sample(scratch, "base");
	id = mount_base(scratch, true);
	change(target_of(scratch));
	assert_fails(kept_umount(scratch->store, id, &end, &digest, &err), -EBUSY, &err);
	assert_non_null(strstr(err.message, "--commit"));
	assert_int_equal(access(join(target_of(scratch), "homes"), F_OK), 0);
	drop(scratch, id);
	assert_int_equal(access(join(target_of(scratch), "homes"), F_OK), -1);
}

static void a_commit_gives_what_the_view_showed(void **state)
{
	struct scratch *scratch = *state;
	struct cop_digest expected;
	auto_free char *id = NULL;

	commit_sample(scratch, "base");
	id = mount_base(scratch, true);
	change(target_of(scratch));
	expected = directory_digest(scratch, target_of(scratch));
	assert_digests_equal(umount_as(scratch, id, "result"), expected);
	assert_int_equal(scratch_count(scratch, "views"), 0);
	assert_int_equal(cop_store_contains(scratch->store, "result", NULL), 1);
}

static int expect_view(void *data, const struct kept_view *view)
{
	const struct kept_view *expected = data;

	assert_string_equal(view->id, expected->id);
	assert_string_equal(view->target, expected->target);
	assert_int_equal(view->writable, expected->writable);
	assert_int_equal(view->mounted, expected->mounted);
	return 0;
}

static void a_view_outlives_a_restart(void **state)
{
	struct scratch *scratch = *state;
	struct kept_view expected = {.writable = true, .mounted = true};
	struct cop_digest digest;
	struct cop_error err = {};
	auto_free char *id = NULL, *found = NULL, *target = NULL;

	commit_sample(scratch, "base");
	id = mount_base(scratch, true);
	target = strdup(target_of(scratch));
	expected.id = id;
	expected.target = target;
	change(target);
	digest = directory_digest(scratch, target);
	assert_ok(kept_list(scratch->store, expect_view, &expected, &err), &err);
	assert_fails(kept_remount(scratch->store, id, NULL, &err), -EBUSY, &err);
	/* What a restart does. */
	assert_int_equal(umount2(target, 0), 0);
	scratch_reopen(scratch);
	expected.mounted = false;
	assert_ok(kept_list(scratch->store, expect_view, &expected, &err), &err);
	assert_ok(kept_find(scratch->store, target, &found, &err), &err);
	assert_string_equal(found, id);
	assert_ok(kept_remount(scratch->store, id, NULL, &err), &err);
	assert_digests_equal(directory_digest(scratch, target), digest);
	assert_int_equal(umount2(target, 0), 0);
	/* It need not be mounted to be committed. */
	assert_digests_equal(umount_as(scratch, id, "result"), digest);
}

static void a_view_is_found_by_its_directory(void **state)
{
	struct scratch *scratch = *state;
	struct cop_error err = {};
	auto_free char *id = NULL, *found = NULL, *moved = NULL;

	commit_sample(scratch, "base");
	assert_fails(kept_find(scratch->store, target_of(scratch), &found, &err), -ENOENT,
		     &err);
	id = mount_base(scratch, true);
	moved = strdup(join(scratch->path, "moved here"));
	assert_int_equal(mkdir(moved, 0755), 0);
	assert_int_equal(mount(target_of(scratch), moved, NULL, MS_MOVE, NULL), 0);
	assert_ok(kept_find(scratch->store, moved, &found, &err), &err);
	assert_string_equal(found, id);
	umount_as(scratch, id, NULL);
	assert_int_equal(access(join(moved, "etc"), F_OK), -1);
}

static void a_view_in_use_stays_as_it_is(void **state)
{
	struct scratch *scratch = *state;
	const struct kept_end ends[] = {{.commit = "result"}, {.discard = true}};
	struct cop_digest digest;
	struct cop_error err = {};
	auto_free char *id = NULL;
	int fd;

	commit_sample(scratch, "base");
	id = mount_base(scratch, true);
	fd = open(join(target_of(scratch), "etc/hosts"), O_RDONLY | O_CLOEXEC);
	write_file(target_of(scratch), "new", "text");
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		assert_fails(kept_umount(scratch->store, id, &ends[i], &digest, &err),
			     -EBUSY, &err);
		assert_non_null(strstr(err.message, "'/etc/hosts'"));
		write_file(target_of(scratch), "new", "still writable");
	}
	assert_int_equal(close(fd), 0);
	umount_as(scratch, id, "result");
}

static void a_mount_that_fails_leaves_nothing(void **state)
{
	struct scratch *scratch = *state;
	struct cop_error err = {};
	char *id = NULL;

	commit_sample(scratch, "base");
	assert_fails(kept_mount(scratch->store, "base", join(scratch->path, "none"), true,
				&id, &err),
		     -ENOENT, &err);
	assert_fails(
		kept_mount(scratch->store, "none", target_of(scratch), true, &id, &err),
		-ENOENT, &err);
	write_file(scratch->path, "file", "");
	assert_fails(kept_mount(scratch->store, "base", join(scratch->path, "file"), true,
				&id, &err),
		     -ENOTDIR, &err);
	assert_null(id);
	assert_int_equal(scratch_count(scratch, "views"), 0);
	assert_int_equal(scratch_count(scratch, "tmp"), 0);
}

static void an_unknown_id_is_refused(void **state)
{
	static const char *const ids[] = {"0123456789abcdef", "", "..", "../tmp", "x"};
	struct scratch *scratch = *state;
	const struct kept_end end = {.discard = true};
	struct cop_digest digest;
	struct cop_error err = {};

	for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
		assert_fails(kept_umount(scratch->store, ids[i], &end, &digest, &err),
			     -ENOENT, &err);
}

static void a_directory_of_any_name_will_do(void **state)
{
	struct scratch *scratch = *state;
	struct cop_error err = {};
	auto_free char *path = NULL;

	commit_sample(scratch, "base");
	path = strdup(join(scratch->path, "a:b,c\\d \n\t=e"));
	assert_int_equal(mkdir(path, 0755), 0);
	for (int writable = 0; writable < 2; writable++) {
		auto_free char *id = NULL, *found = NULL;

		assert_ok(kept_mount(scratch->store, "base", path, writable, &id, &err),
			  &err);
		assert_int_equal(access(join(path, "etc/hosts"), F_OK), 0);
		assert_ok(kept_find(scratch->store, path, &found, &err), &err);
		assert_string_equal(found, id);
		umount_as(scratch, id, NULL);
	}
}

/* --- kills and failures --- */

struct stop {
	enum commit_step step;
	int skip; /* how often the step goes by before */
	void (*act)(struct scratch *scratch);
	struct scratch *scratch;
};

static void stop_at(void *data, enum commit_step step)
{
	struct stop *stop = data;

	if (step == stop->step && stop->skip-- == 0)
		stop->act(stop->scratch);
}

static void die(struct scratch *scratch)
{
	(void)scratch;
	(void)kill(getpid(), SIGKILL);
}

/* True: it was killed; false: it came to its end. */
static bool umount_and_die(struct scratch *scratch, const char *id, enum commit_step step,
			   int skip)
{
	struct stop stop = {.step = step, .skip = skip, .act = die};
	const struct kept_end end = {.commit = "result"};
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		struct cop_store *store = NULL;
		struct cop_digest digest;
		struct cop_error err = {};

		store_set_step_hook(stop_at, &stop);
		if (cop_store_open(scratch->store_path, 0, &store, &err) < 0 ||
		    kept_umount(store, id, &end, &digest, &err) < 0) {
			print_error("%s\n", err.message);
			_exit(1);
		}
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
	return WIFSIGNALED(status);
}

static void the_pool_is_clean(const struct scratch *scratch)
{
	auto_ptr(tree) tree = committed_tree((struct scratch *)scratch, "result");

	for (const struct tree_node *node = tree->root; node; node = tree_next(node)) {
		struct cop_error err = {};
		auto_close int fd = -EBADF;
		struct stat st;

		if (node->link || !node->digest)
			continue;
		fd = pool_open_file(scratch->store, node->digest, node->size, &err);
		assert_ok(fd, &err);
		assert_int_equal(fstat(fd, &st), 0);
		assert_int_equal(st.st_mode, S_IFREG | 0444);
		assert_int_equal(st.st_uid, 0);
		assert_int_equal(st.st_nlink, 1);
		assert_int_equal(flistxattr(fd, NULL, 0), 0);
	}
}

static void kill_and_finish(struct scratch *scratch, enum commit_step step, bool again)
{
	for (int skip = 0; skip < 4; skip++) {
		struct cop_digest expected;
		auto_free char *id = mount_base(scratch, true);
		struct cop_error err = {};
		bool killed;

		change(target_of(scratch));
		expected = directory_digest(scratch, target_of(scratch));
		killed = umount_and_die(scratch, id, step, skip);
		if (killed && again)
			killed = umount_and_die(scratch, id, step, 0);
		scratch_reopen(scratch);
		if (killed) {
			/* It can be looked at as well as committed. */
			if (skip % 2 == 1) {
				assert_ok(kept_remount(scratch->store, id, NULL, &err),
					  &err);
				assert_digests_equal(
					directory_digest(scratch, target_of(scratch)),
					expected);
			}
			assert_digests_equal(umount_as(scratch, id, "result"), expected);
		}
		the_pool_is_clean(scratch);
		assert_int_equal(scratch_count(scratch, "views"), 0);
		assert_int_equal(scratch_count(scratch, "tmp"), 0);
		/* The files have to be new each time. */
		assert_ok(cop_ref_remove(scratch->store, "result", &err), &err);
		assert_int_equal(
			fs_remove_all(store_fd(scratch->store), "files", false, &err), 0);
		assert_int_equal(
			fs_remove_all(store_fd(scratch->store), "objects", false, &err),
			0);
		scratch_reopen(scratch);
		commit_sample(scratch, "base");
		if (!killed)
			break;
	}
}

static void a_commit_that_was_killed_is_finished(void **state)
{
	struct scratch *scratch = *state;

	commit_sample(scratch, "base");
	for (int step = COMMIT_FILE_READ; step <= COMMIT_REF_SET; step++)
		kill_and_finish(scratch, (enum commit_step)step, false);
}

static void a_commit_that_was_killed_twice_is_finished(void **state)
{
	struct scratch *scratch = *state;

	commit_sample(scratch, "base");
	for (int step = COMMIT_STAGED; step <= COMMIT_REF_SET; step++)
		kill_and_finish(scratch, (enum commit_step)step, true);
}

static void hide_objects(struct scratch *scratch)
{
	assert_int_equal(renameat(store_fd(scratch->store), "objects",
				  store_fd(scratch->store), "objects.hidden"),
			 0);
}

static void show_objects(struct scratch *scratch)
{
	assert_int_equal(renameat(store_fd(scratch->store), "objects.hidden",
				  store_fd(scratch->store), "objects"),
			 0);
}

/* Publishing fails between files and image; the upper is half empty then. */
static void a_commit_that_failed_is_finished_by_the_next(void **state)
{
	struct scratch *scratch = *state;
	struct stop stop = {
		.step = COMMIT_FILE_MOVED, .act = hide_objects, .scratch = scratch};
	const struct kept_end end = {.commit = "result"};
	struct cop_digest expected, digest;
	struct cop_error err = {};
	auto_free char *id = NULL;

	commit_sample(scratch, "base");
	id = mount_base(scratch, true);
	change(target_of(scratch));
	expected = directory_digest(scratch, target_of(scratch));
	store_set_step_hook(stop_at, &stop);
	assert_fails(kept_umount(scratch->store, id, &end, &digest, &err), -ENOENT, &err);
	store_set_step_hook(NULL, NULL);
	show_objects(scratch);
	assert_digests_equal(umount_as(scratch, id, "result"), expected);
	the_pool_is_clean(scratch);
}

static void an_object_goes_on_after_a_commit_that_failed(void **state)
{
	struct scratch *scratch = *state;
	struct stop stop = {
		.step = COMMIT_FILE_MOVED, .act = hide_objects, .scratch = scratch};
	struct cop_object *object = NULL;
	struct cop_digest expected, digest;
	struct cop_error err = {};
	const char *path;

	commit_sample(scratch, "base");
	assert_ok(cop_object_new(scratch->store, "base", &object, &err), &err);
	assert_ok(cop_object_write(object, &path, &err), &err);
	change(path);
	assert_ok(cop_object_write_end(object, &err), &err);
	store_set_step_hook(stop_at, &stop);
	assert_fails(cop_store_commit(scratch->store, object, "result", &digest, &err),
		     -ENOENT, &err);
	store_set_step_hook(NULL, NULL);
	assert_int_equal(cop_store_contains(scratch->store, "result", NULL), 0);
	show_objects(scratch);
	/* Nothing is lost: it is read, changed further and committed. */
	assert_ok(cop_object_write(object, &path, &err), &err);
	assert_int_equal(access(join(path, "a"), F_OK), 0);
	write_large(path, "after", 'z');
	write_times(path, ".", 5);
	expected = directory_digest(scratch, path);
	assert_ok(cop_object_write_end(object, &err), &err);
	assert_ok(cop_store_commit(scratch->store, object, "result", &digest, &err),
		  &err);
	assert_digests_equal(digest, expected);
	cop_object_free(object);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)
		TEST(an_unchanged_view_ends_as_it_began),
		TEST(a_reading_view_is_not_written_to),
		TEST(a_changed_view_needs_a_word_on_its_changes),
		TEST(a_commit_gives_what_the_view_showed),
		TEST(a_view_outlives_a_restart),
		TEST(a_view_is_found_by_its_directory),
		TEST(a_view_in_use_stays_as_it_is),
		TEST(a_mount_that_fails_leaves_nothing),
		TEST(an_unknown_id_is_refused),
		TEST(a_directory_of_any_name_will_do),
		TEST(a_commit_that_was_killed_is_finished),
		TEST(a_commit_that_was_killed_twice_is_finished),
		TEST(a_commit_that_failed_is_finished_by_the_next),
		TEST(an_object_goes_on_after_a_commit_that_failed),
	};

	if (!overlay_works_here())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
