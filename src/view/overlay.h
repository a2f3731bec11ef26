/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The overlay view, inside.  In the work directory there are
 *
 *	tree	where the view is attached
 *	upper	what was written
 *	work	the kernel's own, with the index of hard links
 *	base	the digest of the object below, in a line; the kernel would not notice
 *another empty	the image of the empty tree, for a view without a base
 *	gone	an upper whose contents were committed, on its way out
 */
#pragma once

#include "view/ops.h"

#define OVERLAY_TREE "tree"

enum overlay_state {
	OVERLAY_DOWN, /* attached nowhere */
	OVERLAY_READING,
	OVERLAY_WRITING,
};

struct overlay_view {
	struct view view; /* must be first */
	struct cop_store *store;
	char *source; /* "coppice:ID" */
	int dir_fd;   /* of the work directory; borrowed */
	/* Where it is attached: "tree" in the work directory, if nobody wants it
	 * elsewhere. */
	int place_fd; /* borrowed */
	const char *place;
	bool is_kept;	/* it stays attached when the handle is closed */
	bool is_ending; /* nothing will be read or written any more once it is committed
			 */
	int pool_fd;
	int lower_fd;	    /* the image as a mount; negative: not mounted yet */
	struct tree *lower; /* the same, parsed; NULL: not read yet */
	struct cop_digest base;
	bool has_base; /* else the empty tree */
	bool is_volatile;
	enum overlay_state state;
	dev_t dev;	/* of the mount; 0: never mounted by us */
	bool has_upper; /* upper and work are there */
	/* The upper was let go of by everybody and is as it will be committed. */
	bool is_frozen;
	bool is_lost; /* what was written to it may not be on disk */
};

static inline struct overlay_view *to_overlay(struct view *view)
{
	return (struct overlay_view *)(void *)view;
}

/* ---- overlay-upper.c */

/* overlay_upper_make() - upper and work, anew, the root as in the lower */
int overlay_upper_make(struct overlay_view *overlay, struct cop_error *err);

/* overlay_upper_is_untouched() - 1: it holds nothing, and its root is that of the lower;
 * 0: look closer; a negative errno */
int overlay_upper_is_untouched(struct overlay_view *overlay, struct cop_error *err);

/* overlay_upper_discard() - its contents are in the store now.  Nothing of it can be seen
 * any more when this returns 0, crash or not. */
int overlay_upper_discard(struct overlay_view *overlay, struct cop_error *err);

/* overlay_write_base() / overlay_read_base() - the record next to the upper */
int overlay_write_base(const struct overlay_view *overlay, struct cop_error *err);
int overlay_read_base(int dir_fd, struct cop_digest *ret_digest, struct cop_error *err);

/* overlay_open_part() - a directory of the work directory, not O_PATH */
int overlay_open_part(const struct overlay_view *overlay, const char *name,
		      struct cop_error *err);

/* ---- overlay-users.c */

/* overlay_blame() - err_set() with -EBUSY, "the view is in use", and by whom as far as we
 * may see; @writers: only those that have a file open for writing */
int overlay_blame(const struct overlay_view *overlay, bool writers,
		  struct cop_error *err);

/* ---- overlay-probe.c */

/* overlay_probe() - does all that we need work in @store?  Really mounts a small view
 * there.  Return: 0, or a negative errno and the reason. */
int overlay_probe(struct cop_store *store, struct cop_error *err);

/* ---- overlay-known.c */

/* overlay_is_known() - a probe in @store, since this start of the machine and by a
 * process like this one, found that all works; its ways to mount are ours from now on */
bool overlay_is_known(struct cop_store *store);

/* overlay_remember() / overlay_forget() - write that down, or that it is wrong after all
 */
void overlay_remember(struct cop_store *store);
void overlay_forget(struct cop_store *store);

/* ---- overlay-look.c */

int overlay_clamp(struct view *view, int64_t epoch, struct cop_error *err);
int overlay_changes(struct view *view, struct object_changes *ret, struct cop_error *err);

/* ---- overlay.c */

/* overlay_new() - a view in @workdir, of which nothing is mounted or made yet; as
 * view_ops.open */
int overlay_new(struct cop_store *store, struct workdir *workdir,
		const struct cop_digest *digest, struct overlay_view **ret_overlay,
		struct cop_error *err);
struct overlay_view *overlay_view_free(struct overlay_view *overlay);
DEFINE_AUTO_PTR(overlay_view)

/* overlay_begin() - open what the store has of the base, after a look that all is there
 */
int overlay_begin(struct overlay_view *overlay, struct cop_error *err);

/* overlay_mount_lower() - mount the image of the base for overlay->lower_fd; once */
int overlay_mount_lower(struct overlay_view *overlay, struct cop_error *err);

/* overlay_freeze() - nobody can change the upper any more; it is not mounted afterwards.
 * -EBUSY: somebody uses it; the message says who. */
int overlay_freeze(struct overlay_view *overlay, struct cop_error *err);

/* overlay_detach() - unmount it where it is attached.  -EBUSY: as overlay_freeze(). */
int overlay_detach(struct overlay_view *overlay, struct cop_error *err);

/* overlay_load_lower() - parse the lower image into overlay->lower */
int overlay_load_lower(struct overlay_view *overlay, struct cop_error *err);
