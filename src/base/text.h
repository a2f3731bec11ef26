/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers, hexadecimal digits and sizes as text. */
#pragma once

#include "base/defs.h"

/* hex_encode() - 2 * @size lower-case digits and a NUL into @text; returns @text */
char *hex_encode(const void *data, size_t size, char *text);

/* hex_is() - the first 2 * @size characters of @text are what hex_encode() gives */
bool hex_is(const char *text, const void *data, size_t size);

/* hex_decode() - exactly 2 * @size lower-case digits; 0 or -EINVAL, @data untouched then
 */
int hex_decode(const char *text, void *data, size_t size);

/* text_is_hex() - true for 1 or more lower-case hexadecimal digits and nothing else */
bool text_is_hex(const char *text);

/* text_to_u64() - decimal digits only, no sign or space; 0, -EINVAL or -ERANGE */
int text_to_u64(const char *text, uint64_t *ret_value);

/* text_to_size() - what people write for bytes: 500, 500M, 20G, 1T or with B (powers of
 * 1000), 4GiB or 4Gi (of 1024); 0, -EINVAL or -ERANGE */
int text_to_size(const char *text, uint64_t *ret_bytes);

/* text_size() - "12.3 MB" for people (powers of 1000); returns @text, at least 16 bytes
 */
char *text_size(uint64_t bytes, char *text, size_t size);

/* text_starts_with() / text_ends_with() */
bool text_starts_with(const char *text, const char *start);
bool text_ends_with(const char *text, const char *end);
