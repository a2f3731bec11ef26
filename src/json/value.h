/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values that jansson cannot hold, kept in strings that it can.
 *
 *   U+0000 'i' DIGITS    an integer beyond 64 bits, with its sign
 *   U+0000 'f' NAME      NaN, Infinity or -Infinity
 *   U+0000 's' TEXT      a string that starts with U+0000 or holds lone surrogates
 *
 * In TEXT, and in every key, U+0001 and four hexadecimal digits stand for a code unit
 * that jansson would not take there: U+0000, a lone surrogate, or U+0001 itself.
 */
#pragma once

#include "json/json.h"

/* Room for json_float_text(), with the final NUL. */
#define JSON_FLOAT_TEXT 64

/* The first character of an escape in keys and in marked text. */
#define JSON_ESCAPE 1

enum json_mark {
	JSON_PLAIN,	   /* what jansson says it is */
	JSON_MARK_INTEGER, /* beyond 64 bits */
	JSON_MARK_FLOAT,   /* not finite */
	JSON_MARK_TEXT,	   /* a string with escapes */
};

/* json_mark_of() - how to read a value; JSON_PLAIN for everything but marked strings */
enum json_mark json_mark_of(const json_t *json);

/* struct json_text - the characters of a string or key that are still to come; borrowed
 */
struct json_text {
	const uint8_t *at;
	const uint8_t *end;
	bool escaped;
};

/* json_text_of() - the characters of a json_is_text() */
struct json_text json_text_of(const json_t *string);
struct json_text json_text_of_key(const char *key);

/* json_text_next() - take the next code point, which may be a lone surrogate; false at
 * the end.  A byte that is not UTF-8 counts as U+FFFD. */
bool json_text_next(struct json_text *text, uint32_t *ret_code_point);

/* json_text_compare() - by code points: negative, 0 or positive */
int json_text_compare(struct json_text a, struct json_text b);

/* json_key_compare() - the order of sorted keys, as Python sorts them */
int json_key_compare(const char *a, const char *b);

/* json_text_length() - number of code points, as Python counts */
size_t json_text_length(struct json_text text);

/* json_utf8() - append one code point, which must not be a surrogate */
void json_utf8(uint32_t code_point, struct buf *buf);

/* json_text_utf8() - appended as UTF-8; true when all of it could be, else lone
 * surrogates became U+FFFD */
bool json_text_utf8(struct json_text text, struct buf *buf);

/* json_key_as_string() - a key as a value; a new reference, NULL when memory is out */
json_t *json_key_as_string(const char *key);

/* json_string_as_key() - a json_is_text() as it would be named in an object, appended */
void json_string_as_key(const json_t *string, struct buf *buf);

/* json_float_text() - the shortest text that reads back as @value, as Python's repr();
 * finite values only; returns @text */
char *json_float_text(double value, char text[JSON_FLOAT_TEXT]);

/* json_number_compare() - exactly, whatever the types of two json_is_any_number().
 * Return: true and negative, 0 or positive in *@ret_order; false when one is NaN. */
bool json_number_compare(const json_t *a, const json_t *b, int *ret_order);
