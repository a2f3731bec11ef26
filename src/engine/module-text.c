/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Just enough of Python's grammar to find constants: strings, comments and brackets are
 * told apart, so that nothing inside of them looks like a statement.
 */
#include "engine/module-text.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "json/json.h"

enum constant {
	CONSTANT_SCHEMA,
	CONSTANT_SCHEMA_2,
	CONSTANT_CAPABILITIES,
	CONSTANT_STAGE_OPTS,
	N_CONSTANTS
};

static const char *const names[N_CONSTANTS] = {
	[CONSTANT_SCHEMA] = "SCHEMA",
	[CONSTANT_SCHEMA_2] = "SCHEMA_2",
	[CONSTANT_CAPABILITIES] = "CAPABILITIES",
	[CONSTANT_STAGE_OPTS] = "STAGE_OPTS",
};

struct found {
	struct buf docstring, values[N_CONSTANTS]; /* lists: strings with their NULs */
	bool is_there[N_CONSTANTS];
};

static void found_done(struct found *found)
{
	buf_done(&found->docstring);
	for (size_t i = 0; i < N_CONSTANTS; i++)
		buf_done(&found->values[i]);
}

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || c == '_' || c & 0x80;
}

static const char *skip_blanks(const char *at)
{
	for (;;) {
		at += strspn(at, " \t\f");
		if (at[0] == '\\' && at[1] == '\n')
			at += 2;
		else
			return at;
	}
}

/* How many letters stand before the quote of a string; SIZE_MAX: @at is no string. */
static size_t prefix_length(const char *at, bool *ret_raw, bool *ret_plain)
{
	size_t n = strspn(at, "rRbBuUfF");

	if (n > 2 || (at[n] != '"' && at[n] != '\''))
		return SIZE_MAX;
	*ret_raw = strcspn(at, "rR") < n;
	*ret_plain = strcspn(at, "bBfF") >= n;
	return n;
}

static void append_code(struct buf *text, uint32_t code)
{
	if (code < 0x80) {
		(void)buf_append_char(text, (char)code);
	} else if (code < 0x800) {
		(void)buf_append_char(text, (char)(0xc0 | code >> 6));
		(void)buf_append_char(text, (char)(0x80 | (code & 0x3f)));
	} else if (code < 0x10000) {
		(void)buf_append_char(text, (char)(0xe0 | code >> 12));
		(void)buf_append_char(text, (char)(0x80 | (code >> 6 & 0x3f)));
		(void)buf_append_char(text, (char)(0x80 | (code & 0x3f)));
	} else if (code < 0x110000) {
		(void)buf_append_char(text, (char)(0xf0 | code >> 18));
		(void)buf_append_char(text, (char)(0x80 | (code >> 12 & 0x3f)));
		(void)buf_append_char(text, (char)(0x80 | (code >> 6 & 0x3f)));
		(void)buf_append_char(text, (char)(0x80 | (code & 0x3f)));
	}
}

/* Up to @max digits of @base; returns what follows. */
static const char *take_digits(const char *at, size_t max, unsigned int base,
			       struct buf *text)
{
	static const char digits[] = "0123456789abcdef";
	uint32_t code = 0;

	for (size_t i = 0; i < max && *at; i++, at++) {
		const char *digit = strchr(digits, *at | (*at >= 'A' ? 0x20 : 0));

		if (!digit || (size_t)(digit - digits) >= base)
			break;
		code = code * base + (uint32_t)(digit - digits);
	}
	append_code(text, code);
	return at;
}

/* @at is behind the backslash; returns what follows the escape. */
static const char *take_escape(const char *at, struct buf *text)
{
	static const char from[] = "\\'\"abfnrtv", to[] = "\\'\"\a\b\f\n\r\t\v";
	const char *plain = *at ? strchr(from, *at) : NULL;

	if (!*at)
		return at;
	if (*at == '\n')
		return at + 1;
	if (plain) {
		(void)buf_append_char(text, to[plain - from]);
		return at + 1;
	}
	if (*at == 'x')
		return take_digits(at + 1, 2, 16, text);
	if (*at == 'u')
		return take_digits(at + 1, 4, 16, text);
	if (*at == 'U')
		return take_digits(at + 1, 8, 16, text);
	if (*at >= '0' && *at <= '7')
		return take_digits(at, 3, 8, text);
	/* Python leaves what it does not know as it is. */
	(void)buf_append_char(text, '\\');
	(void)buf_append_char(text, *at);
	return at + 1;
}

