/* SPDX-License-Identifier: Apache-2.0 */
/* Where the archive is: the recipe says it, or the host's apt, or a snapshot's date; no
 * address is known to us. */
#include <string.h>

#include "base/text.h"
#include "recipe/apt.h"

/* A snapshot's address: the date in its place. */
static int fill_template(struct apt *apt, const char *key, const char *template,
			 const char ***ret_uris, struct cop_error *err)
{
	const char **uris = arena_alloc(apt->arena, 2 * sizeof(*uris));
	const char *place = template ? strstr(template, "@SNAPSHOTID@") : NULL;
	auto_buf uri = {};

	if (!place)
		return err_set(err, -EINVAL,
			       "%s: a snapshot is asked for, but there is no '%s:' that "
			       "says where snapshots are",
			       apt->recipe->path, key);
	(void)buf_append(&uri, template, (size_t)(place - template));
	(void)buf_append_text(&uri, apt->snapshot);
	(void)buf_append_text(&uri, place + strlen("@SNAPSHOTID@"));
	if (!uris || uri.failed)
		return err_oom(err);
	uris[0] = arena_text(apt->arena, uri.data);
	*ret_uris = uris;
	return uris[0] ? 0 : err_oom(err);
}

static int add_slashes(struct apt *apt, const char **uris, const char ***ret_uris,
		       struct cop_error *err)
{
	size_t n = 0;
	const char **result;

	while (uris[n])
		n++;
	result = arena_alloc(apt->arena, (n + 1) * sizeof(*result));
	if (!result)
		return err_oom(err);
	for (size_t i = 0; i < n; i++) {
		auto_buf uri = {};

		(void)buf_printf(&uri, "%s%s", uris[i],
				 text_ends_with(uris[i], "/") ? "" : "/");
		result[i] = uri.failed ? NULL : arena_text(apt->arena, uri.data);
		if (!result[i])
			return err_oom(err);
	}
	*ret_uris = result;
	return 0;
}

static int find_mirrors_of(struct apt *apt, const char **given, const char **host,
			   const char *key, const char *label, const char ***ret_uris,
			   struct cop_error *err)
{
	if (*given)
		return add_slashes(apt, given, ret_uris, err);
	if (!*host)
		return err_set(
			err, -ENOENT,
			"%s: no '%s:' is given, and the host's apt knows no "
			"repository labelled %s (run 'apt-get update', or give one)",
			apt->recipe->path, key, label);
	*ret_uris = host;
	return 0;
}

int apt_find_mirrors(struct apt *apt, struct cop_error *err)
{
	static const char *const labels[] = {"Debian", "Debian-Security"};
	const struct recipe *recipe = apt->recipe;
	const char **given[] = {recipe->mirrors, recipe->security_mirrors};
	const char *nothing[] = {NULL}, **host[] = {nothing, nothing};
	int r = 0;

	if (apt->snapshot) {
		r = fill_template(apt, "snapshot", recipe->snapshot, &given[0], err);
		if (r >= 0)
			r = fill_template(apt, "security-snapshot",
					  recipe->security_snapshot, &given[1], err);
	}
	if (r >= 0 && (!*given[0] || !*given[1]))
		r = host_mirrors(apt->arena, labels, host, 2, err);
	if (r >= 0)
		r = find_mirrors_of(apt, given[0], host[0], "mirror", labels[0],
				    &apt->mirrors, err);
	if (r >= 0)
		r = find_mirrors_of(apt, given[1], host[1], "security-mirror", labels[1],
				    &apt->security_mirrors, err);
	return r;
}
