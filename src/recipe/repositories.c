/* SPDX-License-Identifier: Apache-2.0 */
#include "recipe/repositories.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/text.h"
#include "recipe/check.h"

#define KEYRINGS     "/etc/apt/keyrings/"
#define SOURCES	     "/etc/apt/sources.list.d/"
#define PREFERENCES  "/etc/apt/preferences.d/"
#define KEY_SIZE_MAX (1 * MIB)
#define KEYS_MAX     8

/* What the key files of OpenPGP begin with. */
#define ARMOR_START   "-----BEGIN PGP "
#define ARMOR_PUBLIC  ARMOR_START "PUBLIC KEY BLOCK-----"
#define KEYBOX_OFFSET 8

/* --- keys --- */

/* NULL, or what is wrong with it. */
static const char *check_key(const char *content, size_t size)
{
	const unsigned char *bytes = (const unsigned char *)content;
	const char *armor = memmem(content, size, ARMOR_START, strlen(ARMOR_START));
	unsigned int tag;

	if (armor)
		return text_starts_with(armor, ARMOR_PUBLIC)
			       ? NULL
			       : "holds something else than public keys";
	if (size > KEYBOX_OFFSET + 4 && memcmp(content + KEYBOX_OFFSET, "KBXf", 4) == 0)
		return "is a keybox; write the key with 'gpg --export' or "
		       "'gpg --armor --export'";
	if (size < 2 || !(bytes[0] & 0x80))
		return "is no OpenPGP key";
	/* The packet's tag: six bits in the new form, four in the old one. */
	tag = bytes[0] & 0x40 ? bytes[0] & 0x3f : (bytes[0] >> 2) & 0xf;
	return tag == 6 ? NULL : "holds something else than public keys";
}

static bool is_armor(const char *content, size_t size)
{
	return memmem(content, size, ARMOR_START, strlen(ARMOR_START)) != NULL;
}

/* Beside the recipe, or where an absolute path says. */
static int read_key(struct decode *decode, const struct node *node, const char *path,
		    struct buf *content, struct cop_error *err)
{
	struct cop_error reason = {};
	auto_close int fd = -EBADF;
	int r = 0;

	if (*path == '/') {
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
		r = fd < 0 ? err_errno(&reason, "open '%s'", path)
			   : fs_read_all(fd, KEY_SIZE_MAX, content, &reason);
	} else if (!check_relative_path(path)) {
		r = err_set(&reason, -EINVAL,
			    "'%.128s' is neither a path below the recipe's directory nor "
			    "a key that begins with " ARMOR_PUBLIC,
			    path);
	} else {
		fd = decode_open_beside(decode->recipe, &reason);
		r = fd < 0 ? fd : fs_read_file(fd, path, KEY_SIZE_MAX, content, &reason);
	}
	return r < 0 ? decode_wrong(decode, node, err, "gpgkeys: %s", reason.message) : 0;
}

static int take_key(struct decode *decode, const struct node *node, const char *text,
		    struct cop_error *err)
{
	struct recipe_repository *repository = decode->item;
	struct recipe_file *key = &repository->keys[repository->n_keys];
	const bool is_here = is_armor(text, strlen(text));
	const char *problem;
	auto_buf content = {};
	int r = 0;

	if (is_here)
		r = buf_append_text(&content, text) < 0 ? err_oom(err) : 0;
	else
		r = read_key(decode, node, text, &content, err);
	if (r < 0)
		return r;
	problem = check_key(buf_text(&content), content.size);
	if (problem)
		return decode_wrong(decode, node, err, "gpgkeys: '%.128s' %s",
				    is_here ? "the key that is given" : text, problem);
	*key = (struct recipe_file){.mode = 0644, .size = content.size};
	key->content =
		arena_memdup(decode->recipe->arena, buf_text(&content), content.size);
	if (!key->content)
		return err_oom(err);
	repository->n_keys++;
	return sha256_bytes(key->content, key->size, key->sha256, err);
}

static int take_keys(struct decode *decode, const struct node *node,
		     struct cop_error *err)
{
	struct recipe_repository *repository = decode->item;
	const struct node *item = node->kind == NODE_LIST ? node->first : node;
	const char **texts = NULL;
	int r = decode_texts(decode, node, true, &texts, err);
	size_t n = r < 0 ? 0 : node->kind == NODE_LIST ? decode_count(node) : 1;

	if (r < 0)
		return r;
	if (n == 0 || n > KEYS_MAX)
		return decode_wrong(decode, node, err, "gpgkeys: 1 to %d keys are wanted",
				    KEYS_MAX);
	repository->keys =
		arena_alloc(decode->recipe->arena, n * sizeof(*repository->keys));
	if (!repository->keys)
		return err_oom(err);
	for (size_t i = 0; i < n && r == 0; i++, item = item->next)
		r = take_key(decode, item, texts[i], err);
	return r;
}

