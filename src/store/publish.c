/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Publishing: files, then what the side list says of them, then the image, each by one
 * rename to its final name.  All of it passed the first barrier, and the shared lock is
 * held, so that no collection takes away what was counted as there.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>

#include "base/mutant.h"
#include "store/private.h"

/* Digits of a digest that are the directory of a pool file. */
#define SHARD_DIGITS 2

static bool has_size(int dir_fd, const char *path, uint64_t size)
{
	struct stat st;

	return fstatat(dir_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       pool_is_right(&st, size);
}

/* Not every file system knows RENAME_NOREPLACE.  Where two have the same content, it does
 * not matter which of them stays. */
static int rename_new(int from_fd, const char *from, int to_fd, const char *to)
{
	struct stat st;

	if (renameat2(from_fd, from, to_fd, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	if (fstatat(to_fd, to, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return -EEXIST;
	return renameat(from_fd, from, to_fd, to) < 0 ? -errno : 0;
}

/* @to: "files/ab/cdef..." or "objects/ab/cdef..." */
static int make_shard(const struct cop_store *store, const char *to)
{
	char shard[STORE_PATH_SIZE];

	(void)snprintf(shard, sizeof(shard), "%.*s", (int)(strrchr(to, '/') - to), to);
	return mkdirat(store->fd, shard, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

/*
 * From the work directory to @to; one of the same size that is there already stays,
 * unless @replace.  Return: 0, also when there is nothing to move but @to is right.
 */
static int enter(const struct publication *publication, const char *from, const char *to,
		 uint64_t size, bool replace, struct cop_error *err)
{
	int store_fd = publication->store->fd, from_fd = publication->workdir_fd;
	int r = rename_new(from_fd, from, store_fd, to);

	if (r == -ENOENT && has_size(from_fd, from, size)) {
		r = make_shard(publication->store, to);
		if (r == 0)
			r = rename_new(from_fd, from, store_fd, to);
	}
	if (r == -EEXIST && (replace || !has_size(store_fd, to, size)))
		r = renameat(from_fd, from, store_fd, to) < 0 ? -errno : 0;
	if (r == -EEXIST) {
		(void)unlinkat(from_fd, from, 0);
		r = 0;
	}
	if (r == -ENOENT && has_size(store_fd, to, size))
		r = 0;
	return r < 0 ? err_code(err, r, "publish '%s' in store '%s'", to,
				publication->store->path)
		     : 0;
}

/* A shard of the pool that does not exist yet is entered as a whole, by one rename. */
static bool enter_shard(const struct publication *publication, const struct move *first)
{
	char path[STORE_PATH_SIZE];

	(void)pool_path(&first->digest, path);
	path[strlen("files/") + SHARD_DIGITS] = '\0';
	return renameat2(publication->workdir_fd, path, publication->store->fd, path,
			 RENAME_NOREPLACE) == 0;
}

static bool same_shard(const struct move *a, const struct move *b)
{
	return !a->path && !b->path && a->digest.bytes[0] == b->digest.bytes[0];
}

/* The list is sorted by digest, except for files with paths of their own. */
static int move_files(const struct publication *publication, struct cop_error *err)
{
	struct moves *moves = publication->moves;
	char from[STORE_PATH_SIZE], to[STORE_PATH_SIZE];

	for (size_t i = 0; i < moves->n; i++) {
		struct move *move = &moves->list[i];
		bool is_first = i == 0 || !same_shard(move, move - 1);
		int r;

		if (!move->path && is_first && enter_shard(publication, move))
			for (size_t k = i;
			     k < moves->n && same_shard(move, &moves->list[k]); k++)
				moves->list[k].done = true;
		if (!move->done) {
			r = 0;
			if (move->path)
				r = normalise(publication->workdir_fd, move->path, err);
			if (r == 0)
				r = enter(publication, move_path(move, from),
					  pool_path(&move->digest, to), move->size, false,
					  err);
			if (r < 0)
				return r;
			move->done = true;
		}
		commit_step(COMMIT_FILE_MOVED);
	}
	return 0;
}

int publish_check_files(const struct cop_store *store, const struct tree *tree,
			struct cop_error *err)
{
	char payload[TREE_PAYLOAD_SIZE];

	for (const struct tree_node *node = tree->root; node; node = tree_next(node)) {
		auto_free char *path = NULL;
		int r;

		if (node->link || !node->digest || mutant("publish-check"))
			continue;
		r = pool_state(store, node->digest, node->size, err);
		if (r > 0)
			continue;
		if (r < 0)
			return r;
		path = tree_path(node);
		return err_set(err, -EAGAIN,
			       "the pool of store '%s' lacks 'files/%s', the content of "
			       "'%s'",
			       store->path, tree_payload(node->digest, payload),
			       path ? path : "");
	}
	return 0;
}

int publish_check_staged(const struct cop_store *store, const struct staging *staging,
			 struct cop_error *err)
{
	char payload[TREE_PAYLOAD_SIZE];
	size_t position = 0;
	void *value;

	while (staging && map_next(staging->files, &position, NULL, NULL, &value)) {
		const struct staged_file *file = value;
		int r;

		if (file->state != STAGED_IN_POOL)
			continue;
		r = pool_state(store, &file->digest, file->size, err);
		if (r < 0)
			return r;
		if (r == 0)
			return err_set(err, -EAGAIN,
				       "the pool of store '%s' lacks 'files/%s'",
				       store->path, tree_payload(&file->digest, payload));
	}
	return 0;
}

int publish(const struct publication *publication, struct cop_error *err)
{
	const struct cop_store *store = publication->store;
	const struct cop_digest *object = &publication->moves->object;
	char path[STORE_PATH_SIZE];
	struct stat st;
	int r;

	r = move_files(publication, err);
	if (r == 0 && publication->tree)
		r = publish_check_files(store, publication->tree, err);
	else if (r == 0)
		r = publish_check_staged(store, publication->staging, err);
	if (r < 0)
		return r;
	/* The list follows from the object, so an older one is as good. */
	if (renameat(publication->workdir_fd, "list", store->fd,
		     list_path(object, path)) < 0 &&
	    (errno != ENOENT || fstatat(store->fd, path, &st, 0) < 0))
		return err_errno(err, "publish '%s' in store '%s'", path, store->path);
	r = enter(publication, "image", object_path(object, path),
		  publication->moves->image_size, publication->replace_image, err);
	if (r == 0)
		r = workdir_make_root(publication->workdir_fd, object, err);
	if (r == 0 && unlinkat(store->fd, damaged_path(object, path), 0) < 0 &&
	    errno != ENOENT)
		r = err_errno(err, "remove '%s' in store '%s'", path, store->path);
	return r;
}
