/* SPDX-License-Identifier: Apache-2.0 */
/* `explain`: what a build would do, and why. */
#include <string.h>

#include "cli/build.h"
#include "cli/secrets.h"
#include "json/json.h"

static const char *member(const json_t *json, const char *name)
{
	const char *text = json_string_value(json_object_get(json, name));

	return text ? text : "";
}

/* The last checkpoint of a pipeline is where a build begins. */
static size_t count_served(const json_t *stages)
{
	size_t n = json_array_size(stages);

	while (n > 0 &&
	       !json_is_true(json_object_get(json_array_get(stages, n - 1), "cached")))
		n--;
	return n;
}

static void print_stage(const json_t *stage, size_t number, bool served)
{
	const char *state = "would run";
	json_t *differs = json_object_get(stage, "differs"), *line;
	size_t i;

	if (json_is_true(json_object_get(stage, "cached")))
		state = "cached";
	else if (served)
		state = "not kept, a later one is";
	(void)printf("[%zu] %-28s %.12s  %s", number, member(stage, "type"),
		     member(stage, "id"), state);
	if (json_is_true(json_object_get(stage, "cached")) || served) {
		(void)printf("\n");
		return;
	}
	if (!differs)
		(void)printf(": nothing like it was kept");
	json_array_foreach (differs, i, line)
		(void)printf("%s%s", i ? "; " : ": ", json_string_value(line));
	if (differs)
		(void)printf(" (beside %.12s)", member(stage, "nearest"));
	(void)printf("\n");
}

static void print_pipeline(const json_t *pipeline)
{
	json_t *stages = json_object_get(pipeline, "stages"), *stage;
	size_t n_served = count_served(stages), i;

	(void)printf("pipeline %s\n", member(pipeline, "name"));
	json_array_foreach (stages, i, stage)
		print_stage(stage, i + 1, i < n_served);
}

static int run_explain(struct cli *cli, int argc, char **argv, struct cop_error *err)
{
	cleanup_with(build_places_done) struct build_places places = {};
	cleanup_with(secrets_done) struct secrets secrets = {};
	auto_ptr(manifest) manifest = NULL;
	auto_json *json = NULL;
	struct cop_store *store;
	json_t *pipeline;
	size_t i;
	int r;

	(void)argc;
	r = build_find_places(&places, cli->lists[0], err);
	if (r == 0)
		r = build_load_manifest(cli, argv[0], false, cli->options[1] != NULL,
					&places.places, &manifest, err);
	if (r == 0)
		r = cli_store(cli, &store, err);
	if (r == 0)
		r = secrets_read(manifest, cli->lists[2], false, &secrets, err);
	if (r == 0)
		r = engine_explain(store, manifest, secrets.all, secrets.n, &json, err);
	if (r < 0)
		return r;
	if (cli->json)
		return cli_print_json(json, err);
	json_array_foreach (json_object_get(json, "pipelines"), i, pipeline)
		print_pipeline(pipeline);
	return 0;
}

const struct verb verb_explain = {
	.name = "explain",
	.arguments = "RECIPE|MANIFEST",
	.help = "Say which stages the store has, and why the others would run",
	.details =
		"A checkpoint is used when everything that it was made from is the same: the "
		"stage's\noptions, its modules, devices, inputs and mounts, the tools, and the "
		"same for the stage\nbefore it. For a stage that would run, this names what "
		"differs from the checkpoint that\nis nearest to it.",
	.options = {{"libdir", 0, "DIR", "look for modules there first", true},
		    {"host-tools", 0, NULL, "as for `build'", false},
		    SECRET_OPTION},
	.min_args = 1,
	.max_args = 1,
	.run = run_explain,
};
