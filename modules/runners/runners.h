/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runners: they prepare a sandbox, whose /etc, /run and /var are empty, for modules that
 * expect a system, and become the module.  They are part of the static program.
 *
 * runner_main() - what the program does when it is called by the name of a runner: the
 * arguments are the module and its arguments.  Returns only on failure: the exit status.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"

bool runner_is_meant(const char *path);
int runner_main(int argc, char **argv);

/* runner_make_users() - /etc/passwd and /etc/group, with what packages of the build root
 * declare in usr/lib/sysusers.d: as systemd-sysusers does */
int runner_make_users(int root_fd, struct cop_error *err);

/* runner_make_files() - directories, files and symlinks that they declare in
 * usr/lib/tmpfiles.d, as systemd-tmpfiles does; what cannot be made is left out */
int runner_make_files(int root_fd, struct cop_error *err);

/*
 * runner_each_line() - the lines of all NAME.conf in @directory, files by name, as words
 * @take: gets up to @n words; those that are missing or "-" are "".  A return below 0
 * ends the walk.
 *
 * Comments and empty lines are left out; words may be quoted; a missing directory is
 * empty.
 */
#define RUNNER_WORDS 7
int runner_each_line(int root_fd, const char *directory,
		     int (*take)(void *data, char *words[RUNNER_WORDS],
				 struct cop_error *err),
		     void *data, struct cop_error *err);
