/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ids of osbuild: SHA-256 over canonical JSON texts, one after the other.  They leave
 * out devices, runners and the modules' code; engine/key.h is the stricter answer.
 */
#include "engine/manifest.h"

#include "json/json.h"

/* Every text of one id is appended to the same buffer and hashed at the end. */
static int add_json(struct buf *text, const json_t *json, struct cop_error *err)
{
	return json_canonical(json, text, err);
}

static int add_options(struct buf *text, const json_t *options, struct cop_error *err)
{
	if (options)
		return add_json(text, options, err);
	return buf_append_text(text, "{}") < 0 ? err_oom(err) : 0;
}

/* NULL becomes null. */
static int add_string(struct buf *text, const char *string, struct cop_error *err)
{
	auto_json *json = string ? json_string(string) : json_null();

	return json ? add_json(text, json, err) : err_oom(err);
}

static int finish(const struct buf *text, char id[SHA256_HEX + 1], struct cop_error *err)
{
	if (text->failed)
		return err_oom(err);
	return sha256_bytes(text->data, text->size, id, err);
}

int input_compute_id(struct manifest_input *input, struct cop_error *err)
{
	auto_buf text = {};
	int r = add_string(&text, input->type, err);

	if (r == 0)
		r = add_string(&text, input->origin, err);
	if (r == 0)
		r = add_json(&text, input->references, err);
	if (r == 0)
		r = add_options(&text, input->options, err);
	return r < 0 ? r : finish(&text, input->id, err);
}

int device_compute_id(struct manifest_device *device, struct cop_error *err)
{
	auto_buf text = {};
	int r = add_string(&text, device->type, err);

	if (r == 0 && device->parent)
		r = add_string(&text, device->parent->id, err);
	if (r == 0)
		r = add_options(&text, device->options, err);
	return r < 0 ? r : finish(&text, device->id, err);
}

int mount_compute_id(struct manifest_mount *mount, struct cop_error *err)
{
	auto_buf text = {};
	int r = add_string(&text, mount->type, err);

	if (r == 0 && mount->source)
		r = add_string(&text, mount->source->id, err);
	if (r == 0 && json_truthy(mount->partition))
		r = add_json(&text, mount->partition, err);
	if (r == 0 && mount->target && *mount->target)
		r = add_string(&text, mount->target, err);
	if (r == 0)
		r = add_options(&text, mount->options, err);
	return r < 0 ? r : finish(&text, mount->id, err);
}

static int add_inputs(struct buf *text, const struct manifest_stage *stage,
		      struct cop_error *err)
{
	auto_json *ids = json_object();

	for (size_t i = 0; i < stage->n_inputs; i++)
		if (json_object_set_new(ids, stage->inputs[i].name,
					json_string(stage->inputs[i].id)) < 0)
			return err_oom(err);
	return add_json(text, ids, err);
}

static int add_mounts(struct buf *text, const struct manifest_stage *stage,
		      struct cop_error *err)
{
	auto_json *ids = json_array();

	for (size_t i = 0; i < stage->n_mounts; i++)
		if (json_array_append_new(ids, json_string(stage->mounts[i].id)) < 0)
			return err_oom(err);
	return add_json(text, ids, err);
}

int stage_compute_id(struct manifest_stage *stage, const char *base,
		     struct cop_error *err)
{
	const struct manifest_pipeline *pipeline = stage->pipeline;
	auto_buf text = {};
	int r = add_string(&text, stage->type, err);

	if (r == 0)
		r = add_string(&text, pipeline->build_is_empty ? "" : pipeline->build,
			       err);
	if (r == 0)
		r = add_string(&text, base, err);
	if (r == 0)
		r = add_options(&text, stage->options, err);
	if (r == 0 && pipeline->has_epoch)
		(void)buf_printf(&text, "%lld", (long long)pipeline->epoch);
	if (r == 0 && stage->n_inputs > 0)
		r = add_inputs(&text, stage, err);
	if (r == 0 && stage->n_mounts > 0)
		r = add_mounts(&text, stage, err);
	return r < 0 ? r : finish(&text, stage->id, err);
}
