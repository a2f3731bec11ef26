/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Side lists: which pool files an object needs, so that a collection need not parse its
 * image.  A list says by its last 8 bytes that it is whole and whose it is; one that does
 * not is made again from the image.
 */
#include <endian.h>
#include <string.h>

#include "base/mutant.h"
#include "base/text.h"
#include "digest/sha256.h"
#include "store/private.h"

#define LIST_MAX (512 * MIB)

/* The first bytes of the SHA-256 of digest and prefixes. */
static int checksum(const struct cop_digest *digest, const uint8_t *list, size_t size,
		    uint8_t check[LIST_PREFIX], struct cop_error *err)
{
	auto_ptr(sha256) sha = sha256_new(err);
	char hex[SHA256_HEX + 1];

	if (!sha)
		return -ENOMEM;
	sha256_update(sha, digest->bytes, sizeof(digest->bytes));
	sha256_update(sha, list, size);
	sha256_end(sha, hex);
	hex[2 * LIST_PREFIX] = '\0';
	return hex_decode(hex, check, LIST_PREFIX);
}

/* By bytes from the last to the first; @spare: room for as many. */
static void sort_prefixes(uint64_t *prefixes, uint64_t *spare, size_t n)
{
	for (unsigned int shift = 0; shift < 64; shift += 8) {
		size_t ends[257] = {};
		uint64_t *from = prefixes;

		for (size_t i = 0; i < n; i++)
			ends[(from[i] >> shift & 0xff) + 1]++;
		for (unsigned int i = 1; i < 257; i++)
			ends[i] += ends[i - 1];
		for (size_t i = 0; i < n; i++)
			spare[ends[from[i] >> shift & 0xff]++] = from[i];
		prefixes = spare;
		spare = from;
	}
}

int list_collect(const struct tree *tree, uint8_t **ret_list, size_t *ret_size,
		 struct cop_error *err)
{
	size_t room = (size_t)tree->n_nodes + 1, n = 0, n_unique = 0;
	auto_free uint64_t *prefixes = malloc(2 * room * sizeof(*prefixes));
	auto_free uint8_t *list = malloc(room * LIST_PREFIX);

	if (!prefixes || !list)
		return err_oom(err);
	for (const struct tree_node *node = tree->root; node; node = tree_next(node))
		if (!node->link && node->digest) {
			memcpy(&prefixes[n], node->digest->bytes, LIST_PREFIX);
			prefixes[n] = be64toh(prefixes[n]);
			n++;
		}
	sort_prefixes(prefixes, prefixes + room, n);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || prefixes[i - 1] != prefixes[i]) {
			uint64_t prefix = htobe64(prefixes[i]);

			memcpy(list + n_unique++ * LIST_PREFIX, &prefix, LIST_PREFIX);
		}
	*ret_list = TAKE_PTR(list);
	*ret_size = (n_unique + 1) * LIST_PREFIX;
	return 0;
}

int list_seal(const struct cop_digest *digest, uint8_t *list, size_t size,
	      struct cop_error *err)
{
	return checksum(digest, list, size - LIST_PREFIX, list + size - LIST_PREFIX, err);
}

int list_make(const struct tree *tree, const struct cop_digest *digest,
	      uint8_t **ret_list, size_t *ret_size, struct cop_error *err)
{
	auto_free uint8_t *list = NULL;
	size_t size = 0;
	int r = list_collect(tree, &list, &size, err);

	if (r == 0)
		r = list_seal(digest, list, size, err);
	if (r < 0)
		return r;
	*ret_list = TAKE_PTR(list);
	*ret_size = size;
	return 0;
}

int list_read(const struct cop_store *store, const struct cop_digest *digest,
	      struct buf *list, struct cop_error *err)
{
	char path[STORE_PATH_SIZE];
	uint8_t check[LIST_PREFIX];
	size_t size;
	int r = fs_read_file(store->fd, list_path(digest, path), LIST_MAX, list, err);

	if (r < 0)
		return r;
	if (list->size < LIST_PREFIX || list->size % LIST_PREFIX != 0)
		return err_set(err, -EUCLEAN, "'%s' is damaged", path);
	size = list->size - LIST_PREFIX;
	r = checksum(digest, (const uint8_t *)list->data, size, check, err);
	if (r < 0)
		return r;
	if (memcmp(check, list->data + size, LIST_PREFIX) != 0 && !mutant("list-digest"))
		return err_set(err, -EUCLEAN, "'%s' is damaged", path);
	buf_truncate(list, size);
	return 0;
}

/* A list that could not be put back is made again next time. */
static void put_back(struct cop_store *store, const struct cop_digest *digest,
		     const uint8_t *list, size_t size)
{
	auto_lock *lock = NULL;
	char random[FS_TEMPORARY_NAME], tmp[STORE_PATH_SIZE], path[STORE_PATH_SIZE];

	if (store_lock_take(store, STORE_LOCK_SHARED, &lock, NULL) < 0 ||
	    object_exists(store, digest, NULL) != 1)
		return;
	/* In meta/, where a sweep finds what a kill leaves. */
	(void)snprintf(tmp, sizeof(tmp), "meta/%s", fs_temporary_name(random));
	if (fs_write_new(store->fd, tmp, list, size, 0600, NULL) < 0)
		return;
	if (renameat(store->fd, tmp, store->fd, list_path(digest, path)) < 0)
		(void)unlinkat(store->fd, tmp, 0);
}

/* Where there is none, or a damaged one. */
static int make_again(struct cop_store *store, const struct cop_digest *digest,
		      bool is_locked, struct buf *list, struct cop_error *err)
{
	auto_free uint8_t *made = NULL;
	auto_ptr(tree) tree = NULL;
	size_t size = 0;
	int r = object_read_tree(store, digest, &tree, err);

	if (r == 0)
		r = list_make(tree, digest, &made, &size, err);
	if (r < 0)
		return r;
	buf_truncate(list, 0);
	if (buf_append(list, made, size - LIST_PREFIX) < 0)
		return err_oom(err);
	if (!is_locked && !store->read_only)
		put_back(store, digest, made, size);
	return 0;
}

int list_get(struct cop_store *store, const struct cop_digest *digest, bool is_locked,
	     struct buf *list, struct cop_error *err)
{
	int r = list_read(store, digest, list, err);

	if (r != -ENOENT && r != -EUCLEAN && r != -EFBIG && r != -EINVAL && r != -ELOOP &&
	    r != -EIO)
		return r;
	return make_again(store, digest, is_locked, list, err);
}
