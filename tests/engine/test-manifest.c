/* SPDX-License-Identifier: Apache-2.0 */
/* Manifests: ids and --inspect output against the vectors, and what must be refused. */
#include "testlib.h"

#include <dirent.h>
#include <fcntl.h>

#include "base/fs.h"
#include "base/text.h"
#include "engine/engine.h"
#include "json/json.h"

static void read_golden(const char *group, const char *name, const char *suffix,
			struct buf *text)
{
	struct cop_error err = {};
	char path[4096];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/osbuild/%s/%s%s", getenv("COPPICE_GOLDEN"),
		       group, name, suffix);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		fail_msg("'%s' is missing", path);
	assert_ok(fs_read_all(fd, MIB, text, &err), &err);
	(void)close(fd);
}

static int load(const char *text, struct manifest **ret_manifest, struct cop_error *err)
{
	return manifest_load(text, strlen(text), NULL, ret_manifest, err);
}

static void inspect_vector(const char *name)
{
	struct cop_error err = {};
	auto_buf text = {}, expected = {}, got = {};
	auto_ptr(manifest) manifest = NULL;
	auto_json *json = NULL;

	read_golden("hand", name, ".json", &text);
	read_golden("hand", name, ".inspect.json", &expected);
	assert_ok(load(buf_text(&text), &manifest, &err), &err);
	assert_ok(manifest_inspect(manifest, &json, &err), &err);
	assert_ok(json_write(json, 0, &got, &err), &err);
	while (expected.size && expected.data[expected.size - 1] == '\n')
		buf_truncate(&expected, expected.size - 1);
	if (strcmp(buf_text(&got), buf_text(&expected)) != 0)
		fail_msg("%s:\n%s\ninstead of\n%s", name, buf_text(&got),
			 buf_text(&expected));
}

static void every_vector_gives_the_same_text(void **state)
{
	char path[4096];
	struct dirent *entry;
	int n = 0;
	DIR *dir;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/osbuild/hand", getenv("COPPICE_GOLDEN"));
	dir = opendir(path);
	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		char name[256];
		size_t length = strlen(entry->d_name);

		if (!text_ends_with(entry->d_name, ".json") ||
		    text_ends_with(entry->d_name, ".inspect.json"))
			continue;
		(void)snprintf(name, sizeof(name), "%.*s", (int)(length - 5),
			       entry->d_name);
		inspect_vector(name);
		n++;
	}
	(void)closedir(dir);
	assert_int_equal(n, 26);
}

static void refuse_vector(const char *name, const char *message)
{
	struct cop_error err = {};
	auto_buf text = {};
	struct manifest *manifest = NULL;

	read_golden("invalid", name, ".json", &text);
	assert_fails(load(buf_text(&text), &manifest, &err), -EINVAL, &err);
	assert_null(manifest);
	assert_string_equal(err.message, message);
}

static void invalid_vectors_are_refused_with_their_place(void **state)
{
	(void)state;
	refuse_vector("dev-cycle", "manifest: pipeline 't': stage 1 (org.osbuild.noop): "
				   "a cycle of parents in 'devices'");
	refuse_vector("dup-mount", "manifest: pipeline 't': stage 1 (org.osbuild.noop): "
				   "there are two mounts 'root'");
	refuse_vector("dup-name",
		      "manifest: pipeline 't': there are two pipelines of this name");
	refuse_vector("epoch-str", "manifest: .pipelines[0].source-epoch: '1' is not of "
				   "type 'integer'");
	refuse_vector("extra-top", "manifest: .: Additional properties are not allowed "
				   "('foo' was unexpected)");
	refuse_vector("noname", "manifest: pipeline 1: 'name' is missing");
	refuse_vector("pipelines-not-array",
		      "manifest: .pipelines: {} is not of type 'array'");
	refuse_vector("stage-no-type",
		      "manifest: .pipelines[0].stages[0]: 'type' is a required property");
	refuse_vector(
		"unknown-mount-device",
		"manifest: pipeline 't': stage 1 (org.osbuild.noop): unknown device "
		"'zz' of mount 'root'");
	refuse_vector("unknown-ref",
		      "manifest: pipeline 't': unknown pipeline reference 'name:nope'");
	refuse_vector("unknown-source-ref",
		      "manifest: pipeline 't': stage 1 (org.osbuild.copy): input 'f': "
		      "unknown source reference 'sha256:1111111111111111111111111111"
		      "111111111111111111111111111111111111'");
	refuse_vector("v1-extra", "manifest: .: Additional properties are not allowed "
				  "('foo' was unexpected)");
	refuse_vector("version-int", "manifest: version 2 is not known; it must be the "
				     "string \"2\"");
}

static void same_inspection(const char *one, const char *other)
{
	const char *const texts[] = {one, other};
	struct buf outputs[2] = {};
	struct cop_error err = {};

	for (size_t i = 0; i < 2; i++) {
		auto_ptr(manifest) manifest = NULL;
		auto_json *json = NULL;

		assert_ok(load(texts[i], &manifest, &err), &err);
		assert_ok(manifest_inspect(manifest, &json, &err), &err);
		assert_ok(json_write(json, 0, &outputs[i], &err), &err);
	}
	assert_string_equal(buf_text(&outputs[0]), buf_text(&outputs[1]));
	buf_done(&outputs[0]);
	buf_done(&outputs[1]);
}

