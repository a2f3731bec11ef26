/* SPDX-License-Identifier: Apache-2.0 */
/* Verbs about the store as a whole. */
#include <string.h>

#include "base/text.h"
#include "cli/cli.h"
#include "store/ref.h"
#include "store/settings.h"
#include "store/store.h"
#include "store/usage.h"
#include "view/view.h"
#include "json/json.h"

static int run_init(struct cli *cli, int argc, char **argv, struct cop_error *err)
{
	const char *kind = cli->options[0];
	auto_json *json = NULL;
	struct cop_store *store;
	int r;

	(void)argc;
	(void)argv;
	r = cli_store(cli, &store, err);
	if (r == 0 && kind)
		r = cli_invalid(view_set_default(store, kind, err));
	if (r < 0)
		return r;
	if (!cli->json) {
		(void)printf("%s\n", cop_store_path(store));
		return 0;
	}
	json = json_pack("{s:s}", "store", cop_store_path(store));
	return cli_print_json(json, err);
}

const struct verb verb_init = {
	.name = "init",
	.arguments = "",
	.help = "Make a store and print its path",
	.details =
		"Every verb makes the store when it is missing; init only does it on purpose. "
		"With --view it also settles how trees are shown for writing: 'overlay', "
		"'copy', or 'auto' for what works, which is the default. COPPICE_VIEW in the "
		"environment goes before it.",
	.options = {{"view", 0, "KIND", "overlay, copy or auto", false}},
	.min_args = 0,
	.max_args = 0,
	.run = run_init,
};

static const char *const part_names[USAGE_PARTS] = {
	[USAGE_OBJECTS] = "objects", [USAGE_FILES] = "files", [USAGE_SOURCES] = "sources",
	[USAGE_VIEWS] = "views",     [USAGE_META] = "meta",   [USAGE_DAMAGED] = "damaged",
	[USAGE_TMP] = "tmp",	     [USAGE_OTHER] = "other",
};

static int count_ref(void *data, const char *name, const struct cop_digest *digest)
{
	(void)name;
	(void)digest;
	++*(uint64_t *)data;
	return 0;
}

struct status {
	uint64_t n_refs[3];
	struct usage usage[USAGE_PARTS];
	uint64_t n_bytes; /* of all */
	const char *view;
	json_t *settings, *last_gc, *last_verify;
};

static void status_done(struct status *status)
{
	json_decref(status->settings);
	json_decref(status->last_gc);
	json_decref(status->last_verify);
}

static int collect_status(struct cop_store *store, struct status *status,
			  struct cop_error *err)
{
	int r = 0;

	/* Before counting, as what is found out may be written down. */
	status->view = view_describe(store);
	for (int class = REF_NAME; class <= REF_FAILED && r == 0; class ++)
		r = ref_list(store, (enum ref_class) class, NULL, count_ref,
			     &status->n_refs[class], err);
	if (r == 0)
		r = store_usage(store, status->usage, err);
	for (int i = 0; i < USAGE_PARTS && r == 0; i++)
		status->n_bytes += status->usage[i].n_bytes;
	if (r == 0)
		r = settings_read(store, &status->settings, err);
	status->last_gc = store_note_read(store, "gc");
	status->last_verify = store_note_read(store, "verify");
	return r;
}

static json_t *usage_json(const struct status *status)
{
	json_t *json = json_object();

	for (int i = 0; i < USAGE_PARTS; i++)
		(void)json_object_set_new(
			json, part_names[i],
			json_pack("{s:I, s:I}", "count",
				  (json_int_t)status->usage[i].n_files, "bytes",
				  (json_int_t)status->usage[i].n_bytes));
	return json;
}

static json_t *pins_of(const struct status *status)
{
	json_t *pins = json_object_get(status->settings, "pins");

	return json_is_array(pins) ? json_incref(pins) : json_array();
}

