/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a store knows of a remote: its settings, copies of index segments (which never
 * change) and of plans.  All but the settings can be lost without harm.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "remote/private.h"
#include "store/store.h"

#define NAME_MAX_SIZE 64
#define BATCH	      ((size_t)64)

bool remote_name_is_valid(const char *name)
{
	size_t size = strlen(name);

	return size > 0 && size <= NAME_MAX_SIZE && *name != '.' && *name != '-' &&
	       strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
			    "0123456789._-") == size;
}

int state_open(struct cop_store *store, const char *name, struct cop_error *err)
{
	char path[NAME_MAX_SIZE + 16];
	int fd;

	if (!remote_name_is_valid(name))
		return err_set(err, -EINVAL,
			       "'%s' is not a name for a remote: up to %d of A-Z a-z 0-9 "
			       ". _ -, beginning with a letter, a digit or '_'",
			       name, NAME_MAX_SIZE);
	(void)snprintf(path, sizeof(path), "remotes/%s", name);
	fd = fs_open_plain(store_fd(store), path, O_RDONLY | O_DIRECTORY, 0, NULL);
	if (fd == -ENOENT)
		return err_set(err, -ENOENT,
			       "store '%s' has no remote '%s'; add it: coppice remote "
			       "add %s URL",
			       cop_store_path(store), name, name);
	return fd < 0 ? err_code(err, fd, "open '%s' of store '%s'", path,
				 cop_store_path(store))
		      : fd;
}

static int keep(const struct remote *remote, const char *dir, const char *name,
		const void *data, size_t size, struct cop_error *err)
{
	auto_close int fd = -EBADF;

	if (mkdirat(remote->dir_fd, dir, 0700) < 0 && errno != EEXIST)
		return err_errno(err, "make '%s'", dir);
	fd = fs_open_plain(remote->dir_fd, dir, O_RDONLY | O_DIRECTORY, 0, err);
	return fd < 0 ? fd : fs_replace_at(fd, name, data, size, 0600, err);
}

/* Into the catalogue, if it is what its name says. */
static int take_segment(struct remote *remote, const char *name, const void *data,
			size_t size, struct cop_error *err)
{
	struct segment *segment = NULL;
	int r = segment_read(data, size, &segment, err);

	if (r == 0 && strcmp(segment->name, name) != 0)
		r = err_set(err, -EBADMSG, "an index segment has another checksum");
	if (r < 0) {
		(void)segment_free(segment);
		return err_prefix(err, r, "index segment '%s'", name);
	}
	return catalogue_add(remote->catalogue, segment, err);
}

static bool take_from_mirror(struct remote *remote, const char *name)
{
	char path[SHA256_HEX + 16];
	auto_buf text = {};

	(void)snprintf(path, sizeof(path), "index/%s", name);
	return fs_read_file(remote->dir_fd, path, SEGMENT_MAX, &text, NULL) == 0 &&
	       take_segment(remote, name, buf_text(&text), text.size, NULL) == 0;
}

static int fetch(struct remote *remote, const char *const *names, size_t n,
		 struct cop_error *err)
{
	struct request *requests = calloc(n, sizeof(*requests));
	int r;

	if (!requests)
		return err_oom(err);
	for (size_t i = 0; i < n; i++) {
		request_init(&requests[i], REQUEST_GET, "v1/i/%.2s/%s", names[i],
			     names[i]);
		requests[i].limit = SEGMENT_MAX;
	}
	r = transport_run(remote->transport, requests, n, err);
	for (size_t i = 0; i < n && r == 0; i++) {
		const struct buf *data = &requests[i].data;

		if (requests[i].result < 0)
			r = err_copy(err, &requests[i].error);
		if (r == 0)
			r = take_segment(remote, names[i], buf_text(data), data->size,
					 err);
		/* Without a copy it is fetched again the next time. */
		if (r == 0)
			(void)keep(remote, "index", names[i], data->data, data->size,
				   NULL);
	}
	for (size_t i = 0; i < n; i++)
		request_done(&requests[i]);
	free(requests);
	return r;
}

