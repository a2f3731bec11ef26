/* SPDX-License-Identifier: Apache-2.0 */
#include "archive/source.h"

#include <sys/types.h>
#include <zlib.h>

#define BUFFER_SIZE ((size_t)(128 * KIB))
#define GZIP_ONLY   (16 + MAX_WBITS)

struct source {
	int fd;
	uint64_t position;
	uint8_t *buffer;
	size_t used;
	bool started;
	bool is_gzip;
	bool in_member;
	bool at_end; /* of the file */
	uint8_t *unpacked;
	z_stream zlib;
};

struct source *source_free(struct source *source)
{
	if (!source)
		return NULL;
	(void)inflateEnd(&source->zlib);
	free(source->buffer);
	free(source->unpacked);
	free(source);
	return NULL;
}

int source_new(int fd, struct source **ret_source, struct cop_error *err)
{
	auto_ptr(source) source = calloc(1, sizeof(*source));

	if (!source)
		return err_oom(err);
	source->fd = fd;
	source->buffer = malloc(BUFFER_SIZE);
	source->unpacked = malloc(BUFFER_SIZE);
	if (!source->buffer || !source->unpacked ||
	    inflateInit2(&source->zlib, GZIP_ONLY) != Z_OK)
		return err_oom(err);
	*ret_source = TAKE_PTR(source);
	return 0;
}

uint64_t source_position(const struct source *source)
{
	return source->position;
}

/* At least @least bytes, unless the file ends. */
static int fill(struct source *source, size_t least, struct cop_error *err)
{
	source->used = 0;
	while (source->used < least && !source->at_end) {
		ssize_t n = read(source->fd, source->buffer + source->used,
				 BUFFER_SIZE - source->used);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(err, "read");
		source->at_end = n == 0;
		source->used += (size_t)n;
		source->position += (uint64_t)n;
	}
	return 0;
}

static int bad(struct cop_error *err, const char *why)
{
	return err_set(err, -EBADMSG, "not a sound archive: gzip: %s", why);
}

/* Behind a member there may be another one, or zeros up to the end of a tape's block. */
static int begin_member(struct source *source, struct cop_error *err)
{
	z_stream *zlib = &source->zlib;

	while (zlib->avail_in > 0 && *zlib->next_in == 0) {
		zlib->next_in++;
		zlib->avail_in--;
	}
	if (zlib->avail_in == 0)
		return 0;
	if (inflateReset(zlib) != Z_OK)
		return bad(err, "internal state is lost");
	source->in_member = true;
	return 0;
}

static ssize_t unpack(struct source *source, struct cop_error *err)
{
	z_stream *zlib = &source->zlib;
	int r;

	zlib->next_out = source->unpacked;
	zlib->avail_out = (uInt)BUFFER_SIZE;
	while (zlib->avail_out == BUFFER_SIZE) {
		if (zlib->avail_in == 0) {
			r = fill(source, 1, err);
			if (r < 0)
				return r;
			if (source->used == 0)
				return source->in_member ? bad(err, "it is cut off") : 0;
			zlib->next_in = source->buffer;
			zlib->avail_in = (uInt)source->used;
		}
		if (!source->in_member) {
			r = begin_member(source, err);
			if (r < 0)
				return r;
			continue;
		}
		r = inflate(zlib, Z_NO_FLUSH);
		if (r == Z_STREAM_END)
			source->in_member = false;
		else if (r == Z_MEM_ERROR)
			return err_oom(err);
		else if (r != Z_OK)
			return bad(err, zlib->msg ? zlib->msg : "damaged data");
	}
	return (ssize_t)(BUFFER_SIZE - zlib->avail_out);
}

ssize_t source_read(struct source *source, const void **ret_data, struct cop_error *err)
{
	int r = 0;

	if (!source->is_gzip || !source->started)
		r = fill(source, source->started ? 1 : 2, err);
	if (r < 0)
		return r;
	if (!source->started) {
		source->started = true;
		source->is_gzip = source->used >= 2 && source->buffer[0] == 0x1f &&
				  source->buffer[1] == 0x8b;
		source->in_member = source->is_gzip;
		source->zlib.next_in = source->buffer;
		source->zlib.avail_in = (uInt)source->used;
	}
	*ret_data = source->is_gzip ? source->unpacked : source->buffer;
	return source->is_gzip ? unpack(source, err) : (ssize_t)source->used;
}
