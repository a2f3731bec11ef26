/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of fields between colons, lists between commas, settings by key. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"

/* account_field() - where field @index (0: the first) begins; "" at the end of the line
 * when it is not there */
const char *account_field(const char *line, unsigned int index, size_t *ret_size);
unsigned int account_n_fields(const char *line);

/* account_number() - a field as a number; 0, -EINVAL or -ERANGE */
int account_number(const char *line, unsigned int index, uint64_t *ret);

bool account_is_member(const char *members, const char *name);

/* account_remove_member() - @members without @name, appended to @list */
void account_remove_member(const char *members, const char *name, struct buf *list);

/*
 * account_setting() - the value of the last line that sets @key, without quotes
 * @separators: between key and value
 *
 * Return: a copy in @arena, or NULL.
 */
const char *account_setting(const char *text, const char *key, const char *separators,
			    struct arena *arena);
