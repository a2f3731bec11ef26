/* SPDX-License-Identifier: Apache-2.0 */
/* Whole runs: what is run again and what is not, what is kept, and what failures leave.
 */
#include "fixture.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "base/fs.h"
#include "base/text.h"
#include "store/commit.h"
#include "store/store.h"
#include "view/view.h"

#define INLINE_FOO \
	"'sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae'"

/* Our own stages, with both inputs. */
static const char own_modules[] =
	"{'version': '2', 'sources': {'org.osbuild.inline': {'items': {" INLINE_FOO
	": {'encoding': 'base64', 'data': 'Zm9v'}}}}, 'pipelines': ["
	"{'name': 'base', 'source-epoch': 1000000, 'stages': ["
	" {'type': 'org.osbuild.mkdir', 'options': {'paths': [{'path': '/b'}]}}]},"
	"{'name': 'tree', 'source-epoch': 1000000, 'stages': ["
	" {'type': 'org.osbuild.mkdir', 'options': {'paths': [{'path': '/a'}]}},"
	" {'type': 'org.osbuild.copy', 'inputs': {"
	"   'f': {'type': 'org.osbuild.files', 'origin': 'org.osbuild.source',"
	"         'references': [" INLINE_FOO "]},"
	"   't': {'type': 'org.osbuild.tree', 'origin': 'org.osbuild.pipeline',"
	"         'references': ['name:base']},"
	"   'one': {'type': 'org.osbuild.files', 'origin': 'org.osbuild.pipeline',"
	"         'references': {'name:file': {'file': '/dir/f'}}}},"
	"  'options': {'paths': ["
	"   {'from': 'input://f/"
	"sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae',"
	"    'to': 'tree:///a/foo'},"
	"   {'from': 'input://one/dir/f', 'to': 'tree:///a/f'},"
	"   {'from': 'input://t/b', 'to': 'tree:///a/'}]}},"
	" {'type': 'org.osbuild.hostname', 'options': {'hostname': 'x'}}]}]}";

static void insert_file_pipeline(struct buf *text)
{
	const char *at = strstr(own_modules, "{'name': 'base'");

	(void)buf_append(text, own_modules, (size_t)(at - own_modules));
	(void)buf_append_text(text, "{'name': 'file', 'source-epoch': 1000000, 'stages': "
				    "[{'type': '" SH_STAGE "', 'options': {'command': "
				    "'mkdir dir; echo one >dir/f'}}]},");
	(void)buf_append_text(text, at);
}

static void inputs_reach_the_stage(void **state)
{
	struct fixture *fixture = *state;
	const char *exports[] = {"tree", NULL};
	struct cop_error err = {};
	auto_buf text = {}, foo = {}, one = {};
	char path[256];
	struct stat st;

	fixture_needs_sandbox();
	insert_file_pipeline(&text);
	fixture->options.exports = exports;
	fixture->options.output_directory = fixture->output;
	assert_ok(fixture_build(fixture, buf_text(&text), &err), &err);
	assert_true(fixture_read(fixture, "out/tree/a/foo", &foo));
	assert_string_equal(buf_text(&foo), "foo");
	assert_true(fixture_read(fixture, "out/tree/a/f", &one));
	assert_string_equal(buf_text(&one), "one\n");
	(void)snprintf(path, sizeof(path), "%s/out/tree/a/b", fixture->path);
	assert_int_equal(stat(path, &st), 0);
	assert_true(S_ISDIR(st.st_mode));
}

/* One stage that copies one inline item, which is @data. */
static int build_inline(struct fixture *fixture, const char *data, struct cop_error *err)
{
	char text[1024];

	(void)snprintf(text, sizeof(text),
		       "{'version': '2', 'sources': {'org.osbuild.inline': {'items': "
		       "{" INLINE_FOO ": {'encoding': 'base64', 'data': '%s'}}}}, "
		       "'pipelines': [{'name': 'tree', 'source-epoch': 1, 'stages': [{"
		       "'type': '" SH_STAGE "', 'options': {'command': 'true'}, "
		       "'inputs': {'f': {'type': 'org.osbuild.files', 'origin': "
		       "'org.osbuild.source', 'references': [" INLINE_FOO "]}}}]}]}",
		       data);
	return fixture_build(fixture, text, err);
}