static int print_status_json(struct cop_store *store, const struct status *status,
			     struct cop_error *err)
{
	uint64_t cap = settings_max_size(status->settings);
	auto_json *json =
		json_pack("{s:s, s:s, s:{s:I, s:I, s:I}, s:o, s:I, s:o, s:o, s:O?, s:O?}",
			  "store", cop_store_path(store), "view", status->view, "refs",
			  "names", (json_int_t)status->n_refs[REF_NAME], "stages",
			  (json_int_t)status->n_refs[REF_STAGE], "failed",
			  (json_int_t)status->n_refs[REF_FAILED], "usage",
			  usage_json(status), "bytes", (json_int_t)status->n_bytes,
			  "max-size", cap ? json_integer((json_int_t)cap) : json_null(),
			  "pins", pins_of(status), "last-gc", status->last_gc,
			  "last-verify", status->last_verify);

	return cli_print_json(json, err);
}

static void print_usage(const char *what, const struct usage *usage)
{
	char size[32];

	(void)printf("%-9s %llu, %s on disk\n", what, (unsigned long long)usage->n_files,
		     text_size(usage->n_bytes, size, sizeof(size)));
}

static void print_time(const json_t *note)
{
	char text[CLI_TIME_SIZE];

	(void)printf("%s",
		     cli_time(json_integer_value(json_object_get(note, "time")), text));
}

static void print_care(const struct status *status)
{
	uint64_t cap = settings_max_size(status->settings);
	json_t *pins = json_object_get(status->settings, "pins"), *pin;
	char size[32];
	size_t i;

	(void)printf("cap:      %s\n",
		     cap ? text_size(cap, size, sizeof(size))
			 : "none ('coppice gc --max-size SIZE --save' sets one)");
	json_array_foreach (pins, i, pin)
		(void)printf("pinned:   %s\n", json_string_value(pin));
	(void)printf("gc:       ");
	if (status->last_gc) {
		print_time(status->last_gc);
		(void)printf(", freed %s",
			     text_size((uint64_t)json_integer_value(json_object_get(
					       status->last_gc, "freed-bytes")),
				       size, sizeof(size)));
	}
	(void)printf("%s\nverify:   ", status->last_gc ? "" : "never");
	if (status->last_verify) {
		print_time(status->last_verify);
		(void)printf(", %lld damaged, %lld repaired",
			     (long long)json_integer_value(
				     json_object_get(status->last_verify, "damaged")),
			     (long long)json_integer_value(
				     json_object_get(status->last_verify, "repaired")));
	}
	(void)printf("%s\n", status->last_verify ? "" : "never");
}

static int run_status(struct cli *cli, int argc, char **argv, struct cop_error *err)
{
	cleanup_with(status_done) struct status status = {};
	struct cop_store *store;
	char size[32];
	int r;

	(void)argc;
	(void)argv;
	r = cli_store(cli, &store, err);
	if (r == 0)
		r = collect_status(store, &status, err);
	if (r < 0)
		return r;
	if (cli->json)
		return print_status_json(store, &status, err);
	(void)printf("store:    %s\nview:     %s\n", cop_store_path(store), status.view);
	(void)printf("refs:     %llu names, %llu stages, %llu failed\n",
		     (unsigned long long)status.n_refs[REF_NAME],
		     (unsigned long long)status.n_refs[REF_STAGE],
		     (unsigned long long)status.n_refs[REF_FAILED]);
	print_usage("objects:", &status.usage[USAGE_OBJECTS]);
	print_usage("files:", &status.usage[USAGE_FILES]);
	print_usage("sources:", &status.usage[USAGE_SOURCES]);
	if (status.usage[USAGE_VIEWS].n_files > 0)
		print_usage("views:", &status.usage[USAGE_VIEWS]);
	if (status.usage[USAGE_DAMAGED].n_files > 0)
		print_usage("damaged:", &status.usage[USAGE_DAMAGED]);
	(void)printf("in all:   %s on disk\n",
		     text_size(status.n_bytes, size, sizeof(size)));
	print_care(&status);
	return 0;
}

const struct verb verb_status = {
	.name = "status",
	.arguments = "",
	.help = "What the store holds and takes, its cap and pins, and which view is in use",
	.details = "Sizes are those on disk, as du(1) counts them.",
	.min_args = 0,
	.max_args = 0,
	.run = run_status,
};
