/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's store as inputs may ask it: a socket whose path is among the arguments. */
#pragma once

#include <jansson.h>

#include "base/error.h"

/* store_connect() - @arguments are those of the method "map".  Return: the fd or a
 * negative errno. */
int store_connect(const json_t *arguments, struct cop_error *err);

/* store_read_tree_at() - make @subtree of a tree visible at @target, which exists.
 * Return: 1; 0 when there is no such tree; a negative errno. */
int store_read_tree_at(int store_fd, const char *id, const char *target,
		       const char *subtree, struct cop_error *err);

/* store_source() - the directory of a kind of sources; freed by the caller */
int store_source(int store_fd, const char *kind, char **ret_path, struct cop_error *err);
