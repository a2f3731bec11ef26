/* SPDX-License-Identifier: Apache-2.0 */
/* The content of a file of the pool, proven before it is used. */
#pragma once

#include <coppice/store.h>

#include "archive/output.h"
#include "base/buf.h"
#include "digest/verity.h"
#include "tree/tree.h"

/* A piece that is not a hole. */
struct segment {
	uint64_t offset;
	uint64_t size;
};

struct content {
	struct cop_store *store;
	struct verity *verity;
	uint8_t *buffer;
	const struct tree_node *node; /* the open one */
	int fd;
	bool in_buffer;	     /* as a whole */
	struct buf segments; /* of struct segment */
	uint64_t n_data;     /* bytes in segments */
};

int content_init(struct content *content, struct cop_store *store, struct cop_error *err);
void content_done(struct content *content);

/* content_open() - find the file of @node (a regular one, not empty), compare it with its
 * digest, and its holes: runs of zeros of at least 1 MiB.  -EUCLEAN: it is damaged. */
int content_open(struct content *content, const struct tree_node *node,
		 struct cop_error *err);
void content_close(struct content *content);

/* content_write() - all of it, or only the segments */
int content_write(struct content *content, bool only_segments, struct output *output,
		  struct cop_error *err);

static inline const struct segment *content_segments(const struct content *content,
						     size_t *ret_n)
{
	*ret_n = content->segments.size / sizeof(struct segment);
	return (const void *)content->segments.data;
}
