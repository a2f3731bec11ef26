/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Modules: programs in libdirs, with a NAME.meta.json beside each that says what they
 * accept.  A module is looked up once and then known for the life of the table.
 */
#pragma once

#include "digest/sha256.h"
#include "engine/engine.h"
#include "json/schema.h"

enum module_class {
	MODULE_STAGE,
	MODULE_ASSEMBLER,
	MODULE_SOURCE,
	MODULE_INPUT,
	MODULE_DEVICE,
	MODULE_MOUNT,
	MODULE_RUNNER,
};

/* module_class_name() - "stage"; the directory in a libdir is its plural */
const char *module_class_name(enum module_class class);

/*
 * struct module
 * @name:   "org.osbuild.noop"
 * @path:   of its executable, absolute
 * @libdir: where it was found, absolute
 * @meta:   its description, checked; NULL for most runners
 * @schema: of its part of a manifest, as osbuild assembles it; NULL for runners
 * @key:    "revision N" for modules of ours, "file HEX" (hash of the executable) for
 *          others: changes whenever its output for the same input may
 */
struct module {
	enum module_class class;
	char *name, *path, *libdir;
	json_t *meta;
	struct schema *schema;
	char key[SHA256_HEX + 16];
};

struct modules;

/* modules_new() - an empty table for manifests of version @version (1 or 2), which
 * decides their schemas; @places must outlive it */
int modules_new(const struct engine_places *places, unsigned int version,
		struct modules **ret_modules, struct cop_error *err);
struct modules *modules_free(struct modules *modules);
DEFINE_AUTO_PTR(modules)

/*
 * modules_get() - borrowed from the table
 *
 * Return: 0; -ENOENT naming the directories that were searched; -EINVAL when its
 * description is unusable; another negative errno.
 */
int modules_get(struct modules *modules, enum module_class class, const char *name,
		const struct module **ret_module, struct cop_error *err);

/*
 * modules_find_runner() - the best runner for a name like "org.osbuild.debian12"
 * @name: NULL: the host's, from os-release
 *
 * Of the runners of the same distribution the one with the highest version that is not
 * above the one asked for; the first libdir wins.  Return: 0; -ENOENT; another errno.
 */
int modules_find_runner(struct modules *modules, const char *name,
			const struct module **ret_runner, struct cop_error *err);

/* module_schema() - assembled from class, name and description for manifests of
 * @version; a new reference */
int module_schema(const struct module *module, unsigned int version, json_t **ret_schema,
		  struct cop_error *err);

/* module_is_ours() - it is a program of its own and needs neither a runner nor a library
 * of osbuild's */
bool module_is_ours(const struct module *module);

/* module_capabilities() - names that it needs beside the usual; an array or NULL */
const json_t *module_capabilities(const struct module *module);
