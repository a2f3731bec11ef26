/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The collection.  All the thinking is done without a lock, on a picture of the store;
 * then the store is taken exclusively for a tenth of a second at a time.  Whatever became
 * needed since (it is in refs, roots or mounted, as those who use something say so under
 * the shared lock) is marked before anything is removed.  So what goes was garbage both
 * when the picture was taken and when it goes.
 *
 * Refs go first and durably, then images, then files: a kill or a power cut leaves
 * garbage, never a ref to something that is gone.
 */
#include "store/gc.h"

#include <fcntl.h>
#include <string.h>
#include <time.h>

#include "base/monotonic.h"
#include "base/mutant.h"
#include "store/gc-private.h"
#include "store/settings.h"
#include "json/json.h"

#define HOLD_MS 100
/* What is new since the picture is marked without a lock when it is more than this. */
#define FEW 16
/* To free the blocks of large files takes time, in which others can go on. */
#define LARGE (16 * MIB)
/* Threads that remove files, per processor. */
#define REMOVERS 1
/* After so many files the file system gets time to write, while nobody waits for us: a
 * journal that is full would stop us, and all others, with the lock in our hands. */
#define FILES_PER_SYNC 8000
/* So that others get their turn. */
#define PAUSE_NS 10000000

/* One turn with the store to ourselves. */
struct turn {
	struct gc *gc;
	struct store_lock *lock;
	uint64_t begun_ms, hold_ms;
};

static int turn_begin(struct turn *turn, struct gc *gc, struct cop_error *err)
{
	int r;

	*turn = (struct turn){.gc = gc, .hold_ms = HOLD_MS};
	r = lock_exclusive_soon(gc->store, &turn->lock, err);
	turn->begun_ms = (uint64_t)monotonic_ms();
	return r;
}

static void turn_end(struct turn *turn)
{
	const struct timespec pause = {.tv_nsec = PAUSE_NS};
	struct gc_result *result;

	if (!turn->lock)
		return;
	result = turn->gc->result;
	turn->lock = store_lock_drop(turn->lock);
	result->longest_lock_ms = max_u64(result->longest_lock_ms,
					  (uint64_t)monotonic_ms() - turn->begun_ms);
	(void)nanosleep(&pause, NULL);
}

static uint64_t held_ms(const struct turn *turn)
{
	return (uint64_t)monotonic_ms() - turn->begun_ms;
}

/* What is needed was read.  Where that took long (many names, a busy machine) as much
 * time is left to remove something, or it would all have been for nothing, for ever. */
static void turn_go_on(struct turn *turn)
{
	commit_step(GC_LOOKED);
	turn->hold_ms = max_u64(HOLD_MS, 2 * held_ms(turn));
}

static bool turn_is_over(const struct turn *turn)
{
	return held_ms(turn) >= turn->hold_ms;
}

/* ---- refs and sources */

static const enum ref_class class_of[] = {
	[GC_NAME] = REF_NAME, [GC_STAGE] = REF_STAGE, [GC_FAILED] = REF_FAILED};

/* What was used, replaced or pinned since we chose it stays. */
static bool is_unchanged(const struct gc *gc, const struct candidate *candidate)
{
	enum ref_class class = class_of[candidate->kind];
	struct cop_digest digest;
	struct timespec last_use;

	if (ref_get(gc->store, class, candidate->name, &digest, NULL) < 0 ||
	    !cop_digest_equal(&digest, &candidate->digest))
		return false;
	ref_last_use(gc->store, class, candidate->name, &last_use);
	return last_use.tv_sec == candidate->last_use.tv_sec &&
	       last_use.tv_nsec == candidate->last_use.tv_nsec;
}