/* One string with its prefix; what is in it is appended.  Returns what follows it, which
 * is the end of the text for one that does not end. */
static const char *take_string(const char *at, struct buf *text, bool *ret_plain)
{
	bool raw = false;
	size_t prefix = prefix_length(at, &raw, ret_plain), quotes;
	char end[4];

	at += prefix;
	quotes = at[1] == *at && at[2] == *at ? 3 : 1;
	(void)snprintf(end, sizeof(end), "%.*s", (int)quotes, at);
	at += quotes;
	while (*at && strncmp(at, end, quotes) != 0) {
		if (*at == '\\' && raw && at[1]) {
			(void)buf_append(text, at, 2);
			at += 2;
		} else if (*at == '\\') {
			at = take_escape(at + 1, text);
		} else {
			(void)buf_append_char(text, *at++);
		}
	}
	return *at ? at + quotes : at;
}

static bool is_string(const char *at)
{
	bool raw, plain;

	return prefix_length(at, &raw, &plain) != SIZE_MAX;
}

/* The end of a statement: nothing more on this line. */
static bool is_end(const char *at)
{
	at = skip_blanks(at);
	return !*at || *at == '\n' || *at == '\r' || *at == '#' || *at == ';';
}

/* Strings that stand beside each other are one; anything else is no constant. */
static const char *take_constant(const char *at, struct buf *text, bool *ret_ok)
{
	bool ok = is_string(at);

	while (is_string(at)) {
		bool plain = true;

		at = skip_blanks(take_string(at, text, &plain));
		ok = ok && plain;
	}
	*ret_ok = ok && is_end(at);
	return at;
}

/* {"A", "B"}, or with other brackets; each with a NUL. */
static const char *take_list(const char *at, struct buf *text, bool *ret_ok)
{
	*ret_ok = *at && strchr("{[(", *at);
	if (!*ret_ok)
		return at;
	for (at++; *at && !strchr("}])", *at);) {
		bool plain;

		if (*at == '#') {
			at += strcspn(at, "\n");
		} else if (is_string(at)) {
			at = take_string(at, text, &plain);
			(void)buf_append_char(text, '\0');
		} else {
			at++;
		}
	}
	return *at ? at + 1 : at;
}

/* The name that a statement assigns to; returns what follows the '=', or NULL. */
static const char *take_target(const char *at, enum constant *ret_constant)
{
	size_t length = 0;

	while (is_word(at[length]))
		length++;
	*ret_constant = N_CONSTANTS;
	for (size_t i = 0; i < N_CONSTANTS; i++)
		if (strlen(names[i]) == length && strncmp(names[i], at, length) == 0)
			*ret_constant = (enum constant)i;
	at = skip_blanks(at + length);
	return length > 0 && at[0] == '=' && at[1] != '=' ? skip_blanks(at + 1) : NULL;
}

/* A statement at the left margin; returns where it looked until. */
static const char *take_statement(const char *at, struct found *found)
{
	bool wanted[N_CONSTANTS] = {}, any = false, ok = false, is_list;
	enum constant constant;
	auto_buf value = {};
	const char *next;

	while ((next = take_target(at, &constant))) {
		if (constant != N_CONSTANTS)
			any = wanted[constant] = true;
		at = next;
	}
	if (!any)
		return at;
	is_list = wanted[CONSTANT_CAPABILITIES];
	at = is_list ? take_list(at, &value, &ok) : take_constant(at, &value, &ok);
	for (size_t i = 0; i < N_CONSTANTS; i++) {
		if (!wanted[i])
			continue;
		/* The last assignment counts, also one that says nothing to us. */
		found->is_there[i] = ok;
		buf_truncate(&found->values[i], 0);
		(void)buf_append(&found->values[i], value.data ? value.data : "",
				 value.size);
	}
	return at;
}

