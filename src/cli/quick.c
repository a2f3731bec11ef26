/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The quick program: the verbs that look at a store, commit, and mount, and the one that
 * takes osbuild's place.  What only the others need, libcurl and libarchive and the forty
 * libraries that these need, takes several times as long to load as a view to mount.  For
 * any other verb it becomes the whole program.
 */
#include <limits.h>
#include <string.h>

#include "base/process.h"
#include "cli/cli.h"

const struct verb *const cli_verbs[] = {
	&verb_init,   &verb_commit, &verb_digest, &verb_refs,	&verb_ref_set,
	&verb_ref_rm, &verb_ls,	    &verb_cat,	  &verb_dump,	&verb_diff,
	&verb_run,    &verb_log,    &verb_mount,  &verb_umount, &verb_verify,
	&verb_gc,     &verb_pin,    &verb_unpin,  &verb_status, &verb_osbuild,
	NULL,
};

/* coppice-whole beside @program, which is how a build tree looks. */
static void try_beside(const char *program, char **argv)
{
	const char *slash = strrchr(program, '/');
	char path[PATH_MAX];
	int n;

	if (!slash)
		return;
	n = snprintf(path, sizeof(path), "%.*s/coppice-whole", (int)(slash - program),
		     program);
	if (n > 0 && (size_t)n < sizeof(path))
		(void)execv(path, argv);
}

int cli_become_whole(char **argv, struct cop_error *err)
{
	const char *program = process_own_path();

	if (program)
		try_beside(program, argv);
	/* A relative path leads to where the absolute one may not be walked. */
	try_beside(argv[0], argv);
	(void)execv(COPPICE_WHOLE, argv);
	return err_errno(err, "run '%s', which has the other verbs", COPPICE_WHOLE);
}
