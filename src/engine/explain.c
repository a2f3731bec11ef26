/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why a stage would run: what its key stands for, beside that of the checkpoint that is
 * nearest to it.  Nearest is one of the same id, else of the same type in a pipeline of
 * the same name, with the fewest differences.
 */
#include "engine/plan.h"

#include <stdio.h>
#include <string.h>

#include "json/json.h"

/* A checkpoint that could be the nearest. */
struct candidate {
	struct cop_digest digest;
	json_t *meta;
};

struct explanation {
	struct run *run;
	struct candidate *candidates;
	size_t n_candidates;
	int failed;
};

static void explanation_done(struct explanation *explanation)
{
	for (size_t i = 0; i < explanation->n_candidates; i++)
		json_decref(explanation->candidates[i].meta);
	free(explanation->candidates);
}

static int take_checkpoint(void *data, const char *name, const struct cop_digest *digest)
{
	struct explanation *explanation = data;
	struct candidate *grown;
	auto_json *meta = NULL;

	if (ref_meta(explanation->run->store, REF_STAGE, name, &meta, NULL) < 0 ||
	    !json_object_get(meta, "parts"))
		return 0;
	grown = reallocarray(explanation->candidates, explanation->n_candidates + 1,
			     sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	explanation->candidates = grown;
	grown[explanation->n_candidates++] =
		(struct candidate){.digest = *digest, .meta = TAKE_PTR(meta)};
	return 0;
}

static int add_line(json_t *lines, const char *format, ...) printf_like(2, 3);

static int add_line(json_t *lines, const char *format, ...)
{
	auto_free char *line = NULL;
	va_list ap;
	int n;

	va_start(ap, format);
	n = vasprintf(&line, format, ap);
	va_end(ap);
	if (n < 0) {
		line = NULL;
		return -ENOMEM;
	}
	return json_array_append_new(lines, json_string(line)) < 0 ? -ENOMEM : 0;
}

static const char *text_or(const json_t *json, const char *otherwise)
{
	const char *text = json_string_value(json);

	return text ? text : otherwise;
}

/* One of @now or @then may be missing. */
static int add_member(json_t *lines, const char *what, const char *name,
		      const json_t *now, const json_t *then)
{
	/* Revisions tell something, hashes do not. */
	bool shown = strcmp(what, "module") == 0;

	if (!then)
		return add_line(lines, "%s %s is new", what, name);
	if (!now)
		return add_line(lines, "%s %s is gone", what, name);
	if (shown)
		return add_line(lines, "%s %s: %.20s instead of %.20s", what, name,
				text_or(now, "?"), text_or(then, "?"));
	return add_line(lines, "%s %s differs", what, name);
}

/* Two objects, member by member. */
static int compare_members(json_t *lines, const char *what, const json_t *now,
			   const json_t *then)
{
	const char *name;
	json_t *value;
	int r = 0;

	json_object_foreach ((json_t *)(uintptr_t)now, name, value)
		if (r == 0 && !json_equal(value, json_object_get(then, name)))
			r = add_member(lines, what, name, value,
				       json_object_get(then, name));
	json_object_foreach ((json_t *)(uintptr_t)then, name, value)
		if (r == 0 && !json_object_get(now, name))
			r = add_member(lines, what, name, NULL, value);
	return r;
}

static bool differs(const json_t *now, const json_t *then, const char *part)
{
	const json_t *a = json_object_get(now, part), *b = json_object_get(then, part);

	if (!a || json_is_null(a))
		return b && !json_is_null(b);
	return !json_equal(a, b);
}

/* What differs between two sets of parts, a line for each. */
static int compare_parts(const json_t *now, const json_t *then, json_t *lines)
{
	static const struct {
		const char *part, *what;
	} groups[] = {
		{"modules", "module"}, {"options", "option"}, {"inputs", "input"},
		{"devices", "device"}, {"mounts", "mount"},
	};
	int r = 0;

	if (differs(now, then, "version"))
		return add_line(lines, "the checkpoint is of another version of coppice");
	for (size_t i = 0; i < ARRAY_SIZE(groups) && r == 0; i++)
		r = compare_members(lines, groups[i].what,
				    json_object_get(now, groups[i].part),
				    json_object_get(then, groups[i].part));
	if (r == 0 && differs(now, then, "source-epoch"))
		r = add_line(lines, "the source-epoch differs");
	if (r == 0 && differs(now, then, "host"))
		r = add_line(lines, "the host: %s instead of %s",
			     text_or(json_object_get(now, "host"), "a build tree"),
			     text_or(json_object_get(then, "host"), "a build tree"));
	else if (r == 0 && differs(now, then, "build"))
		r = add_line(lines, "the build tree differs");
	if (r == 0 && differs(now, then, "trees"))
		r = add_line(lines, "a tree that it reads differs");
	if (r == 0 && differs(now, then, "base"))
		r = add_line(lines, "the stage before it differs");
	return r;
}

/* 2: the same id, 1: the same place, 0: neither. */
static int nearness(const struct manifest_stage *stage, const json_t *meta)
{
	const char *pipeline = json_string_value(json_object_get(meta, "pipeline"));
	const json_t *parts = json_object_get(meta, "parts");
	const char *id = json_string_value(json_object_get(parts, "id"));
	const char *type = json_string_value(json_object_get(parts, "type"));

	if (id && strcmp(id, stage->id) == 0)
		return 2;
	return type && pipeline && strcmp(type, stage->type) == 0 &&
	       strcmp(pipeline, stage->pipeline->name) == 0;
}

/* Return: 1 with the differences, or 0: there is nothing to compare with. */
static int find_nearest(const struct explanation *explanation,
			const struct manifest_stage *stage, const json_t *parts,
			struct cop_digest *ret_digest, json_t **ret_lines,
			struct cop_error *err)
{
	auto_json *best = NULL;
	int best_nearness = 0;

	for (size_t i = 0; i < explanation->n_candidates; i++) {
		const struct candidate *candidate = &explanation->candidates[i];
		int near = nearness(stage, candidate->meta);
		auto_json *lines = json_array();

		if (near == 0 || near < best_nearness)
			continue;
		if (!lines ||
		    compare_parts(parts, json_object_get(candidate->meta, "parts"),
				  lines) < 0)
			return err_oom(err);
		if (near == best_nearness &&
		    json_array_size(lines) >= json_array_size(best))
			continue;
		best_nearness = near;
		*ret_digest = candidate->digest;
		json_decref(best);
		best = TAKE_PTR(lines);
	}
	if (!best)
		return 0;
	*ret_lines = TAKE_PTR(best);
	return 1;
}

static int explain_miss(const struct explanation *explanation,
			const struct manifest_stage *stage, const struct run_stage *run,
			json_t *json, struct cop_error *err)
{
	struct cop_digest digest;
	char hex[COP_DIGEST_HEX + 1];
	auto_json *lines = NULL;
	int r = find_nearest(explanation, stage, run->parts, &digest, &lines, err);

	if (r <= 0)
		return r;
	/* Its tree was lost, or is damaged. */
	if (json_array_size(lines) == 0 &&
	    add_line(lines, "its tree is not in the store any more") < 0)
		return err_oom(err);
	if (json_object_set_new(json, "nearest",
				json_string(cop_digest_to_hex(&digest, hex))) < 0 ||
	    json_object_set(json, "differs", lines) < 0)
		return err_oom(err);
	return 0;
}

static int explain_stage(struct explanation *explanation,
			 const struct manifest_stage *stage, const struct run_stage *run,
			 json_t *stages, struct cop_error *err)
{
	struct cop_digest digest;
	char hex[COP_DIGEST_HEX + 1];
	auto_json *json = json_pack("{s:s, s:s, s:s}", "type", stage->type, "id",
				    stage->id, "key", run->key);
	auto_json *meta = NULL;
	int r = run_look(explanation->run, stage, run->key, &digest, &meta, err);

	if (r < 0)
		return r;
	if (json_object_set_new(json, "cached", json_boolean(r)) < 0 ||
	    (r > 0 &&
	     json_object_set_new(json, "digest",
				 json_string(cop_digest_to_hex(&digest, hex))) < 0))
		return err_oom(err);
	if (r == 0)
		r = explain_miss(explanation, stage, run, json, err);
	if (r < 0)
		return r;
	return json_array_append(stages, json) < 0 ? err_oom(err) : 0;
}

static int explain_pipeline(struct explanation *explanation,
			    const struct run_pipeline *pipeline, json_t *pipelines,
			    struct cop_error *err)
{
	const struct manifest_pipeline *manifest = pipeline->pipeline;
	json_t *stages = json_array();
	auto_json *json = json_pack("{s:s, s:s?, s:o}", "name", manifest->name, "id",
				    manifest_pipeline_last(manifest), "stages", stages);
	int r = 0;

	for (size_t i = 0; json && i < manifest->n_stages && r == 0; i++)
		r = explain_stage(explanation, &manifest->stages[i], &pipeline->stages[i],
				  stages, err);
	if (r < 0)
		return r;
	return json_array_append(pipelines, json) < 0 ? err_oom(err) : 0;
}

int explain_run(struct run *run, json_t **ret_json, struct cop_error *err)
{
	cleanup_with(explanation_done) struct explanation explanation = {.run = run};
	json_t *pipelines = json_array();
	auto_json *json = json_pack("{s:o}", "pipelines", pipelines);
	int r = ref_list(run->store, REF_STAGE, NULL, take_checkpoint, &explanation, err);

	for (size_t i = 0; i < run->manifest->n_pipelines && r == 0; i++)
		r = explain_pipeline(&explanation, &run->pipelines[i], pipelines, err);
	if (r < 0)
		return r;
	if (!json)
		return err_oom(err);
	*ret_json = TAKE_PTR(json);
	return 0;
}