static void scan(const char *at, struct found *found)
{
	bool at_margin = true, is_first = true;
	unsigned int depth = 0;

	while (*at) {
		bool plain;

		if (at_margin && depth == 0 && is_first && is_string(at)) {
			at = take_string(at, &found->docstring, &plain);
			is_first = at_margin = false;
		} else if (at_margin && depth == 0 && is_word(*at)) {
			const char *next = take_statement(at, found);

			is_first = at_margin = false;
			at = next > at ? next : at + 1;
		} else if (is_string(at)) {
			auto_buf ignored = {};

			at = take_string(at, &ignored, &plain);
			at_margin = false;
		} else if (*at == '#') {
			at += strcspn(at, "\n");
		} else if (*at == '\\' && at[1] == '\n') {
			at += 2;
		} else {
			depth += strchr("([{", *at) != NULL;
			depth -= depth > 0 && strchr(")]}", *at);
			at_margin = *at == '\n';
			at++;
		}
	}
}

static int add_schema(json_t *meta, const char *key, const struct buf *value,
		      struct cop_error *err)
{
	auto_json *schema = NULL;
	auto_buf text = {};
	int r;

	(void)buf_printf(&text, "{%s}", buf_text(value));
	if (text.failed)
		return err_oom(err);
	r = json_read(text.data, text.size, &schema, err);
	if (r < 0)
		return err_prefix(err, r == -ENOMEM ? r : -EINVAL, "%s in its text",
				  strcmp(key, "schema") == 0 ? names[CONSTANT_SCHEMA]
							     : names[CONSTANT_SCHEMA_2]);
	return json_object_set(meta, key, schema) < 0 ? err_oom(err) : 0;
}

static json_t *describe(const struct found *found)
{
	const char *text = buf_text(&found->docstring);
	const char *list = buf_text(&found->values[CONSTANT_CAPABILITIES]);
	const char *end = list + found->values[CONSTANT_CAPABILITIES].size;
	auto_json *meta = NULL, *capabilities = json_array(), *lines = json_array();

	text += strspn(text, " \t\n");
	meta = json_pack("{s:s%, s:O, s:O}", "summary", text, strcspn(text, "\n"),
			 "description", lines, "capabilities", capabilities);
	for (text += strcspn(text, "\n"); meta && *text; text += strcspn(text, "\n")) {
		text++;
		(void)json_array_append_new(lines,
					    json_stringn(text, strcspn(text, "\n")));
	}
	if (found->is_there[CONSTANT_CAPABILITIES])
		for (; meta && list < end; list += strlen(list) + 1)
			(void)json_array_append_new(capabilities, json_string(list));
	return TAKE_PTR(meta);
}

int module_text_meta(const char *text, json_t **ret_meta, struct cop_error *err)
{
	cleanup_with(found_done) struct found found = {};
	bool has_schema;
	auto_json *meta = NULL;
	int r = 0;

	scan(text, &found);
	has_schema = found.is_there[CONSTANT_SCHEMA] || found.is_there[CONSTANT_SCHEMA_2];
	if (!has_schema && !found.is_there[CONSTANT_STAGE_OPTS])
		return err_set(err, -ENOENT, "it has no description");
	meta = describe(&found);
	if (!meta)
		return err_oom(err);
	if (found.is_there[CONSTANT_SCHEMA])
		r = add_schema(meta, "schema", &found.values[CONSTANT_SCHEMA], err);
	if (r == 0 && found.is_there[CONSTANT_SCHEMA_2])
		r = add_schema(meta, "schema_2", &found.values[CONSTANT_SCHEMA_2], err);
	if (r == 0 && !has_schema &&
	    json_object_set_new(meta, "schema",
				json_pack("{s:b}", "additionalProperties", 1)) < 0)
		r = err_oom(err);
	if (r == 0)
		*ret_meta = TAKE_PTR(meta);
	return r;
}
