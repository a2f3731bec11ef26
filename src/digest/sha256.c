/* SPDX-License-Identifier: Apache-2.0 */
#include "digest/sha256.h"

#include <openssl/evp.h>

#include "base/text.h"

#define READ_SIZE ((size_t)(256 * KIB))

struct sha256 {
	EVP_MD *md;
	EVP_MD_CTX *ctx;
};

static int crypto_failed(struct cop_error *err)
{
	(void)err_set(err, -EIO, "calculate a SHA-256: libcrypto failed");
	return -EIO;
}

static int sha256_make(struct sha256 **ret, struct cop_error *err)
{
	auto_ptr(sha256) sha = calloc(1, sizeof(*sha));

	if (!sha) {
		(void)err_oom(err);
		return -ENOMEM;
	}
	sha->md = EVP_MD_fetch(NULL, "SHA256", NULL);
	sha->ctx = EVP_MD_CTX_new();
	if (!sha->md || !sha->ctx || EVP_DigestInit_ex2(sha->ctx, sha->md, NULL) != 1)
		return crypto_failed(err);
	*ret = TAKE_PTR(sha);
	return 0;
}

struct sha256 *sha256_new(struct cop_error *err)
{
	struct sha256 *sha = NULL;

	(void)sha256_make(&sha, err);
	return sha;
}

struct sha256 *sha256_free(struct sha256 *sha)
{
	if (sha) {
		EVP_MD_CTX_free(sha->ctx);
		EVP_MD_free(sha->md);
	}
	free(sha);
	return NULL;
}

int sha256_update(struct sha256 *sha, const void *data, size_t size,
		  struct cop_error *err)
{
	return EVP_DigestUpdate(sha->ctx, data, size) == 1 ? 0 : crypto_failed(err);
}

int sha256_end(struct sha256 *sha, char hex[SHA256_HEX + 1], struct cop_error *err)
{
	uint8_t bytes[SHA256_SIZE];

	if (EVP_DigestFinal_ex(sha->ctx, bytes, NULL) != 1 ||
	    EVP_DigestInit_ex2(sha->ctx, sha->md, NULL) != 1)
		return crypto_failed(err);
	hex_encode(bytes, sizeof(bytes), hex);
	return 0;
}

int sha256_bytes(const void *data, size_t size, char hex[SHA256_HEX + 1],
		 struct cop_error *err)
{
	auto_ptr(sha256) sha = NULL;
	int r = sha256_make(&sha, err);

	if (r == 0)
		r = sha256_update(sha, data, size, err);
	return r < 0 ? r : sha256_end(sha, hex, err);
}

int sha256_fd(int fd, char hex[SHA256_HEX + 1], struct cop_error *err)
{
	auto_ptr(sha256) sha = NULL;
	auto_free char *chunk = malloc(READ_SIZE);
	int r = sha256_make(&sha, err);

	if (r == 0 && !chunk)
		r = err_oom(err);
	while (r == 0) {
		ssize_t n = read(fd, chunk, READ_SIZE);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(err, "read");
		if (n == 0)
			return sha256_end(sha, hex, err);
		r = sha256_update(sha, chunk, (size_t)n, err);
	}
	return r;
}
