/* SPDX-License-Identifier: Apache-2.0 */
/* What a stage can see and do, and what it cannot. */
#include "fixture.h"

#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "base/process.h"
#include "engine/sandbox.h"

/* Runs one command as a stage; what it printed is in fixture->printed. */
static void run(struct fixture *fixture, const char *command)
{
	struct cop_error err = {};

	fixture_needs_sandbox();
	assert_ok(fixture_sh(fixture, &err, command, NULL), &err);
}

static void there_is_no_network(void **state)
{
	struct fixture *fixture = *state;

	run(fixture, "tail -n +3 /proc/net/dev | cut -d: -f1");
	assert_string_equal(buf_text(&fixture->printed), "    lo\n");
}

static void nothing_outside_the_tree_can_be_written(void **state)
{
	struct fixture *fixture = *state;

	run(fixture,
	    "for d in /usr /sys /run/osbuild/lib /run/osbuild/inputs "
	    "/etc/alternatives; do "
	    "if touch $d/x 2>/dev/null; then echo $d; fi; done; "
	    "for f in /run/osbuild/bin/org.test.sh /run/osbuild/api/arguments; do "
	    "if (echo >>$f) 2>/dev/null; then echo $f; fi; done");
	assert_string_equal(buf_text(&fixture->printed), "");
}

static void the_host_is_not_there(void **state)
{
	struct fixture *fixture = *state;
	struct cop_error err = {};
	char command[256];

	fixture_needs_sandbox();
	(void)snprintf(command, sizeof(command),
		       "test ! -e %s && test -z \"$(ls /home /srv /root 2>/dev/null | "
		       "grep -v :)\"",
		       fixture->path);
	assert_ok(fixture_sh(fixture, &err, command, NULL), &err);
}

static void other_processes_are_not_there(void **state)
{
	struct fixture *fixture = *state;

	run(fixture, "ls -d /proc/[0-9]* | wc -l");
	assert_true(atoi(buf_text(&fixture->printed)) < 10);
}

static uint64_t status_value(const char *text, const char *name)
{
	const char *line = strstr(text, name);

	assert_non_null(line);
	return strtoull(line + strlen(name), NULL, 16);
}

static uint64_t own_capabilities(void)
{
	auto_buf text = {};
	int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(fs_read_all(fd, 64 * KIB, &text, NULL), 0);
	(void)close(fd);
	return status_value(buf_text(&text), "CapEff:");
}

/* AUDIT_WRITE CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID IPC_LOCK LINUX_IMMUTABLE
 * MAC_OVERRIDE MKNOD NET_BIND_SERVICE SETFCAP SETGID SETPCAP SETUID SYS_ADMIN SYS_CHROOT
 * SYS_NICE SYS_RESOURCE */
static uint64_t list_of_osbuild(void)
{
	static const unsigned int numbers[] = {29, 0,  1, 2, 3, 4,  14, 9,  32, 27,
					       10, 31, 6, 8, 7, 21, 18, 23, 24};
	uint64_t mask = 0;

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		mask |= UINT64_C(1) << numbers[i];
	return mask;
}

static void exactly_the_listed_capabilities_are_kept(void **state)
{
	static const char *const sets[] = {"CapPrm:", "CapEff:", "CapInh:", "CapAmb:"};
	struct fixture *fixture = *state;
	uint64_t expected;

	run(fixture, "cat /proc/self/status");
	/* In a user namespace all of them are ours. */
	expected = list_of_osbuild() & (geteuid() ? UINT64_MAX : own_capabilities());
	for (size_t i = 0; i < ARRAY_SIZE(sets); i++)
		assert_int_equal(status_value(buf_text(&fixture->printed), sets[i]),
				 expected);
	assert_int_equal(status_value(buf_text(&fixture->printed), "NoNewPrivs:"), 1);
}

static void the_environment_is_exact(void **state)
{
	struct fixture *fixture = *state;
	struct cop_error err = {};

	fixture_needs_sandbox();
	assert_int_equal(setenv("TERM", "dumb", 1), 0);
	assert_int_equal(setenv("LEAKED", "yes", 1), 0);
	fixture_module(fixture, "stages", "org.test.env",
		       "#!/usr/bin/python3\nimport os\n"
		       "for item in sorted(os.environ.items()): print('%s=%s' % item)\n");
	assert_ok(fixture_build(fixture,
				"{'version': '2', 'pipelines': [{'name': 'a', "
				"'source-epoch': 1, 'stages': [{'type': "
				"'org.test.env'}]}]}",
				&err),
		  &err);
	assert_string_equal(buf_text(&fixture->printed),
			    "LC_CTYPE=C.UTF-8\nPATH=/usr/sbin:/usr/bin\nPWD=/\n"
			    "PYTHONPATH=/run/osbuild/lib\nPYTHONUNBUFFERED=1\n"
			    "SOURCE_DATE_EPOCH=1\nTERM=dumb\ncontainer=bwrap-osbuild\n");
}

