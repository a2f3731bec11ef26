/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Downloads go through apt's own helper, so that proxies, certificates and credentials
 * work as they do for apt.  A file gets its name (sha256:HEX) only after its content was
 * verified and is on disk, because nobody looks at it again later.
 */
#include "recipe/fetch.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/text.h"
#include "base/work.h"
#include "recipe/deb.h"

#define FILES_DIRECTORY "org.osbuild.files"
/* Files per run of the helper: few enough to show progress. */
#define BATCH	  ((size_t)16)
#define READERS	  2
#define NAME_SIZE (SHA256_HEX + 8)

struct fetch {
	const struct apt *apt;
	int directory_fd;
	int tmp_fd;
	char *tmp_path;
	uint64_t done, total;
	struct buf words; /* of the last failure */
};

static char *source_name(const struct lock_package *package, char name[NAME_SIZE])
{
	(void)snprintf(name, NAME_SIZE, "sha256:%.64s", package->sha256);
	return name;
}

int fetch_open(const char *sources_dir, struct cop_error *err)
{
	bool absolute = *sources_dir == '/';
	auto_close int root_fd =
		open(absolute ? "/" : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_close int sources_fd = -EBADF;
	int fd, r;

	if (root_fd < 0)
		return err_errno(err, "open '%s'", absolute ? "/" : ".");
	sources_fd = open(sources_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (sources_fd < 0 && errno == ENOENT) {
		r = fs_make_dirs(root_fd, sources_dir + strspn(sources_dir, "/"), 0755,
				 err);
		if (r < 0)
			return r;
		sources_fd = open(sources_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	if (sources_fd < 0)
		return err_errno(err, "open '%s'", sources_dir);
	r = fs_make_dirs(sources_fd, FILES_DIRECTORY, 0755, err);
	if (r < 0)
		return r;
	fd = fs_open_plain(sources_fd, FILES_DIRECTORY, O_RDONLY | O_DIRECTORY, 0, err);
	return fd;
}

bool fetch_has(int directory_fd, const struct lock_package *package)
{
	char name[NAME_SIZE];
	struct stat st;

	return fstatat(directory_fd, source_name(package, name), &st,
		       AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISREG(st.st_mode) && (uint64_t)st.st_size == package->size;
}

static void show(const struct lock_options *options, const char *what, uint64_t done,
		 uint64_t total, const char *unit)
{
	const struct cop_progress *progress = options->progress;

	if (progress && progress->update)
		progress->update(progress->data, what, done, total, unit);
}

/* Where to look for the @turn-th time; NULL: nowhere else.  First comes the mirror that
 * gave the lists. */
static const char *mirror_of(const struct apt *apt, const struct lock_package *package,
			     size_t turn)
{
	const struct apt_place *place = NULL;

	for (size_t i = 0; i < apt->n_repositories; i++)
		if (strcmp(apt->repositories[i].lock.id, package->repository) == 0)
			place = apt->repositories[i].place;
	if (!place || turn == 0)
		return place ? place->uri : NULL;
	for (const char **uri = place->uris; *uri; uri++)
		if (strcmp(*uri, place->uri) != 0 && --turn == 0)
			return *uri;
	return NULL;
}

static int append_uri(struct buf *buf, const char *mirror, const char *path)
{
	/* The helper makes a symlink to what file: names, and a copy of what copy: does.
	 */
	if (text_starts_with(mirror, "file:"))
		(void)buf_printf(buf, "copy:%s", mirror + strlen("file:"));
	else
		(void)buf_append_text(buf, mirror);
	for (; *path; path++)
		if (*path == '%' || *path == '#' || *path == '?')
			(void)buf_printf(buf, "%%%02X", (unsigned int)*path);
		else
			(void)buf_append_char(buf, *path);
	return buf->failed ? -ENOMEM : 0;
}

/* One run of the helper; what came is in fetch->tmp_path, named by its checksum. */
static int fetch_batch(struct fetch *fetch, const struct lock_package **batch, size_t n,
		       size_t turn, struct cop_error *err)
{
	struct buf texts[3 * BATCH] = {};
	const char *triples[3 * BATCH + 1] = {};
	size_t n_triples = 0;
	int r = 0;

	for (size_t i = 0; i < n && r >= 0; i++) {
		const char *mirror = mirror_of(fetch->apt, batch[i], turn);
		struct buf *text = &texts[3 * i];

		if (!mirror)
			continue;
		r = append_uri(&text[0], mirror, batch[i]->path);
		(void)buf_printf(&text[1], "%s/%s", fetch->tmp_path, batch[i]->sha256);
		(void)buf_printf(&text[2], "SHA256:%s", batch[i]->sha256);
		for (size_t j = 0; j < 3; j++) {
			r = text[j].failed ? -ENOMEM : r;
			triples[n_triples++] = text[j].data;
		}
	}
	if (r < 0)
		(void)err_oom(err);
	buf_truncate(&fetch->words, 0);
	if (r >= 0 && n_triples > 0)
		r = apt_fetch(fetch->apt, triples, &fetch->words, err);
	for (size_t i = 0; i < 3 * n; i++)
		buf_done(&texts[i]);
	return r;
}

/* 1: it is there and what it should be; 0: not there, or something else. */
static int verify(const struct fetch *fetch, const struct lock_package *package,
		  struct cop_error *err)
{
	auto_close int fd = openat(fetch->tmp_fd, package->sha256,
				   O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	char hex[SHA256_HEX + 1];
	struct stat st;
	int r;

	if (fd < 0)
		return errno == ENOENT || errno == ELOOP
			       ? 0
			       : err_errno(err, "open download of '%s'", package->name);
	if (fstat(fd, &st) < 0)
		return err_errno(err, "stat download of '%s'", package->name);
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != package->size)
		return 0;
	r = sha256_fd(fd, hex, err);
	if (r < 0)
		return r;
	if (strcmp(hex, package->sha256) != 0)
		return 0;
	if (fchmod(fd, 0444) < 0)
		return err_errno(err, "chmod download of '%s'", package->name);
	return 1;
}

/* Verified ones get their names; the rest stays in @batch.  Return: how many stay. */
static int publish(struct fetch *fetch, const struct lock_package **batch, size_t n,
		   struct cop_error *err)
{
	const struct lock_package *good[BATCH];
	size_t n_good = 0, n_left = 0;
	int r;

	for (size_t i = 0; i < n; i++) {
		r = verify(fetch, batch[i], err);
		if (r < 0)
			return r;
		if (r > 0)
			good[n_good++] = batch[i];
		else
			batch[n_left++] = batch[i];
	}
	r = n_good ? fs_sync_filesystem(fetch->tmp_fd, err) : 0;
	for (size_t i = 0; i < n_good && r >= 0; i++) {
		char name[NAME_SIZE];

		if (renameat(fetch->tmp_fd, good[i]->sha256, fetch->directory_fd,
			     source_name(good[i], name)) < 0)
			return err_errno(err, "keep download of '%s'", good[i]->name);
		fetch->done += good[i]->size;
	}
	show(fetch->apt->options, "fetching", fetch->done, fetch->total, "bytes");
	return r < 0 ? r : (int)n_left;
}

static int fetch_turns(struct fetch *fetch, const struct lock_package **batch, size_t n,
		       struct cop_error *err)
{
	for (size_t turn = 0; n > 0; turn++) {
		const struct lock_package *first = batch[0];
		int r;

		if (!mirror_of(fetch->apt, first, turn))
			return err_set(err, -EIO, "fetch '%s' %s: no mirror has it%s%s",
				       first->name, first->version,
				       fetch->words.size ? ": " : "",
				       buf_text(&fetch->words));
		r = fetch_batch(fetch, batch, n, turn, err);
		if (r >= 0)
			r = publish(fetch, batch, n, err);
		if (r < 0)
			return r;
		n = (size_t)r;
	}
	return 0;
}

static int fetch_missing(struct fetch *fetch, const struct lock_package *packages,
			 size_t n_packages, struct cop_error *err)
{
	const struct lock_package *batch[BATCH];
	size_t n = 0;
	int r = 0;

	for (size_t i = 0; i < n_packages && r >= 0; i++) {
		if (!fetch_has(fetch->directory_fd, &packages[i]))
			batch[n++] = &packages[i];
		if (n == BATCH || (i + 1 == n_packages && n > 0)) {
			r = fetch_turns(fetch, batch, n, err);
			n = 0;
		}
	}
	return r;
}

/* The absolute path of a directory below another: what a program can be told. */
static char *path_of(int directory_fd, const char *name)
{
	char link[64], directory[4096];
	auto_buf path = {};
	ssize_t size;

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", directory_fd);
	size = readlink(link, directory, sizeof(directory) - 1);
	if (size < 0)
		return NULL;
	directory[size] = '\0';
	(void)buf_printf(&path, "%s/%s", directory, name);
	return buf_take(&path);
}

int fetch_packages(const struct apt *apt, int directory_fd,
		   const struct lock_package *packages, size_t n_packages,
		   struct cop_error *err)
{
	struct fetch fetch = {.apt = apt, .directory_fd = directory_fd, .tmp_fd = -EBADF};
	char name[FS_TEMPORARY_NAME];
	int r;

	for (size_t i = 0; i < n_packages; i++)
		if (!fetch_has(directory_fd, &packages[i]))
			fetch.total += packages[i].size;
	if (fetch.total == 0)
		return 0;
	show(apt->options, "fetching", 0, fetch.total, "bytes");
	if (mkdirat(directory_fd, fs_temporary_name(name), 0700) < 0)
		return err_errno(err, "make a directory for downloads");
	fetch.tmp_path = path_of(directory_fd, name);
	fetch.tmp_fd = openat(directory_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (!fetch.tmp_path || fetch.tmp_fd < 0)
		r = err_errno(err, "open the directory for downloads");
	else
		r = fetch_missing(&fetch, packages, n_packages, err);
	closep(&fetch.tmp_fd);
	free(fetch.tmp_path);
	buf_done(&fetch.words);
	(void)fs_remove_all(directory_fd, name, true, NULL);
	return r < 0 ? r : fs_sync_directory(directory_fd, err);
}

/* --- times --- */

struct reading {
	const struct lock_options *options;
	int directory_fd;
	size_t n_packages;
	_Atomic uint64_t n_done;
	_Atomic int64_t newest;
};

static int read_one(void *data, void *item, struct cop_error *err)
{
	struct reading *reading = data;
	const struct lock_package *package = item;
	char name[NAME_SIZE];
	auto_close int fd = openat(reading->directory_fd, source_name(package, name),
				   O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	int64_t seconds = 0, newest;
	int r;

	if (fd < 0)
		return err_errno(err, "open package '%s'", package->name);
	r = deb_newest_mtime(fd, package->name, &seconds, err);
	if (r < 0)
		return r;
	newest = atomic_load(&reading->newest);
	while (seconds > newest &&
	       !atomic_compare_exchange_weak(&reading->newest, &newest, seconds))
		continue;
	show(reading->options, "reading packages",
	     atomic_fetch_add(&reading->n_done, 1) + 1, reading->n_packages, "files");
	return 0;
}

int fetch_newest_mtime(const struct lock_options *options, int directory_fd,
		       const struct lock_package *packages, size_t n_packages,
		       int64_t *ret_seconds, struct cop_error *err)
{
	static const struct work_ops ops = {.run = read_one};
	struct reading reading = {.options = options,
				  .directory_fd = directory_fd,
				  .n_packages = n_packages};
	auto_ptr(work) work = NULL;
	int r = work_new(&ops, &reading, READERS, &work, err);

	if (r < 0)
		return r;
	/* The queue owns what it is given, but has nothing to free of a package. */
	for (size_t i = 0; i < n_packages && r >= 0; i++)
		r = work_add(work, (void *)&packages[i]);
	r = work_finish(work, err);
	if (r < 0)
		return r;
	*ret_seconds = atomic_load(&reading.newest);
	return 0;
}
