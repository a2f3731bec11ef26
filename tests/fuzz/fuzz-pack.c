/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a pack: what its directory says lies inside of it. */
#include "fuzz.h"

#include <string.h>

#include "remote/pack.h"

static void check(const struct pack_directory *directory, size_t size)
{
	for (uint32_t i = 0; i < directory->n_blocks; i++) {
		const struct block *block = &directory->blocks[i];

		fuzz_check(block->offset + block->stored_size <= size);
		fuzz_check(block->codec <= BLOCK_TREE);
	}
	for (uint32_t i = 0; i < directory->n_files; i++) {
		const struct pack_file *file = &directory->files[i];

		fuzz_check(file->block < directory->n_blocks);
		fuzz_check((uint64_t)file->inner + file->length <=
			   directory->blocks[file->block].size);
	}
	for (uint32_t i = 0; i < directory->n_trees; i++)
		fuzz_check(directory->trees[i].block < directory->n_blocks);
}

/* Its blocks, as a pull would unpack them. */
static void unpack(const struct pack_directory *directory, const uint8_t *data)
{
	struct cop_error err = {};
	auto_ptr(packer) packer = packer_new(&err);
	auto_free uint8_t *room = malloc(FILE_BLOCK);
	auto_buf none = {};

	fuzz_check(packer && room);
	for (uint32_t i = 0; i < directory->n_blocks; i++) {
		const struct block *block = &directory->blocks[i];
		auto_buf text = {};
		int r;

		if (block->codec == BLOCK_TREE)
			r = tree_unpack(data + block->offset, block->stored_size, &none,
					block->size, &text, &err);
		else
			r = block_unpack(packer, block, data + block->offset, room, &err);
		fuzz_check(r == 0 || r == -EBADMSG);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_with(pack_directory_done) struct pack_directory directory = {};
	struct cop_error err = {};
	int r = pack_read_directory(data, size, size, &directory, &err);

	if (r < 0) {
		fuzz_check((r == -EBADMSG || r == -EMSGSIZE) && *err.message);
		return 0;
	}
	check(&directory, size);
	unpack(&directory, data);
	return 0;
}
