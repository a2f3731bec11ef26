/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packages into the tree.  An empty tree gets their contents first, so that its own dpkg
 * can run; everything else is dpkg's work.  They are made visible in the tree, never
 * copied into it.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "modkit/root.h"
#include "modules/stages/control.h"
#include "modules/stages/deb.h"
#include "modules/stages/dpkg.h"
#include "modules/stages/extract.h"
#include "modules/stages/stages.h"
#include "json/json.h"

/* Below the tree's /run while dpkg runs: the input, and a name for each package. */
#define INPUT_DIR "run/coppice/input"
#define NAMES_DIR "run/coppice/packages"

struct deb_package {
	const char *name, *version, *architecture, *checksum;
	char *path;	 /* of the file in the input */
	char *file_name; /* NAME_VERSION_ARCHITECTURE.deb, as apt would call it */
};

struct unpack {
	struct kit *kit;
	const char *architecture;
	const char *input; /* the directory of the input */
	struct deb_package *packages;
	size_t n;
	size_t base_files; /* which of them it is; @n: none */
	char names_dir[64];
};

static void unpack_done(struct unpack *unpack)
{
	for (size_t i = 0; i < unpack->n; i++) {
		free(unpack->packages[i].path);
		free(unpack->packages[i].file_name);
	}
	free(unpack->packages);
}

/* Parts of file names: no surprises in paths and on command lines. */
static bool is_plain(const char *text)
{
	return *text && *text != '.' && *text != '-' && !strchr(text, '/') &&
	       strlen(text) < 200;
}

static int read_package(struct unpack *unpack, const json_t *json,
			struct deb_package *package)
{
	static const char *const keys[] = {"name", "version", "architecture", "checksum",
					   NULL};
	struct cop_error *err = unpack->kit->err;
	int r = json_only_keys(json, keys, "packages", err);

	if (r == 0)
		r = json_get_string(json, "name", "packages", &package->name, err);
	if (r == 0)
		r = json_get_string(json, "version", package->name, &package->version,
				    err);
	if (r == 0)
		r = json_get_string(json, "architecture", package->name,
				    &package->architecture, err);
	if (r == 0)
		r = json_get_string(json, "checksum", package->name, &package->checksum,
				    err);
	if (r < 0)
		return r;
	if (!is_plain(package->name) || !is_plain(package->version) ||
	    !is_plain(package->architecture) || !is_plain(package->checksum))
		return err_set(err, -EINVAL,
			       "package '%s': name, version, architecture or checksum "
			       "is not usable",
			       package->name);
	if (asprintf(&package->path, "%s/%s", unpack->input, package->checksum) < 0) {
		package->path = NULL;
		return err_oom(err);
	}
	if (asprintf(&package->file_name, "%s_%s_%s.deb", package->name, package->version,
		     package->architecture) < 0) {
		package->file_name = NULL;
		return err_oom(err);
	}
	return 0;
}

static int read_options(struct unpack *unpack)
{
	static const char *const keys[] = {"packages", "architecture", NULL};
	struct kit *kit = unpack->kit;
	json_t *list = NULL;
	int r = json_only_keys(kit->options, keys, "options", kit->err);

	if (r == 0)
		r = json_get_string(kit->options, "architecture", "options",
				    &unpack->architecture, kit->err);
	if (r == 0)
		r = json_get_array(kit->options, "packages", "options", &list, kit->err);
	if (r < 0)
		return r;
	unpack->packages = calloc(json_array_size(list) + 1, sizeof(*unpack->packages));
	if (!unpack->packages)
		return err_oom(kit->err);
	unpack->n = json_array_size(list);
	unpack->base_files = unpack->n;
	for (size_t i = 0; i < unpack->n; i++) {
		r = read_package(unpack, json_array_get(list, i), &unpack->packages[i]);
		if (r < 0)
			return r;
		if (strcmp(unpack->packages[i].name, "base-files") == 0)
			unpack->base_files = i;
	}
	return 0;
}

static int check_package(struct unpack *unpack, const struct deb_package *package)
{
	struct cop_error *err = unpack->kit->err;
	const struct {
		const char *field, *wanted;
	} fields[] = {
		{"Package", package->name},
		{"Version", package->version},
		{"Architecture", package->architecture},
	};
	auto_ptr(deb) deb = NULL;
	auto_buf text = {};
	struct stanza control;
	const char *at;
	int r = deb_open(package->path, &deb, err);

	if (r == 0)
		r = deb_control(deb, &text, err);
	if (r < 0)
		return r;
	at = buf_text(&text);
	if (!stanza_next(&at, &control))
		return err_set(err, -EBADMSG, "its control file is empty");
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		struct stanza value = {"", 0};

		if (stanza_is(&control, fields[i].field, fields[i].wanted))
			continue;
		(void)stanza_get(&control, fields[i].field, &value);
		return err_set(err, -EBADMSG,
			       "%s is '%.*s' in the file but '%s' in the "
			       "options",
			       fields[i].field, (int)value.size, value.text,
			       fields[i].wanted);
	}
	if (strcmp(package->architecture, unpack->architecture) != 0 &&
	    strcmp(package->architecture, "all") != 0)
		return err_set(err, -EINVAL,
			       "its architecture '%s' is not the tree's '%s'",
			       package->architecture, unpack->architecture);
	return 0;
}

