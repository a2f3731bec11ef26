/* SPDX-License-Identifier: Apache-2.0 */
/* Packages into the store of sources, by checksum. */
#pragma once

#include "recipe/apt.h"

/* fetch_open() - SOURCES_DIR/org.osbuild.files, made when missing.  Return: an fd, or a
 * negative errno. */
int fetch_open(const char *sources_dir, struct cop_error *err);

/* fetch_has() - is the package there, with the size it must have? */
bool fetch_has(int directory_fd, const struct lock_package *package);

/* fetch_packages() - all that are missing, from the mirror that gave the lists and then
 * from the others; each is verified and durable before it gets its name */
int fetch_packages(const struct apt *apt, int directory_fd,
		   const struct lock_package *packages, size_t n_packages,
		   struct cop_error *err);

/* fetch_newest_mtime() - the newest modification time inside these packages, which are
 * there */
int fetch_newest_mtime(const struct lock_options *options, int directory_fd,
		       const struct lock_package *packages, size_t n_packages,
		       int64_t *ret_seconds, struct cop_error *err);
