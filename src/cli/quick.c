/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The quick program: the verbs that look at a store, commit, and mount.  What only the
 * others need, libcurl and libarchive and the forty libraries that these need, takes
 * several times as long to load as a view to mount.  For any other verb it becomes the
 * whole program.
 */
#include <limits.h>
#include <string.h>

#include "cli/cli.h"

const struct verb *const cli_verbs[] = {
	&verb_init,   &verb_commit, &verb_digest, &verb_refs,	&verb_ref_set,
	&verb_ref_rm, &verb_ls,	    &verb_cat,	  &verb_dump,	&verb_diff,
	&verb_run,    &verb_log,    &verb_mount,  &verb_umount, &verb_verify,
	&verb_gc,     &verb_pin,    &verb_unpin,  &verb_status, NULL,
};

/* coppice-whole beside the running program is how a build tree looks. */
static int find_beside_program(char path[PATH_MAX])
{
	static const char name[] = "/coppice-whole";
	ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - sizeof(name));

	if (n < 0)
		return -errno;
	path[n] = '\0';
	strcpy(strrchr(path, '/'), name);
	return access(path, X_OK) < 0 ? -errno : 0;
}

int cli_become_whole(char **argv, struct cop_error *err)
{
	char path[PATH_MAX];

	if (find_beside_program(path) == 0)
		(void)execv(path, argv);
	(void)execv(COPPICE_WHOLE, argv);
	return err_errno(err, "run '%s', which has the other verbs", COPPICE_WHOLE);
}
