/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys: what osbuild's ids leave out.  A checkpoint is used only when its key is the one
 * that this run would give it: same module code, devices, runner, tools, and the same
 * for everything that it was made from.
 */
#pragma once

#include "engine/manifest.h"

/*
 * struct key_parts - what a stage's key is made of beside the manifest
 * @base:   key of the stage before it, or NULL
 * @build:  key of the build pipeline, or NULL
 * @host:   instead of that: key_of_host()
 * @runner: or NULL
 * @inputs: {pipeline id: its key} for its pipeline inputs; NULL without any
 * @secrets: {name: digest} for a stage that wants some, else NULL
 */
struct key_parts {
	const char *base, *build, *host;
	const struct module *runner;
	json_t *inputs;
	json_t *secrets;
};

/* key_describe() - everything that the key stands for, each by a name, as a new
 * reference; the stage's modules must be known.  It is kept beside the checkpoint, so
 * that a person can be told what differs. */
int key_describe(const struct manifest_stage *stage, const struct key_parts *parts,
		 json_t **ret_json, struct cop_error *err);

/* key_compute() - the hash of that */
int key_compute(const json_t *description, char key[SHA256_HEX + 1],
		struct cop_error *err);

/* key_of_host() - distribution and version, from os-release; freed by the caller */
int key_of_host(char **ret_host, struct cop_error *err);
