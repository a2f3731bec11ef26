/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lock as text: docs/lock-format.md.  One fact per line, fields separated by one
 * space, written in one way only, so that a lock that was read and written again has the
 * same bytes.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/map.h"
#include "base/text.h"
#include "recipe/check.h"
#include "recipe/model.h"
#include "recipe/numbers.h"

#define LOCK_SIZE_MAX	 (64 * MIB)
#define LIST_MAX	 64
#define REPOSITORIES_MAX 64
#define FINGERPRINT_MIN	 40
#define FINGERPRINT_MAX	 64

struct lock *lock_new(void)
{
	struct lock *lock = calloc(1, sizeof(*lock));

	if (lock)
		lock->arena = arena_new();
	return lock && !lock->arena ? lock_free(lock) : lock;
}

struct lock *lock_free(struct lock *lock)
{
	struct arena *arena = lock ? lock->arena : NULL;

	free(lock);
	arena_free(arena);
	return NULL;
}

char *lock_path(const char *recipe_path)
{
	auto_buf path = {};

	(void)buf_printf(&path, "%s.lock", recipe_path);
	return buf_take(&path);
}

const struct lock_package *lock_find(const struct lock *lock, const char *name)
{
	for (size_t i = 0; i < lock->n_packages; i++)
		if (strcmp(lock->packages[i].name, name) == 0)
			return &lock->packages[i];
	return NULL;
}

bool lock_matches(const struct lock *lock, const struct recipe *recipe)
{
	return strcmp(lock->request, recipe->request) == 0;
}

/* --- writing --- */

/* Space, '%' and everything unprintable as %XX. */
static void append_field(struct buf *buf, const char *text)
{
	if (!*text)
		(void)buf_append_text(buf, "%");
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c <= ' ' || c == '%' || c == ',' || c >= 0x7f)
			(void)buf_printf(buf, "%%%02X", c);
		else
			(void)buf_append_char(buf, (char)c);
	}
}

static void append_list(struct buf *buf, const char **texts)
{
	if (!*texts)
		(void)buf_append_char(buf, '%');
	for (size_t i = 0; texts[i]; i++) {
		if (i > 0)
			(void)buf_append_char(buf, ',');
		append_field(buf, texts[i]);
	}
}

static void append_repository(struct buf *buf, const struct lock_repository *repository)
{
	(void)buf_append_text(buf, "repository ");
	append_field(buf, repository->id);
	(void)buf_append_char(buf, ' ');
	append_field(buf, repository->origin);
	(void)buf_append_char(buf, ' ');
	append_field(buf, repository->label);
	(void)buf_append_char(buf, ' ');
	append_field(buf, repository->suite);
	(void)buf_append_char(buf, ' ');
	append_list(buf, repository->components);
	(void)buf_append_char(buf, ' ');
	append_list(buf, repository->keys);
	(void)buf_append_char(buf, '\n');
}

static void append_package(struct buf *buf, const struct lock_package *package)
{
	(void)buf_printf(buf, "package %s %s %s %s %llu %s %s ", package->layer,
			 package->name, package->version, package->architecture,
			 (unsigned long long)package->size, package->sha256,
			 package->repository);
	append_field(buf, package->path);
	(void)buf_append_text(buf, package->manual ? " manual\n" : " automatic\n");
}

int lock_format(const struct lock *lock, struct buf *buf, struct cop_error *err)
{
	(void)buf_append_text(buf, "coppice-lock 1\n");
	(void)buf_printf(buf, "suite %s\narchitecture %s\nrequest %s\n", lock->suite,
			 lock->architecture, lock->request);
	if (lock->snapshot)
		(void)buf_printf(buf, "snapshot %s\n", lock->snapshot);
	(void)buf_printf(buf, "source-epoch %lld\ndate %s\n",
			 (long long)lock->source_epoch, lock->date);
	for (size_t i = 0; i < lock->n_repositories; i++)
		append_repository(buf, &lock->repositories[i]);
	for (size_t i = 0; i < lock->n_packages; i++)
		append_package(buf, &lock->packages[i]);
	for (size_t i = 0; i < lock->n_accounts; i++)
		(void)buf_printf(buf, "account %s %u %s\n", lock->accounts[i].name,
				 (unsigned int)lock->accounts[i].number,
				 lock->accounts[i].package);
	return buf->failed ? err_oom(err) : 0;
}

