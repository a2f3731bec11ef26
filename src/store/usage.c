/* SPDX-License-Identifier: Apache-2.0 */
#include "store/usage.h"

#include <fts.h>
#include <string.h>

#include "store/private.h"

static enum usage_part part_of(const char *name)
{
	static const struct {
		const char *name;
		enum usage_part part;
	} parts[] = {
		{"objects", USAGE_OBJECTS}, {"files", USAGE_FILES},
		{"sources", USAGE_SOURCES}, {"views", USAGE_VIEWS},
		{"refs", USAGE_META},	    {"meta", USAGE_META},
		{"damaged", USAGE_DAMAGED}, {"tmp", USAGE_TMP},
		{"partial", USAGE_TMP},
	};

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		if (strcmp(name, parts[i].name) == 0)
			return parts[i].part;
	return USAGE_OTHER;
}

struct walk {
	FTS *fts;
	struct arena *arena;
	struct map *linked; /* inodes with several names that were counted */
};

static void walk_done(struct walk *walk)
{
	if (walk->fts)
		(void)fts_close(walk->fts);
	map_free(walk->linked);
	arena_free(walk->arena);
}

/* Return: 1 when the inode was counted before. */
static int is_counted(struct walk *walk, const struct stat *st, struct cop_error *err)
{
	char *key;
	void **slot;

	if (S_ISDIR(st->st_mode) || st->st_nlink < 2)
		return 0;
	if (map_get(walk->linked, &st->st_ino, sizeof(st->st_ino)))
		return 1;
	key = arena_memdup(walk->arena, &st->st_ino, sizeof(st->st_ino));
	slot = key ? map_slot(walk->linked, key, sizeof(st->st_ino)) : NULL;
	if (!slot)
		return err_oom(err);
	*slot = walk;
	return 0;
}

static int count(struct walk *walk, const FTSENT *entry, struct usage *usage,
		 struct cop_error *err)
{
	int r;

	/* FTS_NS, FTS_DNR: gone since its directory was read, or not ours to look at */
	if (entry->fts_info == FTS_DP || entry->fts_info == FTS_NS)
		return 0;
	r = is_counted(walk, entry->fts_statp, err);
	if (r != 0)
		return r < 0 ? r : 0;
	usage->n_bytes += (uint64_t)entry->fts_statp->st_blocks * 512;
	usage->n_files += !S_ISDIR(entry->fts_statp->st_mode);
	return 0;
}

int store_usage(struct cop_store *store, struct usage usage[USAGE_PARTS],
		struct cop_error *err)
{
	char *const paths[] = {store->path, NULL};
	cleanup_with(walk_done) struct walk walk = {
		.fts = fts_open(paths, FTS_PHYSICAL | FTS_XDEV | FTS_NOCHDIR, NULL),
		.arena = arena_new(),
		.linked = map_new(),
	};
	enum usage_part part = USAGE_OTHER;
	const FTSENT *entry;

	if (!walk.fts || !walk.arena || !walk.linked)
		return err_oom(err);
	memset(usage, 0, USAGE_PARTS * sizeof(*usage));
	while ((entry = fts_read(walk.fts)) != NULL) {
		int r;

		if (entry->fts_level == 1)
			part = part_of(entry->fts_name);
		r = count(&walk, entry, &usage[part], err);
		if (r < 0)
			return r;
	}
	return 0;
}
