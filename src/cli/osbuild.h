/* SPDX-License-Identifier: Apache-2.0 */
/* The command osbuild: what its files share. */
#pragma once

#include "cli/cli.h"
#include "engine/manifest.h"

/* The osbuild whose words and results these are. */
#define OSBUILD_VERSION "191"
#define OSBUILD_LIBDIR	"/usr/lib/osbuild"

/* Where modules of ours stand beside those of the libdirs that were named. */
enum osbuild_native {
	OSBUILD_NATIVE_DEFAULT, /* first; last where a libdir was named */
	OSBUILD_NATIVE_FIRST,
	OSBUILD_NATIVE_LAST,
	OSBUILD_NATIVE_NEVER,
};

/* struct osbuild_arguments - strings are borrowed from argv, lists end with NULL */
struct osbuild_arguments {
	const char *manifest, *store, *output_directory, *monitor, *break_at;
	const char **libdirs, **checkpoints, **exports, **in_vm;
	bool json, inspect, quiet, keep_failed;
	bool has_cache_size;
	uint64_t cache_size; /* UINT64_MAX: no limit; 0: nothing is kept */
	int monitor_fd;
	unsigned int stage_timeout;
	enum osbuild_native native;
};

void osbuild_arguments_done(struct osbuild_arguments *arguments);

/*
 * osbuild_parse() - as Python's argparse reads osbuild's options: anywhere, by any
 * unambiguous beginning, with '=' or as the next word
 *
 * Return: 0; 1 when help or the version was asked for and printed; CLI_USAGE.
 */
int osbuild_parse(int argc, char **argv, struct osbuild_arguments *arguments,
		  struct cop_error *err);

/* struct osbuild_record - what is told of a run, for the result document */
struct osbuild_record {
	json_t *sources;   /* {type: what the source said} */
	json_t *pipelines; /* {id: {"success", "stages": [...]}}; "null" without stages */
	json_t *failed;	   /* the stage that failed last, or NULL */
	bool source_failed;
};

/* osbuild_result() - of both versions; @metadata: of a run that went well, or NULL */
int osbuild_result(const struct manifest *manifest, const struct osbuild_record *record,
		   bool success, const json_t *metadata, json_t **ret_result,
		   struct cop_error *err);

/*
 * A monitor writes to a descriptor as osbuild's does and fills a record, if there is one.
 * osbuild_monitor_new(): @manifest: its path, for messages; NULL: there is no monitor of
 * this name.
 */
struct osbuild_monitor;
struct osbuild_monitor *osbuild_monitor_new(const char *name, int fd,
					    const char *manifest,
					    struct osbuild_record *record);
struct osbuild_monitor *osbuild_monitor_free(struct osbuild_monitor *monitor);
DEFINE_AUTO_PTR(osbuild_monitor)
void osbuild_monitor_fill(struct osbuild_monitor *monitor, struct engine_monitor *ret);
/* osbuild_monitor_log() - a message of the command itself */
void osbuild_monitor_log(struct osbuild_monitor *monitor, const char *text);
/* osbuild_monitor_failed() - the errno of the first write that failed, negative, or 0 */
int osbuild_monitor_failed(const struct osbuild_monitor *monitor);
