/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "remote/private.h"
#include "store/object.h"
#include "store/receive.h"
#include "tree/dump.h"

/* A dictionary must share at least one file of so many. */
#define NEAR_ENOUGH 8

int tree_text(struct cop_store *store, const struct cop_digest *object, struct buf *text,
	      struct cop_error *err)
{
	auto_ptr(tree) tree = NULL;
	int r = object_read_tree(store, object, &tree, err);

	if (r == 0)
		r = tree_to_dump(tree, text, err);
	if (r == 0 && text->size > DUMP_MAX)
		r = err_set(err, -EFBIG,
			    "a tree whose text is larger than a remote takes");
	return r;
}

static size_t count_shared(const struct buf *a, const struct buf *b)
{
	size_t i = 0, j = 0, n = 0;

	while (i + OBJECT_LIST_PREFIX <= a->size && j + OBJECT_LIST_PREFIX <= b->size) {
		int order = memcmp(a->data + i, b->data + j, OBJECT_LIST_PREFIX);

		n += order == 0;
		i += order <= 0 ? OBJECT_LIST_PREFIX : 0;
		j += order >= 0 ? OBJECT_LIST_PREFIX : 0;
	}
	return n;
}

size_t tree_nearest(struct cop_store *store, const struct cop_digest *object,
		    const struct cop_digest *others, size_t n)
{
	size_t best = n, best_shared = 0;
	auto_buf own = {};

	if (object_list(store, object, &own, NULL) < 0)
		return n;
	for (size_t i = 0; i < n; i++) {
		auto_buf list = {};
		size_t shared;

		if (cop_digest_equal(&others[i], object) ||
		    object_exists(store, &others[i], NULL) <= 0 ||
		    object_list(store, &others[i], &list, NULL) < 0)
			continue;
		shared = count_shared(&own, &list);
		if (shared > best_shared || (own.size == 0 && best == n)) {
			best = i;
			best_shared = shared;
		}
	}
	return own.size == 0 || best_shared >= own.size / OBJECT_LIST_PREFIX / NEAR_ENOUGH
		       ? best
		       : n;
}
