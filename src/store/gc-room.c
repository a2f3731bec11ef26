/* SPDX-License-Identifier: Apache-2.0 */
/* Collections that nobody asked for by name: none of them takes what people named. */
#include <sys/statvfs.h>

#include "store/gc-private.h"
#include "store/settings.h"
#include "json/json.h"

#define ROOM_MAX (4000ULL * 1000 * 1000)

uint64_t store_free_bytes(const struct cop_store *store)
{
	struct statvfs st;

	if (fstatvfs(store->fd, &st) < 0)
		return 0;
	return (uint64_t)st.f_bavail * st.f_frsize;
}

int store_make_room(struct cop_store *store, uint64_t *ret_bytes, struct cop_error *err)
{
	struct gc_request request = {.keep_names = true};
	auto_json *settings = NULL;
	struct gc_result result;
	struct statvfs st;
	int r = settings_read(store, &settings, err);

	if (r < 0)
		return r;
	request.max_size = settings_max_size(settings);
	if (fstatvfs(store->fd, &st) < 0)
		return err_errno(err, "look at the file system of store '%s'",
				 store->path);
	request.min_free = min_u64((uint64_t)st.f_blocks * st.f_frsize / 10, ROOM_MAX);
	/* What is free was not enough. */
	request.min_free = max_u64(request.min_free, 2 * store_free_bytes(store));
	/* Inodes can run out too. */
	if (st.f_files > 0 && st.f_favail < st.f_files / 100)
		request.min_free = store_free_bytes(store) +
				   (uint64_t)(st.f_blocks - st.f_bfree) * st.f_frsize / 4;
	r = store_gc(store, &request, &result, err);
	if (r == 0)
		*ret_bytes = gc_total(&result).n_bytes;
	return r;
}

int store_keep_cap(struct cop_store *store, struct gc_result *ret, struct cop_error *err)
{
	struct gc_request request = {.keep_names = true};
	auto_json *settings = NULL;
	int r = settings_read(store, &settings, err);

	if (r < 0)
		return r;
	request.max_size = settings_max_size(settings);
	if (request.max_size == 0)
		return 0;
	r = store_gc(store, &request, ret, err);
	return r < 0 ? r : gc_total(ret).n > 0;
}
