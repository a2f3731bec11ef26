/* SPDX-License-Identifier: Apache-2.0 */
#include "modules/stages/xz.h"

#include <lzma.h>

#include "base/work.h"
#include "modules/stages/pump.h"

#define PRESET 0
#define OUTPUT ((size_t)(256 * KIB))

static const char *describe(lzma_ret code)
{
	return code == LZMA_MEM_ERROR	    ? "out of memory"
	       : code == LZMA_OPTIONS_ERROR ? "options that the library does not know"
					    : "the library failed";
}

static int encode(void *data, const void *in, size_t size, bool is_last, int out_fd,
		  struct cop_error *err)
{
	lzma_stream *stream = data;
	auto_free uint8_t *out = malloc(OUTPUT);
	lzma_ret code = LZMA_OK;

	if (!out)
		return err_oom(err);
	stream->next_in = in;
	stream->avail_in = size;
	while (code == LZMA_OK && (is_last || stream->avail_in > 0)) {
		int r;

		stream->next_out = out;
		stream->avail_out = OUTPUT;
		code = lzma_code(stream, is_last ? LZMA_FINISH : LZMA_RUN);
		r = pump_write(out_fd, out, OUTPUT - stream->avail_out, err);
		if (r < 0)
			return r;
	}
	if (code != LZMA_OK && code != LZMA_STREAM_END)
		return err_set(err, -EIO, "xz: %s", describe(code));
	return 0;
}

int xz_compress(int source, int target, struct cop_error *err)
{
	lzma_stream stream = LZMA_STREAM_INIT;
	const lzma_mt options = {
		.threads = work_default_threads(),
		.preset = PRESET,
		.check = LZMA_CHECK_CRC64,
	};
	lzma_ret code = lzma_stream_encoder_mt(&stream, &options);
	int r;

	if (code != LZMA_OK)
		return err_set(err, -EIO, "xz: %s", describe(code));
	r = pump(source, target, &(struct pump_ops){encode, &stream}, err);
	lzma_end(&stream);
	return r;
}
