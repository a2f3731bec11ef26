/* SPDX-License-Identifier: Apache-2.0 */
#include "base/process.h"
#include "base/monotonic.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define GRACE_MS 5000
/* How much of a child's last words is kept for a message. */
#define TAIL_SIZE 4096

/* Where a guard expects the pipe of which we hold the other end. */
#define LIVENESS_FD 3

struct running {
	const struct process_options *options;
	const char *name;
	pid_t pid;
	int pid_fd;
	int out_fd; /* read end; -EBADF at the end of the output */
	int error_fd;
	int liveness_fd; /* of a guard, as long as it shall wait */
	struct buf tail;
	int stopped; /* why we ended it: -EINTR, -ETIMEDOUT, or 0 */
};

static void running_done(struct running *running)
{
	closep(&running->pid_fd);
	closep(&running->out_fd);
	closep(&running->error_fd);
	closep(&running->liveness_fd);
	buf_done(&running->tail);
}

static void kill_child(struct running *running, int signal_number)
{
	/* A guard must live until the last of them is gone, and kills better. */
	if (signal_number == SIGKILL && running->liveness_fd >= 0) {
		(void)close(TAKE_FD(running->liveness_fd));
		return;
	}
	(void)kill(running->options->foreground ? running->pid : -running->pid,
		   signal_number);
}

void process_keep_tail(struct buf *tail, const char *bytes, size_t size)
{
	if (size > TAIL_SIZE) {
		bytes += size - TAIL_SIZE;
		size = TAIL_SIZE;
	}
	if (tail->size + size > 2 * TAIL_SIZE) {
		memmove(tail->data, tail->data + tail->size - TAIL_SIZE, TAIL_SIZE);
		buf_truncate(tail, TAIL_SIZE);
	}
	(void)buf_append(tail, bytes, size);
}

static bool is_given(const struct process_options *options, int fd)
{
	for (size_t i = 0; i < options->n_fds; i++)
		if (options->fds[i].theirs == fd)
			return true;
	return false;
}

/* What we inherited without close-on-exec must not reach the child either. */
static int close_rest(posix_spawn_file_actions_t *actions,
		      const struct process_options *options)
{
	int r = 0, last = STDERR_FILENO;

	for (size_t i = 0; i < options->n_fds; i++)
		if (options->fds[i].theirs > last)
			last = options->fds[i].theirs;
	for (int fd = STDERR_FILENO + 1; fd < last && r == 0; fd++)
		if (!is_given(options, fd))
			r = posix_spawn_file_actions_addclose(actions, fd);
	return r ? r : posix_spawn_file_actions_addclosefrom_np(actions, last + 1);
}

/* The child's fd numbers must not meet ours while they are moved: lift ours out of reach
 * first, then put each in its place. */
static int add_fds(posix_spawn_file_actions_t *actions,
		   const struct process_options *options, int out_write, int error_write,
		   int *lifted)
{
	const struct process_fd standard[] = {{out_write, 1}, {error_write, 2}};
	int r = posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDONLY, 0);

	for (size_t i = 0; i < 2 && r == 0; i++)
		r = posix_spawn_file_actions_adddup2(actions, standard[i].ours,
						     standard[i].theirs);
	for (size_t i = 0; i < options->n_fds && r == 0; i++) {
		lifted[i] = fcntl(options->fds[i].ours, F_DUPFD_CLOEXEC, 256);
		if (lifted[i] < 0)
			return -errno;
		r = posix_spawn_file_actions_adddup2(actions, lifted[i],
						     options->fds[i].theirs);
	}
	if (r == 0)
		r = close_rest(actions, options);
	return -r;
}

static bool is_found(const char *name)
{
	auto_free char *path = process_find(name);

	return path != NULL;
}

static int spawn(struct running *running, int out_write, int error_write,
		 struct cop_error *err)
{
	const struct process_options *options = running->options;
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	auto_free int *lifted = calloc(options->n_fds + 1, sizeof(*lifted));
	sigset_t none, defaults;
	int flags, r;

