/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checkpoints by id and by key.  The id is the ref of the last that was made; one with
 * another key that had it before goes on by its key.
 */
#include <string.h>

#include "engine/run.h"
#include "store/object.h"

/* Its meta speaks of the same digest, or counts as missing. */
static int look_at(struct run *run, const char *name, const char *key,
		   struct cop_digest *ret_digest, json_t **ret_meta,
		   struct cop_error *err)
{
	auto_json *meta = NULL;
	const char *its_key;
	int r = ref_get(run->store, REF_STAGE, name, ret_digest, err);

	if (r == 0)
		r = ref_meta(run->store, REF_STAGE, name, &meta, err);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	its_key = json_string_value(json_object_get(meta, "key"));
	if (!its_key || strcmp(its_key, key) != 0)
		return 0;
	*ret_meta = TAKE_PTR(meta);
	return 1;
}

int run_look(struct run *run, const struct manifest_stage *stage, const char *key,
	     struct cop_digest *ret_digest, json_t **ret_meta, struct cop_error *err)
{
	char hex[COP_DIGEST_HEX + 1];
	auto_json *meta = NULL;
	int r = look_at(run, stage->id, key, ret_digest, &meta, err);

	if (r == 0)
		r = look_at(run, key, key, ret_digest, &meta, err);
	if (r > 0)
		r = cop_store_contains(run->store, cop_digest_to_hex(ret_digest, hex),
				       err);
	if (r > 0)
		*ret_meta = TAKE_PTR(meta);
	return r;
}

int run_hit(struct run *run, const struct manifest_stage *stage, const char *key,
	    struct cop_digest *ret_digest, json_t **ret_metadata, struct cop_error *err)
{
	char hex[COP_DIGEST_HEX + 1];
	struct cop_digest digest;
	auto_json *meta = NULL;
	int r = run_look(run, stage, key, &digest, &meta, err);

	if (r <= 0)
		return r;
	/* From here on no collection takes it. */
	r = object_get(run->store, run->workdir, cop_digest_to_hex(&digest, hex), &digest,
		       err);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	ref_touch(run->store, REF_STAGE, stage->id);
	ref_touch(run->store, REF_STAGE, key);
	*ret_digest = digest;
	json_decref(*ret_metadata);
	*ret_metadata = json_incref(json_object_get(meta, "metadata"));
	return 1;
}

int run_keep_other(const struct run *run, const struct manifest_stage *stage,
		   const char *key, struct cop_error *err)
{
	struct cop_digest digest;
	auto_json *meta = NULL;
	const char *its_key;
	int r = ref_get(run->store, REF_STAGE, stage->id, &digest, err);

	if (r == 0)
		r = ref_meta(run->store, REF_STAGE, stage->id, &meta, err);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	its_key = json_string_value(json_object_get(meta, "key"));
	if (!its_key || strcmp(its_key, key) == 0 ||
	    !ref_name_is_valid(REF_STAGE, its_key))
		return 0;
	r = ref_set(run->store, REF_STAGE, its_key, &digest, meta, err);
	return r == -ENOENT ? 0 : r;
}
