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
 * @build:  key of the build pipeline, or key_of_host()
 * @runner: or NULL
 * @inputs: {pipeline id: its key} for its pipeline inputs; NULL without any
 */
struct key_parts {
	const char *base, *build;
	const struct module *runner;
	json_t *inputs;
};

/* key_compute() - the stage's modules must be known */
int key_compute(const struct manifest_stage *stage, const struct key_parts *parts,
		char key[SHA256_HEX + 1], struct cop_error *err);

/* key_of_host() - distribution and version, from os-release */
int key_of_host(char key[SHA256_HEX + 1], struct cop_error *err);
