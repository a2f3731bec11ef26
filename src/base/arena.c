/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"

#include <stdalign.h>
#include <string.h>

#include "base/pages.h"

#define FIRST_BLOCK   ((size_t)4096)
#define GROWTH	      4
#define LARGEST_BLOCK ((size_t)4 * 1024 * 1024)

struct block {
	struct block *next;
	size_t used;
	size_t size;
	alignas(max_align_t) char data[];
};

struct arena {
	struct block *blocks;
	size_t total;
};

struct arena *arena_new(void)
{
	return calloc(1, sizeof(struct arena));
}

struct arena *arena_free(struct arena *arena)
{
	if (!arena)
		return NULL;
	while (arena->blocks) {
		struct block *next = arena->blocks->next;

		free(arena->blocks);
		arena->blocks = next;
	}
	free(arena);
	return NULL;
}

void arena_adopt(struct arena *arena, struct arena *from)
{
	struct block **end = &arena->blocks;

	/* Behind the block that is being filled. */
	while (*end)
		end = &(*end)->next;
	*end = from->blocks;
	arena->total += from->total;
	from->blocks = NULL;
	arena_free(from);
}

static struct block *add_block(struct arena *arena, size_t size)
{
	size_t wanted = arena->blocks
				? GROWTH * (arena->blocks->size + sizeof(struct block))
				: FIRST_BLOCK;
	struct block *block;

	if (wanted > LARGEST_BLOCK)
		wanted = LARGEST_BLOCK;
	if (size > SIZE_MAX - sizeof(*block))
		return NULL;
	if (wanted < sizeof(*block) + size)
		wanted = sizeof(*block) + size;
	block = pages_alloc(wanted);
	if (!block)
		return NULL;
	block->used = 0;
	block->size = wanted - sizeof(*block);
	block->next = arena->blocks;
	arena->blocks = block;
	arena->total += wanted;
	return block;
}

static size_t next_start(const struct block *block, size_t alignment)
{
	uintptr_t address = (uintptr_t)block->data + block->used;

	return block->used + (size_t)(-address & (alignment - 1));
}

static char *take_bytes(struct arena *arena, size_t size, size_t alignment)
{
	struct block *block = arena->blocks;
	size_t start = 0;

	if (block)
		start = next_start(block, alignment);
	if (!block || start > block->size || size > block->size - start) {
		if (size > SIZE_MAX - alignment)
			return NULL;
		block = add_block(arena, size + alignment);
		if (!block)
			return NULL;
		start = next_start(block, alignment);
	}
	block->used = start + size;
	return block->data + start;
}

void *arena_alloc_aligned(struct arena *arena, size_t size, size_t alignment)
{
	char *bytes = take_bytes(arena, size, alignment);

	if (bytes)
		memset(bytes, 0, size);
	return bytes;
}

void *arena_alloc(struct arena *arena, size_t size)
{
	return arena_alloc_aligned(arena, size, alignof(max_align_t));
}

char *arena_memdup(struct arena *arena, const void *data, size_t size)
{
	char *bytes;

	if (size == SIZE_MAX)
		return NULL;
	bytes = take_bytes(arena, size + 1, 1);
	if (!bytes)
		return NULL;
	if (size)
		memcpy(bytes, data, size);
	bytes[size] = '\0';
	return bytes;
}

size_t arena_size(const struct arena *arena)
{
	return sizeof(*arena) + arena->total;
}
