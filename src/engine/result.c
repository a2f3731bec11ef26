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
		     const struct engine_stage_report *report, const json_t *metadata,
		     struct cop_error *err)
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
	if (metadata &&
	    json_object_set(json, "metadata", (json_t *)(uintptr_t)metadata) < 0)
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

int result_make(const struct run *run, json_t **ret_result, struct cop_error *err)
{
	json_t *pipelines = json_array();
	auto_json *json = json_pack("{s:b, s:s, s:o}", "success", 1, "manifest",
				    run->manifest->digest, "pipelines", pipelines);

	for (size_t i = 0; i < run->manifest->n_pipelines; i++)
		if (run->pipelines[i].is_needed &&
		    json_array_append_new(pipelines,
					  describe_pipeline(&run->pipelines[i])) < 0)
			return err_oom(err);
	if (!json)
		return err_oom(err);
	*ret_result = TAKE_PTR(json);
	return 0;
}