	if (!lifted)
		return err_oom(err);
	for (size_t i = 0; i < options->n_fds; i++)
		lifted[i] = -EBADF;
	(void)posix_spawn_file_actions_init(&actions);
	(void)posix_spawnattr_init(&attributes);
	(void)sigemptyset(&none);
	(void)sigemptyset(&defaults);
	(void)sigaddset(&defaults, SIGINT);
	(void)sigaddset(&defaults, SIGTERM);
	(void)sigaddset(&defaults, SIGPIPE);
	/* A group of its own: a key pressed on the terminal reaches us, and we decide. */
	flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
	if (!options->foreground)
		flags |= POSIX_SPAWN_SETPGROUP;
	(void)posix_spawnattr_setflags(&attributes, (short)flags);
	(void)posix_spawnattr_setsigmask(&attributes, &none);
	(void)posix_spawnattr_setsigdefault(&attributes, &defaults);
	r = add_fds(&actions, options, out_write, error_write, lifted);
	if (r == 0)
		r = -posix_spawnp(&running->pid, options->argv[0], &actions, &attributes,
				  (char *const *)options->argv,
				  options->env ? (char *const *)options->env : environ);
	/* A directory of PATH that we may not enter is no place of the program. */
	if (r == -EACCES && !is_found(options->argv[0]))
		r = -ENOENT;
	for (size_t i = 0; i < options->n_fds; i++)
		closep(&lifted[i]);
	(void)posix_spawnattr_destroy(&attributes);
	(void)posix_spawn_file_actions_destroy(&actions);
	return r < 0 ? err_code(err, r, "run '%s'", running->name) : 0;
}

static int start(struct running *running, struct cop_error *err)
{
	auto_close int out_write = -EBADF, error_write = -EBADF;
	int out[2], error[2], r;

	if (pipe2(out, O_CLOEXEC) < 0)
		return err_errno(err, "make a pipe");
	running->out_fd = out[0];
	out_write = out[1];
	if (running->options->separate_error) {
		if (pipe2(error, O_CLOEXEC) < 0)
			return err_errno(err, "make a pipe");
		running->error_fd = error[0];
		error_write = error[1];
	}
	r = spawn(running, out_write, error_write >= 0 ? error_write : out_write, err);
	if (r < 0)
		return r;
	/* Without pidfd (before Linux 5.3) we could not wait for child and output at
	 * once. */
	running->pid_fd = (int)syscall(SYS_pidfd_open, running->pid, 0);
	if (running->pid_fd < 0) {
		r = err_errno(err, "watch '%s'", running->name);
		kill_child(running, SIGKILL);
		(void)waitpid(running->pid, NULL, 0);
	}
	return r;
}

/* Returns false at the end of the output. */
static bool take_output(struct running *running, int fd, bool is_error)
{
	char bytes[8192];
	ssize_t n = read(fd, bytes, sizeof(bytes));

	if (n < 0)
		return errno == EINTR || errno == EAGAIN;
	if (n == 0)
		return false;
	process_keep_tail(&running->tail, bytes, (size_t)n);
	if (!is_error && running->options->on_output)
		running->options->on_output(running->options->data, bytes, (size_t)n);
	return true;
}

static void drain(struct running *running, int *fd, bool is_error)
{
	if (*fd < 0)
		return;
	(void)fcntl(*fd, F_SETFL, O_NONBLOCK);
	for (;;) {
		struct pollfd poll_fd = {.fd = *fd, .events = POLLIN};

		if (poll(&poll_fd, 1, 0) <= 0 || !take_output(running, *fd, is_error))
			return;
	}
}

static void stop(struct running *running, int why, int64_t now, int64_t *deadline)
{
	kill_child(running, running->stopped ? SIGKILL : SIGTERM);
	if (!running->stopped)
		running->stopped = why;
	*deadline = now + GRACE_MS;
}