static void a_wrong_checksum_leaves_the_store_as_it_was(void **state)
{
	struct fixture *fixture = *state;
	struct cop_error err = {};

	assert_fails(build_inline(fixture, "Zm9w", &err), -EREMOTEIO, &err);
	assert_non_null(
		strstr(err.message, "fetch sources: source org.osbuild.inline: "));
	assert_non_null(strstr(err.message, "wrong checksum: expected sha256:2c26"));
	assert_string_equal(buf_text(&fixture->events), "");
}

static void what_nobody_needs_is_not_fetched(void **state)
{
	struct fixture *fixture = *state;
	struct cop_error err = {};
	char path[256];

	fixture_needs_sandbox();
	assert_ok(build_inline(fixture, "Zm9v", &err), &err);
	(void)snprintf(
		path, sizeof(path),
		"%s/org.osbuild.files/sha256:2c26b46b68ffc68ff99b453c1d30413413422d70"
		"6483bfa0f98a5e886266e7ae",
		store_sources_path(fixture->store));
	assert_int_equal(unlink(path), 0);
	/* Its data is wrong now, which nobody finds out. */
	assert_ok(build_inline(fixture, "Zm9w", &err), &err);
	assert_string_equal(buf_text(&fixture->events), "org.test.sh cached\n");
	assert_int_equal(access(path, F_OK), -1);
}

static void pipelines_with_the_same_id_are_built_once(void **state)
{
	const char *exports[] = {"a", "b", NULL};
	struct fixture *fixture = *state;
	struct cop_error err = {};
	auto_buf a = {}, b = {};

	fixture_needs_sandbox();
	fixture->options.exports = exports;
	fixture->options.output_directory = fixture->output;
	assert_ok(fixture_build(fixture,
				"{'version': '2', 'pipelines': [{'name': 'a', "
				"'source-epoch': 1, 'stages': [{'type': 'org.test.sh', "
				"'options': {'command': 'echo x >x'}}]}, {'name': 'b', "
				"'source-epoch': 1, 'stages': [{'type': 'org.test.sh', "
				"'options': {'command': 'echo x >x'}}]}]}",
				&err),
		  &err);
	assert_string_equal(buf_text(&fixture->events), "org.test.sh ran kept\n");
	assert_true(fixture_read(fixture, "out/a/x", &a));
	assert_true(fixture_read(fixture, "out/b/x", &b));
}

static void only_what_an_export_needs_is_built(void **state)
{
	const char *exports[] = {"b", NULL};
	struct fixture *fixture = *state;
	struct cop_error err = {};

	fixture_needs_sandbox();
	fixture->options.exports = exports;
	fixture->options.output_directory = fixture->output;
	assert_ok(fixture_build(fixture,
				"{'version': '2', 'pipelines': [{'name': 'a', "
				"'source-epoch': 1, 'stages': [{'type': 'org.test.sh', "
				"'options': {'command': 'false'}}]}, {'name': 'b', "
				"'source-epoch': 1, 'stages': [{'type': 'org.test.sh', "
				"'options': {'command': 'true'}}]}]}",
				&err),
		  &err);
	assert_string_equal(buf_text(&fixture->events), "org.test.sh ran kept\n");
}

static void an_export_of_nothing_is_refused(void **state)
{
	const char *exports[] = {"nope", NULL};
	struct fixture *fixture = *state;
	struct cop_error err = {};

	fixture->options.exports = exports;
	assert_fails(fixture_sh(fixture, &err, "true", NULL), -EINVAL, &err);
	fixture->options.output_directory = fixture->output;
	assert_fails(fixture_sh(fixture, &err, "true", NULL), -ENOENT, &err);
	assert_string_equal(err.message,
			    "export 'nope': the manifest has no such pipeline");
}