/* The tree's file for it: apt tells the two forms by the name. */
static int name_keys(struct decode *decode, struct recipe_repository *repository,
		     struct cop_error *err)
{
	for (size_t i = 0; i < repository->n_keys; i++) {
		struct recipe_file *key = &repository->keys[i];
		char number[32] = "";
		auto_buf path = {};

		if (i > 0)
			(void)snprintf(number, sizeof(number), "-%zu", i + 1);
		(void)buf_printf(&path, KEYRINGS "%s%s.%s", repository->id, number,
				 is_armor(key->content, key->size) ? "asc" : "gpg");
		key->path =
			path.failed ? NULL : arena_text(decode->recipe->arena, path.data);
		if (!key->path)
			return err_oom(err);
	}
	return 0;
}

/* --- the other keys of a repository --- */

static int take_id(struct decode *decode, const struct node *node, struct cop_error *err)
{
	struct recipe_repository *repository = decode->item;
	int r = decode_text(decode, node, &repository->id, err);

	if (r < 0)
		return r;
	/* Debian's own sources are in the file of that name. */
	if (!check_word(repository->id) || strcmp(repository->id, "debian") == 0)
		return decode_wrong(decode, node, err,
				    "id: '%.64s' cannot be a repository's: lower-case "
				    "letters, digits, '-', '.' and '_', and not 'debian'",
				    node->text);
	return 0;
}

static int take_name(struct decode *decode, const struct node *node,
		     struct cop_error *err)
{
	struct recipe_repository *repository = decode->item;
	int r = decode_text(decode, node, &repository->name, err);

	if (r == 0 && strpbrk(repository->name, "\n\r"))
		return decode_wrong(decode, node, err, "name: more than one line");
	return r;
}

static int take_urls(struct decode *decode, const struct node *node,
		     struct cop_error *err)
{
	struct recipe_repository *repository = decode->item;

	return decode_uris(decode, node, &repository->uris, err);
}

static int take_suites(struct decode *decode, const struct node *node,
		       struct cop_error *err)
{
	struct recipe_repository *repository = decode->item;
	const struct node *item = node->kind == NODE_LIST ? node->first : node;
	int r = decode_texts(decode, node, true, &repository->suites, err);

	if (r == 0 && !*repository->suites)
		return decode_wrong(decode, node, err, "suites: the list is empty");
	for (size_t i = 0; r == 0 && repository->suites[i]; i++, item = item->next) {
		if (!check_repository_suite(repository->suites[i]))
			return decode_wrong(decode, item, err,
					    "suites: '%.64s' is not a suite's name",
					    repository->suites[i]);
		for (size_t j = 0; j < i; j++)
			if (strcmp(repository->suites[i], repository->suites[j]) == 0)
				return decode_wrong(decode, item, err,
						    "suites: '%s' is given twice",
						    repository->suites[i]);
	}
	return r;
}

static int take_components(struct decode *decode, const struct node *node,
			   struct cop_error *err)
{
	struct recipe_repository *repository = decode->item;
	const struct node *item = node->kind == NODE_LIST ? node->first : node;
	int r = decode_texts(decode, node, true, &repository->components, err);

	for (size_t i = 0; r == 0 && repository->components[i]; i++, item = item->next)
		if (!check_component(repository->components[i]))
			return decode_wrong(
				decode, item, err,
				"components: '%.64s' is not a component's name",
				repository->components[i]);
	return r;
}

static int take_priority(struct decode *decode, const struct node *node,
			 struct cop_error *err)
{
	struct recipe_repository *repository = decode->item;
	const char *text = NULL;
	uint64_t number = 0;
	bool negative;
	int r = decode_text(decode, node, &text, err);

	if (r < 0)
		return r;
	negative = *text == '-';
	if (text_to_u64(text + negative, &number) < 0 || number == 0 || number > 32767)
		return decode_wrong(decode, node, err,
				    "priority: '%.32s' is not one of apt's, such as 100 "
				    "or 990",
				    text);
	repository->priority = negative ? -(int)number : (int)number;
	return 0;
}

static int take_enabled(struct decode *decode, const struct node *node,
			struct cop_error *err)
{
	struct recipe_repository *repository = decode->item;
	bool enabled = true;
	int r = decode_flag(decode, node, &enabled, err);

	repository->disabled = !enabled;
	return r;
}

static int take_snapshot(struct decode *decode, const struct node *node,
			 struct cop_error *err)
{
	struct recipe_repository *repository = decode->item;

	return decode_template(decode, node, &repository->snapshot, err);
}

/* --- the list --- */

static bool is_directory(const char *suite)
{
	return text_ends_with(suite, "/");
}

