/* SPDX-License-Identifier: Apache-2.0 */
/* Verbs that decide what stays: gc, pin, unpin. */
#include <string.h>

#include "base/text.h"
#include "cli/cli.h"
#include "store/gc.h"
#include "store/object.h"
#include "store/settings.h"
#include "store/store.h"
#include "json/json.h"

static const char *const plurals[GC_KINDS] = {
	[GC_NAME] = "names",	       [GC_STAGE] = "checkpoints",
	[GC_FAILED] = "failed stages", [GC_SOURCE] = "downloads",
	[GC_OBJECT] = "trees",	       [GC_FILE] = "files",
	[GC_REST] = "remains",
};

struct listing {
	struct cli *cli;
	bool all; /* what stays, too, and every tree */
	bool quiet;
	json_t *json;
};

static void print_word(void *data, const struct gc_word *word)
{
	const struct listing *listing = data;
	char size[32] = "-";

	if (listing->json) {
		(void)json_array_append_new(
			listing->json,
			json_pack("{s:s, s:s, s:b, s:s, s:I, s:I}", "kind",
				  gc_kind_name(word->kind), "name", word->name, "goes",
				  (int)word->goes, "why", word->why, "count",
				  (json_int_t)word->n, "bytes",
				  (json_int_t)word->n_bytes));
		return;
	}
	if (listing->quiet || (!listing->all && (!word->goes || word->kind >= GC_OBJECT)))
		return;
	if (word->n_bytes > 0)
		(void)text_size(word->n_bytes, size, sizeof(size));
	if (*word->name)
		(void)printf("%s\t%s\t%s\t%s\t%s\n", word->goes ? "goes" : "stays",
			     gc_kind_name(word->kind), word->name, size, word->why);
	else
		(void)printf("%s\t%s\t%llu\t%s\t%s\n", word->goes ? "goes" : "stays",
			     plurals[word->kind], (unsigned long long)word->n, size,
			     word->why);
}

/* "3 checkpoints, 12 trees, 1034 files", or "nothing" */
static void describe_gone(const struct gc_result *result, struct buf *text)
{
	const char *separator = "";

	for (int kind = 0; kind < GC_KINDS; kind++) {
		if (result->gone[kind].n == 0)
			continue;
		(void)buf_printf(text, "%s%llu %s", separator,
				 (unsigned long long)result->gone[kind].n, plurals[kind]);
		separator = ", ";
	}
	if (!*separator)
		(void)buf_append_text(text, "nothing");
}

static uint64_t kept_bytes(const struct gc_result *result)
{
	return result->objects_bytes + result->files_bytes + result->sources_bytes;
}

static int print_json(const struct gc_request *request, const struct gc_result *result,
		      json_t *words, struct cop_error *err)
{
	auto_json *gone = json_object(), *json = NULL;

	for (int kind = 0; kind < GC_KINDS; kind++)
		(void)json_object_set_new(
			gone, gc_kind_name((enum gc_kind)kind),
			json_pack("{s:I, s:I}", "count", (json_int_t)result->gone[kind].n,
				  "bytes", (json_int_t)result->gone[kind].n_bytes));
	json = json_pack("{s:b, s:O, s:I, s:{s:I, s:I, s:I, s:I}, s:b, s:s, s:I, s:O}",
			 "dry-run", (int)request->dry_run, "gone", gone, "freed-bytes",
			 (json_int_t)gc_total(result).n_bytes, "kept-bytes", "objects",
			 (json_int_t)result->objects_bytes, "files",
			 (json_int_t)result->files_bytes, "sources",
			 (json_int_t)result->sources_bytes, "total",
			 (json_int_t)kept_bytes(result), "over-cap",
			 (int)result->over_cap, "blocked", result->blocked,
			 "longest-lock-ms", (json_int_t)result->longest_lock_ms,
			 "decisions", words);
	return cli_print_json(json, err);
}

static void print_result(struct cli *cli, const struct gc_request *request,
			 const struct gc_result *result)
{
	char a[32], b[32], c[32], d[32];
	auto_buf text = {};

	describe_gone(result, &text);
	(void)printf("%s %s: %s\n", request->dry_run ? "would free" : "freed",
		     text_size(gc_total(result).n_bytes, a, sizeof(a)), buf_text(&text));
	(void)printf("%s %s: trees %s, files %s, downloads %s\n",
		     request->dry_run ? "holds" : "keeps",
		     text_size(kept_bytes(result), a, sizeof(a)),
		     text_size(result->objects_bytes, b, sizeof(b)),
		     text_size(result->files_bytes, c, sizeof(c)),
		     text_size(result->sources_bytes, d, sizeof(d)));
	if (*result->blocked)
		cli_say(cli, "no file was removed: %s", result->blocked);
	if (result->over_cap)
		cli_say(cli, "that is over the cap: what is left is pinned or in use");
}

/* "none" is 0. */
static int read_size(const char *text, uint64_t *ret_bytes, struct cop_error *err)
{
	if (strcmp(text, "none") == 0) {
		*ret_bytes = 0;
		return 0;
	}
	if (text_to_size(text, ret_bytes) == 0 && *ret_bytes > 0 &&
	    *ret_bytes <= INT64_MAX)
		return 0;
	return cli_usage_error(
		err, "--max-size: '%s' is not a size (such as 500M, 20G, 4GiB) or 'none'",
		text);
}