int lock_save(const struct lock *lock, const char *path, struct cop_error *err)
{
	auto_free char *directory = strdup(path);
	auto_close int directory_fd = -EBADF;
	auto_buf text = {};
	char *slash;
	int r = lock_format(lock, &text, err);

	if (r < 0)
		return r;
	if (!directory)
		return err_oom(err);
	slash = strrchr(directory, '/');
	if (slash)
		slash[slash == directory] = '\0';
	directory_fd = open(slash ? directory : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (directory_fd < 0)
		return err_errno(err, "write lock '%s'", path);
	slash = strrchr(path, '/');
	r = fs_replace_at(directory_fd, slash ? slash + 1 : path, text.data, text.size,
			  0644, err);
	return r < 0 ? err_prefix(err, r, "write lock '%s'", path) : 0;
}

/* --- reading --- */

struct lines {
	const char *name;
	char *next;
	unsigned int number;
	struct lock *lock;
	size_t room_for_packages;
	struct map *packages; /* by name: a package is in one layer */
	struct map *tools;    /* but may be among the tools, too */
	struct map *layers;   /* those that have begun */
	struct map *repositories;
	bool numbers[NUMBER_LAST + 1]; /* of accounts */
};

static int wrong(const struct lines *lines, struct cop_error *err, const char *reason,
		 const char *value)
{
	(void)err_set(err, -EINVAL, "%s:%u: %s%s%.128s%s", lines->name, lines->number,
		      reason, value ? " '" : "", value ? value : "", value ? "'" : "");
	return -EINVAL;
}

/* The next line without its end, NULL at the end of the text. */
static char *next_line(struct lines *lines)
{
	char *line = lines->next, *end = strchr(line, '\n');

	lines->number++;
	if (!end)
		return NULL;
	*end = '\0';
	lines->next = end + 1;
	return line;
}

/* Exactly @n fields with one separator between them. */
static bool split(char *line, char separator, char **fields, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char *end = strchr(line, separator);

		fields[i] = line;
		if ((i + 1 < n) != (end != NULL) || end == line || *line == '\0')
			return false;
		if (end) {
			*end = '\0';
			line = end + 1;
		}
	}
	return true;
}

/* Undo append_field() in place; false for what it does not write. */
static bool decode_field(char *field)
{
	char *to = field;

	if (strcmp(field, "%") == 0) {
		*field = '\0';
		return true;
	}
	for (char *from = field; *from; from++) {
		unsigned char c = (unsigned char)*from;

		if (c <= ' ' || c == ',' || c >= 0x7f)
			return false;
		if (c == '%') {
			char digits[3] = {};

			for (size_t i = 0; i < 2; i++) {
				char d = *++from;

				if (d >= 'A' && d <= 'F')
					d = (char)(d - 'A' + 'a');
				else if (d < '0' || d > '9')
					return false;
				digits[i] = d;
			}
			if (hex_decode(digits, &c, 1) < 0 ||
			    (c > ' ' && c != '%' && c != ',' && c < 0x7f) || c == '\0')
				return false;
		}
		*to++ = (char)c;
	}
	*to = '\0';
	return true;
}

static int decode_list(const struct lines *lines, char *field, const char ***ret_list,
		       struct cop_error *err)
{
	const char **list;
	size_t n = 1, i = 0;

	if (strcmp(field, "%") == 0)
		field = NULL;
	for (const char *p = field; p && *p; p++)
		n += *p == ',';
	if (n > LIST_MAX)
		return wrong(lines, err, "too many parts in", field);
	list = arena_alloc(lines->lock->arena, (n + 1) * sizeof(*list));
	if (!list)
		return err_oom(err);
	while (field) {
		char *part = strsep(&field, ",");

		if (!*part || !decode_field(part) || !*part)
			return wrong(lines, err, "not a list", part);
		list[i] = arena_text(lines->lock->arena, part);
		if (!list[i++])
			return err_oom(err);
	}
	*ret_list = list;
	return 0;
}

static bool is_fingerprint(const char *text)
{
	size_t length = strlen(text);

	if (length < FINGERPRINT_MIN || length > FINGERPRINT_MAX)
		return false;
	for (; *text; text++)
		if (!strchr("0123456789ABCDEF", *text))
			return false;
	return true;
}

