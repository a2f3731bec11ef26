/* SPDX-License-Identifier: Apache-2.0 */
/* `log`: where a tree came from. */
#include <string.h>

#include "base/text.h"
#include "cli/cli.h"
#include "store/ref.h"
#include "store/settings.h"
#include "json/json.h"

struct found {
	const struct cop_digest *digest;
	struct cli *cli;
	const char *id; /* of the stage that the user named, or NULL */
	json_t *all, *settings;
};

static int add_ref(struct found *found, enum ref_class class, const char *name,
		   const struct cop_digest *digest)
{
	char hex[COP_DIGEST_HEX + 1];
	json_t *entry, *meta = NULL;
	struct cop_error err;

	if (!cop_digest_equal(digest, found->digest))
		return 0;
	if (found->id && strcmp(found->id, name) != 0)
		return 0;
	entry = json_pack(
		"{s:s, s:s, s:s, s:I, s:b}", "class", ref_class_name(class), "name", name,
		"digest", cop_digest_to_hex(digest, hex), "last-used",
		(json_int_t)store_ref_last_use(found->cli->store, class, name), "pinned",
		(int)settings_is_pinned(found->settings, class, name));
	if (ref_meta(found->cli->store, class, name, &meta, &err) == 0)
		(void)json_object_set_new(entry, "meta", meta);
	return json_array_append_new(found->all, entry) < 0 ? -ENOMEM : 0;
}

static int add_name(void *data, const char *name, const struct cop_digest *digest)
{
	return add_ref(data, REF_NAME, name, digest);
}

static int add_stage(void *data, const char *name, const struct cop_digest *digest)
{
	return add_ref(data, REF_STAGE, name, digest);
}

static int add_failed(void *data, const char *name, const struct cop_digest *digest)
{
	return add_ref(data, REF_FAILED, name, digest);
}

static void print_meta(const json_t *meta)
{
	const char *key;
	json_t *value;

	json_object_foreach ((json_t *)meta, key, value) {
		if (strcmp(key, "digest") == 0)
			continue;
		if (strcmp(key, "created") == 0 && json_is_integer(value)) {
			char text[CLI_TIME_SIZE];

			(void)printf("  %-10s %s\n", key,
				     cli_time(json_integer_value(value), text));
		} else if (json_is_string(value)) {
			(void)printf("  %-10s %s\n", key, json_string_value(value));
		} else if (json_is_integer(value)) {
			(void)printf("  %-10s %lld\n", key,
				     (long long)json_integer_value(value));
		} else if (json_is_real(value)) {
			(void)printf("  %-10s %.2f\n", key, json_real_value(value));
		}
	}
}

static int print_found(struct cli *cli, json_t *all, struct cop_error *err)
{
	char when[CLI_TIME_SIZE];
	json_t *entry;
	size_t i;

	json_array_foreach (all, i, entry) {
		const char *class = json_string_value(json_object_get(entry, "class"));
		const char *name = json_string_value(json_object_get(entry, "name"));
		auto_buf text = {};
		int r;

		(void)printf("%s %s%s\n", class, name,
			     json_is_true(json_object_get(entry, "pinned")) ? " (pinned)"
									    : "");
		print_meta(json_object_get(entry, "meta"));
		(void)printf(
			"  %-10s %s\n", "last used",
			cli_time(json_integer_value(json_object_get(entry, "last-used")),
				 when));
		if (strcmp(class, "name") == 0)
			continue;
		r = store_log_read(cli->store, name, &text, err);
		if (r == -ENOENT)
			continue;
		if (r < 0)
			return r;
		(void)printf("\n%s%s", buf_text(&text),
			     text_ends_with(buf_text(&text), "\n") ? "" : "\n");
	}
	return 0;
}

/* A stage id may be given as failed/ID, as an id, or as a prefix of one. */
static const char *named_stage(const char *id)
{
	if (text_starts_with(id, "failed/") || text_starts_with(id, "stage/"))
		return strchr(id, '/') + 1;
	return strlen(id) == COP_DIGEST_HEX && text_is_hex(id) ? id : NULL;
}

static int run_log(struct cli *cli, int argc, char **argv, struct cop_error *err)
{
	struct found found = {.cli = cli};
	auto_json *all = json_array(), *settings = NULL;
	struct cop_digest digest;
	char hex[COP_DIGEST_HEX + 1];
	int r;

	(void)argc;
	r = cli_get(cli, argv[0], &digest, err);
	if (r < 0)
		return r;
	found.digest = &digest;
	found.all = all;
	found.id = named_stage(argv[0]);
	if (found.id && strcmp(found.id, cop_digest_to_hex(&digest, hex)) == 0)
		found.id = NULL; /* it was a digest */
	r = settings_read(cli->store, &settings, err);
	found.settings = settings;
	if (r == 0)
		r = ref_list(cli->store, REF_NAME, NULL, add_name, &found, err);
	if (r == 0)
		r = ref_list(cli->store, REF_STAGE, NULL, add_stage, &found, err);
	if (r == 0)
		r = ref_list(cli->store, REF_FAILED, NULL, add_failed, &found, err);
	if (r < 0)
		return r;
	return cli->json ? cli_print_json(all, err) : print_found(cli, all, err);
}

const struct verb verb_log = {
	.name = "log",
	.arguments = "TREE",
	.help = "Where a tree came from: its names, stage, times and log",
	.min_args = 1,
	.max_args = 1,
	.run = run_log,
};
