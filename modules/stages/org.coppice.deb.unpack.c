/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packages into the tree.  An empty tree gets their contents from here, so that its own
 * dpkg can run, and most of them are unpacked thereby; everything else is dpkg's work.
 * The packages are made visible in the tree, never copied into it.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "modkit/root.h"
#include "modules/stages/control.h"
#include "modules/stages/database.h"
#include "modules/stages/deb.h"
#include "modules/stages/dpkg.h"
#include "modules/stages/extract.h"
#include "modules/stages/numbers.h"
#include "modules/stages/stages.h"
#include "json/json.h"

/* Below the tree's /run while dpkg runs: the input, and a name for each package. */
#define INPUT_DIR "run/coppice/input"
#define NAMES_DIR "run/coppice/packages"

struct deb_package {
	const char *name, *version, *architecture, *checksum;
	char *path;	 /* of the file in the input */
	char *file_name; /* NAME_VERSION_ARCHITECTURE.deb, as apt would call it */
	struct buf list; /* what is in it, when it was laid out */
	bool unpacked;	 /* without dpkg */
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
		buf_done(&unpack->packages[i].list);
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
	static const char *const keys[] = {"packages", "architecture", "numbers", NULL};
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

/* Does dpkg lay out every package as it is?  Not when a package configures it. */
static bool dpkg_is_plain(struct unpack *unpack)
{
	auto_close int fd = fs_open_in_root(unpack->kit->tree_fd, "etc/dpkg/dpkg.cfg.d",
					    O_RDONLY | O_DIRECTORY, 0, NULL);
	char **names = NULL;
	size_t n = 0;

	if (fd < 0)
		return true;
	if (fs_list(fd, &names, &n, NULL) < 0)
		return false;
	(void)fs_list_free(names);
	return n == 0;
}

/* What needs no dpkg to be unpacked, with all being laid out, is so from now on. */
static int note_unpacked(struct unpack *unpack, bool overlap)
{
	auto_ptr(database) database = NULL;
	struct kit *kit = unpack->kit;
	size_t n = overlap || !dpkg_is_plain(unpack) ? 0 : unpack->n;
	int r = database_new(kit->tree_fd, unpack->architecture, &database, kit->err);

	for (size_t i = 0; i < n && r >= 0; i++) {
		struct deb_package *package = &unpack->packages[i];

		r = database_add(database, package->path, &package->list, kit->err);
		package->unpacked = r > 0;
	}
	return r < 0 ? r : database_write(database, kit->err);
}

/* An empty tree: lay everything out once, for the tree's dpkg to start with. */
static int begin_tree(struct unpack *unpack)
{
	auto_free struct extract_package *packages =
		calloc(unpack->n + 1, sizeof(*packages));
	struct kit *kit = unpack->kit;
	bool overlap = false;
	int r = 0;

	if (!packages)
		return err_oom(kit->err);
	for (size_t i = 0; i < unpack->n; i++)
		packages[i].path = unpack->packages[i].path;
	/* Since Debian 13 the links of the merged /usr are in a package. */
	if (unpack->base_files < unpack->n)
		r = extract_brings_link(packages[unpack->base_files].path, "bin",
					kit->err);
	if (r == 0)
		r = extract_merged_usr(kit->tree_fd, unpack->architecture, kit->err);
	kit_log("laying out %zu packages", unpack->n);
	if (r >= 0)
		r = extract_packages(kit->tree_fd, packages, unpack->n,
				     unpack->base_files, &overlap, kit->err);
	for (size_t i = 0; i < unpack->n; i++)
		unpack->packages[i].list = packages[i].list;
	return r == 0 ? note_unpacked(unpack, overlap) : r;
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

static int run_dpkg(struct unpack *unpack, const char *const *arguments)
{
	const struct command_bind binds[] = {
		{unpack->input, INPUT_DIR},
		{unpack->names_dir, NAMES_DIR},
	};

	return dpkg_run(unpack->kit, arguments, binds, ARRAY_SIZE(binds));
}

/* dpkg unpacks what is not unpacked yet. */
static int dpkg_unpack(struct unpack *unpack)
{
	auto_free const char **arguments = calloc(unpack->n + 4, sizeof(*arguments));
	char **paths = calloc(unpack->n + 1, sizeof(*paths));
	size_t n = 0, n_paths = 0;
	int r = 0;

	if (!arguments || !paths) {
		free(paths);
		return err_oom(unpack->kit->err);
	}
	/* What is missing for a moment comes before anything is configured; triggers run
	 * then, too, once instead of twice. */
	arguments[n++] = "--force-depends";
	arguments[n++] = "--no-triggers";
	arguments[n++] = "--unpack";
	for (size_t i = 0; i < unpack->n && r == 0; i++) {
		struct deb_package *package = &unpack->packages[i];

		if (package->unpacked)
			continue;
		package->unpacked = true;
		if (asprintf(&paths[n_paths], "/%s/%s", NAMES_DIR, package->file_name) <
		    0)
			r = err_oom(unpack->kit->err);
		else
			arguments[n++] = paths[n_paths++];
	}
	if (r == 0 && n_paths > 0)
		r = run_dpkg(unpack, arguments);
	while (n_paths > 0)
		free(paths[--n_paths]);
	free(paths);
	return r;
}

/* Files of dpkg whose lines end in paths that it treats otherwise: scripts may ask it to
 * put them elsewhere, or to give them another owner. */
static const char *const exceptions[] = {DATABASE_DIR "/diversions",
					 DATABASE_DIR "/statoverride"};

static bool is_listed(const struct buf *list, const char *path, size_t size)
{
	const char *at = buf_text(list);

	while ((at = memmem(at, strlen(at), path, size))) {
		if (at[size] == '\n' && (at == list->data || at[-1] == '\n'))
			return true;
		at += size;
	}
	return false;
}

/* What was laid out without these exceptions has to be unpacked by dpkg after all. */
static int heed_exceptions(struct unpack *unpack, bool *ret_any)
{
	for (size_t i = 0; i < ARRAY_SIZE(exceptions); i++) {
		struct cop_error missing = {};
		auto_buf text = {};
		int r = root_read(unpack->kit->tree_fd, exceptions[i], 16 * MIB, &text,
				  &missing);

		if (r < 0 && r != -ENOENT)
			return err_copy(unpack->kit->err, &missing);
		for (const char *line = buf_text(&text); *line;) {
			size_t size = strcspn(line, "\n");
			const char *path = memchr(line, '/', size);

			for (size_t k = 0; path && k < unpack->n; k++)
				if (unpack->packages[k].unpacked &&
				    is_listed(&unpack->packages[k].list, path,
					      size - (size_t)(path - line))) {
					unpack->packages[k].unpacked = false;
					*ret_any = true;
				}
			line += size + (line[size] == '\n');
		}
	}
	return 0;
}

static int unpack_all(struct unpack *unpack)
{
	struct kit *kit = unpack->kit;
	struct stat st;
	int r = root_stat(kit->tree_fd, DPKG_STATUS, &st, NULL);
	bool begun = r == -ENOENT, again = false;

	if (r < 0 && r != -ENOENT)
		return err_code(kit->err, r, "stat '%s'", DPKG_STATUS);
	if (begun)
		r = begin_tree(unpack);
	if (r == 0)
		r = make_names(unpack);
	if (r == 0)
		r = dpkg_unpack(unpack);
	if (r == 0 && begun)
		r = heed_exceptions(unpack, &again);
	if (r == 0 && again)
		r = dpkg_unpack(unpack);
	if (unpack->names_dir[0])
		(void)fs_remove_all(AT_FDCWD, unpack->names_dir, false, NULL);
	return r;
}

int stage_deb_unpack(struct kit *kit)
{
	struct unpack unpack = {.kit = kit, .input = kit_input_path(kit, "packages")};
	auto_ptr(numbers) numbers = NULL;
	int r;

	if (!unpack.input)
		return kit->err->code;
	r = read_options(&unpack);
	if (r == 0)
		r = check_packages(&unpack);
	if (r == 0)
		r = numbers_begin(kit, &numbers);
	if (r == 0 && unpack.n > 0)
		r = unpack_all(&unpack);
	if (r == 0)
		r = numbers_settle(numbers);
	unpack_done(&unpack);
	return r;
}
