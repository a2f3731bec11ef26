/* SPDX-License-Identifier: Apache-2.0 */
#include "recipe/index.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/arena.h"
#include "base/map.h"

#define PROVIDERS_MAX 8

/* A mapped Packages file. */
struct listing {
	struct listing *next;
	char *path;
	char *text;
	size_t size;
	struct index_entry *first, *last;
};

/* One package that provides a name. */
struct provider {
	struct provider *next;
	struct index_entry *entry;
};

struct index {
	struct arena *arena;
	struct listing *listings;
	struct map *names;     /* name -> struct index_entry, the first */
	struct map *providers; /* name -> struct provider; made when first needed */
};

struct index *index_new(void)
{
	auto_ptr(index) index = calloc(1, sizeof(*index));

	if (!index)
		return NULL;
	index->arena = arena_new();
	index->names = map_new();
	return index->arena && index->names ? TAKE_PTR(index) : NULL;
}

struct index *index_free(struct index *index)
{
	if (!index)
		return NULL;
	for (struct listing *listing = index->listings; listing; listing = listing->next)
		(void)munmap(listing->text, listing->size);
	map_free(index->names);
	map_free(index->providers);
	arena_free(index->arena);
	free(index);
	return NULL;
}

/* The first line of a field's value, not NUL-terminated; NULL: no such field. */
static const char *find_field(const char *stanza, size_t size, const char *field,
			      size_t *ret_size)
{
	const char *end = stanza + size;
	size_t length = strlen(field);

	for (const char *line = stanza; line < end;) {
		const char *stop = memchr(line, '\n', (size_t)(end - line));

		if (!stop)
			stop = end;
		if ((size_t)(stop - line) > length && line[length] == ':' &&
		    strncasecmp(line, field, length) == 0) {
			line += length + 1;
			while (line < stop && (*line == ' ' || *line == '\t'))
				line++;
			while (stop > line && (stop[-1] == ' ' || stop[-1] == '\t'))
				stop--;
			*ret_size = (size_t)(stop - line);
			return line;
		}
		line = stop + 1;
	}
	return NULL;
}

static int add_entry(struct index *index, struct listing *listing, const char *stanza,
		     size_t size, const char *repository, struct cop_error *err)
{
	size_t name_size = 0;
	const char *name = find_field(stanza, size, "Package", &name_size);
	struct index_entry *entry, *last;
	void **slot;

	if (!name || name_size == 0)
		return 0;
	entry = arena_alloc(index->arena, sizeof(*entry));
	slot = map_slot(index->names, name, name_size);
	if (!entry || !slot)
		return err_oom(err);
	*entry = (struct index_entry){
		.stanza = stanza, .size = size, .repository = repository};
	if (listing && listing->last)
		listing->last->after = entry;
	else if (listing)
		listing->first = entry;
	if (listing)
		listing->last = entry;
	if (!*slot) {
		*slot = entry;
		return 0;
	}
	for (last = *slot; last->next;)
		last = last->next;
	last->next = entry;
	return 0;
}

static int add_text(struct index *index, struct listing *listing, const char *text,
		    size_t size, const char *repository, struct cop_error *err)
{
	const char *end = text + size;

	while (text < end) {
		const char *stop = memmem(text, (size_t)(end - text), "\n\n", 2);
		int r;

		if (!stop)
			stop = end;
		r = add_entry(index, listing, text, (size_t)(stop - text), repository,
			      err);
		if (r < 0)
			return r;
		text = stop;
		while (text < end && *text == '\n')
			text++;
	}
	return 0;
}

int index_add_file(struct index *index, const char *path, const char *repository,
		   struct cop_error *err)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct listing *listing;
	struct stat st;
	void *text;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_errno(err, "open '%s'", path);
	if (st.st_size == 0)
		return 0;
	listing = arena_alloc(index->arena, sizeof(*listing));
	if (!listing)
		return err_oom(err);
	text = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (text == MAP_FAILED)
		return err_errno(err, "map '%s'", path);
	*listing = (struct listing){
		.next = index->listings, .text = text, .size = (size_t)st.st_size};
	index->listings = listing;
	listing->path = arena_memdup(index->arena, path, strlen(path));
	if (!listing->path)
		return err_oom(err);
	return add_text(index, listing, text, listing->size, repository, err);
}

int index_add_stanza(struct index *index, const char *stanza, size_t size,
		     const char *repository, struct cop_error *err)
{
	char *copy = arena_memdup(index->arena, stanza, size);

	if (!copy)
		return err_oom(err);
	return add_text(index, NULL, copy, size, repository, err);
}

bool index_is(const struct index_entry *entry, const char *field, const char *value)
{
	size_t size = 0;
	const char *found = find_field(entry->stanza, entry->size, field, &size);

	return found && size == strlen(value) && memcmp(found, value, size) == 0;
}

