/* SPDX-License-Identifier: Apache-2.0 */
#include "modules/stages/deb.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"

#define BLOCK_SIZE  ((size_t)(128 * KIB))
#define CONTROL_MAX ((uint64_t)(1 * MIB))

static const char control_member[] = "control.tar", data_member[] = "data.tar";

struct deb {
	char *path;
	struct archive *outer;
	struct archive *inner; /* the tar archive that was opened last */
	const char *member;    /* its name */
};

struct deb *deb_free(struct deb *deb)
{
	if (!deb)
		return NULL;
	if (deb->inner)
		(void)archive_read_free(deb->inner);
	if (deb->outer)
		(void)archive_read_free(deb->outer);
	free(deb->path);
	free(deb);
	return NULL;
}

static int bad(struct deb *deb, struct archive *archive, struct cop_error *err)
{
	const char *text = archive_error_string(archive);

	return err_set(err, -EBADMSG, "'%s' is not a sound Debian package: %s", deb->path,
		       text ? text : "unknown error");
}

int deb_open(const char *path, struct deb **ret_deb, struct cop_error *err)
{
	auto_ptr(deb) deb = calloc(1, sizeof(*deb));

	if (!deb)
		return err_oom(err);
	deb->path = strdup(path);
	deb->outer = archive_read_new();
	if (!deb->path || !deb->outer)
		return err_oom(err);
	if (archive_read_support_format_ar(deb->outer) != ARCHIVE_OK ||
	    archive_read_open_filename(deb->outer, path, BLOCK_SIZE) != ARCHIVE_OK)
		return bad(deb, deb->outer, err);
	*ret_deb = TAKE_PTR(deb);
	return 0;
}

static la_ssize_t read_member(struct archive *inner, void *data, const void **ret_block)
{
	struct deb *deb = data;
	size_t size = 0;
	la_int64_t offset;
	int r;

	do {
		r = archive_read_data_block(deb->outer, ret_block, &size, &offset);
	} while (r == ARCHIVE_OK && size == 0);
	if (r == ARCHIVE_EOF)
		return 0;
	if (r != ARCHIVE_OK) {
		archive_set_error(inner, archive_errno(deb->outer), "%s",
				  archive_error_string(deb->outer));
		return -1;
	}
	return (la_ssize_t)size;
}

/* Skip members of the ar archive up to the one that is called @name and a suffix. */
static int open_member(struct deb *deb, const char *name, struct cop_error *err)
{
	struct archive_entry *entry;
	int r;

	do {
		r = archive_read_next_header(deb->outer, &entry);
		if (r == ARCHIVE_EOF)
			return err_set(err, -EBADMSG,
				       "'%s' is not a sound Debian package: no '%s'",
				       deb->path, name);
		if (r != ARCHIVE_OK)
			return bad(deb, deb->outer, err);
	} while (!text_starts_with(archive_entry_pathname(entry), name));

	if (deb->inner)
		(void)archive_read_free(deb->inner);
	deb->inner = archive_read_new();
	if (!deb->inner)
		return err_oom(err);
	if (archive_read_support_format_tar(deb->inner) != ARCHIVE_OK ||
	    archive_read_support_filter_xz(deb->inner) != ARCHIVE_OK ||
	    archive_read_support_filter_zstd(deb->inner) != ARCHIVE_OK ||
	    archive_read_support_filter_gzip(deb->inner) != ARCHIVE_OK ||
	    archive_read_open(deb->inner, deb, NULL, read_member, NULL) != ARCHIVE_OK)
		return bad(deb, deb->inner, err);
	return 0;
}

/* Return: 1, 0 at the end, or a negative errno. */
static int next_entry(struct deb *deb, const char *member,
		      struct archive_entry **ret_entry, struct cop_error *err)
{
	int r = deb->member == member ? 0 : open_member(deb, member, err);

	if (r < 0)
		return r;
	deb->member = member;
	r = archive_read_next_header(deb->inner, ret_entry);
	if (r == ARCHIVE_EOF)
		return 0;
	return r == ARCHIVE_OK ? 1 : bad(deb, deb->inner, err);
}

int deb_control_next(struct deb *deb, struct archive_entry **ret_entry,
		     struct cop_error *err)
{
	return next_entry(deb, control_member, ret_entry, err);
}

int deb_data_next(struct deb *deb, struct archive_entry **ret_entry,
		  struct cop_error *err)
{
	return next_entry(deb, data_member, ret_entry, err);
}

int deb_read_text(struct deb *deb, struct buf *text, struct cop_error *err)
{
	char bytes[4096];
	la_ssize_t n;

	while ((n = archive_read_data(deb->inner, bytes, sizeof(bytes))) > 0) {
		if (text->size + (size_t)n > CONTROL_MAX)
			return err_set(err, -EBADMSG,
				       "'%s': its control file is over %llu bytes",
				       deb->path, (unsigned long long)CONTROL_MAX);
		if (buf_append(text, bytes, (size_t)n) < 0)
			return err_oom(err);
	}
	return n < 0 ? bad(deb, deb->inner, err) : 0;
}

int deb_control(struct deb *deb, struct buf *text, struct cop_error *err)
{
	struct archive_entry *entry;
	int r;

	while ((r = deb_control_next(deb, &entry, err)) > 0) {
		const char *name = archive_entry_pathname(entry);

		if (name &&
		    (strcmp(name, "./control") == 0 || strcmp(name, "control") == 0))
			return deb_read_text(deb, text, err);
	}
	return r < 0 ? r
		     : err_set(err, -EBADMSG,
			       "'%s' is not a sound Debian package: no control file",
			       deb->path);
}

struct archive *deb_data(struct deb *deb)
{
	return deb->inner;
}
