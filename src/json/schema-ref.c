/* SPDX-License-Identifier: Apache-2.0 */
/* JSON pointers as they stand behind the # of a $ref. */
#include <string.h>

#include "base/text.h"
#include "json/schema-node.h"

/* One part of a pointer: %XX, then ~1 and ~0. */
static int decode_part(const char *part, size_t size, struct buf *ret)
{
	auto_buf plain = {};
	uint8_t byte;

	for (size_t i = 0; i < size; i++) {
		char digits[3] = "", c = part[i];

		if (c == '%' && size - i > 2) {
			/* hex_decode() wants lower case, which | 0x20 makes of both. */
			digits[0] = (char)(part[i + 1] | 0x20);
			digits[1] = (char)(part[i + 2] | 0x20);
			if (hex_decode(digits, &byte, 1) == 0 && byte != 0) {
				c = (char)byte;
				i += 2;
			}
		}
		buf_append_char(&plain, c);
	}
	for (size_t i = 0; i < plain.size; i++) {
		char c = plain.data[i];

		if (c == '~' && (plain.data[i + 1] == '0' || plain.data[i + 1] == '1'))
			c = plain.data[++i] == '0' ? '~' : '/';
		buf_append_char(ret, c);
	}
	return plain.failed || ret->failed ? -ENOMEM : 0;
}

static const json_t *step_into(const json_t *json, const char *part)
{
	uint64_t index;

	if (json_is_object(json))
		return json_object_get(json, part);
	if (json_is_array(json) && text_to_u64(part, &index) == 0)
		return json_array_get(json, index);
	return NULL;
}

int schema_resolve(const json_t *root, const char *pointer, const json_t **ret)
{
	const json_t *json = root;

	while (json && *pointer == '/') {
		size_t size = strcspn(++pointer, "/");
		auto_buf part = {};

		if (decode_part(pointer, size, &part) < 0)
			return -ENOMEM;
		json = step_into(json, buf_text(&part));
		pointer += size;
	}
	*ret = *pointer ? NULL : json;
	return 0;
}
