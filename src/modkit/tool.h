/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running programs of the build root: partitioners, makers of file systems, converters of
 * images.  They get a fixed environment, so that the same input gives the same bytes.
 */
#pragma once

#include "base/words.h"
#include "modkit/kit.h"

/* Time of what has to have one and gets none from the manifest: the first that FAT can
 * hold, 1980-01-01. */
#define TOOL_FALLBACK_EPOCH 315532800

/*
 * struct tool
 * @argv:      NULL-terminated; argv[0] is looked up in PATH
 * @package:   the Debian package that has it, for who must install it
 * @env:       NULL-terminated words NAME=VALUE beside the fixed ones and in place of
 *             SOURCE_DATE_EPOCH; NULL: the manifest's, if any
 * @input:     text for its standard input, or NULL
 * @output:    gets its standard output instead of the log; not together with the other
 *             two
 * @output_fd: its standard output; 0: none
 */
struct tool {
	const char *const *argv;
	const char *package;
	const char *const *env;
	const char *input;
	struct buf *output;
	int output_fd;
};

/* tool_run() - Return: 0 when it ended with exit status 0; -ENOENT when the build root
 * lacks it; -ECHILD with its last words; another negative errno */
int tool_run(struct kit *kit, const struct tool *tool);

/* tool_is_there() - is there such a program in PATH? */
bool tool_is_there(const char *name);

/* tool_epoch() - the manifest's source-epoch, or TOOL_FALLBACK_EPOCH */
int64_t tool_epoch(const struct kit *kit);

/* tool_run_at_epoch() - a program with these words, for which it is tool_epoch() */
int tool_run_at_epoch(struct kit *kit, const struct words *words, const char *package);

/*
 * tool_target() - where a program shall put a new file @filename of the tree
 * @ret_parent_fd: owned; @ret_path is good as long as it is open
 * @ret_path:      on the heap; no symlink of the tree leads it elsewhere
 *
 * A file that is there is removed.
 */
int tool_target(struct kit *kit, const char *filename, int *ret_parent_fd,
		char **ret_path);
