/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where stages run: bubblewrap with osbuild's arguments and what Debian needs beside.
 *
 * No network, read-only tools, private /dev, /tmp, /run and /var, an exact environment,
 * and only the capabilities of a list of which we own each: bubblewrap as root answers a
 * capability that we lack by dropping none at all.  (It leaves the bounding set as it is;
 * no_new_privs keeps everything inside from gaining what is in there.)  fsync and its kin
 * do nothing inside: the commit makes the tree durable.
 *
 * A guard stands between us and bubblewrap: when we are gone, at whatever moment, nothing
 * of a sandbox stays, and so it is when bubblewrap is.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "base/words.h"
#include "engine/module.h"

#include <jansson.h>

/* struct sandbox_bind - @source of the host, read-only at @target */
struct sandbox_bind {
	char *source, *target;
};

/*
 * struct sandbox - one stage's surroundings; paths are absolute and borrowed
 * @root:    "/" for the host, else the tree of the build pipeline
 * @tree:    what the stage works on
 * @module:  what is run
 * @runner:  prepares the sandbox for a module that is not ours; NULL: nobody does
 * @work:    a directory of ours with var/, inputs/, mounts/, api/ (sockets and the
 *           arguments), meta and cmdline
 * @store:   must not be seen, wherever it lies
 * @has_dev: @work has dev/, to be used as /dev, and the socket api/remoteloop
 * @lacking: what is not isolated, as SANDBOX_* bits
 * @binds:   further trees, below /run/osbuild
 * @secrets: a document that only the module reads, /run/osbuild/secrets; NULL: none
 * @epoch:   SOURCE_DATE_EPOCH; NULL: unset
 * @serve_fd: when it is readable while the module runs, @serve is called with @data
 */
struct sandbox {
	const char *root, *tree, *work, *store;
	const struct module *module, *runner;
	bool has_dev;
	unsigned int lacking;
	const struct sandbox_bind *binds;
	size_t n_binds;
	const struct buf *secrets;
	const int64_t *epoch;
	void (*on_output)(void *data, const char *bytes, size_t size);
	void *data;
	int cancel_fd;
	uint32_t timeout_ms;
	int serve_fd;
	int (*serve)(void *data, struct cop_error *err);
};

/*
 * sandbox_run() - start the module and wait for it
 * @ret_status: of the module, as of wait(2), where a signal shows as such
 *
 * Changes the umask of the process to 022 while it starts the module.  Return: 0; -EINTR;
 * -ETIMEDOUT; -ENOENT (no bubblewrap); -EPERM with bubblewrap's words when it cannot set
 * up the sandbox here; -ENOEXEC (the module cannot be started in there); another negative
 * errno.
 */
int sandbox_run(const struct sandbox *sandbox, int *ret_status, struct cop_error *err);

/* sandbox_shell() - the same with a shell in the terminal in place of the module */
int sandbox_shell(const struct sandbox *sandbox, int *ret_status, struct cop_error *err);

/* sandbox_describe() - what is weaker than it should be here, one line, or NULL; static
 */
const char *sandbox_describe(void);

/* What a sandbox may lack, as bits. */
#define SANDBOX_NETWORK	  1u
#define SANDBOX_PROCESSES 2u
#define SANDBOX_IPC	  4u
#define SANDBOX_HOST_NAME 8u
#define SANDBOX_FILTER	  16u

/* sandbox_find_lacking() - try, one by one, what cannot be isolated here; @ret_text names
 * it ("" for nothing), freed by the caller */
int sandbox_find_lacking(unsigned int *ret_lacking, char **ret_text,
			 struct cop_error *err);

/* sandbox_add_privileges() - namespaces but for those that are @lacking, user, and
 * capabilities: the list and @more, as far as we own them */
void sandbox_add_privileges(struct words *words, const json_t *more,
			    unsigned int lacking);

/* sandbox_data_fd() - bytes in a memory file, to be read from its beginning.  Return: the
 * fd or a negative errno. */
int sandbox_data_fd(const void *data, size_t size, struct cop_error *err);

/* sandbox_filter_fd() - the system call filter as bubblewrap wants it.  Return: the fd or
 * a negative errno. */
int sandbox_filter_fd(struct cop_error *err);

struct process_options;

/* sandbox_wait() - run the words, which must begin with "bwrap", and find out whether the
 * program inside ran at all; fds, environment and output as @options says */
int sandbox_wait(const struct words *words, struct process_options *options,
		 int *ret_status, struct cop_error *err);
