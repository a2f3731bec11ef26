/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading: jansson parses, after a first pass has put marked strings (see json/value.h)
 * in the place of the few tokens that Python takes and jansson does not.
 *
 * The first pass knows tokens, not grammar.  It puts a string only where a value stood or
 * where jansson refuses the document anyway, so it never makes a wrong document right.
 * Most documents have no such token and reach jansson as they are.
 */
#include <math.h>
#include <string.h>

#include "json/value.h"

/* One replaced piece: where it ends in the original text and in ours. */
struct edit {
	size_t start;
	size_t end;
	size_t our_end;
};

struct reader {
	const char *text;
	size_t size;
	size_t at;
	size_t copied;	  /* what of text is in ours already */
	struct buf ours;  /* only once something was replaced */
	struct buf edits; /* struct edit */
	bool key_next;
	unsigned int depth;
	bool is_object[JSON_DEPTH_MAX];
	struct cop_error *err;
};

static void reader_done(struct reader *reader)
{
	buf_done(&reader->ours);
	buf_done(&reader->edits);
}

/* Fail at the character before @offset of the original text. */
static int fail_at(const struct reader *reader, size_t offset, const char *reason)
{
	size_t line = 1, column = 1;

	if (offset > reader->size)
		offset = reader->size;
	for (size_t i = 0; i + 1 < offset; i++) {
		if (reader->text[i] == '\n') {
			line++;
			column = 1;
		} else if ((reader->text[i + 1] & 0xc0) != 0x80) {
			column++;
		}
	}
	return err_set(reader->err, -EBADMSG, "line %zu column %zu: %s", line, column,
		       reason);
}

/* Put @text in the place of the original bytes from @start to @end. */
static void replace(struct reader *reader, size_t start, size_t end, const char *text)
{
	struct edit edit = {.start = start, .end = end};

	buf_append(&reader->ours, reader->text + reader->copied, start - reader->copied);
	buf_append_text(&reader->ours, text);
	reader->copied = end;
	edit.our_end = reader->ours.size;
	buf_append(&reader->edits, &edit, sizeof(edit));
}

/* Where in the original text a byte of ours comes from. */
static size_t original_offset(const struct reader *reader, size_t offset)
{
	size_t n = reader->edits.size / sizeof(struct edit), low = 0, high = n;
	struct edit edit = {};

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		memcpy(&edit, reader->edits.data + middle * sizeof(edit), sizeof(edit));
		if (edit.our_end <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0 && n == 0)
		return offset;
	edit = (struct edit){};
	if (low > 0)
		memcpy(&edit, reader->edits.data + (low - 1) * sizeof(edit),
		       sizeof(edit));
	offset = edit.end + (offset - edit.our_end);
	if (low < n) {
		memcpy(&edit, reader->edits.data + low * sizeof(edit), sizeof(edit));
		if (offset > edit.start)
			offset = edit.start + 1;
	}
	return offset;
}

static char peek(const struct reader *reader, size_t at)
{
	return at < reader->size ? reader->text[at] : '\0';
}

static bool starts_with(const struct reader *reader, const char *word)
{
	size_t size = strlen(word);

	return reader->size - reader->at >= size &&
	       memcmp(reader->text + reader->at, word, size) == 0;
}

/* The code unit of "\uXXXX" at @at, or a negative number when there is none. */
static int unit_at(const struct reader *reader, size_t at)
{
	int unit = 0;

	if (peek(reader, at) != '\\' || peek(reader, at + 1) != 'u')
		return -1;
	for (size_t i = at + 2; i < at + 6; i++) {
		char c = peek(reader, i);

		if (c >= '0' && c <= '9')
			unit = unit * 16 + (c - '0');
		else if (c >= 'a' && c <= 'f')
			unit = unit * 16 + (c - 'a' + 10);
		else if (c >= 'A' && c <= 'F')
			unit = unit * 16 + (c - 'A' + 10);
		else
			return -1;
	}
	return unit;
}

static bool is_surrogate(int unit, int half)
{
	return (unit & 0xfc00) == half;
}

struct escape {
	size_t size; /* of the text of the escape */
	bool lone;   /* a surrogate without its other half */
	int unit;    /* its first code unit; negative: not a \u */
};

