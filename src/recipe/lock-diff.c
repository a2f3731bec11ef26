/* SPDX-License-Identifier: Apache-2.0 */
/* What changed from one lock to the next, for people to read. */
#include <stdlib.h>

#include "recipe/model.h"

/* Tools stand behind the packages of the tree that have the same name. */
static int compare(const struct lock_package *a, const struct lock_package *b)
{
	int order = strcmp(a->name, b->name);

	return order ? order : (int)lock_is_tool(a) - (int)lock_is_tool(b);
}

static int by_name(const void *a, const void *b)
{
	const struct lock_package *const *left = a, *const *right = b;

	return compare(*left, *right);
}

/* Without a lock there is nothing in it. */
static const struct lock_package **sorted(const struct lock *lock)
{
	size_t n = lock ? lock->n_packages : 0;
	const struct lock_package **packages = calloc(n + 1, sizeof(*packages));

	if (!packages)
		return NULL;
	for (size_t i = 0; i < n; i++)
		packages[i] = &lock->packages[i];
	qsort(packages, n, sizeof(*packages), by_name);
	return packages;
}

static void describe_change(const struct lock_package *old,
			    const struct lock_package *new, struct buf *text)
{
	if (!old)
		(void)buf_printf(text, "+ %s %s", new->name, new->version);
	else if (!new)
		(void)buf_printf(text, "- %s %s", old->name, old->version);
	else if (strcmp(old->version, new->version) != 0)
		(void)buf_printf(text, "~ %s %s -> %s", new->name, old->version,
				 new->version);
	else if (strcmp(old->layer, new->layer) != 0)
		(void)buf_printf(text, "~ %s %s: layer %s -> %s", new->name, new->version,
				 old->layer, new->layer);
	else if (strcmp(old->sha256, new->sha256) != 0)
		(void)buf_printf(text, "~ %s %s: another file", new->name, new->version);
	else if (old->manual != new->manual)
		(void)buf_printf(text, "~ %s %s: now %s", new->name, new->version,
				 new->manual ? "asked for" : "automatic");
}

int lock_diff(const struct lock *before, const struct lock *after,
	      void (*line)(void *data, const char *text), void *data,
	      struct cop_error *err)
{
	auto_free const struct lock_package **olds = sorted(before), **news = NULL;
	const struct lock_package **old, **new;

	news = sorted(after);
	if (!olds || !news)
		return err_oom(err);
	old = olds;
	new = news;
	while (*old || *new) {
		auto_buf text = {};
		int order = !*old ? 1 : !*new ? -1 : compare(*old, *new);

		describe_change(order <= 0 ? *old : NULL, order >= 0 ? *new : NULL,
				&text);
		if (text.failed)
			return err_oom(err);
		if (text.size > 0)
			line(data, text.data);
		old += order <= 0;
		new += order >= 0;
	}
	return 0;
}
