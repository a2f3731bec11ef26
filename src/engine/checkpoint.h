/* SPDX-License-Identifier: Apache-2.0 */
/* Which trees are worth keeping.  Every decision comes with its reason in a few words. */
#pragma once

#include "engine/manifest.h"
#include "view/view.h"

/*
 * struct checkpoint_policy
 * @globs: against pipeline names (their last stage), stage ids and types; borrowed
 * @only_asked: what nobody asked for is not kept, an assembler's output included
 * @bytes_per_second, @entries_per_second, @seconds: what a commit costs, learned from
 * those of this run
 */
struct checkpoint_policy {
	bool automatic, all, only_asked;
	const char *const *globs;
	double bytes_per_second, entries_per_second, seconds;
};

/* checkpoint_policy_init() - @words as struct engine_options has them.  -EINVAL for a
 * glob that matches nothing in the manifest. */
int checkpoint_policy_init(struct checkpoint_policy *policy, const char *const *words,
			   const struct manifest *manifest, struct cop_error *err);

/*
 * checkpoint_wanted() - shall the tree after this stage be committed?
 * @seconds: what was run since the last checkpoint took
 * @changes: since then
 * @ret_why: static text
 */
bool checkpoint_wanted(const struct checkpoint_policy *policy,
		       const struct manifest_stage *stage, double seconds,
		       const struct object_changes *changes, const char **ret_why);

/* checkpoint_may_come() - may the tree after this stage or after a later one of its
 * pipeline be wanted? */
bool checkpoint_may_come(const struct checkpoint_policy *policy,
			 const struct manifest_stage *stage);

/* checkpoint_learn() - a commit of these changes took so long */
void checkpoint_learn(struct checkpoint_policy *policy,
		      const struct object_changes *changes, double seconds);
