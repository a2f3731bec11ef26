/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands in the upper directory, beside the lower tree.  Each entry has a
 * counterpart below: what it shows through, or what it replaced; directories that were
 * moved have that of their old place.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/fs.h"
#include "image/image.h"
#include "tree/merge.h"
#include "view/clock.h"
#include "view/overlay.h"
#include "view/walk.h"

#define REDIRECT_MAX 4096
#define PROC_PATH    (32 + TREE_NAME_MAX)

struct upper_entry {
	const struct walk_entry *walk;
	const struct tree_node *lower; /* counterpart with the inode; NULL: none */
	bool is_whiteout;
	bool is_opaque;	  /* a directory that hides its counterpart's children */
	bool is_moved;	  /* the counterpart stands elsewhere */
	bool is_metacopy; /* the data is that of the counterpart */
};

struct look {
	struct overlay_view *overlay;
	/* By depth: the lower directory that shows through; NULL: none. */
	const struct tree_node *lowers[TREE_DEPTH_MAX + 2];
	int (*visit)(void *data, const struct upper_entry *entry, struct cop_error *err);
	void *data;
};

/* Length of the value; 0 where there is none. */
static size_t get_mark(const struct walk_entry *entry, const char *key, char *value,
		       size_t size)
{
	char path[PROC_PATH];
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", entry->dir_fd,
		       entry->name);
	n = lgetxattr(path, key, value, size - 1);
	value[n > 0 ? n : 0] = '\0';
	return n > 0 ? (size_t)n : 0;
}

static bool has_mark(const struct walk_entry *entry, const char *key)
{
	char path[PROC_PATH];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", entry->dir_fd,
		       entry->name);
	return lgetxattr(path, key, NULL, 0) >= 0;
}

static const struct tree_node *find_lower(const struct look *look,
					  const struct tree_node *parent,
					  struct upper_entry *entry)
{
	const char *name = entry->walk->name;
	char redirect[REDIRECT_MAX];
	const struct tree_node *node;

	if (get_mark(entry->walk, "trusted.overlay.redirect", redirect,
		     sizeof(redirect)) > 0) {
		entry->is_moved = true;
		name = redirect;
	}
	if (*name == '/')
		node = tree_find(look->overlay->lower, name);
	else
		node = parent ? tree_child(parent, name, strlen(name)) : NULL;
	return node ? tree_inode(node) : NULL;
}

static size_t depth_of(const char *path)
{
	size_t depth = 0;

	if (strcmp(path, "/") == 0)
		return 0;
	for (; *path; path++)
		depth += *path == '/';
	return depth;
}

static int visit_entry(void *data, const struct walk_entry *walk, struct cop_error *err)
{
	struct look *look = data;
	struct upper_entry entry = {.walk = walk};
	size_t depth = depth_of(walk->path);
	char value[8];

	if (depth > TREE_DEPTH_MAX)
		return err_set(err, -ERANGE, "'%s' is more than %d directories deep",
			       walk->path, TREE_DEPTH_MAX);
	if (depth == 0) {
		entry.lower = look->overlay->lower->root;
	} else {
		entry.is_whiteout = S_ISCHR(walk->seen.mode) && walk->seen.rdev == 0;
		entry.lower = find_lower(look, look->lowers[depth - 1], &entry);
	}
	if (S_ISREG(walk->seen.mode))
		entry.is_metacopy = has_mark(walk, "trusted.overlay.metacopy");
	if (S_ISDIR(walk->seen.mode)) {
		entry.is_opaque = depth > 0 &&
				  get_mark(walk, "trusted.overlay.opaque", value,
					   sizeof(value)) == 1 &&
				  *value == 'y';
		look->lowers[depth] =
			entry.lower && S_ISDIR(entry.lower->mode) && !entry.is_opaque
				? entry.lower
				: NULL;
	}
	return look->visit(look->data, &entry, err);
}

static int look_at_upper(struct overlay_view *overlay,
			 int (*visit)(void *data, const struct upper_entry *entry,
				      struct cop_error *err),
			 void *data, struct cop_error *err)
{
	auto_close int upper_fd = overlay_open_part(overlay, "upper", err);
	auto_free struct look *look = calloc(1, sizeof(*look));
	int r;

	if (upper_fd < 0)
		return upper_fd;
	if (!look)
		return err_oom(err);
	r = overlay_load_lower(overlay, err);
	if (r < 0)
		return r;
	look->overlay = overlay;
	look->visit = visit;
	look->data = data;
	return walk_directory(upper_fd, NULL, visit_entry, look, err);
}

static bool same_mtime(const struct seen *seen, const struct tree_node *lower)
{
	return lower->mtime_sec == seen->mtime.tv_sec &&
	       lower->mtime_nsec == seen->mtime.tv_nsec;
}

