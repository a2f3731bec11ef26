/* SPDX-License-Identifier: Apache-2.0 */
/* Plain SHA-256, for ids, keys and downloads.  libnettle does the work: it
 * starts in no time, as every run of the program has to. */
#pragma once

#include "base/error.h"

#define SHA256_SIZE 32
#define SHA256_HEX  64

struct sha256;

struct sha256 *sha256_new(struct cop_error *err);
struct sha256 *sha256_free(struct sha256 *sha);
DEFINE_AUTO_PTR(sha256)

void sha256_update(struct sha256 *sha, const void *data, size_t size);

/* sha256_end() - 64 lower-case digits and a NUL; ready for the next message */
void sha256_end(struct sha256 *sha, char hex[SHA256_HEX + 1]);

/* sha256_bytes() / sha256_fd() - of bytes in memory; of the rest of an open file */
int sha256_bytes(const void *data, size_t size, char hex[SHA256_HEX + 1],
		 struct cop_error *err);
int sha256_fd(int fd, char hex[SHA256_HEX + 1], struct cop_error *err);