static void a_pipeline_without_stages_is_an_empty_tree(void **state)
{
	const char *exports[] = {"empty", NULL};
	struct fixture *fixture = *state;
	struct cop_error err = {};
	char path[256];

	fixture->options.exports = exports;
	fixture->options.output_directory = fixture->output;
	assert_ok(fixture_build(fixture,
				"{'version': '2', 'pipelines': [{'name': 'empty'}]}",
				&err),
		  &err);
	(void)snprintf(path, sizeof(path), "%s/empty", fixture->output);
	assert_int_equal(rmdir(path), 0);
}

static void a_second_run_runs_nothing(void **state)
{
	struct fixture *fixture = *state;
	struct cop_error err = {};
	char digest[65];

	fixture_needs_sandbox();
	assert_ok(fixture_sh(fixture, &err, "echo a >a", "echo b >b", NULL), &err);
	(void)snprintf(digest, sizeof(digest), "%s", fixture_digest(fixture, "tree"));
	assert_int_equal(strlen(digest), 64);
	assert_ok(fixture_sh(fixture, &err, "echo a >a", "echo b >b", NULL), &err);
	assert_string_equal(buf_text(&fixture->events),
			    "org.test.sh cached\norg.test.sh cached\n");
	assert_string_equal(fixture_digest(fixture, "tree"), digest);
}

static void a_changed_last_stage_runs_alone(void **state)
{
	const char *checkpoints[] = {"all", NULL};
	struct fixture *fixture = *state;
	struct cop_error err = {};

	fixture_needs_sandbox();
	fixture->options.checkpoints = checkpoints;
	assert_ok(fixture_sh(fixture, &err, "echo a >a", "echo b >b", NULL), &err);
	assert_ok(fixture_sh(fixture, &err, "echo a >a", "echo c >c", NULL), &err);
	assert_string_equal(buf_text(&fixture->events),
			    "org.test.sh cached\norg.test.sh ran kept\n");
}

static void resuming_gives_the_digest_of_a_fresh_run(void **state)
{
	const char *all[] = {"all", NULL}, *none[] = {"none", NULL};
	const char *exports[] = {"tree", NULL};
	struct fixture *fixture = *state;
	struct cop_error err = {};
	char digest[65];

	fixture_needs_sandbox();
	fixture->options.checkpoints = all;
	assert_ok(
		fixture_sh(fixture, &err, "echo a >a; touch -d @5 t", "echo b >b", NULL),
		&err);
	assert_ok(
		fixture_sh(fixture, &err, "echo a >a; touch -d @5 t", "echo c >c", NULL),
		&err);
	(void)snprintf(digest, sizeof(digest), "%s", fixture_digest(fixture, "tree"));
	/* The same in a store that knows nothing, without checkpoints in between. */
	cop_store_close(fixture->store);
	fixture->store = NULL;
	(void)strcat(fixture->store_path, "2");
	assert_ok(cop_store_open(fixture->store_path, COP_STORE_CREATE, &fixture->store,
				 &err),
		  &err);
	fixture->options.checkpoints = none;
	fixture->options.exports = exports;
	fixture->options.output_directory = fixture->output;
	assert_ok(
		fixture_sh(fixture, &err, "echo a >a; touch -d @5 t", "echo c >c", NULL),
		&err);
	assert_string_equal(buf_text(&fixture->events),
			    "org.test.sh ran\norg.test.sh ran\n");
	fixture->options.checkpoints = NULL;
	assert_ok(
		fixture_sh(fixture, &err, "echo a >a; touch -d @5 t", "echo c >c", NULL),
		&err);
	assert_string_equal(fixture_digest(fixture, "tree"), digest);
}

