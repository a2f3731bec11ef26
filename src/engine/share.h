/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checkpoints shared with others through a remote: looked for before a stage is run, sent
 * while the next one runs.  A remote that cannot be used never fails a build: that is
 * noted once, and the build goes on without.
 */
#pragma once

#include <jansson.h>

#include "engine/engine.h"
#include "engine/manifest.h"

struct share;

/* share_new() - @options->remote names a remote of the store; none: *@ret_share NULL.
 * -ENOENT: the store has no such remote. */
int share_new(struct cop_store *store, const struct engine_options *options,
	      struct share **ret_share, struct cop_error *err);

/* share_free() - drops what was not sent yet; NULL is fine.  Return: NULL. */
struct share *share_free(struct share *share);
DEFINE_AUTO_PTR(share)

/*
 * share_fetch() - bring the last of these stages that the remote has into the store
 * @stages, @keys: n of them, in the order of the pipeline
 *
 * Return: 1 when one was brought; 0; -EINTR, or another errno of the store.
 */
int share_fetch(struct share *share, const struct manifest_stage *stages,
		const char *const *keys, size_t n, struct cop_error *err);

/* share_send() - send the checkpoint of a stage in the background; @meta is what was kept
 * with it, borrowed */
void share_send(struct share *share, const char *id, const char *key, const json_t *meta);

/* share_finish() - wait until all is sent, and say what could not be */
void share_finish(struct share *share);
