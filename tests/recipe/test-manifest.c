/* SPDX-License-Identifier: Apache-2.0 */
/* The manifest of a small recipe against the golden one; UPDATE_GOLDEN=1 writes it anew,
 * for a change that is meant. */
#include "testlib.h"

#include <fcntl.h>
#include <stdlib.h>

#include "base/fs.h"
#include "recipe/model.h"
#include "json/json.h"

#define SHA_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define SHA_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define SHA_C "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
#define KEY   "0123456789ABCDEF0123456789ABCDEF01234567"

#define SMALL "suite: trixie\narchitecture: amd64\n"

static const char full_recipe[] =
	SMALL "mirror: [http://mirror.example/debian, http://second.example/debian]\n"
	      "security-snapshot: http://old.example/@SNAPSHOTID@/security\n"
	      "packages:\n  tools: [less]\n  web: [nginx]\n"
	      "hostname: demo\n"
	      "files:\n- {path: /etc/motd, content: \"hello\\n\"}\n"
	      "- {path: /srv/run, content: \"x\", mode: 0750, user: 33, group: 34}\n"
	      "- {path: /srv/same, content: \"x\"}\n"
	      "commands:\n- systemctl enable nginx\n";

/* A lock that answers @recipe, with the given packages. */
static struct lock *make_lock(const struct recipe *recipe, const char *packages)
{
	struct cop_error err = {};
	struct lock *lock = NULL;
	auto_buf text = {};

	(void)buf_printf(
		&text,
		"coppice-lock 1\nsuite trixie\narchitecture amd64\nrequest %s\n"
		"source-epoch 1600000000\ndate 20240101T100000Z\n"
		"repository trixie Debian Debian trixie main " KEY "\n"
		"repository trixie-security Debian Debian-Security trixie-security main " KEY
		"\n"
		"package base libc6 2.41-1 amd64 10 " SHA_A
		" trixie pool/libc6.deb automatic\n"
		"package base dpkg 1.22 amd64 11 " SHA_B " trixie pool/dpkg.deb manual\n"
		"%s",
		recipe->request, packages);
	assert_ok(lock_parse("lock", text.data, text.size, &lock, &err), &err);
	return lock;
}

static json_t *make_manifest(const char *recipe_text, const char *packages)
{
	auto_ptr(recipe) recipe = NULL;
	auto_ptr(lock) lock = NULL;
	struct cop_error err = {};
	json_t *manifest = NULL;

	assert_ok(recipe_parse("r.yaml", recipe_text, strlen(recipe_text), &recipe, &err),
		  &err);
	lock = make_lock(recipe, packages);
	assert_ok(recipe_manifest(recipe, lock, false, &manifest, &err), &err);
	return manifest;
}

static json_t *stage_of(const json_t *manifest, size_t pipeline, size_t stage)
{
	const json_t *pipelines = json_object_get(manifest, "pipelines");

	return json_array_get(
		json_object_get(json_array_get(pipelines, pipeline), "stages"), stage);
}

static void the_manifest_is_the_golden_one(void **state)
{
	auto_json *manifest = make_manifest(
		full_recipe,
		"package tools less 668-1 amd64 12 " SHA_C
		" trixie pool/less.deb manual\n"
		"package web nginx 1.26 amd64 13 "
		"dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd"
		" trixie-security pool/nginx.deb manual\n");
	auto_buf path = {}, text = {}, golden = {};
	auto_close int fd = -EBADF;
	struct cop_error err = {};

	(void)state;
	(void)buf_printf(&path, "%s/recipe/manifest.json", getenv("COPPICE_GOLDEN"));
	assert_ok(json_write(manifest, 2, &text, &err), &err);
	(void)buf_append_char(&text, '\n');
	if (getenv("UPDATE_GOLDEN"))
		assert_ok(fs_replace_at(AT_FDCWD, path.data, text.data, text.size, 0644,
					&err),
			  &err);
	fd = open(path.data, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_ok(fs_read_all(fd, MIB, &golden, &err), &err);
	assert_string_equal(text.data, golden.data);
}

static void the_same_recipe_and_lock_give_the_same_bytes(void **state)
{
	auto_json *a = make_manifest(full_recipe, ""),
		  *b = make_manifest(full_recipe, "");
	auto_buf text_a = {}, text_b = {};
	struct cop_error err = {};

	(void)state;
	assert_ok(json_write(a, 0, &text_a, &err), &err);
	assert_ok(json_write(b, 0, &text_b, &err), &err);
	assert_string_equal(text_a.data, text_b.data);
}

static void the_base_layer_is_the_same_for_every_recipe(void **state)
{
	auto_json *small = make_manifest(SMALL, "");
	auto_json *full =
		make_manifest(full_recipe, "package tools less 668-1 amd64 12 " SHA_C
					   " trixie pool/less.deb manual\n");

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		auto_buf a = {}, b = {};
		struct cop_error err = {};

		assert_ok(json_write(stage_of(small, 0, i), 0, &a, &err), &err);
		assert_ok(json_write(stage_of(full, 0, i), 0, &b, &err), &err);
		assert_string_equal(a.data, b.data);
	}
}

