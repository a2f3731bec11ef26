/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running programs of the tree, chrooted into it.
 *
 * The program gets mount and UTS namespaces of its own, so that nothing has to be
 * unmounted and nothing of the mounts stays in the tree: the sandbox's /proc and /dev,
 * /sys read-only and without firmware, an empty /run and /tmp, and "localhost" as the
 * host's name.  Between us and it stands our own program, called again by process_run()
 * with COMMAND_INSIDE, because a chroot cannot be asked of posix_spawn.
 */
#pragma once

#include "modkit/kit.h"

#define COMMAND_INSIDE "--inside-the-tree"

/* struct command_bind - @source, an absolute path in the sandbox, made visible read-only
 * at @target in the tree; a directory is made where it is missing below run/ */
struct command_bind {
	const char *source;
	const char *target;
};

/*
 * struct command
 * @argv:      NULL-terminated; argv[0] is looked up in the tree
 * @on_output: what it writes to standard output and error; NULL: goes to our log
 */
struct command {
	const char *const *argv;
	const struct command_bind *binds;
	size_t n_binds;
	void (*on_output)(void *data, const char *bytes, size_t size);
	void *data;
};

/*
 * command_run() - run and wait, with the fixed environment of package scripts
 * @ret_status: as of wait(2)
 *
 * Directories that the mounts need and the tree lacks are there while it runs only.
 * Return: 0 once it ended, however; a negative errno.  When it could not be started its
 * status is exit status 127, and the reason is its output.
 */
int command_run(struct kit *kit, const struct command *command, int *ret_status);

/*
 * command_check() - the same for a program that must succeed
 *
 * Its output goes to our log; @command's own on_output is not called.  Return: 0;
 * -ECHILD with how it ended and its last line; another negative errno.
 */
int command_check(struct kit *kit, const struct command *command);

/* command_log() - an on_output that writes to our log */
void command_log(void *data, const char *bytes, size_t size);

/* command_inside() - the second half of command_run(); returns the exit status */
int command_inside(int argc, char **argv);
