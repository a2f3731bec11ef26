/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Staging: a queue of files between the thread that scans and the threads that hash.
 * Buffers are as many as threads, so memory does not grow with the size of files; what is
 * remembered per distinct content is its digest, size and state.
 */
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "base/monotonic.h"
#include "store/private.h"

/* Files up to this size are read as a whole.  What was read is still in the processor's
 * cache when it is hashed and written. */
#define BUFFER_SIZE (256 * KIB)
/* While one waits for the disk another hashes. */
#define THREADS_PER_PROCESSOR 2

#define PROGRESS_INTERVAL_MS 50

static struct stage_context *context_free(struct stage_context *context)
{
	if (!context)
		return NULL;
	verity_free(context->verity);
	free(context->buffer);
	free(context);
	return NULL;
}

static struct stage_context *context_new(struct cop_error *err)
{
	struct stage_context *context = calloc(1, sizeof(*context));

	if (context) {
		context->verity = verity_new(err);
		context->buffer = malloc(BUFFER_SIZE + 1);
	}
	if (context && context->verity && context->buffer)
		return context;
	(void)err_oom(err);
	return context_free(context);
}

/* NULL: out of memory */
static struct stage_context *take_context(struct staging *staging, struct cop_error *err)
{
	struct stage_context *context;

	(void)pthread_mutex_lock(&staging->mutex);
	context = staging->contexts;
	if (context)
		staging->contexts = context->next;
	(void)pthread_mutex_unlock(&staging->mutex);
	return context ? context : context_new(err);
}

static void drop_item(void *data, void *argument)
{
	struct stage_item *item = argument;

	(void)data;
	closep(&item->fd);
	free(item);
}

/* Also gives the context back. */
static void count_file(struct staging *staging, struct stage_context *context,
		       const struct stage_item *item)
{
	uint64_t n_bytes = 0;
	int64_t now;

	(void)pthread_mutex_lock(&staging->mutex);
	context->next = staging->contexts;
	staging->contexts = context;
	staging->totals.n_files++;
	staging->totals.n_bytes += (uint64_t)item->st.st_size;
	if (staging->progress) {
		now = monotonic_coarse_ms();
		if (now - staging->last_update_ms >= PROGRESS_INTERVAL_MS) {
			staging->last_update_ms = now;
			n_bytes = staging->totals.n_bytes;
		}
	}
	(void)pthread_mutex_unlock(&staging->mutex);
	if (n_bytes > 0)
		staging->progress->update(staging->progress->data, "hashing", n_bytes, 0,
					  "bytes");
}

static int run_item(void *data, void *argument, struct cop_error *err)
{
	struct staging *staging = data;
	struct stage_item *item = argument;
	struct stage_context *context = take_context(staging, err);
	int r = -ENOMEM;

	if (context) {
		r = stage_file(staging, context, item, err);
		count_file(staging, context, item);
	}
	drop_item(data, item);
	return r;
}

static void lock_tree(void *data)
{
	struct staging *staging = data;

	(void)pthread_mutex_lock(&staging->mutex);
}

static void unlock_tree(void *data)
{
	struct staging *staging = data;

	(void)pthread_mutex_unlock(&staging->mutex);
}

/* The scan gave up: let the workers end, or they would write into a tree that is gone. */
static void settle_tree(void *data)
{
	(void)staging_finish(data, NULL);
}

static int take_content(void *data, struct tree *tree, struct tree_node *node, int fd,
			const struct stat *st, const char *path, struct cop_error *err)
{
	return staging_add(data, tree, node, fd, st, path, err);
}

/* A directory made with every bit shows which bits new files will lack here, be it for
 * the umask or an inherited ACL. */
