/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON text as Python's json.dumps() makes it, to the byte: ids are hashes of it.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "json/value.h"

struct writer {
	struct buf *buf;
	struct cop_error *err;
	unsigned int indent; /* 0: all on one line */
	bool sorted;
	bool equal;	     /* numbers of equal value as equal text */
	bool equals_nothing; /* NaN was met */
};

struct member {
	const char *key;
	const json_t *value;
};

static void write_unit(struct writer *writer, uint32_t unit)
{
	buf_printf(writer->buf, "\\u%04x", unit);
}

static void write_character(struct writer *writer, uint32_t c)
{
	static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
	const char *found = c && c < 0x80 ? strchr(from, (int)c) : NULL;

	if (found) {
		buf_append_char(writer->buf, '\\');
		buf_append_char(writer->buf, to[found - from]);
	} else if (c >= 0x20 && c < 0x7f) {
		buf_append_char(writer->buf, (char)c);
	} else if (c < 0x10000) {
		write_unit(writer, c);
	} else {
		write_unit(writer, 0xd800 + ((c - 0x10000) >> 10));
		write_unit(writer, 0xdc00 + ((c - 0x10000) & 0x3ff));
	}
}

static bool is_ordinary(uint8_t byte)
{
	return byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\';
}

static void write_text(struct writer *writer, struct json_text text)
{
	uint32_t c;

	buf_append_char(writer->buf, '"');
	do {
		const uint8_t *start = text.at;

		while (text.at < text.end && is_ordinary(*text.at))
			text.at++;
		buf_append(writer->buf, start, (size_t)(text.at - start));
		if (json_text_next(&text, &c))
			write_character(writer, c);
	} while (text.at < text.end);
	buf_append_char(writer->buf, '"');
}

static void write_float(struct writer *writer, double value)
{
	char text[JSON_FLOAT_TEXT];

	if (writer->equal && trunc(value) == value)
		buf_printf(writer->buf, "%.0f", value == 0 ? 0.0 : value);
	else
		buf_append_text(writer->buf, json_float_text(value, text));
}

static void write_string(struct writer *writer, const json_t *json)
{
	enum json_mark mark = json_mark_of(json);
	const char *text = json_string_value(json);

	if (mark == JSON_PLAIN || mark == JSON_MARK_TEXT) {
		write_text(writer, json_text_of(json));
		return;
	}
	writer->equals_nothing |= mark == JSON_MARK_FLOAT && text[2] == 'N';
	buf_append_text(writer->buf, text + 2);
}

static void write_break(struct writer *writer, unsigned int depth)
{
	if (!writer->indent)
		return;
	buf_append_char(writer->buf, '\n');
	for (uint64_t i = (uint64_t)depth * writer->indent; i > 0; i--)
		buf_append_char(writer->buf, ' ');
}

static void write_separator(struct writer *writer, bool first, unsigned int depth)
{
	if (!first)
		buf_append_text(writer->buf, writer->indent ? "," : ", ");
	write_break(writer, depth);
}

static int write_value(struct writer *writer, const json_t *json, unsigned int depth);

static int write_array(struct writer *writer, const json_t *array, unsigned int depth)
{
	const json_t *item;
	size_t i;
	int r;

	buf_append_char(writer->buf, '[');
	json_array_foreach (array, i, item) {
		write_separator(writer, i == 0, depth + 1);
		r = write_value(writer, item, depth + 1);
		if (r < 0)
			return r;
	}
	if (i > 0)
		write_break(writer, depth);
	buf_append_char(writer->buf, ']');
	return 0;
}

static int compare_members(const void *a, const void *b)
{
	const struct member *x = a, *y = b;

	return json_key_compare(x->key, y->key);
}

static int write_members(struct writer *writer, const struct member *members, size_t n,
			 unsigned int depth)
{
	int r;

	for (size_t i = 0; i < n; i++) {
		write_separator(writer, i == 0, depth + 1);
		write_text(writer, json_text_of_key(members[i].key));
		buf_append_text(writer->buf, ": ");
		r = write_value(writer, members[i].value, depth + 1);
		if (r < 0)
			return r;
	}
	return 0;
}

static int write_object(struct writer *writer, const json_t *object, unsigned int depth)
{
	size_t n = json_object_size(object), i = 0;
	auto_free struct member *members = calloc(n ? n : 1, sizeof(*members));
	json_t *value;
	const char *key;
	int r;

	if (!members)
		return err_oom(writer->err);
	json_object_foreach ((json_t *)object, key, value)
		members[i++] = (struct member){.key = key, .value = value};
	if (writer->sorted)
		qsort(members, n, sizeof(*members), compare_members);
	buf_append_char(writer->buf, '{');
	r = write_members(writer, members, n, depth);
	if (r < 0)
		return r;
	if (n > 0)
		write_break(writer, depth);
	buf_append_char(writer->buf, '}');
	return 0;
}

static int write_value(struct writer *writer, const json_t *json, unsigned int depth)
{
	switch (json_typeof(json)) {
	case JSON_OBJECT:
	case JSON_ARRAY:
		if (depth >= JSON_DEPTH_MAX)
			return err_set(writer->err, -EINVAL,
				       "write JSON: nested deeper than %d levels",
				       JSON_DEPTH_MAX);
		return json_is_object(json) ? write_object(writer, json, depth)
					    : write_array(writer, json, depth);
	case JSON_STRING:
		write_string(writer, json);
		return 0;
	case JSON_INTEGER:
		buf_printf(writer->buf, "%" JSON_INTEGER_FORMAT,
			   json_integer_value(json));
		return 0;
	case JSON_REAL:
		write_float(writer, json_real_value(json));
		return 0;
	case JSON_TRUE:
	case JSON_FALSE:
		buf_append_text(writer->buf, json_is_true(json) ? "true" : "false");
		return 0;
	case JSON_NULL:
		break;
	}
	buf_append_text(writer->buf, "null");
	return 0;
}

static int write_all(struct writer *writer, const json_t *json)
{
	size_t before = writer->buf->size;
	int r = write_value(writer, json, 0);

	if (r == 0 && writer->buf->failed)
		r = err_oom(writer->err);
	if (r < 0)
		buf_truncate(writer->buf, before);
	return r;
}

int json_canonical(const json_t *json, struct buf *buf, struct cop_error *err)
{
	struct writer writer = {.buf = buf, .err = err, .sorted = true};

	return write_all(&writer, json);
}

int json_write(const json_t *json, unsigned int indent, struct buf *buf,
	       struct cop_error *err)
{
	struct writer writer = {.buf = buf, .err = err, .indent = indent};

	return write_all(&writer, json);
}

int json_equal_text(const json_t *json, struct buf *buf, struct cop_error *err)
{
	struct writer writer = {.buf = buf, .err = err, .sorted = true, .equal = true};
	int r = write_all(&writer, json);

	if (r < 0)
		return r;
	return writer.equals_nothing ? JSON_EQUALS_NOTHING : 0;
}
