/* SPDX-License-Identifier: Apache-2.0 */
#include "recipe/index.h"

#include <fcntl.h>
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
	char *text;
	size_t size;
};

struct index {
	struct arena *arena;
	struct listing *listings;
	struct map *names; /* name -> struct index_entry, the first */
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

static int add_entry(struct index *index, const char *stanza, size_t size,
		     const char *repository, struct cop_error *err)
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
	*entry = (struct index_entry){stanza, size, repository, NULL};
	if (!*slot) {
		*slot = entry;
		return 0;
	}
	for (last = *slot; last->next;)
		last = last->next;
	last->next = entry;
	return 0;
}

static int add_text(struct index *index, const char *text, size_t size,
		    const char *repository, struct cop_error *err)
{
	const char *end = text + size;

	while (text < end) {
		const char *stop = memmem(text, (size_t)(end - text), "\n\n", 2);
		int r;

		if (!stop)
			stop = end;
		r = add_entry(index, text, (size_t)(stop - text), repository, err);
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
	*listing = (struct listing){index->listings, text, (size_t)st.st_size};
	index->listings = listing;
	return add_text(index, text, listing->size, repository, err);
}

int index_add_stanza(struct index *index, const char *stanza, size_t size,
		     const char *repository, struct cop_error *err)
{
	char *copy = arena_memdup(index->arena, stanza, size);

	if (!copy)
		return err_oom(err);
	return add_text(index, copy, size, repository, err);
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