static void times_are_clamped_after_every_stage(void **state)
{
	const char *exports[] = {"tree", NULL};
	struct fixture *fixture = *state;
	struct cop_error err = {};
	char path[256];
	struct stat st;

	fixture_needs_sandbox();
	fixture->options.exports = exports;
	fixture->options.output_directory = fixture->output;
	/* The second stage sees what the first one made, clamped. */
	assert_ok(fixture_sh(fixture, &err, "echo a >new; touch -d @5 old",
			     "stat -c %Y new >seen", NULL),
		  &err);
	(void)snprintf(path, sizeof(path), "%s/out/tree/new", fixture->path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mtime, 1000000);
	(void)snprintf(path, sizeof(path), "%s/out/tree/old", fixture->path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mtime, 5);
	{
		auto_buf seen = {};

		assert_true(fixture_read(fixture, "out/tree/seen", &seen));
		assert_string_equal(buf_text(&seen), "1000000\n");
	}
	assert_null(strstr(buf_text(&fixture->notes), "source-epoch"));
}

static void without_an_epoch_it_is_said_once(void **state)
{
	struct fixture *fixture = *state;
	struct cop_error err = {};
	const char *note;

	fixture_needs_sandbox();
	assert_ok(fixture_build(fixture,
				"{'version': '2', 'pipelines': [{'name': 'a', 'stages': "
				"[{'type': 'org.osbuild.noop'}, {'type': "
				"'org.osbuild.noop'}]}, {'name': 'b', 'stages': "
				"[{'type': 'org.osbuild.noop'}, {'type': "
				"'org.osbuild.noop'}, {'type': 'org.osbuild.noop'}]}]}",
				&err),
		  &err);
	note = strstr(buf_text(&fixture->notes), "source-epoch");
	assert_non_null(note);
	assert_null(strstr(note + 1, "source-epoch"));
}

static void policy_none_keeps_nothing(void **state)
{
	const char *checkpoints[] = {"none", NULL};
	struct fixture *fixture = *state;
	struct cop_error err = {};

	fixture_needs_sandbox();
	fixture->options.checkpoints = checkpoints;
	assert_ok(fixture_sh(fixture, &err, "echo a >a", NULL), &err);
	assert_string_equal(buf_text(&fixture->events), "org.test.sh ran\n");
	assert_ok(fixture_sh(fixture, &err, "echo a >a", NULL), &err);
	assert_string_equal(buf_text(&fixture->events), "org.test.sh ran\n");
}

static void policy_auto_keeps_a_slow_stage(void **state)
{
	struct fixture *fixture = *state;
	struct cop_error err = {};

	fixture_needs_sandbox();
	assert_ok(fixture_sh(fixture, &err, "sleep 1; echo a >a", "true", NULL), &err);
	assert_string_equal(buf_text(&fixture->events),
			    "org.test.sh ran kept\norg.test.sh ran kept\n");
}

static void a_glob_keeps_what_it_names(void **state)
{
	const char *checkpoints[] = {"org.osbuild.*", NULL};
	struct fixture *fixture = *state;
	struct cop_error err = {};

	fixture_needs_sandbox();
	fixture->options.checkpoints = checkpoints;
	assert_ok(fixture_build(fixture,
				"{'version': '2', 'pipelines': [{'name': 'a', "
				"'source-epoch': 1, 'stages': [{'type': "
				"'org.osbuild.noop'}, {'type': '" SH_STAGE "', "
				"'options': {'command': 'true'}}]}]}",
				&err),
		  &err);
	assert_string_equal(buf_text(&fixture->events),
			    "org.osbuild.noop ran kept\norg.test.sh ran\n");
}

static void a_glob_that_matches_nothing_is_refused(void **state)
{
	const char *checkpoints[] = {"nope*", NULL};
	struct fixture *fixture = *state;
	struct cop_error err = {};

	fixture->options.checkpoints = checkpoints;
	assert_fails(fixture_sh(fixture, &err, "true", NULL), -EINVAL, &err);
	assert_string_equal(
		err.message,
		"checkpoint 'nope*' matches no pipeline, stage id or stage type");
}