static int read_repository(struct lines *lines, char *line, struct cop_error *err)
{
	struct lock *lock = lines->lock;
	struct lock_repository *repository = &lock->repositories[lock->n_repositories];
	char *fields[7];
	void **slot;
	int r;

	if (lock->n_repositories == REPOSITORIES_MAX)
		return wrong(lines, err, "too many repositories", NULL);
	if (!split(line, ' ', fields, 7))
		return wrong(lines, err, "a repository has 6 fields", NULL);
	for (size_t i = 1; i < 5; i++)
		if (!decode_field(fields[i]))
			return wrong(lines, err, "not a field of a repository",
				     fields[i]);
	if (!check_repository_id(fields[1]) || !check_repository_suite(fields[4]) ||
	    strcmp(fields[1], LOCAL_REPOSITORY) == 0)
		return wrong(lines, err, "not a repository's name", fields[1]);
	repository->id = arena_text(lock->arena, fields[1]);
	repository->origin = arena_text(lock->arena, fields[2]);
	repository->label = arena_text(lock->arena, fields[3]);
	repository->suite = arena_text(lock->arena, fields[4]);
	if (!repository->id || !repository->origin || !repository->label ||
	    !repository->suite)
		return err_oom(err);
	r = decode_list(lines, fields[5], &repository->components, err);
	if (r >= 0)
		r = decode_list(lines, fields[6], &repository->keys, err);
	if (r < 0)
		return r;
	for (const char **key = repository->keys; *key; key++)
		if (!is_fingerprint(*key))
			return wrong(lines, err, "not a key's fingerprint", *key);
	slot = map_slot(lines->repositories, repository->id, strlen(repository->id));
	if (!slot)
		return err_oom(err);
	if (*slot)
		return wrong(lines, err, "a second repository", repository->id);
	*slot = repository;
	lock->n_repositories++;
	return 0;
}

/* --- packages --- */

static int check_package(const struct lines *lines, char **fields, uint64_t *ret_size,
			 struct cop_error *err)
{
	const char *architecture = lines->lock->architecture;

	if (!check_word(fields[1]))
		return wrong(lines, err, "not a layer's name", fields[1]);
	if (!check_package_name(fields[2]))
		return wrong(lines, err, "not a package's name", fields[2]);
	if (!check_version(fields[3]))
		return wrong(lines, err, "not a version", fields[3]);
	if (strcmp(fields[4], architecture) != 0 && strcmp(fields[4], "all") != 0)
		return wrong(lines, err, "not the lock's architecture", fields[4]);
	if (text_to_u64(fields[5], ret_size) < 0 || (fields[5][0] == '0' && fields[5][1]))
		return wrong(lines, err, "not a size", fields[5]);
	if (strlen(fields[6]) != SHA256_HEX || !text_is_hex(fields[6]))
		return wrong(lines, err, "not a SHA-256", fields[6]);
	if (strcmp(fields[7], LOCAL_REPOSITORY) != 0 &&
	    !map_get(lines->repositories, fields[7], strlen(fields[7])))
		return wrong(lines, err, "no such repository", fields[7]);
	if (!decode_field(fields[8]) || !check_relative_path(fields[8]))
		return wrong(lines, err, "not a path in a repository", fields[8]);
	if (strcmp(fields[9], "manual") != 0 && strcmp(fields[9], "automatic") != 0)
		return wrong(lines, err, "neither manual nor automatic", fields[9]);
	return 0;
}

/* Layers come one after the other, and each package once. */
static int place_package(struct lines *lines, struct lock_package *package,
			 struct cop_error *err)
{
	struct lock *lock = lines->lock;
	struct lock_package *before =
		lock->n_packages ? &lock->packages[lock->n_packages - 1] : NULL;
	void **slot = map_slot(lock_is_tool(package) ? lines->tools : lines->packages,
			       package->name, strlen(package->name));

	if (!slot)
		return err_oom(err);
	if (*slot)
		return wrong(lines, err, "a second package", package->name);
	*slot = package;
	if (!before && strcmp(package->layer, BASE_LAYER) != 0)
		return wrong(lines, err, "the first layer is not '" BASE_LAYER "' but",
			     package->layer);
	if (!before || strcmp(before->layer, package->layer) != 0) {
		slot = map_slot(lines->layers, package->layer, strlen(package->layer));
		if (!slot)
			return err_oom(err);
		if (*slot)
			return wrong(lines, err, "a second part of layer",
				     package->layer);
		if (before && lock_is_tool(before))
			return wrong(lines, err,
				     "a layer behind that of the tools:", package->layer);
		*slot = package;
	}
	return 0;
}

