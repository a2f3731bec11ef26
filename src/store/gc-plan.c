/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What goes.  Without a cap: nothing that a ref names.  With one: refs and sources are
 * put in order, those to keep longest first, and kept as long as they fit; so the first
 * that does not fit and all behind it go, which are those used least recently.
 */
#include <fcntl.h>
#include <string.h>
#include <time.h>

#include "base/text.h"
#include "store/gc-private.h"
#include "store/settings.h"
#include "json/json.h"

/* A download that has not ended after so long never will. */
#define STALE_SEC (24 * 60 * 60)

static struct candidate *add_candidate(struct gc *gc, enum gc_kind kind, const char *name)
{
	struct candidate *candidate;

	if (gc->n_candidates == gc->candidates_room) {
		size_t wanted = gc->candidates_room ? gc->candidates_room * 2 : 256;
		struct candidate *grown =
			reallocarray(gc->candidates, wanted, sizeof(*grown));

		if (!grown)
			return NULL;
		gc->candidates = grown;
		gc->candidates_room = wanted;
	}
	name = arena_memdup(gc->arena, name, strlen(name));
	if (!name)
		return NULL;
	candidate = &gc->candidates[gc->n_candidates++];
	*candidate = (struct candidate){.kind = kind, .name = name};
	return candidate;
}

struct listing {
	struct gc *gc;
	enum gc_kind kind;
	enum ref_class class;
	const json_t *settings;
};

static int add_ref(void *data, const char *name, const struct cop_digest *digest)
{
	const struct listing *listing = data;
	struct candidate *candidate = add_candidate(listing->gc, listing->kind, name);

	if (!candidate)
		return -ENOMEM;
	candidate->digest = *digest;
	ref_last_use(listing->gc->store, listing->class, name, &candidate->last_use);
	if (settings_is_pinned(listing->settings, listing->class, name)) {
		candidate->is_held = true;
		candidate->why = "pinned";
	} else if (listing->kind == GC_NAME && listing->gc->request->keep_names) {
		candidate->is_held = true;
		candidate->why = "a name";
	}
	return 0;
}

/* What lies on disk there: a source may be a directory of things that belong together. */
static uint64_t bytes_on_disk(int dir_fd, const char *name, const struct stat *st)
{
	uint64_t n_bytes = (uint64_t)st->st_blocks * 512;
	auto_close int fd = -EBADF;
	char **names = NULL;

	if (S_ISDIR(st->st_mode))
		fd = openat(dir_fd, name,
			    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fs_list(fd, &names, NULL, NULL) < 0)
		return n_bytes;
	for (char **at = names; *at; at++) {
		struct stat inner;

		if (fstatat(fd, *at, &inner, AT_SYMLINK_NOFOLLOW) == 0)
			n_bytes += bytes_on_disk(fd, *at, &inner);
	}
	fs_list_free(names);
	return n_bytes;
}

static int add_source(struct gc *gc, int fd, const char *directory, const char *name)
{
	struct candidate *candidate;
	auto_buf path = {};
	uint64_t n_bytes;
	struct stat st;

	if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	n_bytes = bytes_on_disk(fd, name, &st);
	gc->sources_bytes += n_bytes;
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return 0;
	if (text_starts_with(name, ".tmp-") && time(NULL) - st.st_mtime < STALE_SEC)
		return 0;
	if (buf_printf(&path, "%s/%s", directory, name) < 0)
		return -ENOMEM;
	candidate = add_candidate(gc, GC_SOURCE, path.data);
	if (!candidate)
		return -ENOMEM;
	candidate->last_use = st.st_mtim;
	candidate->n_bytes = n_bytes;
	if (*name == '.') {
		candidate->goes = true;
		candidate->why = "a download that was killed";
	}
	return 0;
}

