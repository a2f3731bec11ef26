/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON over jansson, with what jansson leaves to its user: limits, checked access with
 * errors that name the place, and Python's canonical text, from which ids are computed.
 *
 * Integers beyond 64 bits, lone surrogates, NaN and Infinity, which Python's reader
 * accepts and jansson does not, survive a round trip: json_read() keeps them as marked
 * strings, json_canonical() and json_write() give them back.
 *
 * A marked string starts with U+0000, so plain json_is_string() is true for a marked
 * number: ask json_is_text() for strings and json_is_any_integer() or
 * json_is_any_number() for numbers.  The getters below know the marks: none of them
 * returns one.  "json/value.h" walks over the characters of any string or key.
 */
#pragma once

#include <jansson.h>

#include "base/buf.h"
#include "base/error.h"

#define JSON_SIZE_MAX  (256 * MIB)
#define JSON_DEPTH_MAX 1000
/* Longest integer, in digits: Python's own limit. */
#define JSON_DIGITS_MAX 4300

#define auto_json cleanup_with(json_decrefp) json_t

/* json_equal_text(): the value holds NaN, which equals nothing, itself included. */
#define JSON_EQUALS_NOTHING 1

/*
 * json_read() - a whole document
 * @text:     UTF-8, need not end with a NUL
 * @size:     in bytes
 * @ret_json: a new reference; untouched on failure
 *
 * Accepts what Python's json.load() accepts, any value at the top included.  Duplicate
 * keys: the last value wins at the first place, as in Python.  Safe from any thread.
 *
 * Return: 0; -EBADMSG with line and column (both from 1, in characters) of @text;
 *         -EFBIG beyond JSON_SIZE_MAX; -ENOMEM.
 */
int json_read(const char *text, size_t size, json_t **ret_json, struct cop_error *err);

/* json_canonical() - appended to @buf as Python's json.dumps(x, sort_keys=True) gives it.
 * Return: 0, -EINVAL when nested deeper than JSON_DEPTH_MAX, or -ENOMEM. */
int json_canonical(const json_t *json, struct buf *buf, struct cop_error *err);

/* json_write() - the same without sorting, as json.dumps(x, indent=@indent) (0: one line)
 */
int json_write(const json_t *json, unsigned int indent, struct buf *buf,
	       struct cop_error *err);

/* json_equal_text() - a text that two values share exactly when JSON Schema calls them
 * equal: 1 and 1.0 do, 1 and true do not.  Return: as json_canonical(), or
 * JSON_EQUALS_NOTHING. */
int json_equal_text(const json_t *json, struct buf *buf, struct cop_error *err);

/* json_is_text() - a string that is not a marked number */
bool json_is_text(const json_t *json);

/* json_is_any_integer() - an integer of any length; 1.0 and true are none */
bool json_is_any_integer(const json_t *json);

/* json_is_any_number() - an integer of any length, a float, NaN or an Infinity */
bool json_is_any_number(const json_t *json);

/* json_truthy() - as Python's `if` sees the value: not null, false, zero or empty; NULL
 * counts as null */
bool json_truthy(const json_t *json);

/*
 * Checked access.  @where names the object in messages ("stage 2 of pipeline 'tree'").
 * The required ones fail with -EINVAL when the key is missing or of another type; the
 * optional ones leave *@ret as it was when it is missing.  Strings and values are
 * borrowed.  A string that holds U+0000 or a lone surrogate is refused, as is an integer
 * beyond 64 bits: C cannot hold them.
 */
int json_get_string(const json_t *object, const char *key, const char *where,
		    const char **ret, struct cop_error *err);
int json_get_object(const json_t *object, const char *key, const char *where,
		    json_t **ret, struct cop_error *err);
int json_get_array(const json_t *object, const char *key, const char *where, json_t **ret,
		   struct cop_error *err);
int json_optional_string(const json_t *object, const char *key, const char *where,
			 const char **ret, struct cop_error *err);
int json_optional_integer(const json_t *object, const char *key, const char *where,
			  int64_t *ret, struct cop_error *err);
int json_optional_bool(const json_t *object, const char *key, const char *where,
		       bool *ret, struct cop_error *err);
int json_optional_object(const json_t *object, const char *key, const char *where,
			 json_t **ret, struct cop_error *err);
int json_optional_array(const json_t *object, const char *key, const char *where,
			json_t **ret, struct cop_error *err);
/* json_only_keys() - -EINVAL naming the first key that is not in the NULL-terminated list
 */
int json_only_keys(const json_t *object, const char *const *keys, const char *where,
		   struct cop_error *err);