static int check_whole(struct decode *decode, const struct node *node,
		       const struct recipe_repository *repository, struct cop_error *err)
{
	const char *missing = !repository->id	    ? "id"
			      : !repository->uris   ? "baseurls"
			      : !repository->suites ? "suites"
			      : !repository->n_keys ? "gpgkeys"
						    : NULL;

	if (missing)
		return decode_wrong(decode, node, err,
				    "repository '%s': there is no '%s'",
				    repository->id ? repository->id : "", missing);
	for (const char **suite = repository->suites; *suite; suite++)
		if (is_directory(*suite) == (*repository->components != NULL))
			return decode_wrong(
				decode, node, err,
				is_directory(*suite)
					? "repository '%s': suite '%s' is a directory, "
					  "and has no components"
					: "repository '%s': suite '%s' needs components",
				repository->id, *suite);
	return 0;
}

static int take_repository(struct decode *decode, const struct node *node,
			   struct recipe_repository *repository, struct cop_error *err)
{
	static const struct decode_field fields[] = {
		{"id", take_id},
		{"name", take_name},
		{"baseurls", take_urls},
		{"suites", take_suites},
		{"components", take_components},
		{"gpgkeys", take_keys},
		{"priority", take_priority},
		{"enabled", take_enabled},
		{"snapshot", take_snapshot},
	};
	int r;

	*repository = (struct recipe_repository){
		.path = decode->recipe->path, .line = node->line, .column = node->column};
	repository->components =
		arena_alloc(decode->recipe->arena, sizeof(*repository->components));
	if (!repository->components)
		return err_oom(err);
	decode->item = repository;
	r = decode_map(decode, node, fields, ARRAY_SIZE(fields), "repositories", err);
	if (r == 0)
		r = check_whole(decode, node, repository, err);
	return r < 0 ? r : name_keys(decode, repository, err);
}

/* Another of the same id in the same file is one too many; in one that is extended, it
 * gives way. */
static int keep_repository(struct decode *decode, const struct node *node,
			   const struct recipe_repository *repository,
			   struct cop_error *err)
{
	struct recipe *recipe = decode->recipe;
	size_t i = 0;

	while (i < recipe->n_repositories &&
	       strcmp(recipe->repositories[i].id, repository->id) != 0)
		i++;
	if (i < recipe->n_repositories &&
	    strcmp(recipe->repositories[i].path, recipe->path) == 0)
		return decode_wrong(decode, node, err, "repository '%s' is given twice",
				    repository->id);
	recipe->repositories[i] = *repository;
	recipe->n_repositories += i == recipe->n_repositories;
	return 0;
}

int decode_repositories(struct decode *decode, const struct node *node,
			struct cop_error *err)
{
	struct recipe *recipe = decode->recipe;
	struct recipe_repository *list;
	int r = decode_list(decode, node, err);

	if (r < 0)
		return r;
	list = arena_alloc(recipe->arena, (recipe->n_repositories + decode_count(node) +
					   1) * sizeof(*list));
	if (!list)
		return err_oom(err);
	if (recipe->n_repositories)
		memcpy(list, recipe->repositories,
		       recipe->n_repositories * sizeof(*list));
	recipe->repositories = list;
	for (const struct node *item = node->first; item && r == 0; item = item->next) {
		struct recipe_repository repository;

		r = take_repository(decode, item, &repository, err);
		if (r == 0)
			r = keep_repository(decode, item, &repository, err);
	}
	return r;
}

/* --- what others ask --- */

/* Length before text, as everything in a request. */
static void add_text(struct buf *text, const char *part)
{
	(void)buf_printf(text, "%zu:%s,", strlen(part), part);
}

void repositories_add_to_request(const struct recipe *recipe, struct buf *text)
{
	for (size_t i = 0; i < recipe->n_repositories; i++) {
		const struct recipe_repository *repository = &recipe->repositories[i];
		char priority[16];

		(void)snprintf(priority, sizeof(priority), "%d", repository->priority);
		add_text(text, "repository");
		add_text(text, repository->id);
		add_text(text, priority);
		for (const char **suite = repository->suites; *suite; suite++)
			add_text(text, *suite);
		add_text(text, "");
		for (const char **part = repository->components; *part; part++)
			add_text(text, *part);
		add_text(text, "");
		for (size_t j = 0; j < repository->n_keys; j++)
			add_text(text, repository->keys[j].sha256);
	}
}

const char *repositories_lock_id(struct arena *arena,
				 const struct recipe_repository *repository,
				 const char *suite)
{
	auto_buf id = {};

	(void)buf_printf(&id, "%s/%s", repository->id, suite);
	return id.failed ? NULL : arena_text(arena, id.data);
}

