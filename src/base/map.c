/* SPDX-License-Identifier: Apache-2.0 */
/* Open addressing with linear probing; grows at three quarters; nothing is ever removed.
 */
#include "base/map.h"

#include <string.h>

struct slot {
	const void *key; /* NULL: free */
	size_t key_size;
	uint64_t hash;
	void *value;
};

struct map {
	struct slot *slots;
	size_t n_slots; /* a power of two, or 0 */
	size_t n_used;
};

static const char empty_key[1];

/* FNV-1a with a final mix: keys are names and digests of our own, not an attacker's game
 * for more than the time of one run. */
static uint64_t hash_bytes(const void *key, size_t size)
{
	const uint8_t *bytes = key;
	uint64_t hash = 0xcbf29ce484222325U;

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ bytes[i]) * 0x100000001b3U;
	hash ^= hash >> 32;
	return hash * 0x9e3779b97f4a7c15U;
}

struct map *map_new(void)
{
	return calloc(1, sizeof(struct map));
}

struct map *map_free(struct map *map)
{
	if (map)
		free(map->slots);
	free(map);
	return NULL;
}

static struct slot *find_slot(struct slot *slots, size_t n_slots, const void *key,
			      size_t size, uint64_t hash)
{
	size_t i = (size_t)(hash >> 20) & (n_slots - 1);

	for (;; i = (i + 1) & (n_slots - 1)) {
		struct slot *slot = &slots[i];

		if (!slot->key)
			return slot;
		if (slot->hash == hash && slot->key_size == size &&
		    memcmp(slot->key, key, size) == 0)
			return slot;
	}
}

static int grow(struct map *map)
{
	size_t n_slots = map->n_slots ? map->n_slots * 2 : 16;
	struct slot *slots = calloc(n_slots, sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	for (size_t i = 0; i < map->n_slots; i++) {
		struct slot *old = &map->slots[i];

		if (old->key)
			*find_slot(slots, n_slots, old->key, old->key_size, old->hash) =
				*old;
	}
	free(map->slots);
	map->slots = slots;
	map->n_slots = n_slots;
	return 0;
}

void *map_get(const struct map *map, const void *key, size_t key_size)
{
	struct slot *slot;

	if (map->n_used == 0)
		return NULL;
	slot = find_slot(map->slots, map->n_slots, key_size ? key : empty_key, key_size,
			 hash_bytes(key, key_size));
	return slot->key ? slot->value : NULL;
}

void **map_slot(struct map *map, const void *key, size_t key_size)
{
	uint64_t hash = hash_bytes(key, key_size);
	struct slot *slot;

	if (map->n_used >= map->n_slots / 4 * 3 && grow(map) < 0)
		return NULL;
	key = key_size ? key : empty_key;
	slot = find_slot(map->slots, map->n_slots, key, key_size, hash);
	if (!slot->key) {
		*slot = (struct slot){.key = key, .key_size = key_size, .hash = hash};
		map->n_used++;
	}
	return &slot->value;
}

size_t map_size(const struct map *map)
{
	return map->n_used;
}

bool map_next(const struct map *map, size_t *position, const void **ret_key,
	      size_t *ret_key_size, void **ret_value)
{
	while (*position < map->n_slots) {
		const struct slot *slot = &map->slots[(*position)++];

		if (!slot->key)
			continue;
		if (ret_key)
			*ret_key = slot->key;
		if (ret_key_size)
			*ret_key_size = slot->key_size;
		if (ret_value)
			*ret_value = slot->value;
		return true;
	}
	return false;
}
