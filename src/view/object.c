/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Object: a base that is a name, and a view that was grown from it.
 *
 * As long as nothing was written, the view is exactly what its digest says and may be
 * shared with other Objects of this process; whoever writes needs one of its own.
 */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "store/object.h"
#include "view/ops.h"

struct cop_reader {
	struct cop_object *object; /* NULL: the Object is gone */
	struct cop_reader *next;
};

struct cop_object {
	struct cop_store *store;
	char *base;
	struct view *view; /* NULL: not grown yet */
	/* The base may stand for another tree by now: look before the next use. */
	bool is_stale;
	bool is_written; /* was open for writing since it is what its digest says */
	bool is_writing;
	struct cop_reader *readers;
	size_t n_readers;
	const struct cop_progress *progress;
};

static int refuse_open(const struct cop_object *object, const char *action,
		       struct cop_error *err)
{
	if (object->is_writing)
		return err_set(err, -EBUSY, "%s the object: it is open for writing",
			       action);
	if (object->n_readers > 0)
		return err_set(err, -EBUSY, "%s the object: %zu reader%s open", action,
			       object->n_readers,
			       object->n_readers == 1 ? " is" : "s are");
	return 0;
}

static int refuse_writing(const struct cop_object *object, const char *action,
			  struct cop_error *err)
{
	if (!object->is_writing)
		return 0;
	return err_set(err, -EBUSY, "%s the object: it is open for writing", action);
}

int cop_object_new(struct cop_store *store, const char *base,
		   struct cop_object **ret_object, struct cop_error *err)
{
	struct cop_object *object = calloc(1, sizeof(*object));

	if (!object)
		return err_oom(err);
	object->store = store;
	if (base) {
		object->base = strdup(base);
		if (!object->base) {
			free(object);
			return err_oom(err);
		}
	}
	*ret_object = object;
	return 0;
}

int object_of_view(struct cop_store *store, struct view *view,
		   struct cop_object **ret_object, struct cop_error *err)
{
	struct cop_object *object = NULL;
	int r = cop_object_new(store, NULL, &object, err);

	if (!object) {
		view_release(view);
		return r;
	}
	object->view = view;
	object->is_written = true;
	*ret_object = object;
	return 0;
}

static void drop_view(struct cop_object *object)
{
	object->view = view_release(object->view);
	object->is_stale = false;
	object->is_written = false;
}

struct cop_object *cop_object_free(struct cop_object *object)
{
	if (!object)
		return NULL;
	for (struct cop_reader *reader = object->readers; reader; reader = reader->next)
		reader->object = NULL;
	drop_view(object);
	free(object->base);
	free(object);
	return NULL;
}

const char *cop_object_base(const struct cop_object *object)
{
	return object->base;
}

int cop_object_set_base(struct cop_object *object, const char *base,
			struct cop_error *err)
{
	auto_free char *copy = NULL;
	int r = refuse_open(object, "set the base of", err);

	if (r < 0)
		return r;
	if (base) {
		copy = strdup(base);
		if (!copy)
			return err_oom(err);
	}
	drop_view(object);
	free(object->base);
	object->base = TAKE_PTR(copy);
	return 0;
}

int cop_object_reset(struct cop_object *object, struct cop_error *err)
{
	int r = refuse_open(object, "reset", err);

	if (r == 0)
		drop_view(object);
	return r;
}

void object_set_progress(struct cop_object *object, const struct cop_progress *progress)
{
	object->progress = progress;
}

/* After a commit: is the base still the tree that we have?  Then go on from it. */
static int look_at_base_again(struct cop_object *object, struct cop_error *err)
{
	struct cop_digest digest;
	int r;

	if (!object->view || !object->is_stale)
		return 0;
	/* Readers keep what they opened. */
	if (object->n_readers > 0)
		return 0;
	r = object_get(object->store, object->view->workdir, object->base, &digest, err);
	if (r < 0)
		return r;
	if (cop_digest_equal(&digest, &object->view->digest))
		object->is_stale = false;
	else
		drop_view(object);
	return 0;
}

static int grow(struct cop_object *object, struct cop_error *err)
{
	int r = look_at_base_again(object, err);

	if (r == 0 && !object->view)
		r = view_acquire(object->store, object->base, object->base != NULL,
				 object->progress, &object->view, err);
	if (r < 0 && object->base)
		return err_prefix(err, r, "grow from '%s'", object->base);
	return r;
}

/* A view that nobody else uses, of the same tree. */
static int claim_view(struct cop_object *object, struct cop_error *err)
{
	char hex[COP_DIGEST_HEX + 1];
	struct view *own;
	int r;

	if (view_claim(object->view))
		return 0;
	r = view_acquire(object->store, cop_digest_to_hex(&object->view->digest, hex),
			 false, object->progress, &own, err);
	if (r < 0)
		return r;
	view_release(object->view);
	object->view = own;
	return 0;
}

int cop_object_init(struct cop_object *object, struct cop_error *err)
{
	int r = refuse_open(object, "initialise", err);

	return r < 0 ? r : grow(object, err);
}