static int read_package(struct lines *lines, char *line, struct cop_error *err)
{
	struct lock *lock = lines->lock;
	struct lock_package *package;
	char *fields[10];
	uint64_t size = 0;
	int r;

	/* There is room for as many packages as there are lines. */
	package = &lock->packages[lock->n_packages];
	if (!split(line, ' ', fields, 10))
		return wrong(lines, err, "a package has 9 fields", NULL);
	r = check_package(lines, fields, &size, err);
	if (r < 0)
		return r;
	package->layer = arena_text(lock->arena, fields[1]);
	package->name = arena_text(lock->arena, fields[2]);
	package->version = arena_text(lock->arena, fields[3]);
	package->architecture = arena_text(lock->arena, fields[4]);
	package->size = size;
	package->sha256 = arena_text(lock->arena, fields[6]);
	package->repository = arena_text(lock->arena, fields[7]);
	package->path = arena_text(lock->arena, fields[8]);
	package->manual = strcmp(fields[9], "manual") == 0;
	if (!package->layer || !package->name || !package->version ||
	    !package->architecture || !package->sha256 || !package->repository ||
	    !package->path)
		return err_oom(err);
	r = place_package(lines, package, err);
	if (r < 0)
		return r;
	lock->n_packages++;
	return 0;
}

/* --- accounts --- */

/* By name, then by package; each name has a number that no other has. */
static int place_account(struct lines *lines, const struct lock_account *account,
			 struct cop_error *err)
{
	const struct lock *lock = lines->lock;
	const struct lock_account *before =
		lock->n_accounts ? &lock->accounts[lock->n_accounts - 1] : NULL;
	int order = before ? strcmp(before->name, account->name) : -1;

	if (order > 0 || (order == 0 && strcmp(before->package, account->package) >= 0))
		return wrong(lines, err, "not behind the account before:", account->name);
	if (order == 0 ? before->number != account->number
		       : lines->numbers[account->number])
		return wrong(lines, err, "not the one number of", account->name);
	lines->numbers[account->number] = true;
	return 0;
}

static int read_account(struct lines *lines, char *line, struct cop_error *err)
{
	struct lock *lock = lines->lock;
	struct lock_account *account = &lock->accounts[lock->n_accounts];
	char *fields[4];
	uint64_t number = 0;
	int r;

	if (!split(line, ' ', fields, 4))
		return wrong(lines, err, "an account has 3 fields", NULL);
	if (!check_word(fields[1]) && !check_account(fields[1]) &&
	    !check_account(fields[1] + 1))
		return wrong(lines, err, "not a user's or group's name", fields[1]);
	if (text_to_u64(fields[2], &number) < 0 || fields[2][0] == '0' ||
	    number < NUMBER_FIRST || number > NUMBER_LAST)
		return wrong(lines, err, "not a system user's number", fields[2]);
	if (!map_get(lines->packages, fields[3], strlen(fields[3])) &&
	    !map_get(lines->tools, fields[3], strlen(fields[3])))
		return wrong(lines, err, "no such package", fields[3]);
	account->name = arena_text(lock->arena, fields[1]);
	account->number = (uint32_t)number;
	account->package = arena_text(lock->arena, fields[3]);
	if (!account->name || !account->package)
		return err_oom(err);
	r = place_account(lines, account, err);
	lock->n_accounts += r >= 0;
	return r;
}

/* --- header --- */

static int read_value(struct lines *lines, const char *key, const char **ret_value,
		      struct cop_error *err)
{
	char *line = next_line(lines);
	size_t length = strlen(key);

	if (!line || strncmp(line, key, length) != 0 || line[length] != ' ' ||
	    !line[length + 1])
		return wrong(lines, err, "expected the line", key);
	*ret_value = arena_text(lines->lock->arena, line + length + 1);
	if (!*ret_value) {
		(void)err_oom(err);
		return -ENOMEM;
	}
	return 0;
}

static int read_answer(struct lines *lines, struct cop_error *err)
{
	struct lock *lock = lines->lock;
	const char *epoch = NULL;
	uint64_t seconds = 0;
	int r = 0;

	if (text_starts_with(lines->next, "snapshot ")) {
		r = read_value(lines, "snapshot", &lock->snapshot, err);
		if (r >= 0 && !check_date(lock->snapshot))
			return wrong(lines, err, "not a date", lock->snapshot);
	}
	if (r >= 0)
		r = read_value(lines, "source-epoch", &epoch, err);
	if (r < 0)
		return r;
	if (text_to_u64(epoch, &seconds) < 0 || seconds > INT64_MAX ||
	    (epoch[0] == '0' && epoch[1]))
		return wrong(lines, err, "not a time in seconds", epoch);
	lock->source_epoch = (int64_t)seconds;
	r = read_value(lines, "date", &lock->date, err);
	if (r >= 0 && !check_date(lock->date))
		return wrong(lines, err, "not a date", lock->date);
	return r;
}

