/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stages share: their arguments, their log, and how a failure is told.
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
 * @name:         "org.osbuild.hostname"
 * @tree_fd:      the tree, a directory
 * @tree_path:    where it is mounted in the sandbox
 * @options:      an object, empty when the manifest has none
 * @inputs:       {name: {"path": absolute path, "data": {...}?}}, may be empty
 * @mounts:       {name: {"path": absolute path}}, may be empty
 * @source_epoch: seconds; -1 without one
 * @err:          to be filled on failure
 */
struct kit {
	const char *name;
	int tree_fd;
	const char *tree_path;
	json_t *options;
	json_t *inputs;
	json_t *mounts;
	int64_t source_epoch;
	struct cop_error *err;
};

/*
 * struct kit_module - one entry of the static program's table, found by argv[0]
 * @run: 0; a negative errno with kit->err filled; or, only where the exit status is the
 *       very purpose of the stage, that status (1 to 255)
 */
struct kit_module {
	const char *name;
	int (*run)(struct kit *kit);
};

/* kit_main() - read the arguments, run the module, report a failure as osbuild does;
 * returns the exit status.  Sets the umask to 022. */
int kit_main(const struct kit_module *modules, size_t n_modules, int argc, char **argv);

/*
 * kit_run() - run one module with arguments that were read already
 * @arguments: as in docs of the sandbox: {"tree", "options", "inputs", "mounts", "meta"}
 *
 * Return: as struct kit_module.run; -EINVAL when the arguments are not usable.
 */
int kit_run(const struct kit_module *module, const json_t *arguments,
	    struct cop_error *err);

/* kit_log() - a line of the stage's log, without newline */
void kit_log(const char *format, ...) printf_like(1, 2);

/* kit_input_path() - absolute path of an input, or NULL with kit->err filled */
const char *kit_input_path(struct kit *kit, const char *input);
