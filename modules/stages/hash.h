/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 for the static program, into which libcrypto's high-level interface, with its
 * plug-ins and sockets, does not go. */
#pragma once

#include "base/error.h"

#define DIGEST_HEX 65

struct hash;

struct hash *hash_new(void);
struct hash *hash_free(struct hash *hash);
DEFINE_AUTO_PTR(hash)

/* hash_add() - further bytes */
void hash_add(struct hash *hash, const void *bytes, size_t size);

/* hash_finish() - 64 digits and a NUL; nothing may follow */
void hash_finish(struct hash *hash, char text[DIGEST_HEX]);

/* hash_file() - of everything in @fd, and its size */
int hash_file(int fd, char text[DIGEST_HEX], uint64_t *ret_size, struct cop_error *err);
