/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A build's checkpoints shared with others through a remote: looked for before a stage is
 * run, sent while the next one runs.  A remote that cannot be used never fails a build:
 * that is noted once, and the build goes on without.
 */
#pragma once

#include "engine/engine.h"

struct share;

/*
 * share_new() - for one build
 * @remote: name of a remote of @store
 * @monitor: notes and progress go there; borrowed, like @remote, until share_free()
 * @ret_ops: for struct engine_options, good as long as the share
 *
 * Return: 0; -ENOENT: the store has no such remote; -EINVAL, -ENOMEM.
 */
int share_new(struct cop_store *store, const char *remote,
	      const struct engine_monitor *monitor, int cancel_fd,
	      struct share **ret_share, struct engine_share *ret_ops,
	      struct cop_error *err);

/* share_free() - drops what was not sent yet; NULL is fine.  Return: NULL. */
struct share *share_free(struct share *share);
DEFINE_AUTO_PTR(share)
