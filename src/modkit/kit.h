/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What module programs share.
 *
 * A stage runs in the sandbox: it finds its arguments in /run/osbuild/api/arguments,
 * works below the tree's directory fd and never calls NSS, iconv, dlopen or locale
 * functions (it is linked statically and may run in any tree).  Whatever it prints is its
 * log.
 */
#pragma once

#include <jansson.h>

#include "base/error.h"
#include "base/fs.h"

/*
 * struct kit - a stage's world; everything is borrowed from it
 * @name:    "org.osbuild.hostname"
 * @tree_fd: the tree, a directory
 * @tree_path: where it is mounted in the sandbox
 * @options: an object, empty when the manifest has none
 * @inputs:  {name: {"path": absolute path, "data": {...}?}}, may be empty
 * @meta:    {"id", "source-epoch"?}
 * @source_epoch: -1 without one
 * @err:     to be filled on failure
 */
struct kit {
	const char *name;
	int tree_fd;
	const char *tree_path;
	json_t *options;
	json_t *inputs;
	json_t *meta;
	int64_t source_epoch;
	struct cop_error *err;
};

/* struct kit_module - one entry of the static program's table; found by argv[0] */
struct kit_module {
	const char *name;
	unsigned int revision; /* raised when the output for the same input changes */
	int (*run)(struct kit *kit);
};

/* kit_main() - read the arguments, run the module, report a failure as osbuild does;
 * returns the exit status */
int kit_main(const struct kit_module *modules, size_t n_modules, int argc, char **argv);

/* kit_log() - a line of the stage's log */
void kit_log(const char *format, ...) printf_like(1, 2);

/* kit_input_path() - absolute path of an input, or NULL with kit->err filled */
const char *kit_input_path(struct kit *kit, const char *input);

/* kit_open() - below the tree, symlinks resolved inside it */
int kit_open(struct kit *kit, const char *path, int flags, mode_t mode);

/* kit_open_parent() - the directory that holds the last part of @path, opened below the
 * tree; *ret_name points into @path.  Return: the fd or a negative errno. */
int kit_open_parent(struct kit *kit, const char *path, const char **ret_name);
