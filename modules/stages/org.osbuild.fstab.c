/* SPDX-License-Identifier: Apache-2.0 */
/* etc/fstab, one line per file system. */
#include <string.h>

#include "modkit/options.h"
#include "modkit/root.h"
#include "modules/stages/stages.h"
#include "json/json.h"

/* What is mounted: the first of them that says something. */
static int add_what(struct kit *kit, const json_t *entry, struct buf *line)
{
	static const struct {
		const char *key, *prefix;
	} kinds[] = {{"uuid", "UUID="},
		     {"label", "LABEL="},
		     {"partlabel", "PARTLABEL="},
		     {"device", ""}};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		const char *text = "";
		int r = json_optional_string(entry, kinds[i].key, "filesystems", &text,
					     kit->err);

		if (r == 0)
			r = options_one_line(text, kinds[i].key, "", kit->err);
		if (r < 0)
			return r;
		if (*text)
			return buf_printf(line, "%s%s", kinds[i].prefix, text);
	}
	return err_set(kit->err, -EINVAL,
		       "filesystems: one of uuid, label, partlabel and device is needed");
}

/* As Python prints it: 1.0 stays 1.0. */
static int add_number(const json_t *entry, const char *key, struct buf *line,
		      struct cop_error *err)
{
	const json_t *value = json_object_get(entry, key);
	int r = buf_append_char(line, '\t');

	if (r == 0 && value && !json_is_any_number(value))
		return err_set(err, -EINVAL, "filesystems: '%s' must be a number", key);
	if (r == 0 && !value)
		r = buf_append_char(line, '0');
	return r == 0 && value ? json_canonical(value, line, err) : r;
}

static int add_line(struct kit *kit, const json_t *entry, struct buf *text)
{
	const char *path = NULL, *type = "none", *how = "defaults";
	const struct option options[] = {NEEDED_TEXT("path", path),
					 OPTION_TEXT("vfs_type", type),
					 OPTION_TEXT("options", how)};
	int r = options_read(entry, "filesystems", options, ARRAY_SIZE(options),
			     kit->err);

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(options); i++)
		r = options_one_line(*options[i].text, options[i].key, "", kit->err);
	if (r == 0)
		r = add_what(kit, entry, text);
	if (r < 0)
		return r;
	(void)buf_printf(text, "\t%s\t%s\t%s", path, type, how);
	r = add_number(entry, "freq", text, kit->err);
	if (r == 0)
		r = add_number(entry, "passno", text, kit->err);
	return r == 0 ? buf_append_char(text, '\n') : r;
}

int stage_fstab(struct kit *kit)
{
	json_t *filesystems = NULL, *ostree = NULL;
	const struct option options[] = {NEEDED_ARRAY("filesystems", filesystems),
					 OPTION_OBJECT("ostree", ostree)};
	auto_buf text = {};
	int r = options_only(kit->options, "options", options, ARRAY_SIZE(options),
			     kit->err);

	if (r == 0 && json_object_size(ostree) > 0)
		r = err_set(kit->err, -EOPNOTSUPP,
			    "deployments of ostree are not known to this stage: use "
			    "osbuild's, by putting its directory of modules first");
	for (size_t i = 0; r == 0 && i < json_array_size(filesystems); i++)
		r = add_line(kit, json_array_get(filesystems, i), &text);
	if (r == 0 && text.failed)
		r = err_oom(kit->err);
	if (r == 0)
		r = root_make_dirs(kit->tree_fd, "etc", 0755, kit->err);
	return r == 0 ? root_write(kit->tree_fd, "etc/fstab", buf_text(&text), text.size,
				   0644, kit->err)
		      : r;
}
