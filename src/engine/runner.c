/* SPDX-License-Identifier: Apache-2.0 */
/* Which runner serves a distribution: names are "org.osbuild." DISTRIBUTION VERSION. */
#include "engine/runner.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/text.h"
#include "engine/module.h"

/* The version is what digits there are at the end, 0 without; more than fit are the
 * highest there is. */
static uint64_t split_name(const char *name, size_t *ret_length)
{
	size_t length = strlen(name);
	uint64_t version;

	while (length > 1 && name[length - 1] >= '0' && name[length - 1] <= '9')
		length--;
	*ret_length = length;
	if (!name[length])
		return 0;
	return text_to_u64(name + length, &version) < 0 ? UINT64_MAX : version;
}

struct search {
	const char *name;
	size_t length;
	uint64_t version;
	char best[256];
	uint64_t best_version;
};

static void look_at(struct search *search, int dir_fd, const char *name)
{
	size_t length;
	uint64_t version = split_name(name, &length);
	struct stat st;

	if (text_ends_with(name, ".meta.json") || length != search->length ||
	    memcmp(name, search->name, length) != 0 || version > search->version)
		return;
	if (*search->best && version <= search->best_version)
		return;
	if (strlen(name) >= sizeof(search->best) || fstatat(dir_fd, name, &st, 0) < 0 ||
	    !S_ISREG(st.st_mode))
		return;
	(void)strcpy(search->best, name);
	search->best_version = version;
}

static int look_in(struct search *search, const char *libdir, struct cop_error *err)
{
	auto_free char *path = NULL;
	auto_close int fd = -EBADF;
	char **names = NULL;
	size_t n = 0;
	int r;

	if (asprintf(&path, "%s/runners", libdir) < 0) {
		path = NULL;
		return err_oom(err);
	}
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR
			       ? 0
			       : err_errno(err, "open '%s'", path);
	r = fs_list(fd, &names, &n, err);
	if (r < 0)
		return err_prefix(err, r, "'%s'", path);
	for (size_t i = 0; i < n; i++)
		look_at(search, fd, names[i]);
	(void)fs_list_free(names);
	return 0;
}

int runner_find(const struct engine_places *places, const char *name, char **ret_name,
		struct cop_error *err)
{
	struct search search = {.name = name};

	search.version = split_name(name, &search.length);
	for (const char *const *libdir = places->libdirs; *libdir; libdir++) {
		int r = look_in(&search, *libdir, err);

		if (r < 0)
			return r;
	}
	if (!*search.best)
		return err_set(err, -ENOENT, "there is no runner that serves '%s'", name);
	*ret_name = strdup(search.best);
	return *ret_name ? 0 : err_oom(err);
}

/* The value of NAME=value, quotes removed; NULL: not there. */
static char *os_release_value(const char *text, const char *name)
{
	size_t length = strlen(name);

	for (const char *line = text; line && *line;) {
		size_t size = strcspn(line, "\n");

		if (size > length && strncmp(line, name, length) == 0 &&
		    line[length] == '=') {
			const char *value = line + length + 1;
			size_t left = size - length - 1;

			if (left >= 2 && (*value == '"' || *value == '\'') &&
			    value[left - 1] == *value) {
				value++;
				left -= 2;
			}
			return strndup(value, left);
		}
		line += size;
		line += *line == '\n';
	}
	return NULL;
}

int host_release(char **ret_id, char **ret_version, struct cop_error *err)
{
	static const char *const places[] = {"/etc/os-release", "/usr/lib/os-release"};
	auto_free char *id = NULL, *version = NULL;
	auto_buf text = {};

	for (size_t i = 0; i < ARRAY_SIZE(places) && text.size == 0; i++) {
		auto_close int fd = open(places[i], O_RDONLY | O_CLOEXEC);
		int r = fd < 0 ? 0 : fs_read_all(fd, 64 * KIB, &text, err);

		if (r < 0)
			return err_prefix(err, r, "'%s'", places[i]);
	}
	id = os_release_value(buf_text(&text), "ID");
	version = os_release_value(buf_text(&text), "VERSION_ID");
	if (!id)
		id = strdup("linux");
	if (!version)
		version = strdup("");
	if (!id || !version)
		return err_oom(err);
	*ret_id = TAKE_PTR(id);
	*ret_version = TAKE_PTR(version);
	return 0;
}

int runner_of_host(char **ret_name, struct cop_error *err)
{
	auto_free char *id = NULL, *version = NULL;
	auto_buf name = {};
	int r = host_release(&id, &version, err);

	if (r < 0)
		return r;
	(void)buf_printf(&name, "org.osbuild.%s", id);
	for (const char *c = version; *c; c++)
		if (*c != '.')
			(void)buf_append_char(&name, *c);
	*ret_name = buf_take(&name);
	return *ret_name ? 0 : err_oom(err);
}
