/* SPDX-License-Identifier: Apache-2.0 */
#include "recipe/local.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/text.h"
#include "recipe/check.h"
#include "recipe/deb.h"
#include "recipe/fetch.h"

bool local_is_path(const char *text)
{
	return strchr(text, '/') != NULL;
}

/* --- reading --- */

static int take_field(struct recipe *recipe, const struct index_entry *entry,
		      const char *field, const char **ret_value, struct cop_error *err)
{
	auto_buf value = {};

	if (index_field(entry, field, &value) < 0 || value.size == 0)
		return err_set(err, -EINVAL, "the package has no %s", field);
	*ret_value = arena_text(recipe->arena, value.data);
	return *ret_value ? 0 : err_oom(err);
}

/* What the file says of itself, as a list would. */
static int read_control(struct recipe *recipe, struct recipe_package *package,
			struct recipe_deb *deb, struct buf *control,
			struct cop_error *err)
{
	struct index_entry entry;
	int r;

	(void)buf_printf(control, "Filename: %s\nSize: %llu\nSHA256: %s\n", deb->path,
			 (unsigned long long)deb->size, deb->sha256);
	if (control->failed)
		return err_oom(err);
	deb->stanza = arena_memdup(recipe->arena, control->data, control->size);
	deb->stanza_size = control->size;
	if (!deb->stanza)
		return err_oom(err);
	entry = (struct index_entry){.stanza = deb->stanza, .size = deb->stanza_size};
	r = take_field(recipe, &entry, "Package", &package->name, err);
	if (r == 0)
		r = take_field(recipe, &entry, "Version", &package->version, err);
	if (r == 0)
		r = take_field(recipe, &entry, "Architecture", &deb->architecture, err);
	if (r < 0)
		return r;
	if (!check_package_name(package->name) || !check_version(package->version))
		return err_set(err, -EINVAL,
			       "'%.64s' '%.64s' are not a package's name and version",
			       package->name, package->version);
	return 0;
}

static int open_deb(const struct recipe *recipe, const char *path, struct stat *st,
		    struct cop_error *err)
{
	auto_close int beside_fd = decode_open_beside(recipe, err);
	auto_close int fd = -EBADF;

	if (beside_fd < 0)
		return beside_fd;
	fd = fs_open_plain(beside_fd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, err);
	if (fd < 0)
		return fd;
	if (fstat(fd, st) < 0)
		return err_errno(err, "stat '%s'", path);
	if (!S_ISREG(st->st_mode))
		return err_set(err, -EINVAL, "'%s' is not a regular file", path);
	return TAKE_FD(fd);
}

static int read_deb(struct recipe *recipe, struct recipe_package *package,
		    struct recipe_deb *deb, struct cop_error *err)
{
	const char *slash = strrchr(recipe->path, '/');
	auto_buf place = {}, control = {};
	struct stat st;
	auto_close int fd = open_deb(recipe, deb->path, &st, err);
	int r;

	if (fd < 0)
		return fd;
	(void)buf_printf(&place, "%.*s%s", slash ? (int)(slash - recipe->path) + 1 : 0,
			 recipe->path, deb->path);
	deb->place = place.failed ? NULL : arena_text(recipe->arena, place.data);
	if (!deb->place)
		return err_oom(err);
	deb->size = (uint64_t)st.st_size;
	r = sha256_fd(fd, deb->sha256, err);
	if (r == 0)
		r = deb_control(fd, NULL, &control, err);
	return r < 0 ? r : read_control(recipe, package, deb, &control, err);
}

int local_read(struct decode *decode, const struct node *node, const char *text,
	       struct recipe_package *package, struct cop_error *err)
{
	struct recipe *recipe = decode->recipe;
	struct recipe_deb *deb = arena_alloc(recipe->arena, sizeof(*deb));
	struct cop_error reason = {};

	if (!deb)
		return err_oom(err);
	deb->path = text_starts_with(text, "./") ? text + 2 : text;
	if (!check_relative_path(deb->path))
		return decode_wrong(
			decode, node, err,
			"packages: '%.128s' is not a path below the recipe's directory",
			text);
	if (read_deb(recipe, package, deb, &reason) < 0)
		return decode_wrong(decode, node, err, "packages: '%.128s': %s", text,
				    reason.message);
	package->deb = deb;
	return 0;
}

/* --- what others ask --- */

const struct recipe_package *local_find(const struct recipe *recipe, const char *name)
{
	for (size_t i = 0; i < recipe->n_groups; i++)
		for (size_t j = 0; j < recipe->groups[i].n_packages; j++) {
			const struct recipe_package *package =
				&recipe->groups[i].packages[j];

			if (package->deb && strcmp(package->name, name) == 0)
				return package;
		}
	return NULL;
}

static int add_one(const struct recipe *recipe, const struct recipe_package *package,
		   struct index *index, struct buf *list, struct cop_error *err)
{
	const struct recipe_deb *deb = package->deb;