static int watch(struct running *running, struct cop_error *err)
{
	const struct process_options *options = running->options;
	int64_t deadline =
		options->timeout_ms ? monotonic_ms() + options->timeout_ms : INT64_MAX;

	for (;;) {
		bool may_cancel = options->cancel_fd > 0 && !running->stopped;
		struct pollfd fds[] = {
			{.fd = running->pid_fd, .events = POLLIN},
			{.fd = running->out_fd, .events = POLLIN},
			{.fd = running->error_fd, .events = POLLIN},
			{.fd = may_cancel ? options->cancel_fd : -1, .events = POLLIN},
			{.fd = options->serve_fd > 0 ? options->serve_fd : -1,
			 .events = POLLIN},
		};
		int64_t now = monotonic_ms();
		int wait_ms = -1;

		if (now >= deadline)
			stop(running, -ETIMEDOUT, now, &deadline);
		if (deadline != INT64_MAX)
			wait_ms = deadline - now > 1000000 ? 1000000
							   : (int)(deadline - now);
		if (poll(fds, ARRAY_SIZE(fds), wait_ms) < 0 && errno != EINTR)
			return err_errno(err, "wait for '%s'", running->name);
		if (fds[1].revents && !take_output(running, running->out_fd, false))
			(void)close(TAKE_FD(running->out_fd));
		if (fds[2].revents && !take_output(running, running->error_fd, true))
			(void)close(TAKE_FD(running->error_fd));
		if (fds[3].revents)
			stop(running, -EINTR, monotonic_ms(), &deadline);
		if (fds[4].revents) {
			int r = options->serve(options->data, err);

			if (r < 0)
				return r;
		}
		/* A grandchild may keep the pipe open for ever: the child's end decides.
		 */
		if (fds[0].revents)
			return 0;
	}
}

/* A shell makes its own group that of the terminal, and leaves it so when it is in a
 * process namespace: what is typed from now on is ours again. */
