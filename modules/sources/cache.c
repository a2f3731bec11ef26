/* SPDX-License-Identifier: Apache-2.0 */
#include "modules/sources/cache.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/fs.h"
#include "base/text.h"
#include "json/json.h"

#define DIRECTORY	"org.osbuild.files"
#define TEMPORARY	".tmp-"
#define STALE_AFTER_SEC ((time_t)24 * 60 * 60)

void cache_done(struct cache *cache)
{
	closep(&cache->fd);
	free(cache->path);
	*cache = (struct cache){.fd = -EBADF};
}

/* Another download of today may be running: only what is old enough is nobody's. */
static void sweep(int fd)
{
	char **names;
	size_t n;

	if (fs_list(fd, &names, &n, NULL) < 0)
		return;
	for (size_t i = 0; i < n; i++) {
		struct stat st;

		if (text_starts_with(names[i], TEMPORARY) &&
		    fstatat(fd, names[i], &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    time(NULL) - st.st_mtime > STALE_AFTER_SEC)
			(void)fs_remove_all(fd, names[i], true, NULL);
	}
	(void)fs_list_free(names);
}

int cache_open(const json_t *arguments, struct cache *ret_cache, struct cop_error *err)
{
	auto_cache cache = {.fd = -EBADF};
	auto_close int top = -EBADF;
	const char *path;
	int r = json_get_string(arguments, "cache", "arguments", &path, err);

	if (r < 0)
		return r;
	top = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (top < 0)
		return err_errno(err, "open '%s'", path);
	if (mkdirat(top, DIRECTORY, 0755) < 0 && errno != EEXIST)
		return err_errno(err, "make '%s/%s'", path, DIRECTORY);
	cache.fd = openat(top, DIRECTORY, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (cache.fd < 0)
		return err_errno(err, "open '%s/%s'", path, DIRECTORY);
	if (asprintf(&cache.path, "%s/%s", path, DIRECTORY) < 0) {
		cache.path = NULL;
		return err_oom(err);
	}
	sweep(cache.fd);
	*ret_cache = cache;
	cache = (struct cache){.fd = -EBADF};
	return 0;
}

bool cache_has(const struct cache *cache, const char *item)
{
	struct stat st;

	if (strchr(item, '/') || *item == '.')
		return false;
	return fstatat(cache->fd, item, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISREG(st.st_mode);
}

int cache_file_open(const struct cache *cache, const char *item, struct cache_file *file,
		    struct cop_error *err)
{
	int r;

	*file = (struct cache_file){.cache = cache, .item = item, .fd = -EBADF};
	r = checksum_new(item, &file->checksum, err);
	if (r < 0)
		return r;
	fs_temporary_name(file->name);
	file->fd = openat(cache->fd, file->name,
			  O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	return file->fd < 0 ? err_errno(err, "make '%s/%s'", cache->path, file->name) : 0;
}

void cache_file_done(struct cache_file *file)
{
	if (file->fd >= 0)
		(void)unlinkat(file->cache->fd, file->name, 0);
	closep(&file->fd);
	file->fd = -EBADF;
	file->checksum = checksum_free(file->checksum);
}

int cache_file_write(struct cache_file *file, const void *data, size_t size,
		     struct cop_error *err)
{
	int r = fs_write_all(file->fd, data, size);

	if (r < 0)
		return err_code(err, r, "write '%s/%s'", file->cache->path, file->name);
	file->size += size;
	checksum_update(file->checksum, data, size);
	return 0;
}

int cache_file_restart(struct cache_file *file, struct cop_error *err)
{
	if (ftruncate(file->fd, 0) < 0 || lseek(file->fd, 0, SEEK_SET) < 0)
		return err_errno(err, "empty '%s/%s'", file->cache->path, file->name);
	file->size = 0;
	checksum_restart(file->checksum);
	return 0;
}

int cache_file_keep(struct cache_file *file, const char *what, struct cop_error *err)
{
	const struct cache *cache = file->cache;
	int r = checksum_end(file->checksum, what, err);

	if (r < 0)
		return r;
	if (fchmod(file->fd, 0644) < 0 || fsync(file->fd) < 0)
		return err_errno(err, "make '%s/%s' durable", cache->path, file->name);
	if (renameat(cache->fd, file->name, cache->fd, file->item) < 0)
		return err_errno(err, "name '%s/%s'", cache->path, file->item);
	closep(&file->fd);
	file->fd = -EBADF;
	return fs_sync_directory(cache->fd, err);
}

json_t *source_result(const char *item, bool was_there, const struct cop_error *error)
{
	if (!error)
		return json_pack("{s:b, s:{s:s, s:b}, s:n}", "success", 1, "metadata",
				 "checksum", item, "cached", was_there, "error");
	return json_pack("{s:b, s:{s:s}, s:{s:s, s:{s:s, s:s, s:s}}}", "success", 0,
			 "metadata", "checksum", item, "error", "type", "exception",
			 "data", "type", "Error", "value", error->message, "traceback",
			 "");
}

int source_reply(const struct service_call *call, json_t *results, json_t **ret_reply,
		 struct cop_error *err)
{
	auto_json *owned = results;
	const json_t *result;
	bool success = true;
	size_t i;

	json_array_foreach (owned, i, result)
		success = success && json_is_true(json_object_get(result, "success"));
	*ret_reply = json_pack(
		"{s:s+, s:s, s:b, s:s++, s:O}", "name", "source ", service_name(call),
		"source_type", service_name(call), "success", success, "output",
		"source ", service_name(call),
		success ? " finished successfully" : " failed", "results", owned);
	return *ret_reply ? 0 : err_oom(err);
}
