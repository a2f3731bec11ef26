/* SPDX-License-Identifier: Apache-2.0 */
#include "modules/stages/accounts-text.h"

#include <string.h>

#include "base/text.h"

const char *account_field(const char *line, unsigned int index, size_t *ret_size)
{
	for (; index > 0; index--) {
		line += strcspn(line, ":");
		if (!*line)
			break;
		line++;
	}
	*ret_size = strcspn(line, ":");
	return line;
}

unsigned int account_n_fields(const char *line)
{
	unsigned int n = 1;

	for (; *line; line++)
		n += *line == ':';
	return n;
}

int account_number(const char *line, unsigned int index, uint64_t *ret)
{
	char digits[24];
	size_t size;
	const char *at = account_field(line, index, &size);

	if (size >= sizeof(digits))
		return -ERANGE;
	memcpy(digits, at, size);
	digits[size] = '\0';
	return text_to_u64(digits, ret);
}

bool account_is_member(const char *members, const char *name)
{
	size_t wanted = strlen(name);

	while (*members) {
		size_t size = strcspn(members, ",");

		if (size == wanted && memcmp(members, name, size) == 0)
			return true;
		members += size;
		members += *members == ',';
	}
	return false;
}

void account_remove_member(const char *members, const char *name, struct buf *list)
{
	size_t unwanted = strlen(name);

	while (*members) {
		size_t size = strcspn(members, ",");

		if (size != unwanted || memcmp(members, name, size) != 0) {
			if (list->size > 0)
				(void)buf_append_char(list, ',');
			(void)buf_append(list, members, size);
		}
		members += size;
		members += *members == ',';
	}
}

const char *account_setting(const char *text, const char *key, const char *separators,
			    struct arena *arena)
{
	size_t key_size = strlen(key), size = 0;
	const char *found = NULL;

	while (*text) {
		size_t line = strcspn(text, "\n");
		const char *at = text + strspn(text, " \t");

		if (strncmp(at, key, key_size) == 0 && at[key_size] &&
		    strchr(separators, at[key_size])) {
			found = at + key_size;
			found += strspn(found, separators);
			found += strspn(found, " \t\"");
			size = strcspn(found, "\" \t\n");
		}
		text += line;
		text += *text == '\n';
	}
	return found ? arena_memdup(arena, found, size) : NULL;
}
