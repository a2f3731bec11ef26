/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A repair: what is wrong goes to damaged/, for people to look at; what is right is found
 * elsewhere, checked, and enters the store as a commit does: staged, synced, renamed.
 */
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "base/log.h"
#include "image/image.h"
#include "store/check.h"

struct repair {
	struct cop_store *store;
	const struct verify_request *request;
	struct wound *wounds;
	size_t n;
	struct workdir *workdir;
};

static void hex_of(const struct wound *wound, char hex[COP_DIGEST_HEX + 1])
{
	(void)cop_digest_to_hex(&wound->check.digest, hex);
}

/* An empty file for the content, by the digest's digits in the work directory. */
static int open_staged(const struct repair *repair, const struct wound *wound,
		       struct cop_error *err)
{
	char hex[COP_DIGEST_HEX + 1];
	int fd;

	hex_of(wound, hex);
	fd = openat(workdir_fd(repair->workdir), hex,
		    O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	return fd < 0 ? err_errno(err, "make '%s'", hex) : fd;
}

/* ---- a download may be the very file */

static int try_source(const struct wound *wound, int dir_fd, const char *name, int to,
		      struct cop_error *err)
{
	auto_close int fd =
		openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
	    (uint64_t)st.st_size != wound->size)
		return 0;
	r = check_content(fd, &wound->check.digest, NULL);
	if (r <= 0)
		return 0;
	r = fs_copy_data(fd, to, wound->size, err);
	return r < 0 ? r : 1;
}

