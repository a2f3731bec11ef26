/* SPDX-License-Identifier: Apache-2.0 */
/* A string counts as marked only when the whole mark is well-formed; every other string,
 * wherever it comes from, is itself.
 */
#include "json/value.h"

#include <string.h>

#include "base/text.h"

static bool is_integer_text(const char *text, size_t size)
{
	size_t start = size > 0 && text[0] == '-';

	return size > start && strspn(text + start, "0123456789") == size - start;
}

enum json_mark json_mark_of(const json_t *json)
{
	const char *text = json_string_value(json);
	size_t size;

	if (!text || text[0] != '\0')
		return JSON_PLAIN;
	size = json_string_length(json);
	if (size < 2)
		return JSON_PLAIN;
	if (text[1] == 's')
		return JSON_MARK_TEXT;
	/* What comes after the mark may hold further NULs, but then fits neither. */
	if (text[1] == 'i' && is_integer_text(text + 2, size - 2))
		return JSON_MARK_INTEGER;
	if (text[1] == 'f' && strlen(text + 2) == size - 2 &&
	    (strcmp(text + 2, "NaN") == 0 || strcmp(text + 2, "Infinity") == 0 ||
	     strcmp(text + 2, "-Infinity") == 0))
		return JSON_MARK_FLOAT;
	return JSON_PLAIN;
}

bool json_is_text(const json_t *json)
{
	enum json_mark mark = json_mark_of(json);

	return json_is_string(json) && (mark == JSON_PLAIN || mark == JSON_MARK_TEXT);
}

bool json_is_any_integer(const json_t *json)
{
	return json_is_integer(json) || json_mark_of(json) == JSON_MARK_INTEGER;
}

bool json_is_any_number(const json_t *json)
{
	return json_is_any_integer(json) || json_is_real(json) ||
	       json_mark_of(json) == JSON_MARK_FLOAT;
}

struct json_text json_text_of(const json_t *string)
{
	const char *text = json_string_value(string);
	size_t size = json_string_length(string);
	bool escaped = json_mark_of(string) == JSON_MARK_TEXT;

	return (struct json_text){.at = (const uint8_t *)text + (escaped ? 2 : 0),
				  .end = (const uint8_t *)text + size,
				  .escaped = escaped};
}

struct json_text json_text_of_key(const char *key)
{
	return (struct json_text){.at = (const uint8_t *)key,
				  .end = (const uint8_t *)key + strlen(key),
				  .escaped = true};
}

/* Bytes of the sequence at @at and its value, or 0 when it is not UTF-8. */
static size_t decode_utf8(const uint8_t *at, size_t left, uint32_t *ret)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	uint32_t value;
	size_t size;

	if (*at >= 0xc2 && *at <= 0xdf)
		size = 2;
	else if (*at >= 0xe0 && *at <= 0xef)
		size = 3;
	else if (*at >= 0xf0 && *at <= 0xf4)
		size = 4;
	else
		return 0;
	if (left < size)
		return 0;
	value = *at & (0x7fu >> size);
	for (size_t i = 1; i < size; i++) {
		if ((at[i] & 0xc0) != 0x80)
			return 0;
		value = value << 6 | (at[i] & 0x3fu);
	}
	if (value < least[size] || value > 0x10ffff ||
	    (value >= 0xd800 && value < 0xe000))
		return 0;
	*ret = value;
	return size;
}

bool json_text_next(struct json_text *text, uint32_t *ret_code_point)
{
	size_t left = (size_t)(text->end - text->at), size;
	char digits[5] = "";
	uint8_t unit[2];

	if (left == 0)
		return false;
	if (*text->at == JSON_ESCAPE && text->escaped && left >= 5) {
		memcpy(digits, text->at + 1, 4);
		if (hex_decode(digits, unit, sizeof(unit)) == 0) {
			text->at += 5;
			*ret_code_point = (uint32_t)unit[0] << 8 | unit[1];
			return true;
		}
	}
	if (*text->at < 0x80) {
		*ret_code_point = *text->at++;
		return true;
	}
	size = decode_utf8(text->at, left, ret_code_point);
	if (size == 0) {
		*ret_code_point = 0xfffd;
		size = 1;
	}
	text->at += size;
	return true;
}