static struct escape escape_at(const struct reader *reader, size_t at)
{
	struct escape escape = {.size = 2, .unit = unit_at(reader, at)};

	if (escape.unit < 0)
		return escape;
	escape.size = 6;
	if (is_surrogate(escape.unit, 0xd800)) {
		int low = unit_at(reader, at + 6);

		if (low >= 0 && is_surrogate(low, 0xdc00))
			escape.size = 12;
		else
			escape.lone = true;
	} else if (is_surrogate(escape.unit, 0xdc00)) {
		escape.lone = true;
	}
	return escape;
}

static bool must_escape(const struct escape *escape)
{
	return escape->lone || escape->unit == 0 || escape->unit == JSON_ESCAPE;
}

static void mark_string(struct reader *reader, size_t start, size_t end, bool is_key)
{
	char text[16];

	if (!is_key)
		replace(reader, start, start, "\\u0000s");
	for (size_t i = start; i < end;) {
		struct escape escape;

		if (reader->text[i] != '\\') {
			i++;
			continue;
		}
		escape = escape_at(reader, i);
		if (must_escape(&escape)) {
			(void)snprintf(text, sizeof(text), "\\u%04x%04x",
				       (unsigned int)JSON_ESCAPE,
				       (unsigned int)escape.unit);
			replace(reader, i, i + escape.size, text);
		}
		i += escape.size;
	}
}

/* What is wrong in a string stays as it is: jansson tells. */
static void scan_string(struct reader *reader)
{
	bool is_key = reader->key_next, marked = false;
	size_t start = reader->at + 1, i = start;

	while (i < reader->size && reader->text[i] != '"') {
		struct escape escape;

		if (reader->text[i] != '\\') {
			i++;
			continue;
		}
		escape = escape_at(reader, i);
		if (is_key)
			marked |= must_escape(&escape);
		else
			marked |= escape.lone || (escape.unit == 0 && i == start);
		i += escape.size;
	}
	if (i > reader->size)
		i = reader->size;
	if (marked && i < reader->size)
		mark_string(reader, start, i, is_key);
	reader->at = i < reader->size ? i + 1 : i;
	reader->key_next = false;
}

static size_t skip_digits(const struct reader *reader, size_t at)
{
	while (peek(reader, at) >= '0' && peek(reader, at) <= '9')
		at++;
	return at;
}

/* Only what has an exponent or hundreds of digits can be too large for a double. */
static int scan_float(struct reader *reader, size_t end, bool has_exponent)
{
	auto_free char *text = NULL;
	double value;

	if (!has_exponent && end - reader->at < 300)
		return 0;
	text = strndup(reader->text + reader->at, end - reader->at);
	if (!text)
		return err_oom(reader->err);
	value = strtod(text, NULL);
	if (isinf(value))
		replace(reader, reader->at, end,
			value < 0 ? "\"\\u0000f-Infinity\"" : "\"\\u0000fInfinity\"");
	return 0;
}

static int scan_integer(struct reader *reader, size_t end)
{
	bool negative = reader->text[reader->at] == '-';
	size_t n_digits = end - reader->at - negative;
	char text[JSON_DIGITS_MAX + 16];

	if (n_digits > JSON_DIGITS_MAX)
		return fail_at(reader, reader->at + 1, "an integer of over 4300 digits");
	if (n_digits < 19)
		return 0;
	(void)snprintf(text, sizeof(text), "%.*s", (int)(end - reader->at),
		       reader->text + reader->at);
	errno = 0;
	(void)strtoll(text, NULL, 10);
	if (errno != ERANGE)
		return 0;
	(void)snprintf(text, sizeof(text), "\"\\u0000i%.*s\"", (int)(end - reader->at),
		       reader->text + reader->at);
	replace(reader, reader->at, end, text);
	return 0;
}