/* sources/DIRECTORY/NAME */
static int add_sources(struct gc *gc, int sources_fd, const char *directory,
		       struct cop_error *err)
{
	auto_close int fd = openat(sources_fd, directory,
				   O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	char **names = NULL;
	size_t n = 0;
	int r;

	if (fd < 0)
		return 0;
	r = fs_list(fd, &names, &n, err);
	for (size_t i = 0; i < n && r == 0; i++) {
		r = add_source(gc, fd, directory, names[i]);
		if (r < 0)
			(void)err_code(err, r, "look at source '%s'", names[i]);
	}
	fs_list_free(names);
	return r;
}

static int collect_sources(struct gc *gc, struct cop_error *err)
{
	auto_close int fd =
		fs_open_plain(gc->store->fd, "sources", O_RDONLY | O_DIRECTORY, 0, err);
	char **names = NULL;
	struct stat st;
	size_t n = 0;
	int r;

	if (fd < 0)
		return fd;
	r = fs_list(fd, &names, &n, err);
	for (size_t i = 0; i < n && r == 0; i++) {
		if (fstatat(fd, names[i], &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    !S_ISDIR(st.st_mode))
			gc->sources_bytes += (uint64_t)st.st_blocks * 512;
		r = add_sources(gc, fd, names[i], err);
	}
	fs_list_free(names);
	return r;
}

int gc_collect_candidates(struct gc *gc, struct cop_error *err)
{
	static const struct {
		enum gc_kind kind;
		enum ref_class class;
	} classes[] = {
		{GC_NAME, REF_NAME}, {GC_STAGE, REF_STAGE}, {GC_FAILED, REF_FAILED}};
	auto_json *settings = NULL;
	int r = settings_read(gc->store, &settings, err);

	for (size_t i = 0; i < ARRAY_SIZE(classes) && r == 0; i++) {
		struct listing listing = {.gc = gc,
					  .kind = classes[i].kind,
					  .class = classes[i].class,
					  .settings = settings};

		r = ref_list(gc->store, classes[i].class, NULL, add_ref, &listing, err);
		if (r == -ENOMEM)
			(void)err_oom(err);
	}
	gc->source_directories = snapshot_directories(gc->store, "sources");
	return r < 0 ? r : collect_sources(gc, err);
}

/* Held first; then names, then checkpoints and sources by last use, failed stages last.
 */
static int rank(const struct candidate *candidate)
{
	static const int ranks[] = {
		[GC_NAME] = 1, [GC_STAGE] = 2, [GC_SOURCE] = 2, [GC_FAILED] = 3};

	if (candidate->goes)
		return 4;
	return candidate->is_held ? 0 : ranks[candidate->kind];
}

static int compare_candidates(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;
	int r = rank(x) - rank(y);

	if (r != 0)
		return r;
	if (x->last_use.tv_sec != y->last_use.tv_sec)
		return x->last_use.tv_sec > y->last_use.tv_sec ? -1 : 1;
	if (x->last_use.tv_nsec != y->last_use.tv_nsec)
		return x->last_use.tv_nsec > y->last_use.tv_nsec ? -1 : 1;
	return strcmp(x->name, y->name);
}

/* Objects that processes and views use, and those that somebody has mounted. */
static int mark_needs(struct gc *gc, const struct needs *needs, struct cop_error *err)
{
	auto_free struct cop_digest *digests =
		calloc(needs->n_objects + 1, sizeof(*digests));

	if (!digests)
		return err_oom(err);
	for (size_t i = 0; i < needs->n_objects; i++)
		digests[i] = needs->objects[i].digest;
	for (size_t i = 0; i < needs->n_files; i++)
		gc_mark_file(gc, &needs->files[i].digest);
	return gc_mark_objects(gc, digests, needs->n_objects, err);
}

static int mark_mounted(struct gc *gc, struct cop_error *err)
{
	for (size_t i = 0; i < gc->objects.n; i++) {
		int r;

		if (gc->objects.is_live[i])
			continue;
		r = object_lease(gc->store, &gc->objects.digests[i]);
		closep(&r);
		if (r != -EBUSY)
			continue;
		r = gc_mark_objects(gc, &gc->objects.digests[i], 1, err);
		if (r < 0)
			return r;
		gc->objects.is_live[i] = SNAPSHOT_MOUNTED;
	}
	return 0;
}

static int mark_refs(struct gc *gc, bool only_held, struct cop_error *err)
{
	auto_free struct cop_digest *digests =
		calloc(gc->n_candidates + 1, sizeof(*digests));
	size_t n = 0;

	if (!digests)
		return err_oom(err);
	for (size_t i = 0; i < gc->n_candidates; i++) {
		const struct candidate *candidate = &gc->candidates[i];

		if (candidate->kind != GC_SOURCE && !candidate->goes &&
		    (candidate->is_held || !only_held))
			digests[n++] = candidate->digest;
	}
	return gc_mark_objects(gc, digests, n, err);
}

static uint64_t live_bytes(const struct snapshot *snapshot)
{
	uint64_t n_bytes = snapshot->other_bytes;

	for (size_t i = 0; i < snapshot->n; i++)
		if (snapshot->is_live[i])
			n_bytes += snapshot->bytes[i];
	return n_bytes;
}

/* What the cap allows for, in bytes of objects, files and sources. */
static uint64_t limit(const struct gc *gc)
{
	uint64_t now = gc->objects.n_bytes + gc->objects.other_bytes + gc->files.n_bytes +
		       gc->files.other_bytes + gc->sources_bytes + gc->source_directories;
	uint64_t cap = gc->request->max_size ? gc->request->max_size : UINT64_MAX;
	uint64_t is_free = store_free_bytes(gc->store);

	if (gc->request->min_free > is_free) {
		uint64_t lacking = gc->request->min_free - is_free;

		cap = min_u64(cap, now > lacking ? now - lacking : 0);
	}
	return cap;
}

/* What stays whatever the cap says. */
static uint64_t held_bytes(const struct gc *gc)
{
	uint64_t n_bytes = live_bytes(&gc->objects) + live_bytes(&gc->files) +
			   gc->sources_bytes + gc->source_directories;

	for (size_t i = 0; i < gc->n_candidates; i++)
		if (gc->candidates[i].kind == GC_SOURCE && !gc->candidates[i].is_held)
			n_bytes -= gc->candidates[i].n_bytes;
	return n_bytes;
}

static int fit(struct gc *gc, struct candidate *candidate, uint64_t left,
	       uint64_t *ret_bytes, struct cop_error *err)
{
	if (candidate->kind != GC_SOURCE)
		return gc_mark_within(gc, &candidate->digest, left, ret_bytes, err);
	*ret_bytes = candidate->n_bytes;
	return *ret_bytes <= left ? 0 : -EDQUOT;
}

static int apply_cap(struct gc *gc, uint64_t cap, struct cop_error *err)
{
	uint64_t kept = held_bytes(gc);
	bool is_full = kept > cap;

	gc->result->over_cap = is_full;
	for (size_t i = 0; i < gc->n_candidates; i++) {
		struct candidate *candidate = &gc->candidates[i];
		uint64_t n_bytes = 0;
		int r = -EDQUOT;

		if (candidate->is_held || candidate->goes)
			continue;
		if (!is_full)
			r = fit(gc, candidate, cap - kept, &n_bytes, err);
		if (r == 0) {
			kept += n_bytes;
			continue;
		}
		if (r != -EDQUOT)
			return r;
		/* An object that stays in any case makes room for nobody. */
		if (candidate->kind != GC_SOURCE &&
		    gc_is_marked(gc, &candidate->digest)) {
			candidate->why = "its tree stays in any case";
			continue;
		}
		is_full = true;
		candidate->goes = true;
		candidate->why = "not used for the longest time";
	}
	return 0;
}

/* A checkpoint without a tree, or with one that nobody can read, is a miss: it only is in
 * the way.  People decide for themselves about names. */
static void judge_checkpoint(struct gc *gc, struct candidate *candidate)
{
	auto_buf list = {};
	char path[STORE_PATH_SIZE];

	if (snapshot_find(&gc->objects, &candidate->digest) < 0 &&
	    faccessat(gc->store->fd, object_path(&candidate->digest, path), F_OK,
		      AT_SYMLINK_NOFOLLOW) < 0 &&
	    errno == ENOENT) {
		candidate->goes = true;
		candidate->why = "its tree is gone";
	} else if (object_is_damaged(gc->store, &candidate->digest) &&
		   list_get(gc->store, &candidate->digest, true, &list, NULL) < 0) {
		candidate->goes = true;
		candidate->why = "its tree cannot be read";
	}
}

static void judge_candidates(struct gc *gc)
{
	for (size_t i = 0; i < gc->n_candidates; i++) {
		struct candidate *candidate = &gc->candidates[i];

		if (candidate->kind == GC_SOURCE &&
		    needs_source(&gc->needs, strchr(candidate->name, '/') + 1)) {
			candidate->is_held = true;
			candidate->goes = false;
			candidate->why = "in use";
		} else if (candidate->kind == GC_STAGE || candidate->kind == GC_FAILED) {
			judge_checkpoint(gc, candidate);
		}
	}
}

int gc_plan(struct gc *gc, struct cop_error *err)
{
	uint64_t cap;
	int r = needs_read(gc->store, &gc->needs, err);

	if (r < 0)
		return r;
	judge_candidates(gc);
	if (gc->n_candidates > 0)
		qsort(gc->candidates, gc->n_candidates, sizeof(*gc->candidates),
		      compare_candidates);
	cap = limit(gc);
	r = mark_needs(gc, &gc->needs, err);
	if (r == 0)
		r = mark_refs(gc, cap != UINT64_MAX, err);
	if (r == 0)
		r = mark_mounted(gc, err);
	if (r == 0 && cap != UINT64_MAX)
		r = apply_cap(gc, cap, err);
	return r;
}
