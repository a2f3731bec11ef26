/* SPDX-License-Identifier: Apache-2.0 */
#include "remote/plan.h"

#include <string.h>

#include "base/text.h"
#include "json/json.h"

bool digest_is(const char *text, struct cop_digest *ret)
{
	return text && cop_digest_parse(text, ret) == 0;
}

int plan_add_segment(struct plan *plan, const char *name, struct cop_error *err)
{
	for (size_t i = 0; i < plan->n_segments; i++)
		if (strcmp(plan->segments[i], name) == 0)
			return 0;
	if (plan->n_segments == PLAN_SEGMENTS_MAX)
		return err_set(err, -E2BIG, "a plan with too many index segments");
	memcpy(plan->segments[plan->n_segments++], name, SHA256_HEX + 1);
	return 0;
}

int plan_write(const struct plan *plan, struct buf *text, struct cop_error *err)
{
	char hex[COP_DIGEST_HEX + 1];
	auto_json *trees = json_array();
	auto_json *segments = json_array();
	auto_json *json = NULL;

	for (size_t i = 0; i < plan->n_trees; i++)
		(void)json_array_append_new(
			trees, json_string(cop_digest_to_hex(&plan->trees[i], hex)));
	for (size_t i = 0; i < plan->n_segments; i++)
		(void)json_array_append_new(segments, json_string(plan->segments[i]));
	json = json_pack("{s:i, s:s, s:O, s:O}", "format", REMOTE_FORMAT, "object",
			 cop_digest_to_hex(&plan->object, hex), "trees", trees,
			 "segments", segments);
	if (!json || json_array_size(trees) != plan->n_trees ||
	    json_array_size(segments) != plan->n_segments)
		return err_oom(err);
	return json_write(json, 0, text, err);
}

static int damaged(const char *why, struct cop_error *err)
{
	return err_set(err, -EBADMSG, "a pull plan is damaged: %s", why);
}

static int read_trees(const json_t *trees, struct plan *plan, struct cop_error *err)
{
	json_t *value;
	size_t i;

	if (json_array_size(trees) == 0 || json_array_size(trees) > TREE_CHAIN_MAX)
		return damaged("it has no tree or too many", err);
	json_array_foreach (trees, i, value)
		if (!digest_is(json_string_value(value), &plan->trees[plan->n_trees++]))
			return damaged("a tree is not a digest", err);
	if (!cop_digest_equal(&plan->trees[plan->n_trees - 1], &plan->object))
		return damaged("its last tree is another object's", err);
	return 0;
}

static int read_segments(const json_t *segments, struct plan *plan, struct cop_error *err)
{
	struct cop_digest name;
	json_t *value;
	size_t i;

	if (json_array_size(segments) == 0 ||
	    json_array_size(segments) > PLAN_SEGMENTS_MAX)
		return damaged("it names no index segment or too many", err);
	json_array_foreach (segments, i, value) {
		int r;

		if (!digest_is(json_string_value(value), &name))
			return damaged("an index segment has an impossible name", err);
		r = plan_add_segment(plan, json_string_value(value), err);
		if (r < 0)
			return r;
	}
	return 0;
}

int plan_read(const char *text, size_t size, struct plan *ret_plan, struct cop_error *err)
{
	struct plan plan = {};
	auto_json *json = NULL;
	int r = json_read(text, size, &json, err);

	if (r < 0)
		return err_prefix(err, r, "a pull plan");
	if (json_is_integer(json_object_get(json, "format")) &&
	    json_integer_value(json_object_get(json, "format")) != REMOTE_FORMAT)
		return err_set(err, -EPROTONOSUPPORT,
			       "a pull plan of format %lld; a newer coppice is needed",
			       json_integer_value(json_object_get(json, "format")));
	if (!digest_is(json_string_value(json_object_get(json, "object")), &plan.object))
		return damaged("it names no object", err);
	r = read_trees(json_object_get(json, "trees"), &plan, err);
	if (r == 0)
		r = read_segments(json_object_get(json, "segments"), &plan, err);
	if (r == 0)
		*ret_plan = plan;
	return r;
}