static int clamp_file(int dir_fd, const char *name, const char *shown,
		      const struct timespec *epoch, struct cop_error *err)
{
	const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, *epoch};

	if (utimensat(dir_fd, name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return err_errno(err, "set mtime of '%s'", shown);
	return 0;
}

static int clamp_entry(void *data, const struct upper_entry *entry, struct cop_error *err)
{
	const struct timespec *epoch = data;
	const struct walk_entry *walk = entry->walk;

	if (entry->is_whiteout || !clock_is_after(&walk->seen.mtime, epoch))
		return 0;
	/* As it is in the base: not ours to change. */
	if (entry->lower && same_mtime(&walk->seen, entry->lower))
		return 0;
	return clamp_file(walk->dir_fd, walk->name, walk->path, epoch, err);
}

/* By the inode number of an entry of the index; NULL: none. */
static const struct tree_node *find_nid(const struct tree *lower, const uint64_t *nids,
					const char *name)
{
	uint64_t nid;

	if (overlay_index_nid(name, &nid) != 0)
		return NULL;
	for (const struct tree_node *node = lower->root; node; node = tree_next(node))
		if (nids[node->index] == nid)
			return tree_inode(node);
	return NULL;
}

/* Hard links that have lost their names in the upper show through others of the base. */
static int clamp_index(struct overlay_view *overlay, const struct timespec *epoch,
		       struct cop_error *err)
{
	auto_close int index_fd = overlay_open_part(overlay, "work/index", err);
	auto_free uint64_t *nids = NULL;
	char **names = NULL;
	int r;

	if (index_fd < 0)
		return index_fd;
	r = fs_list(index_fd, &names, NULL, err);
	for (char **name = names; r == 0 && name && *name; name++) {
		const struct tree_node *lower;
		struct seen seen;

		if (seen_file(index_fd, *name, &seen) < 0 || S_ISDIR(seen.mode) ||
		    (S_ISCHR(seen.mode) && seen.rdev == 0) ||
		    !clock_is_after(&seen.mtime, epoch))
			continue;
		if (!nids)
			r = image_nids(overlay->lower, IMAGE_VERSION, &nids, err);
		lower = r == 0 ? find_nid(overlay->lower, nids, *name) : NULL;
		if (lower && !same_mtime(&seen, lower))
			r = clamp_file(index_fd, *name, *name, epoch, err);
	}
	fs_list_free(names);
	return r;
}

int overlay_clamp(struct view *view, int64_t epoch, struct cop_error *err)
{
	struct overlay_view *overlay = to_overlay(view);
	struct timespec time = {.tv_sec = epoch};
	int r = overlay_freeze(overlay, err);

	if (r < 0 || !overlay->has_upper)
		return r;
	/* The overlay must not be mounted while its upper changes under it. */
	r = look_at_upper(overlay, clamp_entry, &time, err);
	return r < 0 ? r : clamp_index(overlay, &time, err);
}

/* Itself included. */
static uint64_t count_below(const struct tree_node *top)
{
	const struct tree_node *last = top;

	/* Numbers go up in the order of tree_next(). */
	while (S_ISDIR(last->mode) && last->n_children > 0)
		last = last->children[last->n_children - 1];
	return last->index - top->index + 1;
}

static bool same_metadata(const struct seen *seen, const struct tree_node *lower)
{
	return seen->mode == lower->mode && seen->uid == lower->uid &&
	       seen->gid == lower->gid && same_mtime(seen, lower);
}

/* The names below that an entry hides are gone, and those that come with it are new. */
static int count_entry(void *data, const struct upper_entry *entry, struct cop_error *err)
{
	struct object_changes *found = data;
	const struct walk_entry *walk = entry->walk;
	const struct tree_node *lower = entry->lower;
	bool is_directory = S_ISDIR(walk->seen.mode), is_new;

	(void)err;
	if (entry->is_whiteout ||
	    (lower && !entry->is_moved &&
	     (entry->is_opaque || S_ISDIR(lower->mode) != is_directory))) {
		uint64_t n = lower ? count_below(lower) : 0;

		found->n_entries -= n;
		found->n_changed += n;
		lower = NULL;
	}
	if (entry->is_whiteout)
		return 0;
	is_new = !lower || entry->is_moved;
	if (is_new && lower && is_directory && !entry->is_opaque) {
		found->n_entries += count_below(lower) - 1;
		found->n_changed += count_below(lower) - 1;
	}
	found->n_entries += is_new;
	if (!is_new && (is_directory || entry->is_metacopy) &&
	    same_metadata(&walk->seen, lower))
		return 0;
	found->n_changed++;
	if (S_ISREG(walk->seen.mode) && !entry->is_metacopy)
		found->n_changed_bytes += walk->seen.size;
	return 0;
}

int overlay_changes(struct view *view, struct object_changes *ret, struct cop_error *err)
{
	struct overlay_view *overlay = to_overlay(view);
	struct object_changes found = {};
	int r = overlay_load_lower(overlay, err);

	if (r < 0)
		return r;
	found.n_entries = overlay->lower->n_nodes;
	if (overlay->has_upper)
		r = look_at_upper(overlay, count_entry, &found, err);
	if (r == 0)
		*ret = found;
	return r;
}
