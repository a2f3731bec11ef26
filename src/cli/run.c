/* SPDX-License-Identifier: Apache-2.0 */
/* `run`: a command, or a shell, in a tree. */
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include <coppice/object.h>

#include "cli/cli.h"
#include "engine/engine.h"
#include "store/ref.h"
#include "view/view.h"

/* Errors of ours, so that a script can tell them from the command's. */
#define STATUS_OWN_ERROR 125

static struct cop_object *free_object(struct cop_object *object)
{
	return cop_object_free(object);
}

static void object_freep(struct cop_object **object)
{
	*object = free_object(*object);
}

static int finish(struct cli *cli, struct cop_object *object, const char *name,
		  int status, struct cop_error *err)
{
	struct cop_digest digest;
	char hex[COP_DIGEST_HEX + 1];
	int r;

	cli->exit_status =
		WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	r = cop_object_write_end(object, err);
	if (r < 0 || !name)
		return r;
	if (status != 0) {
		cli_say(cli, "the command failed: nothing was committed");
		return 0;
	}
	r = cop_store_commit(cli->store, object, name, &digest, err);
	if (r == 0)
		cli_say(cli, "%s is now %s", name, cop_digest_to_hex(&digest, hex));
	return r;
}

static int run_in_tree(struct cli *cli, int argc, char **argv, struct cop_error *err)
{
	cleanup_with(object_freep) struct cop_object *object = NULL;
	const char *const *binds = cli->lists[2];
	struct cop_digest digest;
	const char *path;
	int r, status;

	r = cli_private_mounts(err);
	if (r == 0)
		r = cli_get(cli, argv[0], &digest, err);
	if (r == 0)
		r = cop_object_new(cli->store, argv[0], &object, err);
	if (r == 0)
		r = cop_object_write(object, &path, err);
	if (r != 0)
		return r;
	/* The terminal's keys are for the command; we stay to clean up. */
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGQUIT, SIG_IGN);
	(void)argc;
	argv++;
	r = engine_run_command(path, (const char *const *)argv, cli->options[1] != NULL,
			       binds, &status, err);
	if (r < 0)
		return r;
	return finish(cli, object, cli->options[0], status, err);
}

static int run_run(struct cli *cli, int argc, char **argv, struct cop_error *err)
{
	int r;

	if (cli->options[0] && !ref_name_is_valid(REF_NAME, cli->options[0]))
		return cli_usage_error(err, "run: '%s' is not a ref name",
				       cli->options[0]);
	r = run_in_tree(cli, argc, argv, err);
	if (r < 0)
		cli->exit_status = STATUS_OWN_ERROR;
	return r;
}

const struct verb verb_run = {
	.name = "run",
	.arguments = "TREE [--] [COMMAND...]",
	.help = "A command (or a shell) with a tree as /, in the stage sandbox",
	.details =
		"The tree is writable; what the command changes is dropped unless --commit is "
		"given\nand the command succeeds.",
	.options = {{"commit", 0, "NAME", "keep the changed tree under this name", false},
		    {"network", 0, NULL, "let the command use the network", false},
		    {"bind", 0, "SRC:DST", "make SRC visible at DST", true}},
	.min_args = 1,
	.max_args = -1,
	.command_at = 1,
	.runs_stages = true,
	.run = run_run,
};
