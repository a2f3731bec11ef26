/* SPDX-License-Identifier: Apache-2.0 */
/* Random manifests of both versions, most of them nearly right: each is read, inspected
 * or refused with a message, and nothing else happens.  The seed is in every failure. */
#include "testlib.h"

#include "engine/engine.h"
#include "json/json.h"

#define N_MANIFESTS 1000

static uint32_t state;

static uint32_t below(uint32_t n)
{
	state ^= state << 13;
	state ^= state >> 17;
	state ^= state << 5;
	return state % n;
}

static const char *pick(const char *const *words, size_t n)
{
	return words[below((uint32_t)n)];
}

static const char *const names[] = {"a", "b", "build", "tree", "os", "x y", "\303\251"};
static const char *const types[] = {"org.osbuild.noop", "org.osbuild.copy",
				    "org.osbuild.rpm", "org.osbuild.ostree", ""};
static const char *const references[] = {"name:a",  "name:b", "name:build", "name:tree",
					 "name:no", "id",     "sha256:1",   "sha256:2"};
#define PICK(words) pick(words, ARRAY_SIZE(words))

static json_t *random_value(unsigned int depth)
{
	static const char *const texts[] = {"", "text", "\303\204\"\\/\n", "1"};
	json_t *json;

	switch (below(depth ? 9 : 7)) {
	case 0:
		return json_null();
	case 1:
		return json_boolean(below(2));
	case 2:
		return json_integer((json_int_t)below(3) - 1);
	case 3:
		return json_real((double)below(1000) / 7);
	case 4:
	case 5:
		return json_string(PICK(texts));
	case 6:
		return json_integer(0x7fffffffffffffff);
	case 7:
		json = json_array();
		for (uint32_t n = below(4); n > 0; n--)
			(void)json_array_append_new(json, random_value(depth - 1));
		return json;
	default:
		json = json_object();
		for (uint32_t n = below(4); n > 0; n--)
			(void)json_object_set_new(json, PICK(names),
						  random_value(depth - 1));
		return json;
	}
}

/* @value, or now and then anything at all */
static void put(json_t *object, const char *key, json_t *value)
{
	if (below(60) == 0) {
		json_decref(value);
		value = random_value(2);
	}
	if (below(25) == 0)
		json_decref(value);
	else
		(void)json_object_set_new(object, key, value);
}

static json_t *random_options(void)
{
	json_t *json = json_object();

	for (uint32_t n = below(4); n > 0; n--)
		(void)json_object_set_new(json, PICK(names), random_value(3));
	return json;
}

static json_t *random_references(void)
{
	json_t *json = below(2) ? json_object() : json_array();
	bool as_objects = below(2);

	for (uint32_t n = 1 + below(2); n > 0; n--) {
		const char *reference = PICK(references);

		if (json_is_object(json))
			put(json, reference, json_object());
		else if (as_objects)
			(void)json_array_append_new(json,
						    json_pack("{s:s}", "id", reference));
		else
			(void)json_array_append_new(json, json_string(reference));
	}
	return json;
}

static json_t *random_input(void)
{
	json_t *json = json_object();

	put(json, "type", json_string(PICK(types)));
	put(json, "origin",
	    json_string(below(3) ? "org.osbuild.pipeline" : "org.osbuild.source"));
	put(json, "references", random_references());
	if (below(3) == 0)
		put(json, "options", random_options());
	return json;
}

static json_t *random_device(void)
{
	json_t *json = json_object();

	put(json, "type", json_string("org.osbuild.loopback"));
	if (below(3) == 0)
		put(json, "parent", json_string(PICK(names)));
	put(json, "options", random_options());
	return json;
}

static json_t *random_mount(void)
{
	json_t *json = json_object();

	put(json, "name", json_string(PICK(names)));
	put(json, "type", json_string("org.osbuild.ext4"));
	if (below(2))
		put(json, "source", json_string(PICK(names)));
	if (below(2))
		put(json, "target", json_string("/"));
	if (below(3) == 0)
		put(json, "partition", json_integer(below(3)));
	return json;
}

