/* SPDX-License-Identifier: Apache-2.0 */
#include "digest/checksum.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

struct checksum {
	EVP_MD_CTX *context;
	const EVP_MD *kind;
	char *text;
};

static const EVP_MD *kind_of(const char *text, const char **ret_hex)
{
	static const struct {
		const char *name;
		const EVP_MD *(*kind)(void);
	} kinds[] = {
		{"sha256:", EVP_sha256}, {"sha512:", EVP_sha512}, {"sha384:", EVP_sha384},
		{"sha1:", EVP_sha1},	 {"md5:", EVP_md5},
	};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (text_starts_with(text, kinds[i].name)) {
			*ret_hex = text + strlen(kinds[i].name);
			return kinds[i].kind();
		}
	return NULL;
}

int checksum_restart(struct checksum *checksum, struct cop_error *err)
{
	if (EVP_DigestInit_ex(checksum->context, checksum->kind, NULL) != 1)
		return err_set(err, -ENOTSUP, "checksum '%s': libcrypto has no such kind",
			       checksum->text);
	return 0;
}

int checksum_new(const char *text, struct checksum **ret_checksum, struct cop_error *err)
{
	auto_ptr(checksum) checksum = NULL;
	const char *hex = NULL;
	const EVP_MD *kind = kind_of(text, &hex);
	int r;

	if (!kind || !text_is_hex(hex) || strlen(hex) != 2 * (size_t)EVP_MD_size(kind))
		return err_set(err, -EINVAL,
			       "'%.200s' is no checksum (sha256:HEX, for example)", text);
	checksum = calloc(1, sizeof(*checksum));
	if (!checksum)
		return err_oom(err);
	checksum->kind = kind;
	checksum->text = strdup(text);
	checksum->context = EVP_MD_CTX_new();
	if (!checksum->text || !checksum->context)
		return err_oom(err);
	r = checksum_restart(checksum, err);
	if (r < 0)
		return r;
	*ret_checksum = TAKE_PTR(checksum);
	return 0;
}

struct checksum *checksum_free(struct checksum *checksum)
{
	if (!checksum)
		return NULL;
	EVP_MD_CTX_free(checksum->context);
	free(checksum->text);
	free(checksum);
	return NULL;
}

int checksum_update(struct checksum *checksum, const void *data, size_t size,
		    struct cop_error *err)
{
	if (EVP_DigestUpdate(checksum->context, data, size) != 1)
		return err_set(err, -EIO, "checksum '%s': libcrypto failed",
			       checksum->text);
	return 0;
}

int checksum_end(struct checksum *checksum, const char *what, struct cop_error *err)
{
	unsigned char sum[EVP_MAX_MD_SIZE];
	char hex[2 * EVP_MAX_MD_SIZE + 1];
	const char *expected = strchr(checksum->text, ':') + 1;
	unsigned int size = 0;

	if (EVP_DigestFinal_ex(checksum->context, sum, &size) != 1)
		return err_set(err, -EIO, "checksum '%s': libcrypto failed",
			       checksum->text);
	hex_encode(sum, size, hex);
	if (strcmp(hex, expected) == 0)
		return 0;
	return err_set(err, -EBADMSG, "%s: wrong checksum: expected %s, got %.*s:%s",
		       what, checksum->text, (int)(expected - checksum->text - 1),
		       checksum->text, hex);
}
