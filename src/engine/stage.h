/* SPDX-License-Identifier: Apache-2.0 */
/* One stage while it runs: what stage.c, stage-store.c, stage-parts.c and stage-dev.c
 * share. */
#pragma once

#include "engine/run.h"
#include "engine/sandbox.h"
#include "engine/service.h"

#define SANDBOX_INPUTS "/run/osbuild/inputs"
#define SANDBOX_MOUNTS "/run/osbuild/mounts"

/*
 * struct stage - everything of it that has to be undone
 * @tree:      where the tree is, while it is open for writing
 * @name:      of the directory in the run's work directory; @work its path
 * @may_mount: we are root enough to mount, and to make devices
 * @trees:     serves the store to inputs
 * @loops:     makes loop devices for the module in the sandbox
 * @services:  of inputs, devices and mounts, in this order; n_services were started
 * @binds:     what inputs asked for, where we may not mount
 * @inputs, @devices, @mounts: for the arguments
 * @secrets:   what the module reads of them
 * @redacts:   what is printed is looked through for secrets, line by line; @partial is
 *             the last, unfinished one
 */
struct stage {
	struct run *run;
	const struct manifest_stage *manifest;
	struct stage_outcome *outcome;
	const char *tree;
	char *name, *work;
	int work_fd;
	bool may_mount;
	struct server *exceptions, *trees, *loops;
	struct service_listener listener;
	struct service **services;
	size_t n_services;
	struct cop_reader **readers;
	size_t n_readers;
	struct sandbox_bind *binds;
	size_t n_binds;
	struct stage_loop *loop_devices;
	size_t n_loop_devices;
	const char *root;
	json_t *inputs, *devices, *mounts;
	struct buf secrets, partial;
	bool redacts;
	bool hurry;
};

/* stage_add_reader() - the tree of this id, readable until the stage ends */
int stage_add_reader(struct stage *stage, const char *id, const char **ret_path,
		     struct cop_error *err);

/* stage_serve_store() - what inputs may ask of the store, in stage-store.c */
int stage_serve_store(void *data, const json_t *request, struct comm_fds *fds,
		      json_t **ret_reply, struct cop_error *err);

/* stage_to_sandbox() - a path below the directory @part of the stage ("inputs", "mounts")
 * as the sandbox sees it, freed by the caller; NULL: it is elsewhere */
char *stage_to_sandbox(const struct stage *stage, const char *part, const char *path);

/*
 * stage_start_parts() - start the services of inputs, devices and mounts all at once, and
 * let them do their work: whatever depends on nothing at the same time
 *
 * The tree must be open for writing.  In stage-parts.c, like
 * stage_stop_parts() - in reverse; an error when one of them could not clean up.  The
 * first error is kept when *err is filled already.
 */
int stage_start_parts(struct stage *stage, struct cop_error *err);
int stage_stop_parts(struct stage *stage, struct cop_error *err);

/* stage_make_dev() - /dev of the sandbox, in which services and the module make further
 * nodes, in stage-dev.c; only where we may mount */
int stage_make_dev(struct stage *stage, struct cop_error *err);

/* stage_serve_loops() - "remoteloop": loop devices of files that the module hands over;
 * stage_close_loops() ends them with the stage */
int stage_serve_loops(void *data, const json_t *request, struct comm_fds *fds,
		      json_t **ret_reply, struct cop_error *err);
int stage_close_loops(struct stage *stage, struct cop_error *err);
