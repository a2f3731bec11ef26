/* SPDX-License-Identifier: Apache-2.0 */
/* What a store takes on disk: real blocks, each inode once, directories too, as du(1). */
#pragma once

#include <coppice/store.h>

enum usage_part {
	USAGE_OBJECTS,
	USAGE_FILES,
	USAGE_SOURCES,
	USAGE_VIEWS,   /* that people mounted */
	USAGE_META,    /* refs and what is known of them, logs */
	USAGE_DAMAGED, /* put aside by a repair */
	USAGE_TMP,
	USAGE_OTHER, /* the store's own directory and what stands in it */
	USAGE_PARTS,
};

struct usage {
	uint64_t n_files; /* without directories */
	uint64_t n_bytes;
};

/* store_usage() - what other processes take away meanwhile may or may not be counted */
int store_usage(struct cop_store *store, struct usage usage[USAGE_PARTS],
		struct cop_error *err);
