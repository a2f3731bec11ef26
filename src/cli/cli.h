/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line: a table of verbs, and what every verb may use.
 *
 * Results go to standard output, words to standard error.  A verb returns an error; only
 * main() prints it.
 */
#pragma once

#include <stdio.h>

#include <jansson.h>

#include <coppice/progress.h>
#include <coppice/store.h>

#include "base/buf.h"
#include "store/commit.h"
#include "store/workdir.h"
#include "tree/tree.h"

/* struct cli - one run of the program; everything is owned by main() */
struct cli {
	const char *store_path; /* --store, or NULL for the default */
	bool json;
	bool quiet;
	bool verbose;
	bool no_verify;		    /* believe what is in the store */
	struct cop_store *store;    /* see cli_store() */
	struct workdir *workdir;    /* see cli_workdir() */
	const char *const *options; /* values of the verb's options, by index in its
				       table; NULL: not given; "" for flags */
	const char *const *const
		*lists;	 /* the same for options that repeat: all values */
	int cancel_fd;	 /* readable after SIGINT or SIGTERM; see cli_catch_signals() */
	int exit_status; /* of a run that did not fail, for `run` */
	const struct cop_progress *progress; /* NULL with --quiet */
};

/* struct verb_option - a long option; @letter may be 0; @argument NULL: a flag */
struct verb_option {
	const char *name;
	char letter;
	const char *argument;
	const char *help;
	bool repeats;
};

#define VERB_OPTIONS_MAX 12

/*
 * struct verb
 * @name: one word, or two ("ref set")
 * @arguments: for the usage line
 * @help: one line; @details: paragraphs for `help VERB` and the man page, may be NULL
 * @options: ended by a NULL name
 * @min_args, @max_args: positional arguments; -1: any number
 * @takes_all: it reads its options itself
 * @command_at: from this argument on (counted from 0) follows a command whose own options
 *              are not ours; 0: none does
 * @runs_stages: or cleans up after them: see cli_go_rootless()
 */
struct verb {
	const char *name;
	const char *arguments;
	const char *help;
	const char *details;
	struct verb_option options[VERB_OPTIONS_MAX];
	int min_args;
	int max_args;
	int command_at;
	bool takes_all;
	bool runs_stages;
	int (*run)(struct cli *cli, int argc, char **argv, struct cop_error *err);
};

/* The table, ended by NULL, in the order of the help text: whole.c has all verbs, quick.c
 * those that need neither network nor archives. */
extern const struct verb *const cli_verbs[];

/* cli_become_whole() - be the program that has all verbs, given the same arguments; 0
 * when this is the one.  A quick program comes back only with an error. */
int cli_become_whole(char **argv, struct cop_error *err);

/* cli_is_osbuild() - by this name the program is that verb */
bool cli_is_osbuild(const char *program);

/* cli_go_rootless() - a plain user who has subordinate ids becomes root of a user
 * namespace with them, for a verb that runs stages: then this begins anew and does not
 * come back.  0: there is nothing to be done, or no way to do it. */
int cli_go_rootless(struct cli *cli, const struct verb *verb, char **argv,
		    struct cop_error *err);

/* cli_has_subordinate_ids() - is there a user namespace with more than one id to be had?
 */
bool cli_has_subordinate_ids(void);

extern const struct verb verb_init, verb_status, verb_commit, verb_digest, verb_refs,
	verb_ref_set, verb_ref_rm, verb_ls, verb_cat, verb_dump, verb_diff, verb_export,
	verb_import, verb_run, verb_log, verb_mount, verb_umount, verb_lock, verb_boot,
	verb_manifest, verb_build, verb_inspect, verb_explain, verb_osbuild, verb_help,
	verb_gc, verb_verify, verb_pin, verb_unpin, verb_remote_add, verb_remote_list,
	verb_doctor, verb_remote_probe, verb_remote_gc, verb_remote_rm, verb_push,
	verb_pull, verb_sbom;

/* cli_store() - open the store (made on first use) and keep it in @cli */
int cli_store(struct cli *cli, struct cop_store **ret_store, struct cop_error *err);

/* cli_get() - what @id stands for, registered as in use until the program ends */
int cli_get(struct cli *cli, const char *id, struct cop_digest *ret_digest,
	    struct cop_error *err);

/* cli_get_tree() - the same, and the tree; @ret_digest may be NULL */
int cli_get_tree(struct cli *cli, const char *id, struct cop_digest *ret_digest,
		 struct tree **ret_tree, struct cop_error *err);

/* cli_workdir() - a work directory that lives as long as @cli */
int cli_workdir(struct cli *cli, struct workdir **ret_workdir, struct cop_error *err);

/* cli_make_room() - after -ENOSPC: collect garbage and caches, and say so.  False: there
 * was nothing to collect. */
bool cli_make_room(struct cli *cli);

/* cli_keep_cap() - after something was stored: keep to the store's cap, if it has one */
int cli_keep_cap(struct cli *cli, struct cop_error *err);

/* cli_say() - words for people on standard error; nothing with --quiet */
void cli_say(struct cli *cli, const char *format, ...) printf_like(2, 3);

/* cli_read_text() - a whole file, or standard input for "-", at most @limit bytes */
int cli_read_text(const char *path, uint64_t limit, struct buf *text,
		  struct cop_error *err);

/* cli_open_directory() - the fd, or a negative errno */
int cli_open_directory(const char *path, struct cop_error *err);

/* cli_read_epoch() - the value of --source-epoch; -1 when it was not given (NULL) */
int cli_read_epoch(const char *text, int64_t *ret_epoch, struct cop_error *err);

/* cli_commit_directory() - commit @path as @options say, and say what people may want to
 * know; the store is open */
int cli_commit_directory(struct cli *cli, const char *path,
			 struct commit_directory_options *options,
			 struct cop_digest *ret_digest, struct cop_error *err);

/* cli_time() - seconds since 1970 as people read them, in UTC; returns @text */
#define CLI_TIME_SIZE 64
char *cli_time(int64_t seconds, char text[CLI_TIME_SIZE]);

/* cli_print_json() - one document on standard output */
int cli_print_json(const json_t *json, struct cop_error *err);

/* cli_print_digest() - as a line, or {"digest": ...} with --json */
int cli_print_digest(struct cli *cli, const struct cop_digest *digest,
		     struct cop_error *err);

/* cli_private_mounts() - from now on what we mount is seen by nobody else and ends with
 * us, however we end; before any thread is made */
int cli_private_mounts(struct cop_error *err);

/* cli_catch_signals() - from now on SIGINT and SIGTERM make cli->cancel_fd readable
 * instead of ending the program; a second one ends it */
int cli_catch_signals(struct cli *cli, struct cop_error *err);

/* cli_usage_error() - a wrong command line: exit status 2 */
int cli_usage_error(struct cop_error *err, const char *format, ...) printf_like(2, 3);
#define CLI_USAGE (-EINVAL)

/* cli_invalid() - hand on @r of a function that read what the user wrote: -EINVAL means
 * exit status 2 */
int cli_invalid(int r);

/* cli_print_help() / cli_print_man() - from the table of verbs */
void cli_print_help(FILE *out);
void cli_print_verb_help(FILE *out, const struct verb *verb);
void cli_print_man(FILE *out);
/* cli_find_verb() - by one or two words; *@ret_words is how many; NULL: none */
const struct verb *cli_find_verb(int argc, char **argv, int *ret_words);
