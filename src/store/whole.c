/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether an object has all its files, asked once after each start of the machine; and
 * whether all of it came to the disk as it was written, asked once, after the first start
 * since: what is read before that may come from memory.
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <time.h>

#include "store/private.h"
#include "store/verify.h"

/* The time of modification of an image that has been read back. */
#define SETTLED 1

static _Atomic int64_t start_for_tests;

void object_set_start(int64_t seconds)
{
	start_for_tests = seconds;
}

/* Goes with the clock: when that was set later, all that is older counts as unseen. */
static int64_t machine_start(void)
{
	struct timespec now = {}, up = {};

	if (start_for_tests)
		return start_for_tests;
	(void)clock_gettime(CLOCK_REALTIME, &now);
	(void)clock_gettime(CLOCK_BOOTTIME, &up);
	return now.tv_sec - up.tv_sec;
}

static int refuse(struct cop_store *store, const struct cop_digest *digest,
		  const struct tree_node *node, struct cop_error *err)
{
	auto_free char *path = tree_path(node);
	char hex[COP_DIGEST_HEX + 1], payload[TREE_PAYLOAD_SIZE];

	if (!store->read_only)
		(void)object_mark_damaged(store, digest, NULL);
	return err_set(
		err, -EUCLEAN,
		"use object '%s' of store '%s': 'files/%s', the content of '%s', is "
		"missing or has another size; build or commit the tree again",
		cop_digest_to_hex(digest, hex), store->path,
		tree_payload(node->digest, payload), path ? path : "");
}

static int check_all(struct cop_store *store, const struct cop_digest *digest,
		     struct cop_error *err)
{
	auto_ptr(tree) tree = NULL;
	int r = object_read_tree(store, digest, &tree, err);

	if (r < 0)
		return r;
	for (const struct tree_node *node = tree->root; node; node = tree_next(node)) {
		if (node->link || !node->digest)
			continue;
		r = pool_state(store, node->digest, node->size, err);
		if (r == 0)
			return refuse(store, digest, node, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int object_check_files(struct cop_store *store, const struct cop_digest *digest,
		       struct cop_error *err)
{
	/* The time of change says when it was looked at, that of modification that it has
	 * not been read back since it was written. */
	const struct timespec seen[2] = {{.tv_nsec = UTIME_NOW}, {.tv_sec = SETTLED}};
	char path[STORE_PATH_SIZE];
	struct stat st;
	int r;

	if (fstatat(store->fd, object_path(digest, path), &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_errno(err, "look for '%s' in store '%s'", path, store->path);
	if (st.st_ctim.tv_sec > machine_start())
		return 0;
	if (st.st_mtim.tv_sec != SETTLED && !store->is_trusted)
		r = object_verify(store, digest, NULL, err);
	else
		r = check_all(store, digest, err);
	if (r == 0 && !store->read_only && !store->is_trusted)
		(void)utimensat(store->fd, path, seen, AT_SYMLINK_NOFOLLOW);
	return r;
}
