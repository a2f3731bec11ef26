/* SPDX-License-Identifier: Apache-2.0 */
/*
 * views/ID holds what an overlay view has in its work directory (see view/overlay.h), and
 *
 *	state	"coppice-view 1", then "write" or "read", then the target
 *
 * with a newline behind the first two.  It is made under tmp and moved when it is
 * complete.  The mount itself says in its source which view it is, so it is found
 * wherever it was moved or bound to.
 */
#include "view/kept.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/mount.h"
#include "base/text.h"
#include "store/object.h"
#include "store/store.h"
#include "view/overlay.h"

#define STATE_LINE "coppice-view 1\n"
#define STATE_MAX  ((uint64_t)65536)
#define SOURCE	   "coppice:"

/* The directory @path by its parent, as mounts are spoken of by parent and name. */
static int find_place(const char *path, int *ret_parent_fd, char **ret_real,
		      struct cop_error *err)
{
	auto_free char *real = realpath(path, NULL);
	auto_close int fd = -EBADF;
	struct stat st;
	char *slash;

	if (!real)
		return err_errno(err, "open '%s'", path);
	if (stat(real, &st) < 0)
		return err_errno(err, "stat '%s'", real);
	if (!S_ISDIR(st.st_mode))
		return err_set(err, -ENOTDIR, "'%s' is not a directory", real);
	slash = strrchr(real, '/');
	if (slash[1] == '\0')
		return err_set(err, -EINVAL, "'%s' is the root directory", path);
	/* The parent of /a is /. */
	*slash = '\0';
	fd = open(*real ? real : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, "open '%s'", real);
	*slash = '/';
	*ret_parent_fd = TAKE_FD(fd);
	*ret_real = TAKE_PTR(real);
	return 0;
}

static int write_state(int dir_fd, bool writable, const char *target,
		       struct cop_error *err)
{
	auto_buf text = {};

	if (buf_printf(&text, STATE_LINE "%s\n%s", writable ? "write" : "read", target) <
	    0)
		return err_oom(err);
	return fs_replace_at(dir_fd, "state", text.data, text.size, 0600, err);
}

static int read_state(int dir_fd, bool *ret_writable, char **ret_target,
		      struct cop_error *err)
{
	auto_buf text = {};
	const char *at;
	int r = fs_read_file(dir_fd, "state", STATE_MAX, &text, err);

	if (r < 0)
		return r;
	at = buf_text(&text);
	if (!text_starts_with(at, STATE_LINE))
		return err_set(err, -EUCLEAN, "read 'state': it is damaged");
	at += strlen(STATE_LINE);
	if (!text_starts_with(at, "write\n/") && !text_starts_with(at, "read\n/"))
		return err_set(err, -EUCLEAN, "read 'state': it is damaged");
	*ret_writable = *at == 'w';
	*ret_target = strdup(strchr(at, '\n') + 1);
	if (*ret_target)
		return 0;
	(void)err_oom(err);
	return -ENOMEM;
}

/* Where a view is mounted, or which view is mounted at a place: the topmost. */
struct search {
	const char *source, *path; /* one of them is given */
	const char *preferred;	   /* of several paths */
	char *found;
};

static int look_at_mount(void *data, const char *path, const char *source)
{
	struct search *search = data;
	bool is_ours = text_starts_with(source, SOURCE);

	if (search->source && strcmp(source, search->source) != 0)
		return 0;
	if (search->path && strcmp(path, search->path) != 0)
		return 0;
	if (search->found && search->preferred &&
	    strcmp(search->found, search->preferred) == 0)
		return 0;
	free(search->found);
	search->found = is_ours ? strdup(search->source ? path : source) : NULL;
	return is_ours && !search->found ? -ENOMEM : 0;
}

static void search_done(struct search *search)
{
	free(search->found);
}
#define auto_search cleanup_with(search_done) struct search

