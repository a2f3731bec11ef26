/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A push, in the order that makes it safe: marker, look what is there, packs, index
 * segment, plans, names and keys.  Whatever a name leads to was there before the name.
 */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "remote/block.h"
#include "remote/private.h"
#include "store/object.h"
#include "store/secret.h"

/* Objects that the remote is known to have, to choose a dictionary from. */
#define NEAR_MAX 32

struct names {
	char (*list)[SHA256_HEX + 1];
	size_t n, room;
	bool is_collecting;
};

/* What is pushed: one object, however many names it gets. */
struct pushed {
	struct cop_digest object;
	struct tree *tree;
	struct plan plan;
	bool is_done; /* the remote has all of it; only its plan may have been collected
		       */
};

struct push {
	struct remote *remote;
	struct push_item *items;
	size_t n_items;
	struct workdir *workdir;
	struct pushed *objects;
	size_t n_objects;
	struct names listed;
	struct journal journal;
	struct upload upload;
	struct map *wanted;	      /* files to send: digest -> anything */
	char segment[SHA256_HEX + 1]; /* of this push; "": none */
	struct marker marker;
};

static void push_done(struct push *push)
{
	for (size_t i = 0; i < push->n_objects; i++)
		tree_free(push->objects[i].tree);
	free(push->objects);
	free(push->listed.list);
	map_free(push->wanted);
	journal_done(&push->journal);
	upload_done(&push->upload);
	(void)workdir_free(push->workdir);
}

/* --- what is there --- */

static int take_name(void *data, const struct listed *listed)
{
	struct names *names = data;
	const char *slash = strrchr(listed->key, '/');
	struct cop_digest digest;

	if (!slash)
		return 0;
	if (strcmp(slash, "/collecting") == 0)
		names->is_collecting = true;
	if (!digest_is(slash + 1, &digest))
		return 0;
	if (names->n == names->room) {
		size_t room = names->room ? names->room * 2 : 64;
		void *grown = reallocarray(names->list, room, sizeof(*names->list));

		if (!grown)
			return -ENOMEM;
		names->list = grown;
		names->room = room;
	}
	memcpy(names->list[names->n++], slash + 1, SHA256_HEX + 1);
	return 0;
}

static int compare_names(const void *a, const void *b)
{
	return memcmp(a, b, SHA256_HEX);
}

static bool is_listed(void *data, const char *name)
{
	const struct names *names = data;

	return names->n > 0 && strlen(name) == SHA256_HEX &&
	       bsearch(name, names->list, names->n, sizeof(*names->list), compare_names);
}

/* An index that we know proves that it is the remote that we know. */
static int check_config(struct push *push, bool knows_one, struct cop_error *err)
{
	struct remote *remote = push->remote;

	if (knows_one && json_object_get(remote->config, "id"))
		return 0;
	return config_check(remote, err);
}

static bool mirror_knows_one(const struct push *push)
{
	for (size_t i = 0; i < push->listed.n; i++) {
		char path[SHA256_HEX + 16];

		(void)snprintf(path, sizeof(path), "index/%s", push->listed.list[i]);
		if (faccessat(push->remote->dir_fd, path, F_OK, 0) == 0)
			return true;
	}
	return false;
}

static int look(struct push *push, struct cop_error *err)
{
	struct remote *remote = push->remote;
	int r = transport_list(remote->transport, "v1/i/", take_name, &push->listed, err);

	if (r == 0 && push->listed.is_collecting)
		r = err_set(err, -EBUSY,
			    "a collection of remote '%s' is under way; if it was killed, "
			    "run: coppice remote gc %s",
			    remote->name, remote->name);
	if (r < 0)
		return r;
	if (push->listed.n > 0)
		qsort(push->listed.list, push->listed.n, sizeof(*push->listed.list),
		      compare_names);
	r = check_config(push, mirror_knows_one(push), err);
	if (r < 0)
		return r;
	state_forget_segments(remote, is_listed, &push->listed);
	r = remote_forget_index(remote, err);
	if (r == 0)
		r = state_segments(remote, push->listed.list, push->listed.n, err);
	return r < 0 ? r : journal_load(remote, &push->journal, err);
}

/* --- what is missing --- */

static struct pushed *find_object(struct push *push, const struct cop_digest *object)
{
	for (size_t i = 0; i < push->n_objects; i++)
		if (cop_digest_equal(&push->objects[i].object, object))
			return &push->objects[i];
	return NULL;
}

