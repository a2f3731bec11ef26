/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a Debian repository's packages may be found: what the manifest names, then what
 * the host's apt is configured with, then the snapshot archive.  Which of them answers
 * does not matter: packages are taken by checksum.
 */
#pragma once

#include <jansson.h>

#include "base/error.h"

/* struct mirrors - addresses to be tried in turn, each with a '/' at the end */
struct mirrors {
	char **uris;
	size_t n;
};

void mirrors_done(struct mirrors *mirrors);

/*
 * mirrors_find()
 * @repository: {"origin", "label"?, "mirrors"?, "date"?, "snapshot"?} of the manifest
 *
 * Return: 0, with none found too; a negative errno.
 */
int mirrors_find(const json_t *repository, struct mirrors *ret_mirrors,
		 struct cop_error *err);
