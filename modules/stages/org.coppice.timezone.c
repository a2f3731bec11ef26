/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The time zone: the link that everything looks at, and the name in a file where the
 * tree's tzdata keeps one, so that its next upgrade finds nothing to correct.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "modkit/options.h"
#include "modkit/root.h"
#include "modules/stages/stages.h"

#define ZONES "usr/share/zoneinfo"

static int set_zone(struct kit *kit, const char *zone)
{
	auto_close int etc_fd = -EBADF;
	char path[512];
	struct stat st;
	int r;

	(void)snprintf(path, sizeof(path), ZONES "/%s", zone);
	r = root_stat(kit->tree_fd, path, &st, NULL);
	if (r == -ENOENT)
		return err_set(kit->err, r,
			       "time zone '%s': the tree has none of that name in '" ZONES
			       "'",
			       zone);
	if (r < 0)
		return err_code(kit->err, r, "stat '%s'", path);
	if (S_ISDIR(st.st_mode))
		return err_set(kit->err, -EISDIR, "time zone '%s' is a region", zone);
	etc_fd =
		fs_open_in_root(kit->tree_fd, "etc", O_RDONLY | O_DIRECTORY, 0, kit->err);
	if (etc_fd < 0)
		return etc_fd;
	(void)snprintf(path, sizeof(path), "/" ZONES "/%s", zone);
	return fs_replace_link_at(etc_fd, "localtime", path, kit->err);
}

int stage_timezone(struct kit *kit)
{
	const char *zone = NULL;
	const struct option options[] = {NEEDED_TEXT("zone", zone)};
	char line[512];
	struct stat st;
	int r = options_only(kit->options, "options", options, ARRAY_SIZE(options),
			     kit->err);

	if (r == 0 && (strstr(zone, "..") || *zone == '/' || strlen(zone) > 255))
		return err_set(kit->err, -EINVAL, "'%s' is not a time zone", zone);
	if (r == 0)
		r = options_one_line(zone, "zone", "", kit->err);
	if (r == 0)
		r = set_zone(kit, zone);
	if (r < 0 || root_stat(kit->tree_fd, "etc/timezone", &st, NULL) < 0)
		return r;
	(void)snprintf(line, sizeof(line), "%s\n", zone);
	return root_replace(kit->tree_fd, "etc/timezone", line, strlen(line), 0644,
			    kit->err);
}
