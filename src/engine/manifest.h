/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A loaded manifest: every name resolved, every id computed.  Strings and JSON values are
 * borrowed from the document that the manifest owns, where they do not say otherwise.
 */
#pragma once

#include "digest/sha256.h"
#include "engine/engine.h"
#include "engine/module.h"

#define MANIFEST_PIPELINES_MAX 1000
#define MANIFEST_SOURCES_MAX   100

struct manifest_input {
	const char *name, *type, *origin;
	/* {source item or pipeline id: options}; an empty pipeline is "null"; owned */
	json_t *references;
	json_t *makers;	 /* {pipeline id: index of the pipeline that was named}; owned, or
			    NULL */
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
	const struct module *module; /* NULL without places */
};

struct manifest_mount {
	const char *name, *type, *target; /* target may be NULL */
	const struct manifest_device *source;
	json_t *partition; /* or NULL */
	json_t *options;
	char id[SHA256_HEX + 1];
	const struct module *module; /* NULL without places */
};

/* A stage, or the assembler of version 1: the only one of its pipeline "assembler", with
 * the finished tree as its input "tree". */
struct manifest_stage {
	enum module_class class; /* MODULE_STAGE or MODULE_ASSEMBLER */
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

/*
 * struct manifest_runner - what prepares the surroundings of a module that is not ours
 * @name:   as osbuild shows it: as written, for the host the program's; NULL: the host's
 *          and not known
 * @module: NULL: none was found for the host, or there are no places
 */
struct manifest_runner {
	const char *name;
	const struct module *module;
};

/*
 * struct manifest_pipeline
 * @build:        id of the tree that its stages run in; NULL: the host
 * @build_is_empty: it was written as "", which is the host with ids of its own
 * @runner:       for its stages
 * @carried_name: of the runner that the manifest wants *inside* this tree, or NULL
 * @carried:      that runner, or the host's
 */
struct manifest_pipeline {
	const char *name;
	const char *build;
	bool build_is_empty;
	struct manifest_runner runner, carried;
	const char *carried_name;
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

/*
 * struct manifest - of either version, in the shape of version 2
 * @version: 1 or 2; version 1 has the pipelines [build-]build, ..., tree, assembler
 */
struct manifest {
	unsigned int version;
	json_t *root;
	json_t *metadata; /* or NULL */
	json_t *made;	  /* an array of what was made up for it, or NULL */
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
 * manifest_validate() - the document against the format's schema and, where modules are
 * known, each module's part against the module's
 *
 * Return: 0; MANIFEST_INVALID with @errors sorted; -EINVAL for a shape that osbuild's
 * validation cannot walk over; another negative errno.
 */
int manifest_validate(const struct manifest *manifest, struct schema_errors *errors,
		      struct cop_error *err);

/* manifest_read_stages() - a pipeline's stages, in load-stage.c; @manifest holds what
 * came before.  What was read is freed with the manifest. */
int manifest_read_stages(struct manifest *manifest, struct manifest_pipeline *pipeline,
			 const json_t *stages, struct cop_error *err);

/* manifest_read_stage_1() - one stage of version 1, in load-v1.c */
int manifest_read_stage_1(struct manifest *manifest, struct manifest_stage *stage,
			  const json_t *json, struct cop_error *err);

/* Sources and pipelines, in load-v1.c and load-v2.c. */
int manifest_read_version_1(struct manifest *manifest, struct cop_error *err);
int manifest_read_version_2(struct manifest *manifest, struct cop_error *err);

/* manifest_find_runner() - @name NULL or "": the host's, of which there may be none.
 * -EINVAL for a name that no libdir can serve. */
int manifest_find_runner(struct manifest *manifest, const char *name,
			 struct manifest_runner *runner, struct cop_error *err);

/* The ids, in ids.c; the thing's other fields must be complete. */
int input_compute_id(struct manifest_input *input, struct cop_error *err);
int device_compute_id(struct manifest_device *device, struct cop_error *err);
int mount_compute_id(struct manifest_mount *mount, struct cop_error *err);
/* @base: id of the stage before it in its pipeline, or NULL */
int stage_compute_id(struct manifest_stage *stage, const char *base,
		     struct cop_error *err);
