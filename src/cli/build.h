/* SPDX-License-Identifier: Apache-2.0 */
/* What verbs share that read a manifest: build, inspect, explain. */
#pragma once

#include "cli/cli.h"
#include "engine/engine.h"

struct build_places {
	char *standard;
	const char *libdirs[32];
	struct engine_places places;
};

/* build_find_places() - the directories that --libdir named, then our own */
int build_find_places(struct build_places *places, const char *const *extra,
		      struct cop_error *err);
void build_places_done(struct build_places *places);

/* build_load_manifest() - of a manifest, or of a recipe, which @may_solve locks when it
 * must; @host_tools: see recipe_manifest() */
int build_load_manifest(struct cli *cli, const char *path, bool may_solve,
			bool host_tools, const struct engine_places *places,
			struct manifest **ret_manifest, struct cop_error *err);
