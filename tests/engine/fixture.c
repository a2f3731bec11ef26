/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/process.h"

/* What org.test.sh is: a module that is not ours, in another language. */
static const char sh_script[] =
	"#!/usr/bin/python3\n"
	"import json, subprocess, sys\n"
	"arguments = json.load(open('/run/osbuild/api/arguments'))\n"
	"command = arguments['options']['command']\n"
	"sys.exit(subprocess.call(['/bin/sh', '-c', command], cwd=arguments['tree']))\n";

static const char description[] =
	"{\"summary\": \"for tests\", \"description\": [\"for tests\"], \"schema_2\": "
	"{\"options\": {\"type\": \"object\"}, \"inputs\": {\"type\": \"object\"}}}";

static const char other_description[] =
	"{\"summary\": \"for tests\", \"description\": [\"for tests\"], \"schema_2\": "
	"{\"additionalProperties\": true}}";

static void write_file(const char *directory, const char *name, const char *text,
		       mode_t mode)
{
	struct cop_error err = {};
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_ok(fs_replace_at(fd, name, text, strlen(text), mode, &err), &err);
	(void)close(fd);
}

void fixture_module(struct fixture *fixture, const char *class, const char *name,
		    const char *script)
{
	char directory[160], meta[160];

	(void)snprintf(directory, sizeof(directory), "%s/%s", fixture->libdir, class);
	(void)snprintf(meta, sizeof(meta), "%s.meta.json", name);
	(void)mkdir(directory, 0755);
	write_file(directory, name, script, 0755);
	write_file(directory, meta,
		   strcmp(class, "stages") == 0 ? description : other_description, 0644);
}

static void hear_stage(void *data, const struct engine_stage_report *stage)
{
	static const char *const states[] = {"ran", "cached", "failed"};
	struct fixture *fixture = data;

	(void)buf_printf(&fixture->events, "%s %s%s\n", stage->type, states[stage->state],
			 stage->kept ? " kept" : "");
}

static void hear_note(void *data, const char *line)
{
	(void)buf_printf(&((struct fixture *)data)->notes, "%s\n", line);
}

static void hear_output(void *data, const char *bytes, size_t size)
{
	(void)buf_append(&((struct fixture *)data)->printed, bytes, size);
}

/* As the program does: otherwise every process of the machine that makes a mount
 * namespace meanwhile keeps our views busy for as long as it lives. */
static void have_mounts_of_our_own(void)
{
	static bool done;

	if (!done && unshare(CLONE_NEWNS) == 0)
		(void)mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL);
	done = true;
}

int fixture_setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	struct cop_error err = {};

	assert_non_null(fixture);
	have_mounts_of_our_own();
	(void)snprintf(fixture->path, sizeof(fixture->path), "/tmp/coppice-test-XXXXXX");
	assert_non_null(mkdtemp(fixture->path));
	(void)snprintf(fixture->libdir, sizeof(fixture->libdir), "%s/lib:dir",
		       fixture->path);
	(void)snprintf(fixture->store_path, sizeof(fixture->store_path), "%s/store",
		       fixture->path);
	(void)snprintf(fixture->output, sizeof(fixture->output), "%s/out", fixture->path);
	assert_int_equal(mkdir(fixture->libdir, 0755), 0);
	fixture_module(fixture, "stages", SH_STAGE, sh_script);
	fixture->libdirs[0] = fixture->libdir;
	fixture->libdirs[1] = getenv("COPPICE_TEST_LIBDIR");
	fixture->places.libdirs = fixture->libdirs;
	fixture->options.monitor = (struct engine_monitor){
		.stage_end = hear_stage,
		.stage_output = hear_output,
		.note = hear_note,
		.data = fixture,
	};
	assert_ok(cop_store_open(fixture->store_path, COP_STORE_CREATE, &fixture->store,
				 &err),
		  &err);
	*state = fixture;
	return 0;
}

int fixture_teardown(void **state)
{
	struct fixture *fixture = *state;

	cop_store_close(fixture->store);
	(void)fs_remove_all(AT_FDCWD, fixture->path, true, NULL);
	json_decref(fixture->result);
	buf_done(&fixture->events);
	buf_done(&fixture->notes);
	buf_done(&fixture->printed);
	free(fixture);
	return 0;
}

void fixture_needs_sandbox(void)
{
	static const char *const argv[] = {
		"bwrap",	 "--ro-bind", "/",    "/",    "--unshare-pid",
		"--unshare-net", "--dev",     "/dev", "true", NULL};
	struct cop_error err = {};

	if (process_check(argv, NULL, NULL, &err) == 0)
		return;
	print_message("skipped: needs a working bubblewrap: %s\n", err.message);
	skip();
}

int fixture_build(struct fixture *fixture, const char *json, struct cop_error *err)
{
	auto_ptr(manifest) manifest = NULL;
	auto_free char *text = strdup(json);
	json_t *result = NULL;
	int r;

	assert_non_null(text);
	for (char *c = text; *c; c++)
		if (*c == '\'')
			*c = '"';
	buf_truncate(&fixture->events, 0);
	buf_truncate(&fixture->notes, 0);
	buf_truncate(&fixture->printed, 0);
	r = manifest_load(text, strlen(text), &fixture->places, &manifest, err);
	if (r == 0)
		r = engine_build(fixture->store, manifest, &fixture->places,
				 &fixture->options, &result, err);
	if (r == 0) {
		json_decref(fixture->result);
		fixture->result = result;
	}
	return r;
}

int fixture_sh(struct fixture *fixture, struct cop_error *err, ...)
{
	auto_json *stages = json_array();
	auto_json *manifest = NULL;
	auto_buf text = {};
	const char *command;
	va_list ap;

	va_start(ap, err);
	while ((command = va_arg(ap, const char *)))
		assert_int_equal(
			json_array_append_new(stages, json_pack("{s:s, s:{s:s}}", "type",
								SH_STAGE, "options",
								"command", command)),
			0);
	va_end(ap);
	manifest = json_pack("{s:s, s:[{s:s, s:i, s:O}]}", "version", "2", "pipelines",
			     "name", "tree", "source-epoch", 1000000, "stages", stages);
	assert_ok(json_write(manifest, 0, &text, err), err);
	assert_null(strchr(buf_text(&text), '\''));
	return fixture_build(fixture, buf_text(&text), err);
}

const char *fixture_digest(const struct fixture *fixture, const char *pipeline)
{
	json_t *pipelines = json_object_get(fixture->result, "pipelines"), *json;
	size_t i;

	json_array_foreach (pipelines, i, json) {
		const char *name = json_string_value(json_object_get(json, "name"));
		const char *digest = json_string_value(json_object_get(json, "digest"));

		if (strcmp(name, pipeline) == 0)
			return digest ? digest : "-";
	}
	return "-";
}

bool fixture_read(const struct fixture *fixture, const char *path, struct buf *buf)
{
	char full[512];
	int fd;
	bool ok;

	(void)snprintf(full, sizeof(full), "%s/%s", fixture->path, path);
	fd = open(full, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ok = fs_read_all(fd, 16 * MIB, buf, NULL) == 0;
	(void)close(fd);
	return ok;
}
