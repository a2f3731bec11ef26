/* SPDX-License-Identifier: Apache-2.0 */
/* One run of the engine: what the files run.c, stage.c, fetch.c, failure.c, export.c and
 * result.c share. */
#pragma once

#include <coppice/object.h>

#include "engine/checkpoint.h"
#include "engine/key.h"
#include "engine/manifest.h"
#include "store/lock.h"
#include "store/workdir.h"

/* struct run_stage - @parts: what @key is the hash of; @is_private: a secret is in its
 * tree, or in something that this was made from */
struct run_stage {
	char key[SHA256_HEX + 1];
	json_t *parts;
	bool is_private;
};

/*
 * struct run_pipeline
 * @first: index of the first stage to run; n_stages: the store has it all
 * @start: digest of the checkpoint to begin from; null: an empty tree
 */
struct run_pipeline {
	const struct manifest_pipeline *pipeline;
	struct run_stage *stages;
	bool is_needed;
	size_t first;
	struct cop_digest start;
	struct cop_object *object; /* once somebody needs its tree */
	json_t *stage_results;
	json_t *metadata;	  /* {stage id: what the stage said of what it made} */
	struct cop_digest digest; /* of the finished tree, where it was committed */
};

struct run {
	struct cop_store *store;
	const struct manifest *manifest;
	const struct engine_options *options;
	const struct engine_monitor *monitor;
	struct checkpoint_policy policy;
	struct workdir *workdir;
	struct run_pipeline *pipelines; /* as in the manifest */
	struct run_stage *stages;	/* of all pipelines, which point into it */
	unsigned int number, total;	/* stages so far, and in all */
	unsigned int lacking;  /* of every sandbox, as sandbox_find_lacking() has it */
	unsigned int n_work;   /* work directories so far */
	bool made_room;	       /* see run_make_room() */
	unsigned int n_to_run; /* pipelines of which something has to run */
	size_t n_stages;
};

/* run_note() - a line for people */
void run_note(const struct run *run, const char *format, ...) printf_like(2, 3);

/* run_check_cancel() - -EINTR when the caller wants to stop */
int run_check_cancel(const struct run *run, struct cop_error *err);

/* run_make_room() - the disk is full: collect garbage and caches and say so, once in a
 * run.  False: that was done already, or gave nothing. */
bool run_make_room(struct run *run);

/* run_wait_for_room() - until what was removed is free: half a second at most */
void run_wait_for_room(struct run *run);

/*
 * run_maker_of() - the pipeline whose tree stands for that of @pipeline: the first that
 * has its id and its key
 *
 * run_find_maker() - the one that makes the tree with this id for @stage, or NULL: of
 * pipelines that differ only in what is no part of an id, like their devices, the one
 * that the manifest names there
 */
struct run_pipeline *run_maker_of(const struct run *run,
				  const struct manifest_pipeline *pipeline);
struct run_pipeline *run_find_maker(const struct run *run,
				    const struct manifest_stage *stage, const char *id);

/* run_is_private() - a secret is in what this stage makes */
bool run_is_private(const struct run *run, const struct manifest_stage *stage);

/* run_has_work() - the store has not got all of it */
bool run_has_work(const struct run_pipeline *pipeline);

/* run_read_tree() - a reader of the finished tree with this id, as @stage means it, for
 * cop_reader_close().  -ENOENT: no pipeline of this run makes it. */
int run_read_tree(struct run *run, const struct manifest_stage *stage, const char *id,
		  struct cop_reader **ret_reader, struct cop_error *err);

/*
 * run_look() - 1 when the store has a checkpoint of the stage with this key and its tree,
 * else 0, or an errno
 *
 * This and what follows is in kept.c.
 */
int run_look(struct run *run, const struct manifest_stage *stage, const char *key,
	     struct cop_digest *ret_digest, json_t **ret_meta, struct cop_error *err);

/* run_hit() - 1 when the store has a usable checkpoint of the stage (id, key and digest
 * agree), with what its stages said of what they made as a new reference; else 0, or an
 * errno */
int run_hit(struct run *run, const struct manifest_stage *stage, const char *key,
	    struct cop_digest *ret_digest, json_t **ret_metadata, struct cop_error *err);

/* Fetching, in fetch.c: the source items that the stages to run refer to and that are not
 * there yet. */
int run_fetch(struct run *run, struct cop_error *err);

/*
 * struct stage_outcome - how a stage went
 * @status: wait status of the module
 * @log:    what it printed, its last MiB
 * @exception: what it said of its failure itself, or NULL
 * @error:  the whole of that, as osbuild keeps it, or NULL
 * @metadata: what it wrote to its meta file, or NULL
 * @out_of_memory: the kernel killed for want of memory meanwhile
 * @timed_out: it was ended after options.stage_timeout
 */
struct stage_outcome {
	int status;
	struct buf log;
	char *exception;
	json_t *error;
	json_t *metadata;
	double seconds;
	bool out_of_memory, timed_out;
};

void stage_outcome_done(struct stage_outcome *outcome);
#define auto_outcome cleanup_with(stage_outcome_done) struct stage_outcome

/* stage_run() - run one stage on @object, which is not open.  Return: 0 when the module
 * ran, whatever it said; a negative errno. */
int stage_run(struct run *run, const struct manifest_stage *stage,
	      struct cop_object *object, struct stage_outcome *outcome,
	      struct cop_error *err);

/* stage_fail() - keep tree and log, tell what to do, and give -ECHILD with the message */
int stage_fail(struct run *run, const struct manifest_stage *stage,
	       struct cop_object *object, const struct stage_outcome *outcome,
	       struct cop_error *err);

/* stage_wants_room() - it failed, and the disk of the store is full */
bool stage_wants_room(const struct run *run, const struct stage_outcome *outcome);

/* run_export() - the tree of a pipeline that was asked for, into OUTPUT/NAME */
int run_export(struct run *run, const struct manifest_pipeline *asked, const char *name,
	       struct cop_error *err);

/* run_keep_other() - before a checkpoint of the stage is made with @key: one of its id
 * with another key stays, by that key */
int run_keep_other(const struct run *run, const struct manifest_stage *stage,
		   const char *key, struct cop_error *err);

/* explain_run() - for every stage whether the store has it, and if not, why; in explain.c
 */
int explain_run(struct run *run, json_t **ret_json, struct cop_error *err);

/* result_add_stage() - what happened to a stage, for the result document */
int result_add_stage(struct run_pipeline *pipeline,
		     const struct engine_stage_report *report, struct cop_error *err);

/* result_make() - the whole document */
int result_make(struct run *run, json_t **ret_result, struct cop_error *err);
