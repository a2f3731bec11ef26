/* SPDX-License-Identifier: Apache-2.0 */
/* Finishing what a killed commit had on disk: nothing that passed the first barrier is
 * thrown away. */
#include <fcntl.h>

#include "base/mutant.h"
#include "image/image.h"
#include "store/private.h"

#define IMAGE_SIZE_MAX (2 * GIB)

static int damaged(const char *path, struct cop_error *err)
{
	return err_set(err, -EUCLEAN, "finish a commit: '%s' is damaged", path);
}

/* 1: there and right; 0: not there (published already, or lost) */
static int check_staged(int workdir_fd, const struct move *move, struct cop_error *err)
{
	char text[STORE_PATH_SIZE];
	const char *path = move_path(move, text);
	auto_close int fd =
		fs_open_plain(workdir_fd, path, O_RDONLY | O_NONBLOCK, 0, err);
	struct cop_digest digest;
	struct stat st;
	int r;

	if (fd == -ENOENT)
		return 0;
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return err_errno(err, "stat '%s'", path);
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != move->size)
		return damaged(path, err);
	r = verity_digest_fd(fd, move->size, 0, &digest, err);
	if (r < 0)
		return r;
	return cop_digest_equal(&digest, &move->digest) || mutant("resume-digest")
		       ? 1
		       : damaged(path, err);
}

static int check_moves(struct cop_store *store, int workdir_fd, const struct moves *moves,
		       struct cop_error *err)
{
	char text[STORE_PATH_SIZE];

	for (size_t i = 0; i < moves->n; i++) {
		const struct move *move = &moves->list[i];
		int r = check_staged(workdir_fd, move, err);

		if (r == 0)
			r = pool_state(store, &move->digest, move->size, err);
		if (r == 0)
			return damaged(move_path(move, text), err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* From the work directory, or from the store where it was published already. */
static int read_tree(struct cop_store *store, int workdir_fd, const struct moves *moves,
		     struct tree **ret_tree, struct cop_error *err)
{
	auto_buf image = {};
	struct cop_digest digest;
	int r;

	r = fs_read_file(workdir_fd, "image", IMAGE_SIZE_MAX, &image, err);
	if (r == -ENOENT)
		return object_read_tree(store, &moves->object, ret_tree, err);
	if (r == 0)
		r = verity_digest_bytes(buf_text(&image), image.size, &digest, err);
	if (r < 0)
		return r;
	if (!cop_digest_equal(&digest, &moves->object) || image.size != moves->image_size)
		return damaged("image", err);
	return image_read((const uint8_t *)image.data, image.size, ret_tree, NULL, err);
}

static bool ref_is_absent(struct cop_store *store, const struct moves *moves)
{
	struct cop_digest digest;

	return ref_get(store, moves->class, moves->name, &digest, NULL) == -ENOENT;
}

/* A stage id says how its tree came about, so it may be set late; a name may have a newer
 * meaning by now. */
static int set_stage(struct cop_store *store, struct store_lock *lock, int workdir_fd,
		     const struct moves *moves, struct cop_error *err)
{
	struct stat st;
	bool has_meta;

	if (!moves->name || moves->class != REF_STAGE || !ref_is_absent(store, moves))
		return 0;
	has_meta = fstatat(workdir_fd, "meta.json", &st, AT_SYMLINK_NOFOLLOW) == 0;
	return ref_put(store, lock, REF_STAGE, moves->name, &moves->object, workdir_fd,
		       has_meta ? "meta.json" : NULL, err);
}

static int finish(struct cop_store *store, int workdir_fd, struct moves *moves,
		  const struct tree *tree, struct cop_error *err)
{
	const struct publication publication = {
		.store = store,
		.workdir_fd = workdir_fd,
		.moves = moves,
		.tree = tree,
		.replace_image = object_is_damaged(store, &moves->object),
	};
	auto_lock *lock = NULL;
	int r;

	r = store_lock_take(store, STORE_LOCK_SHARED, &lock, err);
	if (r == 0)
		r = publish(&publication, err);
	/* What the pool had is gone: only the source could bring it back. */
	if (r == -EAGAIN)
		return err_prefix(err, -EUCLEAN, "finish a commit");
	if (r == 0)
		r = fs_sync_filesystem(workdir_fd, err);
	if (r == 0)
		r = set_stage(store, lock, workdir_fd, moves, err);
	return r;
}

bool store_commit_is_open(int workdir_fd)
{
	return faccessat(workdir_fd, "moves", F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int store_commit_settled(int workdir_fd, struct cop_error *err)
{
	if (unlinkat(workdir_fd, "moves", 0) < 0 && errno != ENOENT)
		return err_errno(err, "remove 'moves'");
	return 0;
}

int store_resume_commit(struct cop_store *store, int workdir_fd,
			struct cop_digest *ret_digest, struct cop_error *err)
{
	cleanup_with(moves_done) struct moves moves = {};
	auto_ptr(tree) tree = NULL;
	int r;

	r = store_check_writable(store, err);
	if (r < 0)
		return r;
	r = moves_read(workdir_fd, &moves, err);
	if (r == -ENOENT)
		return 0;
	if (r == 0)
		r = check_moves(store, workdir_fd, &moves, err);
	if (r == 0)
		r = read_tree(store, workdir_fd, &moves, &tree, err);
	if (r == 0)
		r = finish(store, workdir_fd, &moves, tree, err);
	if (r < 0)
		return r;
	*ret_digest = moves.object;
	return 1;
}
