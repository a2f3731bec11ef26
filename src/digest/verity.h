/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fs-verity digests: SHA-256 over a 256-byte descriptor (version 1, SHA-256, 4096-byte
 * blocks, no salt) of size and Merkle root.  The rule is the kernel's
 * (Documentation/filesystems/fsverity.rst); an empty file has a root of 32 zero bytes.
 */
#pragma once

#include <coppice/digest.h>

#include "base/error.h"

#define VERITY_BLOCK 4096

struct verity;

/* verity_new() - a streaming calculation, used for one file after another.  One thread.
 */
struct verity *verity_new(struct cop_error *err);
struct verity *verity_free(struct verity *verity);
DEFINE_AUTO_PTR(verity)

/* verity_update() - the next bytes; any split gives the same digest */
int verity_update(struct verity *verity, const void *data, size_t size,
		  struct cop_error *err);

/* verity_update_zeros() - @size zero bytes, in time that hardly depends on @size */
int verity_update_zeros(struct verity *verity, uint64_t size, struct cop_error *err);

/* verity_end() - the digest of all bytes since the last end; ready for the next file */
int verity_end(struct verity *verity, struct cop_digest *ret_digest,
	       struct cop_error *err);

/* verity_digest_bytes() - of bytes in memory */
int verity_digest_bytes(const void *data, size_t size, struct cop_digest *ret_digest,
			struct cop_error *err);

/*
 * verity_digest_fd() - of the first @size bytes of an open regular file
 * @n_threads: ranges of large files are hashed by so many threads; 0: all processors
 *
 * Holes cost nothing to speak of.  The file offset is used.  Return: 0; -ESTALE when the
 * file is shorter than @size; another negative errno.
 */
int verity_digest_fd(int fd, uint64_t size, unsigned int n_threads,
		     struct cop_digest *ret_digest, struct cop_error *err);
