/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptions of old modules, which are constants in their Python text. */
#pragma once

#include <jansson.h>

#include "base/error.h"

/*
 * module_text_meta() - what NAME.meta.json would say, from the module's text
 *
 * The docstring, SCHEMA and SCHEMA_2 (the members of an object, as JSON), CAPABILITIES (a
 * set of strings), each assigned at the left margin; of the oldest, which have STAGE_OPTS
 * instead, everything is accepted.  Nothing is evaluated: a value that is not a plain
 * constant counts as missing.
 *
 * Return: 0 and a new reference; -ENOENT: the text has neither; -EINVAL: a schema is not
 * JSON, with line and column in it; -ENOMEM.
 */
int module_text_meta(const char *text, json_t **ret_meta, struct cop_error *err);
