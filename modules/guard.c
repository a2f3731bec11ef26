/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coppice-guard PROGRAM ARG...: runs a program that must not outlive whoever wanted it.
 *
 * Fd 3 is the reading end of a pipe.  When nobody holds the other end any more, whatever
 * the program has started is killed, wherever it went: orphans become children of the
 * guard, and the guard ends with the last of them.  So it is when the program itself
 * ends. A signal that ends its parent would not do: bubblewrap asks for one, but has a
 * child by then, and a child that is waiting for a dead parent waits for ever.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIVENESS_FD 3
/* As a shell says it. */
#define NOT_FOUND   127
#define SIGNAL_BASE 128
/* How long to wait for children of the killed to become ours. */
#define AGAIN_MS 5

static int fail(const char *what, int error)
{
	(void)fprintf(stderr, "coppice-guard: %s: %s\n", what, strerror(error));
	return error == ENOENT ? NOT_FOUND : EXIT_FAILURE;
}

/* Field 4 of its stat, behind a name that can have anything in it; 0: gone. */
static pid_t parent_of(int proc_fd, const char *pid)
{
	char path[64], text[512], *end;
	int fd;
	ssize_t n;

	(void)snprintf(path, sizeof(path), "%.20s/stat", pid);
	fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof(text) - 1);
	(void)close(fd);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	end = strrchr(text, ')');
	return end && strlen(end) > 4 ? (pid_t)strtol(end + 4, NULL, 10) : 0;
}

/* Nobody but us waits for them, so no number can have gone to somebody else. */
static void kill_children(void)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;

	while (proc && (entry = readdir(proc)))
		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' &&
		    parent_of(dirfd(proc), entry->d_name) == getpid())
			(void)kill((pid_t)strtol(entry->d_name, NULL, 10), SIGKILL);
	if (proc)
		(void)closedir(proc);
}

/* Takes leave of all that ended; false when none is left.  *@status becomes @pid's. */
static bool reap(pid_t pid, int *status)
{
	int one;
	pid_t ended;

	while ((ended = waitpid(-1, &one, WNOHANG)) > 0)
		if (ended == pid)
			*status = one;
	return ended == 0;
}

static void wait_for(struct pollfd *fds, nfds_t n_fds, int timeout_ms, pid_t pid)
{
	struct signalfd_siginfo info;

	(void)poll(fds, n_fds, timeout_ms);
	if ((fds[0].revents & POLLIN) &&
	    read(fds[0].fd, &info, sizeof(info)) == sizeof(info) &&
	    info.ssi_signo == SIGTERM)
		(void)kill(pid, SIGTERM);
}

static int guard(int signal_fd, pid_t pid)
{
	struct pollfd fds[] = {{.fd = signal_fd, .events = POLLIN},
			       {.fd = LIVENESS_FD, .events = POLLIN}};
	int status = -1;

	while (reap(pid, &status) && status < 0 && !fds[1].revents)
		wait_for(fds, 2, -1, pid);
	while (reap(pid, &status)) {
		kill_children();
		wait_for(fds, 1, AGAIN_MS, pid);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : SIGNAL_BASE + WTERMSIG(status);
}

static int start(char **argv, const sigset_t *mask, pid_t *ret_pid)
{
	posix_spawnattr_t attributes;
	int r;

	(void)posix_spawnattr_init(&attributes);
	(void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
	(void)posix_spawnattr_setsigmask(&attributes, mask);
	r = posix_spawnp(ret_pid, argv[0], NULL, &attributes, argv, environ);
	(void)posix_spawnattr_destroy(&attributes);
	return r;
}

int main(int argc, char **argv)
{
	sigset_t every, wanted, old;
	int signal_fd, r;
	pid_t pid;

	if (argc < 2 || fcntl(LIVENESS_FD, F_SETFD, FD_CLOEXEC) < 0)
		return fail("needs a program, and a pipe as fd 3", EINVAL);
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		return fail("adopt orphans", errno);
	/* A key on the terminal and a group that is told to end must not end us. */
	(void)sigfillset(&every);
	(void)sigprocmask(SIG_BLOCK, &every, &old);
	(void)sigemptyset(&wanted);
	(void)sigaddset(&wanted, SIGCHLD);
	(void)sigaddset(&wanted, SIGTERM);
	signal_fd = signalfd(-1, &wanted, SFD_CLOEXEC);
	if (signal_fd < 0)
		return fail("wait for signals", errno);
	r = start(argv + 1, &old, &pid);
	return r ? fail(argv[1], r) : guard(signal_fd, pid);
}
