/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the nodes of a YAML document to a checked recipe.  After recipe_load() nothing in
 * a recipe needs to be checked again.
 */
#include "recipe/recipe.h"

#include <fcntl.h>
#include <string.h>

#include "base/fs.h"
#include "base/process.h"
#include "base/text.h"
#include "recipe/check.h"
#include "recipe/decode.h"
#include "recipe/image.h"
#include "recipe/local.h"
#include "recipe/repositories.h"
#include "recipe/settings.h"

#define COMMAND_SIZE_MAX ((size_t)(64 * KIB))

struct recipe *recipe_free(struct recipe *recipe)
{
	struct arena *arena = recipe ? recipe->arena : NULL;

	if (recipe && recipe->settings)
		settings_done(recipe->settings);
	free(recipe);
	arena_free(arena);
	return NULL;
}

char *arena_text(struct arena *arena, const char *text)
{
	return arena_memdup(arena, text, strlen(text));
}

static int take_suite(struct decode *decode, const struct node *node,
		      struct cop_error *err)
{
	int r = decode_text(decode, node, &decode->recipe->suite, err);

	if (r < 0)
		return r;
	if (!check_suite(decode->recipe->suite))
		return decode_wrong(decode, node, err,
				    "suite: '%.64s' is neither bookworm nor trixie",
				    node->text);
	return 0;
}

static int take_architecture(struct decode *decode, const struct node *node,
			     struct cop_error *err)
{
	int r = decode_text(decode, node, &decode->recipe->architecture, err);

	if (r < 0)
		return r;
	if (!check_architecture(decode->recipe->architecture))
		return decode_wrong(
			decode, node, err,
			"architecture: Debian has no '%.64s' (say amd64 or arm64)",
			node->text);
	return 0;
}

static int take_mirror(struct decode *decode, const struct node *node,
		       struct cop_error *err)
{
	return decode_uris(decode, node, &decode->recipe->mirrors, err);
}

static int take_security_mirror(struct decode *decode, const struct node *node,
				struct cop_error *err)
{
	return decode_uris(decode, node, &decode->recipe->security_mirrors, err);
}

static int take_snapshot(struct decode *decode, const struct node *node,
			 struct cop_error *err)
{
	return decode_template(decode, node, &decode->recipe->snapshot, err);
}

static int take_security_snapshot(struct decode *decode, const struct node *node,
				  struct cop_error *err)
{
	return decode_template(decode, node, &decode->recipe->security_snapshot, err);
}

static int take_keyring(struct decode *decode, const struct node *node,
			struct cop_error *err)
{
	const char *text = NULL;
	int r = decode_text(decode, node, &text, err);

	if (r < 0)
		return r;
	for (const char *p = text; *p; p++)
		if ((unsigned char)*p < ' ')
			return decode_wrong(decode, node, err,
					    "keyring: a path with a control character");
	decode->recipe->keyring = text;
	return 0;
}

static int take_components(struct decode *decode, const struct node *node,
			   struct cop_error *err)
{
	const struct node *item = node->first;
	const char **components;
	int r = decode_texts(decode, node, false, &components, err);

	if (r < 0)
		return r;
	if (!*components)
		return decode_wrong(decode, node, err, "components: the list is empty");
	for (size_t i = 0; components[i]; i++, item = item->next) {
		if (!check_word(components[i]))
			return decode_wrong(
				decode, item, err,
				"components: '%.64s' is not a component's name",
				components[i]);
		for (size_t j = 0; j < i; j++)
			if (strcmp(components[i], components[j]) == 0)
				return decode_wrong(decode, item, err,
						    "components: '%s' is given twice",
						    components[i]);
	}
	decode->recipe->components = components;
	return 0;
}

static struct recipe_package *find_package(struct recipe *recipe, const char *name)
{
	for (size_t i = 0; i < recipe->n_groups; i++)
		for (size_t j = 0; j < recipe->groups[i].n_packages; j++)
			if (strcmp(recipe->groups[i].packages[j].name, name) == 0)
				return &recipe->groups[i].packages[j];
	return NULL;
}

