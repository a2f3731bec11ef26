/* SPDX-License-Identifier: Apache-2.0 */
#include "modules/stages/control.h"

#include <string.h>

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* ASCII only: strncasecmp would ask the locale. */
static bool same_letters(const char *a, const char *b, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		char x = a[i], y = b[i];

		x = x >= 'A' && x <= 'Z' ? (char)(x + 32) : x;
		y = y >= 'A' && y <= 'Z' ? (char)(y + 32) : y;
		if (x != y)
			return false;
	}
	return true;
}

bool stanza_next(const char **text, struct stanza *ret)
{
	const char *at = *text, *end;

	while (*at == '\n')
		at++;
	if (!*at)
		return false;
	end = strstr(at, "\n\n");
	end = end ? end + 1 : at + strlen(at);
	*ret = (struct stanza){at, (size_t)(end - at)};
	*text = end;
	return true;
}

static struct stanza trim(const char *start, const char *end)
{
	while (start < end && is_space(*start))
		start++;
	while (end > start && is_space(end[-1]))
		end--;
	return (struct stanza){start, (size_t)(end - start)};
}

/* Behind the line at @at and the lines that continue it. */
static const char *behind_field(const char *at, const char *end)
{
	do {
		const char *newline = memchr(at, '\n', (size_t)(end - at));

		at = newline ? newline + 1 : end;
	} while (at < end && (*at == ' ' || *at == '\t'));
	return at;
}

bool stanza_get(const struct stanza *stanza, const char *field, struct stanza *ret)
{
	const char *at = stanza->text, *end = at + stanza->size;
	size_t size = strlen(field);

	while (at < end) {
		const char *next = behind_field(at, end);

		if ((size_t)(next - at) > size && at[size] == ':' &&
		    same_letters(at, field, size)) {
			*ret = trim(at + size + 1, next);
			return true;
		}
		at = next;
	}
	return false;
}

char *stanza_dup(const struct stanza *stanza, const char *field)
{
	struct stanza value = {"", 0};

	(void)stanza_get(stanza, field, &value);
	return strndup(value.text, value.size);
}

bool stanza_is(const struct stanza *stanza, const char *field, const char *text)
{
	struct stanza value = {"", 0};

	(void)stanza_get(stanza, field, &value);
	return value.size == strlen(text) && memcmp(value.text, text, value.size) == 0;
}

bool word_next(struct stanza *text, struct stanza *ret)
{
	const char *at = text->text, *end = at + text->size;

	while (at < end && is_space(*at))
		at++;
	ret->text = at;
	while (at < end && !is_space(*at))
		at++;
	ret->size = (size_t)(at - ret->text);
	*text = (struct stanza){at, (size_t)(end - at)};
	return ret->size > 0;
}
