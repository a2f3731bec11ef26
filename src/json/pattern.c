/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PCRE2 reads nearly the same language as Python's re; the differences are translated
 * before compiling, and what only PCRE2 knows is refused as Python does.
 */
#include "json/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <string.h>

#include "json/repr.h"

/* Steps of one search; a usual pattern takes some dozens. */
#define MATCH_LIMIT    1000000
#define HEAP_LIMIT_KIB (64 * 1024)
#define PATTERN_MAX    65536
/* Longest pattern in a message. */
#define SHOWN_MAX 200

struct pattern {
	pcre2_code *code;
	pcre2_match_context *context;
	char *shown; /* for messages */
};

struct translator {
	const char *text;
	size_t size;
	size_t at;
	bool in_class;
	struct buf *buf;
	struct cop_error *err;
};

static char peek(const struct translator *translator, size_t ahead)
{
	size_t at = translator->at + ahead;

	return at < translator->size ? translator->text[at] : '\0';
}

static void copy(struct translator *translator, size_t n)
{
	n = (size_t)min_u64(n, translator->size - translator->at);
	buf_append(translator->buf, translator->text + translator->at, n);
	translator->at += n;
}

/* \uXXXX and \UXXXXXXXX */
static int translate_code_point(struct translator *translator, size_t n_digits)
{
	const char *digits = translator->text + translator->at + 2;
	size_t left = translator->size - translator->at - 2;

	if (left < n_digits || strspn(digits, "0123456789abcdefABCDEF") < n_digits)
		return err_set(translator->err, -EINVAL, "incomplete escape \\%c",
			       peek(translator, 1));
	buf_append_text(translator->buf, "\\x{");
	buf_append(translator->buf, digits, n_digits);
	buf_append_char(translator->buf, '}');
	translator->at += 2 + n_digits;
	return 0;
}

static int translate_escape(struct translator *translator)
{
	char c = peek(translator, 1);

	if (c == 'u' || c == 'U')
		return translate_code_point(translator, c == 'u' ? 4 : 8);
	if (c == 'Z' && !translator->in_class) {
		buf_append_text(translator->buf, "\\z");
		translator->at += 2;
	} else if (c == 'v') {
		buf_append_text(translator->buf, "\\x0b");
		translator->at += 2;
	} else if (((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) &&
		   !strchr("abfnrtxABdDsSwW", c)) {
		return err_set(translator->err, -EINVAL, "bad escape \\%c", c);
	} else {
		copy(translator, 2);
	}
	return 0;
}

/* Python takes {,3} for {0,3}; PCRE2 takes it for text. */
static void translate_brace(struct translator *translator)
{
	size_t ahead = 1;

	if (peek(translator, 1) == ',') {
		do {
			ahead++;
		} while (peek(translator, ahead) >= '0' &&
			 peek(translator, ahead) <= '9');
	}
	copy(translator, 1);
	if (ahead > 1 && peek(translator, ahead - 1) == '}')
		buf_append_char(translator->buf, '0');
}

static void open_class(struct translator *translator)
{
	translator->in_class = true;
	copy(translator, peek(translator, 1) == '^' ? 2 : 1);
	if (peek(translator, 0) == ']')
		copy(translator, 1);
}

static int translate_one(struct translator *translator)
{
	char c = peek(translator, 0);

	if (c == '\\')
		return translate_escape(translator);
	if (translator->in_class) {
		/* [: is nothing special in Python. */
		if (c == '[')
			buf_append_char(translator->buf, '\\');
		if (c == ']')
			translator->in_class = false;
		copy(translator, 1);
	} else if (c == '[') {
		open_class(translator);
	} else if (c == '{') {
		translate_brace(translator);
	} else if (c == '(' && peek(translator, 1) == '*') {
		return err_set(translator->err, -EINVAL, "nothing to repeat");
	} else {
		copy(translator, 1);
	}
	return 0;
}

static int translate(struct json_text text, struct buf *buf, struct cop_error *err)
{
	struct translator translator = {.buf = buf, .err = err};
	auto_buf utf8 = {};
	int r;

	if (!json_text_utf8(text, &utf8))
		return err_set(err, -EINVAL, "it holds a lone surrogate");
	translator.text = buf_text(&utf8);
	translator.size = utf8.size;
	while (translator.at < translator.size) {
		r = translate_one(&translator);
		if (r < 0)
			return r;
	}
	return utf8.failed || buf->failed ? err_oom(err) : 0;
}

static int compile(const struct buf *text, struct pattern *pattern, struct cop_error *err)
{
	pcre2_compile_context *context = pcre2_compile_context_create(NULL);
	char reason[120] = "";
	PCRE2_SIZE offset;
	int code = 0;

	if (!context)
		return err_oom(err);
	pcre2_set_max_pattern_length(context, PATTERN_MAX);
	pcre2_set_newline(context, PCRE2_NEWLINE_LF);
	pattern->code = pcre2_compile((PCRE2_SPTR)buf_text(text), text->size,
				      PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C,
				      &code, &offset, context);
	pcre2_compile_context_free(context);
	if (pattern->code)
		return 0;
	(void)pcre2_get_error_message(code, (PCRE2_UCHAR *)reason, sizeof(reason));
	return err_set(err, -EINVAL, "%s", reason);
}

static int show(struct json_text text, struct pattern *pattern)
{
	auto_buf utf8 = {}, shown = {};

	(void)json_text_utf8(text, &utf8);
	if (json_repr_key(buf_text(&utf8), SHOWN_MAX, &shown, NULL) < 0)
		buf_append_text(&shown, "(a long one)");
	pattern->shown = buf_take(&shown);
	return pattern->shown ? 0 : -ENOMEM;
}

int pattern_new(struct json_text text, struct pattern **ret_pattern,
		struct cop_error *err)
{
	auto_ptr(pattern) pattern = calloc(1, sizeof(*pattern));
	auto_buf translated = {};
	int r;

	if (!pattern)
		return err_oom(err);
	r = translate(text, &translated, err);
	if (r < 0)
		return r;
	r = compile(&translated, pattern, err);
	if (r < 0)
		return r;
	pattern->context = pcre2_match_context_create(NULL);
	if (!pattern->context)
		return err_oom(err);
	pcre2_set_match_limit(pattern->context, MATCH_LIMIT);
	pcre2_set_heap_limit(pattern->context, HEAP_LIMIT_KIB);
	r = show(text, pattern);
	if (r < 0)
		return err_oom(err);
	*ret_pattern = TAKE_PTR(pattern);
	return 0;
}

struct pattern *pattern_free(struct pattern *pattern)
{
	if (!pattern)
		return NULL;
	pcre2_match_context_free(pattern->context);
	pcre2_code_free(pattern->code);
	free(pattern->shown);
	free(pattern);
	return NULL;
}

int pattern_search(const struct pattern *pattern, struct json_text subject,
		   struct cop_error *err)
{
	auto_buf utf8 = {};
	pcre2_match_data *match;
	int r;

	(void)json_text_utf8(subject, &utf8);
	match = utf8.failed ? NULL : pcre2_match_data_create(1, NULL);
	if (!match)
		return err_oom(err);
	r = pcre2_match(pattern->code, (PCRE2_SPTR)buf_text(&utf8), utf8.size, 0, 0,
			match, pattern->context);
	pcre2_match_data_free(match);
	if (r >= 0 || r == PCRE2_ERROR_NOMATCH)
		return r >= 0;
	if (r == PCRE2_ERROR_NOMEMORY)
		return err_oom(err);
	return err_set(err, -E2BIG, "searching for %s takes too many steps",
		       pattern->shown);
}
