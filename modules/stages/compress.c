/* SPDX-License-Identifier: Apache-2.0 */
/* libarchive's filters around its "raw" format, which adds nothing of its own. */
#include "modules/stages/compress.h"

#include <archive.h>
#include <archive_entry.h>
#include <string.h>

#include "base/fs.h"
#include "base/text.h"

#define BUFFER ((size_t)(256 * KIB))

struct compressor {
	int fd;
	struct archive *archive; /* NULL: not compressed */
	char *buffer;
	size_t n_buffered;
};

struct compressor *compressor_free(struct compressor *compressor)
{
	if (!compressor)
		return NULL;
	if (compressor->archive)
		(void)archive_write_free(compressor->archive);
	free(compressor->buffer);
	free(compressor);
	return NULL;
}

static void compressor_freep(struct compressor **compressor)
{
	*compressor = compressor_free(*compressor);
}

static int failed(struct compressor *compressor, struct cop_error *err)
{
	const char *text = archive_error_string(compressor->archive);

	return err_set(err, -EIO, "compress: %s", text ? text : "unknown error");
}

static int add_filter(struct archive *archive, const char *kind)
{
	if (strcmp(kind, "xz") == 0)
		return archive_write_add_filter_xz(archive);
	if (strcmp(kind, "zstd") == 0)
		return archive_write_add_filter_zstd(archive);
	return archive_write_add_filter_gzip(archive);
}

static int start_filter(struct compressor *compressor, const char *kind,
			struct cop_error *err)
{
	struct archive *archive = compressor->archive = archive_write_new();
	struct archive_entry *entry = archive_entry_new();
	int r = 0;

	if (!archive || !entry) {
		archive_entry_free(entry);
		return err_oom(err);
	}
	archive_entry_set_filetype(entry, AE_IFREG);
	archive_entry_set_pathname(entry, "archive");
	if (archive_write_set_format_raw(archive) != ARCHIVE_OK ||
	    add_filter(archive, kind) != ARCHIVE_OK)
		r = failed(compressor, err);
	/* The time of compressing is not content; nor is padding at the end. */
	if (r == 0 && strcmp(kind, "gzip") == 0 &&
	    archive_write_set_filter_option(archive, "gzip", "timestamp", NULL) !=
		    ARCHIVE_OK)
		r = failed(compressor, err);
	if (r == 0 && (archive_write_set_bytes_in_last_block(archive, 1) != ARCHIVE_OK ||
		       archive_write_open_fd(archive, compressor->fd) != ARCHIVE_OK ||
		       archive_write_header(archive, entry) != ARCHIVE_OK))
		r = failed(compressor, err);
	archive_entry_free(entry);
	return r;
}

static int find_kind(const char *name, const char **ret_kind, struct cop_error *err)
{
	static const struct {
		const char *ending, *kind;
	} endings[] = {
		{".gz", "gzip"}, {".tgz", "gzip"}, {".taz", "gzip"},  {".xz", "xz"},
		{".txz", "xz"},	 {".zst", "zstd"}, {".tzst", "zstd"}, {".bz2", ""},
		{".tbz2", ""},	 {".tbz", ""},	   {".lz", ""},	      {".lzma", ""},
		{".tlz", ""},	 {".lzo", ""},	   {".Z", ""},
	};

	for (size_t i = 0; i < ARRAY_SIZE(endings); i++) {
		if (!text_ends_with(name, endings[i].ending))
			continue;
		if (!endings[i].kind[0])
			return err_set(err, -EOPNOTSUPP,
				       "'%s': only .gz, .xz and .zst compression is "
				       "known",
				       name);
		*ret_kind = endings[i].kind;
		return 0;
	}
	return 0;
}

int compressor_new(int fd, const char *name, struct compressor **ret,
		   struct cop_error *err)
{
	cleanup_with(compressor_freep) struct compressor *compressor =
		calloc(1, sizeof(*compressor));
	const char *kind = NULL;
	int r;

	if (!compressor)
		return err_oom(err);
	compressor->fd = fd;
	compressor->buffer = malloc(BUFFER);
	if (!compressor->buffer)
		return err_oom(err);
	r = find_kind(name, &kind, err);
	if (r == 0 && kind)
		r = start_filter(compressor, kind, err);
	if (r == 0)
		*ret = TAKE_PTR(compressor);
	return r;
}

static int flush(struct compressor *compressor, struct cop_error *err)
{
	int r;

	if (compressor->archive) {
		if (archive_write_data(compressor->archive, compressor->buffer,
				       compressor->n_buffered) < 0)
			return failed(compressor, err);
	} else {
		r = fs_write_all(compressor->fd, compressor->buffer,
				 compressor->n_buffered);
		if (r < 0)
			return err_code(err, r, "write");
	}
	compressor->n_buffered = 0;
	return 0;
}

int compressor_write(struct compressor *compressor, const void *data, size_t size,
		     struct cop_error *err)
{
	const char *bytes = data;

	while (size > 0) {
		size_t n = BUFFER - compressor->n_buffered;
		int r;

		if (n > size)
			n = size;
		memcpy(compressor->buffer + compressor->n_buffered, bytes, n);
		compressor->n_buffered += n;
		bytes += n;
		size -= n;
		if (compressor->n_buffered < BUFFER)
			continue;
		r = flush(compressor, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int compressor_finish(struct compressor *compressor, struct cop_error *err)
{
	int r = flush(compressor, err);

	if (r == 0 && compressor->archive &&
	    archive_write_close(compressor->archive) != ARCHIVE_OK)
		r = failed(compressor, err);
	return r;
}
