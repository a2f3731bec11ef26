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
struct manifest_pipeline;
struct manifest_source;
struct manifest_stage;
struct schema_errors;

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

/* engine_find_guard() - the program under which a sandbox runs, looked for in the same
 * places; freed by the caller.  Return: 0; -ENOENT. */
int engine_find_guard(char **ret_path, struct cop_error *err);

/* manifest_read(): what is wrong with a document that could be read. */
#define MANIFEST_INVALID	 1
#define MANIFEST_UNKNOWN_VERSION 2

/*
 * manifest_read() - read, validate and resolve a manifest (osbuild's versions 1 and 2)
 * @text:   JSON
 * @places: modules must be found and their options must fit their schemas; NULL: neither
 *          is looked at (for ids alone)
 * @errors: all that the schemas find wrong, sorted
 *
 * Computes every id.  Return: 0; MANIFEST_INVALID; MANIFEST_UNKNOWN_VERSION with a
 * message; -EINVAL with a message for what no schema can tell (one line naming the
 * place); another negative errno.
 */
int manifest_read(const char *text, size_t size, const struct engine_places *places,
		  struct schema_errors *errors, struct manifest **ret_manifest,
		  struct cop_error *err);

/* manifest_load() - the same, where one line is enough: -EINVAL for all that is wrong */
int manifest_load(const char *text, size_t size, const struct engine_places *places,
		  struct manifest **ret_manifest, struct cop_error *err);

/* manifest_validation_result() - the errors as the document that osbuild prints, as a new
 * reference */
int manifest_validation_result(const struct schema_errors *errors, json_t **ret_json,
			       struct cop_error *err);

/* manifest_invalid() - the errors in one line: -EINVAL.  @places: as for reading */
int manifest_invalid(const struct schema_errors *errors,
		     const struct engine_places *places, struct cop_error *err);

struct manifest *manifest_free(struct manifest *manifest);
DEFINE_AUTO_PTR(manifest)

/* manifest_inspect() - what `osbuild --inspect` prints, as a new reference */
int manifest_inspect(const struct manifest *manifest, json_t **ret_json,
		     struct cop_error *err);

/* Pipelines in manifest order: names, and ids (NULL for a pipeline without stages). */
size_t manifest_n_pipelines(const struct manifest *manifest);
const char *manifest_pipeline_name(const struct manifest *manifest, size_t i);
const char *manifest_pipeline_id(const struct manifest *manifest, size_t i);

/* manifest_match_stages() - ids of the stages that one of the globs means (by id, by
 * type, by the name of the pipeline that they are the last of), as the keys of an object
 * in the order of the manifest; a new reference */
int manifest_match_stages(const struct manifest *manifest, const char *const *globs,
			  json_t **ret_ids, struct cop_error *err);

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
	double seconds;	       /* of the stage itself */
	double commit_seconds; /* of its checkpoint, 0 without */
	bool kept;	       /* a checkpoint was made */
	const char *why;       /* why it was kept or not, in a few words */
	uint64_t new_bytes;    /* in files that the checkpoint found changed */
	const char *digest;    /* of the checkpoint, or NULL */
	const char *output;    /* everything the stage printed (capped), or NULL */
	size_t output_size;
	const struct manifest_stage *stage;
	const json_t *metadata; /* what the stage says of what it made, or NULL */
	const json_t *error; /* what it said of its failure, as osbuild has it, or NULL */
	unsigned int number, total; /* 1-based position among the stages of this run */
};

/*
 * struct engine_monitor - every function may be NULL; called by the thread that runs
 *
 * A cached stage has a stage_end() only.  What follows is for those who retell a run as
 * osbuild does:
 * @plan:           before anything else: so many sources, and pipelines of which
 * something has to run, which alone have a begin and an end
 * @source_begin, @source_end: in the order of the manifest; @result is osbuild's
 * @wants_present:  of items that were there already, too, of which there may be thousands
 * @service_line:   a line that a module on the host printed; without this function it is
 * a note, or part of the stage's output
 */