static int read_objects(struct push *push, struct cop_error *err)
{
	struct cop_store *store = push->remote->store;

	push->objects = calloc(push->n_items + 1, sizeof(*push->objects));
	if (!push->objects)
		return err_oom(err);
	for (size_t i = 0; i < push->n_items; i++) {
		struct push_item *item = &push->items[i];
		struct pushed *object;
		int r = object_get(store, push->workdir, item->id, &item->digest, err);

		if (r < 0)
			return r;
		if (object_is_private(store, &item->digest))
			return err_set(err, -EPERM,
				       "push '%s': the tree holds secrets of its build, "
				       "which no remote may get; export it instead",
				       item->ref ? item->ref : item->id);
		if (find_object(push, &item->digest))
			continue;
		object = &push->objects[push->n_objects++];
		object->object = item->digest;
		object->plan.object = item->digest;
		r = object_read_tree(store, &item->digest, &object->tree, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static bool plan_is_alive(const struct push *push, const struct plan *plan)
{
	for (size_t i = 0; i < plan->n_segments; i++)
		if (!is_listed((void *)&push->listed, plan->segments[i]))
			return false;
	return true;
}

static int add_file(struct push *push, const struct tree_node *node,
		    struct cop_error *err)
{
	struct upload *upload = &push->upload;
	const struct segment *segment;
	void **slot;

	if (catalogue_file(push->remote->catalogue, node->digest, &segment))
		return 0;
	slot = map_slot(push->wanted, node->digest, sizeof(*node->digest));
	if (!slot)
		return err_oom(err);
	if (*slot)
		return 0;
	*slot = push;
	/* Doubles at every power of two. */
	if ((upload->n_files & (upload->n_files - 1)) == 0) {
		size_t room = upload->n_files ? upload->n_files * 2 : 1;
		void *grown = reallocarray(upload->files, room, sizeof(*upload->files));

		if (!grown)
			return err_oom(err);
		upload->files = grown;
	}
	upload->files[upload->n_files++] =
		(struct upload_file){.id = *node->digest, .size = node->size};
	push->remote->totals.n_files++;
	push->remote->totals.n_file_bytes += node->size;
	return 0;
}

static int add_files(struct push *push, const struct pushed *object,
		     struct cop_error *err)
{
	int r = 0;

	for (const struct tree_node *node = object->tree->root; node && r == 0;
	     node = tree_next(node))
		if (!node->link && node->digest)
			r = add_file(push, node, err);
	return r;
}

/* The chain of dictionaries that ends with @object, if it may grow. */
static bool chain_of(const struct push *push, const struct cop_digest *object,
		     struct plan *plan)
{
	const struct segment *segment;

	for (size_t i = 0; i < push->n_objects; i++)
		if (push->objects[i].plan.n_trees > 0 &&
		    cop_digest_equal(&push->objects[i].object, object)) {
			*plan = push->objects[i].plan;
			return plan->n_trees < TREE_CHAIN_MAX;
		}
	if (state_plan(push->remote, object, plan) < 0 ||
	    plan->n_trees >= TREE_CHAIN_MAX || !plan_is_alive(push, plan))
		return false;
	for (size_t i = 0; i < plan->n_trees; i++)
		if (!catalogue_tree(push->remote->catalogue, &plan->trees[i], &segment))
			return false;
	return true;
}

static size_t near_objects(const struct push *push, struct cop_digest *near, size_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < push->n_objects && n < max / 2; i++)
		if (push->objects[i].plan.n_trees > 0)
			near[n++] = push->objects[i].object;
	return n + state_recent_plans(push->remote, near + n, max - n);
}

static int choose_base(const struct push *push, const struct pushed *object,
		       struct plan *ret_chain)
{
	struct cop_digest near[NEAR_MAX];
	size_t n = near_objects(push, near, ARRAY_SIZE(near)), n_kept = 0, best;

	for (size_t i = 0; i < n; i++) {
		struct plan chain = {};

		if (chain_of(push, &near[i], &chain))
			near[n_kept++] = near[i];
	}
	best = tree_nearest(push->remote->store, &object->object, near, n_kept);
	return best < n_kept && chain_of(push, &near[best], ret_chain);
}

static int pack_tree(struct push *push, struct pushed *object, struct cop_error *err)
{
	struct remote *remote = push->remote;
	struct upload_tree *tree = &push->upload.trees[push->upload.n_trees];
	struct plan chain = {}, *plan = &object->plan;
	auto_buf text = {}, base = {};
	int r = tree_text(remote->store, &object->object, &text, err);

	if (r < 0)
		return r;
	tree->id = object->object;
	tree->size = (uint32_t)text.size;
	if (choose_base(push, object, &chain) &&
	    tree_text(remote->store, &chain.object, &base, NULL) == 0)
		tree->base = chain.object;
	else
		chain.n_trees = 0;
	push->upload.n_trees++;
	memcpy(plan->trees, chain.trees, sizeof(plan->trees));
	plan->trees[chain.n_trees] = object->object;
	plan->n_trees = chain.n_trees + 1;
	return tree_pack(buf_text(&text), text.size, &tree->base, &base, &tree->stored,
			 err);
}

/* Known trees are not sent again: their chain is that of the index. */
static bool chain_from_index(const struct push *push, struct pushed *object)
{
	struct plan *plan = &object->plan;
	struct cop_digest chain[TREE_CHAIN_MAX], at = object->object;
	size_t n = 0;

	while (n < TREE_CHAIN_MAX && !cop_digest_is_null(&at)) {
		const struct segment *segment;
		const struct index_tree *tree =
			catalogue_tree(push->remote->catalogue, &at, &segment);

		if (!tree)
			return false;
		chain[n++] = at;
		at = tree->base;
	}
	if (!cop_digest_is_null(&at))
		return false;
	plan->n_trees = n;
	for (size_t i = 0; i < n; i++)
		plan->trees[i] = chain[n - 1 - i];
	return true;
}

static int find_missing(struct push *push, struct cop_error *err)
{
	int r = 0;

	push->upload.trees = calloc(push->n_objects + 1, sizeof(*push->upload.trees));
	push->wanted = map_new();
	if (!push->upload.trees || !push->wanted)
		return err_oom(err);
	for (size_t i = 0; i < push->n_objects && r == 0; i++) {
		struct pushed *object = &push->objects[i];
		struct plan known;

		if (state_plan(push->remote, &object->object, &known) == 0 &&
		    plan_is_alive(push, &known)) {
			object->plan = known;
			object->is_done = true;
			continue;
		}
		r = add_files(push, object, err);
		if (r == 0 && !chain_from_index(push, object))
			r = pack_tree(push, object, err);
	}
	return r < 0 ? r : upload_plan(&push->upload, err);
}

/* --- the index --- */

static int enter_block(const struct upload *upload, const struct upload_job *job,
		       struct segment_writer *writer, uint32_t *ret_number,
		       struct cop_error *err)
{
	const struct upload_job *real =
		job->same_as > 0 ? &upload->jobs[job->same_as - 1] : job;
	const struct upload_pack *pack;
	struct block block = real->block;
	int r;

	if (real->reused)
		return segment_writer_copy_block(writer, real->reused, real->reused_block,
						 false, ret_number, err);
	pack = &upload->packs[real->pack];
	r = segment_writer_add_pack(writer, pack->id, pack->size, &block.pack, err);
	return r < 0 ? r : segment_writer_add_block(writer, &block, ret_number, err);
}

static int enter_uploaded(const struct upload *upload, struct segment_writer *writer,
			  struct cop_error *err)
{
	auto_free uint32_t *numbers = calloc(upload->n_jobs + 1, sizeof(*numbers));
	int r = numbers ? 0 : err_oom(err);

	for (size_t i = 0; i < upload->n_jobs && r == 0; i++) {
		const struct upload_job *job = &upload->jobs[i];
		struct index_part part;

		r = enter_block(upload, job, writer, &numbers[i], err);
		if (r < 0 || !job->has_hash || job->reused || job->same_as)
			continue;
		part.block = numbers[i];
		memcpy(part.hash, job->hash, sizeof(part.hash));
		r = segment_writer_add_part(writer, &part, err);
	}
	for (size_t i = 0; i < upload->n_files && r == 0; i++) {
		const struct upload_file *file = &upload->files[i];
		struct index_file row = {.id = file->id,
					 .size = file->size,
					 .block = numbers[file->first_job],
					 .inner = file->inner};

		r = segment_writer_add_file(writer, &row, err);
	}
	for (size_t i = 0; i < upload->n_trees && r == 0; i++) {
		const struct upload_tree *tree = &upload->trees[i];
		struct index_tree row = {.id = tree->id, .base = tree->base};
		struct block block = tree->block;

		r = segment_writer_add_pack(writer, upload->packs[tree->pack].id,
					    upload->packs[tree->pack].size, &block.pack,
					    err);
		if (r == 0)
			r = segment_writer_add_block(writer, &block, &row.block, err);
		if (r == 0)
			r = segment_writer_add_tree(writer, &row, err);
	}
	return r;
}

static int copy_journal(const struct segment *journal, struct segment_writer *writer,
			struct cop_error *err)
{
	int r = 0;

	for (uint32_t i = 0; journal && i < journal->n_files && r == 0; i++)
		r = segment_writer_copy_file(writer, journal, &journal->files[i], err);
	return r;
}

/* How many files and trees of an object each segment is needed for. */
struct use {
	const struct segment *segment;
	size_t n;
};

struct uses {
	struct use list[1024];
	size_t n;
};

static int count_use(struct uses *uses, const struct segment *segment,
		     struct cop_error *err)
{
	for (size_t i = 0; i < uses->n; i++)
		if (uses->list[i].segment == segment) {
			uses->list[i].n++;
			/* The next is likely to be there, too. */
			if (i > 0) {
				struct use first = uses->list[0];

				uses->list[0] = uses->list[i];
				uses->list[i] = first;
			}
			return 0;
		}
	if (uses->n == ARRAY_SIZE(uses->list))
		return err_set(err, -E2BIG,
			       "a tree is spread over more than %zu index segments",
			       ARRAY_SIZE(uses->list));
	uses->list[uses->n++] = (struct use){.segment = segment, .n = 1};
	return 0;
}

static int count_uses(const struct push *push, const struct pushed *object,
		      struct uses *uses, struct cop_error *err)
{
	const struct catalogue *catalogue = push->remote->catalogue;
	const struct segment *segment;
	int r = 0;

	for (const struct tree_node *node = object->tree->root; node && r == 0;
	     node = tree_next(node))
		if (!node->link && node->digest &&
		    catalogue_file(catalogue, node->digest, &segment) &&
		    segment != push->journal.segment)
			r = count_use(uses, segment, err);
	for (size_t i = 0; i < object->plan.n_trees && r == 0; i++)
		if (catalogue_tree(catalogue, &object->plan.trees[i], &segment))
			r = count_use(uses, segment, err);
	return r;
}

static int most_used_first(const void *a, const void *b)
{
	const struct use *x = a, *y = b;

	return (x->n < y->n) - (x->n > y->n);
}

static bool is_copied(const struct uses *uses, size_t n_stay,
		      const struct segment *segment)
{
	for (size_t i = n_stay; i < uses->n; i++)
		if (uses->list[i].segment == segment)
			return true;
	return false;
}

/* A tree that grew in many pushes would need many segments: what it has of the least used
 * ones goes into the new one. */
static int copy_rest(const struct push *push, const struct pushed *object,
		     const struct uses *uses, size_t n_stay,
		     struct segment_writer *writer, struct cop_error *err)
{
	const struct catalogue *catalogue = push->remote->catalogue;
	const struct segment *segment;
	int r = 0;

	for (const struct tree_node *node = object->tree->root; node && r == 0;
	     node = tree_next(node)) {
		const struct index_file *file;

		if (node->link || !node->digest)
			continue;
		file = catalogue_file(catalogue, node->digest, &segment);
		if (file && is_copied(uses, n_stay, segment))
			r = segment_writer_copy_file(writer, segment, file, err);
	}
	for (size_t i = 0; i < object->plan.n_trees && r == 0; i++) {
		const struct index_tree *tree =
			catalogue_tree(catalogue, &object->plan.trees[i], &segment);

		if (tree && is_copied(uses, n_stay, segment))
			r = segment_writer_copy_tree(writer, segment, tree, err);
	}
	return r;
}

static int plan_object(const struct push *push, struct pushed *object,
		       struct segment_writer *writer, struct cop_error *err)
{
	auto_free struct uses *uses = calloc(1, sizeof(*uses));
	size_t n_stay;
	int r = uses ? count_uses(push, object, uses, err) : err_oom(err);

	if (r < 0)
		return r;
	if (uses->n > 0)
		qsort(uses->list, uses->n, sizeof(*uses->list), most_used_first);
	n_stay = uses->n > PLAN_SEGMENTS_WISH ? PLAN_SEGMENTS_WISH / 2 : uses->n;
	r = copy_rest(push, object, uses, n_stay, writer, err);
	for (size_t i = 0; i < n_stay && r == 0; i++)
		r = plan_add_segment(&object->plan, uses->list[i].segment->name, err);
	return r;
}

static int put_index(struct push *push, struct cop_error *err)
{
	struct remote *remote = push->remote;
	auto_ptr(segment_writer) writer = segment_writer_new(err);
	char key[REQUEST_KEY_SIZE];
	auto_buf bytes = {};
	int r;

	if (!writer)
		return -ENOMEM;
	r = enter_uploaded(&push->upload, writer, err);
	if (r == 0)
		r = copy_journal(push->journal.segment, writer, err);
	for (size_t i = 0; i < push->n_objects && r == 0; i++)
		if (!push->objects[i].is_done)
			r = plan_object(push, &push->objects[i], writer, err);
	if (r < 0 || segment_writer_is_empty(writer))
		return r;
	r = segment_writer_finish(writer, &bytes, push->segment, err);
	if (r < 0)
		return r;
	(void)snprintf(key, sizeof(key), "v1/i/%.2s/%s", push->segment, push->segment);
	r = transport_put_once(remote->transport, key, bytes.data, bytes.size,
			       remote->has_conditions, err);
	if (r == 0)
		r = state_keep_segment(remote, bytes.data, bytes.size, err);
	if (r == 0)
		journal_clear(remote, &push->journal, &push->upload);
	return r;
}

/* --- plans and names --- */

static int put_plans(struct push *push, struct cop_error *err)
{
	struct remote *remote = push->remote;
	struct request *requests = calloc(push->n_objects + 1, sizeof(*requests));
	struct buf *bodies = calloc(push->n_objects + 1, sizeof(*bodies));
	char hex[COP_DIGEST_HEX + 1];
	size_t n = 0;
	int r = requests && bodies ? 0 : err_oom(err);

	for (size_t i = 0; i < push->n_objects && r == 0; i++) {
		struct pushed *object = &push->objects[i];

		if (*push->segment && !object->is_done)
			r = plan_add_segment(&object->plan, push->segment, err);
		if (r == 0)
			r = plan_write(&object->plan, &bodies[n], err);
		(void)cop_digest_to_hex(&object->object, hex);
		request_init(&requests[n], REQUEST_PUT, "v1/m/%.2s/%s", hex, hex);
		requests[n].body = bodies[n].data;
		requests[n].body_size = bodies[n].size;
		requests[n].if_absent = remote->has_conditions;
		n++;
	}
	if (r == 0)
		r = transport_run(remote->transport, requests, n, err);
	for (size_t i = 0; i < n && r == 0; i++)
		if (requests[i].result == -EEXIST)
			r = transport_head(remote->transport, requests[i].key, err);
		else if (requests[i].result < 0)
			r = err_copy(err, &requests[i].error);
	for (size_t i = 0; i < push->n_objects && r == 0; i++)
		state_keep_plan(remote, &push->objects[i].plan);
	for (size_t i = 0; i < n; i++) {
		request_done(&requests[i]);
		buf_done(&bodies[i]);
	}
	free(requests);
	free(bodies);
	return r;
}

static int put_names(struct push *push, struct cop_error *err)
{
	int r = 0;

	for (size_t i = 0; i < push->n_items && r == 0; i++) {
		const struct push_item *item = &push->items[i];

		if (item->key)
			r = entry_put_key(push->remote, item, err);
		if (r == 0 && item->ref)
			r = entry_put_ref(push->remote, item, err);
	}
	return r;
}

static int run(struct push *push, struct cop_error *err)
{
	int r = look(push, err);

	if (r == 0)
		r = read_objects(push, err);
	if (r == 0)
		r = find_missing(push, err);
	if (r == 0)
		r = upload_run(&push->upload, err);
	if (r == 0)
		r = marker_refresh(&push->marker, err);
	if (r == 0)
		r = put_index(push, err);
	if (r == 0)
		r = put_plans(push, err);
	if (r == 0)
		r = marker_refresh(&push->marker, err);
	return r < 0 ? r : put_names(push, err);
}

int remote_push(struct remote *remote, struct push_item *items, size_t n,
		struct cop_error *err)
{
	cleanup_with(push_done) struct push push = {
		.remote = remote, .items = items, .n_items = n};
	int r = 0;

	if (!remote->transport->is_writable)
		return err_set(err, -EROFS, "remote '%s': '%s' can only be read",
			       remote->name, remote_url(remote));
	push.upload.remote = remote;
	r = workdir_new(remote->store, "push-", NULL, &push.workdir, err);
	if (r == 0)
		r = marker_begin(remote, &push.marker, err);
	if (r == 0) {
		remote->marker = &push.marker;
		r = run(&push, err);
		remote->marker = NULL;
	}
	if (push.marker.remote)
		marker_end(&push.marker, r != -EINTR && r != -ENOTCONN);
	return r < 0 ? err_prefix(err, r, "push to remote '%s'", remote->name) : 0;
}
