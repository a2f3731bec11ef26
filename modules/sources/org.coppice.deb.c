/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Debian packages by checksum, from whatever mirror has them.  apt's own helper does the
 * downloading, so that the host's proxy, certificates and credentials are used; what it
 * brings is believed only when size and SHA-256 are right.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/process.h"
#include "base/text.h"
#include "modules/sources/cache.h"
#include "modules/sources/mirrors.h"
#include "modules/sources/sources.h"
#include "json/json.h"

#define HELPER "/usr/lib/apt/apt-helper"
/* Packages per call of the helper: few enough to show progress, many enough to be quick.
 */
#define BATCH	    16
#define OUTPUT_SIZE ((size_t)(1 * MIB))

struct repository {
	const char *name;
	struct mirrors mirrors;
	bool is_local; /* files beside a recipe: there is no mirror of them */
};

struct package {
	const char *item; /* "sha256:HEX" */
	const char *path;
	const struct repository *repository;
	uint64_t size;
	bool is_there, was_there;
	struct cop_error error; /* of the last try */
};

struct fetch {
	struct service_call *call;
	struct cache cache;
	char tmp_name[FS_TEMPORARY_NAME];
	char *tmp_path;
	int tmp_fd;
	struct repository *repositories;
	size_t n_repositories;
	struct package *packages;
	size_t n_packages;
	uint64_t done_bytes, total_bytes;
	struct buf output; /* of the helper */
};

static void fetch_done(struct fetch *fetch)
{
	closep(&fetch->tmp_fd);
	if (fetch->tmp_path)
		(void)fs_remove_all(fetch->cache.fd, fetch->tmp_name, true, NULL);
	free(fetch->tmp_path);
	for (size_t i = 0; i < fetch->n_repositories; i++)
		mirrors_done(&fetch->repositories[i].mirrors);
	free(fetch->repositories);
	free(fetch->packages);
	buf_done(&fetch->output);
	cache_done(&fetch->cache);
}

static const struct repository *find_repository(const struct fetch *fetch,
						const char *name)
{
	for (size_t i = 0; i < fetch->n_repositories; i++)
		if (strcmp(fetch->repositories[i].name, name) == 0)
			return &fetch->repositories[i];
	return NULL;
}

static int read_package(struct fetch *fetch, const char *item, const json_t *json,
			struct cop_error *err)
{
	struct package *package = &fetch->packages[fetch->n_packages++];
	const char *repository;
	int64_t size = -1;
	int r = json_get_string(json, "repository", item, &repository, err);

	package->item = item;
	if (r == 0)
		r = json_get_string(json, "path", item, &package->path, err);
	if (r == 0)
		r = json_optional_integer(json, "size", item, &size, err);
	if (r < 0)
		return r;
	if (!text_starts_with(item, "sha256:") || strlen(item) != 71 ||
	    !text_is_hex(item + 7))
		return err_set(err, -EINVAL, "item '%.100s' is not sha256:HEX", item);
	if (size < 0)
		return err_set(err, -EINVAL, "item '%s' has no size", item);
	if (strpbrk(package->path, " \t\n") || strstr(package->path, ".."))
		return err_set(err, -EINVAL, "item '%s': '%.200s' is no path of a mirror",
			       item, package->path);
	package->size = (uint64_t)size;
	package->repository = find_repository(fetch, repository);
	if (!package->repository)
		return err_set(err, -EINVAL, "item '%s': unknown repository '%.80s'",
			       item, repository);
	package->is_there = package->was_there = cache_has(&fetch->cache, item);
	if (!package->is_there)
		fetch->total_bytes += package->size;
	return 0;
}

static bool is_used(const char *name, json_t *items)
{
	const char *item, *repository;
	json_t *json;

	json_object_foreach (items, item, json) {
		repository = json_string_value(json_object_get(json, "repository"));
		if (repository && strcmp(repository, name) == 0)
			return true;
	}
	return false;
}

