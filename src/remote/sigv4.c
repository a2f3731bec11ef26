/* SPDX-License-Identifier: Apache-2.0 */
#include "remote/sigv4.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/text.h"
#include "digest/sha256.h"

#define ALGORITHM "AWS4-HMAC-SHA256"
#define DATE_SIZE 8

char *sigv4_time(char text[SIGV4_TIME_SIZE])
{
	time_t now = time(NULL);
	struct tm utc = {};

	(void)gmtime_r(&now, &utc);
	(void)strftime(text, SIGV4_TIME_SIZE, "%Y%m%dT%H%M%SZ", &utc);
	return text;
}

static int hmac(const void *key, size_t key_size, const char *text, size_t size,
		uint8_t result[SHA256_SIZE], struct cop_error *err)
{
	unsigned int n = SHA256_SIZE;

	return HMAC(EVP_sha256(), key, (int)key_size, (const uint8_t *)text, size, result,
		    &n)
		       ? 0
		       : err_set(err, -EIO, "libcrypto refuses to sign");
}

static void append_names(struct buf *buf, const struct sigv4_request *request)
{
	for (size_t i = 0; i < request->n_headers; i++)
		(void)buf_printf(buf, "%s%s", i > 0 ? ";" : "", request->headers[i].name);
}

static int hash_request(const struct sigv4_request *request, char hex[SHA256_HEX + 1],
			struct cop_error *err)
{
	auto_buf text = {};

	(void)buf_printf(&text, "%s\n%s\n%s\n", request->method, request->path,
			 request->query);
	for (size_t i = 0; i < request->n_headers; i++)
		(void)buf_printf(&text, "%s:%s\n", request->headers[i].name,
				 request->headers[i].value);
	(void)buf_append_char(&text, '\n');
	append_names(&text, request);
	(void)buf_printf(&text, "\n%s", request->payload);
	return text.failed ? err_oom(err) : sha256_bytes(text.data, text.size, hex, err);
}

/* One key for a day, a region and a service. */
static int derive(const struct sigv4_keys *keys, const char *time,
		  uint8_t key[SHA256_SIZE], struct cop_error *err)
{
	const char *const parts[] = {keys->region, keys->service, "aws4_request"};
	auto_buf secret = {};
	int r;

	(void)buf_printf(&secret, "AWS4%s", keys->secret);
	if (secret.failed)
		return err_oom(err);
	r = hmac(secret.data, secret.size, time, DATE_SIZE, key, err);
	for (size_t i = 0; i < ARRAY_SIZE(parts) && r == 0; i++) {
		uint8_t next[SHA256_SIZE];

		r = hmac(key, SHA256_SIZE, parts[i], strlen(parts[i]), next, err);
		memcpy(key, next, sizeof(next));
	}
	return r;
}

int sigv4_sign(const struct sigv4_keys *keys, const struct sigv4_request *request,
	       const char *time, struct buf *authorization, struct cop_error *err)
{
	char hash[SHA256_HEX + 1], hex[SHA256_HEX + 1];
	uint8_t key[SHA256_SIZE], signature[SHA256_SIZE];
	auto_buf text = {}, scope = {};
	int r;

	(void)buf_printf(&scope, "%.8s/%s/%s/aws4_request", time, keys->region,
			 keys->service);
	r = hash_request(request, hash, err);
	if (r < 0)
		return r;
	(void)buf_printf(&text, ALGORITHM "\n%s\n%s\n%s", time, buf_text(&scope), hash);
	if (text.failed || scope.failed)
		return err_oom(err);
	r = derive(keys, time, key, err);
	if (r == 0)
		r = hmac(key, sizeof(key), text.data, text.size, signature, err);
	if (r < 0)
		return r;
	(void)buf_printf(authorization,
			 ALGORITHM " Credential=%s/%s,SignedHeaders=", keys->access,
			 buf_text(&scope));
	append_names(authorization, request);
	(void)buf_printf(authorization, ",Signature=%s",
			 hex_encode(signature, sizeof(signature), hex));
	return authorization->failed ? err_oom(err) : 0;
}