static int read_header(struct lines *lines, struct cop_error *err)
{
	struct lock *lock = lines->lock;
	const char *line = next_line(lines);
	int r;

	if (!line || !text_starts_with(line, "coppice-lock "))
		return wrong(lines, err, "not a lock of coppice", NULL);
	if (strcmp(line, "coppice-lock 1") != 0)
		return wrong(lines, err, "a lock of a version that is not known:", line);
	r = read_value(lines, "suite", &lock->suite, err);
	if (r >= 0 && !check_suite(lock->suite))
		return wrong(lines, err, "not a suite", lock->suite);
	if (r >= 0)
		r = read_value(lines, "architecture", &lock->architecture, err);
	if (r >= 0 && !check_architecture(lock->architecture))
		return wrong(lines, err, "not an architecture", lock->architecture);
	if (r >= 0)
		r = read_value(lines, "request", &lock->request, err);
	if (r >= 0 &&
	    (strlen(lock->request) != SHA256_HEX || !text_is_hex(lock->request)))
		return wrong(lines, err, "not a SHA-256", lock->request);
	return r < 0 ? r : read_answer(lines, err);
}

static int read_lines(struct lines *lines, struct cop_error *err)
{
	struct lock *lock = lines->lock;
	char *line;
	int r = read_header(lines, err);

	while (r >= 0 && (line = next_line(lines))) {
		if (text_starts_with(line, "account ") && lock->n_packages > 0)
			r = read_account(lines, line, err);
		else if (text_starts_with(line, "package ") && lock->n_accounts == 0)
			r = read_package(lines, line, err);
		else if (text_starts_with(line, "repository ") && lock->n_packages == 0)
			r = read_repository(lines, line, err);
		else
			r = wrong(lines, err, "expected a package, found", line);
	}
	if (r < 0)
		return r;
	if (*lines->next)
		return wrong(lines, err, "the last line is cut", NULL);
	if (lock->n_packages == 0)
		return wrong(lines, err, "no package in it", NULL);
	return 0;
}

int lock_parse(const char *name, const char *text, size_t size, struct lock **ret_lock,
	       struct cop_error *err)
{
	auto_ptr(lock) lock = lock_new();
	auto_ptr(map) packages = map_new();
	auto_ptr(map) tools = map_new();
	auto_ptr(map) layers = map_new();
	auto_ptr(map) repositories = map_new();
	struct lines lines = {.name = name,
			      .lock = lock,
			      .packages = packages,
			      .tools = tools,
			      .layers = layers,
			      .repositories = repositories};
	auto_free char *copy = malloc(size + 1);
	size_t n_lines = 1;
	int r;

	if (!lock || !packages || !tools || !layers || !repositories || !copy)
		return err_oom(err);
	if (memchr(text, '\0', size))
		return err_set(err, -EINVAL, "%s: a NUL byte in it", name);
	memcpy(copy, text, size);
	copy[size] = '\0';
	lines.next = copy;
	for (size_t i = 0; i < size; i++)
		n_lines += text[i] == '\n';
	lock->packages = arena_alloc(lock->arena, n_lines * sizeof(*lock->packages));
	lock->repositories = arena_alloc(
		lock->arena, (REPOSITORIES_MAX + 1) * sizeof(*lock->repositories));
	lock->accounts = arena_alloc(lock->arena, n_lines * sizeof(*lock->accounts));
	if (!lock->packages || !lock->repositories || !lock->accounts)
		return err_oom(err);
	r = read_lines(&lines, err);
	if (r < 0)
		return r;
	*ret_lock = TAKE_PTR(lock);
	return 0;
}

int lock_load(const char *path, struct lock **ret_lock, struct cop_error *err)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	auto_buf text = {};
	struct stat st;
	int r;

	if (fd < 0)
		return err_errno(err, "open lock '%s'", path);
	if (fstat(fd, &st) < 0)
		return err_errno(err, "stat lock '%s'", path);
	if (!S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "lock '%s' is not a regular file", path);
	r = fs_read_all(fd, LOCK_SIZE_MAX, &text, err);
	if (r < 0)
		return err_prefix(err, r, "lock '%s'", path);
	return lock_parse(path, buf_text(&text), text.size, ret_lock, err);
}
