/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pull: name, plan, index, tree, files, and at last the commit as of any other tree.
 * The digest of the tree proves the text it came in, and the tree has the digest of every
 * file; so nothing else has to be believed.
 */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "remote/block.h"
#include "remote/private.h"
#include "store/commit.h"
#include "store/object.h"
#include "tree/dump.h"

/* How often all is looked at. */
#define TRIES 3

struct pull {
	struct remote *remote;
	struct cop_digest object;
	struct plan plan;
	struct tree *tree;
	struct download_file *files;
	size_t n_files;
};

static void pull_done(struct pull *pull)
{
	tree_free(pull->tree);
	free(pull->files);
}

static int get_plan(struct pull *pull, struct cop_error *err)
{
	struct remote *remote = pull->remote;
	char key[REQUEST_KEY_SIZE], hex[COP_DIGEST_HEX + 1];
	auto_buf text = {};
	int r;

	(void)cop_digest_to_hex(&pull->object, hex);
	(void)snprintf(key, sizeof(key), "v1/m/%.2s/%s", hex, hex);
	r = transport_get(remote->transport, key, PLAN_MAX, &text, NULL, err);
	if (r == -ENOENT)
		return err_set(err, -ENOENT, "remote '%s' has no object '%s'",
			       remote->name, hex);
	if (r == 0)
		r = plan_read(buf_text(&text), text.size, &pull->plan, err);
	if (r == 0 && !cop_digest_equal(&pull->plan.object, &pull->object))
		r = err_set(err, -EBADMSG, "the pull plan of '%s' is another object's",
			    hex);
	return r;
}

/* --- the tree --- */

/* The last of the chain whose text we can make ourselves; n_trees: none. */
static size_t first_known(const struct pull *pull, struct buf *text)
{
	const struct plan *plan = &pull->plan;

	for (size_t i = plan->n_trees; i > 0; i--)
		if (object_exists(pull->remote->store, &plan->trees[i - 1], NULL) > 0 &&
		    tree_text(pull->remote->store, &plan->trees[i - 1], text, NULL) == 0)
			return i - 1;
	return plan->n_trees;
}

static int fetch_blocks(struct pull *pull, size_t from, struct request *requests,
			struct cop_error *err)
{
	const struct plan *plan = &pull->plan;
	char hex[COP_DIGEST_HEX + 1];

	for (size_t i = from; i < plan->n_trees; i++) {
		const struct segment *segment = NULL;
		const struct index_tree *tree = catalogue_tree(pull->remote->catalogue,
							       &plan->trees[i], &segment);
		const struct block *block;

		if (!tree)
			return err_set(err, -EBADMSG,
				       "remote '%s' does not say where the tree of '%s' "
				       "is",
				       pull->remote->name,
				       cop_digest_to_hex(&plan->trees[i], hex));
		block = &segment->blocks[tree->block];
		(void)hex_encode(segment->packs[block->pack].id, SHA256_SIZE, hex);
		request_init(&requests[i], REQUEST_GET, "v1/p/%.2s/%s", hex, hex);
		requests[i].offset = block->offset;
		requests[i].length = block->stored_size;
	}
	return transport_run(pull->remote->transport, requests + from,
			     plan->n_trees - from, err);
}

/* Each text is the dictionary of the next. */
static int unpack(struct pull *pull, size_t from, const struct request *requests,
		  struct buf *text, struct cop_error *err)
{
	const struct plan *plan = &pull->plan;
	int r = 0;

	for (size_t i = from; i < plan->n_trees && r == 0; i++) {
		const struct buf *stored = &requests[i].data;
		const struct segment *segment = NULL;
		const struct index_tree *tree = catalogue_tree(pull->remote->catalogue,
							       &plan->trees[i], &segment);
		struct cop_digest base, expected = {};
		auto_buf next = {};

		if (requests[i].result < 0)
			return err_copy(err, &requests[i].error);
		if (i > 0)
			expected = plan->trees[i - 1];
		r = tree_block_base(buf_text(stored), stored->size, &base, err);
		if (r == 0 && !cop_digest_equal(&base, &expected))
			r = err_set(err, -EBADMSG,
				    "a tree of the pull plan has another dictionary");
		if (r == 0)
			r = tree_unpack(buf_text(stored), stored->size, text,
					segment->blocks[tree->block].size, &next, err);
		if (r < 0)
			return r;
		buf_done(text);
		*text = next;
		next = (struct buf){};
	}
	return r;
}

