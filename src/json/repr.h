/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON values as Python's repr() shows them: the language of schema messages, and a way
 * to put anybody's text into a message without breaking its line.
 */
#pragma once

#include "json/json.h"

/*
 * json_repr() - a value as repr() of what Python's json.load() makes of it
 * @json:  the value
 * @limit: the most bytes to append
 * @buf:   appended to; as it was on failure
 *
 * ASCII stays, other characters stay when Python calls them printable (by the Unicode
 * tables of PCRE2).  Safe from any thread.
 *
 * Return: 0; -E2BIG beyond @limit; -EINVAL when nested deeper than JSON_DEPTH_MAX;
 *         -ENOMEM.
 */
int json_repr(const json_t *json, size_t limit, struct buf *buf, struct cop_error *err);

/* json_repr_key() - the same for a key of an object */
int json_repr_key(const char *key, size_t limit, struct buf *buf, struct cop_error *err);
