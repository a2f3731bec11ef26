/* SPDX-License-Identifier: Apache-2.0 */
#include "modkit/users.h"

#include <string.h>

#include "base/text.h"
#include "modkit/root.h"

#define FILE_SIZE_MAX (16 * MIB)

/* The id in field @index of a line (0 is the name). */
static int id_in(const char *line, size_t size, unsigned int index, uint32_t *ret)
{
	const char *at = line, *end = line + size;
	char digits[16] = "";
	uint64_t value;
	size_t n = 0;

	for (; index > 0 && at; index--) {
		at = memchr(at, ':', (size_t)(end - at));
		at = at ? at + 1 : NULL;
	}
	if (!at)
		return -EBADMSG;
	while (at + n < end && at[n] != ':' && n + 1 < sizeof(digits)) {
		digits[n] = at[n];
		n++;
	}
	if (text_to_u64(digits, &value) < 0 || value >= UINT32_MAX)
		return -EBADMSG;
	*ret = (uint32_t)value;
	return 0;
}

/* The line of @name in @text. */
static const char *find_line(const char *text, const char *name, size_t *ret_size)
{
	size_t name_size = strlen(name);

	while (*text) {
		size_t size = strcspn(text, "\n");

		if (size > name_size && text[name_size] == ':' &&
		    memcmp(text, name, name_size) == 0) {
			*ret_size = size;
			return text;
		}
		text += size;
		if (*text)
			text++;
	}
	return NULL;
}

static int find(int tree_fd, const char *path, const char *name, uint32_t *ret_id,
		uint32_t *ret_group, struct cop_error *err)
{
	auto_buf text = {};
	uint32_t id, group = 0;
	const char *line;
	size_t size;
	int r = root_read(tree_fd, path, FILE_SIZE_MAX, &text, err);

	if (r < 0)
		return r;
	line = *name ? find_line(buf_text(&text), name, &size) : NULL;
	if (!line)
		return err_set(err, -ENOENT, "the tree's '%s' has no '%s'", path, name);
	if (id_in(line, size, 2, &id) < 0 ||
	    (ret_group && id_in(line, size, 3, &group) < 0))
		return err_set(err, -EBADMSG,
			       "the tree's '%s': the line of '%s' is broken", path, name);
	*ret_id = id;
	if (ret_group)
		*ret_group = group;
	return 0;
}

int users_find(int tree_fd, const char *name, uid_t *ret_uid, gid_t *ret_gid,
	       struct cop_error *err)
{
	return find(tree_fd, "etc/passwd", name, ret_uid, ret_gid, err);
}

int users_find_group(int tree_fd, const char *name, gid_t *ret_gid, struct cop_error *err)
{
	return find(tree_fd, "etc/group", name, ret_gid, NULL, err);
}
