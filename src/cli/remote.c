/* SPDX-License-Identifier: Apache-2.0 */
/* Verbs of sharing: remote add, list, probe, gc, rm; push and pull. */
#include <string.h>

#include "base/text.h"
#include "cli/cli.h"
#include "remote/remote.h"
#include "store/object.h"
#include "json/json.h"

#define DAY_SECONDS  ((uint64_t)24 * 60 * 60)
#define PAUSE_MAX_MS 60000

static void say_note(void *data, const char *line)
{
	cli_say(data, "%s", line);
}

static struct remote_monitor monitor_of(struct cli *cli)
{
	return (struct remote_monitor){
		.note = say_note, .data = cli, .progress = cli->progress};
}

static int open_remote(struct cli *cli, const char *name, struct remote **ret_remote,
		       struct cop_error *err)
{
	struct remote_monitor monitor = monitor_of(cli);
	struct cop_store *store;
	int r = cli_store(cli, &store, err);

	if (r == 0)
		r = cli_catch_signals(cli, err);
	return r < 0 ? r
		     : remote_open(store, name, &monitor, cli->cancel_fd, ret_remote,
				   err);
}

static int print_abilities(struct cli *cli, const struct remote_abilities *abilities,
			   struct cop_error *err)
{
	auto_json *json = NULL;

	if (cli->json) {
		json = json_pack("{s:b, s:b, s:b, s:b}", "write", abilities->can_write,
				 "list", abilities->can_list, "range",
				 abilities->can_range, "conditions",
				 abilities->has_conditions);
		return cli_print_json(json, err);
	}
	(void)printf("write\t%s\nconditions\t%s\n", abilities->can_write ? "yes" : "no",
		     abilities->has_conditions ? "yes" : "no");
	if (abilities->can_write && !abilities->has_conditions)
		cli_say(cli,
			"the server does not keep conditions (If-None-Match, If-Match): "
			"two pushes of one name at the same time may not notice each "
			"other, and 'remote gc' will refuse");
	return 0;
}

static int read_number(const char *verb, const char *option, const char *text,
		       uint64_t unit, uint64_t *value, struct cop_error *err)
{
	uint64_t number;

	if (!text)
		return 0;
	if (text_to_u64(text, &number) < 0 || number > INT64_MAX / unit)
		return cli_usage_error(err, "%s: --%s: '%s' is not a number", verb,
				       option, text);
	*value = number * unit;
	return 0;
}

static int run_add(struct cli *cli, int argc, char **argv, struct cop_error *err)
{
	const char *style = cli->options[2] ? cli->options[2] : "path";
	struct remote_config config = {
		.url = argv[1],
		.endpoint = cli->options[0],
		.region = cli->options[1],
		.path_style = strcmp(style, "path") == 0,
		.profile = cli->options[3],
		.sign_key = cli->options[4],
		.builder = cli->options[5],
		.trusted = cli->lists[6],
		.require_signatures = cli->options[7] != NULL,
	};
	struct remote_monitor monitor = monitor_of(cli);
	struct remote_abilities abilities;
	uint64_t pause_ms = 0;
	struct cop_store *store;
	int r;

	(void)argc;
	if (strcmp(style, "path") != 0 && strcmp(style, "virtual") != 0)
		return cli_usage_error(err, "remote add: --style is path or virtual");
	r = read_number("remote add", "pause", cli->options[8], 1, &pause_ms, err);
	if (r == 0 && pause_ms > PAUSE_MAX_MS)
		r = cli_usage_error(err, "remote add: --pause is at most %d",
				    PAUSE_MAX_MS);
	config.pause_ms = (unsigned int)pause_ms;
	if (r == 0)
		r = cli_store(cli, &store, err);
	if (r == 0)
		r = cli_catch_signals(cli, err);
	if (r == 0)
		r = remote_add(store, argv[0], &config, &monitor, cli->cancel_fd,
			       &abilities, err);
	return r < 0 ? r : print_abilities(cli, &abilities, err);
}

