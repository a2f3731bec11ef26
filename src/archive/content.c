/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Read twice where it does not fit a buffer: once to prove it, once to write it.  What is
 * a hole follows from the content alone, not from how this disk keeps it.
 */
#include "archive/content.h"

#include "base/fs.h"
#include "base/mutant.h"
#include "store/object.h"

#define BUFFER_SIZE ((size_t)(1 * MIB))
#define HOLE_MIN    ((uint64_t)(1 * MIB))

int content_init(struct content *content, struct cop_store *store, struct cop_error *err)
{
	*content = (struct content){.store = store, .fd = -EBADF};
	content->verity = verity_new(err);
	content->buffer = malloc(BUFFER_SIZE);
	return content->verity && content->buffer ? 0 : err_oom(err);
}

void content_close(struct content *content)
{
	closep(&content->fd);
	content->fd = -EBADF;
	content->node = NULL;
}

void content_done(struct content *content)
{
	content_close(content);
	content->verity = verity_free(content->verity);
	free(TAKE_PTR(content->buffer));
	buf_done(&content->segments);
}

static int damaged(const struct tree_node *node, struct cop_error *err)
{
	char hex[COP_DIGEST_HEX + 1];

	return err_set(err, -EUCLEAN, "file '%s' of the pool is damaged",
		       cop_digest_to_hex(node->digest, hex));
}

/* Zeros that go on, perhaps over many buffers. */
struct run {
	struct content *content;
	uint64_t data_start; /* of the segment that is open */
	uint64_t zero_start;
	uint64_t at;
	bool in_zeros;
};

static int add_segment(struct content *content, uint64_t offset, uint64_t end)
{
	const struct segment segment = {.offset = offset, .size = end - offset};

	content->n_data += segment.size;
	return segment.size ? buf_append(&content->segments, &segment, sizeof(segment))
			    : 0;
}

static void add_run(struct run *run, uint64_t size, bool zeros)
{
	if (zeros && !run->in_zeros)
		run->zero_start = run->at;
	if (!zeros && run->in_zeros && run->at - run->zero_start >= HOLE_MIN) {
		(void)add_segment(run->content, run->data_start, run->zero_start);
		run->data_start = run->at;
	}
	run->in_zeros = zeros;
	run->at += size;
}

static int end_run(struct run *run)
{
	bool hole = run->in_zeros && run->at - run->zero_start >= HOLE_MIN;

	return add_segment(run->content, run->data_start,
			   hole ? run->zero_start : run->at);
}

static void look_for_zeros(struct run *run, const uint8_t *data, size_t size)
{
	for (size_t at = 0; at < size; at += FS_SPARSE_BLOCK) {
		size_t n = (size_t)min_u64(FS_SPARSE_BLOCK, size - at);

		add_run(run, n,
			data[at] == 0 && memcmp(data + at, data + at + 1, n - 1) == 0);
	}
}

/* Where data begin at or behind @at, in whole blocks. */
static uint64_t next_data(const struct content *content, uint64_t at)
{
	uint64_t size = content->node->size;
	off_t data = lseek(content->fd, (off_t)at, SEEK_DATA);

	if (data < 0)
		return errno == ENXIO ? size : at;
	if ((uint64_t)data >= size)
		return size;
	return max_u64(at, (uint64_t)data - (uint64_t)data % FS_SPARSE_BLOCK);
}

static int read_piece(struct content *content, uint64_t at, size_t *ret_size,
		      struct cop_error *err)
{
	size_t wanted = (size_t)min_u64(content->node->size - at, BUFFER_SIZE);
	ssize_t n = fs_pread_full(content->fd, content->buffer, wanted, at);

	if (n < 0)
		return err_code(err, (int)n, "read from store '%s'",
				cop_store_path(content->store));
	*ret_size = (size_t)n;
	return (size_t)n < wanted ? damaged(content->node, err) : 0;
}

static int prove(struct content *content, struct cop_error *err)
{
	uint64_t size = content->node->size;
	struct run run = {.content = content};
	struct cop_digest digest;
	size_t n = 0;
	int r = 0;

	while (r == 0 && run.at < size) {
		uint64_t data = content->in_buffer ? run.at : next_data(content, run.at);

		if (data > run.at) {
			r = verity_update_zeros(content->verity, data - run.at, err);
			add_run(&run, data - run.at, true);
			continue;
		}
		r = read_piece(content, run.at, &n, err);
		if (r == 0)
			r = verity_update(content->verity, content->buffer, n, err);
		if (r == 0)
			look_for_zeros(&run, content->buffer, n);
	}
	if (r < 0) {
		/* Empty the hash for the next file. */
		(void)verity_end(content->verity, &digest, NULL);
		return r;
	}
	r = verity_end(content->verity, &digest, err);
	if (r == 0 && !cop_digest_equal(&digest, content->node->digest) &&
	    !mutant("export-digest"))
		r = damaged(content->node, err);
	if (r == 0 && end_run(&run) < 0)
		r = err_oom(err);
	return r;
}

int content_open(struct content *content, const struct tree_node *node,
		 struct cop_error *err)
{
	buf_truncate(&content->segments, 0);
	content->n_data = 0;
	content->node = node;
	content->in_buffer = node->content || node->size <= BUFFER_SIZE;
	if (node->content) {
		memcpy(content->buffer, node->content, (size_t)node->size);
		return 0;
	}
	content->fd = pool_open_file(content->store, node->digest, node->size, err);
	return content->fd < 0 ? content->fd : prove(content, err);
}

static int write_range(struct content *content, uint64_t at, uint64_t end,
		       struct output *output, struct cop_error *err)
{
	size_t n = 0;
	int r = 0;

	while (r == 0 && at < end) {
		r = read_piece(content, at, &n, err);
		if (r == 0 && n > end - at)
			n = (size_t)(end - at);
		if (r == 0)
			r = output_write(output, content->buffer, n, err);
		at += n;
	}
	return r;
}

int content_write(struct content *content, bool only_segments, struct output *output,
		  struct cop_error *err)
{
	const struct segment *list;
	size_t n;
	int r = 0;

	/* What was proven is still in the buffer. */
	if (content->in_buffer)
		return output_write(output, content->buffer, (size_t)content->node->size,
				    err);
	if (!only_segments)
		return write_range(content, 0, content->node->size, output, err);
	list = content_segments(content, &n);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = write_range(content, list[i].offset, list[i].offset + list[i].size,
				output, err);
	return r;
}
