/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Collection of a remote: names and stage keys -> plans -> index segments -> packs; what
 * is not reached goes, plans first and packs last, and of packs that are mostly not
 * needed what is needed moves to new ones before.  No clock but that of the place itself
 * is asked.  While v1/i/collecting is there, no push begins.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>

#include "base/arena.h"
#include "base/text.h"
#include "remote/private.h"
#include "json/json.h"

#define COLLECTING "v1/i/collecting"
#define BATCH	   ((size_t)128)
#define ID_SIZE	   33

struct found {
	char *key;
	uint64_t size;
	int64_t age_seconds;
	bool is_needed;
};

struct found_list {
	struct arena *arena;
	struct map *by_name; /* last part of the key -> struct found, where that is 64
				digits */
	struct found *list;
	size_t n, room;
};

struct gc {
	struct remote *remote;
	const struct remote_gc_options *options;
	struct remote_gc_report report;
	struct found_list names, keys, plans, segments, packs, markers;
	struct repack *repack;
	int lock_fd;
	bool has_lock;
};

static void found_done(struct found_list *found)
{
	map_free(found->by_name);
	arena_free(found->arena);
	free(found->list);
}

static void gc_done(struct gc *gc)
{
	found_done(&gc->names);
	found_done(&gc->keys);
	found_done(&gc->plans);
	found_done(&gc->segments);
	found_done(&gc->packs);
	found_done(&gc->markers);
	(void)repack_free(gc->repack);
	closep(&gc->lock_fd);
}

static int take(void *data, const struct listed *listed)
{
	struct found_list *found = data;

	if (strcmp(listed->key, COLLECTING) == 0)
		return 0;
	if (found->n == found->room) {
		size_t room = found->room ? found->room * 2 : 256;
		void *grown = reallocarray(found->list, room, sizeof(*found->list));

		if (!grown)
			return -ENOMEM;
		found->list = grown;
		found->room = room;
	}
	found->list[found->n] = (struct found){
		.key = arena_memdup(found->arena, listed->key, strlen(listed->key)),
		.size = listed->size,
		.age_seconds = listed->age_seconds};
	return found->list[found->n++].key ? 0 : -ENOMEM;
}

static const char *last_part(const char *key)
{
	const char *slash = strrchr(key, '/');

	return slash ? slash + 1 : key;
}

static int list(struct gc *gc, const char *prefix, struct found_list *found,
		struct cop_error *err)
{
	int r;

	found->arena = arena_new();
	found->by_name = map_new();
	if (!found->arena || !found->by_name)
		return err_oom(err);
	r = transport_list(gc->remote->transport, prefix, take, found, err);
	for (size_t i = 0; i < found->n && r == 0; i++) {
		const char *name = last_part(found->list[i].key);
		void **slot = map_slot(found->by_name, name, strlen(name));

		if (!slot)
			return err_oom(err);
		*slot = &found->list[i];
	}
	return r;
}

static struct found *find(const struct found_list *found, const char *name)
{
	return map_get(found->by_name, name, strlen(name));
}

/* --- nobody else --- */

static int look_for_pushes(struct gc *gc, struct cop_error *err)
{
	int r = list(gc, "v1/w/", &gc->markers, err);

	for (size_t i = 0; i < gc->markers.n && r == 0; i++) {
		const struct found *marker = &gc->markers.list[i];

		if (marker->age_seconds < (int64_t)gc->options->young_seconds)
			r = err_set(
				err, -EBUSY,
				"somebody pushes to remote '%s': marker '%s' is %lld "
				"seconds old; try again when it is gone, or older than "
				"%llu",
				gc->remote->name, marker->key,
				(long long)marker->age_seconds,
				(unsigned long long)gc->options->young_seconds);
	}
	return r;
}

/* STORE/remotes/NAME/collecting: what we call ourselves, and by its lock, that we live.
 */