static void syncs_do_nothing(void **state)
{
	struct fixture *fixture = *state;
	struct cop_error err = {};

	fixture_needs_sandbox();
	/* A real one would refuse the fd. */
	fixture_module(fixture, "stages", "org.test.sync",
		       "#!/usr/bin/python3\nimport os\nos.fsync(999)\nos.fdatasync(999)\n"
		       "os.sync()\n");
	assert_ok(fixture_build(fixture,
				"{'version': '2', 'pipelines': [{'name': 'a', "
				"'source-epoch': 1, 'stages': [{'type': "
				"'org.test.sync'}]}]}",
				&err),
		  &err);
}

static void a_private_dev_has_what_chroots_need(void **state)
{
	struct fixture *fixture = *state;

	run(fixture,
	    "for n in null zero full random urandom tty; do test -c /dev/$n || "
	    "echo $n; done; for n in fd stdin stdout stderr; do test -L /dev/$n "
	    "|| echo $n; done; test -d /dev/pts || echo pts; test -d /dev/shm || "
	    "echo shm; echo x >/dev/null; readlink /dev/fd; test ! -e "
	    "/dev/loop-control || echo loop");
	assert_string_equal(buf_text(&fixture->printed), "/proc/self/fd\n");
}

static void the_umask_is_ours_to_give(void **state)
{
	struct fixture *fixture = *state;
	mode_t old = umask(077);

	run(fixture, "umask");
	assert_string_equal(buf_text(&fixture->printed), "0022\n");
	assert_int_equal(umask(old), 077);
}

static void standard_input_is_empty_and_the_directory_is_the_root(void **state)
{
	struct fixture *fixture = *state;
	struct cop_error err = {};

	fixture_needs_sandbox();
	fixture_module(fixture, "stages", "org.test.here",
		       "#!/bin/sh\nreadlink /proc/self/fd/0\npwd\ncat /proc/cmdline\n"
		       "hostname\n");
	assert_ok(fixture_build(fixture,
				"{'version': '2', 'pipelines': [{'name': 'a', "
				"'source-epoch': 1, 'stages': [{'type': "
				"'org.test.here'}]}]}",
				&err),
		  &err);
	assert_string_equal(buf_text(&fixture->printed),
			    "/dev/null\n/\nroot=/dev/osbuild\nlocalhost\n");
}

static void var_and_tmp_are_empty_and_writable(void **state)
{
	struct fixture *fixture = *state;

	run(fixture, "touch /tmp/x /var/tmp/x /run/x && ls -A /tmp /var/tmp");
	assert_string_equal(buf_text(&fixture->printed), "/tmp:\nx\n\n/var/tmp:\nx\n");
}

static void alternatives_of_debian_work(void **state)
{
	struct fixture *fixture = *state;
	struct stat st;

	fixture_needs_sandbox();
	if (stat("/etc/alternatives/awk", &st) < 0) {
		print_message("skipped: this host has no awk\n");
		skip();
	}
	run(fixture, "awk --version >/dev/null 2>&1 || awk -W version >/dev/null 2>&1 && "
		     "echo works");
	assert_string_equal(buf_text(&fixture->printed), "works\n");
}

static void a_build_tree_replaces_the_tools_of_the_host(void **state)
{
	struct fixture *fixture = *state;
	struct cop_error err = {};

	fixture_needs_sandbox();
	/* An empty build tree: only a static module can run in it. */
	assert_ok(fixture_build(fixture,
				"{'version': '2', 'pipelines': [{'name': 'build', "
				"'source-epoch': 1, 'stages': [{'type': "
				"'org.osbuild.noop'}]}, {'name': 'a', 'build': "
				"'name:build', 'source-epoch': 1, 'stages': [{'type': "
				"'org.osbuild.hostname', 'options': {'hostname': "
				"'x'}}]}]}",
				&err),
		  &err);
	assert_fails(fixture_build(fixture,
				   "{'version': '2', 'pipelines': [{'name': 'build', "
				   "'source-epoch': 1, 'stages': [{'type': "
				   "'org.osbuild.noop'}]}, {'name': 'a', 'build': "
				   "'name:build', 'source-epoch': 1, 'stages': [{'type': "
				   "'org.test.sh', 'options': {'command': 'true'}}]}]}",
				   &err),
		     -ECHILD, &err);
	assert_non_null(strstr(err.message, "its interpreter or its libraries are not in "
					    "the tree it runs in"));
}

static void a_host_without_bubblewrap_is_told_what_to_install(void **state)
{
	struct fixture *fixture = *state;
	auto_free char *path = strdup(getenv("PATH"));
	struct cop_error err = {};
	int r;

	fixture_needs_sandbox();
	assert_int_equal(setenv("PATH", "/nowhere", 1), 0);
	r = fixture_sh(fixture, &err, "true", NULL);
	assert_int_equal(setenv("PATH", path, 1), 0);
	assert_int_equal(r, -ENOENT);
	assert_non_null(strstr(err.message, "install the package 'bubblewrap'"));
}

