/* SPDX-License-Identifier: Apache-2.0 */
#include "recipe/numbers.h"

#include <fcntl.h>
#include <stdlib.h>

#include "base/map.h"
#include "recipe/deb.h"
#include "recipe/names.h"

/* One name of one package, and what it asked for; or a name as a whole. */
struct account {
	const char *name;
	size_t package; /* index in the lock; the first one that has it */
	uint32_t number;
	uint32_t asked;
};

struct numbers {
	struct lock *lock;
	const struct lock *previous;
	struct map *pairs; /* "NAME PACKAGE": to tell what was found before */
	struct map *names; /* struct account of each name */
	struct account *found;
	size_t n_found, room;
	size_t package; /* the one that is being read */
	bool taken[NUMBER_LAST + 1];
};

/* --- what there is --- */

static int keep(struct numbers *numbers, const char *name, uint32_t asked,
		struct cop_error *err)
{
	struct arena *arena = numbers->lock->arena;
	const char *package = numbers->lock->packages[numbers->package].name;
	struct account *found;
	auto_buf key = {};
	const char *copy;
	void **slot;

	if (buf_printf(&key, "%s %s", name, package) < 0)
		return err_oom(err);
	copy = arena_memdup(arena, key.data, key.size);
	slot = copy ? map_slot(numbers->pairs, copy, key.size) : NULL;
	if (!slot)
		return err_oom(err);
	if (*slot) {
		size_t i = (size_t)(uintptr_t)*slot - 1;

		if (asked)
			numbers->found[i].asked = asked;
		return 0;
	}
	if (numbers->n_found == numbers->room) {
		size_t room = numbers->room ? 2 * numbers->room : 64;
		struct account *more =
			reallocarray(numbers->found, room, sizeof(*numbers->found));

		if (!more)
			return err_oom(err);
		numbers->found = more;
		numbers->room = room;
	}
	found = &numbers->found[numbers->n_found++];
	*found = (struct account){.name = arena_text(arena, name),
				  .package = numbers->package,
				  .asked = asked};
	*slot = (void *)(uintptr_t)numbers->n_found;
	return found->name ? 0 : err_oom(err);
}

static int found(void *data, const char *name, uint32_t asked, struct cop_error *err)
{
	return keep(data, name, asked, err);
}

static int read_text(void *data, const char *file, const char *text,
		     struct cop_error *err)
{
	return strcmp(file, "sysusers") == 0 ? names_of_sysusers(text, found, data, err)
					     : names_of_script(text, found, data, err);
}

/* The very same package was read for the previous lock. */
static bool is_known(const struct numbers *numbers, const struct lock_package *package)
{
	const struct lock *previous = numbers->previous;

	for (size_t i = 0; previous && previous->n_accounts && i < previous->n_packages;
	     i++)
		if (strcmp(previous->packages[i].sha256, package->sha256) == 0)
			return true;
	return false;
}

static int take_known(struct numbers *numbers, const struct lock_package *package,
		      struct cop_error *err)
{
	const struct lock *previous = numbers->previous;
	int r = 0;

	for (size_t i = 0; i < previous->n_accounts && r == 0; i++)
		if (strcmp(previous->accounts[i].package, package->name) == 0)
			r = keep(numbers, previous->accounts[i].name, 0, err);
	return r;
}

static int read_package(struct numbers *numbers, int directory_fd, struct cop_error *err)
{
	const struct lock_package *package = &numbers->lock->packages[numbers->package];
	char name[SHA256_HEX + 8];
	auto_close int fd = -EBADF;

	if (is_known(numbers, package))
		return take_known(numbers, package, err);
	(void)snprintf(name, sizeof(name), "sha256:%.64s", package->sha256);
	fd = openat(directory_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, "open package '%s'", package->name);
	return deb_texts(fd, package->name, read_text, numbers, err);
}

/* --- who gets what --- */

static int by_package(const void *a, const void *b)
{
	const struct account *const *left = a, *const *right = b;

	if ((*left)->package != (*right)->package)
		return (*left)->package < (*right)->package ? -1 : 1;
	return strcmp((*left)->name, (*right)->name);
}

static int by_name(const void *a, const void *b)
{
	const struct lock_account *left = a, *right = b;
	int order = strcmp(left->name, right->name);

	return order ? order : strcmp(left->package, right->package);
}