int cop_object_write(struct cop_object *object, const char **ret_path,
		     struct cop_error *err)
{
	int r = refuse_open(object, "write", err);

	if (r == 0)
		r = grow(object, err);
	if (r == 0)
		r = claim_view(object, err);
	if (r == 0)
		r = view_prepare(object->view, true, err);
	if (r < 0)
		return r;
	object->is_writing = true;
	object->is_written = true;
	*ret_path = object->view->path;
	return 0;
}

int cop_object_write_end(struct cop_object *object, struct cop_error *err)
{
	(void)err;
	object->is_writing = false;
	return 0;
}

int cop_object_read(struct cop_object *object, struct cop_reader **ret_reader,
		    struct cop_error *err)
{
	struct cop_reader *reader;
	int r = refuse_writing(object, "read", err);

	if (r == 0)
		r = grow(object, err);
	if (r == 0)
		r = view_prepare(object->view, false, err);
	if (r < 0)
		return r;
	reader = calloc(1, sizeof(*reader));
	if (!reader)
		return err_oom(err);
	reader->object = object;
	reader->next = object->readers;
	object->readers = reader;
	object->n_readers++;
	*ret_reader = reader;
	return 0;
}

const char *cop_reader_path(const struct cop_reader *reader)
{
	return reader->object ? reader->object->view->path : NULL;
}

struct cop_reader *cop_reader_close(struct cop_reader *reader)
{
	struct cop_reader **link;

	if (!reader)
		return NULL;
	if (reader->object) {
		link = &reader->object->readers;
		while (*link != reader)
			link = &(*link)->next;
		*link = reader->next;
		reader->object->n_readers--;
	}
	free(reader);
	return NULL;
}

/* What stands for an Object that was not written: its base as it is now, or the digest it
 * has grown from.  NULL: an empty tree. */
static const char *clean_id(const struct cop_object *object, char hex[COP_DIGEST_HEX + 1])
{
	if (object->view && !object->is_stale && object->view->has_digest)
		return cop_digest_to_hex(&object->view->digest, hex);
	return object->base;
}

/* Return: 1 and its digest, in use by @workdir from now on; 0: an empty tree. */
static int get_clean(struct cop_object *object, struct workdir *workdir,
		     struct cop_digest *ret_digest, struct cop_error *err)
{
	char hex[COP_DIGEST_HEX + 1];
	const char *id = clean_id(object, hex);
	int r;

	if (!id)
		return 0;
	r = object_get(object->store, workdir, id, ret_digest, err);
	return r < 0 ? r : 1;
}

static int clean_digest(struct cop_object *object, struct cop_digest *ret_digest,
			struct cop_error *err)
{
	char hex[COP_DIGEST_HEX + 1];
	const char *id = clean_id(object, hex);
	auto_ptr(tree) tree = NULL;
	int r;

	if (id)
		return cop_store_resolve(object->store, id, ret_digest, err);
	r = view_empty_tree(&tree, err);
	return r < 0 ? r : store_digest_tree(tree, ret_digest, err);
}

int cop_object_digest(struct cop_object *object, struct cop_digest *ret_digest,
		      struct cop_error *err)
{
	auto_ptr(staging) staging = NULL;
	struct view_capture *capture;
	int r = refuse_writing(object, "digest", err);

	if (r < 0)
		return r;
	if (!object->is_written)
		return clean_digest(object, ret_digest, err);
	r = staging_new(object->store, NULL, object->progress, &staging, err);
	if (r == 0)
		r = object->view->ops->capture(object->view, staging, &capture, err);
	if (r != 0)
		return err_prefix(err, r, "digest the object");
	if (capture->tree)
		r = store_digest_tree(capture->tree, ret_digest, err);
	else
		*ret_digest = object->view->digest;
	object->view->ops->drop(object->view, capture);
	return r;
}

/* An unfinished commit. */
struct committing {
	struct workdir *workdir; /* NULL: that of the view */
	struct staging *staging;
	struct tree *tree;	      /* of an Object that is empty and was not written */
	struct cop_digest digest;     /* of one that has a base and was not written */
	struct view_capture *capture; /* of one that was */
	struct view *view;
	char *new_base;
};

static void committing_done(struct committing *committing)
{
	if (committing->capture)
		committing->view->ops->drop(committing->view, committing->capture);
	tree_free(committing->tree);
	staging_free(committing->staging);
	workdir_free(committing->workdir);
	free(committing->new_base);
}

static int collect(struct cop_object *object, struct committing *committing,
		   const struct cop_progress *progress, struct cop_error *err)
{
	bool in_place = object->is_written && object->view->ops->in_place;
	int r = 0;

	if (!in_place)
		r = workdir_new(object->store, "commit", NULL, &committing->workdir, err);
	if (r < 0)
		return r;
	if (!object->is_written) {
		r = get_clean(object, committing->workdir, &committing->digest, err);
		return r != 0 ? r : view_empty_tree(&committing->tree, err);
	}
	r = staging_new(object->store,
			in_place ? object->view->workdir : committing->workdir, progress,
			&committing->staging, err);
	if (r < 0)
		return r;
	committing->view = object->view;
	return object->view->ops->capture(object->view, committing->staging,
					  &committing->capture, err);
}