/* "nginx=1.26*" */
static int split_version(const struct decode *decode, struct recipe_package *package,
			 struct cop_error *err)
{
	const char *equals = strchr(package->name, '=');

	package->version = NULL;
	if (!equals)
		return 0;
	package->version = equals + 1;
	package->name = arena_memdup(decode->recipe->arena, package->name,
				     (size_t)(equals - package->name));
	return package->name ? 0 : err_oom(err);
}

/* One item of a group; what the recipe that is extended has already, it has already. */
static int take_package(struct decode *decode, const struct node *item,
			struct recipe_group *group, struct cop_error *err)
{
	struct recipe *recipe = decode->recipe;
	struct recipe_package *package = &group->packages[group->n_packages];
	struct recipe_package *first;
	int r = decode_text(decode, item, &package->name, err);

	if (r < 0)
		return r;
	package->deb = NULL;
	r = local_is_path(package->name)
		    ? local_read(decode, item, package->name, package, err)
		    : split_version(decode, package, err);
	if (r < 0)
		return r;
	if (!package->deb && text_ends_with(package->name, ".deb"))
		return decode_wrong(decode, item, err,
				    "'%.128s' is not a package's name (for a file beside "
				    "the recipe say './%.128s')",
				    package->name, package->name);
	if (!check_package_name(package->name) ||
	    (package->version && !check_version_pattern(package->version)))
		return decode_wrong(decode, item, err,
				    "'%.128s' is not a package's name%s", item->text,
				    package->version ? " and a version" : "");
	first = find_package(recipe, package->name);
	if (first && strcmp(first->path, recipe->path) == 0)
		return decode_wrong(decode, item, err,
				    "package '%s' is given twice, first in line %u",
				    package->name, first->line);
	package->path = recipe->path;
	package->line = item->line;
	package->column = item->column;
	/* One's own word on the version goes before that of the recipe one extends. */
	if (first && (package->version || package->deb))
		*first = *package;
	group->n_packages += !first;
	return 0;
}

static int take_group(struct decode *decode, const struct node *node, const char *name,
		      struct cop_error *err)
{
	struct recipe *recipe = decode->recipe;
	struct recipe_group *group = recipe->groups;
	struct recipe_package *packages;
	size_t n = decode_count(node);
	int r = decode_list(decode, node, err);

	if (r < 0)
		return r;
	while (group < recipe->groups + recipe->n_groups && strcmp(group->name, name))
		group++;
	packages = arena_alloc(recipe->arena,
			       (group->n_packages + n + 1) * sizeof(*packages));
	if (!packages)
		return err_oom(err);
	if (group->n_packages)
		memcpy(packages, group->packages, group->n_packages * sizeof(*packages));
	if (group == recipe->groups + recipe->n_groups)
		recipe->n_groups++;
	group->name = name;
	group->packages = packages;
	for (const struct node *item = node->first; item && r >= 0; item = item->next)
		r = take_package(decode, item, group, err);
	return r;
}

static int take_named_group(struct decode *decode, const struct node *item,
			    struct cop_error *err)
{
	struct recipe *recipe = decode->recipe;
	char *name = arena_text(recipe->arena, item->key);

	if (!name)
		return err_oom(err);
	if (!check_word(name) || strcmp(name, BASE_LAYER) == 0)
		return err_set(err, -EINVAL,
			       "%s:%u:%u: '%.64s' cannot be a group's name%s",
			       recipe->path, item->key_line, item->key_column, name,
			       strcmp(name, BASE_LAYER) == 0
				       ? ": that is the layer below all groups"
				       : "");
	return take_group(decode, item, name, err);
}

static int take_packages(struct decode *decode, const struct node *node,
			 struct cop_error *err)
{
	struct recipe *recipe = decode->recipe;
	size_t n = node->kind == NODE_MAP ? decode_count(node) : 1;
	struct recipe_group *groups;
	int r = 0;

