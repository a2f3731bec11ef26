/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening and closing views, and the list of those that several Objects of this process
 * may read at once.
 */
#include <pthread.h>

#include "store/object.h"
#include "store/workdir.h"
#include "view/ops.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct view *shared_views; /* under the mutex, as are the private fields */

int view_empty_tree(struct tree **ret_tree, struct cop_error *err)
{
	auto_ptr(tree) tree = tree_new(err);
	int r;

	if (!tree)
		return -ENOMEM;
	tree->root->mode = S_IFDIR | 0755;
	tree->root->uid = geteuid();
	tree->root->gid = getegid();
	r = tree_finish(tree, err);
	if (r == 0)
		r = tree_canonicalise(tree, err);
	if (r < 0)
		return r;
	*ret_tree = TAKE_PTR(tree);
	return 0;
}

int view_read_tree(struct cop_store *store, const struct cop_digest *digest,
		   struct tree **ret_tree, struct cop_error *err)
{
	return digest ? object_read_tree(store, digest, ret_tree, err)
		      : view_empty_tree(ret_tree, err);
}

/* Out of the list; the caller holds the mutex. */
static void unlist(struct view *view)
{
	struct view **link = &shared_views;

	if (!view->is_shared)
		return;
	while (*link != view)
		link = &(*link)->next_shared;
	*link = view->next_shared;
	view->is_shared = false;
}

static void list(struct view *view)
{
	view->next_shared = shared_views;
	shared_views = view;
	view->is_shared = true;
}

static struct view *find_shared(const struct cop_store *store,
				const struct cop_digest *digest)
{
	struct view *view = shared_views;

	while (view && (view->store != store || !cop_digest_equal(&view->digest, digest)))
		view = view->next_shared;
	return view;
}

/* @workdir is taken over in any case. */
static int open_view(struct cop_store *store, struct workdir *workdir,
		     const struct cop_digest *digest, const struct cop_progress *progress,
		     struct view **ret_view, struct cop_error *err)
{
	auto_ptr(workdir) owned = workdir;
	const struct view_ops *ops;
	struct view *view;
	int r = view_choose(store, &ops, err);

	if (r == 0)
		r = ops->open(store, workdir, digest, progress, &view, err);
	if (r != 0)
		return r;
	view->workdir = TAKE_PTR(owned);
	view->store = store;
	view->n_users = 1;
	view->has_digest = digest != NULL;
	if (digest)
		view->digest = *digest;
	*ret_view = view;
	return 0;
}

/* The caller holds the mutex, so that two readers of one tree do not lay it out twice. */
static int acquire_shared(struct cop_store *store, struct workdir *workdir,
			  const struct cop_digest *digest,
			  const struct cop_progress *progress, struct view **ret_view,
			  struct cop_error *err)
{
	struct view *view = find_shared(store, digest);
	int r;

	if (view) {
		workdir_free(workdir);
		view->n_users++;
		*ret_view = view;
		return 0;
	}
	r = open_view(store, workdir, digest, progress, &view, err);
	if (r != 0)
		return r;
	list(view);
	*ret_view = view;
	return 0;
}

int view_acquire(struct cop_store *store, const char *id, bool shared,
		 const struct cop_progress *progress, struct view **ret_view,
		 struct cop_error *err)
{
	auto_ptr(workdir) workdir = NULL;
	struct cop_digest digest;
	int r = workdir_new(store, "view", NULL, &workdir, err);

	if (r < 0)
		return r;
	if (!id)
		return open_view(store, TAKE_PTR(workdir), NULL, progress, ret_view, err);
	r = object_get(store, workdir, id, &digest, err);
	if (r < 0)
		return r;
	if (!shared)
		return open_view(store, TAKE_PTR(workdir), &digest, progress, ret_view,
				 err);
	(void)pthread_mutex_lock(&mutex);
	r = acquire_shared(store, TAKE_PTR(workdir), &digest, progress, ret_view, err);
	(void)pthread_mutex_unlock(&mutex);
	return r;
}

int view_prepare(struct view *view, bool writing, struct cop_error *err)
{
	int r;

	(void)pthread_mutex_lock(&mutex);
	r = view->ops->prepare(view, writing, err);
	(void)pthread_mutex_unlock(&mutex);
	return r;
}

struct view *view_release(struct view *view)
{
	struct workdir *workdir, *anchor;
	bool last;

	if (!view)
		return NULL;
	(void)pthread_mutex_lock(&mutex);
	last = --view->n_users == 0;
	if (last)
		unlist(view);
	(void)pthread_mutex_unlock(&mutex);
	if (!last)
		return NULL;
	workdir = view->workdir;
	anchor = view->anchor;
	view->ops->close(view);
	workdir_free(workdir);
	workdir_free(anchor);
	return NULL;
}

void view_share(struct view *view)
{
	(void)pthread_mutex_lock(&mutex);
	if (!view->is_shared && view->has_digest)
		list(view);
	(void)pthread_mutex_unlock(&mutex);
}

bool view_claim(struct view *view)
{
	bool alone;

	(void)pthread_mutex_lock(&mutex);
	alone = view->n_users == 1;
	if (alone)
		unlist(view);
	(void)pthread_mutex_unlock(&mutex);
	return alone;
}
