/* SPDX-License-Identifier: Apache-2.0 */
#include "modules/stages/database.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "modkit/root.h"
#include "modules/stages/control.h"
#include "modules/stages/deb.h"

/* Control files of one package; the largest of today's has ten. */
#define INFO_MAX 64
#define NEW_CONF ".dpkg-new"

struct info_file {
	char *name;
	struct buf text;
	mode_t mode;
	int64_t mtime;
};

/* The control part of one package. */
struct info {
	struct buf control;
	struct info_file files[INFO_MAX];
	size_t n_files;
	bool simple; /* unpacking it is nothing but laying it out */
};

struct database {
	int tree_fd;
	int info_fd;
	struct buf status;
};

static void info_done(struct info *info)
{
	buf_done(&info->control);
	for (size_t i = 0; i < info->n_files; i++) {
		free(info->files[i].name);
		buf_done(&info->files[i].text);
	}
}

struct database *database_free(struct database *database)
{
	if (!database)
		return NULL;
	closep(&database->info_fd);
	buf_done(&database->status);
	free(database);
	return NULL;
}

static int write_line(int tree_fd, const char *path, const char *text,
		      struct cop_error *err)
{
	char line[256];

	(void)snprintf(line, sizeof(line), "%s\n", text);
	return root_replace(tree_fd, path, line, strlen(line), 0644, err);
}

int database_new(int tree_fd, const char *architecture, struct database **ret,
		 struct cop_error *err)
{
	static const char *const dirs[] = {DATABASE_DIR "/info", DATABASE_DIR "/updates",
					   DATABASE_DIR "/triggers"};
	auto_ptr(database) database = calloc(1, sizeof(*database));
	int r = 0;

	if (!database)
		return err_oom(err);
	database->tree_fd = tree_fd;
	database->info_fd = -EBADF;
	for (size_t i = 0; i < ARRAY_SIZE(dirs) && r == 0; i++)
		r = root_make_dirs(tree_fd, dirs[i], 0755, err);
	if (r == 0)
		r = write_line(tree_fd, DATABASE_DIR "/arch", architecture, err);
	/* The one that has architectures in the names of files. */
	if (r == 0)
		r = write_line(tree_fd, DATABASE_DIR "/info/format", "1", err);
	if (r < 0)
		return r;
	database->info_fd =
		fs_open_in_root(tree_fd, dirs[0], O_RDONLY | O_DIRECTORY, 0, err);
	if (database->info_fd < 0)
		return database->info_fd;
	*ret = TAKE_PTR(database);
	return 0;
}

int database_write(struct database *database, struct cop_error *err)
{
	return root_replace(database->tree_fd, DATABASE_DIR "/status",
			    buf_text(&database->status), database->status.size, 0644,
			    err);
}

/* --- reading a package --- */

static bool has_interest(const struct buf *triggers)
{
	for (const char *line = buf_text(triggers); line;
	     line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
		if (text_starts_with(line + strspn(line, " \t"), "interest"))
			return true;
	return false;
}

/* Each line a path, and nothing else: there are flags for files that are to go. */
static bool has_paths_only(const struct buf *conffiles)
{
	for (const char *line = buf_text(conffiles); *line;) {
		size_t size = strcspn(line, "\n");

		if (*line != '/' || !line[size] || strcspn(line, " \t") < size)
			return false;
		line += size + 1;
	}
	return true;
}

/* Return: 1 for one to be kept; 0 for what is not; a negative errno. */
static int take_file(struct info *info, struct deb *deb, struct archive_entry *entry,
		     const char *name, struct cop_error *err)
{
	struct info_file *file = &info->files[info->n_files];
	int r;

	if (strcmp(name, "control") == 0)
		return deb_read_text(deb, &info->control, err);
	if (archive_entry_filetype(entry) != AE_IFREG || strchr(name, '/') ||
	    strlen(name) > 64 || strcmp(name, "list") == 0 ||
	    strcmp(name, "preinst") == 0 || info->n_files == INFO_MAX) {
		info->simple = false;
		return 0;
	}
	*file = (struct info_file){
		.name = strdup(name),
		.mode = archive_entry_mode(entry) & 07777,
		.mtime = archive_entry_mtime(entry),
	};
	info->n_files++;
	if (!file->name)
		return err_oom(err);
	r = deb_read_text(deb, &file->text, err);
	if (strcmp(name, "triggers") == 0 && has_interest(&file->text))
		info->simple = false;
	if (strcmp(name, "conffiles") == 0 && !has_paths_only(&file->text))
		info->simple = false;
	return r;
}

static struct info_file *find_file(struct info *info, const char *name)
{
	for (size_t i = 0; i < info->n_files; i++)
		if (strcmp(info->files[i].name, name) == 0)
			return &info->files[i];
	return NULL;
}

static int read_info(struct info *info, const char *deb_path, struct cop_error *err)
{
	auto_ptr(deb) deb = NULL;
	struct archive_entry *entry;
	int r = deb_open(deb_path, &deb, err);

	if (r < 0)
		return r;
	info->simple = true;
	while ((r = deb_control_next(deb, &entry, err)) > 0) {
		const char *name = archive_entry_pathname(entry);

		while (name && text_starts_with(name, "./"))
			name += 2;
		if (!name || !*name)
			continue;
		r = take_file(info, deb, entry, name, err);
		if (r < 0)
			return r;
	}
	/* dpkg makes the sums itself where a package brings none. */
	if (!find_file(info, "md5sums"))
		info->simple = false;
	return r;
}

/* --- writing it --- */

static int write_info(struct database *database, const char *base, const char *name,
		      const struct buf *text, mode_t mode, int64_t mtime,
		      struct cop_error *err)
{
	const struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, {.tv_sec = mtime}};
	auto_buf path = {};
	int r;

	if (buf_printf(&path, "%s.%s", base, name) < 0)
		return err_oom(err);
	r = fs_write_new(database->info_fd, path.data, buf_text(text), text->size, mode,
			 err);
	if (r == 0 && mtime >= 0 && utimensat(database->info_fd, path.data, times, 0) < 0)
		return err_errno(err, "set the time of '%s'", path.data);
	return r;
}