int state_segments(struct remote *remote, const char (*names)[SHA256_HEX + 1], size_t n,
		   struct cop_error *err)
{
	const char *missing[BATCH] = {};
	size_t n_missing = 0;
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		if (!catalogue_segment(remote->catalogue, names[i]) &&
		    !take_from_mirror(remote, names[i]))
			missing[n_missing++] = names[i];
		if (n_missing == BATCH || (i + 1 == n && n_missing > 0)) {
			r = fetch(remote, missing, n_missing, err);
			n_missing = 0;
		}
	}
	return r;
}

int state_keep_segment(struct remote *remote, const void *data, size_t size,
		       struct cop_error *err)
{
	struct segment *segment = NULL;
	int r = segment_read(data, size, &segment, err);

	if (r < 0)
		return r;
	(void)keep(remote, "index", segment->name, data, size, NULL);
	return catalogue_add(remote->catalogue, segment, err);
}

void state_forget_segments(struct remote *remote,
			   bool (*is_listed)(void *data, const char *name), void *data)
{
	auto_close int fd =
		fs_open_plain(remote->dir_fd, "index", O_RDONLY | O_DIRECTORY, 0, NULL);
	char **names = NULL;
	size_t n = 0;

	if (fd < 0 || fs_list(fd, &names, &n, NULL) < 0)
		return;
	for (size_t i = 0; i < n; i++)
		if (!is_listed(data, names[i]))
			(void)unlinkat(fd, names[i], 0);
	fs_list_free(names);
}

void state_keep_plan(struct remote *remote, const struct plan *plan)
{
	char hex[COP_DIGEST_HEX + 1];
	auto_buf text = {};

	if (plan_write(plan, &text, NULL) == 0)
		(void)keep(remote, "plans", cop_digest_to_hex(&plan->object, hex),
			   text.data, text.size, NULL);
}

int state_plan(struct remote *remote, const struct cop_digest *object, struct plan *plan)
{
	char hex[COP_DIGEST_HEX + 1], path[COP_DIGEST_HEX + 16];
	auto_buf text = {};
	int r;

	(void)snprintf(path, sizeof(path), "plans/%s", cop_digest_to_hex(object, hex));
	r = fs_read_file(remote->dir_fd, path, PLAN_MAX, &text, NULL);
	return r < 0 ? r : plan_read(buf_text(&text), text.size, plan, NULL);
}

struct recent {
	struct cop_digest object;
	struct timespec time;
};

static int newest_first(const void *a, const void *b)
{
	const struct recent *x = a, *y = b;

	if (x->time.tv_sec != y->time.tv_sec)
		return x->time.tv_sec < y->time.tv_sec ? 1 : -1;
	return x->time.tv_nsec < y->time.tv_nsec ? 1 : -1;
}

size_t state_recent_plans(struct remote *remote, struct cop_digest *objects, size_t max)
{
	auto_close int fd =
		fs_open_plain(remote->dir_fd, "plans", O_RDONLY | O_DIRECTORY, 0, NULL);
	auto_free struct recent *recent = NULL;
	char **names = NULL;
	size_t n = 0, n_recent = 0;
	struct stat st;

	if (fd < 0 || fs_list(fd, &names, &n, NULL) < 0)
		return 0;
	recent = calloc(n + 1, sizeof(*recent));
	for (size_t i = 0; recent && i < n; i++) {
		if (!digest_is(names[i], &recent[n_recent].object) ||
		    fstatat(fd, names[i], &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		recent[n_recent++].time = st.st_mtim;
	}
	fs_list_free(names);
	if (n_recent > 0)
		qsort(recent, n_recent, sizeof(*recent), newest_first);
	if (n_recent > max)
		n_recent = max;
	for (size_t i = 0; i < n_recent; i++)
		objects[i] = recent[i].object;
	return n_recent;
}
