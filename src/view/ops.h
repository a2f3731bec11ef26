/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What each kind of view can do, and the part that all have in common.  The Object knows
 * views only through this; a kind embeds struct view at the start of its own struct.
 */
#pragma once

#include "store/commit.h"
#include "view/view.h"

struct view;

/*
 * struct view_capture - a view as it is at one moment; a kind embeds it likewise
 * @tree: canonical: what shall be committed; NULL: what view->digest stands for
 */
struct view_capture {
	struct tree *tree;
};

/*
 * struct view_ops
 * @in_place: new contents are committed from where they are in view->workdir, which is
 *	      the work directory of the commit, too
 * @open:     make the view of @digest (NULL: an empty tree) in @workdir, set view->path
 * @close:    let go of everything but the common part, and free the view
 * @prepare:  from now on view->path shows the tree, and may be written to where @writing
 * @capture:  bring the tree up to date; new contents go to @staging, which is finished
 *            when it returns
 * @adopt:    the capture (consumed) was committed as @digest: it is what the view grows
 *	      from now.  Cannot fail.
 * @drop:     forget a capture, which was not committed
 * @clamp, @changes: as object_clamp() and object_changes()
 */
struct view_ops {
	bool in_place;
	int (*open)(struct cop_store *store, struct workdir *workdir,
		    const struct cop_digest *digest, const struct cop_progress *progress,
		    struct view **ret_view, struct cop_error *err);
	void (*close)(struct view *view);
	int (*prepare)(struct view *view, bool writing, struct cop_error *err);
	int (*capture)(struct view *view, struct staging *staging,
		       struct view_capture **ret_capture, struct cop_error *err);
	void (*adopt)(struct view *view, struct view_capture *capture,
		      const struct cop_digest *digest);
	void (*drop)(struct view *view, struct view_capture *capture);
	int (*clamp)(struct view *view, int64_t epoch, struct cop_error *err);
	int (*changes)(struct view *view, struct object_changes *ret,
		       struct cop_error *err);
};

extern const struct view_ops view_copy_ops, view_overlay_ops;

struct view {
	const struct view_ops *ops;
	struct workdir *workdir;
	struct workdir *anchor;	 /* keeps what was committed last in use; may be NULL */
	struct cop_store *store; /* borrowed */
	char *path;		 /* of the tree, absolute */
	struct cop_digest digest;
	bool has_digest; /* the empty tree that an Object begins with has none */
	/* Private to views.c. */
	struct view *next_shared;
	unsigned int n_users;
	bool is_shared;
};

/* view_choose() - the best kind of view that works in @store, or the one that the
 * environment's COPPICE_VIEW asks for; see view/choice.c */
int view_choose(struct cop_store *store, const struct view_ops **ret_ops,
		struct cop_error *err);

/*
 * view_acquire() - a view of what @id stands for
 * @id:     NULL: an empty tree
 * @shared: one that is only read and may be in use elsewhere in this process
 *
 * Safe from any thread.  Return: 0; -ENOENT; another negative errno.
 */
int view_acquire(struct cop_store *store, const char *id, bool shared,
		 const struct cop_progress *progress, struct view **ret_view,
		 struct cop_error *err);

/* view_prepare() - show the tree at view->path; @writing: after view_claim() only.  Safe
 * from any thread. */
int view_prepare(struct view *view, bool writing, struct cop_error *err);

/* view_release() - for each view_acquire(); NULL is fine.  Return: NULL. */
struct view *view_release(struct view *view);

/* object_of_view() - an Object that is what was written to @view, which it owns from then
 * on, in any case; to be committed */
int object_of_view(struct cop_store *store, struct view *view,
		   struct cop_object **ret_object, struct cop_error *err);

/* view_share() - let others read it, as it is what its digest says */
void view_share(struct view *view);

/* view_claim() - true: the caller is its only user, and will be; false: others use it */
bool view_claim(struct view *view);

/* view_read_tree() - of an object, or the empty tree where @digest is NULL */
int view_read_tree(struct cop_store *store, const struct cop_digest *digest,
		   struct tree **ret_tree, struct cop_error *err);

/* view_empty_tree() - a root directory 0755 of ours at the epoch, canonical */
int view_empty_tree(struct tree **ret_tree, struct cop_error *err);