static void a_sandbox_that_cannot_be_set_up_is_no_failed_stage(void **state)
{
	auto_words words = {};
	struct cop_error err = {};
	int status, r;

	(void)state;
	fixture_needs_sandbox();
	words_add(&words, "bwrap", "--ro-bind", "/nowhere", "/", "--json-status-fd", "10",
		  "--", "true", NULL);
	r = sandbox_wait(&words, &(struct process_options){.env = NULL}, &status, &err);
	assert_int_equal(r, -EPERM);
	assert_non_null(strstr(err.message, "set up the sandbox: bwrap: "));
}

static int run_as_root(const char *command, int *ret_status, struct cop_error *err)
{
	const char *const argv[] = {"sh", "-c", command, NULL};

	fixture_needs_sandbox();
	return engine_run_command("/", argv, false, NULL, ret_status, err);
}

static void a_command_gives_its_status(void **state)
{
	struct cop_error err = {};
	int status = 0;

	(void)state;
	assert_ok(run_as_root("exit 3", &status, &err), &err);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 3);
	assert_ok(run_as_root("kill -TERM $$", &status, &err), &err);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGTERM);
}

static void a_command_has_no_network_unless_asked_for(void **state)
{
	struct cop_error err = {};
	int status = 0;

	(void)state;
	assert_ok(run_as_root("test $(tail -n +3 /proc/net/dev | wc -l) = 1", &status,
			      &err),
		  &err);
	assert_int_equal(status, 0);
}

static void a_bind_is_there_and_a_wrong_one_is_refused(void **state)
{
	const char *const argv[] = {"test", "-e", "/mnt/stages", NULL};
	struct fixture *fixture = *state;
	const char *binds[2] = {NULL, NULL};
	struct cop_error err = {};
	char bind[256];
	int status = 0;

	fixture_needs_sandbox();
	(void)snprintf(bind, sizeof(bind), "%s:/mnt", fixture->libdir);
	binds[0] = bind;
	assert_ok(engine_run_command("/", argv, false, binds, &status, &err), &err);
	assert_int_equal(status, 0);
	binds[0] = "nowhere";
	assert_fails(engine_run_command("/", argv, false, binds, &status, &err), -EINVAL,
		     &err);
}

#define KILLS 60

/* Has any process @word on its command line? */
static bool somebody_runs(const char *word)
{
	bool found = false;
	glob_t paths = {};

	assert_int_equal(glob("/proc/[0-9]*/cmdline", 0, NULL, &paths), 0);
	for (size_t i = 0; i < paths.gl_pathc && !found; i++) {
		auto_close int fd = open(paths.gl_pathv[i], O_RDONLY | O_CLOEXEC);
		auto_buf text = {};

		if (fd >= 0 && fs_read_all(fd, 1 * MIB, &text, NULL) == 0 && text.size)
			found = memmem(text.data, text.size, word, strlen(word)) != NULL;
	}
	globfree(&paths);
	return found;
}

static void a_sandbox_ends_with_us_whenever_we_are_killed(void **state)
{
	char seconds[32];
	const char *const argv[] = {"sleep", seconds, NULL};

	(void)state;
	fixture_needs_sandbox();
	(void)snprintf(seconds, sizeof(seconds), "1000.%d", getpid());
	for (useconds_t i = 0; i < KILLS; i++) {
		pid_t child = fork();
		int status;

		assert_true(child >= 0);
		if (child == 0)
			_exit(engine_run_command("/", argv, false, NULL, &status, NULL) !=
			      0);
		(void)usleep(i * 500);
		assert_int_equal(kill(child, SIGKILL), 0);
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFSIGNALED(status));
	}
	for (int i = 0; i < 200 && somebody_runs(seconds); i++)
		(void)usleep(50000);
	assert_false(somebody_runs(seconds));
}

#define WITH_STORE(test) \
	cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_STORE(there_is_no_network),
		WITH_STORE(nothing_outside_the_tree_can_be_written),
		WITH_STORE(the_host_is_not_there),
		WITH_STORE(other_processes_are_not_there),
		WITH_STORE(exactly_the_listed_capabilities_are_kept),
		WITH_STORE(the_environment_is_exact),
		WITH_STORE(syncs_do_nothing),
		WITH_STORE(a_private_dev_has_what_chroots_need),
		WITH_STORE(the_umask_is_ours_to_give),
		WITH_STORE(standard_input_is_empty_and_the_directory_is_the_root),
		WITH_STORE(var_and_tmp_are_empty_and_writable),
		WITH_STORE(alternatives_of_debian_work),
		WITH_STORE(a_build_tree_replaces_the_tools_of_the_host),
		WITH_STORE(a_host_without_bubblewrap_is_told_what_to_install),
		cmocka_unit_test(a_sandbox_that_cannot_be_set_up_is_no_failed_stage),
		cmocka_unit_test(a_command_gives_its_status),
		cmocka_unit_test(a_command_has_no_network_unless_asked_for),
		cmocka_unit_test(a_sandbox_ends_with_us_whenever_we_are_killed),
		WITH_STORE(a_bind_is_there_and_a_wrong_one_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
