/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Debian's control files: stanzas of "Field: value" lines with continuation lines that
 * start with a space, separated by empty lines.
 */
#pragma once

#include "base/buf.h"

/* struct stanza - a part of a borrowed text */
struct stanza {
	const char *text;
	size_t size;
};

/* stanza_next() - the next stanza at *@text, which is moved behind it; false at the end
 */
bool stanza_next(const char **text, struct stanza *ret);

/* stanza_get() - the value of a field, whatever its case, continuation lines included
 * but not space at either end.  Return: true and a view, or false without the field. */
bool stanza_get(const struct stanza *stanza, const char *field, struct stanza *ret);

/* stanza_dup() - the value as a heap string, "" without the field; NULL: out of memory */
char *stanza_dup(const struct stanza *stanza, const char *field);

/* stanza_is() - is the value exactly @text? */
bool stanza_is(const struct stanza *stanza, const char *field, const char *text);

/* word_next() - the next word at *@text, which is moved behind it; false at the end */
bool word_next(struct stanza *text, struct stanza *ret);
