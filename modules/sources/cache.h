/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where downloads are kept: STORE/sources/org.osbuild.files/CHECKSUM.  A file gets its
 * name only when its bytes fit and are on disk; one that is there is trusted.
 */
#pragma once

#include "modkit/service.h"
#include "digest/checksum.h"

/* struct cache - @fd: the directory, @path: its absolute path */
struct cache {
	int fd;
	char *path;
};

void cache_done(struct cache *cache);
#define auto_cache cleanup_with(cache_done) struct cache

/* cache_open() - make it when missing, and sweep what killed downloads left a day ago.
 * @arguments are those of the method "download". */
int cache_open(const json_t *arguments, struct cache *ret_cache, struct cop_error *err);

/* cache_has() - is the item there?  Names that are no checksum are not. */
bool cache_has(const struct cache *cache, const char *item);

/* struct cache_file - a download on its way */
struct cache_file {
	const struct cache *cache;
	const char *item;
	int fd;
	char name[32];
	struct checksum *checksum;
	uint64_t size;
};

/* cache_file_open() - begin the item; borrowed until cache_file_done() */
int cache_file_open(const struct cache *cache, const char *item, struct cache_file *file,
		    struct cop_error *err);

/* cache_file_done() - drop what was not kept */
void cache_file_done(struct cache_file *file);

int cache_file_write(struct cache_file *file, const void *data, size_t size,
		     struct cop_error *err);

/* cache_file_restart() - throw away what was written so far */
int cache_file_restart(struct cache_file *file, struct cop_error *err);

/* cache_file_keep() - check, make durable and name it; -EBADMSG as checksum_end() with
 * @what */
int cache_file_keep(struct cache_file *file, const char *what, struct cop_error *err);

/* source_result() - one entry of the answer to "download", as a new reference: a success
 * without @error */
json_t *source_result(const char *item, bool was_there, const struct cop_error *error);

/* source_reply() - the whole answer; @results is consumed */
int source_reply(const struct service_call *call, json_t *results, json_t **ret_reply,
		 struct cop_error *err);
