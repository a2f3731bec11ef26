/* SPDX-License-Identifier: Apache-2.0 */
/*
 * composefs images: a tree as an EROFS file whose bytes follow from the tree alone.
 * docs/store-format.md gives the layout; tests/golden proves it against the vectors.
 */
#pragma once

#include "tree/tree.h"

#define IMAGE_VERSION 1 /* what the store writes, always; 0 is read */

/*
 * struct image_sink - takes an image piece by piece, in order
 * @take: a piece to be filled, of IMAGE_PIECE bytes with any content
 * @give: the piece that was taken last, whose first @size bytes come next in the image: a
 *	  multiple of 4096, maybe 0; it is the sink's again
 *
 * Each piece is taken once the one before was given.  An error of either ends it all.
 */
#define IMAGE_PIECE ((size_t)256 * 1024)

struct image_sink {
	int (*take)(void *data, uint8_t **ret_piece, struct cop_error *err);
	int (*give)(void *data, uint8_t *piece, size_t size, struct cop_error *err);
	void *data;
};

/* image_write_to() - as image_write(), in memory that hardly grows with the tree's
 * content; @ret_size: of the image */
int image_write_to(const struct tree *tree, unsigned int version,
		   const struct image_sink *sink, uint64_t *ret_size,
		   struct cop_error *err);

/*
 * image_write() - @tree as an image in one heap block that the caller frees
 * @version: 0 or 1
 *
 * The tree must be finished; its links are kept where they are.  The same tree gives the
 * same bytes, always.  Return: 0; -EFBIG, -ERANGE, -EINVAL for what the format cannot
 * hold, named; -ENOMEM.
 */
int image_write(const struct tree *tree, unsigned int version, uint8_t **ret_data,
		size_t *ret_size, struct cop_error *err);

/*
 * image_read() - an image as a tree
 * @data:	 trusted in nothing
 * @ret_version: may be NULL
 *
 * Each inode of hard links stands at the name from which writing again gives the same
 * bytes.  Never uses more memory than 64 times @size (-EFBIG).  Return: 0; -EBADMSG with
 * the offset of what is wrong; -ENOMEM.
 */
int image_read(const uint8_t *data, size_t size, struct tree **ret_tree,
	       unsigned int *ret_version, struct cop_error *err);

/*
 * image_nids() - the inode number that each node has in the image of @tree
 * @ret_nids: by node->index, in a heap block that the caller frees; a link has that of
 *	      its inode
 *
 * As in the image that image_write() gives; image_read() gives a tree for which that is
 * the image it read, provided image_write() made it.  Errors as image_write().
 */
int image_nids(const struct tree *tree, unsigned int version, uint64_t **ret_nids,
	       struct cop_error *err);