	if (node->kind == NODE_TEXT)
		return decode_wrong(decode, node, err,
				    "packages: a list, or named lists, are wanted");
	groups = arena_alloc(recipe->arena,
			     (recipe->n_groups + n + 1) * sizeof(*recipe->groups));
	if (!groups)
		return err_oom(err);
	if (recipe->n_groups)
		memcpy(groups, recipe->groups, recipe->n_groups * sizeof(*groups));
	recipe->groups = groups;
	if (node->kind == NODE_LIST)
		return take_group(decode, node, "packages", err);
	for (const struct node *item = node->first; item && r >= 0; item = item->next)
		r = take_named_group(decode, item, err);
	return r;
}

static int take_recommends(struct decode *decode, const struct node *node,
			   struct cop_error *err)
{
	return decode_flag(decode, node, &decode->recipe->recommends, err);
}

static int take_hostname(struct decode *decode, const struct node *node,
			 struct cop_error *err)
{
	int r = decode_text(decode, node, &decode->recipe->hostname, err);

	if (r < 0)
		return r;
	if (!check_hostname(decode->recipe->hostname))
		return decode_wrong(
			decode, node, err,
			"hostname: '%.80s' is not one (letters, digits and hyphens, "
			"at most 64 bytes)",
			node->text);
	return 0;
}

struct command {
	const char *run;
	bool late;
};

static int take_run(struct decode *decode, const struct node *node, struct cop_error *err)
{
	struct command *command = decode->item;

	if (node->size > COMMAND_SIZE_MAX)
		return decode_wrong(decode, node, err, "commands: longer than %zu bytes",
				    COMMAND_SIZE_MAX);
	return decode_text(decode, node, &command->run, err);
}

static int take_late(struct decode *decode, const struct node *node,
		     struct cop_error *err)
{
	struct command *command = decode->item;

	return decode_flag(decode, node, &command->late, err);
}

static int take_command(struct decode *decode, const struct node *node,
			struct command *command, struct cop_error *err)
{
	static const struct decode_field fields[] = {
		{"run", take_run},
		{"late", take_late},
	};
	int r;

	decode->item = command;
	if (node->kind != NODE_MAP)
		return take_run(decode, node, err);
	r = decode_map(decode, node, fields, ARRAY_SIZE(fields), "commands", err);
	if (r >= 0 && !command->run)
		return decode_wrong(decode, node, err, "command without a 'run'");
	return r;
}

/* A list with room for @n more behind what it has. */
static const char **longer_list(struct recipe *recipe, const char **list, size_t n)
{
	size_t old = 0;
	const char **longer;

	while (list[old])
		old++;
	longer = arena_alloc(recipe->arena, (old + n + 1) * sizeof(*longer));
	if (longer && old)
		memcpy(longer, list, old * sizeof(*longer));
	return longer;
}

static void append(const char **list, const char *text)
{
	while (*list)
		list++;
	*list = text;
}

static int take_commands(struct decode *decode, const struct node *node,
			 struct cop_error *err)
{
	struct recipe *recipe = decode->recipe;
	size_t n = decode_count(node);
	int r = decode_list(decode, node, err);

	if (r < 0)
		return r;
	recipe->commands = longer_list(recipe, recipe->commands, n);
	recipe->late_commands = longer_list(recipe, recipe->late_commands, n);
	if (!recipe->commands || !recipe->late_commands)
		return err_oom(err);
	for (const struct node *item = node->first; item && r >= 0; item = item->next) {
		struct command command = {};

		r = take_command(decode, item, &command, err);
		if (r >= 0)
			append(command.late ? recipe->late_commands : recipe->commands,
			       command.run);
	}
	return r;
}

/* --- the whole --- */

static int read_recipe(const char *path, struct buf *text, struct cop_error *err)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	int r;

	if (fd < 0)
		return err_errno(err, "open recipe '%s'", path);
	if (fstat(fd, &st) < 0)
		return err_errno(err, "stat recipe '%s'", path);
	if (!S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "recipe '%s' is not a regular file", path);
	r = fs_read_all(fd, DOCUMENT_SIZE_MAX, text, err);
	return r < 0 ? err_prefix(err, r, "recipe '%s'", path) : 0;
}

/* Length before text: no two requests can look alike. */
static int add_to_request(struct buf *buf, const char *text)
{
	return buf_printf(buf, "%zu:%s,", strlen(text), text);
}

