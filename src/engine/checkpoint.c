/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Policy `auto`: keep what is cheap to keep against the time it takes to make it again.
 */
#include "engine/checkpoint.h"

#include <string.h>

#include "base/glob.h"

/* What a commit costs on a slow disk, until this run knows better. */
#define DEFAULT_BYTES_PER_SECOND   (100.0 * 1000 * 1000)
#define DEFAULT_ENTRIES_PER_SECOND (200.0 * 1000)
#define DEFAULT_SECONDS		   0.05
/* Keeping may cost so much of the time that it saves. */
#define WORTH 0.25
/* Few and large changed files are a disk image on its way. */
#define IMAGE_ENTRIES 8
#define IMAGE_BYTES   (64 * MIB)

static bool stage_is_last(const struct manifest_stage *stage)
{
	return stage->number == stage->pipeline->n_stages;
}

static bool glob_matches_stage(const char *glob, const struct manifest_stage *stage)
{
	return glob_matches(glob, stage->id) || glob_matches(glob, stage->type) ||
	       (stage_is_last(stage) && glob_matches(glob, stage->pipeline->name));
}

static bool glob_matches_any(const char *glob, const struct manifest *manifest)
{
	for (size_t i = 0; i < manifest->n_pipelines; i++)
		for (size_t j = 0; j < manifest->pipelines[i].n_stages; j++)
			if (glob_matches_stage(glob, &manifest->pipelines[i].stages[j]))
				return true;
	return false;
}

int manifest_match_stages(const struct manifest *manifest, const char *const *globs,
			  json_t **ret_ids, struct cop_error *err)
{
	auto_json *ids = json_object();
	const struct manifest_pipeline *pipelines = manifest->pipelines;

	for (size_t i = 0; i < manifest->n_pipelines; i++)
		for (size_t j = 0; j < pipelines[i].n_stages; j++)
			for (const char *const *glob = globs; *glob; glob++)
				if (glob_matches_stage(*glob, &pipelines[i].stages[j]) &&
				    json_object_set_new(ids, pipelines[i].stages[j].id,
							json_null()) < 0)
					return err_oom(err);
	if (!ids)
		return err_oom(err);
	*ret_ids = TAKE_PTR(ids);
	return 0;
}

static bool is_word(const char *word)
{
	return strcmp(word, "auto") == 0 || strcmp(word, "all") == 0 ||
	       strcmp(word, "none") == 0;
}

int checkpoint_policy_init(struct checkpoint_policy *policy, const char *const *words,
			   const struct manifest *manifest, struct cop_error *err)
{
	*policy = (struct checkpoint_policy){
		.automatic = !words || !*words,
		.globs = words,
		.bytes_per_second = DEFAULT_BYTES_PER_SECOND,
		.entries_per_second = DEFAULT_ENTRIES_PER_SECOND,
		.seconds = DEFAULT_SECONDS,
	};
	for (; words && *words; words++) {
		if (strcmp(*words, "auto") == 0)
			policy->automatic = true;
		else if (strcmp(*words, "all") == 0)
			policy->all = true;
		else if (strcmp(*words, "none") == 0)
			policy->only_asked = true;
		else if (!is_word(*words) && !glob_matches_any(*words, manifest))
			return err_set(err, -EINVAL,
				       "checkpoint '%s' matches no pipeline, stage id or "
				       "stage type",
				       *words);
	}
	return 0;
}

static bool is_asked_for(const struct checkpoint_policy *policy,
			 const struct manifest_stage *stage)
{
	for (const char *const *glob = policy->globs; glob && *glob; glob++)
		if (!is_word(*glob) && glob_matches_stage(*glob, stage))
			return true;
	return false;
}

static double estimate(const struct checkpoint_policy *policy,
		       const struct object_changes *changes)
{
	return policy->seconds +
	       (double)changes->n_changed_bytes / policy->bytes_per_second +
	       (double)changes->n_entries / policy->entries_per_second;
}

static bool rewrites_image(const struct object_changes *changes)
{
	return changes->n_changed <= IMAGE_ENTRIES &&
	       changes->n_changed_bytes >= IMAGE_BYTES;
}

static bool decide(const struct checkpoint_policy *policy,
		   const struct manifest_stage *stage, double seconds,
		   const struct object_changes *changes, const char **ret_why)
{
	if (stage_is_last(stage)) {
		*ret_why = "last of its pipeline";
		return true;
	}
	if (strcmp(stage->type, "org.coppice.deb.configure") == 0) {
		*ret_why = "a package layer";
		return true;
	}
	if (strcmp(stage->type, "org.coppice.deb.unpack") == 0) {
		*ret_why = "packages not configured yet";
		return false;
	}
	if (rewrites_image(changes)) {
		*ret_why = "one large file that the next stages write to";
		return false;
	}
	if (estimate(policy, changes) <= WORTH * seconds) {
		*ret_why = "cheap to keep";
		return true;
	}
	*ret_why = "quick to make again";
	return false;
}

bool checkpoint_wanted(const struct checkpoint_policy *policy,
		       const struct manifest_stage *stage, double seconds,
		       const struct object_changes *changes, const char **ret_why)
{
	if (policy->all || is_asked_for(policy, stage)) {
		*ret_why = "asked for";
		return true;
	}
	/* As ever: it is what all of this was for. */
	if (stage->class == MODULE_ASSEMBLER && !policy->only_asked) {
		*ret_why = "an assembler's output";
		return true;
	}
	if (policy->automatic)
		return decide(policy, stage, seconds, changes, ret_why);
	*ret_why = "not asked for";
	return false;
}

bool checkpoint_may_come(const struct checkpoint_policy *policy,
			 const struct manifest_stage *stage)
{
	const struct manifest_pipeline *pipeline = stage->pipeline;

	if (policy->all || policy->automatic)
		return true;
	for (size_t i = stage->number - 1; i < pipeline->n_stages; i++)
		if (is_asked_for(policy, &pipeline->stages[i]) ||
		    (pipeline->stages[i].class == MODULE_ASSEMBLER &&
		     !policy->only_asked))
			return true;
	return false;
}

void checkpoint_learn(struct checkpoint_policy *policy,
		      const struct object_changes *changes, double seconds)
{
	double predicted = estimate(policy, changes), ratio;

	/* All rates are moved halfway towards what would have fitted, within reason. */
	ratio = seconds / predicted;
	if (ratio < 0.05)
		ratio = 0.05;
	if (ratio > 20)
		ratio = 20;
	ratio = (1 + ratio) / 2;
	policy->seconds *= ratio;
	policy->bytes_per_second /= ratio;
	policy->entries_per_second /= ratio;
}
