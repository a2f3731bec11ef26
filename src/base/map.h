/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table from strings of bytes to pointers.  Keys are borrowed: they must live as long
 * as the table.  Not safe from several threads at the same time.
 */
#pragma once

#include "base/defs.h"

struct map;

struct map *map_new(void);
struct map *map_free(struct map *map);
DEFINE_AUTO_PTR(map)

/* map_get() - the value stored for the key, or NULL */
void *map_get(const struct map *map, const void *key, size_t key_size);

/*
 * map_slot() - where the value of the key is stored, made (and NULL) when it was not
 * there
 *
 * The address is good until the next map_slot().  Return: NULL when memory is out.
 */
void **map_slot(struct map *map, const void *key, size_t key_size);

/* map_size() - number of keys */
size_t map_size(const struct map *map);

/* map_next() - walk in no order: start with *@position 0; false at the end; NULLs allowed
 */
bool map_next(const struct map *map, size_t *position, const void **ret_key,
	      size_t *ret_key_size, void **ret_value);