static void add_package_to_request(struct buf *buf, const struct recipe_package *package)
{
	/* What a file holds is known only when it is read, and may change with the place
	 * staying the same: the lock has its checksum. */
	if (package->deb) {
		(void)add_to_request(buf, "./");
		(void)add_to_request(buf, package->deb->path);
		return;
	}
	(void)add_to_request(buf, package->name);
	if (package->version) {
		(void)add_to_request(buf, "=");
		(void)add_to_request(buf, package->version);
	}
}

static int hash_request(struct recipe *recipe, struct cop_error *err)
{
	auto_buf text = {};

	(void)add_to_request(&text, "coppice-request 2");
	(void)add_to_request(&text, recipe->suite);
	(void)add_to_request(&text, recipe->architecture);
	(void)add_to_request(&text, recipe->keyring ? recipe->keyring : "");
	for (const char **component = recipe->components; *component; component++)
		(void)add_to_request(&text, *component);
	for (size_t i = 0; i < recipe->n_groups; i++) {
		(void)add_to_request(&text, "");
		(void)add_to_request(&text, recipe->groups[i].name);
		for (size_t j = 0; j < recipe->groups[i].n_packages; j++)
			add_package_to_request(&text, &recipe->groups[i].packages[j]);
	}
	if (recipe->recommends)
		(void)add_to_request(&text, "recommends");
	for (const char *const *tool = image_tools(recipe); tool && *tool; tool++) {
		(void)add_to_request(&text, "tool");
		(void)add_to_request(&text, *tool);
	}
	repositories_add_to_request(recipe, &text);
	if (text.failed)
		return err_oom(err);
	return sha256_bytes(text.data, text.size, recipe->request, err);
}

static int host_architecture(struct recipe *recipe, struct cop_error *err)
{
	static const char *const argv[] = {"dpkg", "--print-architecture", NULL};
	auto_buf output = {};
	int r = process_check(argv, NULL, &output, err);

	if (r < 0)
		return err_prefix(err, r, "%s: no architecture is given, and the host's",
				  recipe->path);
	while (output.size > 0 && output.data[output.size - 1] == '\n')
		buf_truncate(&output, output.size - 1);
	recipe->architecture = arena_text(recipe->arena, buf_text(&output));
	if (!recipe->architecture)
		return err_oom(err);
	if (!check_architecture(recipe->architecture))
		return err_set(err, -EINVAL,
			       "%s: no architecture is given, and the host's, '%.32s', "
			       "is not one of Debian's",
			       recipe->path, recipe->architecture);
	return 0;
}

/* It was looked at before all other keys. */
static int take_extends(struct decode *decode, const struct node *node,
			struct cop_error *err)
{
	(void)decode;
	(void)node;
	(void)err;
	return 0;
}

static int take_keys(struct decode *decode, const struct node *root,
		     struct cop_error *err)
{
	static const struct decode_field fields[] = {
		{"extends", take_extends},
		{"suite", take_suite},
		{"architecture", take_architecture},
		{"mirror", take_mirror},
		{"security-mirror", take_security_mirror},
		{"snapshot", take_snapshot},
		{"security-snapshot", take_security_snapshot},
		{"keyring", take_keyring},
		{"components", take_components},
		{"repositories", decode_repositories},
		{"packages", take_packages},
		{"recommends", take_recommends},
		{"hostname", take_hostname},
		{"files", decode_files},
		{"commands", take_commands},
		{"timezone", decode_timezone},
		{"locale", decode_locale},
		{"debconf", decode_debconf},
		{"user", decode_users},
		{"group", decode_groups},
		{"services", decode_services},
		{"units", decode_units},
		{"directories", decode_directories},
		{"kernel", decode_kernel},
		{"image", decode_image},
	};

	_Static_assert(ARRAY_SIZE(fields) <= DECODE_FIELDS_MAX,
		       "did-you-mean looks at all keys");
	return decode_map(decode, root, fields, ARRAY_SIZE(fields), "recipe", err);
}