struct engine_monitor {
	void (*plan)(void *data, size_t n_sources, size_t n_pipelines);
	void (*source_begin)(void *data, const struct manifest_source *source);
	void (*source_end)(void *data, const struct manifest_source *source,
			   const json_t *result);
	bool wants_present;
	void (*pipeline_begin)(void *data, const struct manifest_pipeline *pipeline);
	void (*pipeline_end)(void *data, const struct manifest_pipeline *pipeline);
	void (*service_line)(void *data, const char *id, const char *module,
			     const char *line);
	void (*pipeline)(void *data, const char *name, const char *id);
	void (*stage_begin)(void *data, const struct engine_stage_report *stage);
	void (*stage_output)(void *data, const char *bytes, size_t size);
	void (*stage_end)(void *data, const struct engine_stage_report *stage);
	void (*note)(void *data, const char *line); /* for people: once per matter */
	const struct cop_progress *progress;	    /* downloads, commits, exports */
	void *data;
};

/* manifest_secrets() - the names of the secrets that its stages want, as keys of an
 * object; a new reference */
int manifest_secrets(const struct manifest *manifest, json_t **ret_names,
		     struct cop_error *err);

/* struct engine_secret - a value for a name of manifest_secrets(); borrowed */
struct engine_secret {
	const char *name;
	const char *value;
	size_t size;
};

/*
 * struct engine_share - checkpoints that others may have, and may want.  All are called
 * by the thread that builds, and never with a stage that depends on a secret.
 * @fetch: bring the last of @n stages that others have into the store, as a checkpoint;
 *         @ids and @keys in the order of the pipeline.  Return: 1 when one was brought,
 *         0 when not, for whatever reason; -EINTR, or another errno of the store.
 * @send: a checkpoint was made; @meta is what was kept with it, borrowed
 * @finish: the build is over, and was not interrupted
 */
struct engine_share {
	void *data;
	int (*fetch)(void *data, const char *const *ids, const char *const *keys,
		     size_t n, struct cop_error *err);
	void (*send)(void *data, const char *id, const char *key, const json_t *meta);
	void (*finish)(void *data);
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
 * @share: others to share checkpoints with; NULL: none
 * @secrets: a value for each name that the manifest wants, and for no other (-ENOKEY,
 *           -EINVAL); they are in no key, log or message
 * @as_osbuild: as the command osbuild: without exports only sources are fetched, all of
 *              them; with exports all of them when anything has to be built; a failed
 *              tree is not kept; exports are merged into what is there, and their
 *              directories are named as @exports names them
 * @keep_nothing: make no checkpoint, whatever was asked for
 * @export_as_caller: files of exports belong to the caller
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
	const struct engine_share *share;
	const struct engine_secret *secrets;
	size_t n_secrets;
	bool as_osbuild, keep_nothing, export_as_caller;
	const char *retry_command;
	struct engine_monitor monitor;
};

/*
 * engine_build() - fetch sources, run what the store lacks, keep checkpoints, export
 * @ret_result: per pipeline {"name", "id", "digest"?} and per stage what happened, and
 *              "metadata" as osbuild has it, as one JSON document; a new reference
 *
 * Return: 0; -EINTR; -ECHILD (a stage failed: the message names stage, reason, last
 * lines; its tree is kept as failed/ID, its log under the same id); another negative
 * errno.
 */
int engine_build(struct cop_store *store, struct manifest *manifest,
		 const struct engine_places *places, const struct engine_options *options,
		 json_t **ret_result, struct cop_error *err);

/*
 * engine_explain() - which stages the store has, and why others would run
 *
 * {"pipelines": [{"name", "id", "stages": [{"type", "id", "key", "cached", "digest"?,
 * "nearest"?, "differs"?}]}]}: "differs" has a line for each difference from the
 * checkpoint "nearest".  The manifest must have been loaded with places.  A secret
 * without a value among @secrets differs from every value.  A new reference.
 */
int engine_explain(struct cop_store *store, struct manifest *manifest,
		   const struct engine_secret *secrets, size_t n_secrets,
		   json_t **ret_json, struct cop_error *err);

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
