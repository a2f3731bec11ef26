/* SPDX-License-Identifier: Apache-2.0 */
/* What a run did, as one JSON document. */
#include "engine/run.h"

#include "json/json.h"

static const char *const state_names[] = {
	[ENGINE_STAGE_RAN] = "ran",
	[ENGINE_STAGE_CACHED] = "cached",
	[ENGINE_STAGE_FAILED] = "failed",
};

/* Bytes of programs need not be UTF-8; JSON must be. */
static json_t *text_value(const char *text)
{
	auto_buf clean = {};
	json_t *json = text ? json_string(text) : NULL;

	if (json || !text)
		return json;
	for (; *text; text++)
		(void)buf_append_char(&clean, *text & 0x80 ? '?' : *text);
	return clean.failed ? NULL : json_string(buf_text(&clean));
}

int result_add_stage(struct run_pipeline *pipeline,
		     const struct engine_stage_report *report, struct cop_error *err)
{
	auto_json *json =
		json_pack("{s:s, s:s, s:s, s:b}", "type", report->type, "id", report->id,
			  "state", state_names[report->state], "kept", report->kept);
	bool ran = report->state != ENGINE_STAGE_CACHED;

	if (!json)
		return err_oom(err);
	if (ran &&
	    (json_object_set_new(json, "seconds", json_real(report->seconds)) < 0 ||
	     json_object_set_new(json, "commit-seconds",
				 json_real(report->commit_seconds)) < 0))
		return err_oom(err);
	if (report->why && json_object_set_new(json, "why", json_string(report->why)) < 0)
		return err_oom(err);
	if (report->digest &&
	    json_object_set_new(json, "digest", json_string(report->digest)) < 0)
		return err_oom(err);
	if (report->output &&
	    json_object_set_new(json, "output", text_value(report->output)) < 0)
		return err_oom(err);
	if (report->metadata &&
	    json_object_set(json, "metadata", (json_t *)(uintptr_t)report->metadata) < 0)
		return err_oom(err);
	return json_array_append(pipeline->stage_results, json) < 0 ? err_oom(err) : 0;
}

static json_t *describe_pipeline(const struct run_pipeline *pipeline)
{
	auto_json *json = json_pack("{s:s, s:s?}", "name", pipeline->pipeline->name, "id",
				    manifest_pipeline_last(pipeline->pipeline));
	char hex[COP_DIGEST_HEX + 1];

	if (!cop_digest_is_null(&pipeline->digest) &&
	    json_object_set_new(json, "digest",
				json_string(cop_digest_to_hex(&pipeline->digest, hex))) <
		    0)
		return NULL;
	if (json_object_set(json, "stages", pipeline->stage_results) < 0)
		return NULL;
	return TAKE_PTR(json);
}

/* {stage type: what its stages of this pipeline said, merged}; NULL: nothing. */
static json_t *collect_metadata(const struct run_pipeline *pipeline)
{
	auto_json *all = json_object();

	for (size_t i = 0; i < pipeline->pipeline->n_stages; i++) {
		const struct manifest_stage *stage = &pipeline->pipeline->stages[i];
		json_t *one = json_object_get(pipeline->metadata, stage->id),
		       *merged = json_object_get(all, stage->type);

		if (!json_truthy(one))
			continue;
		if (!merged) {
			merged = json_object();
			(void)json_object_set_new(all, stage->type, merged);
		}
		(void)json_object_update(merged, one);
	}
	return TAKE_PTR(all);
}

/* Nobody asked for it, but the store may have it all the same. */
static int look_for_tree(struct run *run, struct run_pipeline *pipeline,
			 struct cop_error *err)
{
	size_t last = pipeline->pipeline->n_stages - 1;
	struct cop_digest digest;
	int r = 0;

	if (!pipeline->is_needed && !pipeline->metadata)
		r = run_hit(run, &pipeline->pipeline->stages[last],
			    pipeline->stages[last].key, &digest, &pipeline->metadata,
			    err);
	return r < 0 ? r : 0;
}

static int add_metadata(struct run *run, json_t *json, struct cop_error *err)
{
	auto_json *all = json_object();

	for (size_t i = 0; i < run->manifest->n_pipelines; i++) {
		const struct manifest_pipeline *pipeline = &run->manifest->pipelines[i];
		struct run_pipeline *maker =
			pipeline->n_stages ? run_maker_of(run, pipeline) : NULL;
		auto_json *one = NULL;
		int r = maker ? look_for_tree(run, maker, err) : 0;

		if (r < 0)
			return r;
		if (maker)
			one = collect_metadata(maker);
		if (json_object_size(one) > 0 &&
		    json_object_set(all, pipeline->name, one) < 0)
			return err_oom(err);
	}
	return json_object_set(json, "metadata", all) < 0 ? err_oom(err) : 0;
}

int result_make(struct run *run, json_t **ret_result, struct cop_error *err)
{
	json_t *pipelines = json_array();
	auto_json *json = json_pack("{s:b, s:s, s:o}", "success", 1, "manifest",
				    run->manifest->digest, "pipelines", pipelines);
	int r;

	for (size_t i = 0; i < run->manifest->n_pipelines; i++)
		if (run->pipelines[i].is_needed &&
		    json_array_append_new(pipelines,
					  describe_pipeline(&run->pipelines[i])) < 0)
			return err_oom(err);
	if (!json)
		return err_oom(err);
	r = add_metadata(run, json, err);
	if (r < 0)
		return r;
	*ret_result = TAKE_PTR(json);
	return 0;
}
