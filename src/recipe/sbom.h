/* SPDX-License-Identifier: Apache-2.0 */
/* A bill of materials: the packages of a tree as SPDX 2.3, from dpkg's own records. */
#pragma once

#include <jansson.h>

#include "recipe/recipe.h"

/*
 * struct sbom_tree - what a document is made of; texts are borrowed
 * @digest:     of the tree: the document's name and namespace come from it
 * @created:    seconds; no clock is asked
 * @status:     dpkg's database
 * @os_release: may be empty
 * @lock:       where packages have checksums, or NULL
 * @copyright:  appends usr/share/doc/PACKAGE/copyright to @text; -ENOENT: there is none
 */
struct sbom_tree {
	const char *digest;
	int64_t created;
	const char *status;
	const char *os_release;
	const struct lock *lock;
	int (*copyright)(void *data, const char *package, struct buf *text,
			 struct cop_error *err);
	void *data;
};

/*
 * sbom_make() - the document, a new reference; equal for equal trees and locks
 *
 * Only what is installed is in it, by name and architecture.  A license is declared
 * where the copyright file is machine-readable, speaks of one and no other, and SPDX has
 * a name for it; otherwise it is NOASSERTION.
 * Return: 0; -EBADMSG for a database that is none; another negative errno.
 */
int sbom_make(const struct sbom_tree *tree, json_t **ret_json, struct cop_error *err);

/* sbom_license() - SPDX's name for the one license of a copyright file, or NULL; static
 */
const char *sbom_license(const char *copyright);
