/* SPDX-License-Identifier: Apache-2.0 */
/* The high-level interface would not link statically without the resolver. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "modules/stages/hash.h"

#include <openssl/sha.h>

#include "base/fs.h"
#include "base/text.h"

#define CHUNK ((size_t)(256 * KIB))

struct hash {
	SHA256_CTX context;
};

struct hash *hash_new(void)
{
	struct hash *hash = calloc(1, sizeof(*hash));

	if (hash)
		(void)SHA256_Init(&hash->context);
	return hash;
}

struct hash *hash_free(struct hash *hash)
{
	free(hash);
	return NULL;
}

void hash_add(struct hash *hash, const void *bytes, size_t size)
{
	(void)SHA256_Update(&hash->context, bytes, size);
}

void hash_finish(struct hash *hash, char text[DIGEST_HEX])
{
	unsigned char digest[SHA256_DIGEST_LENGTH];

	(void)SHA256_Final(digest, &hash->context);
	(void)hex_encode(digest, sizeof(digest), text);
}

int hash_file(int fd, char text[DIGEST_HEX], uint64_t *ret_size, struct cop_error *err)
{
	auto_ptr(hash) hash = hash_new();
	auto_free char *chunk = malloc(CHUNK);
	uint64_t offset = 0;
	ssize_t n;

	if (!hash || !chunk)
		return err_oom(err);
	while ((n = fs_pread_full(fd, chunk, CHUNK, offset)) > 0) {
		hash_add(hash, chunk, (size_t)n);
		offset += (uint64_t)n;
	}
	if (n < 0)
		return err_code(err, (int)n, "read");
	hash_finish(hash, text);
	*ret_size = offset;
	return 0;
}
