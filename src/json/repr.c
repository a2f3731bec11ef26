/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Python's repr().  Which characters are printable is a matter of Unicode categories:
 * PCRE2, which has them, is asked for each character beyond ASCII.
 */
#include "json/repr.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <string.h>

#include "json/value.h"

struct printer {
	struct buf *buf;
	struct cop_error *err;
	size_t limit; /* of the size of buf */
	pcre2_code *unprintable;
	pcre2_match_data *match;
};

static void printer_done(struct printer *printer)
{
	pcre2_match_data_free(printer->match);
	pcre2_code_free(printer->unprintable);
}

static int check_limit(struct printer *printer)
{
	if (printer->buf->failed)
		return err_oom(printer->err);
	if (printer->buf->size > printer->limit)
		return err_set(printer->err, -E2BIG, "show a JSON value: too large");
	return 0;
}

/* Python: categories "Other" and "Separator" are not printable, but for the space. */
static int prepare(struct printer *printer)
{
	static const char pattern[] = "[\\p{C}\\p{Z}]";
	PCRE2_SIZE offset;
	int code;

	if (printer->match)
		return 0;
	printer->unprintable =
		pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
			      PCRE2_UTF | PCRE2_ANCHORED, &code, &offset, NULL);
	printer->match = printer->unprintable ? pcre2_match_data_create(1, NULL) : NULL;
	return printer->match ? 0 : err_oom(printer->err);
}

/* Appended first and taken back when it turns out to be unprintable. */
static int print_beyond_ascii(struct printer *printer, uint32_t c)
{
	struct buf *buf = printer->buf;
	size_t before = buf->size;
	int r = prepare(printer);

	if (r < 0)
		return r;
	if (c < 0xd800 || c >= 0xe000) {
		json_utf8(c, buf);
		if (buf->failed)
			return 0; /* check_limit() tells */
		r = pcre2_match(printer->unprintable, (PCRE2_SPTR)buf->data + before,
				buf->size - before, 0, 0, printer->match, NULL);
		if (r == PCRE2_ERROR_NOMATCH)
			return 0;
		if (r < 0)
			return err_oom(printer->err);
		buf_truncate(buf, before);
	}
	if (c < 0x100)
		buf_printf(buf, "\\x%02x", c);
	else if (c < 0x10000)
		buf_printf(buf, "\\u%04x", c);
	else
		buf_printf(buf, "\\U%08x", c);
	return 0;
}

static void print_ascii(struct printer *printer, uint32_t c, char quote)
{
	static const char from[] = "\n\r\t\\", to[] = "nrt\\";
	const char *found = c ? strchr(from, (int)c) : NULL;

	if (found || c == (uint32_t)quote) {
		buf_append_char(printer->buf, '\\');
		buf_append_char(printer->buf, found ? to[found - from] : quote);
	} else if (c < 0x20 || c == 0x7f) {
		buf_printf(printer->buf, "\\x%02x", c);
	} else {
		buf_append_char(printer->buf, (char)c);
	}
}

/* Most text by far: what stays as it is, at once. */
static void print_ordinary(struct printer *printer, struct json_text *text)
{
	const uint8_t *start = text->at;

	while (text->at < text->end && *text->at >= 0x20 && *text->at < 0x7f &&
	       *text->at != '\\' && *text->at != '\'')
		text->at++;
	buf_append(printer->buf, start, (size_t)(text->at - start));
}

static int print_text(struct printer *printer, struct json_text text)
{
	size_t size = (size_t)(text.end - text.at);
	bool single = memchr(text.at, '\'', size), both = memchr(text.at, '"', size);
	char quote = single && !both ? '"' : '\'';
	uint32_t c;
	int r;

	buf_append_char(printer->buf, quote);
	for (;;) {
		print_ordinary(printer, &text);
		if (!json_text_next(&text, &c))
			break;
		r = c < 0x80 ? 0 : print_beyond_ascii(printer, c);
		if (c < 0x80)
			print_ascii(printer, c, quote);
		if (r == 0)
			r = check_limit(printer);
		if (r < 0)
			return r;
	}
	buf_append_char(printer->buf, quote);
	return check_limit(printer);
}