static const struct node *find_extends(const struct node *root)
{
	const struct node *node = root->kind == NODE_MAP ? root->first : NULL;

	while (node && strcmp(node->key, "extends") != 0)
		node = node->next;
	return node;
}

/* The keys of the recipe that this one extends, as if they stood in front of its own. */
static int extend(struct decode *decode, const struct node *node, struct cop_error *err)
{
	auto_ptr(document) document = NULL;
	struct recipe *recipe = decode->recipe;
	const char *path = recipe->path, *slash = strrchr(path, '/'), *name = NULL;
	struct cop_error reason = {};
	auto_buf whole = {}, text = {};
	int r = decode_text(decode, node, &name, err);

	if (r < 0)
		return r;
	(void)buf_printf(&whole, "%.*s%s", slash ? (int)(slash - path) + 1 : 0, path,
			 name);
	if (whole.failed)
		return err_oom(err);
	r = *name == '/' || strpbrk(name, "\n\t")
		    ? err_set(&reason, -EINVAL, "the path is not relative to the recipe")
		    : read_recipe(whole.data, &text, &reason);
	if (r < 0)
		return decode_wrong(decode, node, err, "extends: %s", reason.message);
	recipe->path = arena_text(recipe->arena, whole.data);
	if (!recipe->path)
		return err_oom(err);
	r = document_read(recipe->path, buf_text(&text), text.size, &document, err);
	if (r >= 0 && find_extends(document_root(document)))
		r = decode_wrong(decode, find_extends(document_root(document)), err,
				 "extends: '%s' extends this recipe already, and there "
				 "is one level only",
				 path);
	if (r >= 0)
		r = take_keys(decode, document_root(document), err);
	recipe->path = path;
	return r;
}

static int take_recipe(struct decode *decode, const struct node *root,
		       struct cop_error *err)
{
	const struct node *extended = find_extends(root);
	struct recipe *recipe = decode->recipe;
	int r = extended ? extend(decode, extended, err) : 0;

	if (r >= 0)
		r = take_keys(decode, root, err);
	if (r < 0)
		return r;
	if (!recipe->suite)
		return err_set(err, -EINVAL,
			       "%s: no suite is given (suite: trixie, or bookworm)",
			       recipe->path);
	if (!recipe->architecture) {
		r = host_architecture(recipe, err);
		if (r < 0)
			return r;
	}
	r = settings_finish(recipe, err);
	if (r >= 0)
		r = image_finish(recipe, err);
	return r < 0 ? r : hash_request(recipe, err);
}

static int set_defaults(struct recipe *recipe, const char *path, struct cop_error *err)
{
	const char **lists;

	recipe->arena = arena_new();
	if (!recipe->arena)
		return err_oom(err);
	recipe->path = arena_text(recipe->arena, path);
	lists = arena_alloc(recipe->arena, 3 * sizeof(*lists));
	if (!recipe->path || !lists)
		return err_oom(err);
	lists[0] = "main";
	recipe->components = &lists[0];
	recipe->mirrors = recipe->security_mirrors = &lists[1];
	recipe->commands = recipe->late_commands = &lists[1];
	return settings_new(recipe, err);
}

int recipe_parse(const char *path, const char *text, size_t size,
		 struct recipe **ret_recipe, struct cop_error *err)
{
	auto_ptr(document) document = NULL;
	auto_ptr(recipe) recipe = calloc(1, sizeof(*recipe));
	struct decode decode = {.recipe = recipe};
	int r;

	if (!recipe)
		return err_oom(err);
	r = set_defaults(recipe, path, err);
	if (r < 0)
		return r;
	r = document_read(path, text, size, &document, err);
	if (r < 0)
		return r;
	r = take_recipe(&decode, document_root(document), err);
	if (r < 0)
		return r;
	*ret_recipe = TAKE_PTR(recipe);
	return 0;
}

int recipe_load(const char *path, struct recipe **ret_recipe, struct cop_error *err)
{
	auto_buf text = {};
	int r = read_recipe(path, &text, err);

	return r < 0 ? r
		     : recipe_parse(path, buf_text(&text), text.size, ret_recipe, err);
}
