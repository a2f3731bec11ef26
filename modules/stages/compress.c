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

static int failed(struct compressor *compressor, struct cop_error *err)
{
	const char *text = archive_error_string(compressor->archive);

	return err_set(err, -EIO, "compress: %s", text ? text : "unknown error");
}

static int add_lzop(struct archive *archive)
{
	return archive_write_add_filter_program(archive, "lzop");
}

static const struct {
	const char *kind;
	int (*add)(struct archive *archive);
} filters[] = {
	{"bzip2", archive_write_add_filter_bzip2},
	{"compress", archive_write_add_filter_compress},
	{"gzip", archive_write_add_filter_gzip},
	{"lzip", archive_write_add_filter_lzip},
	{"lzma", archive_write_add_filter_lzma},
	{"lzop", add_lzop},
	{"xz", archive_write_add_filter_xz},
	{"zstd", archive_write_add_filter_zstd},
};

/* Return: the place in the table, or its size. */
static size_t find_filter(const char *kind)
{
	size_t i = 0;

	while (i < ARRAY_SIZE(filters) && strcmp(filters[i].kind, kind) != 0)
		i++;
	return i;
}

static int start_filter(struct compressor *compressor, const char *kind,
			struct cop_error *err)
{
	struct archive *archive = compressor->archive = archive_write_new();
	struct archive_entry *entry = archive_entry_new();
	size_t filter = find_filter(kind);
	int r = 0;

	if (!archive || !entry) {
		archive_entry_free(entry);
		return err_oom(err);
	}
	if (filter == ARRAY_SIZE(filters)) {
		archive_entry_free(entry);
		return err_set(err, -EINVAL, "compression '%s' is not known", kind);
	}
	archive_entry_set_filetype(entry, AE_IFREG);
	archive_entry_set_pathname(entry, "archive");
	if (archive_write_set_format_raw(archive) != ARCHIVE_OK ||
	    filters[filter].add(archive) != ARCHIVE_OK)
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

const char *compressor_kind(const char *name)
{
	static const struct {
		const char *ending, *kind;
	} endings[] = {
		{".gz", "gzip"},    {".tgz", "gzip"},	  {".taz", "gzip"},
		{".xz", "xz"},	    {".txz", "xz"},	  {".zst", "zstd"},
		{".tzst", "zstd"},  {".bz2", "bzip2"},	  {".tbz2", "bzip2"},
		{".tbz", "bzip2"},  {".tz2", "bzip2"},	  {".lz", "lzip"},
		{".lzma", "lzma"},  {".tlz", "lzma"},	  {".lzo", "lzop"},
		{".Z", "compress"}, {".taZ", "compress"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(endings); i++)
		if (text_ends_with(name, endings[i].ending))
			return endings[i].kind;
	return "none";
}

int compressor_new(int fd, const char *kind, struct compressor **ret,
		   struct cop_error *err)
{
	auto_ptr(compressor) compressor = calloc(1, sizeof(*compressor));
	int r = 0;

	if (!compressor)
		return err_oom(err);
	compressor->fd = fd;
	compressor->buffer = malloc(BUFFER);
	if (!compressor->buffer)
		return err_oom(err);
	if (strcmp(kind, "none") != 0)
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