static int scan_number(struct reader *reader)
{
	size_t start = reader->at + (reader->text[reader->at] == '-'), end, more;
	bool is_float = false, has_exponent = false;
	int r = 0;

	end = peek(reader, start) == '0' ? start + 1 : skip_digits(reader, start);
	if (end == start) {
		reader->at++;
		return 0;
	}
	if (peek(reader, end) == '.' && skip_digits(reader, end + 1) > end + 1) {
		end = skip_digits(reader, end + 1);
		is_float = true;
	}
	if (peek(reader, end) == 'e' || peek(reader, end) == 'E') {
		more = end + 1;
		if (peek(reader, more) == '+' || peek(reader, more) == '-')
			more++;
		if (skip_digits(reader, more) > more) {
			end = skip_digits(reader, more);
			is_float = has_exponent = true;
		}
	}
	if (!reader->key_next)
		r = is_float ? scan_float(reader, end, has_exponent)
			     : scan_integer(reader, end);
	reader->at = end;
	return r;
}

static void scan_word(struct reader *reader)
{
	static const char *const words[][2] = {
		{"NaN", "\"\\u0000fNaN\""},
		{"Infinity", "\"\\u0000fInfinity\""},
		{"-Infinity", "\"\\u0000f-Infinity\""},
	};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		size_t size = strlen(words[i][0]);

		if (reader->key_next || !starts_with(reader, words[i][0]))
			continue;
		replace(reader, reader->at, reader->at + size, words[i][1]);
		reader->at += size;
		return;
	}
	reader->at++;
}

static int open_container(struct reader *reader, bool is_object)
{
	if (reader->depth >= JSON_DEPTH_MAX)
		return fail_at(reader, reader->at + 1, "nested deeper than 1000 levels");
	reader->is_object[reader->depth++] = is_object;
	reader->key_next = is_object;
	reader->at++;
	return 0;
}

static int scan_token(struct reader *reader)
{
	char c = reader->text[reader->at];

	switch (c) {
	case '"':
		scan_string(reader);
		return 0;
	case '{':
	case '[':
		return open_container(reader, c == '{');
	case '}':
	case ']':
		if (reader->depth > 0)
			reader->depth--;
		reader->key_next = false;
		break;
	case ',':
		reader->key_next =
			reader->depth > 0 && reader->is_object[reader->depth - 1];
		break;
	case ':':
		reader->key_next = false;
		break;
	case '-':
		if (peek(reader, reader->at + 1) != 'I')
			return scan_number(reader);
		scan_word(reader);
		return 0;
	case 'N':
	case 'I':
		scan_word(reader);
		return 0;
	default:
		if (c >= '0' && c <= '9')
			return scan_number(reader);
		break;
	}
	reader->at++;
	return 0;
}

/* jansson names what it stopped at; a place says it better than a piece of our text. */
static int jansson_failed(const struct reader *reader, const json_error_t *error)
{
	char reason[sizeof(error->text)], *near;

	if (json_error_code(error) == json_error_out_of_memory)
		return err_oom(reader->err);
	(void)snprintf(reason, sizeof(reason), "%s", error->text);
	near = strstr(reason, " near '");
	if (near)
		*near = '\0';
	return fail_at(
		reader,
		original_offset(reader,
				(size_t)(error->position > 0 ? error->position : 0)),
		reason);
}

static int parse(struct reader *reader, json_t **ret_json)
{
	const char *text = reader->size ? reader->text : "";
	size_t size = reader->size;
	json_error_t error;
	json_t *json;

	if (reader->copied > 0) {
		buf_append(&reader->ours, reader->text + reader->copied,
			   reader->size - reader->copied);
		if (reader->ours.failed || reader->edits.failed)
			return err_oom(reader->err);
		text = reader->ours.data;
		size = reader->ours.size;
	}
	json = json_loadb(text, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
	if (!json)
		return jansson_failed(reader, &error);
	*ret_json = json;
	return 0;
}

int json_read(const char *text, size_t size, json_t **ret_json, struct cop_error *err)
{
	struct reader reader cleanup_with(reader_done) = {
		.text = text, .size = size, .err = err};
	int r;

	if (size > JSON_SIZE_MAX)
		return err_set(err, -EFBIG, "a JSON document of over %u MiB",
			       (unsigned int)(JSON_SIZE_MAX / MIB));
	while (reader.at < size) {
		r = scan_token(&reader);
		if (r < 0)
			return r;
	}
	return parse(&reader, ret_json);
}
