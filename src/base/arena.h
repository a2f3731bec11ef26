/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that is given back all at once.  One arena per tree: nodes are never freed one
 * by one.  Not safe from several threads at the same time.
 */
#pragma once

#include "base/defs.h"

struct arena;

/* arena_new() - NULL when memory is out */
struct arena *arena_new(void);
struct arena *arena_free(struct arena *arena);
DEFINE_AUTO_PTR(arena)

/* arena_adopt() - what @from holds lives as long as @arena from now on; @from is freed */
void arena_adopt(struct arena *arena, struct arena *from);

/* arena_alloc() - @size zeroed bytes, aligned for any type; NULL when memory is out */
void *arena_alloc(struct arena *arena, size_t size);

/* arena_alloc_aligned() - the same at a multiple of @alignment, a power of two */
void *arena_alloc_aligned(struct arena *arena, size_t size, size_t alignment);

/* arena_memdup() - a copy of @size bytes, with a NUL behind it, byte aligned */
char *arena_memdup(struct arena *arena, const void *data, size_t size);

/* arena_size() - bytes taken from the system so far */
size_t arena_size(const struct arena *arena);