/* search->found stays NULL where there is none. */
static int find_mount(struct search *search, struct cop_error *err)
{
	int r = mount_each(look_at_mount, search, err);

	if (r == -ENOMEM)
		(void)err_oom(err);
	return r;
}

/* A view on its way in or out. */
struct kept {
	struct cop_store *store;
	struct workdir *workdir;
	struct overlay_view *overlay;
	int parent_fd; /* of the directory where it is or shall be mounted */
	char *target;
	bool writable;
	bool mounted;
};

static void kept_done(struct kept *kept)
{
	if (kept->overlay)
		kept->overlay->view.ops->close(&kept->overlay->view);
	workdir_free(kept->workdir);
	closep(&kept->parent_fd);
	free(kept->target);
}
#define auto_kept cleanup_with(kept_done) struct kept

static int make_overlay(struct kept *kept, const struct cop_digest *base,
			struct cop_error *err)
{
	struct overlay_view *overlay;
	int r = overlay_new(kept->store, kept->workdir, base, &kept->overlay, err);

	if (r < 0)
		return r;
	overlay = kept->overlay;
	overlay->is_kept = true;
	overlay->is_volatile = false;
	overlay->view.store = kept->store;
	overlay->view.digest = *base;
	overlay->view.has_digest = true;
	overlay->view.n_users = 1;
	return 0;
}

/* Where the overlay attaches from now on. */
static int set_place(struct kept *kept, const char *target, struct cop_error *err)
{
	struct overlay_view *overlay = kept->overlay;
	int parent_fd = -EBADF, r;
	char *path = NULL;

	r = find_place(target, &parent_fd, &path, err);
	if (!path)
		return r;
	closep(&kept->parent_fd);
	kept->parent_fd = parent_fd;
	free(overlay->view.path);
	overlay->view.path = path;
	overlay->place_fd = parent_fd;
	overlay->place = strrchr(path, '/') + 1;
	return 0;
}

static int check_kind(struct cop_store *store, struct cop_error *err)
{
	const struct view_ops *ops;
	int r = view_choose(store, &ops, err);

	if (r < 0 || ops == &view_overlay_ops)
		return r;
	return err_set(err, -EOPNOTSUPP,
		       "it takes overlay views, but here the view is: %s",
		       view_describe(store));
}

static int mount_new(struct kept *kept, const char *tree, const char *target,
		     char **ret_id, struct cop_error *err)
{
	auto_free char *id = NULL;
	struct cop_digest base;
	int r = workdir_new(kept->store, NULL, NULL, &kept->workdir, err);

	if (r == 0)
		r = object_get(kept->store, kept->workdir, tree, &base, err);
	if (r == 0)
		r = make_overlay(kept, &base, err);
	if (r == 0)
		r = overlay_begin(kept->overlay, err);
	if (r == 0)
		r = overlay_write_base(kept->overlay, err);
	if (r == 0)
		r = overlay_mount_lower(kept->overlay, err);
	if (r == 0)
		r = set_place(kept, target, err);
	if (r == 0)
		r = write_state(workdir_fd(kept->workdir), kept->writable,
				kept->overlay->view.path, err);
	/* What will be written there is the user's: it must be found after a power cut.
	 */
	if (r == 0 && kept->writable)
		r = fs_sync_filesystem(workdir_fd(kept->workdir), err);
	if (r == 0)
		r = workdir_keep(kept->workdir, err);
	if (r < 0)
		return r;
	id = strdup(workdir_id(kept->workdir));
	r = id ? kept->overlay->view.ops->prepare(&kept->overlay->view, kept->writable,
						  err)
	       : err_oom(err);
	if (r < 0) {
		workdir_doom(kept->workdir);
		return r;
	}
	*ret_id = TAKE_PTR(id);
	return 0;
}

