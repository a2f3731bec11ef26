/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists for the solver with only those packages in them that can play a part.
 *
 * apt looks at every dependency of every package that it knows, several times in each
 * run, which takes seconds with the whole archive and a tenth of one with these.  The
 * lists have the names and the Release files of the true ones beside them, so that
 * everything else is as it was: which repository a package is of, and that it is signed.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/text.h"
#include "recipe/image.h"
#include "recipe/solver.h"

#define STATE "var/lib/apt/"
#define LISTS STATE "lists"
#define FEW   STATE "few"

static int reach(struct solver *solver, struct cop_error *err)
{
	const char *const *tools = image_tools(solver->recipe);
	auto_free const char **names = NULL;
	size_t n = 0, n_tools = 0;

	while (tools && tools[n_tools])
		n_tools++;
	names = calloc(solver->n_words + n_tools + 2, sizeof(*names));
	if (!names)
		return err_oom(err);
	names[n++] = "usr-is-merged";
	for (size_t i = 0; i < solver->n_words; i++)
		names[n++] = solver->words[i].package->name;
	for (size_t i = 0; i < n_tools; i++)
		names[n++] = tools[i];
	return index_reach(solver->index, names, solver->recipe->recommends, err);
}

static int write_list(const struct solver *solver, const char *list, const char *aside,
		      struct cop_error *err)
{
	const char *slash = strrchr(list, '/');
	auto_buf text = {}, path = {};
	int r = index_write_reached(solver->index, list, aside, &text, err);

	if (r == 0 && buf_printf(&path, FEW "/%s", slash ? slash + 1 : list) < 0)
		return err_oom(err);
	return r < 0 ? r : apt_write(solver->apt, path.data, &text, err);
}

/* "HOST_dists_SUITE_InRelease" and the like; links to where they are. */
static int link_releases(const struct solver *solver, struct cop_error *err)
{
	const struct apt *apt = solver->apt;
	auto_close int lists_fd =
		fs_open_plain(apt->root_fd, LISTS, O_RDONLY | O_DIRECTORY, 0, err);
	auto_close int few_fd = -EBADF;
	char **names = NULL;
	int r;

	if (lists_fd < 0)
		return lists_fd;
	few_fd = fs_open_plain(apt->root_fd, FEW, O_RDONLY | O_DIRECTORY, 0, err);
	if (few_fd < 0)
		return few_fd;
	r = fs_list(lists_fd, &names, NULL, err);
	for (char **name = names; r == 0 && *name; name++) {
		auto_buf target = {};

		if (!text_ends_with(*name, "Release") &&
		    !text_ends_with(*name, "Release.gpg"))
			continue;
		if (buf_printf(&target, "../lists/%s", *name) < 0)
			r = err_oom(err);
		else if (symlinkat(target.data, few_fd, *name) < 0)
			r = err_errno(err, "link '%s'", *name);
	}
	fs_list_free(names);
	return r;
}

int solver_narrow(struct solver *solver, bool for_base, struct cop_error *err)
{
	struct apt *apt = solver->apt;
	int r = reach(solver, err);

	if (r == 0)
		r = fs_remove_all(apt->root_fd, FEW, true, err);
	if (r == 0)
		r = fs_make_dirs(apt->root_fd, FEW, 0755, err);
	for (size_t i = 0; i < apt->n_repositories && r == 0; i++)
		for (const char **list = apt->repositories[i].lists; *list && r == 0;
		     list++)
			r = write_list(solver, *list, for_base ? LOCAL_REPOSITORY : NULL,
				       err);
	if (r == 0)
		r = link_releases(solver, err);
	apt->few = r == 0;
	return r;
}
