/* SPDX-License-Identifier: Apache-2.0 */
/* Verbs about names. */
#include <string.h>

#include "cli/cli.h"
#include "store/ref.h"
#include "store/settings.h"
#include "json/json.h"

struct listing {
	const char *prefix;
	json_t *json; /* an array with --json, else NULL */
};

static int list_ref(void *data, const char *name, const struct cop_digest *digest)
{
	struct listing *listing = data;
	char hex[COP_DIGEST_HEX + 1], full[600];

	(void)snprintf(full, sizeof(full), "%s%s", listing->prefix, name);
	(void)cop_digest_to_hex(digest, hex);
	if (!listing->json) {
		(void)printf("%s\t%s\n", full, hex);
		return 0;
	}
	return json_array_append_new(listing->json, json_pack("{s:s, s:s}", "name", full,
							      "digest", hex)) < 0
		       ? -ENOMEM
		       : 0;
}

static int run_refs(struct cli *cli, int argc, char **argv, struct cop_error *err)
{
	static const char *const prefixes[] = {"", "stage/", "failed/"};
	auto_json *json = cli->json ? json_array() : NULL;
	struct listing listing = {.json = json};
	int r, last = cli->options[0] ? REF_FAILED : REF_NAME;
	struct cop_store *store;

	r = cli_store(cli, &store, err);
	for (int class = REF_NAME; class <= last && r == 0; class ++) {
		listing.prefix = prefixes[class];
		r = ref_list(store, (enum ref_class) class, argc ? argv[0] : NULL,
			     list_ref, &listing, err);
	}
	if (r < 0)
		return r;
	return json ? cli_print_json(json, err) : 0;
}

const struct verb verb_refs = {
	.name = "refs",
	.arguments = "[PATTERN]",
	.help = "List names and the digests they point to",
	.details = "PATTERN is a shell pattern; '*' matches '/' too.",
	.options = {{"all", 'a', NULL, "stages and failed stages too", false}},
	.min_args = 0,
	.max_args = 1,
	.run = run_refs,
};

static int run_ref_set(struct cli *cli, int argc, char **argv, struct cop_error *err)
{
	struct cop_digest digest;
	int r;

	(void)argc;
	if (!ref_name_is_valid(REF_NAME, argv[0]))
		return cli_usage_error(err, "ref set: '%s' is not a ref name", argv[0]);
	r = cli_get(cli, argv[1], &digest, err);
	if (r < 0)
		return r;
	r = cop_ref_set(cli->store, argv[0], &digest, err);
	return r < 0 ? r : cli_print_digest(cli, &digest, err);
}

const struct verb verb_ref_set = {
	.name = "ref set",
	.arguments = "NAME TREE",
	.help = "Point a name at a tree",
	.min_args = 2,
	.max_args = 2,
	.run = run_ref_set,
};

static int refuse_pinned(struct cop_store *store, int argc, char **argv,
			 struct cop_error *err)
{
	auto_json *settings = NULL;
	int r = settings_read(store, &settings, err);

	for (int i = 0; i < argc && r == 0; i++)
		if (settings_is_pinned(settings, REF_NAME, argv[i]))
			r = err_set(
				err, -EPERM,
				"remove ref '%s': it is pinned; coppice unpin %s first",
				argv[i], argv[i]);
	return r;
}

static int run_ref_rm(struct cli *cli, int argc, char **argv, struct cop_error *err)
{
	struct cop_store *store;
	int r;

	r = cli_store(cli, &store, err);
	if (r == 0)
		r = refuse_pinned(store, argc, argv, err);
	for (int i = 0; i < argc && r == 0; i++)
		r = cop_ref_remove(store, argv[i], err);
	return r;
}

const struct verb verb_ref_rm = {
	.name = "ref rm",
	.arguments = "NAME...",
	.help = "Forget names; what they point to stays until it is collected",
	.min_args = 1,
	.max_args = -1,
	.run = run_ref_rm,
};
