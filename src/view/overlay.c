/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The overlay view: the image of the base as a mount, what is written in an upper
 * directory.  To begin costs nothing; to commit costs what was changed, and one image.
 *
 * A commit takes the upper away from everybody first, then makes a tree from it and the
 * base.  What the upper has of new contents goes into the pool by a rename, after the
 * first barrier of the commit; from then on the upper is no view any more, and whatever
 * happens the commit is finished before anything else is done here.
 */
#include "view/overlay.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mount.h"
#include "base/work.h"
#include "image/image.h"
#include "store/object.h"
#include "store/store.h"
#include "tree/merge.h"
#include "view/mount.h"

/* Holds the mark of a volatile mount, which makes the kernel refuse the next one. */
#define VOLATILE_MARK "work/work/incompat"

/* How long we wait for somebody on his way out: the mount namespace of a sandbox goes
 * some milliseconds after its last process. */
#define PATIENCE_MS 1000

struct overlay_view *overlay_view_free(struct overlay_view *overlay)
{
	if (!overlay)
		return NULL;
	closep(&overlay->lower_fd);
	closep(&overlay->pool_fd);
	tree_free(overlay->lower);
	free(overlay->source);
	free(overlay->view.path);
	free(overlay);
	return NULL;
}

static void forget_lower(struct overlay_view *overlay)
{
	closep(&overlay->lower_fd);
	overlay->lower_fd = -EBADF;
	/* There only where the kernel needed it attached. */
	(void)mount_detach(overlay->dir_fd, "lower", true, NULL);
}

/* What somebody still uses stays mounted; its directory is left for the next sweep. */
static void close_overlay(struct view *view)
{
	struct overlay_view *overlay = to_overlay(view);

	if (overlay->state != OVERLAY_DOWN && !overlay->is_kept)
		(void)mount_detach(overlay->place_fd, overlay->place,
				   overlay->state == OVERLAY_READING, NULL);
	forget_lower(overlay);
	overlay_view_free(overlay);
}

/* Without a base there is no image in the store: one of our own stands in. */
static int open_empty_image(struct overlay_view *overlay, struct cop_error *err)
{
	auto_free uint8_t *image = NULL;
	size_t size = 0;
	int r = view_empty_tree(&overlay->lower, err);

	if (r == 0)
		r = image_write(overlay->lower, IMAGE_VERSION, &image, &size, err);
	if (r == 0)
		r = fs_write_new(overlay->dir_fd, "empty", image, size, 0400, err);
	if (r < 0)
		return r;
	return fs_open_plain(overlay->dir_fd, "empty", O_RDONLY, 0, err);
}

int overlay_mount_lower(struct overlay_view *overlay, struct cop_error *err)
{
	auto_close int image_fd = -EBADF;

	if (overlay->lower_fd >= 0)
		return 0;
	image_fd = overlay->has_base
			   ? object_open_image(overlay->store, &overlay->base, err)
			   : open_empty_image(overlay, err);
	if (image_fd < 0)
		return image_fd;
	overlay->lower_fd = mount_image(image_fd, err);
	if (overlay->lower_fd < 0)
		overlay_forget(overlay->store);
	if (overlay->lower_fd < 0)
		return err_prefix(err, overlay->lower_fd, "mount the image of the tree");
	return 0;
}

int overlay_begin(struct overlay_view *overlay, struct cop_error *err)
{
	int r = overlay->has_base
			? object_check_files(overlay->store, &overlay->base, err)
			: 0;

	if (r < 0)
		return r;
	overlay->pool_fd = fs_open_plain(store_fd(overlay->store), "files",
					 O_RDONLY | O_DIRECTORY, 0, err);
	return overlay->pool_fd < 0 ? overlay->pool_fd : 0;
}

int overlay_new(struct cop_store *store, struct workdir *workdir,
		const struct cop_digest *digest, struct overlay_view **ret_overlay,
		struct cop_error *err)
{
	auto_ptr(overlay_view) overlay = calloc(1, sizeof(*overlay));