const struct index_entry *index_find(const struct index *index, const char *name,
				     const char *version)
{
	const struct index_entry *entry = map_get(index->names, name, strlen(name));

	while (entry && version && !index_is(entry, "Version", version))
		entry = entry->next;
	return entry;
}

int index_field(const struct index_entry *entry, const char *field, struct buf *value)
{
	size_t size = 0;
	const char *found = find_field(entry->stanza, entry->size, field, &size);

	return found ? buf_append(value, found, size) : -ENOENT;
}

/* "awk, editor (= 2)" has both names. */
static bool list_has(const char *list, size_t size, const char *name)
{
	size_t length = strlen(name);
	const char *end = list + size;

	while (list < end) {
		const char *stop = memchr(list, ',', (size_t)(end - list));

		while (list < end && *list == ' ')
			list++;
		if (!stop)
			stop = end;
		if ((size_t)(stop - list) >= length && memcmp(list, name, length) == 0 &&
		    (list + length == stop || list[length] == ' '))
			return true;
		list = stop + 1;
	}
	return false;
}

int index_providers(const struct index *index, const char *name, struct buf *names)
{
	const void *provider;
	size_t position = 0, provider_size, n = 0;
	void *value;

	while (n < PROVIDERS_MAX &&
	       map_next(index->names, &position, &provider, &provider_size, &value)) {
		const struct index_entry *entry = value;
		size_t size = 0;
		const char *list =
			find_field(entry->stanza, entry->size, "Provides", &size);

		if (!list || !list_has(list, size, name))
			continue;
		if (n++ > 0)
			(void)buf_append_text(names, ", ");
		(void)buf_append(names, provider, provider_size);
	}
	return names->failed ? -ENOMEM : 0;
}

/* Is one letter changed, missing, too many, or swapped with its neighbour? */
static bool is_near(const char *a, size_t a_size, const char *b, size_t b_size)
{
	size_t start = 0, end = 0;

	while (start < a_size && start < b_size && a[start] == b[start])
		start++;
	while (end < a_size - start && end < b_size - start &&
	       a[a_size - 1 - end] == b[b_size - 1 - end])
		end++;
	a_size -= start + end;
	b_size -= start + end;
	if (a_size <= 1 && b_size <= 1)
		return true;
	return a_size == 2 && b_size == 2 && a[start] == b[start + 1] &&
	       a[start + 1] == b[start];
}

const char *index_nearest(const struct index *index, const char *name, struct buf *buf)
{
	const void *other, *nearest = NULL;
	size_t position = 0, other_size, nearest_size = 0, size = strlen(name);

	if (size < 3)
		return NULL;
	while (map_next(index->names, &position, &other, &other_size, NULL)) {
		if (!is_near(name, size, other, other_size))
			continue;
		/* The table has no order: take the first by name. */
		if (!nearest || other_size < nearest_size ||
		    (other_size == nearest_size &&
		     memcmp(other, nearest, other_size) < 0)) {
			nearest = other;
			nearest_size = other_size;
		}
	}
	if (!nearest || buf_append(buf, nearest, nearest_size) < 0)
		return NULL;
	return buf_text(buf);
}

/* --- what can be reached --- */

/* A field's value with the lines that continue it; NULL without the field. */
static const char *find_lines(const struct index_entry *entry, const char *field,
			      size_t *ret_size)
{
	const char *end = entry->stanza + entry->size, *stop;
	const char *start = find_field(entry->stanza, entry->size, field, ret_size);

	if (!start)
		return NULL;
	stop = start + *ret_size;
	while (stop < end && (*stop != '\n' || (stop + 1 < end && stop[1] == ' ')))
		stop++;
	*ret_size = (size_t)(stop - start);
	return start;
}

/* "a (>= 1) | b:any, c": the next name at *@list, which is moved behind it. */
static bool next_name(const char **list, const char *end, const char **ret_name,
		      size_t *ret_size)
{
	const char *at = *list, *stop;

	while (at < end && strchr(" \t\n,|", *at))
		at++;
	stop = at;
	while (stop < end && !strchr(" \t\n,|:(", *stop))
		stop++;
	*ret_name = at;
	*ret_size = (size_t)(stop - at);
	while (stop < end && *stop != ',' && *stop != '|')
		stop++;
	*list = stop;
	return *ret_size > 0;
}

static int add_provider(struct index *index, struct index_entry *entry, const char *name,
			size_t size)
{
	void **slot = map_slot(index->providers, name, size);
	struct provider *provider = arena_alloc(index->arena, sizeof(*provider));

	if (!slot || !provider)
		return -ENOMEM;
	*provider = (struct provider){*slot, entry};
	*slot = provider;
	return 0;
}

