/* SPDX-License-Identifier: Apache-2.0 */
#include "view/table.h"

#include "base/map.h"
#include "view/clock.h"

struct table {
	struct map *by_ino;
	struct record *records; /* never moved: keys lie in them */
	size_t n_records, capacity;
};

struct table *table_new(size_t capacity)
{
	auto_ptr(table) table = calloc(1, sizeof(*table));

	if (!table)
		return NULL;
	table->by_ino = map_new();
	table->records = calloc(capacity, sizeof(*table->records));
	table->capacity = capacity;
	return table->by_ino && table->records ? TAKE_PTR(table) : NULL;
}

struct table *table_free(struct table *table)
{
	if (!table)
		return NULL;
	map_free(table->by_ino);
	free(table->records);
	free(table);
	return NULL;
}

int table_add(struct table *table, const struct walk_entry *entry,
	      const struct timespec *line, struct record **ret_record)
{
	struct record *record = &table->records[table->n_records];
	void **slot;

	if (map_get(table->by_ino, &entry->seen.ino, sizeof(entry->seen.ino)))
		return 0;
	if (table->n_records == table->capacity)
		return -ENOMEM;
	*record = (struct record){
		.base = entry->node,
		.out = entry->seen,
		.young = clock_is_after(&entry->seen.ctime, line),
	};
	slot = map_slot(table->by_ino, &record->out.ino, sizeof(record->out.ino));
	if (!slot)
		return -ENOMEM;
	*slot = record;
	table->n_records++;
	*ret_record = record;
	return 1;
}

static const struct record *find(const struct table *table, uint64_t ino)
{
	return map_get(table->by_ino, &ino, sizeof(ino));
}

const struct record *table_find(const struct table *table, const struct seen *seen)
{
	const struct record *record = find(table, seen->ino);

	return record && seen_is_same_file(&record->out, seen) ? record : NULL;
}

const struct record *table_find_unchanged(const struct table *table,
					  const struct stat *st)
{
	const struct record *record = find(table, st->st_ino);

	if (!record || record->young || !S_ISREG(record->out.mode) ||
	    !S_ISREG(tree_inode(record->base)->mode))
		return NULL;
	return record->out.size == (uint64_t)st->st_size &&
			       seen_same_time(&record->out.mtime, &st->st_mtim) &&
			       seen_same_time(&record->out.ctime, &st->st_ctim)
		       ? record
		       : NULL;
}

bool record_is_untouched(const struct record *record, const struct seen *now)
{
	return !record->young && seen_same_time(&record->out.ctime, &now->ctime) &&
	       seen_same_time(&record->out.mtime, &now->mtime) &&
	       record->out.size == now->size;
}
