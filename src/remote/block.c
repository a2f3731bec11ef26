/* SPDX-License-Identifier: Apache-2.0 */
#include "remote/block.h"

#include <string.h>
#include <zstd.h>

#define LEVEL	   3
#define TREE_LEVEL 9
/* Text and dictionary must fit: the farthest that a reader will look back. */
#define TREE_WINDOW_LOG 27
/* Packed to more than this part of itself, a block is stored as it is. */
#define WORTH_NUM 15
#define WORTH_DEN 16

struct packer {
	ZSTD_CCtx *compress;
	ZSTD_DCtx *decompress;
};

struct packer *packer_new(struct cop_error *err)
{
	struct packer *packer = calloc(1, sizeof(*packer));

	if (packer) {
		packer->compress = ZSTD_createCCtx();
		packer->decompress = ZSTD_createDCtx();
	}
	if (packer && packer->compress && packer->decompress)
		return packer;
	(void)err_oom(err);
	return packer_free(packer);
}

struct packer *packer_free(struct packer *packer)
{
	if (!packer)
		return NULL;
	(void)ZSTD_freeCCtx(packer->compress);
	(void)ZSTD_freeDCtx(packer->decompress);
	free(packer);
	return NULL;
}

static int pack_failed(size_t code, struct cop_error *err)
{
	return err_set(err, -EIO, "zstd: %s", ZSTD_getErrorName(code));
}

static int bad_frame(const char *why, struct cop_error *err)
{
	return err_set(err, -EBADMSG, "packed data is damaged: %s", why);
}

int block_pack(struct packer *packer, const void *data, size_t size, struct buf *out,
	       enum block_codec *ret_codec, struct cop_error *err)
{
	size_t n;

	if (buf_reserve(out, ZSTD_compressBound(size)) < 0)
		return err_oom(err);
	n = ZSTD_compressCCtx(packer->compress, out->data + out->size,
			      out->capacity - out->size - 1, data, size, LEVEL);
	if (ZSTD_isError(n))
		return pack_failed(n, err);
	if (n > size / WORTH_DEN * WORTH_NUM) {
		memcpy(out->data + out->size, data, size);
		n = size;
		*ret_codec = BLOCK_STORED;
	} else {
		*ret_codec = BLOCK_ZSTD;
	}
	out->size += n;
	return 0;
}

int block_unpack(struct packer *packer, const struct block *block, const void *stored,
		 void *data, struct cop_error *err)
{
	size_t n;

	if (block->codec == BLOCK_STORED) {
		if (block->stored_size != block->size)
			return bad_frame("a stored block has two sizes", err);
		memcpy(data, stored, block->size);
		return 0;
	}
	if (block->codec != BLOCK_ZSTD)
		return bad_frame("not a block of files", err);
	n = ZSTD_decompressDCtx(packer->decompress, data, block->size, stored,
				block->stored_size);
	if (ZSTD_isError(n))
		return bad_frame(ZSTD_getErrorName(n), err);
	return n == block->size ? 0 : bad_frame("another size than declared", err);
}

int frame_pack(const void *data, size_t size, struct buf *out, struct cop_error *err)
{
	size_t n;

	if (buf_reserve(out, ZSTD_compressBound(size)) < 0)
		return err_oom(err);
	n = ZSTD_compress(out->data + out->size, out->capacity - out->size - 1, data,
			  size, LEVEL);
	if (ZSTD_isError(n))
		return pack_failed(n, err);
	out->size += n;
	return 0;
}

int frame_unpack(const void *stored, size_t stored_size, void *data, size_t size,
		 struct cop_error *err)
{
	size_t n;

	if (ZSTD_getFrameContentSize(stored, stored_size) != size)
		return bad_frame("another size than declared", err);
	n = ZSTD_decompress(data, size, stored, stored_size);
	if (ZSTD_isError(n))
		return bad_frame(ZSTD_getErrorName(n), err);
	return n == size ? 0 : bad_frame("another size than declared", err);
}

static void free_compressor(ZSTD_CCtx **context)
{
	(void)ZSTD_freeCCtx(*context);
}

static void free_decompressor(ZSTD_DCtx **context)
{
	(void)ZSTD_freeDCtx(*context);
}

/* Just large enough for text and dictionary: the window costs the reader memory. */
static int window_log(size_t size)
{
	int log = 20;

	while (log < TREE_WINDOW_LOG && ((size_t)1 << log) < size)
		log++;
	return log;
}

int tree_pack(const char *text, size_t size, const struct cop_digest *base_id,
	      const struct buf *base, struct buf *out, struct cop_error *err)
{
	cleanup_with(free_compressor) ZSTD_CCtx *context = ZSTD_createCCtx();
	size_t n;

	if (!context || buf_append(out, base_id->bytes, sizeof(base_id->bytes)) < 0 ||
	    buf_reserve(out, ZSTD_compressBound(size)) < 0)
		return err_oom(err);
	(void)ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, TREE_LEVEL);
	(void)ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
	(void)ZSTD_CCtx_setParameter(context, ZSTD_c_enableLongDistanceMatching, 1);
	(void)ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog,
				     window_log(size + base->size));
	(void)ZSTD_CCtx_refPrefix(context, base->data, base->size);
	n = ZSTD_compress2(context, out->data + out->size, out->capacity - out->size - 1,
			   text, size);
	if (ZSTD_isError(n))
		return pack_failed(n, err);
	out->size += n;
	return 0;
}

int tree_block_base(const void *stored, size_t stored_size, struct cop_digest *ret_base,
		    struct cop_error *err)
{
	if (stored_size <= COP_DIGEST_SIZE)
		return bad_frame("a tree is cut short", err);
	memcpy(ret_base->bytes, stored, COP_DIGEST_SIZE);
	return 0;
}

int tree_unpack(const void *stored, size_t stored_size, const struct buf *base,
		size_t size, struct buf *text, struct cop_error *err)
{
	cleanup_with(free_decompressor) ZSTD_DCtx *context = ZSTD_createDCtx();
	ZSTD_inBuffer in = {.src = stored, .size = stored_size, .pos = COP_DIGEST_SIZE};
	size_t n = 1;

	if (!context)
		return err_oom(err);
	if (stored_size <= COP_DIGEST_SIZE || size > DUMP_MAX)
		return bad_frame("a tree of impossible size", err);
	(void)ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, TREE_WINDOW_LOG);
	(void)ZSTD_DCtx_refPrefix(context, base->data, base->size);
	while (n != 0) {
		size_t before = text->size;
		ZSTD_outBuffer out;

		if (buf_reserve(text, ZSTD_DStreamOutSize()) < 0)
			return err_oom(err);
		out = (ZSTD_outBuffer){
			.dst = text->data, .size = text->capacity - 1, .pos = text->size};
		n = ZSTD_decompressStream(context, &out, &in);
		if (ZSTD_isError(n))
			return bad_frame(ZSTD_getErrorName(n), err);
		text->size = out.pos;
		if (text->size > size)
			return bad_frame("a tree is larger than declared", err);
		if (n != 0 && text->size == before && in.pos == in.size)
			return bad_frame("a tree is cut short", err);
	}
	text->data[text->size] = '\0';
	return text->size == size ? 0 : bad_frame("a tree is smaller than declared", err);
}