static int find_cap(struct cli *cli, struct cop_store *store, uint64_t *ret_cap,
		    struct cop_error *err)
{
	auto_json *settings = NULL;
	int r;

	if (cli->options[3] && !cli->options[0])
		return cli_usage_error(err, "gc: --save needs --max-size");
	if (cli->options[0]) {
		r = read_size(cli->options[0], ret_cap, err);
		if (r == 0 && cli->options[3])
			r = settings_set_max_size(store, *ret_cap, err);
		return r;
	}
	r = settings_read(store, &settings, err);
	if (r == 0)
		*ret_cap = settings_max_size(settings);
	return r;
}

static int run_gc(struct cli *cli, int argc, char **argv, struct cop_error *err)
{
	bool explain = cli->options[2] != NULL;
	auto_json *words = json_array();
	struct listing listing = {.cli = cli, .all = explain};
	struct gc_request request = {.dry_run = cli->options[1] != NULL,
				     .progress = cli->progress,
				     .explain = print_word,
				     .data = &listing};
	struct gc_result result;
	struct cop_store *store;
	int r;

	(void)argc;
	(void)argv;
	listing.quiet = !explain && !request.dry_run;
	listing.json = cli->json ? words : NULL;
	r = cli_store(cli, &store, err);
	if (r == 0)
		r = find_cap(cli, store, &request.max_size, err);
	if (r == 0)
		r = store_gc(store, &request, &result, err);
	if (r != 0)
		return r;
	if (cli->json)
		return print_json(&request, &result, words, err);
	print_result(cli, &request, &result);
	return 0;
}

const struct verb verb_gc = {
	.name = "gc",
	.arguments = "",
	.help = "Remove what nothing needs, and caches over a cap",
	.details =
		"Without a cap only what no name, checkpoint, view or running process needs goes.\n"
		"With one, failed stages, then checkpoints and downloads, then names go until the\n"
		"rest fits, those used least recently first; pinned ones never do.  Sizes are those\n"
		"on disk, as du(1) counts, of trees, files and downloads together.  Builds and\n"
		"commits keep to the saved cap too, but never let go of a name.",
	.options = {{"max-size", 0, "SIZE",
		     "the cap: 500M, 20G, 4GiB; 'none'; else what was saved", false},
		    {"dry-run", 'n', NULL, "remove nothing, say what would go", false},
		    {"explain", 0, NULL, "say of everything whether it goes, and why",
		     false},
		    {"save", 0, NULL, "keep SIZE as the store's setting", false}},
	.min_args = 0,
	.max_args = 0,
	.runs_stages = true,
	.run = run_gc,
};

bool cli_make_room(struct cli *cli)
{
	struct cop_error ignored = {};
	uint64_t n_bytes = 0;
	char size[32];

	if (store_make_room(cli->store, &n_bytes, &ignored) < 0 || n_bytes == 0)
		return false;
	cli_say(cli, "the disk is full: collected %s of garbage and caches, trying again",
		text_size(n_bytes, size, sizeof(size)));
	return true;
}

int cli_keep_cap(struct cli *cli, struct cop_error *err)
{
	struct gc_result result;
	auto_buf text = {};
	char size[32];
	int r = store_keep_cap(cli->store, &result, err);

	if (r < 0)
		return err_prefix(err, r, "keep to the cap");
	if (r == 0)
		return 0;
	describe_gone(&result, &text);
	cli_say(cli, "kept to the cap: freed %s: %s",
		text_size(gc_total(&result).n_bytes, size, sizeof(size)),
		buf_text(&text));
	return 0;
}

/* The ref that a person means: NAME, stage ID or failed/ID, ids by prefix too. */
static int pin(struct cli *cli, char **argv, bool pinned, struct cop_error *err)
{
	char name[STORE_REF_SIZE];
	struct cop_store *store;
	enum ref_class class;
	int r = cli_store(cli, &store, err);

	if (r == 0)
		r = store_find_ref(store, argv[0], &class, name, err);
	if (r == 0)
		r = settings_pin(store, class, name, pinned, err);
	if (r < 0)
		return r;
	if (r == 0)
		cli_say(cli, "'%s' is %s", argv[0],
			pinned ? "pinned already" : "not pinned");
	return 0;
}

static int run_pin(struct cli *cli, int argc, char **argv, struct cop_error *err)
{
	(void)argc;
	return pin(cli, argv, true, err);
}

static int run_unpin(struct cli *cli, int argc, char **argv, struct cop_error *err)
{
	(void)argc;
	return pin(cli, argv, false, err);
}

const struct verb verb_pin = {
	.name = "pin",
	.arguments = "NAME",
	.help = "Let no cap take a name or checkpoint",
	.details =
		"NAME is a name, a stage id or failed/ID.  `status` lists what is pinned.",
	.min_args = 1,
	.max_args = 1,
	.run = run_pin,
};

const struct verb verb_unpin = {
	.name = "unpin",
	.arguments = "NAME",
	.help = "Undo a pin",
	.min_args = 1,
	.max_args = 1,
	.run = run_unpin,
};
