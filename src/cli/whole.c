/* SPDX-License-Identifier: Apache-2.0 */
/* The whole program: every verb there is. */
#include "cli/cli.h"

const struct verb *const cli_verbs[] = {
	&verb_build,	    &verb_lock,
	&verb_manifest,	    &verb_inspect,
	&verb_explain,	    &verb_init,
	&verb_commit,	    &verb_digest,
	&verb_refs,	    &verb_ref_set,
	&verb_ref_rm,	    &verb_ls,
	&verb_cat,	    &verb_dump,
	&verb_diff,	    &verb_export,
	&verb_import,	    &verb_boot,
	&verb_run,	    &verb_log,
	&verb_mount,	    &verb_umount,
	&verb_verify,	    &verb_gc,
	&verb_pin,	    &verb_unpin,
	&verb_push,	    &verb_pull,
	&verb_remote_add,   &verb_remote_list,
	&verb_remote_probe, &verb_remote_gc,
	&verb_remote_rm,    &verb_status,
	&verb_osbuild,	    &verb_doctor,
	&verb_sbom,	    &verb_help,
	NULL,
};

int cli_become_whole(char **argv, struct cop_error *err)
{
	(void)argv;
	(void)err;
	return 0;
}