static void another_module_code_is_no_hit(void **state)
{
	struct fixture *fixture = *state;
	struct cop_error err = {};

	fixture_needs_sandbox();
	fixture_module(fixture, "stages", "org.test.own", "#!/bin/sh\ntrue\n");
	assert_ok(fixture_build(fixture,
				"{'version': '2', 'pipelines': [{'name': 'a', "
				"'source-epoch': 1, 'stages': [{'type': "
				"'org.test.own'}]}]}",
				&err),
		  &err);
	fixture_module(fixture, "stages", "org.test.own", "#!/bin/sh\ntrue #\n");
	assert_ok(fixture_build(fixture,
				"{'version': '2', 'pipelines': [{'name': 'a', "
				"'source-epoch': 1, 'stages': [{'type': "
				"'org.test.own'}]}]}",
				&err),
		  &err);
	assert_string_equal(buf_text(&fixture->events), "org.test.own ran kept\n");
}

static void a_failed_stage_says_how_to_go_on(void **state)
{
	struct fixture *fixture = *state;
	char id[65] = "", tree[80];
	struct cop_error err = {};

	fixture_needs_sandbox();
	assert_fails(fixture_sh(fixture, &err, "echo a >a",
				"echo b >b; echo first; echo the reason; exit 7", NULL),
		     -ECHILD, &err);
	assert_string_equal(err.message, "stage 2 of pipeline 'tree', org.test.sh: exit "
					 "status 7: the reason");
	assert_true(text_ends_with(buf_text(&fixture->events), "\norg.test.sh failed\n"));
	assert_non_null(strstr(buf_text(&fixture->notes), "run failed/"));
	assert_non_null(strstr(buf_text(&fixture->notes), "log failed/"));
	/* Not the default store: the command must name it. */
	assert_non_null(strstr(buf_text(&fixture->notes), "coppice --store /"));
	(void)snprintf(id, sizeof(id), "%.64s",
		       strstr(buf_text(&fixture->notes), "run failed/") + 11);
	assert_int_equal(strlen(id), 64);
	assert_true(text_is_hex(id));
	(void)snprintf(tree, sizeof(tree), "failed/%s", id);
	assert_int_equal(cop_store_contains(fixture->store, tree, &err), 1);
}

static int take_name(void *data, const char *name, const struct cop_digest *digest)
{
	(void)digest;
	(void)snprintf(data, 65, "%s", name);
	return 0;
}

static void the_log_of_a_failed_stage_can_be_read(void **state)
{
	struct fixture *fixture = *state;
	struct cop_error err = {};
	auto_buf log = {};
	char id[65] = "";

	fixture_needs_sandbox();
	assert_fails(fixture_sh(fixture, &err, "echo said; exit 1", NULL), -ECHILD, &err);
	assert_ok(ref_list(fixture->store, REF_FAILED, NULL, take_name, id, &err), &err);
	assert_int_equal(strlen(id), 64);
	assert_ok(store_log_read(fixture->store, id, &log, &err), &err);
	assert_string_equal(buf_text(&log), "said\n");
}

static void a_failed_tree_is_no_base_for_a_later_run(void **state)
{
	struct fixture *fixture = *state;
	struct cop_error err = {};

	fixture_needs_sandbox();
	assert_fails(fixture_sh(fixture, &err,
				"test ! -e /run/osbuild/tree/a; echo a >a; "
				"exit 1",
				NULL),
		     -ECHILD, &err);
	assert_fails(fixture_sh(fixture, &err,
				"test ! -e /run/osbuild/tree/a; echo a >a; "
				"exit 1",
				NULL),
		     -ECHILD, &err);
	assert_string_equal(buf_text(&fixture->events), "org.test.sh failed\n");
}

static void a_death_by_signal_is_named(void **state)
{
	struct fixture *fixture = *state;
	struct cop_error err = {};

	fixture_needs_sandbox();
	assert_fails(fixture_sh(fixture, &err, "kill -SEGV $PPID; sleep 5", NULL),
		     -ECHILD, &err);
	assert_non_null(strstr(err.message, "killed by signal 11 (Segmentation fault)"));
}

static void a_full_disk_is_named(void **state)
{
	struct fixture *fixture = *state;
	struct cop_error err = {};

	fixture_needs_sandbox();
	assert_fails(fixture_sh(fixture, &err,
				"echo write x: No space left on device; exit 1", NULL),
		     -ECHILD, &err);
	assert_non_null(strstr(err.message, "exit status 1, the disk is full"));
}

