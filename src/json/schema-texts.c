/* SPDX-License-Identifier: Apache-2.0 */
/* Equality of many values at once: as texts they can be sorted, so that a long array of
 * hostile values costs n log n. */
#include <string.h>

#include "json/schema-node.h"

static int compare_texts(const void *a, const void *b)
{
	const struct schema_text *x = a, *y = b;
	size_t size = x->size < y->size ? x->size : y->size;
	int order = memcmp(x->data, y->data, size);

	return order ? order : (x->size > y->size) - (x->size < y->size);
}

static int append_texts(struct schema_texts *texts, const json_t *array,
			struct cop_error *err)
{
	const json_t *item;
	size_t i;

	json_array_foreach (array, i, item) {
		size_t before = texts->buf.size;
		int r = json_equal_text(item, &texts->buf, err);

		if (r < 0)
			return r;
		if (r == JSON_EQUALS_NOTHING)
			buf_truncate(&texts->buf, before);
		else
			texts->items[texts->n_items++].size = texts->buf.size - before;
	}
	return 0;
}

int schema_texts_init(struct schema_texts *texts, const json_t *array,
		      struct cop_error *err)
{
	size_t offset = 0;
	int r;

	*texts = (struct schema_texts){};
	texts->items = calloc(json_array_size(array) + 1, sizeof(*texts->items));
	if (!texts->items)
		return err_oom(err);
	r = append_texts(texts, array, err);
	if (r < 0) {
		schema_texts_done(texts);
		return r;
	}
	for (size_t i = 0; i < texts->n_items; i++) {
		texts->items[i].data = texts->buf.data + offset;
		offset += texts->items[i].size;
	}
	qsort(texts->items, texts->n_items, sizeof(*texts->items), compare_texts);
	return 0;
}

void schema_texts_done(struct schema_texts *texts)
{
	buf_done(&texts->buf);
	free(texts->items);
	*texts = (struct schema_texts){};
}

bool schema_texts_unique(const struct schema_texts *texts)
{
	for (size_t i = 1; i < texts->n_items; i++)
		if (compare_texts(&texts->items[i - 1], &texts->items[i]) == 0)
			return false;
	return true;
}

bool schema_texts_have(const struct schema_texts *texts, const char *data, size_t size)
{
	struct schema_text text = {.data = data, .size = size};

	return texts->n_items &&
	       bsearch(&text, texts->items, texts->n_items, sizeof(text), compare_texts);
}
