/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Building as a plain user.  The files of a tree belong to many, so who has subordinate
 * ids (subuid(5)) becomes root of a user namespace that has them: unshare(1) lets
 * newuidmap(1) map them and starts this program anew.  What a tree is does not depend on
 * it: the digests are those that root gets.
 */
#include <string.h>

#include "base/process.h"
#include "base/words.h"
#include "cli/cli.h"

static void add_namespace(struct words *words)
{
	words_add(words, "unshare", "--user", "--map-root-user", "--map-auto", "--",
		  NULL);
}

static void drop_output(void *data, const char *bytes, size_t size)
{
	(void)data;
	(void)bytes;
	(void)size;
}

bool cli_has_subordinate_ids(void)
{
	auto_free const char **list = NULL;
	auto_words words = {};
	int status = 0;

	add_namespace(&words);
	words_add(&words, "true", NULL);
	return words_list(&words, &list, NULL) == 0 &&
	       process_run(
		       &(struct process_options){.argv = list, .on_output = drop_output},
		       &status, NULL) == 0 &&
	       status == 0;
}

/* In there the default store would be root's. */
static int keep_store(struct cli *cli, struct cop_error *err)
{
	struct cop_store *store;
	int r;

	if (cli->store_path)
		return 0;
	r = cli_store(cli, &store, err);
	if (r < 0)
		return r;
	if (setenv("COPPICE_STORE", cop_store_path(store), 1) < 0)
		return err_oom(err);
	cli->store = cop_store_close(cli->store);
	return 0;
}

int cli_go_rootless(struct cli *cli, const struct verb *verb, char **argv,
		    struct cop_error *err)
{
	auto_free const char **list = NULL;
	const char *program = process_own_path();
	auto_words words = {};
	int r = 0;

	if (!verb->runs_stages || geteuid() == 0 || !cli_has_subordinate_ids())
		return 0;
	if (!program)
		return err_set(err, -ENOENT, "'/proc/self/exe' cannot be read");
	if (verb != &verb_osbuild)
		r = keep_store(cli, err);
	if (r < 0)
		return r;
	add_namespace(&words);
	words_add(&words, program, NULL);
	/* That name is lost on the way. */
	if (cli_is_osbuild(argv[0]))
		words_add(&words, verb->name, NULL);
	for (char **word = argv + 1; *word; word++)
		words_add(&words, *word, NULL);
	r = words_list(&words, &list, err);
	if (r < 0)
		return r;
	(void)execvp(list[0], (char *const *)(uintptr_t)list);
	return err_errno(err, "run '%s'", list[0]);
}