	if (!overlay)
		return err_oom(err);
	*overlay = (struct overlay_view){
		.view.ops = &view_overlay_ops,
		.store = store,
		.dir_fd = workdir_fd(workdir),
		.place_fd = workdir_fd(workdir),
		.place = OVERLAY_TREE,
		.pool_fd = -EBADF,
		.lower_fd = -EBADF,
		.has_base = digest != NULL,
		.is_volatile = true,
	};
	if (digest)
		overlay->base = *digest;
	if (asprintf(&overlay->view.path, "%s/" OVERLAY_TREE, workdir_path(workdir)) < 0)
		overlay->view.path = NULL;
	if (asprintf(&overlay->source, "coppice:%s", workdir_id(workdir)) < 0)
		overlay->source = NULL;
	if (!overlay->view.path || !overlay->source)
		return err_oom(err);
	*ret_overlay = TAKE_PTR(overlay);
	return 0;
}

static int open_overlay(struct cop_store *store, struct workdir *workdir,
			const struct cop_digest *digest,
			const struct cop_progress *progress, struct view **ret_view,
			struct cop_error *err)
{
	auto_ptr(overlay_view) overlay = NULL;
	int r = overlay_new(store, workdir, digest, &overlay, err);

	(void)progress;
	if (r < 0)
		return r;
	if (mkdirat(overlay->dir_fd, OVERLAY_TREE, 0700) < 0)
		return err_errno(err, "make directory '%s'", overlay->view.path);
	r = overlay_begin(overlay, err);
	if (r == 0 && overlay->has_base)
		r = overlay_write_base(overlay, err);
	if (r == 0)
		r = overlay_mount_lower(overlay, err);
	if (r < 0)
		return r;
	*ret_view = &TAKE_PTR(overlay)->view;
	return 0;
}

/* Until it is not -EBUSY. */
static int try_patiently(int (*try)(struct overlay_view *overlay, struct cop_error *err),
			 struct overlay_view *overlay, struct cop_error *err)
{
	int waited_ms = 0, sleep_ms = 1, r;

	while ((r = try(overlay, err)) == -EBUSY && waited_ms < PATIENCE_MS) {
		const struct timespec time = {.tv_nsec = (long)sleep_ms * 1000000};

		(void)nanosleep(&time, NULL);
		waited_ms += sleep_ms;
		sleep_ms = sleep_ms < 64 ? 2 * sleep_ms : sleep_ms;
	}
	return r;
}

/* Does anybody hold what we have let go of?  An upper that was ever mounted knows its
 * lower and refuses any other, so a directory will do that need not be mounted first. */
static int try_upper(struct overlay_view *overlay, struct cop_error *err)
{
	auto_close int upper_fd = overlay_open_part(overlay, "upper", err);
	auto_close int work_fd = overlay_open_part(overlay, "work", err);
	int lower_fd = overlay->dir_fd, r = 0;

	if (upper_fd < 0 || work_fd < 0)
		return upper_fd < 0 ? upper_fd : work_fd;
	if (overlay->lower_fd < 0 &&
	    fgetxattr(upper_fd, "trusted.overlay.origin", NULL, 0) < 0)
		r = overlay_mount_lower(overlay, err);
	if (overlay->lower_fd >= 0)
		lower_fd = overlay->lower_fd;
	if (r == 0)
		r = mount_upper_in_use(upper_fd, work_fd, lower_fd, err);
	return r > 0 ? -EBUSY : r;
}

static int try_read_only(struct overlay_view *overlay, struct cop_error *err)
{
	return mount_set_read_only(overlay->place_fd, overlay->place, true, err);
}

static int try_detach(struct overlay_view *overlay, struct cop_error *err)
{
	return mount_detach(overlay->place_fd, overlay->place, false, err);
}

int overlay_detach(struct overlay_view *overlay, struct cop_error *err)
{
	int r;

	if (overlay->state == OVERLAY_DOWN)
		return 0;
	r = try_patiently(try_detach, overlay, err);
	if (r == -EBUSY)
		return overlay_blame(overlay, false, err);
	if (r == 0)
		overlay->state = OVERLAY_DOWN;
	return r;
}

static int let_go(struct overlay_view *overlay, struct cop_error *err)
{
	int r = try_patiently(try_read_only, overlay, err);

	if (r == -EBUSY)
		return overlay_blame(overlay, true, err);
	if (r < 0)
		return r;
	r = overlay_detach(overlay, err);
	if (r < 0)
		(void)mount_set_read_only(overlay->place_fd, overlay->place, false, NULL);
	return r;
}

