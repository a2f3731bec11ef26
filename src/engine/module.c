/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/module.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/map.h"
#include "engine/module-text.h"
#include "engine/runner.h"
#include "json/json.h"

#define META_SIZE_MAX (4 * MIB)
#define META_SUFFIX   ".meta.json"
/* Where a module of ours says how old its output is. */
#define REVISION_KEY "org.coppice.revision"

struct modules {
	const struct engine_places *places;
	unsigned int version;
	struct map *map; /* "stages/NAME" to struct module */
	struct module **all;
	size_t n_all;
};

static const char *const class_names[] = {
	[MODULE_STAGE] = "stage",   [MODULE_ASSEMBLER] = "assembler",
	[MODULE_SOURCE] = "source", [MODULE_INPUT] = "input",
	[MODULE_DEVICE] = "device", [MODULE_MOUNT] = "mount",
	[MODULE_RUNNER] = "runner",
};

const char *module_class_name(enum module_class class)
{
	return class_names[class];
}

static struct module *module_free(struct module *module)
{
	if (!module)
		return NULL;
	free(module->name);
	free(module->path);
	free(module->libdir);
	json_decref(module->meta);
	(void)schema_free(module->schema);
	free(module);
	return NULL;
}

DEFINE_AUTO_PTR(module)

int modules_new(const struct engine_places *places, unsigned int version,
		struct modules **ret_modules, struct cop_error *err)
{
	auto_ptr(modules) modules = calloc(1, sizeof(*modules));

	if (!modules)
		return err_oom(err);
	modules->places = places;
	modules->version = version;
	modules->map = map_new();
	if (!modules->map)
		return err_oom(err);
	*ret_modules = TAKE_PTR(modules);
	return 0;
}

struct modules *modules_free(struct modules *modules)
{
	if (!modules)
		return NULL;
	for (size_t i = 0; i < modules->n_all; i++)
		(void)module_free(modules->all[i]);
	free(modules->all);
	(void)map_free(modules->map);
	free(modules);
	return NULL;
}

/* A name is part of a path: what is no name of a file is no module.  Where osbuild opens
 * what cannot be read at all, a manifest that asks for it is not merely invalid. */
static int check_name(enum module_class class, const char *name, struct cop_error *err)
{
	if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return err_set(err, -EISDIR, "%s '%s': is a directory",
			       class_names[class], name);
	if (strlen(name) + strlen(META_SUFFIX) > NAME_MAX)
		return err_set(err, -ENAMETOOLONG, "%s '%.32s...': the name is too long",
			       class_names[class], name);
	if (*name == '.' || *name == '-' || strchr(name, '/'))
		return err_set(err, -ENOENT, "'%s' is not the name of a %s", name,
			       class_names[class]);
	return 0;
}

static int check_meta_lists(const json_t *meta, const char *where, struct cop_error *err)
{
	json_t *capabilities = NULL;
	size_t i;
	json_t *name;
	int r = json_optional_array(meta, "capabilities", where, &capabilities, err);

	if (r < 0)
		return r;
	json_array_foreach (capabilities, i, name)
		if (!json_is_text(name))
			return err_set(err, -EINVAL, "%s: a capability is not a string",
				       where);
	return 0;
}

/* osbuild's description is a closed object; ours has one more key. */
static int check_meta(const json_t *meta, const char *where, struct cop_error *err)
{
	static const char *const keys[] = {"summary", "description", "capabilities",
					   "schema",  "schema_2",    REVISION_KEY,
					   NULL};
	json_t *schema = NULL, *description;
	const char *summary;
	int r;

	if (!json_is_object(meta))
		return err_set(err, -EINVAL, "%s: not an object", where);
	r = json_only_keys(meta, keys, where, err);
	if (r == 0)
		r = json_get_string(meta, "summary", where, &summary, err);
	if (r == 0)
		r = json_get_array(meta, "description", where, &description, err);
	if (r == 0)
		r = check_meta_lists(meta, where, err);
	if (r == 0)
		r = json_optional_object(meta, "schema", where, &schema, err);
	if (r == 0)
		r = json_optional_object(meta, "schema_2", where, &schema, err);
	if (r < 0)
		return r;
	if (!schema)
		return err_set(err, -EINVAL, "%s: has neither 'schema' nor 'schema_2'",
			       where);
	return 0;
}

/* In a build tree the description is a symlink, too. */
static int read_text(int dir_fd, const char *name, struct buf *text,
		     struct cop_error *err)
{
	auto_close int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return err_errno(err, "open '%s'", name);
	return fs_read_all(fd, META_SIZE_MAX, text, err);
}

/* Old modules have it in themselves. */
static int read_meta_of_text(struct module *module, int dir_fd, struct cop_error *err)
{
	auto_buf text = {};
	int r = read_text(dir_fd, module->name, &text, err);

	if (r == 0)
		r = module_text_meta(buf_text(&text), &module->meta, err);
	return r;
}

static int read_meta(struct module *module, unsigned int version, int dir_fd,
		     struct cop_error *err)
{
	auto_json *schema = NULL;
	auto_buf text = {};
	char name[NAME_MAX + 1];
	int r;

	(void)snprintf(name, sizeof(name), "%s" META_SUFFIX, module->name);
	r = read_text(dir_fd, name, &text, err);
	/* A runner needs no description; ours have one, for their revision. */
	if (r == -ENOENT && module->class == MODULE_RUNNER)
		return 0;
	if (r == -ENOENT)
		r = read_meta_of_text(module, dir_fd, err);
	else if (r == 0)
		r = json_read(text.data, text.size, &module->meta, err);
	if (r == 0)
		r = check_meta(module->meta, name, err);
	if (r == 0 && module->class != MODULE_RUNNER)
		r = module_schema(module, version, &schema, err);
	if (r == 0 && schema)
		r = schema_new(schema, module->name, &module->schema, err);
	if (r < 0)
		return err_prefix(err, r == -ENOMEM ? r : -EINVAL,
				  "description of %s '%s'", class_names[module->class],
				  module->name);
	return 0;
}