static void an_exception_of_the_module_is_the_message(void **state)
{
	struct fixture *fixture = *state;
	struct cop_error err = {};

	fixture_needs_sandbox();
	assert_fails(fixture_build(fixture,
				   "{'version': '2', 'pipelines': [{'name': 'a', "
				   "'source-epoch': 1, 'stages': [{'type': "
				   "'org.osbuild.hostname', 'options': {'hostname': "
				   "'x'}}, {'type': 'org.osbuild.copy', 'options': "
				   "{'paths': [{'from': 'tree:///nope', 'to': "
				   "'tree:///x'}]}}]}]}",
				   &err),
		     -ECHILD, &err);
	assert_non_null(strstr(err.message, "stage 2 of pipeline 'a', org.osbuild.copy"));
	assert_non_null(strstr(err.message, "nope"));
}

static void an_unknown_stage_names_where_it_was_looked_for(void **state)
{
	struct fixture *fixture = *state;
	struct cop_error err = {};

	assert_fails(fixture_build(fixture,
				   "{'version': '2', 'pipelines': [{'name': 'a', "
				   "'stages': [{'type': 'org.osbuild.nope'}, {'type': "
				   "'org.osbuild.nope2'}]}]}",
				   &err),
		     -EINVAL, &err);
	assert_non_null(strstr(err.message,
			       "manifest: .pipelines[0].stages[0]: could not "
			       "find schema information for "
			       "'org.osbuild.nope' (looked in "));
	assert_non_null(strstr(err.message, "(and 1 more)"));
}

static void options_that_do_not_fit_are_refused_with_their_place(void **state)
{
	struct fixture *fixture = *state;
	struct cop_error err = {};

	assert_fails(fixture_build(fixture,
				   "{'version': '2', 'pipelines': [{'name': 'a', "
				   "'stages': [{'type': 'org.osbuild.hostname', "
				   "'options': {}}]}]}",
				   &err),
		     -EINVAL, &err);
	assert_string_equal(err.message,
			    "manifest: .pipelines[0].stages[0].options: 'hostname' is a "
			    "required property");
}

static void an_export_replaces_its_earlier_self(void **state)
{
	const char *exports[] = {"tree", NULL};
	struct fixture *fixture = *state;
	struct cop_error err = {};
	auto_buf a = {}, b = {};

	fixture_needs_sandbox();
	fixture->options.exports = exports;
	fixture->options.output_directory = fixture->output;
	assert_ok(fixture_sh(fixture, &err, "echo a >a", NULL), &err);
	assert_ok(fixture_sh(fixture, &err, "echo b >b", NULL), &err);
	assert_false(fixture_read(fixture, "out/tree/a", &a));
	assert_true(fixture_read(fixture, "out/tree/b", &b));
}

static void an_export_does_not_replace_a_strangers_directory(void **state)
{
	const char *exports[] = {"tree", NULL};
	struct fixture *fixture = *state;
	struct cop_error err = {};
	auto_buf mine = {};
	char path[256];

	fixture_needs_sandbox();
	fixture->options.exports = exports;
	fixture->options.output_directory = fixture->output;
	assert_int_equal(mkdir(fixture->output, 0755), 0);
	(void)snprintf(path, sizeof(path), "%s/tree", fixture->output);
	assert_int_equal(mkdir(path, 0755), 0);
	(void)snprintf(path, sizeof(path), "%s/tree/mine", fixture->output);
	(void)close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
	assert_fails(fixture_sh(fixture, &err, "echo a >a", NULL), -EEXIST, &err);
	assert_true(fixture_read(fixture, "out/tree/mine", &mine));
}

