/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The image of a tree on its way to the disk: while one piece of it is made, those before
 * are hashed, written and synced, each by a thread of its own.
 *
 * A disk with a cache begins to write what it was given when it is told to flush it.  So
 * that the barrier of the commit finds little to do, it is told so on the way.
 */
#include <fcntl.h>

#include "image/image.h"
#include "store/private.h"

/* One that is made, and some for the threads to be late with. */
#define N_PIECES 6

/* From so many new bytes on a sync is worth it. */
#define SYNC_STEP (2 * MIB)

struct piece {
	uint8_t *bytes;
	size_t size;
	unsigned int n_users;
};

struct encoder {
	pthread_mutex_t mutex;
	pthread_cond_t is_free;
	struct piece pieces[N_PIECES];
	struct verity *verity;
	int fd;
	bool is_made;	   /* the file is there */
	size_t n_unsynced; /* bytes written since the last sync began */
	bool is_syncing;
	struct work *hashing;
	struct work *writing, *syncing; /* NULL: only to be hashed */
};

static void release(void *data, void *item)
{
	struct encoder *encoder = data;
	struct piece *piece = item;

	(void)pthread_mutex_lock(&encoder->mutex);
	piece->n_users--;
	(void)pthread_cond_signal(&encoder->is_free);
	(void)pthread_mutex_unlock(&encoder->mutex);
}

static int hash_piece(void *data, void *item, struct cop_error *err)
{
	struct encoder *encoder = data;
	struct piece *piece = item;
	int r = verity_update(encoder->verity, piece->bytes, piece->size, err);

	release(encoder, piece);
	return r;
}

static int sync_image(void *data, void *item, struct cop_error *err)
{
	struct encoder *encoder = data;
	int r = fdatasync(encoder->fd) < 0 ? err_errno(err, "sync 'image'") : 0;

	(void)item;
	(void)pthread_mutex_lock(&encoder->mutex);
	encoder->is_syncing = false;
	(void)pthread_mutex_unlock(&encoder->mutex);
	return r;
}

/* One at a time. */
static bool is_time_to_sync(struct encoder *encoder, size_t n_written)
{
	bool is_time;

	(void)pthread_mutex_lock(&encoder->mutex);
	encoder->n_unsynced += n_written;
	is_time = encoder->n_unsynced >= SYNC_STEP && !encoder->is_syncing;
	if (is_time) {
		encoder->is_syncing = true;
		encoder->n_unsynced = 0;
	}
	(void)pthread_mutex_unlock(&encoder->mutex);
	return is_time;
}

static int write_piece(void *data, void *item, struct cop_error *err)
{
	struct encoder *encoder = data;
	struct piece *piece = item;
	int r = fs_write_all(encoder->fd, piece->bytes, piece->size);

	if (r == 0 && is_time_to_sync(encoder, piece->size)) {
		(void)work_add(encoder->syncing, encoder);
		work_wake(encoder->syncing);
	}
	release(encoder, piece);
	return r < 0 ? err_code(err, r, "write 'image'") : 0;
}

static const struct work_ops hash_ops = {.run = hash_piece, .drop = release};
static const struct work_ops write_ops = {.run = write_piece, .drop = release};
static const struct work_ops sync_ops = {.run = sync_image};

static struct piece *find_free(struct encoder *encoder)
{
	for (unsigned int i = 0; i < N_PIECES; i++)
		if (encoder->pieces[i].n_users == 0)
			return &encoder->pieces[i];
	return NULL;
}

static int take(void *data, uint8_t **ret_piece, struct cop_error *err)
{
	struct encoder *encoder = data;
	struct piece *piece;

	(void)pthread_mutex_lock(&encoder->mutex);
	while (!(piece = find_free(encoder)))
		(void)pthread_cond_wait(&encoder->is_free, &encoder->mutex);
	piece->n_users = 1;
	(void)pthread_mutex_unlock(&encoder->mutex);
	if (!piece->bytes)
		piece->bytes = malloc(IMAGE_PIECE);
	if (!piece->bytes)
		return err_oom(err);
	*ret_piece = piece->bytes;
	return 0;
}

static int hand_to(struct encoder *encoder, struct work *work, struct piece *piece)
{
	int r;

	(void)pthread_mutex_lock(&encoder->mutex);
	piece->n_users++;
	(void)pthread_mutex_unlock(&encoder->mutex);
	r = work_add(work, piece);
	work_wake(work);
	return r;
}

static int give(void *data, uint8_t *bytes, size_t size, struct cop_error *err)
{
	struct encoder *encoder = data;
	struct piece *piece = encoder->pieces;
	int r = 0;

	(void)err; /* work_finish() tells why */
	while (piece->bytes != bytes)
		piece++;
	piece->size = size;
	if (size > 0)
		r = hand_to(encoder, encoder->hashing, piece);
	if (size > 0 && r == 0 && encoder->writing)
		r = hand_to(encoder, encoder->writing, piece);
	release(encoder, piece);
	return r;
}