const struct verb verb_remote_add = {
	.name = "remote add",
	.arguments = "NAME URL",
	.help = "Give the store a remote to share trees through",
	.details =
		"URL is file:///DIRECTORY, s3://BUCKET/PREFIX, or http(s)://HOST/PATH of what is\n"
		"served from one of these, for reading.  The place is tried; an empty one becomes\n"
		"a remote.  Credentials for S3 come from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY\n"
		"and AWS_SESSION_TOKEN, else from ~/.aws/credentials, and are not kept.",
	.options =
		{{"endpoint", 0, "URL", "of the S3 server (else AWS_ENDPOINT_URL)",
		  false},
		 {"region", 0, "REGION", "of the bucket (else AWS_REGION)", false},
		 {"style", 0, "STYLE",
		  "path (the default) or virtual: where the bucket "
		  "stands in a URL",
		  false},
		 {"profile", 0, "NAME", "of the credentials file", false},
		 {"sign-key", 0, "FILE", "sign what is pushed (Ed25519, PEM)", false},
		 {"builder", 0, "NAME", "in whose name", false},
		 {"trust", 0, "BUILDER.pem", "a public key of that builder", true},
		 {"require-signatures", 0, NULL,
		  "use nothing that no trusted key has signed", false},
		 {"pause", 0, "MS",
		  "before a request that failed is sent again (200); doubled each time",
		  false}},
	.min_args = 2,
	.max_args = 2,
	.run = run_add,
};

static int list_one(void *data, const char *name, const json_t *config)
{
	const char *url = json_string_value(json_object_get(config, "url"));
	json_t *array = data;
	json_t *copy;

	if (!array) {
		(void)printf("%s\t%s\n", name, url ? url : "");
		return 0;
	}
	copy = json_deep_copy(config);
	if (!copy || json_object_set_new(copy, "name", json_string(name)) < 0) {
		json_decref(copy);
		return -ENOMEM;
	}
	return json_array_append_new(array, copy) < 0 ? -ENOMEM : 0;
}

static int run_list(struct cli *cli, int argc, char **argv, struct cop_error *err)
{
	auto_json *array = cli->json ? json_array() : NULL;
	struct cop_store *store;
	int r = cli_store(cli, &store, err);

	(void)argc;
	(void)argv;
	if (r == 0)
		r = remote_list(store, list_one, array, err);
	if (r < 0)
		return r;
	return array ? cli_print_json(array, err) : 0;
}

const struct verb verb_remote_list = {
	.name = "remote list",
	.arguments = "",
	.help = "List the remotes of the store",
	.min_args = 0,
	.max_args = 0,
	.run = run_list,
};

static int run_probe(struct cli *cli, int argc, char **argv, struct cop_error *err)
{
	struct remote_abilities abilities;
	auto_ptr(remote) remote = NULL;
	int r = open_remote(cli, argv[0], &remote, err);

	(void)argc;
	if (r == 0)
		r = remote_probe(remote, &abilities, err);
	return r < 0 ? r : print_abilities(cli, &abilities, err);
}

const struct verb verb_remote_probe = {
	.name = "remote probe",
	.arguments = "NAME",
	.help = "Try what a remote can do",
	.details = "Writes, lists, replaces and removes a small file of its own there.",
	.min_args = 1,
	.max_args = 1,
	.run = run_probe,
};

static int run_rm(struct cli *cli, int argc, char **argv, struct cop_error *err)
{
	struct cop_store *store;
	int r = cli_store(cli, &store, err);

	for (int i = 0; i < argc && r == 0; i++)
		r = remote_remove(store, argv[i], err);
	return r;
}

const struct verb verb_remote_rm = {
	.name = "remote rm",
	.arguments = "NAME...",
	.help = "Forget remotes; what is there stays",
	.min_args = 1,
	.max_args = -1,
	.run = run_rm,
};

static int print_report(struct cli *cli, const struct remote_gc_report *report, bool dry,
			struct cop_error *err)
{
	auto_json *json = NULL;
	char kept[32], dropped[32], moved[32];

	if (!cli->json) {
		(void)printf("%s\t%llu files, %s, %llu stage keys\nkept\t%llu packs, %s, "
			     "%llu names, %llu stage keys\n",
			     dry ? "would remove" : "removed",
			     (unsigned long long)report->n_dropped,
			     text_size(report->n_dropped_bytes, dropped, sizeof(dropped)),
			     (unsigned long long)report->n_dropped_keys,
			     (unsigned long long)report->n_packs,
			     text_size(report->n_bytes, kept, sizeof(kept)),
			     (unsigned long long)report->n_names,
			     (unsigned long long)report->n_keys);
		(void)printf("made smaller\t%llu packs, %s\n",
			     (unsigned long long)report->n_moved,
			     text_size(report->n_moved_bytes, moved, sizeof(moved)));
		return 0;
	}
	json = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "names",
			 (json_int_t)report->n_names, "stage-keys",
			 (json_int_t)report->n_keys, "packs", (json_int_t)report->n_packs,
			 "bytes", (json_int_t)report->n_bytes, "removed-stage-keys",
			 (json_int_t)report->n_dropped_keys, "removed-files",
			 (json_int_t)report->n_dropped, "removed-bytes",
			 (json_int_t)report->n_dropped_bytes, "rewritten-packs",
			 (json_int_t)report->n_moved, "rewritten-bytes",
			 (json_int_t)report->n_moved_bytes);
	return cli_print_json(json, err);
}

