/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two readers of libarchive, one on top of the other: the outer one only decompresses,
 * the inner one only takes tar apart.  So everything is read to the end of the compressed
 * stream, where its checksum stands, and it is seen whether the end mark of the archive
 * was there.
 */
#include "archive/stream.h"

#include <string.h>

#include "archive/source.h"
#include "base/mutant.h"

/* Two blocks of zeros. */
#define END_MARK 1024

struct stream {
	struct source *source;
	struct archive *outer;
	struct archive *inner;
	struct cop_error
		failure;  /* of the source: libarchive only knows that there is one */
	uint64_t n_zeros; /* at the end of what was decompressed so far */
};

struct stream *stream_free(struct stream *stream)
{
	if (!stream)
		return NULL;
	if (stream->inner)
		(void)archive_read_free(stream->inner);
	if (stream->outer)
		(void)archive_read_free(stream->outer);
	source_free(stream->source);
	free(stream);
	return NULL;
}

static int bad(const struct stream *stream, struct archive *archive,
	       struct cop_error *err)
{
	const char *text = archive_error_string(archive);

	if (stream->failure.code < 0)
		return err_copy(err, &stream->failure);
	if (archive_errno(archive) == ENOMEM)
		return err_oom(err);
	return err_set(err, -EBADMSG, "not a sound archive: %s",
		       text ? text : "unknown error");
}

static void count_zeros(struct stream *stream, const uint8_t *data, size_t size)
{
	size_t n = 0;

	while (n < size && data[size - 1 - n] == 0)
		n++;
	stream->n_zeros = n == size ? stream->n_zeros + n : n;
}

static la_ssize_t read_source(struct archive *outer, void *data, const void **ret_block)
{
	struct stream *stream = data;
	ssize_t n = source_read(stream->source, ret_block, &stream->failure);

	if (n < 0)
		archive_set_error(outer, EIO, "%s", stream->failure.message);
	return n < 0 ? -1 : (la_ssize_t)n;
}

static la_ssize_t read_outer(struct archive *inner, void *data, const void **ret_block)
{
	struct stream *stream = data;
	la_int64_t offset;
	size_t size = 0;
	int r;

	do {
		r = archive_read_data_block(stream->outer, ret_block, &size, &offset);
	} while (r == ARCHIVE_OK && size == 0);
	if (r == ARCHIVE_EOF)
		return 0;
	if (r != ARCHIVE_OK) {
		archive_set_error(inner, archive_errno(stream->outer), "%s",
				  archive_error_string(stream->outer));
		return -1;
	}
	count_zeros(stream, *ret_block, size);
	return (la_ssize_t)size;
}

static int open_outer(struct stream *stream, int fd, struct cop_error *err)
{
	struct archive_entry *entry;
	int r;

	r = source_new(fd, &stream->source, err);
	if (r < 0)
		return r;
	stream->outer = archive_read_new();
	if (!stream->outer)
		return err_oom(err);
	/* Warnings of the filters only say that a program would be used. */
	if (archive_read_support_filter_bzip2(stream->outer) < ARCHIVE_WARN ||
	    archive_read_support_filter_xz(stream->outer) < ARCHIVE_WARN ||
	    archive_read_support_filter_zstd(stream->outer) < ARCHIVE_WARN ||
	    archive_read_support_format_raw(stream->outer) < ARCHIVE_WARN ||
	    archive_read_support_format_empty(stream->outer) < ARCHIVE_WARN ||
	    archive_read_open(stream->outer, stream, NULL, read_source, NULL) !=
		    ARCHIVE_OK)
		return bad(stream, stream->outer, err);
	r = archive_read_next_header(stream->outer, &entry);
	if (r == ARCHIVE_EOF)
		return err_set(err, -EBADMSG, "not a sound archive: it is empty");
	return r == ARCHIVE_OK ? 0 : bad(stream, stream->outer, err);
}

int stream_open(int fd, struct stream **ret_stream, struct cop_error *err)
{
	auto_ptr(stream) stream = calloc(1, sizeof(*stream));
	int r;

	if (!stream)
		return err_oom(err);
	r = open_outer(stream, fd, err);
	if (r < 0)
		return r;
	stream->inner = archive_read_new();
	if (!stream->inner)
		return err_oom(err);
	if (archive_read_support_format_tar(stream->inner) != ARCHIVE_OK ||
	    archive_read_open(stream->inner, stream, NULL, read_outer, NULL) !=
		    ARCHIVE_OK)
		return bad(stream, stream->inner, err);
	*ret_stream = TAKE_PTR(stream);
	return 0;
}

static int read_end(struct stream *stream, struct cop_error *err)
{
	const void *block;
	la_ssize_t n;

	if (stream->n_zeros < END_MARK && !mutant("end-mark"))
		return err_set(err, -EBADMSG,
			       "not a sound archive: it is cut off: no end mark");
	do {
		n = read_outer(stream->inner, stream, &block);
	} while (n > 0);
	return n < 0 ? bad(stream, stream->outer, err) : 0;
}

/* Names are bytes for us: that they are not of the charset of this locale, of which
 * libarchive warns after it has left them as they are, means nothing. */
static bool is_about_charset(struct archive *archive)
{
	const char *text = archive_error_string(archive);

	return text && strstr(text, "can't be converted from") != NULL;
}

int stream_next(struct stream *stream, struct archive_entry **ret_entry,
		struct cop_error *err)
{
	int r = archive_read_next_header(stream->inner, ret_entry);

	if (r == ARCHIVE_EOF)
		return read_end(stream, err);
	if (r == ARCHIVE_OK || (r == ARCHIVE_WARN && is_about_charset(stream->inner)))
		return 1;
	return bad(stream, stream->inner, err);
}

int stream_data(struct stream *stream, const void **ret_data, size_t *ret_size,
		uint64_t *ret_offset, struct cop_error *err)
{
	la_int64_t offset = 0;
	int r = archive_read_data_block(stream->inner, ret_data, ret_size, &offset);

	if (r == ARCHIVE_EOF)
		return 0;
	if (r != ARCHIVE_OK || offset < 0)
		return bad(stream, stream->inner, err);
	*ret_offset = (uint64_t)offset;
	return 1;
}

uint64_t stream_position(const struct stream *stream)
{
	return source_position(stream->source);
}
