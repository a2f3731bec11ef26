/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine: a manifest in, trees in the store and exports out.
 *
 * One Object goes through all stages of a pipeline in write mode and is then what later
 * pipelines of the run read.  Nothing is committed that the checkpoint policy did not ask
 * for.  Never prints: everything is told through struct engine_monitor.
 */
#pragma once

#include <jansson.h>

#include <coppice/progress.h>
#include <coppice/store.h>

#include "base/buf.h"

struct manifest;

/*
 * struct engine_places - where modules are
 * @libdirs: directories with stages/, sources/, inputs/..., searched in this order;
 *           NULL-terminated
 */
struct engine_places {
	const char *const *libdirs;
};

/* engine_default_libdir() - $COPPICE_LIBDIR, else beside the running program (a build
 * tree), else the installed one; freed by the caller */
int engine_default_libdir(char **ret_path, struct cop_error *err);

/*
 * manifest_load() - read, validate and resolve a manifest (osbuild's version 2)
 * @text:   JSON
 * @places: modules must be found and their options must fit their schemas; NULL: neither
 * is looked at (for ids alone)
 *
 * Computes every id.  Return: 0; -EINVAL for an invalid manifest (one line naming the
 * place; further problems are counted); another errno.
 */
int manifest_load(const char *text, size_t size, const struct engine_places *places,
		  struct manifest **ret_manifest, struct cop_error *err);
struct manifest *manifest_free(struct manifest *manifest);
DEFINE_AUTO_PTR(manifest)

/* manifest_inspect() - what `osbuild --inspect` prints, as a new reference */
int manifest_inspect(const struct manifest *manifest, json_t **ret_json,
		     struct cop_error *err);

/* Pipelines in manifest order: names, and ids (NULL for a pipeline without stages). */
size_t manifest_n_pipelines(const struct manifest *manifest);
const char *manifest_pipeline_name(const struct manifest *manifest, size_t i);
const char *manifest_pipeline_id(const struct manifest *manifest, size_t i);

/* How a stage ended up, or why it was kept. */
enum engine_stage_state {
	ENGINE_STAGE_RAN,
	ENGINE_STAGE_CACHED, /* served from a checkpoint at or after it */
	ENGINE_STAGE_FAILED,
};

struct engine_stage_report {
	const char *pipeline;
	const char *type;
	const char *id;
	enum engine_stage_state state;
	double seconds;		    /* of the stage itself */
	double commit_seconds;	    /* of its checkpoint, 0 without */
	bool kept;		    /* a checkpoint was made */
	const char *why;	    /* why it was kept or not, in a few words */
	uint64_t new_bytes;	    /* in files that the checkpoint found changed */
	const char *digest;	    /* of the checkpoint, or NULL */
	const char *output;	    /* everything the stage printed (capped), or NULL */
	unsigned int number, total; /* 1-based position among the stages of this run */
};

/* struct engine_monitor - every function may be NULL; called by the thread that runs.
 * A cached stage has a stage_end() only. */
struct engine_monitor {
	void (*pipeline)(void *data, const char *name, const char *id);
	void (*stage_begin)(void *data, const struct engine_stage_report *stage);
	void (*stage_output)(void *data, const char *bytes, size_t size);
	void (*stage_end)(void *data, const struct engine_stage_report *stage);
	void (*note)(void *data, const char *line); /* for people: once per matter */
	const struct cop_progress *progress;	    /* downloads, commits, exports */
	void *data;
};

/*
 * struct engine_options
 * @exports: names of pipelines to build and export; NULL-terminated; none: every pipeline
 *           is built that no other uses as its build, nothing is exported
 * @output_directory: exports go to its NAME/ (made when missing); needed when there are
 *           exports.  A NAME/ that an earlier export made is replaced in one step; any
 *           other directory there that is not empty is refused (-EEXIST).  Which are
 *           exports is kept in .coppice-exports beside them.
 * @checkpoints: "auto", "all", "none", or globs against pipeline names, stage ids and
 *               types; NULL-terminated; NULL: auto
 * @cancel_fd: readable: stop at once, clean up, return -EINTR; 0 or less: none
 * @require_sandbox: fail where stages cannot be isolated fully instead of saying so
 * @allow_weak_sandbox: where something cannot be isolated at all, run without and say so;
 *                      otherwise the first stage fails (-EPERM)
 * @stage_timeout: how long a stage may run, in seconds; 0: as long as it likes
 * @break_at: "*", or type or id of a stage: a shell is run in its place before it; when
 *            the shell fails, so does the build (-ECANCELED).  NULL: nowhere
 * @remote: name of a remote of the store: checkpoints are looked for there before a stage
 *          is run, and sent there; when it cannot be used that is noted.  NULL: none
 * @retry_command: what a person types to run the same again, for the note that follows a
 *                 failed stage; NULL: the note is left out
 */
struct engine_options {
	const char *const *exports;
	const char *output_directory;
	const char *const *checkpoints;
	int cancel_fd;
	bool require_sandbox, allow_weak_sandbox;
	unsigned int stage_timeout;
	const char *break_at;
	const char *remote;
	const char *retry_command;
	struct engine_monitor monitor;
};

/*
 * engine_build() - fetch sources, run what the store lacks, keep checkpoints, export
 * @ret_result: per pipeline {"name", "id", "digest"?} and per stage what happened, as one
 *              JSON document; a new reference
 *
 * Return: 0; -EINTR; -ECHILD (a stage failed: the message names stage, reason, last
 * lines; its tree is kept as failed/ID, its log under the same id); another negative
 * errno.
 */
int engine_build(struct cop_store *store, struct manifest *manifest,
		 const struct engine_places *places, const struct engine_options *options,
		 json_t **ret_result, struct cop_error *err);

/*
 * engine_run_command() - a command in the stage sandbox with a tree as /
 * @tree_path: absolute path of a writable tree
 * @argv:      NULL-terminated; empty: the tree's shell
 * @network:   keep the network of the caller
 * @binds:     "SRC:DST" pairs, NULL-terminated; may be NULL
 *
 * Standard input, output and error are the caller's.  Return: 0 and the wait status.
 */
int engine_run_command(const char *tree_path, const char *const *argv, bool network,
		       const char *const *binds, int *ret_status, struct cop_error *err);