int overlay_freeze(struct overlay_view *overlay, struct cop_error *err)
{
	int r = 0;

	if (overlay->state == OVERLAY_READING) {
		(void)mount_detach(overlay->place_fd, overlay->place, true, NULL);
		overlay->state = OVERLAY_DOWN;
	}
	if (!overlay->has_upper || overlay->is_frozen)
		return 0;
	if (overlay->state == OVERLAY_WRITING)
		r = let_go(overlay, err);
	if (r < 0)
		return r;
	r = try_patiently(try_upper, overlay, err);
	if (r == -EBUSY)
		return overlay_blame(overlay, false, err);
	overlay->is_frozen = r == 0;
	return r;
}

/* What was copied because no single call can reach it, for a commit that is over. */
static void forget_copies(const struct overlay_view *overlay)
{
	(void)fs_remove_all(overlay->dir_fd, "files", false, NULL);
}

/* From now on the view grows from @digest.  A failure leaves the list of moves, so that
 * the next call comes here again. */
static int rebase(struct overlay_view *overlay, const struct cop_digest *digest,
		  struct tree *tree, struct cop_error *err)
{
	auto_ptr(tree) owned = tree;
	int r = overlay_upper_discard(overlay, err);

	if (r < 0)
		return r;
	if (!overlay->has_base || !cop_digest_equal(digest, &overlay->base))
		forget_lower(overlay);
	tree_free(overlay->lower);
	overlay->lower = owned && tree_is_worn(owned) ? NULL : TAKE_PTR(owned);
	overlay->base = *digest;
	overlay->has_base = true;
	overlay->view.digest = *digest;
	overlay->view.has_digest = true;
	r = overlay_write_base(overlay, err);
	/* What outlives a power cut must not forget the moves before the rest. */
	if (r == 0 && !overlay->is_volatile)
		r = fs_sync_filesystem(overlay->dir_fd, err);
	if (r == 0)
		r = store_commit_settled(overlay->dir_fd, err);
	if (r < 0)
		return r;
	/* The names of it that are left are no way to the pool: it is never mounted. */
	(void)fs_remove_all(overlay->dir_fd, "gone", false, NULL);
	forget_copies(overlay);
	return 0;
}

/* A commit that could not be finished when its first barrier had been passed. */
static int finish_commit(struct overlay_view *overlay, struct cop_error *err)
{
	struct cop_digest digest;
	int r;

	if (!store_commit_is_open(overlay->dir_fd))
		return 0;
	r = store_resume_commit(overlay->store, overlay->dir_fd, &digest, err);
	if (r > 0)
		r = rebase(overlay, &digest, NULL, err);
	return r < 0 ? err_prefix(err, r, "finish the last commit") : 0;
}

static int attach(struct overlay_view *overlay, const struct mount_overlay *options,
		  struct cop_error *err)
{
	auto_close int mount_fd = mount_overlay(options, err);
	struct stat st;
	int r;

	if (mount_fd < 0 && mount_fd != -EBUSY)
		overlay_forget(overlay->store);
	if (mount_fd < 0)
		return mount_fd;
	r = mount_attach(mount_fd, overlay->place_fd, overlay->place, err);
	if (r == 0 && fstat(mount_fd, &st) == 0)
		overlay->dev = st.st_dev;
	return r;
}

static int attach_reading(struct overlay_view *overlay, struct cop_error *err)
{
	const struct mount_overlay options = {
		.source = overlay->source,
		.lower_fd = overlay->lower_fd,
		.pool_fd = overlay->pool_fd,
		.upper_fd = -EBADF,
		.work_fd = -EBADF,
		.temporary_fd = overlay->dir_fd,
	};
	int r = attach(overlay, &options, err);

	if (r == 0)
		overlay->state = OVERLAY_READING;
	return r;
}

/* The kernel cannot know that nothing was lost since it was mounted last, but we do: the
 * machine did not stop in between, as we are the same process. */