static int text_of(struct pull *pull, bool use_store, struct buf *text,
		   struct cop_error *err)
{
	struct request *requests = calloc(TREE_CHAIN_MAX, sizeof(*requests));
	size_t known = pull->plan.n_trees, from = 0;
	int r;

	if (!requests)
		return err_oom(err);
	if (use_store)
		known = first_known(pull, text);
	if (known < pull->plan.n_trees)
		from = known + 1;
	r = fetch_blocks(pull, from, requests, err);
	if (r == 0)
		r = unpack(pull, from, requests, text, err);
	for (size_t i = 0; i < TREE_CHAIN_MAX; i++)
		request_done(&requests[i]);
	free(requests);
	return r;
}

static int check_tree(struct pull *pull, const struct buf *text, struct cop_error *err)
{
	auto_ptr(tree) tree = NULL;
	struct cop_digest found;
	int r = tree_from_dump(buf_text(text), text->size, &tree, err);

	if (r == 0)
		r = tree_canonicalise(tree, err);
	if (r == 0)
		r = store_digest_tree(tree, &found, err);
	if (r < 0)
		return err_set(err, r == -ENOMEM ? r : -EBADMSG, "the tree is damaged");
	if (!cop_digest_equal(&found, &pull->object))
		return err_set(err, -EBADMSG, "the tree that came is another one");
	pull->tree = TAKE_PTR(tree);
	return 0;
}

/* Should our own text of an older tree not be the one that was used as dictionary, all of
 * the chain is fetched. */
static int get_tree(struct pull *pull, struct cop_error *err)
{
	struct cop_error first = {};
	int r = -EBADMSG;

	for (int i = 0; i < 2 && r == -EBADMSG; i++) {
		auto_buf text = {};

		r = text_of(pull, i == 0, &text, i == 0 ? &first : err);
		if (r == 0)
			r = check_tree(pull, &text, i == 0 ? &first : err);
		if (r < 0 && r != -EBADMSG && i == 0)
			return err_copy(err, &first);
	}
	return r;
}

/* --- the files --- */

static int find_missing(struct pull *pull, struct cop_error *err)
{
	auto_ptr(map) seen = map_new();
	struct remote *remote = pull->remote;

	free(pull->files);
	pull->n_files = 0;
	pull->files = calloc(pull->tree->n_nodes + 1, sizeof(*pull->files));
	if (!seen || !pull->files)
		return err_oom(err);
	for (const struct tree_node *node = pull->tree->root; node;
	     node = tree_next(node)) {
		void **slot;
		int r;

		if (node->link || !node->digest)
			continue;
		slot = map_slot(seen, node->digest, sizeof(*node->digest));
		if (!slot)
			return err_oom(err);
		if (*slot)
			continue;
		*slot = pull;
		r = pool_has_file(remote->store, node->digest, node->size, err);
		if (r < 0)
			return r;
		if (r > 0)
			continue;
		pull->files[pull->n_files++] =
			(struct download_file){*node->digest, node->size};
		remote->totals.n_files++;
		remote->totals.n_file_bytes += node->size;
	}
	return 0;
}

static int fetch_and_commit(struct pull *pull, struct commit_request *request,
			    struct cop_error *err)
{
	struct remote *remote = pull->remote;
	auto_ptr(workdir) workdir = NULL;
	auto_ptr(staging) staging = NULL;
	struct cop_digest digest;
	int r;

