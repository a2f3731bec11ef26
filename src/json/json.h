/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON over jansson, with what jansson leaves to its user: limits, checked access with
 * errors that name the place, and Python's canonical text, from which ids are computed.
 *
 * Integers beyond 64 bits, lone surrogates, NaN and Infinity, which Python's reader
 * accepts and jansson does not, survive a round trip: json_read() keeps them as marked
 * strings, json_canonical() and json_write() give them back.
 */
#pragma once

#include <jansson.h>

#include "base/buf.h"
#include "base/error.h"

#define JSON_SIZE_MAX  (256 * MIB)
#define JSON_DEPTH_MAX 1000

#define auto_json cleanup_with(json_decrefp) json_t

/* json_read() - a whole document; duplicate keys: the last value wins at the first place,
 * as in Python.  -EBADMSG names line and column. */
int json_read(const char *text, size_t size, json_t **ret_json, struct cop_error *err);

/* json_canonical() - appended to @buf as Python's json.dumps(x, sort_keys=True) gives it
 */
int json_canonical(const json_t *json, struct buf *buf, struct cop_error *err);

/* json_write() - the same without sorting, as json.dumps(x, indent=@indent) (0: one line)
 */
int json_write(const json_t *json, unsigned int indent, struct buf *buf,
	       struct cop_error *err);

/*
 * Checked access.  @where names the object in messages ("stage 2 of pipeline 'tree'").
 * The required ones fail with -EINVAL when the key is missing or of another type; the
 * optional ones leave *@ret as it was when it is missing.  Strings are borrowed.
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
