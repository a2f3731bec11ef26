/* SPDX-License-Identifier: Apache-2.0 */
/* Where the archive is: the recipe says it, or the host's apt, or a snapshot's date; no
 * address is known to us. */
#include <assert.h>
#include <string.h>

#include "base/text.h"
#include "recipe/apt.h"

/* A snapshot's address: the date in place of @SNAPSHOTID@. */
static int fill_template(struct apt *apt, const char *template, const char ***ret_uris,
			 struct cop_error *err)
{
	const char **uris = arena_alloc(apt->arena, 2 * sizeof(*uris));
	const char *place = strstr(template, "@SNAPSHOTID@");
	auto_buf uri = {};

	assert(place);
	(void)buf_append(&uri, template, (size_t)(place - template));
	(void)buf_append_text(&uri, apt->snapshot);
	(void)buf_append_text(&uri, place + strlen("@SNAPSHOTID@"));
	if (!uris || uri.failed)
		return err_oom(err);
	uris[0] = arena_text(apt->arena, uri.data);
	*ret_uris = uris;
	return uris[0] ? 0 : err_oom(err);
}

/* Where the recipe says that snapshots are, else where the host's apt does. */
static int find_snapshot(struct apt *apt, const char *key, const char *label,
			 const char *given, const char ***ret_uris, struct cop_error *err)
{
	auto_buf hosts = {};
	int r = given ? 0 : host_snapshots(label, &hosts, err);

	if (r < 0)
		return r;
	if (!given && hosts.size == 0)
		return err_set(err, -EINVAL,
			       "%s: a snapshot is asked for, but there is no '%s:' that "
			       "says where snapshots are, and the host's apt has no "
			       "Acquire::Snapshots::URI::Label::%s",
			       apt->recipe->path, key, label);
	return fill_template(apt, given ? given : hosts.data, ret_uris, err);
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

static int find_debian(struct apt *apt, struct cop_error *err)
{
	static const char *const labels[] = {"Debian", "Debian-Security"};
	const struct recipe *recipe = apt->recipe;
	const char **given[] = {recipe->mirrors, recipe->security_mirrors};
	const char *nothing[] = {NULL}, **host[] = {nothing, nothing};
	int r = 0;

	if (apt->snapshot) {
		r = find_snapshot(apt, "snapshot", labels[0], recipe->snapshot, &given[0],
				  err);
		if (r >= 0)
			r = find_snapshot(apt, "security-snapshot", labels[1],
					  recipe->security_snapshot, &given[1], err);
	}
	if (r >= 0 && (!*given[0] || !*given[1]))
		r = host_mirrors(apt->arena, labels, host, 2, err);
	if (r >= 0)
		r = find_mirrors_of(apt, given[0], host[0], "mirror", labels[0],
				    &apt->places[0].uris, err);
	if (r >= 0)
		r = find_mirrors_of(apt, given[1], host[1], "security-mirror", labels[1],
				    &apt->places[1].uris, err);
	return r;
}

/* Nobody but the recipe knows where another repository is. */
static int find_extra(struct apt *apt, struct apt_place *place, struct cop_error *err)
{
	const struct recipe_repository *extra = place->extra;
	const char **uris = extra->uris;
	int r = 0;

	if (apt->snapshot && extra->snapshot)
		r = fill_template(apt, extra->snapshot, &uris, err);
	else if (apt->snapshot)
		apt_note(apt->options,
			 "repository '%s' has no 'snapshot:', so it is read as it is now",
			 extra->id);
	return r < 0 ? r : add_slashes(apt, uris, &place->uris, err);
}

int apt_find_mirrors(struct apt *apt, struct cop_error *err)
{
	int r = find_debian(apt, err);

	for (size_t i = APT_DEBIAN_PLACES; i < apt->n_places && r >= 0; i++)
		r = find_extra(apt, &apt->places[i], err);
	return r;
}