static int find_providers(struct index *index)
{
	index->providers = map_new();
	if (!index->providers)
		return -ENOMEM;
	for (struct listing *listing = index->listings; listing; listing = listing->next)
		for (struct index_entry *entry = listing->first; entry;
		     entry = entry->after) {
			size_t size = 0, name_size;
			const char *list = find_lines(entry, "Provides", &size), *name;
			const char *end = list ? list + size : NULL;

			while (list && next_name(&list, end, &name, &name_size))
				if (add_provider(index, entry, name, name_size) < 0)
					return -ENOMEM;
		}
	return 0;
}

/* Entries that were reached and not looked at yet. */
struct reach {
	struct index *index;
	struct index_entry **entries;
	size_t n, capacity;
};

static int reach_entry(struct reach *reach, struct index_entry *entry)
{
	if (entry->reached)
		return 0;
	if (reach->n == reach->capacity) {
		size_t capacity = reach->capacity ? reach->capacity * 2 : 1024;
		struct index_entry **entries = reallocarray(reach->entries, capacity,
							    sizeof(struct index_entry *));

		if (!entries)
			return -ENOMEM;
		reach->entries = entries;
		reach->capacity = capacity;
	}
	entry->reached = true;
	reach->entries[reach->n++] = entry;
	return 0;
}

static int reach_name(struct reach *reach, const char *name, size_t size)
{
	struct index_entry *entry = map_get(reach->index->names, name, size);
	struct provider *provider = map_get(reach->index->providers, name, size);
	int r = 0;

	for (; entry && r == 0; entry = entry->next)
		r = reach_entry(reach, entry);
	for (; provider && r == 0; provider = provider->next)
		r = reach_entry(reach, provider->entry);
	return r;
}

static int reach_dependencies(struct reach *reach, const struct index_entry *entry,
			      bool recommends)
{
	const char *const fields[] = {"Pre-Depends", "Depends",
				      recommends ? "Recommends" : NULL};
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(fields) && fields[i]; i++) {
		size_t size = 0, name_size;
		const char *list = find_lines(entry, fields[i], &size), *name;
		const char *end = list ? list + size : NULL;

		while (list && r == 0 && next_name(&list, end, &name, &name_size))
			r = reach_name(reach, name, name_size);
	}
	return r;
}

static int reach_base(struct reach *reach)
{
	int r = 0;

	for (struct listing *listing = reach->index->listings; listing;
	     listing = listing->next)
		for (struct index_entry *entry = listing->first; entry && r == 0;
		     entry = entry->after)
			if (index_is(entry, "Essential", "yes") ||
			    index_is(entry, "Priority", "required"))
				r = reach_entry(reach, entry);
	return r;
}

int index_reach(struct index *index, const char *const *names, bool recommends,
		struct cop_error *err)
{
	struct reach reach = {.index = index};
	int r = index->providers ? 0 : find_providers(index);

	if (r == 0)
		r = reach_base(&reach);
	for (; *names && r == 0; names++)
		r = reach_name(&reach, *names, strlen(*names));
	while (reach.n > 0 && r == 0)
		r = reach_dependencies(&reach, reach.entries[--reach.n], recommends);
	free(reach.entries);
	return r < 0 ? err_oom(err) : 0;
}

/* The same version with another content, behind one that goes before it. */
static bool is_shadowed(const struct index *index, const struct index_entry *entry,
			const char *aside)
{
	size_t name_size = 0, size = 0, other_size = 0;
	const char *name = find_field(entry->stanza, entry->size, "Package", &name_size);
	const char *version = find_field(entry->stanza, entry->size, "Version", &size);
	const char *sha256 =
		find_field(entry->stanza, entry->size, "SHA256", &other_size);
	const struct index_entry *other = map_get(index->names, name, name_size);
	auto_buf wanted = {}, hash = {};

	if (other == entry || !version || !sha256)
		return false;
	if (buf_append(&wanted, version, size) < 0 ||
	    buf_append(&hash, sha256, other_size) < 0)
		return false;
	for (; other && other != entry; other = other->next)
		if ((!aside || strcmp(other->repository, aside) != 0) &&
		    index_is(other, "Version", wanted.data) &&
		    !index_is(other, "SHA256", hash.data))
			return true;
	return false;
}

int index_write_reached(const struct index *index, const char *path, const char *aside,
			struct buf *text, struct cop_error *err)
{
	const struct listing *listing = index->listings;

	while (listing && strcmp(listing->path, path) != 0)
		listing = listing->next;
	for (const struct index_entry *entry = listing ? listing->first : NULL; entry;
	     entry = entry->after)
		if (entry->reached && !is_shadowed(index, entry, aside)) {
			(void)buf_append(text, entry->stanza, entry->size);
			(void)buf_append_text(text, "\n\n");
		}
	return text->failed ? err_oom(err) : 0;
}
