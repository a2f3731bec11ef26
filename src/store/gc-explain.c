/* SPDX-License-Identifier: Apache-2.0 */
/* What a collection decided, and why. */
#include "store/gc-private.h"

static void say(const struct gc *gc, const struct gc_word *word)
{
	gc->request->explain(gc->request->data, word);
}

static const char *why_kept(const struct gc *gc, const struct candidate *candidate)
{
	static const char *const reasons[] = {
		[GC_NAME] = "a name",
		[GC_STAGE] = "a checkpoint: goes only for a cap",
		[GC_FAILED] = "a failed stage: goes only for a cap",
		[GC_SOURCE] = "a download: goes only for a cap",
	};

	if (candidate->why)
		return candidate->why;
	if (gc->request->max_size || gc->request->min_free)
		return "fits below the cap";
	return reasons[candidate->kind];
}

static void explain_objects(const struct gc *gc)
{
	const struct snapshot *objects = &gc->objects;
	char hex[COP_DIGEST_HEX + 1], why[300];

	for (size_t i = 0; i < gc->needs.n_objects; i++) {
		const struct need *need = &gc->needs.objects[i];

		(void)snprintf(why, sizeof(why), "in use by %s", need->by);
		say(gc, &(struct gc_word){.kind = GC_OBJECT,
					  .name = cop_digest_to_hex(&need->digest, hex),
					  .why = why,
					  .n = 1});
	}
	for (size_t i = 0; i < objects->n; i++) {
		bool mounted = objects->is_live[i] == SNAPSHOT_MOUNTED;

		if (objects->is_live[i] && !mounted)
			continue;
		say(gc,
		    &(struct gc_word){
			    .kind = GC_OBJECT,
			    .name = cop_digest_to_hex(&objects->digests[i], hex),
			    .goes = !mounted,
			    .why = mounted ? "it is mounted or open" : "nothing needs it",
			    .n = 1,
			    .n_bytes = objects->bytes[i]});
	}
}

static void explain_files(const struct gc *gc)
{
	struct gc_word gone = {.kind = GC_FILE,
			       .name = "",
			       .goes = !gc->cannot_read,
			       .why = gc->cannot_read ? "nobody can tell what needs them"
						      : "no tree needs them"};

	for (size_t i = 0; i < gc->files.n; i++)
		if (!gc->files.is_live[i]) {
			gone.n++;
			gone.n_bytes += gc->files.bytes[i];
		}
	if (gone.n > 0)
		say(gc, &gone);
}

void gc_explain(const struct gc *gc)
{
	if (!gc->request->explain)
		return;
	for (size_t i = 0; i < gc->n_candidates; i++) {
		const struct candidate *candidate = &gc->candidates[i];

		say(gc,
		    &(struct gc_word){.kind = candidate->kind,
				      .name = candidate->name,
				      .goes = candidate->goes,
				      .why = candidate->goes ? candidate->why
							     : why_kept(gc, candidate),
				      .n = 1,
				      .n_bytes = candidate->n_bytes});
	}
	explain_objects(gc);
	explain_files(gc);
}
