/* SPDX-License-Identifier: Apache-2.0 */
/* Files that are in the manifest itself: base64, or LZMA (xz or the older one) in it. */
#include <lzma.h>
#include <string.h>

#include "modules/sources/cache.h"
#include "modules/sources/sources.h"
#include "json/json.h"

/* A few bytes of LZMA can stand for terabytes. */
#define UNPACKED_MAX (16 * GIB)
#define LZMA_MEMORY  (512 * MIB)

static int digit_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+')
		return 62;
	return c == '/' ? 63 : -1;
}

/* White space between digits is allowed, as in every base64 that was wrapped. */
static int decode_base64(const char *text, struct buf *bytes, struct cop_error *err)
{
	uint32_t bits = 0;
	unsigned int n_digits = 0, n_pads = 0;

	for (; *text; text++) {
		int value = digit_value(*text);

		if (strchr(" \t\r\n", *text))
			continue;
		if (*text == '=' && n_digits % 4 >= 2 && n_pads < 2) {
			n_pads++;
			continue;
		}
		if (value < 0 || n_pads > 0)
			return err_set(err, -EINVAL, "the data is not base64");
		bits = bits << 6 | (uint32_t)value;
		if (++n_digits % 4 == 0) {
			(void)buf_append_char(bytes, (char)(bits >> 16));
			(void)buf_append_char(bytes, (char)(bits >> 8));
			(void)buf_append_char(bytes, (char)bits);
		}
	}
	if (n_digits % 4 == 1 || (n_pads > 0 && n_digits % 4 + n_pads != 4) ||
	    (n_pads == 0 && n_digits % 4 != 0))
		return err_set(err, -EINVAL, "the data is cut off base64");
	if (n_digits % 4 == 2)
		(void)buf_append_char(bytes, (char)(bits >> 4));
	if (n_digits % 4 == 3) {
		(void)buf_append_char(bytes, (char)(bits >> 10));
		(void)buf_append_char(bytes, (char)(bits >> 2));
	}
	return bytes->failed ? err_oom(err) : 0;
}

static int unpack_stream(lzma_stream *stream, struct cache_file *file,
			 struct cop_error *err)
{
	uint8_t out[8192];
	lzma_ret result;
	int r;

	do {
		stream->next_out = out;
		stream->avail_out = sizeof(out);
		result = lzma_code(stream, LZMA_FINISH);
		r = cache_file_write(file, out, sizeof(out) - stream->avail_out, err);
		if (r < 0)
			return r;
		if (file->size > UNPACKED_MAX)
			return err_set(err, -EFBIG, "unpacked, the data is too large");
	} while (result == LZMA_OK);
	if (result == LZMA_MEM_ERROR)
		return err_oom(err);
	if (result != LZMA_STREAM_END)
		return err_set(err, -EINVAL, "the data is not LZMA, or damaged");
	return 0;
}

static int unpack(const struct buf *packed, struct cache_file *file,
		  struct cop_error *err)
{
	lzma_stream stream = LZMA_STREAM_INIT;
	int r;

	if (lzma_auto_decoder(&stream, LZMA_MEMORY, LZMA_CONCATENATED) != LZMA_OK)
		return err_oom(err);
	stream.next_in = (const uint8_t *)packed->data;
	stream.avail_in = packed->size;
	r = unpack_stream(&stream, file, err);
	lzma_end(&stream);
	return r;
}

static int write_item(struct cache_file *file, const json_t *item, struct cop_error *err)
{
	const char *encoding, *data;
	auto_buf bytes = {};
	int r = json_get_string(item, "encoding", "item", &encoding, err);

	if (r == 0)
		r = json_get_string(item, "data", "item", &data, err);
	if (r == 0)
		r = decode_base64(data, &bytes, err);
	if (r < 0)
		return r;
	if (strcmp(encoding, "base64") == 0)
		return cache_file_write(file, bytes.data, bytes.size, err);
	if (strcmp(encoding, "lzma+base64") == 0)
		return unpack(&bytes, file, err);
	return err_set(err, -EINVAL, "unknown encoding '%.40s'", encoding);
}

static int take_item(const struct cache *cache, const char *name, const json_t *item,
		     struct cop_error *err)
{
	struct cache_file file = {.fd = -EBADF};
	int r = cache_file_open(cache, name, &file, err);

	if (r == 0)
		r = write_item(&file, item, err);
	if (r < 0)
		(void)err_prefix(err, r, "item %s", name);
	else
		r = cache_file_keep(&file, "inline data", err);
	cache_file_done(&file);
	return r;
}

int source_inline(struct service_call *call, const char *method, json_t *arguments,
		  json_t **ret_reply, struct cop_error *err)
{
	auto_cache cache = {.fd = -EBADF};
	json_t *results, *items, *item;
	const char *name;
	int r;

	if (strcmp(method, "download") != 0)
		return err_set(err, -EOPNOTSUPP, "there is no method '%.40s'", method);
	r = json_get_object(arguments, "items", "arguments", &items, err);
	if (r == 0)
		r = cache_open(arguments, &cache, err);
	if (r < 0)
		return r;
	results = json_array();
	json_object_foreach (items, name, item) {
		struct cop_error reason = {};
		bool there = cache_has(&cache, name);

		if (!there)
			(void)take_item(&cache, name, item, &reason);
		(void)json_array_append_new(
			results,
			source_result(name, there, reason.code < 0 ? &reason : NULL));
	}
	return source_reply(call, results, ret_reply, err);
}
