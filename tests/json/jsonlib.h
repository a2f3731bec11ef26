/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of JSON share. */
#pragma once

#include "testlib.h"
#include "json/json.h"

/* read_text() - a document that must be well-formed */
static inline json_t *read_text(const char *text)
{
	struct cop_error err = {};
	json_t *json = NULL;

	assert_ok(json_read(text, strlen(text), &json, &err), &err);
	return json;
}

typedef int (*json_printer)(const json_t *json, struct buf *buf, struct cop_error *err);

/* assert_prints() - @text, read and printed by @print, must give @expected */
static inline void assert_prints(json_printer print, const char *text,
				 const char *expected)
{
	auto_json *json = read_text(text);
	struct cop_error err = {};
	auto_buf buf = {};

	assert_ok(print(json, &buf, &err), &err);
	assert_string_equal(buf_text(&buf), expected);
}

/* assert_refused() - @text must be refused with @message */
static inline void assert_refused(const char *text, size_t size, const char *message)
{
	struct cop_error err = {};
	json_t *json = NULL;

	assert_fails(json_read(text, size, &json, &err), -EBADMSG, &err);
	assert_string_equal(err.message, message);
	assert_null(json);
}