static int try_directory(const struct repair *repair, const struct wound *wound,
			 const char *directory, int to, struct cop_error *err)
{
	char path[STORE_PATH_SIZE + NAME_MAX];
	auto_close int fd = -EBADF;
	char **names = NULL;
	int r;

	(void)snprintf(path, sizeof(path), "sources/%s", directory);
	fd = openat(repair->store->fd, path,
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return 0;
	r = fs_list(fd, &names, NULL, err);
	for (char **name = names; r == 0 && *name; name++)
		r = try_source(wound, fd, *name, to, err);
	fs_list_free(names);
	return r;
}

static int try_sources(const struct repair *repair, const struct wound *wound, int to,
		       struct cop_error *err)
{
	auto_close int fd = fs_open_plain(repair->store->fd, "sources",
					  O_RDONLY | O_DIRECTORY, 0, err);
	char **names = NULL;
	int r;

	if (wound->check.kind != CHECK_FILE || wound->size == 0)
		return 0;
	r = fd < 0 ? fd : fs_list(fd, &names, NULL, err);
	for (char **name = names; r == 0 && *name; name++)
		r = try_directory(repair, wound, *name, to, err);
	fs_list_free(names);
	return r;
}

/* ---- finding and staging */

static int try_supplier(const struct verify_supplier *supplier, const struct wound *wound,
			int to, struct cop_error *err)
{
	int r = supplier->fetch(supplier->data, &wound->check.digest,
				wound->check.kind == CHECK_OBJECT, to, err);

	if (r <= 0)
		return r;
	/* Whoever it is: what he gives is checked. */
	r = check_content(to, &wound->check.digest, err);
	if (r == 0 && (ftruncate(to, 0) < 0 || lseek(to, 0, SEEK_SET) < 0))
		return err_errno(err, "empty a file");
	return r;
}

static int find_content(const struct repair *repair, struct wound *wound,
			struct cop_error *err)
{
	const struct verify_request *request = repair->request;
	auto_close int fd = open_staged(repair, wound, err);
	int r;

	if (fd < 0)
		return fd;
	r = try_sources(repair, wound, fd, err);
	if (r > 0)
		wound->from = "a download of the store";
	for (size_t i = 0; i < request->n_suppliers && r == 0; i++) {
		r = try_supplier(&request->suppliers[i], wound, fd, err);
		if (r > 0)
			wound->from = request->suppliers[i].name;
	}
	if (r > 0 && fchmod(fd, 0444) < 0)
		return err_errno(err, "chmod");
	return r < 0 ? r : 0;
}

static int stage_all(const struct repair *repair, struct cop_error *err)
{
	int r = 0;

	for (size_t i = 0; i < repair->n && r == 0; i++)
		if (repair->wounds[i].check.kind != CHECK_SOURCE)
			r = find_content(repair, &repair->wounds[i], err);
	return r < 0 ? r : fs_sync_filesystem(workdir_fd(repair->workdir), err);
}

/* ---- out with the wrong, in with the right */

static int put_aside(const struct repair *repair, const struct wound *wound,
		     struct cop_error *err)
{
	char path[REF_PATH_SIZE], aside[REF_PATH_SIZE], hex[COP_DIGEST_HEX + 1];
	int r;

	if (wound->check.state == CHECK_GONE ||
	    !check_path(&wound->check, path, sizeof(path)))
		return 0;
	hex_of(wound, hex);
	(void)snprintf(aside, sizeof(aside), "damaged/%s",
		       wound->check.kind == CHECK_SOURCE
			       ? strrchr(wound->check.name, '/') + 1
			       : hex);
	/* Without a moment in which there is neither. */
	if (wound->from && renameat2(workdir_fd(repair->workdir), hex, repair->store->fd,
				     path, RENAME_EXCHANGE) == 0)
		r = renameat(workdir_fd(repair->workdir), hex, repair->store->fd, aside);
	else
		r = renameat(repair->store->fd, path, repair->store->fd, aside);
	if (r < 0 && errno != ENOENT)
		return err_errno(err, "put '%s' aside", path);
	return 0;
}

static int write_list(const struct repair *repair, const struct wound *wound,
		      struct cop_error *err)
{
	char hex[COP_DIGEST_HEX + 1], path[STORE_PATH_SIZE];
	auto_free uint8_t *list = NULL;
	auto_ptr(tree) tree = NULL;
	auto_buf image = {};
	size_t size = 0;
	int r;

	hex_of(wound, hex);
	r = fs_read_file(workdir_fd(repair->workdir), hex, 2 * GIB, &image, err);
	if (r == 0)
		r = image_read((const uint8_t *)image.data, image.size, &tree, NULL, err);
	if (r == 0)
		r = list_make(tree, &wound->check.digest, &list, &size, err);
	if (r == 0)
		r = fs_write_new(workdir_fd(repair->workdir), "list", list, size, 0600,
				 err);
	if (r < 0)
		return r;
	if (renameat(workdir_fd(repair->workdir), "list", repair->store->fd,
		     list_path(&wound->check.digest, path)) < 0)
		return err_errno(err, "publish '%s'", path);
	return 0;
}

/* What must be there before. */
static int prepare(const struct repair *repair, const struct wound *wound,
		   struct cop_error *err)
{
	char path[REF_PATH_SIZE], shard[REF_PATH_SIZE];
	int r = 0;

	if (wound->check.kind == CHECK_OBJECT)
		r = write_list(repair, wound, err);
	if (r < 0 || !check_path(&wound->check, path, sizeof(path)))
		return r;
	(void)snprintf(shard, sizeof(shard), "%.*s", (int)(strrchr(path, '/') - path),
		       path);
	if (mkdirat(repair->store->fd, shard, 0700) < 0 && errno != EEXIST)
		return err_errno(err, "make '%s'", shard);
	return 0;
}

static int put_back(const struct repair *repair, const struct wound *wound,
		    struct cop_error *err)
{
	char path[REF_PATH_SIZE], hex[COP_DIGEST_HEX + 1];

	if (!check_path(&wound->check, path, sizeof(path)))
		return 0;
	hex_of(wound, hex);
	/* ENOENT: it took the place of what is aside. */
	if (renameat(workdir_fd(repair->workdir), hex, repair->store->fd, path) < 0 &&
	    errno != ENOENT)
		return err_errno(err, "put back '%s'", path);
	return 0;
}

/* Files before images, so that a name in objects/ is whole. */
static int exchange(const struct repair *repair, struct cop_error *err)
{
	static const enum check_kind order[] = {CHECK_FILE, CHECK_OBJECT, CHECK_SOURCE};
	auto_lock *lock = NULL;
	int r;

	if (mkdirat(repair->store->fd, "damaged", 0700) < 0 && errno != EEXIST)
		return err_errno(err, "make 'damaged'");
	r = store_lock_take(repair->store, STORE_LOCK_SHARED, &lock, err);
	for (size_t k = 0; k < ARRAY_SIZE(order) && r == 0; k++)
		for (size_t i = 0; i < repair->n && r == 0; i++) {
			struct wound *wound = &repair->wounds[i];

			if (wound->check.kind != order[k])
				continue;
			if (wound->from)
				r = prepare(repair, wound, err);
			if (r == 0)
				r = put_aside(repair, wound, err);
			if (r == 0 && wound->from)
				r = put_back(repair, wound, err);
			/* It is fetched again when somebody asks for it. */
			if (order[k] == CHECK_SOURCE)
				wound->from = "its origin, with the next build";
		}
	return r < 0 ? r : fs_sync_filesystem(repair->store->fd, err);
}

/* ---- which trees are well now */

static bool is_unwell(const struct repair *repair, const char *hex)
{
	for (size_t i = 0; i < repair->n; i++) {
		json_t *victim;
		size_t k;

		if (repair->wounds[i].from)
			continue;
		json_array_foreach (repair->wounds[i].victims, k, victim)
			if (strcmp(hex, json_string_value(
						json_object_get(victim, "digest"))) == 0)
				return true;
	}
	return false;
}

/* Of a tree whose image was wrong nobody has looked at the files. */
static int discharge(const struct repair *repair, struct cop_error *err)
{
	for (size_t i = 0; i < repair->n; i++) {
		const struct wound *wound = &repair->wounds[i];
		struct cop_error reason = {};
		json_t *victim;
		size_t k;
		int r = 0;

		if (wound->check.kind == CHECK_OBJECT && wound->from)
			r = object_verify(repair->store, &wound->check.digest, NULL,
					  &reason);
		if (r < 0 && r != -EUCLEAN)
			return err_copy(err, &reason);
		if (wound->check.kind == CHECK_OBJECT)
			continue;
		json_array_foreach (wound->victims, k, victim) {
			const char *hex =
				json_string_value(json_object_get(victim, "digest"));
			char path[STORE_PATH_SIZE];
			struct cop_digest digest;

			if (!is_unwell(repair, hex) &&
			    cop_digest_parse(hex, &digest) == 0)
				(void)unlinkat(repair->store->fd,
					       damaged_path(&digest, path), 0);
		}
	}
	return 0;
}

int repair_all(struct cop_store *store, const struct verify_request *request,
	       struct wound *wounds, size_t n, struct cop_error *err)
{
	struct repair repair = {
		.store = store, .request = request, .wounds = wounds, .n = n};
	auto_ptr(workdir) workdir = NULL;
	int r = workdir_new(store, "repair-", NULL, &workdir, err);

	if (r < 0)
		return r;
	repair.workdir = workdir;
	r = stage_all(&repair, err);
	if (r == 0)
		r = exchange(&repair, err);
	if (r == 0)
		r = discharge(&repair, err);
	return r < 0 ? err_prefix(err, r, "repair") : 0;
}

/* ---- another store */

static int fetch_from_store(void *data, const struct cop_digest *digest, bool is_image,
			    int to, struct cop_error *err)
{
	struct cop_store *store = data;
	char path[STORE_PATH_SIZE];
	auto_close int fd = -EBADF;
	struct stat st;
	int r;

	(void)(is_image ? object_path(digest, path) : pool_path(digest, path));
	fd = openat(store->fd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return 0;
	r = fs_copy_data(fd, to, (uint64_t)st.st_size, err);
	return r < 0 ? err_prefix(err, r, "copy '%s' of store '%s'", path, store->path)
		     : 1;
}

struct verify_supplier store_supplier(struct cop_store *store)
{
	return (struct verify_supplier){
		.name = store->path, .fetch = fetch_from_store, .data = store};
}
