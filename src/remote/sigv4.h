/* SPDX-License-Identifier: Apache-2.0 */
/* AWS Signature Version 4, as S3 wants it: the path is encoded once and not normalised.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"

/* struct sigv4_keys - @token may be NULL */
struct sigv4_keys {
	const char *access, *secret, *token, *region, *service;
};

struct sigv4_header {
	const char *name, *value; /* the name in lower case */
};

/*
 * struct sigv4_request
 * @path:    percent-encoded
 * @query:   percent-encoded and sorted by key; every key has a '='; "" for none
 * @headers: sorted by name; all of them are signed
 * @payload: SHA-256 of the body in hexadecimal digits, or UNSIGNED-PAYLOAD
 */
struct sigv4_request {
	const char *method, *path, *query, *payload;
	const struct sigv4_header *headers;
	size_t n_headers;
};

#define SIGV4_TIME_SIZE 17 /* 20130524T000000Z and a NUL */

/* sigv4_time() - now, as a signature has it; returns @text */
char *sigv4_time(char text[SIGV4_TIME_SIZE]);

/* sigv4_sign() - the value of the Authorization header, appended to @authorization */
int sigv4_sign(const struct sigv4_keys *keys, const struct sigv4_request *request,
	       const char *time, struct buf *authorization, struct cop_error *err);