static int name_ourselves(struct gc *gc, char id[ID_SIZE], struct cop_error *err)
{
	uint8_t random[ID_SIZE / 2];
	ssize_t n;

	gc->lock_fd = openat(gc->remote->dir_fd, "collecting",
			     O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (gc->lock_fd < 0)
		return err_errno(err, "open 'collecting'");
	if (flock(gc->lock_fd, LOCK_EX | LOCK_NB) < 0)
		return err_set(err, -EBUSY, "another collection of it is under way here");
	n = fs_pread_full(gc->lock_fd, id, ID_SIZE - 1, 0);
	id[ID_SIZE - 1] = '\0';
	if (n == ID_SIZE - 1)
		return 0;
	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return err_errno(err, "read random bytes");
	(void)hex_encode(random, (ID_SIZE - 1) / 2, id);
	return fs_write_all(gc->lock_fd, id, ID_SIZE - 1) < 0
		       ? err_errno(err, "write 'collecting'")
		       : 0;
}

static int take_age(void *data, const struct listed *listed)
{
	if (strcmp(listed->key, COLLECTING) == 0)
		*(int64_t *)data = listed->age_seconds;
	return 0;
}

/* A collection that was killed leaves its lock: ours is ours, another's is taken over
 * when it is old. */
static int take_over(struct gc *gc, const char *id, struct cop_error *err)
{
	struct transport *transport = gc->remote->transport;
	char etag[REQUEST_ETAG_SIZE] = "";
	auto_buf body = {};
	int64_t age = 0;
	int r = transport_get(transport, COLLECTING, ENTRY_MAX, &body, etag, err);

	if (r < 0 || strcmp(buf_text(&body), id) == 0)
		return r;
	r = transport_list(transport, "v1/i/", take_age, &age, err);
	if (r < 0)
		return r;
	if (age < (int64_t)gc->options->young_seconds)
		return err_set(err, -EBUSY,
			       "another collection is under way, or was killed less than "
			       "%llu seconds ago",
			       (unsigned long long)gc->options->young_seconds);
	return transport_put(transport, COLLECTING, id, strlen(id), false, etag, err);
}

static int take_lock(struct gc *gc, struct cop_error *err)
{
	char id[ID_SIZE];
	int r = name_ourselves(gc, id, err);

	if (r == 0)
		r = transport_put(gc->remote->transport, COLLECTING, id, strlen(id), true,
				  NULL, err);
	if (r == -EEXIST)
		r = take_over(gc, id, err);
	gc->has_lock = r == 0;
	return r;
}

static void drop_lock(struct gc *gc)
{
	if (gc->has_lock)
		(void)transport_delete(gc->remote->transport, COLLECTING, NULL);
	gc->has_lock = false;
}

/* --- what is needed --- */

/* @take is called with every body that is there; what is gone by now is nobody's. */
static int read_all(struct gc *gc, const struct found_list *found, uint64_t limit,
		    int (*take_body)(struct gc *gc, const struct found *found,
				     const struct buf *body, struct cop_error *err),
		    struct cop_error *err)
{
	struct request *requests = calloc(BATCH, sizeof(*requests));
	int r = requests ? 0 : err_oom(err);

	for (size_t at = 0; at < found->n && r == 0; at += BATCH) {
		const struct found *batch[BATCH];
		size_t n = 0;

		for (size_t i = at; i < found->n && i < at + BATCH; i++) {
			if (!found->list[i].is_needed)
				continue;
			batch[n] = &found->list[i];
			request_init(&requests[n], REQUEST_GET, "%s", batch[n]->key);
			requests[n++].limit = limit;
		}
		r = transport_run(gc->remote->transport, requests, n, err);
		for (size_t i = 0; i < n; i++) {
			if (r == 0 && requests[i].result == 0)
				r = take_body(gc, batch[i], &requests[i].data, err);
			else if (r == 0 && requests[i].result != -ENOENT)
				r = err_copy(err, &requests[i].error);
			request_done(&requests[i]);
		}
	}
	free(requests);
	return r;
}

static int need_plan(struct gc *gc, const struct found *found, const struct buf *body,
		     struct cop_error *err)
{
	char hex[COP_DIGEST_HEX + 1];
	struct cop_digest object;
	auto_json *json = NULL;
	struct found *plan;

	if (json_read(buf_text(body), body->size, &json, NULL) < 0 ||
	    !digest_is(json_string_value(json_object_get(json, "object")), &object))
		return err_set(
			err, -EBADMSG,
			"'%s' of remote '%s' is damaged; remove or repair it first",
			found->key, gc->remote->name);
	plan = find(&gc->plans, cop_digest_to_hex(&object, hex));
	if (plan)
		plan->is_needed = true;
	return 0;
}

static int need_segments(struct gc *gc, const struct found *found, const struct buf *body,
			 struct cop_error *err)
{
	struct plan plan = {};
	int r = plan_read(buf_text(body), body->size, &plan, err);

	if (r < 0)
		return err_prefix(err, r, "'%s'", found->key);
	for (size_t i = 0; i < plan.n_segments; i++) {
		struct found *segment = find(&gc->segments, plan.segments[i]);

		if (segment)
			segment->is_needed = true;
	}
	return repack_add_plan(gc->repack, &plan, err);
}

static int need_segment(struct gc *gc, const struct found *found, const struct buf *body,
			struct cop_error *err)
{
	struct segment *segment = NULL;
	int r = segment_read(buf_text(body), body->size, &segment, err);

	return r < 0 ? err_prefix(err, r, "'%s'", found->key)
		     : repack_add_segment(gc->repack, segment, err);
}

static void need_packs(struct gc *gc)
{
	size_t n;
	const struct repack_segment *list = repack_segments(gc->repack, &n);
	char hex[SHA256_HEX + 1];

	for (size_t i = 0; i < n; i++) {
		const struct segment *segment = list[i].segment;
		struct found *found = find(&gc->segments, segment->name);

		if (found)
			found->is_needed = !list[i].goes;
		for (uint32_t k = 0; k < segment->n_packs; k++) {
			const uint8_t *id = segment->packs[k].id;
			struct found *pack =
				find(&gc->packs, hex_encode(id, SHA256_SIZE, hex));

			if (pack && repack_keeps(gc->repack, &list[i], id))
				pack->is_needed = true;
		}
	}
}

/* Who cannot read all that is needed cannot tell what is not; then packs stay as they
 * are. */
static int repack(struct gc *gc, struct cop_error *err)
{
	struct cop_error why = {};
	int r = repack_plan(gc->repack, &gc->report.n_moved, &gc->report.n_moved_bytes,
			    &why);

	if (r == -ENOENT || r == -EBADMSG) {
		remote_note(gc->remote, "no pack is made smaller: %s", why.message);
		return 0;
	}
	if (r < 0)
		return err_copy(err, &why);
	return gc->options->dry_run ? 0 : repack_run(gc->repack, err);
}

static void need_names(struct gc *gc)
{
	uint64_t keep = gc->options->keep_key_seconds;

	for (size_t i = 0; i < gc->names.n; i++)
		gc->names.list[i].is_needed = true;
	for (size_t i = 0; i < gc->keys.n; i++)
		gc->keys.list[i].is_needed =
			keep == 0 || gc->keys.list[i].age_seconds < (int64_t)keep;
	gc->report.n_names = gc->names.n;
}

static int mark(struct gc *gc, struct cop_error *err)
{
	int r = list(gc, "v1/r/", &gc->names, err);

	if (r == 0)
		r = list(gc, "v1/k/", &gc->keys, err);
	if (r == 0)
		r = list(gc, "v1/m/", &gc->plans, err);
	if (r == 0)
		r = list(gc, "v1/i/", &gc->segments, err);
	if (r == 0)
		r = list(gc, "v1/p/", &gc->packs, err);
	if (r < 0)
		return r;
	need_names(gc);
	r = read_all(gc, &gc->names, ENTRY_MAX, need_plan, err);
	if (r == 0)
		r = read_all(gc, &gc->keys, ENTRY_MAX, need_plan, err);
	if (r == 0)
		r = read_all(gc, &gc->plans, PLAN_MAX, need_segments, err);
	return r < 0 ? r : read_all(gc, &gc->segments, SEGMENT_MAX, need_segment, err);
}

/* --- what goes --- */

static void count(struct gc *gc)
{
	const struct found_list *const lists[] = {&gc->plans, &gc->segments, &gc->packs};

	for (size_t i = 0; i < gc->keys.n; i++)
		if (gc->keys.list[i].is_needed)
			gc->report.n_keys++;
		else
			gc->report.n_dropped_keys++;
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		for (size_t k = 0; k < lists[i]->n; k++) {
			const struct found *found = &lists[i]->list[k];

			if (!found->is_needed) {
				gc->report.n_dropped++;
				gc->report.n_dropped_bytes += found->size;
			} else if (lists[i] == &gc->packs) {
				gc->report.n_packs++;
				gc->report.n_bytes += found->size;
			}
		}
}

static int sweep(struct gc *gc, const struct found_list *found, bool all,
		 struct cop_error *err)
{
	struct request *requests = calloc(BATCH, sizeof(*requests));
	int r = requests ? 0 : err_oom(err);

	for (size_t at = 0; at < found->n && r == 0; at += BATCH) {
		size_t n = 0;

		for (size_t i = at; i < found->n && i < at + BATCH; i++)
			if (all || !found->list[i].is_needed)
				request_init(&requests[n++], REQUEST_DELETE, "%s",
					     found->list[i].key);
		r = transport_run(gc->remote->transport, requests, n, err);
		for (size_t i = 0; i < n; i++) {
			if (r == 0 && requests[i].result < 0 &&
			    requests[i].result != -ENOENT)
				r = err_copy(err, &requests[i].error);
			request_done(&requests[i]);
		}
	}
	free(requests);
	return r;
}

static int run(struct gc *gc, struct cop_error *err)
{
	int r = look_for_pushes(gc, err);

	if (r == 0)
		r = mark(gc, err);
	if (r == 0)
		r = repack(gc, err);
	if (r < 0)
		return r;
	need_packs(gc);
	count(gc);
	if (gc->options->dry_run)
		return 0;
	r = sweep(gc, &gc->keys, false, err);
	if (r == 0)
		r = sweep(gc, &gc->plans, false, err);
	if (r == 0)
		r = sweep(gc, &gc->segments, false, err);
	if (r == 0)
		r = sweep(gc, &gc->packs, false, err);
	/* All of them are old: their pushes are dead. */
	return r < 0 ? r : sweep(gc, &gc->markers, true, err);
}

int remote_gc(struct remote *remote, const struct remote_gc_options *options,
	      struct remote_gc_report *ret_report, struct cop_error *err)
{
	cleanup_with(gc_done) struct gc gc = {
		.remote = remote, .options = options, .lock_fd = -EBADF};
	int r = config_check(remote, err);

	gc.repack = r == 0 ? repack_new(remote, err) : NULL;
	if (r == 0 && !gc.repack)
		r = -ENOMEM;
	if (r == 0 && !remote->transport->is_writable)
		r = err_set(err, -EROFS, "'%s' can only be read", remote_url(remote));
	if (r == 0 && !remote->has_conditions)
		r = err_set(err, -EOPNOTSUPP,
			    "'%s' does not keep conditions, so a collection could not "
			    "be told apart from a push",
			    remote_url(remote));
	if (r == 0 && !options->dry_run)
		r = take_lock(&gc, err);
	if (r == 0)
		r = run(&gc, err);
	drop_lock(&gc);
	if (r < 0)
		return err_prefix(err, r, "collect remote '%s'", remote->name);
	*ret_report = gc.report;
	return 0;
}
