/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running programs.  Children are started by posix_spawn, which is safe beside threads,
 * with /dev/null as standard input unless told otherwise and no fd but those given.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"

/* struct process_fd - @ours becomes the child's @theirs; the child does not get the rest
 */
struct process_fd {
	int ours;
	int theirs;
};

/*
 * struct process_options
 * @argv:      NULL-terminated; argv[0] is looked up in our PATH when it has no '/'
 * @env:       NULL-terminated, or NULL for our own environment
 * @fds:       what the child gets beside 0, 1, 2; 0, 1 and 2 may be replaced here
 * @n_fds:     how many
 * @on_output: receives what the child writes to standard output (and error, where not
 *             replaced) as it comes; NULL: kept for the message of a failure only
 * @data:      handed to @on_output
 * @guard:     the program coppice-guard, or NULL: what the child has started ends with
 * it, and all of it with us, even when we are killed; fd 3 is the guard's
 * @foreground: stay in our process group, so that the child may use the terminal
 * @separate_error: standard error is not mixed into @on_output but kept for the message
 * @cancel_fd: when this becomes readable the child's group gets SIGTERM, and SIGKILL five
 *             seconds later, and -EINTR is returned; 0 or less: none
 * @timeout_ms: the same after so many milliseconds, and -ETIMEDOUT; 0: none
 * @serve_fd:  whenever this is readable @serve is called, until the child has ended; what
 *             it returns below 0 ends the child and is returned; 0 or less: none
 */
struct process_options {
	const char *const *argv;
	const char *const *env;
	const struct process_fd *fds;
	size_t n_fds;
	void (*on_output)(void *data, const char *bytes, size_t size);
	void *data;
	const char *guard;
	bool separate_error;
	bool foreground;
	int cancel_fd;
	uint32_t timeout_ms;
	int serve_fd;
	int (*serve)(void *data, struct cop_error *err);
};

/*
 * process_run() - start, wait, and read the output meanwhile
 * @ret_status: as of wait(2); untouched on failure
 *
 * Return: 0 once the child has ended, however it ended; -ENOENT when there is no such
 * program; or another negative errno.
 */
int process_run(const struct process_options *options, int *ret_status,
		struct cop_error *err);

/*
 * process_check() - run and demand exit status 0; standard output is appended to @output
 * (NULL: dropped); standard error's last line goes into the message of a failure
 *
 * Return: 0; -ECHILD when the program failed; or as process_run().
 */
int process_check(const char *const *argv, const char *const *env, struct buf *output,
		  struct cop_error *err);

/* process_find() - where the program @name is in our PATH, freed by the caller; NULL:
 * nowhere.  A @name with a '/' is its own answer. */
char *process_find(const char *name);

/* process_own_path() - where the running program is, looked up once: call it before the
 * mount namespace changes, as in another one the kernel may know only half of the path
 * when the old one is gone.  NULL: not to be had.  The first call is not safe beside
 * other threads. */
const char *process_own_path(void);

/* process_keep_tail() - add output to @tail, of which the last 4 KiB at least are kept;
 * for messages of failures */
void process_keep_tail(struct buf *tail, const char *bytes, size_t size);

/* process_describe() - "exit status 1", "killed by signal 9 (Killed)"; returns @text */
char *process_describe(int status, char *text, size_t size);

/* process_last_line() - the last line of @text that is not empty, cut to fit; returns
 * @line */
char *process_last_line(const char *text, char *line, size_t size);