static void shapes_of_2020_are_read(void **state)
{
	(void)state;
	same_inspection("{\"stages\": [{\"name\": \"x\"}]}",
			"{\"pipeline\": {\"stages\": [{\"name\": \"x\"}]}}");
	same_inspection("{\"build\": {\"runner\": \"org.osbuild.linux\"}, "
			"\"stages\": [{\"name\": \"x\"}]}",
			"{\"pipeline\": {\"stages\": [{\"name\": \"x\"}]}}");
	same_inspection("{\"assembler\": {\"name\": \"a\"}}",
			"{\"pipeline\": {\"assembler\": {\"name\": \"a\"}}}");
}

static void builds_of_version_1_become_pipelines_before_their_users(void **state)
{
	static const char *const names[] = {"build-build", "build", "tree", "assembler"};
	struct cop_error err = {};
	auto_ptr(manifest) manifest = NULL;
	auto_buf text = {};

	(void)state;
	read_golden("hand", "32-v1-nested-build", ".json", &text);
	assert_ok(load(buf_text(&text), &manifest, &err), &err);
	assert_int_equal(manifest_n_pipelines(manifest), 4);
	for (size_t i = 0; i < 4; i++)
		assert_string_equal(manifest_pipeline_name(manifest, i), names[i]);
}

static void a_build_must_be_an_earlier_pipeline(void **state)
{
	struct cop_error err = {};
	struct manifest *manifest = NULL;

	(void)state;
	assert_fails(load("{\"version\": \"2\", \"pipelines\": [{\"name\": \"a\", "
			  "\"build\": \"1234\"}]}",
			  &manifest, &err),
		     -EINVAL, &err);
	assert_string_equal(err.message, "manifest: pipeline 'a': its build '1234' is no "
					 "earlier pipeline");
}

static void what_is_no_json_object_is_refused(void **state)
{
	static const char *const texts[] = {"", "[]", "\"2\"", "{", "null", "1"};
	struct cop_error err = {};
	struct manifest *manifest = NULL;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		assert_fails(load(texts[i], &manifest, &err), -EINVAL, &err);
}

static void names_that_hold_nul_are_refused(void **state)
{
	static const char *const texts[] = {
		"{\"version\": \"2\", \"pipelines\": [{\"name\": \"a\\u0000b\"}]}",
		"{\"version\": \"2\", \"sources\": {\"s\": {\"items\": [\"\\u0000b\"]}}}",
		"{\"version\": \"2\", \"pipelines\": [{\"name\": \"a\", \"stages\": "
		"[{\"type\": \"x\", \"inputs\": {\"i\": {\"type\": \"y\", \"origin\": "
		"\"org.osbuild.source\", \"references\": [\"\\u0000\"]}}}]}]}",
	};
	struct cop_error err = {};
	struct manifest *manifest = NULL;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		assert_fails(load(texts[i], &manifest, &err), -EINVAL, &err);
}

static void an_epoch_beyond_64_bits_is_refused(void **state)
{
	struct cop_error err = {};
	struct manifest *manifest = NULL;

	(void)state;
	assert_fails(load("{\"version\": \"2\", \"pipelines\": [{\"name\": \"a\", "
			  "\"source-epoch\": 99999999999999999999}]}",
			  &manifest, &err),
		     -EINVAL, &err);
}

static void a_reference_to_a_later_pipeline_is_refused(void **state)
{
	struct cop_error err = {};
	struct manifest *manifest = NULL;

	(void)state;
	assert_fails(load("{\"version\": \"2\", \"pipelines\": [{\"name\": \"a\", "
			  "\"build\": \"name:b\"}, {\"name\": \"b\"}]}",
			  &manifest, &err),
		     -EINVAL, &err);
	assert_fails(load("{\"version\": \"2\", \"pipelines\": [{\"name\": \"a\", "
			  "\"build\": \"name:a\"}]}",
			  &manifest, &err),
		     -EINVAL, &err);
}

static void a_tree_without_stages_is_the_reference_null(void **state)
{
	struct cop_error err = {};
	auto_ptr(manifest) manifest = NULL;
	auto_json *json = NULL;
	auto_buf text = {};

	(void)state;
	assert_ok(load("{\"version\": \"2\", \"pipelines\": [{\"name\": \"a\"}, "
		       "{\"name\": \"b\", \"stages\": [{\"type\": \"x\", \"inputs\": "
		       "{\"t\": {\"type\": \"org.osbuild.tree\", \"origin\": "
		       "\"org.osbuild.pipeline\", \"references\": [\"name:a\", "
		       "\"dropped\"]}}}]}]}",
		       &manifest, &err),
		  &err);
	assert_ok(manifest_inspect(manifest, &json, &err), &err);
	assert_ok(json_write(json, 0, &text, &err), &err);
	assert_non_null(strstr(buf_text(&text), "\"references\": {\"null\": {}}"));
}

static void deep_nesting_is_refused(void **state)
{
	struct cop_error err = {};
	struct manifest *manifest = NULL;
	auto_buf text = {};

	(void)state;
	for (int i = 0; i < 100000; i++)
		(void)buf_append_text(&text, "[");
	assert_fails(load(buf_text(&text), &manifest, &err), -EINVAL, &err);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_vector_gives_the_same_text),
		cmocka_unit_test(invalid_vectors_are_refused_with_their_place),
		cmocka_unit_test(shapes_of_2020_are_read),
		cmocka_unit_test(builds_of_version_1_become_pipelines_before_their_users),
		cmocka_unit_test(a_build_must_be_an_earlier_pipeline),
		cmocka_unit_test(what_is_no_json_object_is_refused),
		cmocka_unit_test(names_that_hold_nul_are_refused),
		cmocka_unit_test(an_epoch_beyond_64_bits_is_refused),
		cmocka_unit_test(a_reference_to_a_later_pipeline_is_refused),
		cmocka_unit_test(a_tree_without_stages_is_the_reference_null),
		cmocka_unit_test(deep_nesting_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
