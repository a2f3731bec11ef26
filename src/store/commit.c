/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order of a commit: stage, barrier, publish, barrier, ref.
 *
 * The first barrier puts contents on disk before they get final names.  The second puts
 * the names on disk before the ref; it is never left out, not even when the object is
 * there already: whoever published it may have died before his second barrier.
 */
#include "store/commit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/mutant.h"
#include "base/work.h"
#include "image/image.h"
#include "store/private.h"
#include "json/json.h"

static void (*step_hook)(void *data, enum commit_step step);
static void *step_data;

void store_set_step_hook(void (*hook)(void *data, enum commit_step step), void *data)
{
	step_hook = hook;
	step_data = data;
}

void commit_step(enum commit_step step)
{
	if (step_hook)
		step_hook(step_data, step);
}

struct commit {
	struct cop_store *store;
	const struct commit_request *request;
	int workdir_fd;
	struct encoded encoded;
	struct moves moves;
	bool is_damaged; /* a mark says so */
};

static void commit_done(struct commit *commit)
{
	encoded_done(&commit->encoded);
	moves_done(&commit->moves);
}

static int compare_moves(const void *a, const void *b)
{
	const struct move *x = a, *y = b;

	return memcmp(&x->digest, &y->digest, sizeof(x->digest));
}

/* What was staged and has not been published by an earlier try. */
static int list_moves(struct commit *commit, struct cop_error *err)
{
	const struct staging *staging = commit->request->staging;
	struct moves *moves = &commit->moves;
	size_t position = 0;
	void *value;

	if (commit->request->name) {
		moves->class = commit->request->class;
		moves->name = strdup(commit->request->name);
		if (!moves->name)
			return err_oom(err);
	}
	if (!staging || map_size(staging->files) == 0)
		return 0;
	moves->list = calloc(map_size(staging->files), sizeof(*moves->list));
	if (!moves->list)
		return err_oom(err);
	while (map_next(staging->files, &position, NULL, NULL, &value)) {
		const struct staged_file *file = value;

		if (file->state == STAGED_NEW)
			moves->list[moves->n++] = (struct move){.digest = file->digest,
								.size = file->size,
								.path = file->path};
	}
	if (moves->n > 0)
		qsort(moves->list, moves->n, sizeof(*moves->list), compare_moves);
	return 0;
}

/* Published is published, whatever goes wrong later. */
static void remember_published(struct commit *commit)
{
	for (size_t i = 0; i < commit->moves.n; i++) {
		const struct move *move = &commit->moves.list[i];
		struct staged_file *file = map_get(commit->request->staging->files,
						   &move->digest, sizeof(move->digest));

		if (move->done && file)
			file->state = STAGED_IN_POOL;
	}
}

static int write_meta(const struct commit *commit, struct cop_error *err)
{
	auto_buf text = {};
	int r;

	if (!commit->request->name)
		return 0;
	r = meta_text(commit->request->meta, &commit->moves.object, &text, err);
	if (r < 0)
		return r;
	return fs_write_new(commit->workdir_fd, "meta.json", text.data, text.size, 0600,
			    err);
}

