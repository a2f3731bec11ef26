/* SPDX-License-Identifier: Apache-2.0 */
#include "digest/sha256.h"

#include <nettle/nettle-meta.h>

#include "base/text.h"

#define READ_SIZE ((size_t)(256 * KIB))

struct sha256 {
	const struct nettle_hash *kind;
	max_align_t context[];
};

static int sha256_make(struct sha256 **ret, struct cop_error *err)
{
	const struct nettle_hash *kind = &nettle_sha256;
	struct sha256 *sha = malloc(sizeof(*sha) + kind->context_size);

	if (!sha) {
		(void)err_oom(err);
		return -ENOMEM;
	}
	sha->kind = kind;
	kind->init(sha->context);
	*ret = sha;
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
	free(sha);
	return NULL;
}

void sha256_update(struct sha256 *sha, const void *data, size_t size)
{
	sha->kind->update(sha->context, size, data);
}

void sha256_end(struct sha256 *sha, char hex[SHA256_HEX + 1])
{
	uint8_t bytes[SHA256_SIZE];

	sha->kind->digest(sha->context, sizeof(bytes), bytes);
	hex_encode(bytes, sizeof(bytes), hex);
}

int sha256_bytes(const void *data, size_t size, char hex[SHA256_HEX + 1],
		 struct cop_error *err)
{
	auto_ptr(sha256) sha = NULL;
	int r = sha256_make(&sha, err);

	if (r < 0)
		return r;
	sha256_update(sha, data, size);
	sha256_end(sha, hex);
	return 0;
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
			break;
		sha256_update(sha, chunk, (size_t)n);
	}
	if (r == 0)
		sha256_end(sha, hex);
	return r;
}
