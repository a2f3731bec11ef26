/* SPDX-License-Identifier: Apache-2.0 */
#include "archive/incoming.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>

#include "base/fs.h"
#include "store/object.h"

#define PLACE	      "in"
#define BUFFER_SIZE   ((size_t)(1 * MIB))
#define PROGRESS_STEP (4 * MIB)
#define NAME_SIZE     24

int incoming_init(struct incoming *incoming, struct cop_store *store,
		  const struct cop_progress *progress, struct cop_error *err)
{
	int r;

	*incoming =
		(struct incoming){.store = store, .dir_fd = -EBADF, .progress = progress};
	incoming->buffer = malloc(BUFFER_SIZE);
	if (!incoming->buffer)
		return err_oom(err);
	r = workdir_new(store, "import-", NULL, &incoming->workdir, err);
	if (r == 0)
		r = staging_new(store, incoming->workdir, NULL, &incoming->staging, err);
	if (r < 0)
		return r;
	staging_place_init(&incoming->place, incoming->staging, PLACE);
	if (mkdirat(workdir_fd(incoming->workdir), PLACE, 0700) < 0)
		return err_errno(err, "make '%s' in '%s'", PLACE,
				 workdir_path(incoming->workdir));
	incoming->dir_fd = openat(workdir_fd(incoming->workdir), PLACE,
				  O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return incoming->dir_fd < 0 ? err_errno(err, "open '%s'", PLACE) : 0;
}

void incoming_done(struct incoming *incoming)
{
	closep(&incoming->dir_fd);
	incoming->staging = staging_free(incoming->staging);
	incoming->workdir = workdir_free(incoming->workdir);
	free(TAKE_PTR(incoming->buffer));
}

static void tell(struct incoming *incoming, const struct stream *stream)
{
	const struct cop_progress *progress = incoming->progress;
	uint64_t position = stream_position(stream);

	if (!progress || position - incoming->last_position < PROGRESS_STEP)
		return;
	incoming->last_position = position;
	progress->update(progress->data, "reading", position, 0, "bytes");
}

static char *file_name(uint64_t number, char name[NAME_SIZE])
{
	(void)snprintf(name, NAME_SIZE, "%llu", (unsigned long long)number);
	return name;
}

static int take_inline(struct stream *stream, size_t size, struct incoming *incoming,
		       struct layers *layers, struct tree_node *node,
		       struct cop_error *err)
{
	const struct tree_scan_options *guard = &incoming->place.options;
	char content[TREE_INLINE_MAX] = {0};
	const void *data;
	uint64_t offset;
	size_t n;
	int r;

	while ((r = stream_data(stream, &data, &n, &offset, err)) > 0) {
		if (offset > size || n > size - offset)
			return err_set(err, -EBADMSG, "more content than it says");
		memcpy(content + offset, data, n);
	}
	if (r < 0)
		return r;
	guard->lock(guard->data);
	r = tree_set_content(layers_tree(layers), node, content, size, err);
	guard->unlock(guard->data);
	return r;
}

/*
 * Pieces come in any size; they are gathered into blocks of a place, so that whole blocks
 * of zeros can be left out.
 */
struct gather {
	struct incoming *incoming;
	int fd;
	uint64_t start; /* of the buffer; a multiple of a block */
	size_t used;
};

static int flush(struct gather *gather, struct cop_error *err)
{
	int r = fs_pwrite_sparse(gather->fd, gather->incoming->buffer, gather->used,
				 gather->start);

	gather->start += gather->used;
	gather->used = 0;
	return r < 0 ? err_code(err, r, "write to store '%s'",
				cop_store_path(gather->incoming->store))
		     : 0;
}

static int skip_to(struct gather *gather, uint64_t offset, struct cop_error *err)
{
	uint64_t gap = offset - (gather->start + gather->used);
	size_t fill = (size_t)min_u64(gap, BUFFER_SIZE - gather->used);
	int r;

	memset(gather->incoming->buffer + gather->used, 0, fill);
	gather->used += fill;
	if (fill == gap)
		return 0;
	/* The buffer is full; what follows is a hole up to the block of @offset. */
	r = flush(gather, err);
	if (r < 0)
		return r;
	gather->start = offset - offset % FS_SPARSE_BLOCK;
	gather->used = (size_t)(offset - gather->start);
	memset(gather->incoming->buffer, 0, gather->used);
	return 0;
}

static int gather_piece(struct gather *gather, const uint8_t *data, size_t size,
			struct cop_error *err)
{
	int r = 0;

	while (size > 0 && r == 0) {
		size_t n = (size_t)min_u64(size, BUFFER_SIZE - gather->used);

		memcpy(gather->incoming->buffer + gather->used, data, n);
		gather->used += n;
		data += n;
		size -= n;
		if (gather->used == BUFFER_SIZE)
			r = flush(gather, err);
	}
	return r;
}

static int write_content(struct incoming *incoming, struct stream *stream, int fd,
			 uint64_t size, struct cop_error *err)
{
	struct gather gather = {.incoming = incoming, .fd = fd};
	const void *data;
	uint64_t offset;
	size_t n;
	int r;

	while ((r = stream_data(stream, &data, &n, &offset, err)) > 0) {
		if (offset < gather.start + gather.used || offset > size ||
		    n > size - offset)
			return err_set(err, -EBADMSG,
				       "its content does not fit its size");
		r = skip_to(&gather, offset, err);
		if (r == 0)
			r = gather_piece(&gather, data, n, err);
		if (r < 0)
			return r;
		tell(incoming, stream);
	}
	if (r == 0)
		r = flush(&gather, err);
	if (r == 0 && ftruncate(fd, (off_t)size) < 0)
		r = err_errno(err, "write to store '%s'",
			      cop_store_path(incoming->store));
	return r;
}

int incoming_take(struct incoming *incoming, struct stream *stream, uint64_t size,
		  struct layers *layers, struct layer_inode *inode, const char *path,
		  struct cop_error *err)
{
	const struct tree_scan_options *options = &incoming->place.options;
	auto_close int fd = -EBADF;
	char name[NAME_SIZE];
	struct stat st;
	int r;

	if (size > INT64_MAX)
		return err_set(err, -EFBIG, "'%s': too large", path);
	inode->node.size = size;
	if (size <= TREE_INLINE_MAX) {
		r = size ? take_inline(stream, (size_t)size, incoming, layers,
				       &inode->node, err)
			 : 0;
		return r < 0 ? err_prefix(err, r, "'%s'", path) : 0;
	}
	inode->number = ++incoming->n_files;
	fd = openat(incoming->dir_fd, file_name(inode->number, name),
		    O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_errno(err, "'%s': write to store '%s'", path,
				 cop_store_path(incoming->store));
	r = write_content(incoming, stream, fd, size, err);
	if (r < 0)
		return err_prefix(err, r, "'%s'", path);
	if (fstat(fd, &st) < 0)
		return err_errno(err, "'%s': stat", path);
	return options->content(options->data, layers_tree(layers), &inode->node,
				TAKE_FD(fd), &st, name, err);
}

static int open_inline(const struct tree_node *node, struct cop_error *err)
{
	auto_close int fd = memfd_create("content", MFD_CLOEXEC);
	int r;

	if (fd < 0)
		return err_errno(err, "make a file in memory");
	r = fs_write_all(fd, node->content, (size_t)node->size);
	if (r < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return err_code(err, r < 0 ? r : -errno, "write to memory");
	return TAKE_FD(fd);
}

int incoming_open(const struct incoming *incoming, const struct layer_inode *inode,
		  struct cop_error *err)
{
	char name[NAME_SIZE];
	int fd;

	if (inode->number == 0)
		return open_inline(&inode->node, err);
	fd = openat(incoming->dir_fd, file_name(inode->number, name),
		    O_RDONLY | O_CLOEXEC);
	return fd < 0 ? err_errno(err, "open '%s/%s'", PLACE, name) : fd;
}

int incoming_finish(struct incoming *incoming, struct cop_error *err)
{
	return staging_finish(incoming->staging, err);
}
