/* SPDX-License-Identifier: Apache-2.0 */
/* A .deb is an ar archive of two tar archives: the inner ones are read through the outer.
 */
#include "recipe/deb.h"

#include <archive.h>
#include <archive_entry.h>

#include "base/text.h"

#define CHUNK ((size_t)(64 * KIB))

struct inner {
	struct archive *outer;
	char chunk[CHUNK];
};

static void archive_done(struct archive **archive)
{
	if (*archive)
		(void)archive_read_free(*archive);
}

#define auto_archive cleanup_with(archive_done) struct archive

static ssize_t read_inner(struct archive *archive, void *data, const void **ret_bytes)
{
	struct inner *inner = data;
	ssize_t n = archive_read_data(inner->outer, inner->chunk, CHUNK);

	if (n < 0)
		archive_set_error(archive, archive_errno(inner->outer), "%s",
				  archive_error_string(inner->outer));
	*ret_bytes = inner->chunk;
	return n < 0 ? ARCHIVE_FATAL : n;
}

static int bad(struct archive *archive, const char *name, struct cop_error *err)
{
	const char *reason = archive_error_string(archive);

	return err_set(err, -EBADMSG, "read package '%s': %s", name,
		       reason ? reason : "damaged");
}

static int newest_in_member(struct archive *outer, const char *name, int64_t *newest,
			    struct cop_error *err)
{
	auto_free struct inner *inner = malloc(sizeof(*inner));
	auto_archive *tar = archive_read_new();
	struct archive_entry *entry;
	int r;

	if (!inner || !tar)
		return err_oom(err);
	inner->outer = outer;
	(void)archive_read_support_format_tar(tar);
	(void)archive_read_support_format_empty(tar);
	(void)archive_read_support_filter_gzip(tar);
	(void)archive_read_support_filter_xz(tar);
	(void)archive_read_support_filter_zstd(tar);
	(void)archive_read_support_filter_bzip2(tar);
	(void)archive_read_support_filter_lzma(tar);
	if (archive_read_open(tar, inner, NULL, read_inner, NULL) != ARCHIVE_OK)
		return bad(tar, name, err);
	while ((r = archive_read_next_header(tar, &entry)) == ARCHIVE_OK ||
	       r == ARCHIVE_WARN) {
		int64_t seconds = archive_entry_mtime(entry);

		if (seconds > *newest)
			*newest = seconds;
	}
	return r == ARCHIVE_EOF ? 0 : bad(tar, name, err);
}

int deb_newest_mtime(int fd, const char *name, int64_t *ret_seconds,
		     struct cop_error *err)
{
	auto_archive *deb = archive_read_new();
	struct archive_entry *entry;
	int64_t newest = 0;
	unsigned int n_tars = 0;
	int r;

	if (!deb)
		return err_oom(err);
	(void)archive_read_support_format_ar(deb);
	if (archive_read_open_fd(deb, fd, CHUNK) != ARCHIVE_OK)
		return bad(deb, name, err);
	while ((r = archive_read_next_header(deb, &entry)) == ARCHIVE_OK) {
		const char *member = archive_entry_pathname(entry);

		if (!member || (!text_starts_with(member, "control.tar") &&
				!text_starts_with(member, "data.tar")))
			continue;
		n_tars++;
		r = newest_in_member(deb, name, &newest, err);
		if (r < 0)
			return r;
	}
	if (r != ARCHIVE_EOF)
		return bad(deb, name, err);
	if (n_tars < 2)
		return err_set(err, -EBADMSG,
			       "read package '%s': it lacks control.tar or data.tar",
			       name);
	*ret_seconds = newest;
	return 0;
}
