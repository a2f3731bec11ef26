/* SPDX-License-Identifier: Apache-2.0 */
/* A file, compressed as `zstd -1` does it on one thread: the static library knows no
 * others, and their jobs would show in the result. */
#include <sys/stat.h>
#include <zstd.h>

#include "modkit/options.h"
#include "modules/stages/pump.h"
#include "modules/stages/stages.h"

#define LEVEL 1

static int failed(size_t code, struct cop_error *err)
{
	return err_set(err, -EIO, "zstd: %s", ZSTD_getErrorName(code));
}

static int encode(void *data, const void *in, size_t size, bool is_last, int out_fd,
		  struct cop_error *err)
{
	const size_t room = ZSTD_CStreamOutSize();
	auto_free char *out = malloc(room);
	ZSTD_inBuffer input = {in, size, 0};
	size_t left;

	if (!out)
		return err_oom(err);
	do {
		ZSTD_outBuffer output = {out, room, 0};
		int r;

		left = ZSTD_compressStream2(data, &output, &input,
					    is_last ? ZSTD_e_end : ZSTD_e_continue);
		if (ZSTD_isError(left))
			return failed(left, err);
		r = pump_write(out_fd, out, output.pos, err);
		if (r < 0)
			return r;
	} while (is_last ? left > 0 : input.pos < input.size);
	return 0;
}

static int compress(int source, int target, ZSTD_CCtx *context, struct cop_error *err)
{
	const struct {
		ZSTD_cParameter parameter;
		int value;
	} parameters[] = {{ZSTD_c_compressionLevel, LEVEL}, {ZSTD_c_checksumFlag, 1}};
	struct stat st;
	size_t code = 0;

	if (fstat(source, &st) < 0)
		return err_errno(err, "stat the input file");
	for (size_t i = 0; i < ARRAY_SIZE(parameters) && !ZSTD_isError(code); i++)
		code = ZSTD_CCtx_setParameter(context, parameters[i].parameter,
					      parameters[i].value);
	if (!ZSTD_isError(code))
		code = ZSTD_CCtx_setPledgedSrcSize(context,
						   (unsigned long long)st.st_size);
	if (ZSTD_isError(code))
		return failed(code, err);
	return pump(source, target, &(struct pump_ops){encode, context}, err);
}

int stage_zstd(struct kit *kit)
{
	const char *filename = NULL;
	const struct option options[] = {NEEDED_TEXT("filename", filename)};
	auto_close int source = -EBADF, target = -EBADF;
	ZSTD_CCtx *context;
	int r = options_only(kit->options, "options", options, ARRAY_SIZE(options),
			     kit->err);

	if (r == 0)
		r = pump_open(kit, filename, &source, &target);
	if (r < 0)
		return r;
	context = ZSTD_createCCtx();
	if (!context)
		return err_oom(kit->err);
	r = compress(source, target, context, kit->err);
	(void)ZSTD_freeCCtx(context);
	return r;
}