static void take_terminal_back(void)
{
	sigset_t ttou, before;

	(void)sigemptyset(&ttou);
	(void)sigaddset(&ttou, SIGTTOU);
	(void)pthread_sigmask(SIG_BLOCK, &ttou, &before);
	(void)tcsetpgrp(STDIN_FILENO, getpgrp());
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static int run(struct running *running, int *ret_status, struct cop_error *err)
{
	const char *name = running->name;
	bool has_terminal =
		running->options->foreground && tcgetpgrp(STDIN_FILENO) == getpgrp();
	int status, r, waited;

	r = start(running, err);
	if (r < 0)
		return r;
	r = watch(running, err);
	if (r < 0)
		kill_child(running, SIGKILL);
	while ((waited = waitpid(running->pid, &status, 0)) < 0 && errno == EINTR)
		;
	if (has_terminal)
		take_terminal_back();
	if (r < 0)
		return r;
	if (waited < 0)
		return err_errno(err, "wait for '%s'", name);
	drain(running, &running->out_fd, false);
	drain(running, &running->error_fd, true);
	if (running->stopped == -ETIMEDOUT)
		return err_set(err, -ETIMEDOUT, "run '%s': took longer than %u ms", name,
			       running->options->timeout_ms);
	if (running->stopped)
		return err_set(err, running->stopped, "run '%s': interrupted", name);
	*ret_status = status;
	return 0;
}

char *process_find(const char *name)
{
	const char *path = getenv("PATH");

	if (strchr(name, '/'))
		return strdup(name);
	for (path = path ? path : "/usr/sbin:/usr/bin:/sbin:/bin"; *path;) {
		size_t size = strcspn(path, ":");
		char *whole;

		if (asprintf(&whole, "%.*s/%s", (int)size, path, name) < 0)
			return NULL;
		if (access(whole, X_OK) == 0)
			return whole;
		free(whole);
		path += size + (path[size] == ':');
	}
	return NULL;
}

const char *process_own_path(void)
{
	static char path[PATH_MAX];
	ssize_t n = 0;

	if (!*path)
		n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	if (n > 0)
		path[n] = '\0';
	return *path ? path : NULL;
}

/* The guard's environment is the child's, where PATH is not ours: it gets a path. */
static void add_guard(struct process_options *options, const char *program,
		      const char **argv, struct process_fd *fds, int liveness_read)
{
	size_t n = 2;

	argv[0] = options->guard;
	argv[1] = program;
	for (const char *const *word = options->argv + 1; *word; word++)
		argv[n++] = *word;
	argv[n] = NULL;
	if (options->n_fds > 0)
		memcpy(fds, options->fds, options->n_fds * sizeof(*fds));
	fds[options->n_fds++] = (struct process_fd){liveness_read, LIVENESS_FD};
	options->fds = fds;
	options->argv = argv;
}

static int run_guarded(struct running *running, int *ret_status, struct cop_error *err)
{
	struct process_options options = *running->options;
	auto_free char *program = process_find(options.argv[0]);
	auto_close int liveness_read = -EBADF;
	auto_free struct process_fd *fds = NULL;
	auto_free const char **argv = NULL;
	size_t n_words = 0;
	int ends[2];

	if (!program)
		return err_set(err, -ENOENT, "run '%s': no such program", running->name);
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_errno(err, "make a pipe");
	liveness_read = ends[0];
	running->liveness_fd = ends[1];
	while (options.argv[n_words])
		n_words++;
	argv = calloc(n_words + 2, sizeof(*argv));
	fds = calloc(options.n_fds + 1, sizeof(*fds));
	if (!argv || !fds)
		return err_oom(err);
	add_guard(&options, program, argv, fds, liveness_read);
	running->options = &options;
	return run(running, ret_status, err);
}

int process_run(const struct process_options *options, int *ret_status,
		struct cop_error *err)
{
	cleanup_with(running_done) struct running running = {.options = options,
							     .name = options->argv[0],
							     .pid_fd = -EBADF,
							     .out_fd = -EBADF,
							     .error_fd = -EBADF,
							     .liveness_fd = -EBADF};

	return options->guard ? run_guarded(&running, ret_status, err)
			      : run(&running, ret_status, err);
}

static void append_output(void *data, const char *bytes, size_t size)
{
	if (data)
		(void)buf_append(data, bytes, size);
}

int process_check(const char *const *argv, const char *const *env, struct buf *output,
		  struct cop_error *err)
{
	const struct process_options options = {
		.argv = argv,
		.env = env,
		.on_output = append_output,
		.data = output,
		.separate_error = true,
	};
	cleanup_with(running_done) struct running running = {.options = &options,
							     .name = argv[0],
							     .pid_fd = -EBADF,
							     .out_fd = -EBADF,
							     .error_fd = -EBADF,
							     .liveness_fd = -EBADF};
	char how[64], line[512];
	int status = 0, r;

	r = run(&running, &status, err);
	if (r < 0)
		return r;
	if (status != 0)
		return err_set(
			err, -ECHILD, "run '%s': %s: %s", argv[0],
			process_describe(status, how, sizeof(how)),
			process_last_line(buf_text(&running.tail), line, sizeof(line)));
	if (output && output->failed)
		return err_oom(err);
	return 0;
}

char *process_describe(int status, char *text, size_t size)
{
	if (WIFSIGNALED(status))
		(void)snprintf(text, size, "killed by signal %d (%s)", WTERMSIG(status),
			       strsignal(WTERMSIG(status)));
	else
		(void)snprintf(text, size, "exit status %d", WEXITSTATUS(status));
	return text;
}

char *process_last_line(const char *text, char *line, size_t size)
{
	const char *end = text + strlen(text), *start;
	size_t length;

	while (end > text && (end[-1] == '\n' || end[-1] == ' ' || end[-1] == '\r'))
		end--;
	start = end;
	while (start > text && start[-1] != '\n')
		start--;
	length = min_u64((uint64_t)(end - start), INT_MAX);
	if (length > 0)
		(void)snprintf(line, size, "%.*s", (int)length, start);
	else
		(void)snprintf(line, size, "no message");
	return line;
}