static int check_packages(struct unpack *unpack)
{
	for (size_t i = 0; i < unpack->n; i++) {
		const struct deb_package *package = &unpack->packages[i];
		int r = check_package(unpack, package);

		if (r < 0)
			return err_prefix(unpack->kit->err, r, "package '%s' (%s)",
					  package->name, package->checksum);
	}
	return 0;
}

static int make_database(struct unpack *unpack)
{
	static const char *const dirs[] = {"var/lib/dpkg/info", "var/lib/dpkg/updates",
					   "var/lib/dpkg/triggers"};
	struct kit *kit = unpack->kit;
	char line[256];
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(dirs) && r == 0; i++)
		r = root_make_dirs(kit->tree_fd, dirs[i], 0755, kit->err);
	if (r == 0)
		r = root_replace(kit->tree_fd, DPKG_STATUS, "", 0, 0644, kit->err);
	(void)snprintf(line, sizeof(line), "%s\n", unpack->architecture);
	if (r == 0)
		r = root_replace(kit->tree_fd, "var/lib/dpkg/arch", line, strlen(line),
				 0644, kit->err);
	return r;
}

/* An empty tree: lay everything out once, for the tree's dpkg to start with. */
static int begin_tree(struct unpack *unpack)
{
	auto_free const char **paths = calloc(unpack->n + 1, sizeof(*paths));
	struct kit *kit = unpack->kit;
	int r = 0;

	if (!paths)
		return err_oom(kit->err);
	for (size_t i = 0; i < unpack->n; i++)
		paths[i] = unpack->packages[i].path;
	/* Since Debian 13 the links of the merged /usr are in a package. */
	if (unpack->base_files < unpack->n)
		r = extract_brings_link(paths[unpack->base_files], "bin", kit->err);
	if (r == 0)
		r = extract_merged_usr(kit->tree_fd, unpack->architecture, kit->err);
	if (r < 0)
		return r;
	kit_log("laying out %zu packages", unpack->n);
	r = extract_packages(kit->tree_fd, paths, unpack->n, unpack->base_files,
			     kit->err);
	return r == 0 ? make_database(unpack) : r;
}

/* A directory of symlinks, so that dpkg and its messages have the packages' own names. */
static int make_names(struct unpack *unpack)
{
	struct cop_error *err = unpack->kit->err;
	auto_close int fd = -EBADF;

	(void)strcpy(unpack->names_dir, "/tmp/packages-XXXXXX");
	if (!mkdtemp(unpack->names_dir)) {
		unpack->names_dir[0] = '\0';
		return err_errno(err, "make a directory in '/tmp'");
	}
	fd = open(unpack->names_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fchmod(fd, 0755) < 0)
		return err_errno(err, "open '%s'", unpack->names_dir);
	for (size_t i = 0; i < unpack->n; i++) {
		char target[512];

		(void)snprintf(target, sizeof(target), "/%s/%s", INPUT_DIR,
			       unpack->packages[i].checksum);
		if (symlinkat(target, fd, unpack->packages[i].file_name) < 0)
			return err_errno(err, "link '%s'", unpack->packages[i].file_name);
	}
	return 0;
}

static int run_dpkg(struct unpack *unpack)
{
	const struct command_bind binds[] = {
		{unpack->input, INPUT_DIR},
		{unpack->names_dir, NAMES_DIR},
	};
	auto_free const char **arguments = calloc(unpack->n + 4, sizeof(*arguments));
	auto_buf paths = {};
	size_t *offsets, n = 0;
	int r = 0;

	if (!arguments)
		return err_oom(unpack->kit->err);
	offsets = calloc(unpack->n + 1, sizeof(*offsets));
	if (!offsets)
		return err_oom(unpack->kit->err);
	for (size_t i = 0; i < unpack->n && r == 0; i++) {
		offsets[i] = paths.size;
		r = buf_printf(&paths, "/%s/%s", NAMES_DIR,
			       unpack->packages[i].file_name);
		if (r == 0)
			r = buf_append_char(&paths, '\0');
	}
	/* What is missing for a moment comes before anything is configured; triggers run
	 * then, too, once instead of twice. */
	arguments[n++] = "--force-depends";
	arguments[n++] = "--no-triggers";
	arguments[n++] = "--unpack";
	for (size_t i = 0; i < unpack->n && r == 0; i++)
		arguments[n++] = buf_text(&paths) + offsets[i];
	free(offsets);
	if (r < 0)
		return err_oom(unpack->kit->err);
	return dpkg_run(unpack->kit, arguments, binds, ARRAY_SIZE(binds));
}

static int unpack_all(struct unpack *unpack)
{
	struct kit *kit = unpack->kit;
	struct stat st;
	int r = root_stat(kit->tree_fd, DPKG_STATUS, &st, NULL);

	if (r < 0 && r != -ENOENT)
		return err_code(kit->err, r, "stat '%s'", DPKG_STATUS);
	if (r == -ENOENT)
		r = begin_tree(unpack);
	if (r == 0)
		r = make_names(unpack);
	if (r == 0)
		r = run_dpkg(unpack);
	if (unpack->names_dir[0])
		(void)fs_remove_all(AT_FDCWD, unpack->names_dir, false, NULL);
	return r;
}

int stage_deb_unpack(struct kit *kit)
{
	struct unpack unpack = {.kit = kit, .input = kit_input_path(kit, "packages")};
	int r;

	if (!unpack.input)
		return kit->err->code;
	r = read_options(&unpack);
	if (r == 0)
		r = check_packages(&unpack);
	if (r == 0 && unpack.n > 0)
		r = unpack_all(&unpack);
	unpack_done(&unpack);
	return r;
}
