/* SPDX-License-Identifier: Apache-2.0 */
/* Patterns as Python's fnmatch has them: fnmatch(3) differs in escapes, in '^' and in
 * classes. */
#include "base/glob.h"

/* The next character, which is its bytes as a number; a stray byte counts as one. */
static uint32_t next_character(const char **at)
{
	uint32_t c = (unsigned char)*(*at)++;
	unsigned int more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc0 ? 1 : 0;

	for (; more > 0 && (**at & 0xc0) == 0x80; more--)
		c = c << 8 | (unsigned char)*(*at)++;
	return c;
}

/* The ']' that ends the set that begins behind @at, or NULL. */
static const char *end_of_set(const char *at)
{
	if (*at == '!')
		at++;
	if (*at == ']')
		at++;
	return strchr(at, ']');
}

static bool set_has(const char *at, const char *end, uint32_t c)
{
	bool negated = *at == '!', found = false;

	at += negated;
	while (at < end) {
		uint32_t low = next_character(&at), high = low;

		if (*at == '-' && at + 1 < end) {
			at++;
			high = next_character(&at);
		}
		found = found || (low <= c && c <= high);
	}
	return found != negated;
}

/* One character of @text against one part of @glob, which is not '*'; both move on. */
static bool match_one(const char **glob, const char **text)
{
	const char *end;
	uint32_t part;

	if (!**glob || !**text)
		return false;
	part = next_character(glob);
	if (part == '?') {
		(void)next_character(text);
		return true;
	}
	end = part == '[' ? end_of_set(*glob) : NULL;
	if (end) {
		bool matches = set_has(*glob, end, next_character(text));

		*glob = end + 1;
		return matches;
	}
	return next_character(text) == part;
}

/* A mismatch gives the last '*' one character more: what earlier ones took stays. */
bool glob_matches(const char *glob, const char *text)
{
	const char *star = NULL, *taken = NULL;

	while (*glob || *text) {
		if (*glob == '*') {
			star = ++glob;
			taken = text;
			continue;
		}
		if (match_one(&glob, &text))
			continue;
		if (!star || !*taken)
			return false;
		(void)next_character(&taken);
		glob = star;
		text = taken;
	}
	return true;
}