/* An earlier try may have left these. */
static void clear_workdir(const struct commit *commit)
{
	static const char *const names[] = {"moves", "moves.new", "image", "list",
					    "meta.json"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		(void)unlinkat(commit->workdir_fd, names[i], 0);
}

static int write_workdir(const struct commit *commit, struct cop_error *err)
{
	const struct encoded *encoded = &commit->encoded;
	int r = fs_write_new(commit->workdir_fd, "list", encoded->list,
			     encoded->list_size, 0600, err);

	if (r == 0)
		r = moves_write(&commit->moves, commit->workdir_fd, "moves.new", err);
	return r;
}

static void tell(const struct commit *commit, uint64_t done)
{
	const struct cop_progress *progress = commit->request->progress;
	uint64_t total = 0;

	for (size_t i = 0; i < commit->moves.n; i++)
		total += commit->moves.list[i].size;
	if (progress && total > 0)
		progress->update(progress->data, "writing", min_u64(done, total), total,
				 "bytes");
}

/* The fd is older than anything that was staged, so it hears of every write error; but
 * only once, and what was lost stays lost. */
static int barrier(const struct commit *commit, struct cop_error *err)
{
	int r = fs_sync_filesystem(commit->workdir_fd, err);

	if (r < 0 && commit->request->staging)
		commit->request->staging->lost = true;
	return r;
}

static int check_request(const struct commit *commit, struct cop_error *err)
{
	const struct commit_request *request = commit->request;
	const struct staging *staging = request->staging;
	int r = store_check_writable(commit->store, err);

	if (r == 0 && request->name)
		r = ref_check_name(request->class, request->name, err);
	if (r == 0 && staging && staging->lost)
		r = err_set(err, -EIO, "what was staged did not reach the disk");
	return r;
}

/*
 * Some file of an object that carries a mark is wrong, and nobody wrote down which: look
 * at each that is not about to be written anew.  A wrong one must go, as it would be
 * served in silence; it comes back from the source.
 */
static int find_damage(const struct commit *commit, struct cop_error *err)
{
	const struct cop_store *store = commit->store;
	const struct tree *tree = commit->request->tree;
	char path[STORE_PATH_SIZE];
	int result = 0;

	for (const struct tree_node *node = tree->root; node; node = tree_next(node)) {
		struct move key;
		int r;

		if (node->link || !node->digest)
			continue;
		key.digest = *node->digest;
		if (commit->moves.n > 0 &&
		    bsearch(&key, commit->moves.list, commit->moves.n, sizeof(key),
			    compare_moves))
			continue;
		r = pool_verify(store, node->digest, node->size, err);
		if (r < 0)
			return r;
		if (r > 0)
			continue;
		(void)pool_path(node->digest, path);
		if (unlinkat(store->fd, path, 0) < 0 && errno != ENOENT)
			return err_errno(err, "remove the damaged '%s'", path);
		result = err_set(err, -EAGAIN, "'%s' is damaged or missing", path);
	}
	return result;
}

static int publish_new(struct commit *commit, struct store_lock **ret_lock,
		       struct cop_error *err)
{
	const struct publication publication = {
		.store = commit->store,
		.workdir_fd = commit->workdir_fd,
		.moves = &commit->moves,
		.tree = commit->request->base_is_held ? NULL : commit->request->tree,
		.staging = commit->request->staging,
		.replace_image = commit->is_damaged,
	};
	auto_lock *lock = NULL;
	int r;

	r = store_lock_take(commit->store, STORE_LOCK_SHARED, &lock, err);
	if (r < 0)
		return r;
	r = publish(&publication, err);
	remember_published(commit);
	if (r == 0)
		*ret_lock = TAKE_PTR(lock);
	return r;
}

/* The object is there: only see that it stays, and that nothing of it is missing. */
static int register_old(struct commit *commit, struct store_lock **ret_lock,
			struct cop_error *err)
{
	auto_lock *lock = NULL;
	int r;

	r = store_lock_take(commit->store, STORE_LOCK_SHARED, &lock, err);
	if (r == 0)
		r = commit->request->base_is_held
			    ? publish_check_staged(commit->store,
						   commit->request->staging, err)
			    : publish_check_files(commit->store, commit->request->tree,
						  err);
	if (r < 0)
		return r;
	if (!object_is_whole(commit->store, &commit->moves.object,
			     commit->moves.image_size))
		return err_set(err, -EAGAIN, "the object was removed meanwhile");
	r = workdir_register(commit->request->workdir, &commit->moves.object, err);
	if (r == 0)
		*ret_lock = TAKE_PTR(lock);
	return r;
}

static int stage_and_publish(struct commit *commit, struct store_lock **ret_lock,
			     struct cop_error *err)
{
	int r;

	if (commit->moves.n == 0 && object_is_whole(commit->store, &commit->moves.object,
						    commit->moves.image_size)) {
		(void)unlinkat(commit->workdir_fd, "image", 0);
		r = write_meta(commit, err);
		return r < 0 ? r : register_old(commit, ret_lock, err);
	}
	r = write_workdir(commit, err);
	if (r == 0)
		r = write_meta(commit, err);
	if (r < 0)
		return r;
	commit_step(COMMIT_STAGED);
	tell(commit, 0);
	r = mutant("first-barrier") ? 0 : barrier(commit, err);
	if (r < 0)
		return r;
	tell(commit, UINT64_MAX);
	if (renameat(commit->workdir_fd, "moves.new", commit->workdir_fd, "moves") < 0)
		return err_errno(err, "rename 'moves.new'");
	commit_step(COMMIT_SYNCED);
	return publish_new(commit, ret_lock, err);
}

/* The lock is held from publishing to the ref, so nobody can remove the object between.
 */
static int run(struct commit *commit, struct cop_error *err)
{
	const struct commit_request *request = commit->request;
	auto_lock *lock = NULL;
	int r;

	commit->is_damaged = object_is_damaged(commit->store, &commit->moves.object);
	if (commit->is_damaged) {
		r = find_damage(commit, err);
		if (r < 0)
			return r;
	}
	r = stage_and_publish(commit, &lock, err);
	if (r < 0)
		return r;
	commit_step(COMMIT_PUBLISHED);
	r = mutant("second-barrier") ? 0 : barrier(commit, err);
	if (r < 0)
		return r;
	commit_step(COMMIT_BARRIER);
	if (request->name) {
		r = ref_put(commit->store, lock, request->class, request->name,
			    &commit->moves.object, commit->workdir_fd, "meta.json", err);
		if (r < 0)
			return r;
		commit_step(COMMIT_REF_SET);
	}
	if (!request->keep_moves)
		clear_workdir(commit);
	return 0;
}

/* Nothing to write but the ref.  The barrier is for whoever published the object and may
 * have died before his own. */
static int run_known(struct commit *commit, struct cop_error *err)
{
	const struct commit_request *request = commit->request;
	auto_lock *lock = NULL;
	char hex[COP_DIGEST_HEX + 1];
	int r;

	clear_workdir(commit);
	r = write_meta(commit, err);
	if (r == 0)
		r = store_lock_take(commit->store, STORE_LOCK_SHARED, &lock, err);
	if (r == 0)
		r = object_exists(commit->store, &commit->moves.object, err);
	if (r == 0)
		return err_set(err, -EAGAIN, "object '%s' is missing or damaged",
			       cop_digest_to_hex(&commit->moves.object, hex));
	if (r > 0)
		r = workdir_register(request->workdir, &commit->moves.object, err);
	if (r < 0)
		return r;
	commit_step(COMMIT_PUBLISHED);
	r = barrier(commit, err);
	if (r < 0)
		return r;
	commit_step(COMMIT_BARRIER);
	if (request->name) {
		r = ref_put(commit->store, lock, request->class, request->name,
			    &commit->moves.object, commit->workdir_fd, "meta.json", err);
		if (r < 0)
			return r;
		commit_step(COMMIT_REF_SET);
	}
	clear_workdir(commit);
	return 0;
}

static int run_new(struct commit *commit, struct cop_error *err)
{
	int r;

	clear_workdir(commit);
	r = encode_object(commit->request->tree, commit->workdir_fd, &commit->encoded,
			  err);
	commit->moves.object = commit->encoded.digest;
	commit->moves.image_size = commit->encoded.size;
	if (r == 0)
		r = list_moves(commit, err);
	return r < 0 ? r : run(commit, err);
}

int store_commit(struct cop_store *store, const struct commit_request *request,
		 struct cop_digest *ret_digest, struct cop_error *err)
{
	cleanup_with(commit_done) struct commit commit = {
		.store = store,
		.request = request,
		.workdir_fd = workdir_fd(request->workdir),
	};
	int r;

	r = check_request(&commit, err);
	if (r < 0)
		return r;
	if (request->tree) {
		r = run_new(&commit, err);
	} else {
		commit.moves.object = *request->object;
		r = run_known(&commit, err);
	}
	if (r < 0)
		return err_prefix(err, r, "commit to store '%s'", store->path);
	*ret_digest = commit.moves.object;
	return 0;
}
