/* SPDX-License-Identifier: Apache-2.0 */
/* Where an archive goes: a file, or only its digest and length. */
#pragma once

#include "digest/sha256.h"

struct output {
	int fd;		    /* negative: nowhere */
	struct sha256 *sha; /* NULL: not hashed */
	uint64_t n_bytes;
	uint8_t *buffer; /* what is not written yet */
	size_t used;
};

/* output_init() - @fd negative: count and hash */
int output_init(struct output *output, int fd, struct cop_error *err);
void output_done(struct output *output);

int output_write(struct output *output, const void *data, size_t size,
		 struct cop_error *err);
int output_zeros(struct output *output, uint64_t size, struct cop_error *err);

/* output_flush() - what was held back is written */
int output_flush(struct output *output, struct cop_error *err);
