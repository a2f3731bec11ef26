/* SPDX-License-Identifier: Apache-2.0 */
#include "modules/stages/xattr.h"

#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>

#include "base/text.h"

/* The kernel's limits (XATTR_LIST_MAX, XATTR_SIZE_MAX). */
#define LIST_SIZE  65536
#define VALUE_SIZE 65536

#define PATH_SIZE 64

static const char *path_of(int fd, char path[PATH_SIZE])
{
	(void)snprintf(path, PATH_SIZE, "/proc/self/fd/%d", fd);
	return path;
}

static bool is_shown(const char *name)
{
	if (strcmp(name, "security.ima") == 0 || strcmp(name, "security.evm") == 0)
		return false;
	return text_starts_with(name, "user.") || text_starts_with(name, "trusted.") ||
	       text_starts_with(name, "security.") ||
	       strcmp(name, "system.posix_acl_access") == 0 ||
	       strcmp(name, "system.posix_acl_default") == 0;
}

int xattr_each(int fd,
	       int (*each)(void *data, const char *name, const void *value, size_t size,
			   struct cop_error *err),
	       void *data, struct cop_error *err)
{
	auto_free char *names = NULL, *value = NULL;
	char path[PATH_SIZE];
	ssize_t size = listxattr(path_of(fd, path), NULL, 0);

	if (size < 0 && errno != EOPNOTSUPP)
		return err_errno(err, "list extended attributes");
	if (size <= 0)
		return 0;
	names = malloc(LIST_SIZE);
	value = malloc(VALUE_SIZE);
	if (!names || !value)
		return err_oom(err);
	size = listxattr(path, names, LIST_SIZE);
	if (size < 0)
		return err_errno(err, "list extended attributes");
	for (const char *name = names; name < names + size; name += strlen(name) + 1) {
		ssize_t n;
		int r;

		if (!is_shown(name))
			continue;
		n = getxattr(path, name, value, VALUE_SIZE);
		if (n < 0)
			return err_errno(err, "read extended attribute '%s'", name);
		r = each(data, name, value, (size_t)n, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int xattr_set(int fd, const char *name, const void *value, size_t size,
	      struct cop_error *err)
{
	char path[PATH_SIZE];

	if (setxattr(path_of(fd, path), name, value, size, 0) < 0)
		return err_errno(err, "set extended attribute '%s'", name);
	return 0;
}