int kept_mount(struct cop_store *store, const char *tree, const char *target,
	       bool writable, char **ret_id, struct cop_error *err)
{
	auto_kept kept = {.store = store, .writable = writable, .parent_fd = -EBADF};
	int r = check_kind(store, err);

	if (r == 0)
		r = mount_new(&kept, tree, target, ret_id, err);
	return r < 0 ? err_prefix(err, r, "mount '%s' at '%s'", tree, target) : 0;
}

static int open_kept(struct kept *kept, const char *id, struct cop_error *err)
{
	auto_search search = {};
	struct cop_digest base;
	struct stat st;
	int fd, r = workdir_open_kept(kept->store, id, &kept->workdir, err);

	if (r < 0)
		return r;
	fd = workdir_fd(kept->workdir);
	r = read_state(fd, &kept->writable, &kept->target, err);
	if (r == 0)
		r = overlay_read_base(fd, &base, err);
	if (r == 0)
		r = make_overlay(kept, &base, err);
	if (r < 0)
		return r;
	kept->overlay->has_upper = faccessat(fd, "upper", F_OK, AT_SYMLINK_NOFOLLOW) == 0;
	search.source = kept->overlay->source;
	search.preferred = kept->target;
	r = find_mount(&search, err);
	if (r < 0 || !search.found)
		return r;
	kept->mounted = true;
	kept->overlay->state = kept->writable ? OVERLAY_WRITING : OVERLAY_READING;
	if (stat(search.found, &st) == 0)
		kept->overlay->dev = st.st_dev;
	return set_place(kept, search.found, err);
}

int kept_remount(struct cop_store *store, const char *id, const char *target,
		 struct cop_error *err)
{
	auto_kept kept = {.store = store, .parent_fd = -EBADF};
	int r = check_kind(store, err);

	if (r == 0)
		r = open_kept(&kept, id, err);
	if (r == 0 && kept.mounted)
		r = err_set(err, -EBUSY, "it is mounted at '%s'",
			    kept.overlay->view.path);
	if (r == 0)
		r = overlay_begin(kept.overlay, err);
	if (r == 0)
		r = set_place(&kept, target ? target : kept.target, err);
	if (r == 0)
		r = write_state(workdir_fd(kept.workdir), kept.writable,
				kept.overlay->view.path, err);
	if (r == 0)
		r = kept.overlay->view.ops->prepare(&kept.overlay->view, kept.writable,
						    err);
	return r < 0 ? err_prefix(err, r, "mount view '%s'", id) : 0;
}

struct listing {
	struct cop_store *store;
	int (*visit)(void *data, const struct kept_view *view);
	void *data;
	struct cop_error *err;
};

static int list_one(const struct listing *listing, int views_fd, const char *id)
{
	auto_close int fd = fs_open_plain(views_fd, id, O_RDONLY | O_DIRECTORY, 0, NULL);
	auto_free char *target = NULL;
	struct kept_view view = {.id = id};
	char source[sizeof(SOURCE) + NAME_MAX];
	auto_search search = {.source = source};
	int r;

	/* One that ends while we look, or is none of ours. */
	if (fd < 0 || overlay_read_base(fd, &view.base, NULL) < 0 ||
	    read_state(fd, &view.writable, &target, NULL) < 0 || !target)
		return 0;
	(void)snprintf(source, sizeof(source), SOURCE "%s", id);
	r = find_mount(&search, listing->err);
	if (r < 0)
		return r;
	view.mounted = search.found != NULL;
	view.target = search.found ? search.found : target;
	return listing->visit(listing->data, &view);
}

int kept_list(struct cop_store *store,
	      int (*visit)(void *data, const struct kept_view *view), void *data,
	      struct cop_error *err)
{
	const struct listing listing = {
		.store = store, .visit = visit, .data = data, .err = err};
	auto_close int fd =
		fs_open_plain(store_fd(store), "views", O_RDONLY | O_DIRECTORY, 0, err);
	char **names = NULL;
	int r;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	r = fs_list(fd, &names, NULL, err);
	for (char **name = names; r >= 0 && name && *name; name++)
		r = list_one(&listing, fd, *name);
	fs_list_free(names);
	return r < 0 ? r : 0;
}