static int run_gc(struct cli *cli, int argc, char **argv, struct cop_error *err)
{
	struct remote_gc_options options = {.young_seconds = DAY_SECONDS,
					    .dry_run = cli->options[2] != NULL};
	struct remote_gc_report report;
	auto_ptr(remote) remote = NULL;
	int r = read_number("remote gc", "keep-stages", cli->options[0], DAY_SECONDS,
			    &options.keep_key_seconds, err);

	(void)argc;
	if (r == 0)
		r = read_number("remote gc", "young", cli->options[1], 1,
				&options.young_seconds, err);
	if (r == 0)
		r = open_remote(cli, argv[0], &remote, err);
	if (r == 0)
		r = remote_gc(remote, &options, &report, err);
	return r < 0 ? r : print_report(cli, &report, options.dry_run, err);
}

const struct verb verb_remote_gc = {
	.name = "remote gc",
	.arguments = "NAME",
	.help = "Remove from a remote what no name and no stage key needs",
	.details =
		"Packs of which less than half is needed are made smaller: what is needed moves to\n"
		"new ones.  Refuses while somebody pushes: a push that was killed counts for a day,\n"
		"by the clock of the server.  Nothing can be pushed while it runs; pulling goes on.",
	.options = {{"keep-stages", 0, "DAYS",
		     "forget stage keys that were written longer ago", false},
		    {"young", 0, "SECONDS",
		     "how long a push that says nothing counts as alive (86400)", false},
		    {"dry-run", 'n', NULL, "only tell", false}},
	.min_args = 1,
	.max_args = 1,
	.run = run_gc,
};

/* --- push and pull --- */

static void say_totals(struct cli *cli, const char *what, const struct remote *remote)
{
	struct remote_totals totals;
	char files[32], wire[32];

	remote_totals(remote, &totals);
	cli_say(cli, "%s %llu files (%s): %llu requests, %s", what,
		(unsigned long long)totals.n_files,
		text_size(totals.n_file_bytes, files, sizeof(files)),
		(unsigned long long)totals.n_requests,
		text_size(totals.n_sent + totals.n_received, wire, sizeof(wire)));
}

static int add_result(json_t *results, const char *name, const struct cop_digest *digest)
{
	char hex[COP_DIGEST_HEX + 1];

	if (!results) {
		(void)printf("%s\t%s\n", name, cop_digest_to_hex(digest, hex));
		return 0;
	}
	return json_array_append_new(results,
				     json_pack("{s:s, s:s}", "name", name, "digest",
					       cop_digest_to_hex(digest, hex)));
}

static int print_results(struct cli *cli, json_t *results, const struct remote *remote,
			 struct cop_error *err)
{
	struct remote_totals totals;
	auto_json *json = NULL;

	if (!cli->json)
		return 0;
	remote_totals(remote, &totals);
	json = json_pack("{s:O, s:I, s:I, s:I, s:I, s:I}", "trees", results, "requests",
			 (json_int_t)totals.n_requests, "sent", (json_int_t)totals.n_sent,
			 "received", (json_int_t)totals.n_received, "files",
			 (json_int_t)totals.n_files, "file-bytes",
			 (json_int_t)totals.n_file_bytes);
	return cli_print_json(json, err);
}

/* A stage goes by its key; what is known of it goes along. */
static int fill_stage(struct cop_store *store, const char *word, struct push_item *item,
		      json_t **ret_meta)
{
	const char *key;

	if (!ref_name_is_valid(REF_STAGE, word) ||
	    ref_meta(store, REF_STAGE, word, ret_meta, NULL) < 0)
		return 0;
	key = json_string_value(json_object_get(*ret_meta, "key"));
	if (!key || !ref_name_is_valid(REF_STAGE, key))
		return 0;
	item->key = key;
	item->stage = word;
	item->meta = *ret_meta;
	return 0;
}

struct items {
	struct push_item *list;
	json_t **metas;
	size_t n;
};

