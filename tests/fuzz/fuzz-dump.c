/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any text as a dump: what can be read is written in one form, and what an image can hold
 * comes back from it.
 */
#include "fuzz.h"

#include <string.h>

#include "image/image.h"
#include "tree/dump.h"

/* Sizes of what has none are no part of an image, though they can change it. */
static void drop_sizes(struct tree *tree)
{
	for (struct tree_node *node = tree->root; node; node = tree_next(node))
		if (!node->link && !S_ISREG(node->mode))
			node->size = 0;
}

static void check_image(const struct tree *tree, unsigned int version)
{
	auto_free uint8_t *data = NULL, *again = NULL;
	size_t size = 0, again_size = 0;
	struct cop_error err = {};
	auto_ptr(tree) read = NULL;
	int r = image_write(tree, version, &data, &size, &err);

	if (r < 0) {
		fuzz_check(r == -EFBIG || r == -ERANGE || r == -EINVAL);
		return;
	}
	fuzz_check(image_read(data, size, &read, NULL, &err) == 0);
	fuzz_check(image_write(read, version, &again, &again_size, &err) == 0);
	fuzz_check(again_size == size && memcmp(again, data, size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_ptr(tree) tree = NULL;
	auto_ptr(tree) second = NULL;
	auto_buf first_text = {}, second_text = {};
	struct cop_error err = {};

	if (tree_from_dump((const char *)data, size, &tree, &err) < 0) {
		fuzz_check(err.code < 0 && *err.message);
		return 0;
	}
	fuzz_check(tree_to_dump(tree, &first_text, &err) == 0);
	fuzz_check(tree_from_dump(buf_text(&first_text), first_text.size, &second,
				  &err) == 0);
	fuzz_check(tree_to_dump(second, &second_text, &err) == 0);
	fuzz_check(strcmp(buf_text(&first_text), buf_text(&second_text)) == 0);
	drop_sizes(tree);
	check_image(tree, 0);
	check_image(tree, 1);
	return 0;
}