struct finding {
	const char *target;
	char *id;
};

static int is_at_target(void *data, const struct kept_view *view)
{
	struct finding *finding = data;

	if (finding->id || strcmp(view->target, finding->target) != 0)
		return 0;
	finding->id = strdup(view->id);
	return finding->id ? 0 : -ENOMEM;
}

int kept_find(struct cop_store *store, const char *target, char **ret_id,
	      struct cop_error *err)
{
	auto_free char *path = realpath(target, NULL);
	auto_search search = {.path = path};
	struct finding finding = {.target = path};
	int r;

	if (!path)
		return err_errno(err, "open '%s'", target);
	r = find_mount(&search, err);
	if (r < 0)
		return r;
	if (search.found) {
		*ret_id = strdup(search.found + strlen(SOURCE));
		return *ret_id ? 0 : err_oom(err);
	}
	r = kept_list(store, is_at_target, &finding, err);
	if (r < 0)
		return r == -ENOMEM ? err_oom(err) : r;
	if (!finding.id)
		return err_set(err, -ENOENT, "no view of store '%s' is mounted at '%s'",
			       cop_store_path(store), target);
	*ret_id = finding.id;
	return 0;
}

/* Without a word on what to do with changes there must be none. */
static int end_unchanged(struct kept *kept, bool discard, struct cop_digest *ret_digest,
			 struct cop_error *err)
{
	int r = 1;

	if (!discard && kept->overlay->has_upper)
		r = overlay_upper_is_untouched(kept->overlay, err);
	if (r == 0)
		r = err_set(
			err, -EBUSY,
			"it has changes: --commit NAME keeps them, --discard drops them");
	if (r > 0)
		r = overlay_detach(kept->overlay, err);
	if (r < 0)
		return r;
	workdir_doom(kept->workdir);
	*ret_digest = kept->overlay->base;
	return 0;
}

/* The Object owns view and directory from here on. */
static int commit(struct kept *kept, const struct kept_end *options,
		  struct cop_digest *ret_digest, struct cop_error *err)
{
	const struct object_commit_options commit_options = {
		.class = REF_NAME,
		.name = options->commit,
		.progress = options->progress,
	};
	struct overlay_view *overlay = kept->overlay;
	struct workdir *workdir = kept->workdir;
	struct cop_object *object = NULL;
	struct cop_error again = {};
	int r;

	overlay->is_ending = true;
	overlay->view.workdir = TAKE_PTR(kept->workdir);
	kept->overlay = NULL;
	r = object_of_view(kept->store, &overlay->view, &object, err);
	if (r < 0)
		return r;
	r = object_commit_as(object, &commit_options, ret_digest, err);
	if (r == 0 && overlay->is_frozen)
		workdir_doom_free(workdir);
	else if (r == 0)
		workdir_doom(workdir);
	else if (kept->mounted && view_prepare(&overlay->view, true, &again) < 0)
		(void)err_prefix(err, r, "it is not mounted any more (%s)",
				 again.message);
	cop_object_free(object);
	return r;
}

int kept_umount(struct cop_store *store, const char *id, const struct kept_end *options,
		struct cop_digest *ret_digest, struct cop_error *err)
{
	auto_kept kept = {.store = store, .parent_fd = -EBADF};
	int r = open_kept(&kept, id, err);

	/* To drop a view, nothing of its base need be there. */
	if (r == 0 && !options->discard)
		r = overlay_begin(kept.overlay, err);
	if (r == 0 && options->commit && kept.writable)
		r = commit(&kept, options, ret_digest, err);
	else if (r == 0 && options->commit)
		r = err_set(err, -EINVAL, "it is mounted for reading only");
	else if (r == 0)
		r = end_unchanged(&kept, options->discard, ret_digest, err);
	return r < 0 ? err_prefix(err, r, "unmount view '%s'", id) : 0;
}