static int compute_key(struct module *module, int fd, struct cop_error *err)
{
	int64_t revision = -1;
	char hex[SHA256_HEX + 1];
	int r = 0;

	if (module->meta)
		r = json_optional_integer(module->meta, REVISION_KEY, module->name,
					  &revision, err);
	if (r < 0)
		return r;
	if (revision >= 0) {
		(void)snprintf(module->key, sizeof(module->key), "revision %lld",
			       (long long)revision);
		return 0;
	}
	r = sha256_fd(fd, hex, err);
	if (r < 0)
		return err_prefix(err, r, "hash '%s'", module->path);
	(void)snprintf(module->key, sizeof(module->key), "file %s", hex);
	return 0;
}

/* Return: 1 when @libdir has it, 0 when not. */
static int look_in(const struct modules *modules, struct module *module,
		   const char *libdir, struct cop_error *err)
{
	char directory[32];
	auto_close int top = -EBADF, dir = -EBADF, fd = -EBADF;
	struct stat st;
	int r;

	(void)snprintf(directory, sizeof(directory), "%ss", class_names[module->class]);
	top = open(libdir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (top >= 0)
		dir = openat(top, directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* Symlinks are how one program has many names. */
	if (dir >= 0)
		fd = openat(dir, module->name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR
			       ? 0
			       : err_errno(err, "open '%s/%s/%s'", libdir, directory,
					   module->name);
	if (fstat(fd, &st) < 0)
		return err_errno(err, "look at '%s/%s/%s'", libdir, directory,
				 module->name);
	if (S_ISDIR(st.st_mode))
		return err_set(err, -EISDIR, "%s '%s': '%s/%s' has a directory there",
			       class_names[module->class], module->name, libdir,
			       directory);
	if (!S_ISREG(st.st_mode))
		return 0;
	module->libdir = realpath(libdir, NULL);
	if (!module->libdir || asprintf(&module->path, "%s/%s/%s", module->libdir,
					directory, module->name) < 0) {
		module->path = NULL;
		return err_oom(err);
	}
	r = read_meta(module, modules->version, dir, err);
	if (r == 0)
		r = compute_key(module, fd, err);
	return r < 0 ? r : 1;
}

static int unknown(const struct modules *modules, enum module_class class,
		   const char *name, struct cop_error *err)
{
	auto_buf looked = {};

	for (const char *const *libdir = modules->places->libdirs; *libdir; libdir++)
		(void)buf_printf(&looked, "%s%s/%ss", looked.size ? ", " : "", *libdir,
				 class_names[class]);
	return err_set(err, -ENOENT, "unknown %s '%s' (looked in %s)", class_names[class],
		       name, looked.size ? buf_text(&looked) : "no directory");
}

static int load(const struct modules *modules, enum module_class class, const char *name,
		struct module **ret_module, struct cop_error *err)
{
	auto_ptr(module) module = calloc(1, sizeof(*module));

	if (!module)
		return err_oom(err);
	module->class = class;
	module->name = strdup(name);
	if (!module->name)
		return err_oom(err);
	for (const char *const *libdir = modules->places->libdirs; *libdir; libdir++) {
		int r = look_in(modules, module, *libdir, err);

		if (r < 0)
			return r;
		if (r > 0) {
			*ret_module = TAKE_PTR(module);
			return 0;
		}
	}
	return unknown(modules, class, name, err);
}

static int remember(struct modules *modules, struct module *module)
{
	struct module **all;
	void **slot;

	all = reallocarray(modules->all, modules->n_all + 1, sizeof(*all));
	if (!all)
		return -ENOMEM;
	modules->all = all;
	slot = map_slot(modules->map, module->path + strlen(module->libdir) + 1,
			strlen(module->path) - strlen(module->libdir) - 1);
	if (!slot)
		return -ENOMEM;
	*slot = module;
	all[modules->n_all++] = module;
	return 0;
}

int modules_get(struct modules *modules, enum module_class class, const char *name,
		const struct module **ret_module, struct cop_error *err)
{
	auto_ptr(module) module = NULL;
	char key[NAME_MAX + 16];
	int length, r = check_name(class, name, err);

	if (r < 0)
		return r;
	length = snprintf(key, sizeof(key), "%ss/%s", class_names[class], name);
	*ret_module = map_get(modules->map, key, (size_t)length);
	if (*ret_module)
		return 0;
	r = load(modules, class, name, &module, err);
	if (!module)
		return r;
	if (remember(modules, module) < 0)
		return err_oom(err);
	*ret_module = TAKE_PTR(module);
	return 0;
}

int modules_find_runner(struct modules *modules, const char *name,
			const struct module **ret_runner, struct cop_error *err)
{
	auto_free char *host = NULL, *found = NULL;
	int r = name ? 0 : runner_of_host(&host, err);

	if (r == 0)
		r = runner_find(modules->places, name ? name : host, &found, err);
	return r != 0 ? r : modules_get(modules, MODULE_RUNNER, found, ret_runner, err);
}

bool module_is_ours(const struct module *module)
{
	return strncmp(module->key, "revision ", strlen("revision ")) == 0;
}

const json_t *module_capabilities(const struct module *module)
{
	return json_object_get(module->meta, "capabilities");
}