static int open_files(struct staging *staging, struct cop_error *err)
{
	int fd = workdir_fd(staging->workdir);
	struct stat st;

	if (mkdirat(fd, "files", 0777) < 0 && errno != EEXIST)
		return err_errno(err, "make 'files' in '%s'",
				 workdir_path(staging->workdir));
	staging->files_fd =
		openat(fd, "files", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (staging->files_fd < 0 || fstat(staging->files_fd, &st) < 0)
		return err_errno(err, "open 'files' in '%s'",
				 workdir_path(staging->workdir));
	staging->fix_mode = (st.st_mode & 0444) != 0444;
	if (fchmod(staging->files_fd, 0700) < 0)
		return err_errno(err, "chmod 'files' in '%s'",
				 workdir_path(staging->workdir));
	return 0;
}

static int start(struct staging *staging, struct cop_error *err)
{
	static const struct work_ops ops = {.run = run_item, .drop = drop_item};
	unsigned int n_threads = work_default_threads();
	int r = 0;

	if (staging->workdir)
		n_threads *= THREADS_PER_PROCESSOR;
	staging->buffer_size = BUFFER_SIZE;
	staging->arena = arena_new();
	staging->files = map_new();
	if (!staging->arena || !staging->files)
		return err_oom(err);
	if (staging->workdir)
		r = open_files(staging, err);
	return r < 0 ? r : work_new(&ops, staging, n_threads, &staging->work, err);
}

int staging_new(struct cop_store *store, struct workdir *workdir,
		const struct cop_progress *progress, struct staging **ret_staging,
		struct cop_error *err)
{
	auto_ptr(staging) staging = calloc(1, sizeof(*staging));
	int r;

	if (!staging)
		return err_oom(err);
	staging->store = store;
	staging->workdir = workdir;
	staging->progress = progress;
	staging->files_fd = -EBADF;
	(void)pthread_mutex_init(&staging->mutex, NULL);
	staging->scan_options = (struct tree_scan_options){
		.content = take_content,
		.lock = lock_tree,
		.unlock = unlock_tree,
		.settle = settle_tree,
		.data = staging,
	};
	r = start(staging, err);
	if (r < 0)
		return r;
	*ret_staging = TAKE_PTR(staging);
	return 0;
}

struct staging *staging_free(struct staging *staging)
{
	if (!staging)
		return NULL;
	work_free(staging->work);
	while (staging->contexts) {
		struct stage_context *next = staging->contexts->next;

		context_free(staging->contexts);
		staging->contexts = next;
	}
	map_free(staging->files);
	arena_free(staging->arena);
	closep(&staging->files_fd);
	(void)pthread_mutex_destroy(&staging->mutex);
	free(staging);
	return NULL;
}

const struct tree_scan_options *staging_scan_options(struct staging *staging)
{
	return &staging->scan_options;
}

static int add(struct staging *staging, const struct staging_place *place,
	       struct tree *tree, struct tree_node *node, int fd, const struct stat *st,
	       const char *path, struct cop_error *err)
{
	size_t path_size = strlen(path) + 1;
	struct stage_item *item = calloc(1, sizeof(*item) + path_size);

	if (!item) {
		closep(&fd);
		return err_oom(err);
	}
	item->tree = tree;
	item->node = node;
	item->fd = fd;
	item->st = *st;
	memcpy(item->path, path, path_size);
	item->is_frozen = place != NULL;
	/* What no single call can reach is copied. */
	if (place && strlen(place->below) + path_size < PATH_MAX)
		item->below = place->below;
	/* The first failure is the one to tell. */
	return work_add(staging->work, item) < 0 ? staging_finish(staging, err) : 0;
}

int staging_add(struct staging *staging, struct tree *tree, struct tree_node *node,
		int fd, const struct stat *st, const char *path, struct cop_error *err)
{
	return add(staging, NULL, tree, node, fd, st, path, err);
}

static int take_in_place(void *data, struct tree *tree, struct tree_node *node, int fd,
			 const struct stat *st, const char *path, struct cop_error *err)
{
	const struct staging_place *place = data;

	return add(place->staging, place, tree, node, fd, st, path, err);
}

static void lock_place(void *data)
{
	lock_tree(((struct staging_place *)data)->staging);
}

static void unlock_place(void *data)
{
	unlock_tree(((struct staging_place *)data)->staging);
}

static void settle_place(void *data)
{
	settle_tree(((struct staging_place *)data)->staging);
}

void staging_place_init(struct staging_place *place, struct staging *staging,
			const char *below)
{
	*place = (struct staging_place){
		.staging = staging,
		.below = below,
		.options = {.content = take_in_place,
			    .lock = lock_place,
			    .unlock = unlock_place,
			    .settle = settle_place,
			    .data = place},
	};
}

bool staging_is_lost(const struct staging *staging)
{
	return staging->lost;
}

int staging_finish(struct staging *staging, struct cop_error *err)
{
	int r;

	if (!staging->finished) {
		staging->finished = true;
		r = work_finish(staging->work, &staging->failure);
		if (r == 0 && staging->progress)
			staging->progress->update(staging->progress->data, "hashing",
						  staging->totals.n_bytes,
						  staging->totals.n_bytes, "bytes");
	}
	return staging->failure.code < 0 ? err_copy(err, &staging->failure) : 0;
}

void staging_totals(const struct staging *staging, struct staging_totals *ret)
{
	*ret = staging->totals;
}
