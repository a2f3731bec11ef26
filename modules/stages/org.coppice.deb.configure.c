/* SPDX-License-Identifier: Apache-2.0 */
/* Unpacked packages become installed ones, and the tree is left as any other build would
 * leave it. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "modkit/root.h"
#include "modules/stages/control.h"
#include "modules/stages/dpkg.h"
#include "modules/stages/numbers.h"
#include "modules/stages/reach.h"
#include "modules/stages/stages.h"
#include "json/json.h"

#define APT_STATES	"var/lib/apt/extended_states"
#define STATES_SIZE_MAX (64 * MIB)

#define UPDATE_INITRAMFS "usr/sbin/update-initramfs"
#define COVER		 "/tmp/update-initramfs"

static int check_strings(struct kit *kit, const json_t *list, const char *where)
{
	for (size_t i = 0; i < json_array_size(list); i++)
		if (!json_is_string(json_array_get(list, i)))
			return err_set(kit->err, -EINVAL, "'%s' must be strings", where);
	return 0;
}

/* One automatic mark: "name:architecture". */
static int add_mark(struct kit *kit, json_t *marks, const char *name, size_t name_size,
		    const char *architecture, size_t size)
{
	char key[512];

	if (name_size == 0 || size == 0 || name_size + size + 2 > sizeof(key))
		return err_set(kit->err, -EINVAL, "automatic: '%.*s' is not NAME:ARCH",
			       (int)name_size, name);
	(void)snprintf(key, sizeof(key), "%.*s:%.*s", (int)name_size, name, (int)size,
		       architecture);
	return json_object_set_new(marks, key, json_true()) < 0 ? err_oom(kit->err) : 0;
}

static int old_marks(struct kit *kit, json_t *marks)
{
	auto_buf text = {};
	struct stanza stanza, name, architecture;
	struct cop_error missing = {};
	const char *at;
	int r = root_read(kit->tree_fd, APT_STATES, STATES_SIZE_MAX, &text, &missing);

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return err_copy(kit->err, &missing);
	at = buf_text(&text);
	while (stanza_next(&at, &stanza)) {
		if (!stanza_is(&stanza, "Auto-Installed", "1") ||
		    !stanza_get(&stanza, "Package", &name) ||
		    !stanza_get(&stanza, "Architecture", &architecture))
			continue;
		r = add_mark(kit, marks, name.text, name.size, architecture.text,
			     architecture.size);
		if (r < 0)
			return r;
	}
	return 0;
}

static int compare_keys(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int write_marks(struct kit *kit, json_t *marks)
{
	size_t n = 0, wanted = json_object_size(marks);
	auto_free const char **keys = calloc(wanted + 1, sizeof(*keys));
	auto_buf text = {};
	const char *key;
	json_t *value;
	int r;

	if (!keys)
		return err_oom(kit->err);
	json_object_foreach (marks, key, value) {
		if (value && n < wanted)
			keys[n++] = key;
	}
	qsort(keys, n, sizeof(*keys), compare_keys);
	for (size_t i = 0; i < n; i++) {
		const char *colon = strrchr(keys[i], ':');

		(void)buf_printf(&text,
				 "Package: %.*s\nArchitecture: %s\nAuto-Installed: 1\n\n",
				 (int)(colon - keys[i]), keys[i], colon + 1);
	}
	if (text.failed)
		return err_oom(kit->err);
	r = root_make_dirs(kit->tree_fd, "var/lib/apt", 0755, kit->err);
	return r < 0 ? r
		     : root_replace(kit->tree_fd, APT_STATES, buf_text(&text), text.size,
				    0644, kit->err);
}

/* apt may remove again what nobody asked for by name. */
static int mark_automatic(struct kit *kit, const json_t *automatic)
{
	auto_json *marks = json_object();
	int r;

	if (json_array_size(automatic) == 0)
		return 0;
	if (!marks)
		return err_oom(kit->err);
	r = old_marks(kit, marks);
	for (size_t i = 0; i < json_array_size(automatic) && r == 0; i++) {
		const char *mark = json_string_value(json_array_get(automatic, i));
		const char *colon = strrchr(mark, ':');

		if (!colon)
			return err_set(kit->err, -EINVAL,
				       "automatic: '%s' is not NAME:ARCH", mark);
		r = add_mark(kit, marks, mark, (size_t)(colon - mark), colon + 1,
			     strlen(colon + 1));
	}
	return r == 0 ? write_marks(kit, marks) : r;
}

/* What update-initramfs is while packages are configured: what was made before is no
 * longer what they want.  Return: 0 when the tree has none, 1, or a negative errno. */
static int cover_initramfs(struct kit *kit, struct command_bind *bind)
{
	static const char later[] = "#!/bin/sh\nexec rm -f /" REACH_RECORD "\n";
	auto_close int fd = -EBADF;
	struct stat st;

	if (root_stat(kit->tree_fd, UPDATE_INITRAMFS, &st, NULL) < 0)
		return 0;
	fd = open(COVER, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
	if (fd < 0 || fchmod(fd, 0755) < 0 || fs_write_all(fd, later, strlen(later)) < 0)
		return err_errno(kit->err, "write '%s'", COVER);
	*bind = (struct command_bind){COVER, UPDATE_INITRAMFS};
	return 1;
}

static int configure(struct kit *kit, bool skip_initramfs)
{
	static const char *const arguments[] = {"--configure", "-a", NULL};
	struct command_bind bind = {};
	int n = skip_initramfs ? cover_initramfs(kit, &bind) : 0, r;

	if (n < 0)
		return n;
	r = dpkg_run(kit, arguments, &bind, (size_t)n);
	if (n > 0)
		(void)unlink(COVER);
	return r;
}

int stage_deb_configure(struct kit *kit)
{
	static const char *const keys[] = {"packages", "automatic", "skip-initramfs",
					   "numbers", NULL};
	auto_ptr(numbers) numbers = NULL;
	json_t *packages = NULL, *automatic = NULL;
	bool skip_initramfs = false;
	int r = json_only_keys(kit->options, keys, "options", kit->err);

	if (r == 0)
		r = json_optional_array(kit->options, "packages", "options", &packages,
					kit->err);
	if (r == 0)
		r = json_optional_array(kit->options, "automatic", "options", &automatic,
					kit->err);
	if (r == 0)
		r = check_strings(kit, packages, "packages");
	if (r == 0)
		r = check_strings(kit, automatic, "automatic");
	if (r == 0)
		r = json_optional_bool(kit->options, "skip-initramfs", "options",
				       &skip_initramfs, kit->err);
	if (r == 0)
		r = numbers_begin(kit, &numbers);
	if (r == 0)
		r = configure(kit, skip_initramfs);
	if (r == 0)
		r = numbers_settle(numbers);
	if (r == 0)
		r = dpkg_check(kit, packages);
	return r == 0 ? mark_automatic(kit, automatic) : r;
}