	if (strcmp(deb->architecture, recipe->architecture) != 0 &&
	    strcmp(deb->architecture, "all") != 0)
		return err_set(err, -EINVAL,
			       "%s:%u:%u: package '%s' of '%s' is for %.32s, not for %s",
			       package->path, package->line, package->column,
			       package->name, deb->path, deb->architecture,
			       recipe->architecture);
	(void)buf_append(list, deb->stanza, deb->stanza_size);
	if (buf_append_char(list, '\n') < 0)
		return err_oom(err);
	return index_add_stanza(index, deb->stanza, deb->stanza_size, LOCAL_REPOSITORY,
				err);
}

int local_add(const struct recipe *recipe, struct index *index, struct buf *list,
	      struct cop_error *err)
{
	int r = 0;

	for (size_t i = 0; i < recipe->n_groups; i++)
		for (size_t j = 0; j < recipe->groups[i].n_packages && r == 0; j++)
			if (recipe->groups[i].packages[j].deb)
				r = add_one(recipe, &recipe->groups[i].packages[j], index,
					    list, err);
	return r;
}

static bool is_local(const struct lock_package *package)
{
	return strcmp(package->repository, LOCAL_REPOSITORY) == 0;
}

bool lock_has_files(const struct lock *lock)
{
	for (size_t i = 0; i < lock->n_packages; i++)
		if (is_local(&lock->packages[i]))
			return true;
	return false;
}

int lock_check_files(const struct lock *lock, const struct recipe *recipe,
		     struct cop_error *err)
{
	for (size_t i = 0; i < lock->n_packages; i++) {
		const struct lock_package *package = &lock->packages[i];
		const struct recipe_package *local;

		if (!is_local(package))
			continue;
		local = local_find(recipe, package->name);
		if (!local)
			return err_set(err, -ESTALE,
				       "'%s': there is no '%s' any more that was locked "
				       "as package '%s'; run 'coppice lock %s'",
				       recipe->path, package->path, package->name,
				       recipe->path);
		if (strcmp(local->deb->sha256, package->sha256) != 0)
			return err_set(err, -ESTALE,
				       "%s:%u:%u: '%s' is not what it was when it was "
				       "locked; run 'coppice lock %s'",
				       local->path, local->line, local->column,
				       local->deb->path, recipe->path);
	}
	return 0;
}

/* --- into the store of sources --- */

/* A copy under a temporary name, which is renamed only when it is what was locked. */
static int copy_checked(int from, int directory_fd, const char *tmp,
			const struct lock_package *package, const char *name,
			struct cop_error *err)
{
	auto_close int fd =
		openat(directory_fd, tmp,
		       O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	char hex[SHA256_HEX + 1];
	int r;

	if (fd < 0)
		return err_errno(err, "create '%s'", tmp);
	r = fs_copy_data(from, fd, package->size, err);
	if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
		r = err_errno(err, "read '%s' again", tmp);
	if (r == 0)
		r = sha256_fd(fd, hex, err);
	if (r == 0 && strcmp(hex, package->sha256) != 0)
		r = err_set(err, -ESTALE, "it changes while it is read");
	if (r == 0 && fchmod(fd, 0444) < 0)
		r = err_errno(err, "chmod '%s'", tmp);
	if (r == 0)
		r = fs_sync_filesystem(fd, err);
	if (r == 0 && renameat(directory_fd, tmp, directory_fd, name) < 0)
		r = err_errno(err, "keep '%s'", name);
	return r < 0 ? r : fs_sync_directory(directory_fd, err);
}

static int bring(const struct recipe_deb *deb, int directory_fd,
		 const struct lock_package *package, struct cop_error *err)
{
	auto_close int fd =
		open(deb->place, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	char tmp[FS_TEMPORARY_NAME], name[SHA256_HEX + 8];
	int r;

	if (fd < 0)
		return err_errno(err, "open '%s'", deb->place);
	(void)snprintf(name, sizeof(name), "sha256:%.64s", package->sha256);
	r = copy_checked(fd, directory_fd, fs_temporary_name(tmp), package, name, err);
	(void)unlinkat(directory_fd, tmp, 0);
	return r < 0 ? err_prefix(err, r, "take '%s'", deb->place) : 0;
}

int lock_bring_files(const struct lock *lock, const struct recipe *recipe,
		     const char *sources_dir, struct cop_error *err)
{
	auto_close int directory_fd = -EBADF;
	int r = lock_check_files(lock, recipe, err);

	for (size_t i = 0; i < lock->n_packages && r == 0; i++) {
		const struct lock_package *package = &lock->packages[i];
		const struct recipe_package *local = local_find(recipe, package->name);

		if (!local || !is_local(package))
			continue;
		if (directory_fd < 0)
			directory_fd = fetch_open(sources_dir, err);
		if (directory_fd < 0)
			return directory_fd;
		if (!fetch_has(directory_fd, package))
			r = bring(local->deb, directory_fd, package, err);
	}
	return r;
}
