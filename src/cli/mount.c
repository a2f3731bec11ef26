/* SPDX-License-Identifier: Apache-2.0 */
/* Verbs about views that stay: mount, umount. */
#include <string.h>

#include "cli/cli.h"
#include "store/ref.h"
#include "view/kept.h"
#include "json/json.h"

struct printing {
	json_t *json; /* an array with --json, else NULL */
};

static int print_view(void *data, const struct kept_view *view)
{
	const struct printing *printing = data;
	const char *mode = view->writable ? "write" : "read";
	char hex[COP_DIGEST_HEX + 1];
	json_t *entry;

	(void)cop_digest_to_hex(&view->base, hex);
	if (!printing->json) {
		(void)printf("%s\t%s\t%s\t%s\t%s\n", view->id, hex, mode,
			     view->mounted ? "mounted" : "not mounted", view->target);
		return 0;
	}
	/* Paths are bytes; what is not UTF-8 has no place in JSON. */
	entry = json_pack("{s:s, s:s, s:s, s:b, s:s*}", "id", view->id, "base", hex,
			  "mode", mode, "mounted", view->mounted, "target", view->target);
	return json_array_append_new(printing->json, entry) < 0 ? -ENOMEM : 0;
}

static int list_views(struct cli *cli, struct cop_error *err)
{
	auto_json *json = cli->json ? json_array() : NULL;
	struct printing printing = {.json = json};
	struct cop_store *store;
	int r = cli_store(cli, &store, err);

	if (r == 0)
		r = kept_list(store, print_view, &printing, err);
	if (r < 0)
		return r;
	return json ? cli_print_json(json, err) : 0;
}

static int print_id(struct cli *cli, const char *id, struct cop_error *err)
{
	auto_json *json = NULL;

	if (!cli->json) {
		(void)printf("%s\n", id);
		return 0;
	}
	json = json_pack("{s:s}", "view", id);
	return cli_print_json(json, err);
}

static int remount(struct cli *cli, int argc, char **argv, struct cop_error *err)
{
	struct cop_store *store;
	int r;

	if (argc > 1 || cli->options[0])
		return cli_usage_error(err, "mount: --view ID takes at most a directory");
	r = cli_store(cli, &store, err);
	if (r == 0)
		r = kept_remount(store, cli->options[1], argc ? argv[0] : NULL, err);
	return r < 0 ? r : print_id(cli, cli->options[1], err);
}

static int mount_new(struct cli *cli, char **argv, struct cop_error *err)
{
	auto_free char *id = NULL;
	struct cop_store *store;
	int r;

	r = cli_store(cli, &store, err);
	if (r == 0)
		r = kept_mount(store, argv[0], argv[1], cli->options[0] != NULL, &id,
			       err);
	return r < 0 || !id ? r : print_id(cli, id, err);
}

static int run_mount(struct cli *cli, int argc, char **argv, struct cop_error *err)
{
	if (cli->options[1])
		return remount(cli, argc, argv, err);
	if (argc == 0 && !cli->options[0])
		return list_views(cli, err);
	if (argc != 2)
		return cli_usage_error(err, "mount: takes TREE and DIR, or nothing");
	return mount_new(cli, argv, err);
}

const struct verb verb_mount = {
	.name = "mount",
	.arguments = "[TREE DIR]",
	.help = "Make a tree visible at a directory; without arguments, list such views",
	.details =
		"The view lives until 'coppice umount', also over a restart of the machine: "
		"then\n'coppice mount --view ID' brings it back.  Prints the view's id.  The "
		"list has id,\ndigest, mode, state and directory.",
	.options = {{"write", 'w', NULL, "what is written can be committed by umount",
		     false},
		    {"view", 0, "ID",
		     "mount a view of yours again, at DIR or where it was", false}},
	.min_args = 0,
	.max_args = 2,
	.run = run_mount,
};

static int run_umount(struct cli *cli, int argc, char **argv, struct cop_error *err)
{
	const struct kept_end options = {
		.commit = cli->options[1],
		.discard = cli->options[2] != NULL,
		.progress = cli->progress,
	};
	auto_free char *found = NULL;
	const char *id = cli->options[0];
	struct cop_digest digest;
	struct cop_store *store;
	int r;

	if ((argc == 1) == (id != NULL))
		return cli_usage_error(err, "umount: takes DIR or --view ID");
	if (options.commit && options.discard)
		return cli_usage_error(err, "umount: --commit and --discard exclude each "
					    "other");
	if (options.commit && !ref_name_is_valid(REF_NAME, options.commit))
		return cli_usage_error(err, "umount: '%s' is not a ref name",
				       options.commit);
	r = cli_store(cli, &store, err);
	if (r == 0 && !id)
		r = kept_find(store, argv[0], &found, err);
	if (r == 0)
		r = kept_umount(store, id ? id : found, &options, &digest, err);
	return r < 0 ? r : cli_print_digest(cli, &digest, err);
}

const struct verb verb_umount = {
	.name = "umount",
	.arguments = "[DIR]",
	.help = "End a view that was made by mount",
	.details =
		"A view with changes needs one of --commit and --discard.  Prints the digest of "
		"what\nwas committed, else of the tree that was mounted.",
	.options = {{"view", 0, "ID", "by its id instead of its directory", false},
		    {"commit", 0, "NAME", "keep the changed tree under this name", false},
		    {"discard", 0, NULL, "drop the changes", false}},
	.min_args = 0,
	.max_args = 1,
	.run = run_umount,
};
