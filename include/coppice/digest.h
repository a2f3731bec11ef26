/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Digests: fs-verity SHA-256 (4096-byte blocks, no salt), as the kernel's
 * FS_IOC_MEASURE_VERITY gives them.  An object's digest is that of its composefs image, a
 * file's that of its content.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <coppice/error.h>

#ifdef __cplusplus
extern "C" {
#endif

#define COP_DIGEST_SIZE 32
/* Hexadecimal digits of a digest, without the final NUL. */
#define COP_DIGEST_HEX 64

/* struct cop_digest - a value type; all zero means "none" */
struct cop_digest {
	uint8_t bytes[COP_DIGEST_SIZE];
};

/*
 * cop_digest_to_hex() - 64 lower-case digits and a NUL
 * @digest: the digest
 * @hex:    room for COP_DIGEST_HEX + 1 bytes
 *
 * Return: @hex.  Safe from any thread.
 */
COP_API char *cop_digest_to_hex(const struct cop_digest *digest, char *hex);

/*
 * cop_digest_parse() - exactly 64 lower-case hexadecimal digits
 * @hex:        NUL-terminated text
 * @ret_digest: the digest; untouched on failure
 *
 * Return: 0, or -EINVAL.  Safe from any thread.
 */
COP_API int cop_digest_parse(const char *hex, struct cop_digest *ret_digest);

/* cop_digest_is_null() - true for the value that stands for "none" */
COP_API bool cop_digest_is_null(const struct cop_digest *digest);

/* cop_digest_equal() - true when both are the same */
COP_API bool cop_digest_equal(const struct cop_digest *a, const struct cop_digest *b);

#ifdef __cplusplus
}
#endif
