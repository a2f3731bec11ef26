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
 * @devices:      {name: {"path": absolute path or one below /dev}}, may be empty
 * @mounts:       {name: {"path": absolute path}}, may be empty
 * @mounts_path:  the directory below which everything is mounted
 * @secrets_path: where the secrets of the stage are; NULL: at their usual place
 * @id:           of the stage, 64 hexadecimal digits; "" where nobody gave one
 * @source_epoch: seconds; -1 without one
 * @err:          to be filled on failure
 */
struct kit {
	const char *name;
	int tree_fd;
	const char *tree_path;
	json_t *options;
	json_t *inputs;
	json_t *devices;
	json_t *mounts;
	const char *mounts_path;
	const char *secrets_path;
	const char *id;
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

/*
 * kit_input_file() - the path of the one file that an input of files has
 * @ret_path: on the heap
 *
 * Return: 0; -EINVAL when the input is missing or holds another number of files.
 */
int kit_input_file(struct kit *kit, const char *input, char **ret_path);

/* kit_device_path() - of a device node, or of a file that stands for one; @ret_path is on
 * the heap.  Return: 0 or -EINVAL. */
int kit_device_path(struct kit *kit, const char *device, char **ret_path);

/*
 * kit_uuid() - a UUID that belongs to this stage and @number, the same in every run
 *
 * It is made of the stage's id, so that what programs would fill with random numbers is
 * the same for the same input.
 */
#define KIT_UUID_SIZE 37
const char *kit_uuid(const struct kit *kit, unsigned int number,
		     char text[KIT_UUID_SIZE]);
