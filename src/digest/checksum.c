/* SPDX-License-Identifier: Apache-2.0 */
#include "digest/checksum.h"

#include <nettle/nettle-meta.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

struct checksum {
	const struct nettle_hash *kind;
	char *text;
	max_align_t context[];
};

static const struct nettle_hash *kind_of(const char *text, const char **ret_hex)
{
	static const struct {
		const char *name;
		const struct nettle_hash *kind;
	} kinds[] = {
		{"sha256:", &nettle_sha256}, {"sha512:", &nettle_sha512},
		{"sha384:", &nettle_sha384}, {"sha1:", &nettle_sha1},
		{"md5:", &nettle_md5},
	};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (text_starts_with(text, kinds[i].name)) {
			*ret_hex = text + strlen(kinds[i].name);
			return kinds[i].kind;
		}
	return NULL;
}

void checksum_restart(struct checksum *checksum)
{
	checksum->kind->init(checksum->context);
}

int checksum_new(const char *text, struct checksum **ret_checksum, struct cop_error *err)
{
	auto_ptr(checksum) checksum = NULL;
	const char *hex = NULL;
	const struct nettle_hash *kind = kind_of(text, &hex);

	if (!kind || !text_is_hex(hex) || strlen(hex) != 2 * (size_t)kind->digest_size)
		return err_set(err, -EINVAL,
			       "'%.200s' is no checksum (sha256:HEX, for example)", text);
	checksum = calloc(1, sizeof(*checksum) + kind->context_size);
	if (!checksum)
		return err_oom(err);
	checksum->kind = kind;
	checksum->text = strdup(text);
	if (!checksum->text)
		return err_oom(err);
	checksum_restart(checksum);
	*ret_checksum = TAKE_PTR(checksum);
	return 0;
}

struct checksum *checksum_free(struct checksum *checksum)
{
	if (!checksum)
		return NULL;
	free(checksum->text);
	free(checksum);
	return NULL;
}

void checksum_update(struct checksum *checksum, const void *data, size_t size)
{
	checksum->kind->update(checksum->context, size, data);
}

int checksum_end(struct checksum *checksum, const char *what, struct cop_error *err)
{
	uint8_t sum[SHA512_DIGEST_SIZE];
	char hex[2 * SHA512_DIGEST_SIZE + 1];
	const char *expected = strchr(checksum->text, ':') + 1;
	unsigned int size = checksum->kind->digest_size;

	checksum->kind->digest(checksum->context, size, sum);
	hex_encode(sum, size, hex);
	if (strcmp(hex, expected) == 0)
		return 0;
	return err_set(err, -EBADMSG, "%s: wrong checksum: expected %s, got %.*s:%s",
		       what, checksum->text, (int)(expected - checksum->text - 1),
		       checksum->text, hex);
}
