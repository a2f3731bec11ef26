/* SPDX-License-Identifier: Apache-2.0 */
/* `verify`: is everything what its name says? */
#include <string.h>

#include "base/text.h"
#include "cli/cli.h"
#include "store/store.h"
#include "store/verify.h"
#include "json/json.h"

#define STORES_MAX 16

struct suppliers {
	struct cop_store *stores[STORES_MAX];
	struct verify_supplier list[STORES_MAX];
	size_t n;
};

static void suppliers_done(struct suppliers *suppliers)
{
	while (suppliers->n > 0)
		(void)cop_store_close(suppliers->stores[--suppliers->n]);
}

static int open_suppliers(struct suppliers *suppliers, const char *const *paths,
			  struct cop_error *err)
{
	for (; *paths; paths++) {
		int r;

		if (suppliers->n == STORES_MAX)
			return cli_usage_error(err, "verify: more than %d --from",
					       STORES_MAX);
		r = cop_store_open(*paths, COP_STORE_READ_ONLY,
				   &suppliers->stores[suppliers->n], err);
		if (r < 0)
			return r;
		suppliers->list[suppliers->n] =
			store_supplier(suppliers->stores[suppliers->n]);
		suppliers->n++;
	}
	return 0;
}

static void print_trees(const json_t *trees)
{
	json_t *tree, *ref;
	size_t i, k;

	json_array_foreach ((json_t *)trees, i, tree) {
		const char *path = json_string_value(json_object_get(tree, "path"));

		(void)printf("  in tree %.12s%s%s",
			     json_string_value(json_object_get(tree, "digest")),
			     path ? " as " : "", path ? path : "");
		json_array_foreach (json_object_get(tree, "refs"), k, ref)
			(void)printf("%s%s", k ? ", " : ": ", json_string_value(ref));
		(void)putchar('\n');
	}
}

static void print_damaged(const json_t *damaged)
{
	json_t *wound;
	size_t i;

	json_array_foreach ((json_t *)damaged, i, wound) {
		const char *from =
			json_string_value(json_object_get(wound, "repaired-from"));

		(void)printf("%s %s is %s%s%s\n",
			     json_string_value(json_object_get(wound, "what")),
			     json_string_value(json_object_get(wound, "name")),
			     json_string_value(json_object_get(wound, "how")),
			     from ? "; repaired from " : "", from ? from : "");
		print_trees(json_object_get(wound, "trees"));
	}
}

static int print_result(struct cli *cli, const struct verify_result *result,
			const json_t *damaged, struct cop_error *err)
{
	auto_json *json = NULL;
	char size[32];

	if (cli->json) {
		json = json_pack("{s:{s:I, s:I, s:I, s:I}, s:I, s:I, s:O}", "verified",
				 "trees", (json_int_t)result->n_objects, "files",
				 (json_int_t)result->n_files, "downloads",
				 (json_int_t)result->n_sources, "bytes",
				 (json_int_t)result->n_bytes, "damaged",
				 (json_int_t)result->n_damaged, "repaired",
				 (json_int_t)result->n_repaired, "damage", damaged);
		return cli_print_json(json, err);
	}
	print_damaged(damaged);
	(void)printf("verified %s: %llu trees, %llu files, %llu downloads\n",
		     text_size(result->n_bytes, size, sizeof(size)),
		     (unsigned long long)result->n_objects,
		     (unsigned long long)result->n_files,
		     (unsigned long long)result->n_sources);
	return 0;
}

static int run_verify(struct cli *cli, int argc, char **argv, struct cop_error *err)
{
	cleanup_with(suppliers_done) struct suppliers suppliers = {};
	struct verify_request request = {
		.trees = argc ? (const char *const *)argv : NULL,
		.repair = cli->options[0] != NULL,
		.progress = cli->progress,
	};
	struct verify_result result;
	auto_json *damaged = NULL;
	struct cop_store *store;
	int r;

	if (cli->options[1] && !request.repair)
		return cli_usage_error(err, "verify: --from is for --repair");
	r = cli_store(cli, &store, err);
	if (r == 0)
		r = open_suppliers(&suppliers, cli->lists[1], err);
	request.suppliers = suppliers.list;
	request.n_suppliers = suppliers.n;
	if (r == 0)
		r = store_verify(store, &request, &result, &damaged, err);
	if (r == 0)
		r = print_result(cli, &result, damaged, err);
	if (r != 0 || result.n_damaged == result.n_repaired)
		return r;
	return err_set(
		err, -EUCLEAN,
		"verify store '%s': %llu damaged; what is built or committed again "
		"heals%s",
		cop_store_path(store),
		(unsigned long long)(result.n_damaged - result.n_repaired),
		request.repair ? "" : ", as may 'verify --repair --from STORE'");
}

const struct verb verb_verify = {
	.name = "verify",
	.arguments = "[TREE...]",
	.help = "Hash every byte again and tell what is damaged",
	.details =
		"Without a TREE the whole store with its downloads.  Tells which file is damaged, which\n"
		"trees have it and which names lead there; such a tree counts as absent until it is\n"
		"built, committed or pulled again.  Exit status 1 as long as something is damaged.",
	.options = {{"repair", 0, NULL,
		     "put what is damaged aside (STORE/damaged) and back from elsewhere",
		     false},
		    {"from", 0, "STORE", "another store that may have it", true}},
	.min_args = 0,
	.max_args = -1,
	.run = run_verify,
};
