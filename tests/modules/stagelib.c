/* SPDX-License-Identifier: Apache-2.0 */
#include "stagelib.h"

#include <fcntl.h>
#include <stdlib.h>

#include "base/process.h"
#include "modkit/tool.h"
#include "json/json.h"

int world_setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	if (!world)
		return -1;
	(void)umask(022);
	(void)strcpy(world->path, "/tmp/coppice-stages-XXXXXX");
	if (!mkdtemp(world->path))
		return -1;
	world->fd = open(world->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (mkdirat(world->fd, "tree", 0755) < 0 || mkdirat(world->fd, "input", 0755) < 0)
		return -1;
	world->tree_fd = openat(world->fd, "tree", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	world->input_fd = openat(world->fd, "input", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (mkdirat(world->fd, "mounts", 0755) < 0 ||
	    mkdirat(world->fd, "mounts/m", 0755) < 0)
		return -1;
	world->source_epoch = -1;
	*state = world;
	return 0;
}

int world_teardown(void **state)
{
	struct world *world = *state;

	closep(&world->fd);
	closep(&world->tree_fd);
	closep(&world->input_fd);
	(void)fs_remove_all(AT_FDCWD, world->path, true, NULL);
	free(world);
	return 0;
}

static json_t *arguments_of(struct world *world, const char *options)
{
	auto_free char *text = strdup(options);
	static const char *const file_inputs[] = {"image", "file"};
	auto_buf tree = {}, input = {}, mounts = {}, mount = {}, device = {},
		 secrets = {};
	json_t *parsed = NULL, *arguments;

	for (char *c = text; *c; c++)
		if (*c == '\'')
			*c = '"';
	assert_ok(json_read(text, strlen(text), &parsed, &world->err), &world->err);
	(void)buf_printf(&tree, "%s/tree", world->path);
	(void)buf_printf(&input, "%s/input", world->path);
	(void)buf_printf(&mounts, "%s/mounts", world->path);
	(void)buf_printf(&mount, "%s/mounts/m", world->path);
	(void)buf_printf(&device, "%s/disk", world->path);
	(void)buf_printf(&secrets, "%s/secrets", world->path);
	arguments = json_pack(
		"{s:s, s:o, s:{s:{s:s}, s:{s:s}, s:{s:s}}, s:{s:{s:s}}, s:{s:{s:s}, s:{}},"
		" s:{s:s}, s:{s:s}}",
		"tree", tree.data, "options", parsed, "inputs", "tree", "path",
		input.data, "files", "path", input.data, "packages", "path", input.data,
		"devices", "device", "path", device.data, "mounts", "m", "path",
		mount.data, "nowhere", "paths", "mounts", mounts.data, "meta", "id",
		STAGE_ID);
	assert_non_null(arguments);
	if (world->source_epoch >= 0)
		(void)json_object_set_new(json_object_get(arguments, "meta"),
					  "source-epoch",
					  json_integer(world->source_epoch));
	if (world->has_secrets)
		(void)json_object_set_new(json_object_get(arguments, "paths"), "secrets",
					  json_string(secrets.data));
	for (size_t i = 0; world->file && i < ARRAY_SIZE(file_inputs); i++)
		(void)json_object_set_new(
			json_object_get(arguments, "inputs"), file_inputs[i],
			json_pack("{s:s, s:{s:{s:{}}}}", "path", input.data, "data",
				  "files", world->file));
	if (world->only_tree)
		(void)json_object_set_new(
			arguments, "inputs",
			json_pack("{s:{s:s}}", "tree", "path", input.data));
	return arguments;
}

int stage_with(struct world *world, int (*stage)(struct kit *kit), const char *options)
{
	const struct kit_module module = {"org.example.stage", stage};
	auto_json *arguments = arguments_of(world, options);

	world->err = (struct cop_error){};
	return kit_run(&module, arguments, &world->err);
}

void put(struct world *world, const char *path, const char *text)
{
	auto_close int fd =
		openat(world->fd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(fs_write_all(fd, text, strlen(text)), 0);
}

void put_dir(struct world *world, const char *path, unsigned int mode)
{
	assert_int_equal(mkdirat(world->fd, path, 0700), 0);
	assert_int_equal(fchmodat(world->fd, path, mode, 0), 0);
}

void put_link(struct world *world, const char *path, const char *target)
{
	assert_int_equal(symlinkat(target, world->fd, path), 0);
}

void read_whole(struct world *world, const char *path, struct buf *buf)
{
	auto_close int fd = openat(world->fd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		fail_msg("cannot open '%s'", path);
	assert_ok(fs_read_all(fd, 64 * MIB, buf, &world->err), &world->err);
}

void assert_text(struct world *world, const char *path, const char *text)
{
	auto_buf found = {};

	read_whole(world, path, &found);
	assert_string_equal(buf_text(&found), text);
}

void assert_absent(struct world *world, const char *path)
{
	struct stat st;

	assert_int_equal(fstatat(world->fd, path, &st, AT_SYMLINK_NOFOLLOW), -1);
	assert_int_equal(errno, ENOENT);
}

struct stat stat_of(struct world *world, const char *path)
{
	struct stat st = {};

	if (fstatat(world->fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		fail_msg("cannot stat '%s'", path);
	return st;
}

bool has_program(const char *name)
{
	if (tool_is_there(name))
		return true;
	print_message("skipped: there is no program '%s'\n", name);
	return false;
}

void run_shell(struct world *world, const char *text)
{
	char command[2048];
	const char *argv[] = {"sh", "-ec", command, NULL};

	(void)snprintf(command, sizeof(command), "cd %s\n%s", world->path, text);
	assert_ok(process_check(argv, NULL, NULL, &world->err), &world->err);
}