/* The new version of a configuration file has a name of its own until it is configured.
 */
static int link_conffiles(struct database *database, struct buf *conffiles,
			  struct cop_error *err)
{
	char *save = NULL;

	(void)buf_append_text(&database->status, "Conffiles:\n");
	for (char *path = strtok_r(conffiles->data, "\n", &save); path;
	     path = strtok_r(NULL, "\n", &save)) {
		char name[NAME_MAX + 1], new_name[NAME_MAX + sizeof(NEW_CONF)];
		auto_close int parent =
			root_open_parent(database->tree_fd, path, name, err);

		if (parent < 0)
			return parent;
		(void)snprintf(new_name, sizeof(new_name), "%s" NEW_CONF, name);
		if (linkat(parent, name, parent, new_name, 0) < 0 && errno != ENOENT)
			return err_errno(err, "link '%s" NEW_CONF "'", path);
		(void)buf_printf(&database->status, " %s newconffile\n", path);
	}
	return 0;
}

static int add_simple(struct database *database, struct info *info,
		      const struct buf *list, struct cop_error *err)
{
	const char *at = buf_text(&info->control);
	struct info_file *conffiles = find_file(info, "conffiles");
	struct stanza control, name = {}, architecture = {};
	auto_buf base = {};
	int r = 0;

	if (!stanza_next(&at, &control) || !stanza_get(&control, "Package", &name) ||
	    !stanza_get(&control, "Architecture", &architecture))
		return err_set(err, -EBADMSG, "no name or architecture");
	(void)buf_append(&base, name.text, name.size);
	if (stanza_is(&control, "Multi-Arch", "same"))
		(void)buf_printf(&base, ":%.*s", (int)architecture.size,
				 architecture.text);
	if (base.failed)
		return err_oom(err);
	for (size_t i = 0; i < info->n_files && r == 0; i++)
		r = write_info(database, base.data, info->files[i].name,
			       &info->files[i].text, info->files[i].mode,
			       info->files[i].mtime, err);
	if (r == 0)
		r = write_info(database, base.data, "list", list, 0644, -1, err);
	if (r < 0)
		return r;
	(void)buf_append_text(&database->status, "Status: install ok unpacked\n");
	(void)buf_append(&database->status, control.text, control.size);
	if (!text_ends_with(buf_text(&database->status), "\n"))
		(void)buf_append_char(&database->status, '\n');
	r = conffiles && conffiles->text.size
		    ? link_conffiles(database, &conffiles->text, err)
		    : 0;
	(void)buf_append_char(&database->status, '\n');
	return database->status.failed ? err_oom(err) : r;
}

int database_add(struct database *database, const char *deb_path, const struct buf *list,
		 struct cop_error *err)
{
	cleanup_with(info_done) struct info info = {};
	int r = read_info(&info, deb_path, err);

	if (r < 0 || !info.simple)
		return r;
	r = add_simple(database, &info, list, err);
	return r < 0 ? err_prefix(err, r, "'%s'", deb_path) : 1;
}