static void a_cancelled_run_ends_soon_and_leaves_nothing(void **state)
{
	struct fixture *fixture = *state;
	struct cop_error err = {};
	char path[256];
	int pipe_fds[2];
	time_t start = time(NULL);
	pid_t pid;

	fixture_needs_sandbox();
	assert_int_equal(pipe(pipe_fds), 0);
	pid = fork();
	if (pid == 0) {
		(void)sleep(1);
		_exit(write(pipe_fds[1], "x", 1) == 1 ? 0 : 1);
	}
	fixture->options.cancel_fd = pipe_fds[0];
	assert_fails(fixture_sh(fixture, &err, "sleep 60", NULL), -EINTR, &err);
	assert_true(time(NULL) - start < 10);
	(void)waitpid(pid, NULL, 0);
	(void)close(pipe_fds[0]);
	(void)close(pipe_fds[1]);
	(void)snprintf(path, sizeof(path), "%s/refs/failed", fixture->store_path);
	assert_true(rmdir(path) == 0 || errno != ENOTEMPTY);
}

static int count_ran(const struct fixture *fixture)
{
	const char *at = buf_text(&fixture->events);
	int n = 0;

	while ((at = strstr(at, " ran"))) {
		at++;
		n++;
	}
	return n;
}

/* As programs do before they build: a sandbox of one that is made while another has a
 * view mounted would keep that mounted, too. */
static void own_mounts(void)
{
	if (geteuid() == 0 && unshare(CLONE_NEWNS) == 0)
		(void)mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL);
}

/* A child process builds with the same store; its exit status is the number of stages
 * that it ran, or 100. */
static pid_t build_beside(struct fixture *fixture, const char *first, const char *second)
{
	pid_t pid = fork();

	if (pid == 0) {
		struct cop_error err = {};
		int r;

		own_mounts();
		cop_store_close(fixture->store);
		r = cop_store_open(fixture->store_path, 0, &fixture->store, &err);
		if (r == 0)
			r = fixture_sh(fixture, &err, first, second, NULL);
		if (r < 0)
			print_error("%s\n", err.message);
		_exit(r < 0 ? 100 : count_ran(fixture));
	}
	return pid;
}

static void two_at_once_run_each_stage_once(void **state)
{
	struct fixture *fixture = *state;
	int status, n_ran = 0;
	pid_t pids[2];

	fixture_needs_sandbox();
	for (int i = 0; i < 2; i++)
		pids[i] = build_beside(fixture, "echo a >a", "sleep 1; echo b >b");
	for (int i = 0; i < 2; i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_true(WIFEXITED(status));
		n_ran += WEXITSTATUS(status);
	}
	assert_int_equal(n_ran, 2);
}

/* Of 6 MB, that was used long ago. */
static void add_old_checkpoint(const struct fixture *fixture)
{
	const struct commit_directory_options options = {
		.class = REF_STAGE,
		.name = "00000000000000000000000000000000000000000000000000000000000000aa",
		.source_epoch = -1};
	static char bytes[6000000];
	struct cop_error err = {};
	struct cop_digest digest;
	char path[128];
	int fd;

	memset(bytes, 'x', sizeof(bytes));
	(void)snprintf(path, sizeof(path), "%s/old", fixture->path);
	assert_int_equal(mkdir(path, 0755), 0);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_ok(fs_write_new(fd, "x", bytes, sizeof(bytes), 0644, &err), &err);
	assert_ok(store_commit_directory(fixture->store, fd, &options, &digest, &err),
		  &err);
	(void)close(fd);
}