static void items_done(struct items *items)
{
	for (size_t i = 0; items->metas && i < items->n; i++)
		json_decref(items->metas[i]);
	free(items->metas);
	free(items->list);
}

static int fill_items(struct cop_store *store, char **words, size_t n, const char *as,
		      struct items *items, struct cop_error *err)
{
	items->list = calloc(n + 1, sizeof(*items->list));
	items->metas = calloc(n + 1, sizeof(*items->metas));
	if (!items->list || !items->metas)
		return err_oom(err);
	items->n = n;
	for (size_t i = 0; i < n; i++) {
		struct push_item *item = &items->list[i];
		struct cop_digest digest;

		item->id = words[i];
		if (as)
			item->ref = as;
		else if (ref_name_is_valid(REF_NAME, words[i]) &&
			 ref_get(store, REF_NAME, words[i], &digest, NULL) == 0)
			item->ref = words[i];
		else
			(void)fill_stage(store, words[i], item, &items->metas[i]);
	}
	return 0;
}

static int run_push(struct cli *cli, int argc, char **argv, struct cop_error *err)
{
	cleanup_with(items_done) struct items items = {};
	auto_json *results = cli->json ? json_array() : NULL;
	auto_ptr(remote) remote = NULL;
	int r;

	if (cli->options[0] && argc != 2)
		return cli_usage_error(err, "push: --as goes with one tree");
	if (cli->options[0] && !ref_name_is_valid(REF_NAME, cli->options[0]))
		return cli_usage_error(err, "push: '%s' is not a ref name",
				       cli->options[0]);
	r = open_remote(cli, argv[0], &remote, err);
	if (r == 0)
		r = fill_items(cli->store, argv + 1, (size_t)argc - 1, cli->options[0],
			       &items, err);
	if (r == 0)
		r = remote_push(remote, items.list, items.n, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < items.n; i++)
		if (add_result(results,
			       items.list[i].ref ? items.list[i].ref : argv[i + 1],
			       &items.list[i].digest) < 0)
			return err_oom(err);
	say_totals(cli, "sent", remote);
	return print_results(cli, results, remote, err);
}

const struct verb verb_push = {
	.name = "push",
	.arguments = "REMOTE TREE...",
	.help = "Send trees to a remote, and the names they have here",
	.details =
		"A TREE given by its name gets that name there; a stage id is sent with its key,\n"
		"for 'build --remote'; anything else can be pulled by its digest.  What the remote\n"
		"has is not sent again, and a push that was interrupted goes on where it was.",
	.options = {{"as", 0, "NAME", "the name that the tree gets there", false}},
	.min_args = 2,
	.max_args = -1,
	.run = run_push,
};

static int pull_one(struct cli *cli, struct remote *remote, const char *word,
		    json_t *results, struct cop_error *err)
{
	const char *as = cli->options[0] ? cli->options[0] : word;
	struct cop_digest digest;
	int r;

	if (!ref_name_is_valid(REF_NAME, as))
		as = NULL;
	r = remote_pull(remote, word, REF_NAME, as, NULL, &digest, err);
	if (r == 0 && add_result(results, as ? as : word, &digest) < 0)
		r = err_oom(err);
	return r;
}

static int run_pull(struct cli *cli, int argc, char **argv, struct cop_error *err)
{
	auto_json *results = cli->json ? json_array() : NULL;
	auto_ptr(remote) remote = NULL;
	int r;

	if (cli->options[0] && argc != 2)
		return cli_usage_error(err, "pull: --as goes with one name");
	if (cli->options[0] && !ref_name_is_valid(REF_NAME, cli->options[0]))
		return cli_usage_error(err, "pull: '%s' is not a ref name",
				       cli->options[0]);
	r = open_remote(cli, argv[0], &remote, err);
	for (int i = 1; i < argc && r == 0; i++)
		r = pull_one(cli, remote, argv[i], results, err);
	if (r < 0)
		return r;
	say_totals(cli, "fetched", remote);
	return print_results(cli, results, remote, err);
}

const struct verb verb_pull = {
	.name = "pull",
	.arguments = "REMOTE NAME...",
	.help = "Fetch trees from a remote",
	.details =
		"NAME is a name there, and becomes one here; or a digest.  Only what the store\n"
		"lacks is fetched, everything is verified before it is kept, and a pull that was\n"
		"interrupted goes on where it was.",
	.options = {{"as", 0, "NAME", "the name that the tree gets here", false}},
	.min_args = 2,
	.max_args = -1,
	.run = run_pull,
};
