/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as an image: what can be read can be written, and is then read as the same.
 */
#include "fuzz.h"

#include <string.h>

#include "image/image.h"
#include "tree/dump.h"

static void dump_of(const struct tree *tree, struct buf *buf)
{
	struct cop_error err = {};

	fuzz_check(tree_to_dump(tree, buf, &err) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free uint8_t *written = NULL, *again = NULL;
	auto_ptr(tree) tree = NULL;
	auto_ptr(tree) second = NULL;
	size_t written_size = 0, again_size = 0;
	auto_buf before = {}, after = {};
	struct cop_error err = {};
	unsigned int version = 0;
	int r;

	r = image_read(data, size, &tree, &version, &err);
	if (r < 0) {
		fuzz_check(r == -EBADMSG || r == -EFBIG);
		fuzz_check(strncmp(err.message, "image: ", 7) == 0);
		return 0;
	}
	fuzz_check(arena_size(tree->arena) / 64 <= size);
	fuzz_check(image_write(tree, version, &written, &written_size, &err) == 0);
	fuzz_check(image_read(written, written_size, &second, &version, &err) == 0);
	fuzz_check(image_write(second, version, &again, &again_size, &err) == 0);
	fuzz_check(again_size == written_size &&
		   memcmp(again, written, written_size) == 0);
	dump_of(tree, &before);
	dump_of(second, &after);
	fuzz_check(strcmp(buf_text(&before), buf_text(&after)) == 0);
	return 0;
}
