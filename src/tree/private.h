/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this room share and nobody else needs. */
#pragma once

#include "tree/tree.h"

/*
 * tree_order() - tree_finish() for a reader that knows where a node came from
 * @ret_later: with -EEXIST, of the two nodes of one name that with the larger @index,
 *             which holds what the reader put there; may be NULL
 */
int tree_order(struct tree *tree, const struct tree_node **ret_later,
	       struct cop_error *err);

/* tree_mode_is_valid() - a known type, and nothing beyond the permission bits */
bool tree_mode_is_valid(uint32_t mode);