	r = workdir_new(remote->store, "pull-", NULL, &workdir, err);
	if (r == 0)
		r = staging_new(remote->store, workdir, NULL, &staging, err);
	if (r == 0)
		r = find_missing(pull, err);
	if (r == 0)
		r = download_files(remote, staging, pull->files, pull->n_files, err);
	if (r == 0)
		r = staging_finish(staging, err);
	if (r == 0)
		r = remote_check_cancel(remote, err);
	if (r < 0)
		return r;
	request->tree = pull->tree;
	request->workdir = workdir;
	request->staging = staging;
	request->progress = remote->monitor.progress;
	return store_commit(remote->store, request, &digest, err);
}

int pull_read_tree(struct remote *remote, const struct plan *plan, struct tree **ret_tree,
		   struct cop_error *err)
{
	cleanup_with(pull_done) struct pull pull = {
		.remote = remote, .object = plan->object, .plan = *plan};
	int r = state_segments(remote, plan->segments, plan->n_segments, err);

	if (r == 0)
		r = get_tree(&pull, err);
	if (r == 0)
		*ret_tree = TAKE_PTR(pull.tree);
	return r;
}

/* Return: -EAGAIN also when a collection moved something meanwhile, or the pool lost a
 * file: all is to be looked at again. */
static int attempt(struct pull *pull, struct commit_request *request,
		   struct cop_error *err)
{
	struct remote *remote = pull->remote;
	const struct remote_totals before = remote->totals;
	int r = get_plan(pull, err);

	if (r < 0)
		return r;
	r = state_segments(remote, pull->plan.segments, pull->plan.n_segments, err);
	if (r == 0 && !pull->tree)
		r = get_tree(pull, err);
	if (r == 0)
		r = fetch_and_commit(pull, request, err);
	if (r != -ENOENT && r != -EAGAIN)
		return r;
	remote->totals = before;
	return -EAGAIN;
}

/* The store has it already: only the name is missing, if that. */
static int only_name(struct pull *pull, const struct commit_request *request,
		     struct cop_error *err)
{
	struct cop_store *store = pull->remote->store;

	if (!request->name)
		return 0;
	return ref_set(store, request->class, request->name, &pull->object, request->meta,
		       err);
}

static int pull_object(struct pull *pull, struct commit_request *request,
		       struct cop_error *err)
{
	struct cop_store *store = pull->remote->store;
	auto_ptr(workdir) workdir = NULL;
	char hex[COP_DIGEST_HEX + 1];
	struct cop_digest digest;
	int r = workdir_new(store, "pull-", NULL, &workdir, err);

	if (r < 0)
		return r;
	if (object_get(store, workdir, cop_digest_to_hex(&pull->object, hex), &digest,
		       NULL) == 0 &&
	    object_check_files(store, &digest, NULL) == 0)
		return only_name(pull, request, err);
	r = attempt(pull, request, err);
	for (int i = 1; i < TRIES && r == -EAGAIN; i++) {
		r = remote_forget_index(pull->remote, err);
		if (r == 0)
			r = attempt(pull, request, err);
	}
	if (r == 0)
		state_keep_plan(pull->remote, &pull->plan);
	return r;
}

static int find_object(struct remote *remote, const char *name,
		       struct cop_digest *ret_object, struct cop_error *err)
{
	auto_entry entry = {.kind = "ref", .name = name};
	int r;

	/* Who names the digest himself needs nobody's word for it. */
	if (digest_is(name, ret_object))
		return 0;
	if (!ref_name_is_valid(REF_NAME, name))
		return err_set(err, -EINVAL, "'%s' is neither a name nor a digest", name);
	r = entry_get(remote, &entry, err);
	if (r == 0)
		*ret_object = entry.object;
	return r;
}

int remote_pull(struct remote *remote, const char *name, enum ref_class class,
		const char *as, const json_t *meta, struct cop_digest *ret_digest,
		struct cop_error *err)
{
	cleanup_with(pull_done) struct pull pull = {.remote = remote};
	struct commit_request request = {.class = class, .name = as, .meta = meta};
	int r = config_check(remote, err);

	if (r == 0)
		r = find_object(remote, name, &pull.object, err);
	if (r == 0)
		r = pull_object(&pull, &request, err);
	if (r < 0)
		return err_prefix(err, r, "pull '%s' from remote '%s'", name,
				  remote->name);
	*ret_digest = pull.object;
	return 0;
}