static int print_string(struct printer *printer, const json_t *json)
{
	const char *text = json_string_value(json);

	switch (json_mark_of(json)) {
	case JSON_MARK_INTEGER:
		buf_append_text(printer->buf, text + 2);
		return check_limit(printer);
	case JSON_MARK_FLOAT:
		if (text[2] == 'N')
			buf_append_text(printer->buf, "nan");
		else
			buf_append_text(printer->buf, text[2] == '-' ? "-inf" : "inf");
		return check_limit(printer);
	case JSON_PLAIN:
	case JSON_MARK_TEXT:
		break;
	}
	return print_text(printer, json_text_of(json));
}

static int print_value(struct printer *printer, const json_t *json, unsigned int depth);

static int print_array(struct printer *printer, const json_t *array, unsigned int depth)
{
	const json_t *item;
	size_t i;
	int r;

	buf_append_char(printer->buf, '[');
	json_array_foreach (array, i, item) {
		if (i > 0)
			buf_append_text(printer->buf, ", ");
		r = print_value(printer, item, depth + 1);
		if (r < 0)
			return r;
	}
	buf_append_char(printer->buf, ']');
	return check_limit(printer);
}

static int print_object(struct printer *printer, const json_t *object, unsigned int depth)
{
	bool first = true;
	const char *key;
	json_t *value;
	int r;

	buf_append_char(printer->buf, '{');
	json_object_foreach ((json_t *)object, key, value) {
		if (!first)
			buf_append_text(printer->buf, ", ");
		first = false;
		r = print_text(printer, json_text_of_key(key));
		if (r < 0)
			return r;
		buf_append_text(printer->buf, ": ");
		r = print_value(printer, value, depth + 1);
		if (r < 0)
			return r;
	}
	buf_append_char(printer->buf, '}');
	return check_limit(printer);
}

static int print_value(struct printer *printer, const json_t *json, unsigned int depth)
{
	char text[JSON_FLOAT_TEXT];

	switch (json_typeof(json)) {
	case JSON_OBJECT:
	case JSON_ARRAY:
		if (depth >= JSON_DEPTH_MAX)
			return err_set(printer->err, -EINVAL,
				       "show a JSON value: nested deeper than %d levels",
				       JSON_DEPTH_MAX);
		return json_is_object(json) ? print_object(printer, json, depth)
					    : print_array(printer, json, depth);
	case JSON_STRING:
		return print_string(printer, json);
	case JSON_INTEGER:
		buf_printf(printer->buf, "%" JSON_INTEGER_FORMAT,
			   json_integer_value(json));
		break;
	case JSON_REAL:
		buf_append_text(printer->buf,
				json_float_text(json_real_value(json), text));
		break;
	case JSON_TRUE:
	case JSON_FALSE:
		buf_append_text(printer->buf, json_is_true(json) ? "True" : "False");
		break;
	case JSON_NULL:
		buf_append_text(printer->buf, "None");
		break;
	}
	return check_limit(printer);
}

static struct printer printer_for(struct buf *buf, size_t limit, struct cop_error *err)
{
	struct printer printer = {.buf = buf, .err = err};

	if (__builtin_add_overflow(buf->size, limit, &printer.limit))
		printer.limit = SIZE_MAX;
	return printer;
}

int json_repr(const json_t *json, size_t limit, struct buf *buf, struct cop_error *err)
{
	struct printer printer = printer_for(buf, limit, err);
	size_t before = buf->size;
	int r = print_value(&printer, json, 0);

	printer_done(&printer);
	if (r < 0)
		buf_truncate(buf, before);
	return r;
}

int json_repr_key(const char *key, size_t limit, struct buf *buf, struct cop_error *err)
{
	struct printer printer = printer_for(buf, limit, err);
	size_t before = buf->size;
	int r = print_text(&printer, json_text_of_key(key));

	printer_done(&printer);
	if (r < 0)
		buf_truncate(buf, before);
	return r;
}