static void make_request(const struct cop_object *object,
			 const struct committing *committing,
			 struct commit_request *request)
{
	request->tree =
		committing->capture ? committing->capture->tree : committing->tree;
	request->object =
		committing->capture ? &object->view->digest : &committing->digest;
	request->workdir =
		committing->workdir ? committing->workdir : object->view->workdir;
	request->staging = committing->staging;
	/* Until the view has let go of what was moved. */
	request->keep_moves = !committing->workdir;
	request->base_is_held = !committing->workdir;
}

/* Nothing can fail from here on. */
static void adopt(struct cop_object *object, struct committing *committing,
		  const struct cop_digest *digest)
{
	struct view *view = object->view;

	if (committing->capture) {
		view->ops->adopt(view, TAKE_PTR(committing->capture), digest);
		view->digest = *digest;
		view->has_digest = true;
		/* The commit's directory has registered the new object. */
		if (committing->workdir) {
			workdir_free(view->anchor);
			view->anchor = TAKE_PTR(committing->workdir);
		}
		view_share(view);
		object->is_written = false;
	}
	if (committing->new_base) {
		free(object->base);
		object->base = TAKE_PTR(committing->new_base);
		object->is_stale = true;
	}
}

static int commit(struct cop_object *object, const struct object_commit_options *options,
		  struct cop_digest *ret_digest, struct cop_error *err)
{
	cleanup_with(committing_done) struct committing committing = {};
	struct commit_request request = {
		.class = options->class,
		.name = options->name,
		.meta = options->meta,
		.progress = options->progress ? options->progress : object->progress,
	};
	struct cop_digest digest;
	int r = refuse_open(object, "commit", err);

	if (r < 0)
		return r;
	if (options->name && !options->keep_base && options->class != REF_FAILED) {
		committing.new_base = strdup(options->name);
		if (!committing.new_base)
			return err_oom(err);
	}
	r = collect(object, &committing, request.progress, err);
	if (r == -EBUSY)
		return err_prefix(err, r, "commit '%s'",
				  options->name ? options->name : "the object");
	if (r < 0)
		return r;
	make_request(object, &committing, &request);
	r = store_commit(object->store, &request, &digest, err);
	if (r < 0)
		return r;
	adopt(object, &committing, &digest);
	if (ret_digest)
		*ret_digest = digest;
	return 0;
}

int object_commit_as(struct cop_object *object,
		     const struct object_commit_options *options,
		     struct cop_digest *ret_digest, struct cop_error *err)
{
	int r;

	if (options->name && !ref_name_is_valid(options->class, options->name))
		return err_set(err, -EINVAL, "commit: '%s' cannot be a %s", options->name,
			       options->class == REF_NAME ? "name" : "stage id");
	r = commit(object, options, ret_digest, err);
	if (r == -EBUSY || r == 0)
		return r;
	return options->name ? err_prefix(err, r, "commit '%s'", options->name)
			     : err_prefix(err, r, "commit");
}

int cop_store_commit(struct cop_store *store, struct cop_object *object, const char *id,
		     struct cop_digest *ret_digest, struct cop_error *err)
{
	struct object_commit_options options = {.name = id};

	if (object->store != store)
		return err_set(err, -EINVAL,
			       "commit '%s': the object is of another store", id);
	options.class =
		strlen(id) == COP_DIGEST_HEX && text_is_hex(id) ? REF_STAGE : REF_NAME;
	return object_commit_as(object, &options, ret_digest, err);
}

int cop_object_store_tree(struct cop_object *object, struct cop_digest *ret_digest,
			  struct cop_error *err)
{
	const struct object_commit_options options = {.keep_base = true};
	int r = object_commit_as(object, &options, ret_digest, err);

	if (r == 0)
		drop_view(object);
	return r;
}

int object_clamp(struct cop_object *object, int64_t epoch, struct cop_error *err)
{
	int r = refuse_open(object, "clamp", err);

	if (r < 0 || !object->is_written)
		return r;
	r = object->view->ops->clamp(object->view, epoch, err);
	return r < 0 ? err_prefix(err, r, "clamp") : 0;
}

int object_changes(struct cop_object *object, struct object_changes *ret,
		   struct cop_error *err)
{
	auto_ptr(workdir) workdir = NULL;
	auto_ptr(tree) tree = NULL;
	struct cop_digest digest;
	int r = refuse_writing(object, "count the changes of", err);

	if (r < 0)
		return r;
	if (object->is_written) {
		r = object->view->ops->changes(object->view, ret, err);
		return r < 0 ? err_prefix(err, r, "count changes") : 0;
	}
	r = workdir_new(object->store, "changes", NULL, &workdir, err);
	if (r < 0)
		return r;
	r = get_clean(object, workdir, &digest, err);
	if (r >= 0)
		r = view_read_tree(object->store, r > 0 ? &digest : NULL, &tree, err);
	if (r < 0)
		return r;
	*ret = (struct object_changes){.n_entries = tree->n_nodes};
	return 0;
}