const struct recipe_repository *repositories_of(const struct recipe *recipe,
						const char *lock_id)
{
	size_t size = strcspn(lock_id, "/");

	for (size_t i = 0; lock_id[size] && i < recipe->n_repositories; i++) {
		const struct recipe_repository *repository = &recipe->repositories[i];

		if (strlen(repository->id) != size ||
		    memcmp(repository->id, lock_id, size) != 0)
			continue;
		for (const char **suite = repository->suites; *suite; suite++)
			if (strcmp(*suite, lock_id + size + 1) == 0)
				return repository;
	}
	return NULL;
}

/* A value of apt's "release" expression: what would end it or be a pattern is any
 * character instead. */
static void add_value(struct buf *preferences, const char *key, const char *value,
		      const char **comma)
{
	if (!*value)
		return;
	(void)buf_printf(preferences, "%s%s=", *comma, key);
	for (const char *c = value; *c; c++)
		(void)buf_append_char(
			preferences,
			strchr(",*[]\\", *c) || (c == value && *c == '/') ? '?' : *c);
	*comma = ",";
}

void repositories_pin(const struct recipe_repository *repository,
		      const struct lock_repository *lock, struct buf *preferences)
{
	/* A suite goes by its name or its code name; a path is neither. */
	const char *const keys[] = {"n", "a"};
	const size_t n = strchr(lock->suite, '/') ? 1 : ARRAY_SIZE(keys);

	if (repository->priority == 0)
		return;
	for (size_t i = 0; i < n; i++) {
		const char *comma = "";

		(void)buf_append_text(preferences, "Package: *\nPin: release ");
		add_value(preferences, "o", lock->origin, &comma);
		add_value(preferences, "l", lock->label, &comma);
		if (n > 1)
			add_value(preferences, keys[i], lock->suite, &comma);
		(void)buf_printf(preferences, "\nPin-Priority: %d\n\n",
				 repository->priority);
	}
}

/* --- files of the tree --- */

static int add_file(struct arena *arena, struct recipe_file *file, const char *directory,
		    const char *name, const char *ending, const struct buf *text,
		    struct cop_error *err)
{
	auto_buf path = {};

	(void)buf_printf(&path, "%s%s.%s", directory, name, ending);
	if (path.failed || text->failed)
		return err_oom(err);
	*file = (struct recipe_file){.mode = 0644, .size = text->size};
	file->path = arena_text(arena, path.data);
	file->content = arena_memdup(arena, buf_text(text), text->size);
	if (!file->path || !file->content)
		return err_oom(err);
	return sha256_bytes(file->content, file->size, file->sha256, err);
}

static void add_words(struct buf *text, const char *key, const char **words)
{
	(void)buf_printf(text, "%s:", key);
	for (; *words; words++)
		(void)buf_printf(text, " %s", *words);
	(void)buf_append_char(text, '\n');
}

static void describe(const struct recipe_repository *repository, struct buf *text)
{
	if (repository->name)
		(void)buf_printf(text, "# %s\n", repository->name);
	(void)buf_printf(text, "Types: deb\nURIs: %s\n", repository->uris[0]);
	add_words(text, "Suites", repository->suites);
	if (*repository->components)
		add_words(text, "Components", repository->components);
	(void)buf_append_text(text, "Signed-By:");
	for (size_t i = 0; i < repository->n_keys; i++)
		(void)buf_printf(text, " %s", repository->keys[i].path);
	(void)buf_printf(text, "\n%s", repository->disabled ? "Enabled: no\n" : "");
}

static int add_files(const struct recipe_repository *repository,
		     const struct recipe *recipe, const struct lock *lock,
		     struct arena *arena, struct recipe_files *list,
		     struct cop_error *err)
{
	auto_buf sources = {}, preferences = {};
	int r;

	for (size_t i = 0; i < repository->n_keys; i++)
		list->files[list->n_files++] = repository->keys[i];
	describe(repository, &sources);
	r = add_file(arena, &list->files[list->n_files++], SOURCES, repository->id,
		     "sources", &sources, err);
	for (size_t i = 0; i < lock->n_repositories; i++)
		if (repositories_of(recipe, lock->repositories[i].id) == repository)
			repositories_pin(repository, &lock->repositories[i],
					 &preferences);
	if (r == 0 && preferences.size > 0)
		r = add_file(arena, &list->files[list->n_files++], PREFERENCES,
			     repository->id, "pref", &preferences, err);
	return r;
}

int repositories_files(const struct recipe *recipe, const struct lock *lock,
		       struct arena *arena, struct recipe_files *ret_files,
		       struct cop_error *err)
{
	struct recipe_files list = {};
	int r = 0;

	list.files = arena_alloc(arena, (recipe->n_repositories * (KEYS_MAX + 2) + 1) *
						sizeof(*list.files));
	if (!list.files)
		return err_oom(err);
	for (size_t i = 0; i < recipe->n_repositories && r == 0; i++)
		r = add_files(&recipe->repositories[i], recipe, lock, arena, &list, err);
	if (r == 0)
		*ret_files = list;
	return r;
}
