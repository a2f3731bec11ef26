/* SPDX-License-Identifier: Apache-2.0 */
#include <coppice/digest.h>

#include <string.h>

#include "base/text.h"

char *cop_digest_to_hex(const struct cop_digest *digest, char *hex)
{
	return hex_encode(digest->bytes, COP_DIGEST_SIZE, hex);
}

int cop_digest_parse(const char *hex, struct cop_digest *ret_digest)
{
	return hex_decode(hex, ret_digest->bytes, COP_DIGEST_SIZE);
}

bool cop_digest_is_null(const struct cop_digest *digest)
{
	static const struct cop_digest none;

	return cop_digest_equal(digest, &none);
}

bool cop_digest_equal(const struct cop_digest *a, const struct cop_digest *b)
{
	return memcmp(a->bytes, b->bytes, COP_DIGEST_SIZE) == 0;
}