static json_t *random_stage(void)
{
	json_t *json = json_object(), *group = json_object(), *mounts = json_array();

	put(json, "type", json_string(PICK(types)));
	if (below(2))
		put(json, "options", random_options());
	for (uint32_t n = below(3); n > 0; n--)
		(void)json_object_set_new(group, PICK(names), random_input());
	put(json, "inputs", group);
	group = json_object();
	for (uint32_t n = below(4); n > 0; n--)
		(void)json_object_set_new(group, PICK(names), random_device());
	put(json, "devices", group);
	for (uint32_t n = below(3); n > 0; n--)
		(void)json_array_append_new(mounts, random_mount());
	put(json, "mounts", mounts);
	return json;
}

static json_t *random_version_2(void)
{
	json_t *json = json_object(), *pipelines = json_array();

	put(json, "version", json_string("2"));
	for (uint32_t n = below(4); n > 0; n--) {
		json_t *pipeline = json_object(), *stages = json_array();

		put(pipeline, "name", json_string(PICK(names)));
		if (below(2))
			put(pipeline, "build", json_string(PICK(references)));
		if (below(4) == 0)
			put(pipeline, "runner", json_string("org.osbuild.linux"));
		if (below(3) == 0)
			put(pipeline, "source-epoch", json_integer(below(100)));
		for (uint32_t m = below(3); m > 0; m--)
			(void)json_array_append_new(stages, random_stage());
		put(pipeline, "stages", stages);
		(void)json_array_append_new(pipelines, pipeline);
	}
	put(json, "pipelines", pipelines);
	if (below(2))
		put(json, "sources",
		    json_pack("{s:{s:{s:s}}}", "org.osbuild.curl", "items", "sha256:1",
			      "http://e.org"));
	return json;
}

static json_t *random_version_1(unsigned int depth)
{
	json_t *json = json_object(), *stages = json_array(), *build = json_object();

	for (uint32_t n = below(3); n > 0; n--) {
		json_t *stage = json_object();

		put(stage, "name", json_string(PICK(types)));
		put(stage, "options", random_options());
		(void)json_array_append_new(stages, stage);
	}
	put(json, "stages", stages);
	if (depth > 0 && below(2)) {
		put(build, "pipeline", random_version_1(depth - 1));
		put(build, "runner", json_string("org.osbuild.linux"));
		put(json, "build", build);
	} else {
		json_decref(build);
	}
	if (below(2))
		put(json, "assembler", json_pack("{s:s}", "name", "org.osbuild.tar"));
	return json;
}

static json_t *random_manifest(uint32_t seed)
{
	json_t *pipeline;

	state = seed * 2654435761u + 1;
	if (below(3))
		return random_version_2();
	pipeline = random_version_1(4);
	return below(3) ? json_pack("{s:o}", "pipeline", pipeline) : pipeline;
}

/* Returns true for one that was taken. */
static bool try_one(uint32_t seed)
{
	auto_json *json = random_manifest(seed), *inspected = NULL;
	auto_ptr(manifest) manifest = NULL;
	struct cop_error err = {};
	auto_buf text = {};
	int r;

	assert_ok(json_write(json, 0, &text, &err), &err);
	r = manifest_load(buf_text(&text), text.size, NULL, &manifest, &err);
	if (r < 0) {
		if (r != -EINVAL || strncmp(err.message, "manifest", 8) != 0)
			fail_msg("seed %u: %d %s: %s", seed, r, err.message,
				 buf_text(&text));
		return false;
	}
	if (manifest_inspect(manifest, &inspected, &err) < 0 ||
	    !json_is_object(inspected))
		fail_msg("seed %u: inspect: %s: %s", seed, err.message, buf_text(&text));
	return true;
}

static void a_random_manifest_is_inspected_or_refused(void **unused)
{
	unsigned int n_taken = 0;

	(void)unused;
	print_message("seeds 0 to %d\n", N_MANIFESTS - 1);
	for (uint32_t seed = 0; seed < N_MANIFESTS; seed++)
		n_taken += try_one(seed);
	/* Else the generator tells nothing. */
	assert_in_range(n_taken, N_MANIFESTS / 10, N_MANIFESTS * 9 / 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_random_manifest_is_inspected_or_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