static int take_mark(struct overlay_view *overlay, struct cop_error *err)
{
	if (!overlay->is_volatile)
		return 0;
	return fs_remove_all(overlay->dir_fd, VOLATILE_MARK, false, err);
}

static int attach_writing(struct overlay_view *overlay, struct cop_error *err)
{
	auto_close int upper_fd = overlay_open_part(overlay, "upper", err);
	auto_close int work_fd = overlay_open_part(overlay, "work", err);
	const struct mount_overlay options = {
		.source = overlay->source,
		.lower_fd = overlay->lower_fd,
		.pool_fd = overlay->pool_fd,
		.upper_fd = upper_fd,
		.work_fd = work_fd,
		.is_volatile = overlay->is_volatile,
		.temporary_fd = overlay->dir_fd,
	};
	int r;

	if (upper_fd < 0 || work_fd < 0)
		return upper_fd < 0 ? upper_fd : work_fd;
	r = attach(overlay, &options, err);
	if (r < 0)
		return r;
	overlay->state = OVERLAY_WRITING;
	overlay->is_frozen = false;
	return 0;
}

static int prepare_writing(struct overlay_view *overlay, struct cop_error *err)
{
	int r = 0;

	if (overlay->is_lost)
		return err_set(err, -EIO, "what was written did not reach the disk");
	if (overlay->state == OVERLAY_READING ||
	    (overlay->has_upper && !overlay->is_frozen))
		r = overlay_freeze(overlay, err);
	if (r == 0 && overlay->has_upper)
		r = take_mark(overlay, err);
	else if (r == 0)
		r = overlay_upper_make(overlay, err);
	if (r < 0)
		return r;
	overlay->has_upper = true;
	return attach_writing(overlay, err);
}

static int prepare(struct view *view, bool writing, struct cop_error *err)
{
	struct overlay_view *overlay = to_overlay(view);
	int r = 0;

	if (overlay->state == OVERLAY_WRITING ||
	    (overlay->state == OVERLAY_READING && !writing))
		return 0;
	r = finish_commit(overlay, err);
	if (r == 0)
		r = overlay_mount_lower(overlay, err);
	if (r == 0)
		r = writing || overlay->has_upper ? prepare_writing(overlay, err)
						  : attach_reading(overlay, err);
	return r < 0 ? err_prefix(err, r, "mount view '%s'", overlay->source) : 0;
}

int overlay_load_lower(struct overlay_view *overlay, struct cop_error *err)
{
	if (overlay->lower)
		return 0;
	return view_read_tree(overlay->store, overlay->has_base ? &overlay->base : NULL,
			      &overlay->lower, err);
}

static int give_nids(void *data, const struct tree *lower, uint64_t **ret_nids,
		     struct cop_error *err)
{
	(void)data;
	return image_nids(lower, IMAGE_VERSION, ret_nids, err);
}

static int merge(struct overlay_view *overlay, struct staging *staging,
		 struct tree **ret_tree, struct cop_error *err)
{
	auto_close int upper_fd = overlay_open_part(overlay, "upper", err);
	auto_close int index_fd = overlay_open_part(overlay, "work/index", err);
	struct staging_place upper, index;
	const struct tree_merge_options options = {
		.upper = &upper.options,
		.index_fd = index_fd,
		.index = &index.options,
		.nids = give_nids,
	};
	struct cop_error first = {};
	auto_ptr(tree) tree = NULL;
	int r, staging_r;

	if (upper_fd < 0 || index_fd < 0)
		return upper_fd < 0 ? upper_fd : index_fd;
	staging_place_init(&upper, staging, "upper");
	staging_place_init(&index, staging, "work/index");
	r = tree_merge(&overlay->lower, upper_fd, &options, &tree, &first);
	/* Until then its threads write into the tree. */
	staging_r = staging_finish(staging, err);
	if (staging_r < 0)
		return staging_r;
	if (r < 0) {
		(void)err_copy(err, &first);
		return r;
	}
	if (r == 0)
		r = tree_canonicalise(tree, err);
	if (r == 0)
		*ret_tree = TAKE_PTR(tree);
	return r;
}

static int run_loading(void *data, void *item, struct cop_error *err)
{
	(void)data;
	return overlay_load_lower(item, err);
}

