/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as an index segment: what can be read can be looked up, and leads nowhere
 * outside of its tables. */
#include "fuzz.h"

#include <string.h>

#include "remote/index.h"

static void check(const struct segment *segment)
{
	for (uint32_t i = 0; i < segment->n_blocks; i++) {
		const struct block *block = &segment->blocks[i];

		fuzz_check(block->pack < segment->n_packs);
		fuzz_check(block->offset + block->stored_size <=
			   segment->packs[block->pack].size);
	}
	for (uint32_t i = 0; i < segment->n_files; i++) {
		const struct index_file *file = &segment->files[i];
		struct cop_error err = {};
		int64_t n = segment_file_blocks(segment, file, &err);

		fuzz_check(n > 0 || (n == -EBADMSG && *err.message));
		fuzz_check(n < 0 || (uint64_t)n + file->block <= segment->n_blocks);
		fuzz_check(n != 1 || (uint64_t)file->inner + file->size <=
					     segment->blocks[file->block].size);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cop_error err = {};
	struct segment *segment = NULL;
	auto_ptr(catalogue) catalogue = catalogue_new(&err);
	const struct segment *found = NULL;

	fuzz_check(catalogue);
	if (segment_read(data, size, &segment, &err) < 0) {
		fuzz_check(err.code == -EBADMSG && *err.message);
		return 0;
	}
	check(segment);
	fuzz_check(catalogue_add(catalogue, segment, &err) == 0);
	for (uint32_t i = 0; i < segment->n_files; i++)
		fuzz_check(catalogue_file(catalogue, &segment->files[i].id, &found) ==
			   &segment->files[i]);
	return 0;
}