int json_text_compare(struct json_text a, struct json_text b)
{
	for (;;) {
		uint32_t x = 0, y = 0;
		bool more_a = json_text_next(&a, &x), more_b = json_text_next(&b, &y);

		if (!more_a || !more_b)
			return (int)more_a - (int)more_b;
		if (x != y)
			return x < y ? -1 : 1;
	}
}

int json_key_compare(const char *a, const char *b)
{
	/* The bytes of UTF-8 are in the order of the code points; escapes are not. */
	if (!strchr(a, JSON_ESCAPE) && !strchr(b, JSON_ESCAPE))
		return strcmp(a, b);
	return json_text_compare(json_text_of_key(a), json_text_of_key(b));
}

size_t json_text_length(struct json_text text)
{
	uint32_t code_point;
	size_t n = 0;

	while (json_text_next(&text, &code_point))
		n++;
	return n;
}

void json_utf8(uint32_t c, struct buf *buf)
{
	uint8_t bytes[4];
	size_t n = 0;

	if (c < 0x80) {
		bytes[n++] = (uint8_t)c;
	} else if (c < 0x800) {
		bytes[n++] = (uint8_t)(0xc0 | c >> 6);
		bytes[n++] = (uint8_t)(0x80 | (c & 0x3f));
	} else if (c < 0x10000) {
		bytes[n++] = (uint8_t)(0xe0 | c >> 12);
		bytes[n++] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
		bytes[n++] = (uint8_t)(0x80 | (c & 0x3f));
	} else {
		bytes[n++] = (uint8_t)(0xf0 | c >> 18);
		bytes[n++] = (uint8_t)(0x80 | (c >> 12 & 0x3f));
		bytes[n++] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
		bytes[n++] = (uint8_t)(0x80 | (c & 0x3f));
	}
	buf_append(buf, bytes, n);
}

static bool is_surrogate(uint32_t code_point)
{
	return code_point >= 0xd800 && code_point < 0xe000;
}

bool json_text_utf8(struct json_text text, struct buf *buf)
{
	bool whole = true;
	uint32_t c;

	do {
		const uint8_t *start = text.at;

		/* Most texts are ASCII, and long. */
		while (text.at < text.end && *text.at < 0x80 && *text.at != JSON_ESCAPE)
			text.at++;
		buf_append(buf, start, (size_t)(text.at - start));
		if (!json_text_next(&text, &c))
			break;
		if (is_surrogate(c))
			whole = false;
		json_utf8(is_surrogate(c) ? 0xfffd : c, buf);
	} while (text.at < text.end);
	return whole;
}

static void append_escaped(struct json_text text, struct buf *buf)
{
	uint32_t c;

	while (json_text_next(&text, &c)) {
		if (c <= JSON_ESCAPE || is_surrogate(c))
			buf_printf(buf, "%c%04x", JSON_ESCAPE, c);
		else
			json_utf8(c, buf);
	}
}

json_t *json_key_as_string(const char *key)
{
	struct json_text text = json_text_of_key(key), walk = text;
	bool marked = false;
	auto_buf buf = {};
	uint32_t c;

	if (!strchr(key, JSON_ESCAPE))
		return json_string_nocheck(key);
	for (bool first = true; json_text_next(&walk, &c); first = false)
		marked |= (first && c == 0) || is_surrogate(c);
	if (marked) {
		buf_append(&buf, "\0s", 2);
		append_escaped(text, &buf);
	} else {
		(void)json_text_utf8(text, &buf);
	}
	return buf.failed ? NULL : json_stringn_nocheck(buf_text(&buf), buf.size);
}

void json_string_as_key(const json_t *string, struct buf *buf)
{
	append_escaped(json_text_of(string), buf);
}
