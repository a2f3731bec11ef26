/* SPDX-License-Identifier: Apache-2.0 */
/* A .deb is an ar archive of two tar archives: the inner ones are read through the outer.
 */
#include "recipe/deb.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/process.h"
#include "base/text.h"

#define CHUNK	 ((size_t)(64 * KIB))
#define TEXT_MAX ((size_t)(4 * MIB))

#define SYSUSERS_DIR "usr/lib/sysusers.d/"

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

/* The tar archive that the outer one stands at.  Return: 0, or a negative errno. */
static int open_inner(struct inner *inner, struct archive **ret_tar, const char *name,
		      struct cop_error *err)
{
	auto_archive *tar = archive_read_new();

	if (!tar)
		return err_oom(err);
	(void)archive_read_support_format_tar(tar);
	(void)archive_read_support_format_empty(tar);
	(void)archive_read_support_filter_gzip(tar);
	(void)archive_read_support_filter_xz(tar);
	(void)archive_read_support_filter_zstd(tar);
	(void)archive_read_support_filter_bzip2(tar);
	(void)archive_read_support_filter_lzma(tar);
	if (archive_read_open(tar, inner, NULL, read_inner, NULL) != ARCHIVE_OK)
		return bad(tar, name, err);
	*ret_tar = TAKE_PTR(tar);
	return 0;
}

/*
 * Calls @each for every entry of control.tar and data.tar, until it returns 1.
 * Return: 0, or a negative errno.
 */
static int each_entry(int fd, const char *name,
		      int (*each)(void *data, bool is_control, struct archive *tar,
				  struct archive_entry *entry, struct cop_error *err),
		      void *data, struct cop_error *err)
{
	auto_free struct inner *inner = malloc(sizeof(*inner));
	auto_archive *deb = archive_read_new();
	struct archive_entry *entry;
	unsigned int n_tars = 0;
	int r;

	if (!inner || !deb)
		return err_oom(err);
	inner->outer = deb;
	(void)archive_read_support_format_ar(deb);
	if (archive_read_open_fd(deb, fd, CHUNK) != ARCHIVE_OK)
		return bad(deb, name, err);
	while ((r = archive_read_next_header(deb, &entry)) == ARCHIVE_OK) {
		const char *member = archive_entry_pathname(entry);
		bool is_control = member && text_starts_with(member, "control.tar");
		auto_archive *tar = NULL;

		if (!is_control && (!member || !text_starts_with(member, "data.tar")))
			continue;
		n_tars++;
		r = open_inner(inner, &tar, name, err);
		if (r < 0)
			return r;
		while ((r = archive_read_next_header(tar, &entry)) == ARCHIVE_OK ||
		       r == ARCHIVE_WARN) {
			r = each(data, is_control, tar, entry, err);
			if (r != 0)
				return r < 0 ? r : 0;
		}
		if (r != ARCHIVE_EOF)
			return bad(tar, name, err);
	}
	if (r != ARCHIVE_EOF)
		return bad(deb, name, err);
	if (n_tars < 2)
		return err_set(err, -EBADMSG,
			       "read package '%s': it lacks control.tar or data.tar",
			       name);
	return 0;
}

static int keep_newest(void *data, bool is_control, struct archive *tar,
		       struct archive_entry *entry, struct cop_error *err)
{
	int64_t *newest = data, seconds = archive_entry_mtime(entry);

	(void)is_control;
	(void)tar;
	(void)err;
	if (seconds > *newest)
		*newest = seconds;
	return 0;
}

int deb_newest_mtime(int fd, const char *name, int64_t *ret_seconds,
		     struct cop_error *err)
{
	int64_t newest = 0;
	int r = each_entry(fd, name, keep_newest, &newest, err);

	if (r == 0)
		*ret_seconds = newest;
	return r;
}

/* --- users and groups --- */

/* @n_left: files for systemd-sysusers that the content is known to have; @speaks: a
 * script runs it, and there may be more */
struct texts {
	const char *name;
	int (*each)(void *data, const char *file, const char *text,
		    struct cop_error *err);
	void *data;
	size_t n_left;
	bool speaks;
};

static int read_text(struct texts *texts, struct archive *tar,
		     struct archive_entry *entry, struct buf *text, struct cop_error *err)
{
	const int64_t size = archive_entry_size(entry);
	la_ssize_t n;

	if (size < 0 || size > (int64_t)TEXT_MAX)
		return err_set(err, -EFBIG, "read package '%s': '%s' is too large",
			       texts->name, archive_entry_pathname(entry));
	if (buf_reserve(text, (size_t)size + 1) < 0)
		return err_oom(err);
	n = archive_read_data(tar, text->data, (size_t)size);
	if (n < 0)
		return bad(tar, texts->name, err);
	text->size = (size_t)n;
	text->data[n] = '\0';
	return 0;
}

static size_t count_words(const char *text, const char *word)
{
	size_t n = 0;

	while ((text = strstr(text, word))) {
		text += strlen(word);
		n++;
	}
	return n;
}

static int take_control(struct texts *texts, const char *path, struct archive *tar,
			struct archive_entry *entry, struct cop_error *err)
{
	const bool is_list = strcmp(path, "md5sums") == 0;
	auto_buf text = {};
	int r;

	if (!is_list && strcmp(path, "preinst") != 0 && strcmp(path, "postinst") != 0)
		return 0;
	r = read_text(texts, tar, entry, &text, err);
	if (r < 0)
		return r;
	if (is_list) {
		texts->n_left = count_words(buf_text(&text), "  " SYSUSERS_DIR);
		return 0;
	}
	texts->speaks |= strstr(buf_text(&text), "systemd-sysusers") != NULL;
	return texts->each(texts->data, path, buf_text(&text), err);
}

static int take_text(void *data, bool is_control, struct archive *tar,
		     struct archive_entry *entry, struct cop_error *err)
{
	struct texts *texts = data;
	const char *path = archive_entry_pathname(entry);
	auto_buf text = {};
	int r;

	while (path && text_starts_with(path, "./"))
		path += 2;
	if (!path || archive_entry_filetype(entry) != AE_IFREG)
		return !is_control && texts->n_left == 0 && !texts->speaks;
	if (is_control)
		return take_control(texts, path, tar, entry, err);
	if (!text_starts_with(path, SYSUSERS_DIR) || !text_ends_with(path, ".conf"))
		return texts->n_left == 0 && !texts->speaks;
	r = read_text(texts, tar, entry, &text, err);
	if (r == 0)
		r = texts->each(texts->data, "sysusers", buf_text(&text), err);
	if (texts->n_left > 0 && --texts->n_left == 0 && r == 0)
		return 1;
	return r;
}

int deb_texts(int fd, const char *name,
	      int (*each)(void *data, const char *file, const char *text,
			  struct cop_error *err),
	      void *data, struct cop_error *err)
{
	struct texts texts = {.name = name, .each = each, .data = data};

	return each_entry(fd, name, take_text, &texts, err);
}

int deb_control(int fd, const char *name, struct buf *control, struct cop_error *err)
{
	char path[512];
	const char *const argv[] = {"dpkg-deb", "-f", path, NULL};

	/* The child has our descriptors closed, so the path goes through our process. */
	(void)snprintf(path, sizeof(path), "/proc/%d/fd/%d%s%s", (int)getpid(), fd,
		       name ? "/" : "", name ? name : "");
	return process_check(argv, NULL, control, err);
}