static void encoder_done(struct encoder *encoder)
{
	work_free(encoder->hashing);
	work_free(encoder->writing);
	work_free(encoder->syncing);
	for (unsigned int i = 0; i < N_PIECES; i++)
		free(encoder->pieces[i].bytes);
	verity_free(encoder->verity);
	closep(&encoder->fd);
	(void)pthread_cond_destroy(&encoder->is_free);
	(void)pthread_mutex_destroy(&encoder->mutex);
}

static int encoder_begin(struct encoder *encoder, int dir_fd, struct cop_error *err)
{
	int r;

	encoder->verity = verity_new(err);
	if (!encoder->verity)
		return -ENOMEM;
	r = work_new(&hash_ops, encoder, 1, &encoder->hashing, err);
	if (r < 0 || dir_fd < 0)
		return r;
	encoder->fd = openat(dir_fd, "image",
			     O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (encoder->fd < 0)
		return err_errno(err, "write 'image'");
	encoder->is_made = true;
	r = work_new(&sync_ops, encoder, 1, &encoder->syncing, err);
	return r < 0 ? r : work_new(&write_ops, encoder, 1, &encoder->writing, err);
}

/* Errors of the threads come first: what else there is follows from them. */
static int encoder_end(struct encoder *encoder, int r, struct cop_digest *ret_digest,
		       struct cop_error *err)
{
	int hash_r = work_finish(encoder->hashing, err);
	int write_r = encoder->writing ? work_finish(encoder->writing, err) : 0;

	if (write_r == 0 && encoder->writing)
		write_r = work_finish(encoder->syncing, err);
	if (hash_r < 0 || write_r < 0)
		return write_r < 0 ? write_r : hash_r;
	if (r < 0)
		return r;
	if (encoder->fd >= 0 && fchmod(encoder->fd, 0444) < 0)
		return err_errno(err, "chmod 'image'");
	/* close reports what NFS and quotas found out late */
	if (encoder->fd >= 0 && close(TAKE_FD(encoder->fd)) < 0 && errno != EINTR)
		return err_errno(err, "write 'image'");
	return verity_end(encoder->verity, ret_digest, err);
}

struct listing {
	const struct tree *tree;
	struct encoded *encoded;
};

static int make_list(void *data, void *item, struct cop_error *err)
{
	const struct listing *listing = item;

	(void)data;
	return list_collect(listing->tree, &listing->encoded->list,
			    &listing->encoded->list_size, err);
}

static int write_object(struct encoder *encoder, const struct tree *tree,
			const struct image_sink *sink, struct encoded *ret,
			struct cop_error *err)
{
	struct listing listing = {.tree = tree, .encoded = ret};
	auto_ptr(work) work = NULL;
	int r = work_aside(make_list, &listing, &work, err), list_r;

	if (r < 0)
		return r;
	r = image_write_to(tree, IMAGE_VERSION, sink, &ret->size, err);
	r = encoder_end(encoder, r, &ret->digest, err);
	list_r = work_finish(work, r < 0 ? NULL : err);
	if (r == 0 && list_r == 0)
		r = list_seal(&ret->digest, ret->list, ret->list_size, err);
	return r < 0 ? r : list_r;
}

static int encode(struct encoder *encoder, const struct tree *tree, int dir_fd,
		  struct encoded *ret, struct cop_error *err)
{
	const struct image_sink sink = {.take = take, .give = give, .data = encoder};
	int r = encoder_begin(encoder, dir_fd, err);

	if (r < 0)
		return r;
	if (dir_fd >= 0)
		return write_object(encoder, tree, &sink, ret, err);
	r = image_write_to(tree, IMAGE_VERSION, &sink, &ret->size, err);
	return encoder_end(encoder, r, &ret->digest, err);
}

void encoded_done(struct encoded *encoded)
{
	free(encoded->list);
}

int encode_object(const struct tree *tree, int dir_fd, struct encoded *ret,
		  struct cop_error *err)
{
	cleanup_with(encoder_done) struct encoder encoder = {.fd = -EBADF};
	int r;

	(void)pthread_mutex_init(&encoder.mutex, NULL);
	(void)pthread_cond_init(&encoder.is_free, NULL);
	r = encode(&encoder, tree, dir_fd, ret, err);
	if (r < 0 && encoder.is_made)
		(void)unlinkat(dir_fd, "image", 0);
	return r;
}

int store_digest_tree(const struct tree *tree, struct cop_digest *ret_digest,
		      struct cop_error *err)
{
	cleanup_with(encoded_done) struct encoded encoded = {};
	int r = encode_object(tree, -EBADF, &encoded, err);

	if (r == 0)
		*ret_digest = encoded.digest;
	return r;
}