static void another_hostname_changes_only_the_last_stages(void **state)
{
	auto_json *a = make_manifest(SMALL "hostname: one\ncommands: [\"true\"]\n", "");
	auto_json *b = make_manifest(SMALL "hostname: two\ncommands: [\"true\"]\n", "");
	size_t n = json_array_size(json_object_get(
		json_array_get(json_object_get(a, "pipelines"), 0), "stages"));

	(void)state;
	assert_int_equal(n, 6);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(json_equal(stage_of(a, 0, i), stage_of(b, 0, i)),
				 i < n - 2);
}

static void what_is_not_asked_for_has_no_stage(void **state)
{
	static const char *const wanted[] = {
		"org.coppice.deb.unpack", "org.coppice.deb.configure",
		"org.coppice.apt.sources", "org.coppice.hosts"};
	auto_json *manifest = make_manifest(SMALL, "");

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
		assert_string_equal(json_string_value(json_object_get(
					    stage_of(manifest, 0, i), "type")),
				    wanted[i]);
	assert_null(stage_of(manifest, 0, ARRAY_SIZE(wanted)));
	assert_null(json_object_get(json_object_get(manifest, "sources"),
				    "org.osbuild.inline"));
}

static void a_lock_of_another_request_is_stale(void **state)
{
	static const char other[] = SMALL "packages: [less]\n";
	auto_ptr(recipe) recipe = NULL;
	auto_ptr(recipe) changed = NULL;
	auto_ptr(lock) lock = NULL;
	struct cop_error err = {};
	json_t *manifest = NULL;

	(void)state;
	assert_ok(recipe_parse("r.yaml", SMALL, strlen(SMALL), &recipe, &err), &err);
	assert_ok(recipe_parse("r.yaml", other, strlen(other), &changed, &err), &err);
	lock = make_lock(recipe, "");
	assert_true(lock_matches(lock, recipe));
	assert_false(lock_matches(lock, changed));
	assert_fails(recipe_manifest(changed, lock, false, &manifest, &err), -ESTALE,
		     &err);
	assert_string_equal(err.message, "'r.yaml': the lock answers another request; "
					 "run 'coppice lock r.yaml'");
	assert_null(manifest);
}

static void file_contents_of_every_length_are_encoded(void **state)
{
	static const struct {
		const char *content, *data;
	} cases[] = {{"", ""},	      {"f", "Zg=="},	    {"fo", "Zm8="},
		     {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"\xc3\xbf~", "w79+"}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_json *manifest = NULL;
		auto_buf text = {};
		const char *data = NULL, *key;
		json_t *items, *item;

		(void)buf_printf(&text, SMALL "files: [{path: /a, content: '%s'}]\n",
				 cases[i].content);
		manifest = make_manifest(text.data, "");
		items = json_object_get(
			json_object_get(json_object_get(manifest, "sources"),
					"org.osbuild.inline"),
			"items");
		assert_int_equal(json_object_size(items), 1);
		json_object_foreach (items, key, item)
			data = json_string_value(json_object_get(item, "data"));
		assert_string_equal(data, cases[i].data);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_manifest_is_the_golden_one),
		cmocka_unit_test(the_same_recipe_and_lock_give_the_same_bytes),
		cmocka_unit_test(the_base_layer_is_the_same_for_every_recipe),
		cmocka_unit_test(another_hostname_changes_only_the_last_stages),
		cmocka_unit_test(what_is_not_asked_for_has_no_stage),
		cmocka_unit_test(a_lock_of_another_request_is_stale),
		cmocka_unit_test(file_contents_of_every_length_are_encoded),
	};

	return cmocka_run_group_tests_name("recipe manifest", tests, NULL, NULL);
}