static int read_repositories(struct fetch *fetch, json_t *repositories, json_t *items,
			     struct cop_error *err)
{
	const char *name;
	json_t *json;

	fetch->repositories =
		calloc(json_object_size(repositories) + 1, sizeof(*fetch->repositories));
	if (!fetch->repositories)
		return err_oom(err);
	json_object_foreach (repositories, name, json) {
		struct repository *repository =
			&fetch->repositories[fetch->n_repositories++];
		int r;

		repository->name = name;
		repository->is_local = json_is_true(json_object_get(json, "local"));
		if (repository->is_local || !is_used(name, items))
			continue;
		r = mirrors_find(json, &repository->mirrors, err);
		if (r < 0)
			return err_prefix(err, r, "repository '%s'", name);
	}
	return 0;
}

static int prepare(struct fetch *fetch, const json_t *arguments, struct cop_error *err)
{
	json_t *items, *options, *repositories, *json;
	const char *item;
	int r = json_get_object(arguments, "items", "arguments", &items, err);

	if (r == 0)
		r = json_get_object(arguments, "options", "arguments", &options, err);
	if (r == 0)
		r = json_get_object(options, "repositories", "options", &repositories,
				    err);
	if (r == 0)
		r = cache_open(arguments, &fetch->cache, err);
	if (r == 0)
		r = read_repositories(fetch, repositories, items, err);
	if (r < 0)
		return r;
	fetch->packages = calloc(json_object_size(items) + 1, sizeof(*fetch->packages));
	if (!fetch->packages)
		return err_oom(err);
	json_object_foreach (items, item, json) {
		r = read_package(fetch, item, json, err);
		if (r < 0)
			return r;
	}
	fs_temporary_name(fetch->tmp_name);
	if (mkdirat(fetch->cache.fd, fetch->tmp_name, 0700) < 0)
		return err_errno(err, "make '%s/%s'", fetch->cache.path, fetch->tmp_name);
	if (asprintf(&fetch->tmp_path, "%s/%s", fetch->cache.path, fetch->tmp_name) < 0) {
		fetch->tmp_path = NULL;
		return err_oom(err);
	}
	fetch->tmp_fd = openat(fetch->cache.fd, fetch->tmp_name,
			       O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fetch->tmp_fd < 0 ? err_errno(err, "open '%s'", fetch->tmp_path) : 0;
}

/* The helper makes a symlink to what file: names, and a copy of what copy: does. */
static void append_uri(struct buf *uri, const char *mirror, const char *path)
{
	if (text_starts_with(mirror, "file:"))
		(void)buf_printf(uri, "copy:%s", mirror + strlen("file:"));
	else if (*mirror == '/')
		(void)buf_printf(uri, "copy:%s", mirror);
	else
		(void)buf_append_text(uri, mirror);
	for (; *path; path++)
		if (*path == '%' || *path == '#' || *path == '?')
			(void)buf_printf(uri, "%%%02X", (unsigned int)*path);
		else
			(void)buf_append_char(uri, *path);
}

static void take_output(void *data, const char *bytes, size_t size)
{
	struct fetch *fetch = data;
	uint64_t partial = 0;

	if (fetch->output.size + size < OUTPUT_SIZE)
		(void)buf_append(&fetch->output, bytes, size);
	for (size_t i = 0; i < fetch->n_packages; i++) {
		struct stat st;

		if (!fetch->packages[i].is_there &&
		    fstatat(fetch->tmp_fd, fetch->packages[i].item + 7, &st,
			    AT_SYMLINK_NOFOLLOW) == 0)
			partial += min_u64((uint64_t)st.st_size, fetch->packages[i].size);
	}
	service_progress(fetch->call, "downloading", fetch->done_bytes + partial,
			 fetch->total_bytes, "bytes");
}

/*
 * "Err:1 URI", and under it why, the first reason first.  "E: Failed to fetch" repeats
 * one of them only, and in apt 3 not "Connection refused" but that it was "Unable to
 * connect". NULL: nothing is said of @uri.
 */
static const char *find_reason(const char *line, const char *uri)
{
	size_t length = strlen(uri);

	while ((line = strstr(line, "Err:"))) {
		line += strlen("Err:");
		line += strspn(line, "0123456789");
		if (*line != ' ' || strncmp(line + 1, uri, length) != 0)
			continue;
		line += 1 + length;
		if (*line == '\n')
			return line + strspn(line, "\n ");
	}
	return NULL;
}

/* Why the helper did not bring @uri. */
static void explain(const struct fetch *fetch, struct package *package, const char *uri)
{
	const char *output = buf_text(&fetch->output);
	const char *reason = find_reason(output, uri);
	char last[256];

	if (!reason)
		reason = process_last_line(output, last, sizeof(last));
	(void)err_set(&package->error, -EREMOTEIO, "download '%.400s': %.*s", uri,
		      (int)strcspn(reason, "\n"), reason);
}

static int copy_checked(int from, struct cache_file *file, struct cop_error *err)
{
	char bytes[8192];

	for (;;) {
		ssize_t n = read(from, bytes, sizeof(bytes));
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(err, "read a download");
		if (n == 0)
			return 0;
		r = cache_file_write(file, bytes, (size_t)n, err);
		if (r < 0)
			return r;
	}
}

/* What the helper brought is copied into a file of our own, so that what is checked is
 * what is kept. */
static int keep(struct fetch *fetch, struct package *package, const char *uri, int fd)
{
	struct cache_file file = {.fd = -EBADF};
	struct cop_error *error = &package->error;
	int r;

	*error = (struct cop_error){};
	r = cache_file_open(&fetch->cache, package->item, &file, error);
	if (r == 0)
		r = copy_checked(fd, &file, error);
	if (r == 0 && file.size != package->size)
		r = err_set(error, -EBADMSG,
			    "'%.400s': wrong size: expected %llu bytes, got %llu", uri,
			    (unsigned long long)package->size,
			    (unsigned long long)file.size);
	if (r == 0)
		r = cache_file_keep(&file, uri, error);
	cache_file_done(&file);
	return r;
}

static void take_package(struct fetch *fetch, struct package *package, const char *uri)
{
	const char *name = package->item + 7;
	char failed[96];
	int fd;

	(void)snprintf(failed, sizeof(failed), "%s.FAILED", name);
	fd = openat(fetch->tmp_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	/* It puts what has the wrong checksum aside; we say which it has. */
	if (fd < 0)
		fd = openat(fetch->tmp_fd, failed,
			    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0) {
		explain(fetch, package, uri);
		return;
	}
	if (keep(fetch, package, uri, fd) == 0) {
		package->is_there = true;
		fetch->done_bytes += package->size;
	}
	(void)close(fd);
	(void)unlinkat(fetch->tmp_fd, name, 0);
	(void)unlinkat(fetch->tmp_fd, failed, 0);
}

static int run_helper(struct fetch *fetch, const char **argv, struct cop_error *err)
{
	const struct process_options options = {
		.argv = argv,
		.on_output = take_output,
		.data = fetch,
		.cancel_fd = service_cancel_fd(fetch->call),
	};
	int status = 0, r;

	buf_truncate(&fetch->output, 0);
	r = process_run(&options, &status, err);
	if (r == -ENOENT)
		return err_set(err, r, "'%s' is missing: packages need apt", HELPER);
	return r;
}

static int fetch_batch(struct fetch *fetch, struct package **batch, size_t n, size_t turn,
		       struct cop_error *err)
{
	static const char *const start[] = {HELPER, "-q", "-oAPT::Sandbox::User=root",
					    "-oAcquire::Retries=2", "download-file"};
	const char *argv[ARRAY_SIZE(start) + 3 * BATCH + 1] = {};
	struct buf texts[BATCH][3] = {};
	size_t n_words = 0;
	bool failed = false;
	int r;

	for (; n_words < ARRAY_SIZE(start); n_words++)
		argv[n_words] = start[n_words];
	for (size_t i = 0; i < n; i++) {
		append_uri(&texts[i][0], batch[i]->repository->mirrors.uris[turn],
			   batch[i]->path);
		(void)buf_printf(&texts[i][1], "%s/%s", fetch->tmp_path,
				 batch[i]->item + 7);
		(void)buf_printf(&texts[i][2], "SHA256:%s", batch[i]->item + 7);
		for (size_t j = 0; j < 3; j++) {
			failed = failed || texts[i][j].failed;
			argv[n_words++] = texts[i][j].data;
		}
	}
	r = failed ? err_oom(err) : run_helper(fetch, argv, err);
	for (size_t i = 0; i < n && r == 0; i++)
		take_package(fetch, batch[i], buf_text(&texts[i][0]));
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < 3; j++)
			buf_done(&texts[i][j]);
	if (r == 0)
		service_progress(fetch->call, "downloading", fetch->done_bytes,
				 fetch->total_bytes, "bytes");
	return r;
}

/* Each repository's next mirror for what is still missing.  Return: 1 when there was
 * anything to try. */
static int take_turn(struct fetch *fetch, size_t turn, struct cop_error *err)
{
	struct package *batch[BATCH];
	size_t n = 0;
	int tried = 0, r = 0;

	for (size_t i = 0; i < fetch->n_packages && r == 0; i++) {
		struct package *package = &fetch->packages[i];

		if (!package->is_there && turn < package->repository->mirrors.n)
			batch[n++] = package;
		if (n == BATCH) {
			r = fetch_batch(fetch, batch, n, turn, err);
			tried = 1;
			n = 0;
		}
	}
	if (r == 0 && n > 0) {
		r = fetch_batch(fetch, batch, n, turn, err);
		tried = 1;
	}
	return r < 0 ? r : tried;
}

static json_t *describe(struct package *package)
{
	size_t n = package->repository->mirrors.n;

	if (package->is_there)
		return source_result(package->item, package->was_there, NULL);
	if (package->repository->is_local)
		(void)err_set(&package->error, -ENOENT,
			      "'%.300s' lies beside a recipe and is not in the store: "
			      "build that recipe, not its manifest",
			      package->path);
	else if (n == 0)
		(void)err_set(&package->error, -ENOENT,
			      "'%.300s': neither the manifest nor the host's apt names a "
			      "mirror of '%s'",
			      package->path, package->repository->name);
	else if (n > 1)
		(void)err_prefix(&package->error, package->error.code,
				 "'%.300s': none of %zu mirrors has it; the last one",
				 package->path, n);
	return source_result(package->item, false, &package->error);
}

int source_deb(struct service_call *call, const char *method, json_t *arguments,
	       json_t **ret_reply, struct cop_error *err)
{
	cleanup_with(fetch_done) struct fetch fetch = {
		.call = call, .cache = {.fd = -EBADF}, .tmp_fd = -EBADF};
	json_t *results;
	int r;

	if (strcmp(method, "download") != 0)
		return err_set(err, -EOPNOTSUPP, "there is no method '%.40s'", method);
	/* We read what the helper says. */
	(void)setenv("LC_ALL", "C", 1);
	r = prepare(&fetch, arguments, err);
	for (size_t turn = 0; r == 0; turn++) {
		r = take_turn(&fetch, turn, err);
		if (r == 0)
			break;
		r = r > 0 ? 0 : r;
	}
	if (r < 0)
		return r;
	results = json_array();
	for (size_t i = 0; i < fetch.n_packages; i++)
		(void)json_array_append_new(results, describe(&fetch.packages[i]));
	return source_reply(call, results, ret_reply, err);
}
