/* SPDX-License-Identifier: Apache-2.0 */
/* From what people and programs say to a digest: name, failed/ID, stage id, digest,
 * unambiguous prefix; the first that is there wins. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "store/private.h"

#define FAILED "failed/"
/* An ambiguous prefix names so many of what it could be. */
#define CANDIDATES_SHOWN 4
/* Digits of an object's digest that are its directory. */
#define SHARD_DIGITS 2

static int found_ref(struct cop_store *store, enum ref_class class, const char *name,
		     struct resolved *ret, struct cop_error *err)
{
	struct cop_digest digest;
	int r = ref_get(store, class, name, &digest, err);

	if (r < 0)
		return r;
	*ret = (struct resolved){.digest = digest, .is_ref = true, .class = class};
	(void)snprintf(ret->name, sizeof(ret->name), "%s", class == REF_NAME ? "" : name);
	return 0;
}

static int found_digest(const struct cop_store *store, const char *hex,
			struct resolved *ret, struct cop_error *err)
{
	struct cop_digest digest;
	char path[STORE_PATH_SIZE];
	struct stat st;
	int r = cop_digest_parse(hex, &digest);

	if (r < 0)
		return err_set(err, r, "'%s' is not a digest", hex);
	if (fstatat(store->fd, object_path(&digest, path), &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_errno(err, "look for '%s' in store '%s'", path, store->path);
	*ret = (struct resolved){.digest = digest};
	return 0;
}

struct candidates {
	char hex[CANDIDATES_SHOWN][COP_DIGEST_HEX + 1];
	bool is_stage[CANDIDATES_SHOWN];
	size_t n;
};

/* Names in @directory that begin with @prefix, each with @start before it. */
static int collect(const struct cop_store *store, const char *directory,
		   const char *start, const char *prefix, bool is_stage,
		   struct candidates *candidates, struct cop_error *err)
{
	auto_close int fd = openat(store->fd, directory,
				   O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	char **names = NULL;
	size_t n_names = 0;
	int r;

	if (fd < 0)
		return errno == ENOENT ? 0 : err_errno(err, "open '%s'", directory);
	r = fs_list(fd, &names, &n_names, err);
	if (r < 0)
		return err_prefix(err, r, "read '%s'", directory);
	for (size_t i = 0; i < n_names; i++) {
		if (!text_starts_with(names[i], prefix) || !text_is_hex(names[i]) ||
		    strlen(start) + strlen(names[i]) != COP_DIGEST_HEX)
			continue;
		if (candidates->n < CANDIDATES_SHOWN) {
			(void)stpcpy(stpcpy(candidates->hex[candidates->n], start),
				     names[i]);
			candidates->is_stage[candidates->n] = is_stage;
		}
		candidates->n++;
	}
	fs_list_free(names);
	return 0;
}

static int ambiguous(const char *id, const struct candidates *candidates,
		     struct cop_error *err)
{
	char list[CANDIDATES_SHOWN * (COP_DIGEST_HEX + 16) + 8] = "";
	size_t n = candidates->n < CANDIDATES_SHOWN ? candidates->n : CANDIDATES_SHOWN;
	char *end = list;

	for (size_t i = 0; i < n; i++)
		end += sprintf(end, "%s%s %s", i ? ", " : "",
			       candidates->is_stage[i] ? "stage" : "object",
			       candidates->hex[i]);
	if (candidates->n > n)
		(void)stpcpy(end, ", ...");
	return err_set(err, -ENOTUNIQ, "'%s' is ambiguous: it begins %s", id, list);
}

static int resolve_prefix(struct cop_store *store, const char *id, struct resolved *ret,
			  struct cop_error *err)
{
	struct candidates candidates = {};
	char shard[SHARD_DIGITS + 1] = {id[0], id[1]}, directory[STORE_PATH_SIZE];
	int r;

	(void)snprintf(directory, sizeof(directory), "objects/%s", shard);
	r = collect(store, "refs/stage", "", id, true, &candidates, err);
	if (r == 0)
		r = collect(store, directory, shard, id + SHARD_DIGITS, false,
			    &candidates, err);
	if (r < 0)
		return r;
	if (candidates.n == 0)
		return -ENOENT;
	if (candidates.n > 1)
		return ambiguous(id, &candidates, err);
	if (candidates.is_stage[0])
		return found_ref(store, REF_STAGE, candidates.hex[0], ret, err);
	return found_digest(store, candidates.hex[0], ret, err);
}

static int resolve_known(struct cop_store *store, const char *id, struct resolved *ret,
			 struct cop_error *err)
{
	int r;

	if (ref_name_is_valid(REF_NAME, id))
		return found_ref(store, REF_NAME, id, ret, err);
	if (text_starts_with(id, FAILED) &&
	    ref_name_is_valid(REF_FAILED, id + strlen(FAILED)))
		return found_ref(store, REF_FAILED, id + strlen(FAILED), ret, err);
	if (!ref_looks_like_id(id))
		return -ENOENT;
	if (strlen(id) < COP_DIGEST_HEX)
		return resolve_prefix(store, id, ret, err);
	r = found_ref(store, REF_STAGE, id, ret, err);
	return r == -ENOENT ? found_digest(store, id, ret, err) : r;
}

int resolve(struct cop_store *store, const char *id, struct resolved *ret,
	    struct cop_error *err)
{
	int r = resolve_known(store, id, ret, err);

	if (r == -ENOENT)
		return err_set(err, -ENOENT, "no tree '%s' in store '%s'", id,
			       store->path);
	return r;
}

int store_find_ref(struct cop_store *store, const char *word, enum ref_class *ret_class,
		   char name[STORE_REF_SIZE], struct cop_error *err)
{
	struct resolved found = {};
	int r = resolve(store, word, &found, err);

	if (r < 0)
		return r;
	if (!found.is_ref)
		return err_set(
			err, -ENOENT,
			"'%s' is a digest: give the tree a name first ('coppice ref "
			"set NAME %.12s')",
			word, word);
	*ret_class = found.class;
	(void)snprintf(name, STORE_REF_SIZE, "%s", *found.name ? found.name : word);
	return 0;
}

int cop_store_resolve(struct cop_store *store, const char *id,
		      struct cop_digest *ret_digest, struct cop_error *err)
{
	struct resolved found = {};
	int r = resolve(store, id, &found, err);

	if (r == 0)
		*ret_digest = found.digest;
	return r;
}

int cop_store_contains(struct cop_store *store, const char *id, struct cop_error *err)
{
	struct resolved found = {};
	int r;

	if (!id)
		return 0;
	r = resolve(store, id, &found, err);
	if (r == -ENOENT)
		return 0;
	return r < 0 ? r : object_exists(store, &found.digest, err);
}