static void take_number(struct numbers *numbers, struct account *account, uint32_t number)
{
	if (account->number || number < NUMBER_FIRST || number > NUMBER_LAST ||
	    numbers->taken[number])
		return;
	account->number = number;
	numbers->taken[number] = true;
}

static uint32_t previous_number(const struct numbers *numbers, const char *name)
{
	const struct lock *previous = numbers->previous;

	for (size_t i = 0; previous && i < previous->n_accounts; i++)
		if (strcmp(previous->accounts[i].name, name) == 0)
			return previous->accounts[i].number;
	return 0;
}

static int take_free(struct numbers *numbers, struct account *account,
		     struct cop_error *err)
{
	const uint32_t room = NUMBER_END - NUMBER_FIRST;
	char hex[SHA256_HEX + 1], digits[9] = "";
	uint32_t at;
	int r = sha256_bytes(account->name, strlen(account->name), hex, err);

	if (r < 0)
		return r;
	memcpy(digits, hex, sizeof(digits) - 1);
	at = (uint32_t)strtoul(digits, NULL, 16) % room;
	for (uint32_t n = 0; n < room && !account->number; n++)
		take_number(numbers, account, NUMBER_FIRST + (at + n) % room);
	return account->number
		       ? 0
		       : err_set(err, -ENOSPC,
				 "the packages make more than %u users and groups", room);
}

/* The first package that has a name stands for it: those of a layer come before those of
 * the next one, so that a package more in a later layer changes nothing below. */
static int collect_names(struct numbers *numbers, struct account **ordered, size_t *ret_n,
			 struct cop_error *err)
{
	size_t n = 0;

	for (size_t i = 0; i < numbers->n_found; i++) {
		struct account *one = &numbers->found[i];
		void **slot = map_slot(numbers->names, one->name, strlen(one->name));

		if (!slot)
			return err_oom(err);
		if (!*slot) {
			*slot = one;
			ordered[n++] = one;
		} else if (one->asked) {
			((struct account *)*slot)->asked = one->asked;
		}
	}
	qsort(ordered, n, sizeof(*ordered), by_package);
	*ret_n = n;
	return 0;
}

static int give_numbers(struct numbers *numbers, struct cop_error *err)
{
	auto_free struct account **ordered =
		calloc(numbers->n_found + 1, sizeof(*ordered));
	size_t n = 0;
	int r = ordered ? collect_names(numbers, ordered, &n, err) : err_oom(err);

	for (size_t i = 0; i < n && r == 0; i++)
		take_number(numbers, ordered[i], ordered[i]->asked);
	for (size_t i = 0; i < n && r == 0; i++)
		take_number(numbers, ordered[i],
			    previous_number(numbers, ordered[i]->name));
	/* One outside of the range is the package's own business. */
	for (size_t i = 0; i < n && r == 0; i++)
		if (!ordered[i]->number && !ordered[i]->asked)
			r = take_free(numbers, ordered[i], err);
	return r;
}

static int write_accounts(struct numbers *numbers, struct cop_error *err)
{
	struct lock *lock = numbers->lock;

	lock->accounts = arena_alloc(lock->arena,
				     (numbers->n_found + 1) * sizeof(*lock->accounts));
	if (!lock->accounts)
		return err_oom(err);
	for (size_t i = 0; i < numbers->n_found; i++) {
		const struct account *one = &numbers->found[i];
		const struct account *name =
			map_get(numbers->names, one->name, strlen(one->name));

		if (name && name->number)
			lock->accounts[lock->n_accounts++] = (struct lock_account){
				.name = one->name,
				.number = name->number,
				.package = lock->packages[one->package].name};
	}
	qsort(lock->accounts, lock->n_accounts, sizeof(*lock->accounts), by_name);
	return 0;
}

int numbers_assign(struct lock *lock, const struct lock *previous, int directory_fd,
		   struct cop_error *err)
{
	auto_ptr(map) pairs = map_new();
	auto_ptr(map) names = map_new();
	struct numbers numbers = {
		.lock = lock, .previous = previous, .pairs = pairs, .names = names};
	int r = pairs && names ? 0 : err_oom(err);

	for (size_t i = 0; i < lock->n_packages && r == 0; i++) {
		numbers.package = i;
		r = read_package(&numbers, directory_fd, err);
	}
	if (r == 0)
		r = give_numbers(&numbers, err);
	if (r == 0)
		r = write_accounts(&numbers, err);
	free(numbers.found);
	return r;
}