/* The base is read while the kernel brings what was written to the disk.  Only a guess,
 * as somebody may be writing still. */
static int begin_loading(struct overlay_view *overlay, struct work **ret_loading,
			 struct cop_error *err)
{
	auto_close int upper_fd = -EBADF;
	char **names = NULL;
	size_t n_names = 0;
	int r;

	if (!overlay->has_upper || !overlay->has_base || overlay->lower)
		return 0;
	upper_fd = overlay_open_part(overlay, "upper", err);
	r = upper_fd < 0 ? upper_fd : fs_list(upper_fd, &names, &n_names, err);
	fs_list_free(names);
	if (r < 0 || n_names == 0)
		return r;
	return work_aside(run_loading, overlay, ret_loading, err);
}

static int freeze_and_load(struct overlay_view *overlay, struct cop_error *err)
{
	auto_ptr(work) loading = NULL;
	int r = begin_loading(overlay, &loading, err), load_r;

	if (r < 0)
		return r;
	r = overlay_freeze(overlay, err);
	load_r = loading ? work_finish(loading, r < 0 ? NULL : err) : 0;
	return r < 0 ? r : load_r;
}

struct overlay_capture {
	struct view_capture capture; /* must be first */
	const struct staging *staging;
};

/* A tree of the capture's own, or none where the base says it all. */
static int capture_tree(struct overlay_view *overlay, struct staging *staging,
			struct tree **ret_tree, struct cop_error *err)
{
	int r = freeze_and_load(overlay, err);

	if (r < 0)
		return r;
	r = overlay->has_upper ? overlay_upper_is_untouched(overlay, err) : 1;
	if (r == 0)
		r = overlay_load_lower(overlay, err);
	else if (r > 0)
		r = TREE_UNCHANGED;
	if (r == 0)
		r = merge(overlay, staging, ret_tree, err);
	/* The empty tree has no object that could stand for it. */
	if (r == TREE_UNCHANGED)
		r = overlay->has_base ? 0 : view_empty_tree(ret_tree, err);
	return r;
}

static int capture(struct view *view, struct staging *staging,
		   struct view_capture **ret_capture, struct cop_error *err)
{
	struct overlay_view *overlay = to_overlay(view);
	auto_free struct overlay_capture *found = calloc(1, sizeof(*found));
	int r;

	if (!found)
		return err_oom(err);
	if (overlay->is_lost)
		return err_set(err, -EIO, "what was written did not reach the disk");
	r = finish_commit(overlay, err);
	if (r == 0)
		r = capture_tree(overlay, staging, &found->capture.tree, err);
	if (r < 0) {
		forget_copies(overlay);
		return r;
	}
	found->staging = staging;
	*ret_capture = (struct view_capture *)(void *)TAKE_PTR(found);
	return 0;
}

static void drop(struct view *view, struct view_capture *capture)
{
	struct overlay_view *overlay = to_overlay(view);
	const struct overlay_capture *found =
		(const struct overlay_capture *)(void *)capture;

	if (staging_is_lost(found->staging))
		overlay->is_lost = true;
	if (!store_commit_is_open(overlay->dir_fd))
		forget_copies(overlay);
	tree_free(capture->tree);
	free(capture);
}

static void adopt(struct view *view, struct view_capture *capture,
		  const struct cop_digest *digest)
{
	struct overlay_view *overlay = to_overlay(view);
	struct cop_error err = {};

	/* It goes as a whole; until then its list of moves tells the next who comes what
	 * has become of it. */
	if (overlay->is_ending) {
		tree_free(capture->tree);
		free(capture);
		return;
	}
	/* An untouched upper is thrown away likewise: others may read the view now. */
	if (!capture->tree)
		capture->tree = TAKE_PTR(overlay->lower);
	if (rebase(overlay, digest, capture->tree, &err) < 0)
		log_debug("%s: %s", overlay->source, err.message);
	free(capture);
}

const struct view_ops view_overlay_ops = {
	.in_place = true,
	.open = open_overlay,
	.close = close_overlay,
	.prepare = prepare,
	.capture = capture,
	.adopt = adopt,
	.drop = drop,
	.clamp = overlay_clamp,
	.changes = overlay_changes,
};
