/* SPDX-License-Identifier: Apache-2.0 */
/* A tar archive, entry by entry, into a tree in memory and contents in a work directory.
 */
#include "archive/import.h"

#include "archive/entry.h"
#include "base/text.h"

#define WHITEOUT	".wh."
#define WHITEOUT_OPAQUE ".wh..wh..opq"
/* Of the file system that wrote the layer; they mean nothing here. */
#define WHITEOUT_META ".wh..wh."

int import_init(struct import *import, struct cop_store *store,
		const struct archive_import_options *options, struct cop_error *err)
{
	int r;

	*import = (struct import){.options = options, .incoming.dir_fd = -EBADF};
	r = incoming_init(&import->incoming, store, options->progress, err);
	if (r == 0)
		r = layers_new(&import->incoming.place.options, &import->layers, err);
	return r;
}

void import_done(struct import *import)
{
	/* Its threads write into the tree of the layers. */
	incoming_done(&import->incoming);
	import->layers = layers_free(import->layers);
}

static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* Return: 1 when @path is about a whiteout, and it was applied; 0; a negative errno. */
static int take_whiteout(struct import *import, const char *path, struct cop_error *err)
{
	const char *name = last_part(path);
	size_t dir_size = (size_t)(name - path);
	auto_free char *target = NULL;
	bool is_opaque = strcmp(name, WHITEOUT_OPAQUE) == 0;
	int r;

	if (!text_starts_with(name, WHITEOUT))
		return 0;
	if (text_starts_with(name, WHITEOUT_META) && !is_opaque)
		return 1;
	target = strdup(path);
	if (!target)
		return err_oom(err);
	if (is_opaque) {
		(void)memcpy(target + dir_size, ".", 2);
	} else {
		name += strlen(WHITEOUT);
		if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
			return err_set(err, -EBADMSG, "'%s': a whiteout of nothing",
				       path);
		(void)memcpy(target + dir_size, name, strlen(name) + 1);
	}
	r = layers_hide(import->layers, target, is_opaque, err);
	return r < 0 ? r : 1;
}

static int read_attributes(struct import *import, struct archive_entry *entry,
			   struct layer_inode *inode, const char *path,
			   struct cop_error *err)
{
	const struct tree_scan_options *guard = &import->incoming.place.options;
	int r;

	guard->lock(guard->data);
	r = entry_read(entry, layers_tree(import->layers), &inode->node,
		       &import->n_foreign, err);
	guard->unlock(guard->data);
	return r < 0 ? err_prefix(err, r, "'%s'", path) : 0;
}

static int take_entry(struct import *import, struct stream *stream,
		      struct archive_entry *entry, bool is_layer, struct cop_error *err)
{
	const char *path = archive_entry_pathname(entry);
	const char *target = archive_entry_hardlink(entry);
	struct layer_inode *inode = NULL;
	int r = 0;

	if (!path)
		return err_set(err, -EBADMSG, "an entry without a name");
	if (is_layer)
		r = take_whiteout(import, path, err);
	if (r != 0)
		return r < 0 ? r : 0;
	if (target)
		return layers_link(import->layers, path, target, err);
	r = layers_place(import->layers, path, archive_entry_filetype(entry) == AE_IFDIR,
			 &inode, err);
	if (r == 0)
		r = read_attributes(import, entry, inode, path, err);
	if (r == 0 && S_ISREG(inode->node.mode))
		r = incoming_take(&import->incoming, stream,
				  (uint64_t)archive_entry_size(entry), import->layers,
				  inode, path, err);
	return r;
}

int import_stream(struct import *import, int fd, bool is_layer, struct cop_error *err)
{
	auto_ptr(stream) stream = NULL;
	struct archive_entry *entry;
	int r = stream_open(fd, &stream, err);

	if (r < 0)
		return r;
	layers_begin(import->layers);
	while ((r = stream_next(stream, &entry, err)) > 0) {
		r = take_entry(import, stream, entry, is_layer, err);
		if (r < 0)
			return r;
	}
	return r;
}

int import_commit(struct import *import, struct cop_digest *ret_digest,
		  struct cop_error *err)
{
	const struct archive_import_options *options = import->options;
	struct incoming *incoming = &import->incoming;
	auto_ptr(tree) tree = NULL;
	struct commit_request request;
	int r;

	r = incoming_finish(incoming, err);
	if (r == 0)
		r = layers_finish(import->layers, &tree, err);
	if (r < 0)
		return r;
	if (options->source_epoch >= 0)
		(void)tree_clamp(tree, options->source_epoch);
	r = tree_canonicalise(tree, err);
	if (r < 0)
		return r;
	request = (struct commit_request){
		.tree = tree,
		.workdir = incoming->workdir,
		.staging = incoming->staging,
		.class = REF_NAME,
		.name = options->name,
		.progress = options->progress,
	};
	r = store_commit(incoming->store, &request, ret_digest, err);
	if (r == 0 && options->totals)
		staging_totals(incoming->staging, options->totals);
	/* What was read from a pipe cannot be read again. */
	return r == -EAGAIN ? err_prefix(err, r, "the store changed; import again") : r;
}

static int import_image(struct cop_store *store, struct import *image,
			struct cop_digest *ret_digest, struct cop_error *err)
{
	cleanup_with(import_done) struct import import = {};
	int r = incoming_finish(&image->incoming, err);

	if (r == 0)
		r = import_init(&import, store, image->options, err);
	if (r == 0)
		r = oci_apply(image, &import, err);
	return r < 0 ? r : import_commit(&import, ret_digest, err);
}

int archive_import(struct cop_store *store, int fd,
		   const struct archive_import_options *options,
		   struct cop_digest *ret_digest, struct cop_error *err)
{
	cleanup_with(import_done) struct import import = {};
	int r;

	r = import_init(&import, store, options, err);
	if (r == 0)
		r = import_stream(&import, fd, false, err);
	if (r < 0)
		return r;
	if (options->format != ARCHIVE_TAR && oci_is_image(&import))
		return import_image(store, &import, ret_digest, err);
	if (options->format == ARCHIVE_OCI)
		return err_set(err, -EBADMSG, "there is no OCI image in it");
	return import_commit(&import, ret_digest, err);
}
