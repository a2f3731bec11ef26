/* SPDX-License-Identifier: Apache-2.0 */
/* The answer to a ListObjectsV2. */
#pragma once

#include "base/error.h"

struct listing_entry {
	const char *key, *modified; /* the time as it stands there */
	uint64_t size;
};

/*
 * listing_parse() - trusts nothing
 * @visit: a negative return ends it and is returned
 * @token: in: the last one or NULL; out: that of the next page, NULL at the end
 */
int listing_parse(const char *text, size_t size,
		  int (*visit)(void *data, const struct listing_entry *entry), void *data,
		  char **token, struct cop_error *err);
