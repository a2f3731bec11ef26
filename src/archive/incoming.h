/* SPDX-License-Identifier: Apache-2.0 */
/* Contents on their way from an archive into the store: written once, hashed by other
 * threads, and left where they are until they are published. */
#pragma once

#include "archive/layers.h"
#include "archive/stream.h"
#include "store/commit.h"

struct incoming {
	struct cop_store *store;
	struct workdir *workdir;
	struct staging *staging;
	struct staging_place place;
	int dir_fd;
	uint64_t n_files;
	uint8_t *buffer;
	const struct cop_progress *progress;
	uint64_t last_position;
};

int incoming_init(struct incoming *incoming, struct cop_store *store,
		  const struct cop_progress *progress, struct cop_error *err);
void incoming_done(struct incoming *incoming);

/* incoming_take() - the content of the stream's current entry, @size bytes, into @inode
 * of a tree of @layers */
int incoming_take(struct incoming *incoming, struct stream *stream, uint64_t size,
		  struct layers *layers, struct layer_inode *inode, const char *path,
		  struct cop_error *err);

/* incoming_open() - what was taken for @inode, to be read; after incoming_finish().
 * Return: the fd, or a negative errno. */
int incoming_open(const struct incoming *incoming, const struct layer_inode *inode,
		  struct cop_error *err);

/* incoming_finish() - wait for the threads; their first error */
int incoming_finish(struct incoming *incoming, struct cop_error *err);