/* In a file system of 16 MB.  Exit status 0, or 77 where that cannot be had. */
static void build_on_small_disk(struct fixture *fixture)
{
	static const char *const commands[] = {"head -c 6000000 /dev/urandom >y",
					       "head -c 11000000 /dev/urandom >y"};
	/* Not the first stage, however slow the machine is. */
	static const char *const checkpoints[] = {"tree", NULL};
	char path[128];
	struct cop_error err = {};
	bool overlay, first_is_kept;
	const json_t *stages;

	fixture->options.checkpoints = checkpoints;
	own_mounts();
	cop_store_close(fixture->store);
	(void)snprintf(path, sizeof(path), "%s/small", fixture->path);
	if (mkdir(path, 0700) < 0 || mount("tmpfs", path, "tmpfs", 0, "size=16m") < 0)
		_exit(77);
	assert_ok(cop_store_open(path, COP_STORE_CREATE, &fixture->store, &err), &err);
	overlay = text_starts_with(view_describe(fixture->store), "overlay");
	add_old_checkpoint(fixture);
	/* A copy view holds the new file twice until it is committed. */
	assert_ok(fixture_sh(fixture, &err, "echo a >a", commands[overlay], NULL), &err);
	assert_non_null(strstr(buf_text(&fixture->notes), "the disk is full: collected"));
	stages = json_object_get(
		json_array_get(json_object_get(fixture->result, "pipelines"), 0),
		"stages");
	assert_int_equal(json_array_size(stages), 2);
	/* On the overlay the stage itself meets the full disk, and the first one runs
	 * again, unless it took so long that it was kept; on the copy it is the commit.
	 */
	first_is_kept = json_is_true(json_object_get(json_array_get(stages, 0), "kept"));
	assert_int_equal(count_ran(fixture), overlay && !first_is_kept ? 3 : 2);
	/* Not for ever. */
	assert_fails(fixture_sh(fixture, &err, "head -c 17000000 /dev/urandom >z", NULL),
		     -ECHILD, &err);
	assert_non_null(strstr(err.message, "the disk is full"));
	cop_store_close(fixture->store);
	_exit(0);
}

static void a_full_disk_is_collected_once_and_the_build_goes_on(void **state)
{
	struct fixture *fixture = *state;
	int status;
	pid_t pid;

	fixture_needs_sandbox();
	pid = fork();
	if (pid == 0)
		build_on_small_disk(fixture);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void after_a_kill_the_next_run_works(void **state)
{
	struct fixture *fixture = *state;
	struct cop_error err = {};
	int status;
	pid_t pid;

	fixture_needs_sandbox();
	pid = build_beside(fixture, "echo a >a; sleep 30", "true");
	(void)sleep(2);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_ok(fixture_sh(fixture, &err, "echo b >b", NULL), &err);
	assert_string_equal(buf_text(&fixture->events), "org.test.sh ran kept\n");
}

#define WITH_STORE(test) \
	cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_STORE(inputs_reach_the_stage),
		WITH_STORE(a_wrong_checksum_leaves_the_store_as_it_was),
		WITH_STORE(what_nobody_needs_is_not_fetched),
		WITH_STORE(pipelines_with_the_same_id_are_built_once),
		WITH_STORE(only_what_an_export_needs_is_built),
		WITH_STORE(an_export_of_nothing_is_refused),
		WITH_STORE(a_pipeline_without_stages_is_an_empty_tree),
		WITH_STORE(a_second_run_runs_nothing),
		WITH_STORE(a_changed_last_stage_runs_alone),
		WITH_STORE(resuming_gives_the_digest_of_a_fresh_run),
		WITH_STORE(times_are_clamped_after_every_stage),
		WITH_STORE(without_an_epoch_it_is_said_once),
		WITH_STORE(policy_none_keeps_nothing),
		WITH_STORE(policy_auto_keeps_a_slow_stage),
		WITH_STORE(a_glob_keeps_what_it_names),
		WITH_STORE(a_glob_that_matches_nothing_is_refused),
		WITH_STORE(another_module_code_is_no_hit),
		WITH_STORE(a_failed_stage_says_how_to_go_on),
		WITH_STORE(the_log_of_a_failed_stage_can_be_read),
		WITH_STORE(a_failed_tree_is_no_base_for_a_later_run),
		WITH_STORE(a_death_by_signal_is_named),
		WITH_STORE(a_full_disk_is_named),
		WITH_STORE(an_exception_of_the_module_is_the_message),
		WITH_STORE(an_unknown_stage_names_where_it_was_looked_for),
		WITH_STORE(options_that_do_not_fit_are_refused_with_their_place),
		WITH_STORE(an_export_replaces_its_earlier_self),
		WITH_STORE(an_export_does_not_replace_a_strangers_directory),
		WITH_STORE(a_cancelled_run_ends_soon_and_leaves_nothing),
		WITH_STORE(two_at_once_run_each_stage_once),
		WITH_STORE(a_full_disk_is_collected_once_and_the_build_goes_on),
		WITH_STORE(after_a_kill_the_next_run_works),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