static bool remove_source(struct gc *gc, const struct candidate *candidate,
			  const struct needs *needs)
{
	auto_buf path = {};
	struct stat st;

	if (needs_source(needs, strchr(candidate->name, '/') + 1) ||
	    buf_printf(&path, "sources/%s", candidate->name) < 0 ||
	    fstatat(gc->store->fd, path.data, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
	    st.st_mtim.tv_sec != candidate->last_use.tv_sec)
		return false;
	if (S_ISDIR(st.st_mode))
		return fs_remove_all(gc->store->fd, path.data, true, NULL) == 0;
	return unlinkat(gc->store->fd, path.data, 0) == 0;
}

static bool remove_candidate(struct gc *gc, const struct candidate *candidate,
			     const struct needs *needs)
{
	if (candidate->kind == GC_SOURCE)
		return remove_source(gc, candidate, needs);
	return is_unchanged(gc, candidate) &&
	       ref_unlink(gc->store, class_of[candidate->kind], candidate->name) == 0;
}

/* Return: the first candidate that was not looked at. */
static ssize_t evict_some(struct gc *gc, size_t from, struct cop_error *err)
{
	cleanup_with(needs_done) struct needs needs = {};
	cleanup_with(turn_end) struct turn turn = {};
	int r = turn_begin(&turn, gc, err);

	if (r == 0)
		r = needs_read(gc->store, &needs, err);
	if (r < 0)
		return r;
	turn_go_on(&turn);
	for (; from < gc->n_candidates && !turn_is_over(&turn); from++) {
		const struct candidate *candidate = &gc->candidates[from];
		struct gc_count *count = &gc->result->gone[candidate->kind];

		if (!candidate->goes || !remove_candidate(gc, candidate, &needs))
			continue;
		count->n++;
		count->n_bytes += candidate->n_bytes;
		commit_step(GC_EVICTED);
	}
	return (ssize_t)from;
}

static int evict(struct gc *gc, struct cop_error *err)
{
	bool any = false;
	ssize_t at = 0;

	for (size_t i = 0; i < gc->n_candidates; i++)
		any |= gc->candidates[i].goes;
	while (any && at >= 0 && (size_t)at < gc->n_candidates)
		at = evict_some(gc, (size_t)at, err);
	if (at < 0)
		return (int)at;
	/* Nothing that they named may go before they are gone for good. */
	return any && !mutant("eviction-sync") ? fs_sync_filesystem(gc->store->fd, err)
					       : 0;
}

/* ---- objects and files */

struct removal {
	struct gc *gc;
	struct workdir *aside; /* for large files; NULL: there is no room for one */
	size_t next_object;
	const struct turn *turn; /* the present one */
	pthread_mutex_t mutex;	 /* guards these, and the count of files: */
	unsigned int n_aside;
	size_t next_file;
};

static int find_new_ref(void *data, const char *name, const struct cop_digest *digest)
{
	struct needs *news = data;

	(void)name;
	return needs_add_object(news, digest);
}

static int find_new_object(struct gc *gc, struct needs *needs, const char *shard,
			   const char *name)
{
	char hex[COP_DIGEST_HEX + 1];
	struct cop_digest digest;

	(void)snprintf(hex, sizeof(hex), "%.2s%.62s", shard, name);
	if (cop_digest_parse(hex, &digest) < 0 ||
	    snapshot_find(&gc->objects, &digest) >= 0)
		return 0;
	return needs_add_object(needs, &digest);
}

/*
 * An object that is not in the picture stays this time, whether somebody needs it or not:
 * so its files do, or it could be named by its digest and lack some.
 */
static int find_new_objects(struct gc *gc, struct needs *needs)
{
	for (unsigned int number = 0; number < SNAPSHOT_SHARDS; number++) {
		struct timespec *seen = &gc->shards_seen[number];
		char shard[3], path[STORE_PATH_SIZE];
		auto_close int fd = -EBADF;
		char **names = NULL;
		struct stat st;
		int r;

		(void)snprintf(shard, sizeof(shard), "%02x", number);
		(void)snprintf(path, sizeof(path), "objects/%s", shard);
		if (fstatat(gc->store->fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    memcmp(seen, &st.st_ctim, sizeof(*seen)) == 0)
			continue;
		fd = openat(gc->store->fd, path,
			    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		r = fd < 0 ? -errno : fs_list(fd, &names, NULL, NULL);
		for (char **name = names; r == 0 && *name; name++)
			r = find_new_object(gc, needs, shard, *name);
		fs_list_free(names);
		if (r < 0)
			return r;
		/* A clock is too coarse to tell what comes in the same moment. */
		if (time(NULL) - st.st_ctim.tv_sec > 1)
			*seen = st.st_ctim;
	}
	return 0;
}

/* All that is needed now, with the lock held. */
static int read_needs(struct gc *gc, struct needs *needs, struct cop_error *err)
{
	int r = 0;

	if (mutant("second-look"))
		return 0;
	r = needs_read(gc->store, needs, err);
	for (enum ref_class class = REF_NAME; class <= REF_FAILED && r == 0; class ++)
		r = ref_list(gc->store, class, NULL, find_new_ref, needs, err);
	if (r == 0) {
		r = find_new_objects(gc, needs);
		if (r < 0)
			return err_code(err, r, "look for new objects");
	}
	if (r == -ENOMEM)
		return err_oom(err);
	return r;
}

static size_t count_new(const struct gc *gc, const struct needs *needs)
{
	size_t n = 0;

	for (size_t i = 0; i < needs->n_objects; i++)
		n += !gc_is_marked(gc, &needs->objects[i].digest);
	return n;
}

static int mark_new(struct gc *gc, const struct needs *needs, struct cop_error *err)
{
	int r = 0;

	for (size_t i = 0; i < needs->n_files; i++)
		gc_mark_file(gc, &needs->files[i].digest);
	for (size_t i = 0; i < needs->n_objects && r == 0; i++)
		if (!gc_is_marked(gc, &needs->objects[i].digest))
			r = gc_mark_locked(gc, &needs->objects[i].digest, err);
	return r;
}

static int remove_object(struct removal *removal, size_t i, struct cop_error *err)
{
	struct gc *gc = removal->gc;
	const struct cop_digest *digest = &gc->objects.digests[i];
	struct gc_count *count = &gc->result->gone[GC_OBJECT];
	auto_close int lease = object_lease(gc->store, digest);
	char path[STORE_PATH_SIZE];

	if (lease == -EBUSY)
		return gc_mark_locked(gc, digest, err);
	if (unlinkat(gc->store->fd, object_path(digest, path), 0) == 0) {
		count->n++;
		count->n_bytes += gc->objects.bytes[i];
	}
	commit_step(GC_REMOVED);
	(void)unlinkat(gc->store->fd, list_path(digest, path), 0);
	(void)unlinkat(gc->store->fd, damaged_path(digest, path), 0);
	return 0;
}

/* Return: NULL when the file could not be put aside, else @name. */
static const char *put_aside(struct removal *removal, const char *path, char name[32])
{
	int store_fd = removal->gc->store->fd;

	(void)pthread_mutex_lock(&removal->mutex);
	(void)snprintf(name, 32, "%u", removal->n_aside++);
	(void)pthread_mutex_unlock(&removal->mutex);
	return renameat(store_fd, path, workdir_fd(removal->aside), name) < 0 ? NULL
									      : name;
}

static void remove_file(struct removal *removal, size_t i)
{
	struct gc *gc = removal->gc;
	struct gc_count *count = &gc->result->gone[GC_FILE];
	char path[STORE_PATH_SIZE], name[32];

	(void)pool_path(&gc->files.digests[i], path);
	if (!(removal->aside && gc->files.bytes[i] >= LARGE &&
	      put_aside(removal, path, name)) &&
	    unlinkat(gc->store->fd, path, 0) < 0)
		return;
	(void)pthread_mutex_lock(&removal->mutex);
	count->n++;
	count->n_bytes += gc->files.bytes[i];
	commit_step(GC_REMOVED);
	(void)pthread_mutex_unlock(&removal->mutex);
}

/* The next file that is garbage.  Return: false: the turn is over, or there is none. */
static bool take_file(struct removal *removal, size_t *ret_i)
{
	const struct snapshot *files = &removal->gc->files;
	bool is_one = false;

	(void)pthread_mutex_lock(&removal->mutex);
	while (removal->next_file < files->n && files->is_live[removal->next_file])
		removal->next_file++;
	if (removal->next_file < files->n && !turn_is_over(removal->turn)) {
		*ret_i = removal->next_file++;
		is_one = true;
	}
	(void)pthread_mutex_unlock(&removal->mutex);
	return is_one;
}

static int remove_files(void *data, void *item, struct cop_error *err)
{
	struct removal *removal = data;
	size_t i;

	(void)item;
	(void)err;
	while (take_file(removal, &i))
		remove_file(removal, i);
	return 0;
}

/* Each waits for the disk where blocks are given back at once (ext4 with "discard"). */
static int remove_files_together(struct removal *removal, struct cop_error *err)
{
	static const struct work_ops ops = {.run = remove_files};
	unsigned int n_threads = REMOVERS * work_default_threads();
	auto_ptr(work) work = NULL;
	int r = work_new(&ops, removal, n_threads, &work, err);

	for (unsigned int i = 0; i < n_threads && r == 0; i++)
		r = work_add(work, removal);
	return work ? work_finish(work, err) : r;
}

/* Whether any is left behind @from. */
static bool has_garbage(const struct snapshot *snapshot, size_t from)
{
	while (from < snapshot->n && snapshot->is_live[from])
		from++;
	return from < snapshot->n;
}

static int remove_some(struct removal *removal, const struct turn *turn,
		       struct cop_error *err)
{
	struct gc *gc = removal->gc;

	for (; removal->next_object < gc->objects.n; removal->next_object++) {
		int r;

		if (gc->objects.is_live[removal->next_object])
			continue;
		if (turn_is_over(turn))
			return 0;
		r = remove_object(removal, removal->next_object, err);
		if (r < 0)
			return r;
	}
	if (gc->cannot_read || !has_garbage(&gc->files, removal->next_file))
		return 0;
	removal->turn = turn;
	return remove_files_together(removal, err);
}

/* Marks what is new without the lock, where it is much. */
static int catch_up(struct gc *gc, const struct needs *needs, struct cop_error *err)
{
	auto_free struct cop_digest *digests =
		calloc(needs->n_objects + 1, sizeof(*digests));

	if (!digests)
		return err_oom(err);
	for (size_t i = 0; i < needs->n_objects; i++)
		digests[i] = needs->objects[i].digest;
	return gc_mark_objects(gc, digests, needs->n_objects, err);
}

static int remove_turn(struct removal *removal, struct cop_error *err)
{
	cleanup_with(needs_done) struct needs needs = {};
	struct gc *gc = removal->gc;
	struct turn turn;
	int r = turn_begin(&turn, gc, err);

	if (r == 0)
		r = read_needs(gc, &needs, err);
	if (r == 0 && count_new(gc, &needs) > FEW) {
		turn_end(&turn);
		return catch_up(gc, &needs, err);
	}
	if (r == 0)
		r = mark_new(gc, &needs, err);
	if (r == 0) {
		turn_go_on(&turn);
		r = remove_some(removal, &turn, err);
	}
	turn_end(&turn);
	for (; removal->n_aside > 0; removal->n_aside--) {
		char name[32];

		(void)snprintf(name, sizeof(name), "%u", removal->n_aside - 1);
		(void)unlinkat(workdir_fd(removal->aside), name, 0);
	}
	return r;
}

static void tell(const struct removal *removal)
{
	const struct gc *gc = removal->gc;
	const struct cop_progress *progress = gc->request->progress;
	size_t total = gc->objects.n + gc->files.n;

	if (progress && total > 0)
		progress->update(progress->data, "collecting",
				 removal->next_object + removal->next_file, total,
				 "files");
}

static int remove_garbage(struct gc *gc, struct cop_error *err)
{
	const struct gc_count *count = &gc->result->gone[GC_FILE];
	struct removal removal = {.gc = gc};
	uint64_t n_synced = 0;
	int r = 0;

	(void)pthread_mutex_init(&removal.mutex, NULL);

	if (workdir_new(gc->store, "gc-", NULL, &removal.aside, NULL) < 0)
		removal.aside = NULL;
	while (r == 0 &&
	       (has_garbage(&gc->objects, removal.next_object) ||
		(!gc->cannot_read && has_garbage(&gc->files, removal.next_file)))) {
		r = remove_turn(&removal, err);
		tell(&removal);
		if (r == 0 && count->n - n_synced >= FILES_PER_SYNC) {
			r = fs_sync_filesystem(gc->store->fd, err);
			n_synced = count->n;
		}
	}
	workdir_free(removal.aside);
	(void)pthread_mutex_destroy(&removal.mutex);
	return r;
}

/* ---- the whole */

static void gc_done(struct gc *gc)
{
	snapshot_done(&gc->objects);
	snapshot_done(&gc->files);
	needs_done(&gc->needs);
	map_free(gc->marked);
	free(gc->candidates);
	arena_free(gc->arena);
}

static void count_plan(struct gc *gc)
{
	struct gc_count *gone = gc->result->gone;

	for (size_t i = 0; i < gc->n_candidates; i++)
		if (gc->candidates[i].goes) {
			gone[gc->candidates[i].kind].n++;
			gone[gc->candidates[i].kind].n_bytes += gc->candidates[i].n_bytes;
		}
	for (size_t i = 0; i < gc->objects.n; i++)
		if (!gc->objects.is_live[i]) {
			gone[GC_OBJECT].n++;
			gone[GC_OBJECT].n_bytes += gc->objects.bytes[i];
		}
	for (size_t i = 0; i < gc->files.n && !gc->cannot_read; i++)
		if (!gc->files.is_live[i]) {
			gone[GC_FILE].n++;
			gone[GC_FILE].n_bytes += gc->files.bytes[i];
		}
}

static void count_kept(struct gc *gc)
{
	struct gc_result *result = gc->result;
	const struct snapshot *objects = &gc->objects, *files = &gc->files;

	result->objects_bytes =
		objects->n_bytes + objects->other_bytes - result->gone[GC_OBJECT].n_bytes;
	result->files_bytes =
		files->n_bytes + files->other_bytes - result->gone[GC_FILE].n_bytes;
	result->sources_bytes = gc->sources_bytes + gc->source_directories -
				result->gone[GC_SOURCE].n_bytes;
	if (gc->cannot_read)
		(void)snprintf(result->blocked, sizeof(result->blocked),
			       "neither the image nor the side list of an object that is "
			       "needed can be read, so nobody knows which files it has: "
			       "see 'coppice verify'");
}

/* Those that lost files take less on some file systems. */
static void recount_directories(struct gc *gc, const uint64_t before[2])
{
	gc->objects.other_bytes += snapshot_directories(gc->store, "objects") - before[0];
	gc->files.other_bytes += snapshot_directories(gc->store, "files") - before[1];
	gc->source_directories = snapshot_directories(gc->store, "sources");
}

static int collect(struct gc *gc, struct cop_error *err)
{
	uint64_t directories[2];
	int r;

	gc->arena = arena_new();
	gc->marked = map_new();
	if (!gc->arena || !gc->marked)
		return err_oom(err);
	/* What is published from here on is no candidate. */
	r = snapshot_read(gc->store, "objects", &gc->objects, err);
	if (r == 0)
		r = snapshot_read(gc->store, "files", &gc->files, err);
	if (r == 0)
		r = gc_collect_candidates(gc, err);
	if (r == 0)
		r = gc_plan(gc, err);
	if (r < 0)
		return r;
	gc_explain(gc);
	commit_step(GC_PLANNED);
	directories[0] = snapshot_directories(gc->store, "objects");
	directories[1] = snapshot_directories(gc->store, "files");
	if (gc->request->dry_run)
		count_plan(gc);
	else
		r = evict(gc, err);
	if (r == 0 && !gc->request->dry_run)
		r = remove_garbage(gc, err);
	if (r == 0)
		r = gc_remove_rest(gc, err);
	if (!gc->request->dry_run)
		recount_directories(gc, directories);
	count_kept(gc);
	return r;
}

static void note(struct cop_store *store, const struct gc_result *result)
{
	struct gc_count total = gc_total(result);
	auto_json *json =
		json_pack("{s:I, s:I, s:I}", "removed", (json_int_t)total.n,
			  "freed-bytes", (json_int_t)total.n_bytes, "kept-bytes",
			  (json_int_t)(result->objects_bytes + result->files_bytes +
				       result->sources_bytes));

	if (json)
		store_note_write(store, "gc", json);
}

int store_gc(struct cop_store *store, const struct gc_request *request,
	     struct gc_result *ret, struct cop_error *err)
{
	cleanup_with(gc_done) struct gc gc = {
		.store = store, .request = request, .result = ret};
	int r = store_check_writable(store, err);

	*ret = (struct gc_result){};
	if (r == 0)
		r = collect(&gc, err);
	if (r < 0)
		return err_prefix(err, r, "collect garbage in store '%s'", store->path);
	if (!request->dry_run)
		note(store, ret);
	return 0;
}

struct gc_count gc_total(const struct gc_result *result)
{
	struct gc_count total = {};

	for (int kind = 0; kind < GC_KINDS; kind++) {
		total.n += result->gone[kind].n;
		total.n_bytes += result->gone[kind].n_bytes;
	}
	return total;
}

const char *gc_kind_name(enum gc_kind kind)
{
	static const char *const names[] = {
		[GC_NAME] = "name",	[GC_STAGE] = "stage",	[GC_FAILED] = "failed",
		[GC_SOURCE] = "source", [GC_OBJECT] = "object", [GC_FILE] = "file",
		[GC_REST] = "rest",
	};

	return names[kind];
}
