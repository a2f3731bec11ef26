/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A loaded manifest: every name resolved, every id computed.  Strings and JSON values are
 * borrowed from the document that the manifest owns, where they do not say otherwise.
 */
#pragma once

#include "digest/sha256.h"
#include "engine/engine.h"
#include "engine/module.h"

struct manifest_input {
	const char *name, *type, *origin;
	/* {source item or pipeline id: options}; an empty pipeline is "null"; owned */
	json_t *references;
	json_t *options; /* an object or NULL */
	json_t *json;	 /* as written */
	char id[SHA256_HEX + 1];
	const struct module *module; /* NULL without places */
};

struct manifest_device {
	const char *name, *type;
	const struct manifest_device *parent;
	json_t *options;
	char id[SHA256_HEX + 1];
};

struct manifest_mount {
	const char *name, *type, *target; /* target may be NULL */
	const struct manifest_device *source;
	json_t *partition;
	json_t *options;
	char id[SHA256_HEX + 1];
};

struct manifest_stage {
	const char *type;
	unsigned int number; /* 1-based in its pipeline */
	const struct manifest_pipeline *pipeline;
	json_t *options;
	struct manifest_input *inputs;
	size_t n_inputs;
	struct manifest_device *devices; /* parents first */
	size_t n_devices;
	struct manifest_mount *mounts;
	size_t n_mounts;
	char id[SHA256_HEX + 1];
	const struct module *module; /* NULL without places */
};

struct manifest_pipeline {
	const char *name;
	const char *build;  /* an id, or NULL */
	const char *runner; /* to be used inside this tree, or NULL */
	bool has_epoch;
	int64_t epoch;
	struct manifest_stage *stages;
	size_t n_stages;
};

struct manifest_source {
	const char *type;
	json_t *items;	 /* an object or NULL */
	json_t *options; /* an object or NULL */
	const struct module *module;
};

struct manifest {
	json_t *root;
	json_t *metadata; /* or NULL */
	struct manifest_source *sources;
	size_t n_sources;
	struct manifest_pipeline *pipelines;
	size_t n_pipelines;
	struct modules *modules;
	char digest[SHA256_HEX + 1]; /* of the document's canonical text */
};

/* manifest_pipeline_last() - its last stage's id, or NULL without stages */
const char *manifest_pipeline_last(const struct manifest_pipeline *pipeline);

/* manifest_find_name() / manifest_find_id() - the first pipeline of that name or id, or
 * NULL */
struct manifest_pipeline *manifest_find_name(const struct manifest *manifest,
					     const char *name);
struct manifest_pipeline *manifest_find_id(const struct manifest *manifest,
					   const char *id);

/*
 * manifest_validate() - the document against the format's schema and, with @modules, each
 * module's part against the module's
 *
 * Return: 0; -EINVAL with one line for the first problem and the number of the others;
 * another negative errno.
 */
int manifest_validate(const json_t *root, struct modules *modules, struct cop_error *err);

/* manifest_read_stage() - one stage's parts, in load-stage.c; @manifest holds what came
 * before.  What was read is freed with the manifest. */
int manifest_read_stage(struct manifest *manifest, struct manifest_stage *stage,
			json_t *json, struct cop_error *err);

/* The ids, in ids.c; the thing's other fields must be complete. */
int input_compute_id(struct manifest_input *input, struct cop_error *err);
int device_compute_id(struct manifest_device *device, struct cop_error *err);
int mount_compute_id(struct manifest_mount *mount, struct cop_error *err);
/* @base: id of the stage before it in its pipeline, or NULL */
int stage_compute_id(struct manifest_stage *stage, const char *base,
		     struct cop_error *err);
