/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a stage.  Several modules are linked into one program; the name under which
 * it was called says which one is meant.
 */
#include "modkit/kit.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "modkit/command.h"
#include "json/comm.h"
#include "json/json.h"

#define ARGUMENTS  "/run/osbuild/api/arguments"
#define API_SOCKET "/run/osbuild/api/osbuild"
#define DEVICES	   "/dev"
#define MOUNTS	   "/run/osbuild/mounts"

void kit_log(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)vprintf(format, ap);
	va_end(ap);
	(void)putchar('\n');
	/* The log must stand in the order of events, beside what programs print. */
	(void)fflush(stdout);
}

const char *kit_input_path(struct kit *kit, const char *input)
{
	json_t *entry = NULL;
	const char *path = NULL;

	if (json_get_object(kit->inputs, input, "inputs", &entry, kit->err) < 0 ||
	    json_get_string(entry, "path", input, &path, kit->err) < 0)
		return NULL;
	return path;
}

int kit_input_file(struct kit *kit, const char *input, char **ret_path)
{
	const char *path = kit_input_path(kit, input), *name;
	json_t *data = NULL, *files = NULL;
	char *whole;

	if (!path)
		return kit->err->code;
	data = json_object_get(json_object_get(kit->inputs, input), "data");
	files = json_object_get(data, "files");
	if (json_object_size(files) != 1)
		return err_set(kit->err, -EINVAL,
			       "the input '%s' must be exactly one file, and is %zu",
			       input, json_object_size(files));
	name = json_object_iter_key(json_object_iter(files));
	if (asprintf(&whole, "%s/%s", path, name) < 0)
		return err_oom(kit->err);
	*ret_path = whole;
	return 0;
}

int kit_device_path(struct kit *kit, const char *device, char **ret_path)
{
	json_t *entry = NULL;
	const char *path = NULL;
	char *whole;
	int r = json_get_object(kit->devices, device, "devices", &entry, kit->err);

	if (r == 0)
		r = json_get_string(entry, "path", device, &path, kit->err);
	if (r != 0)
		return r;
	if (asprintf(&whole, "%s%s%s", *path == '/' ? "" : DEVICES,
		     *path == '/' ? "" : "/", path) < 0)
		return err_oom(kit->err);
	*ret_path = whole;
	return 0;
}

const char *kit_uuid(const struct kit *kit, unsigned int number, char text[KIT_UUID_SIZE])
{
	unsigned char bytes[16] = {};
	char digits[33] = "", hex[33];

	(void)snprintf(digits, sizeof(digits), "%s", kit->id);
	if (hex_decode(digits, bytes, sizeof(bytes)) < 0)
		memset(bytes, 0, sizeof(bytes));
	bytes[0] ^= (unsigned char)(number >> 8);
	bytes[1] ^= (unsigned char)number;
	/* RFC 4122: version 4, as random ones have it */
	bytes[6] = (unsigned char)((bytes[6] & 0x0f) | 0x40);
	bytes[8] = (unsigned char)((bytes[8] & 0x3f) | 0x80);
	(void)hex_encode(bytes, sizeof(bytes), hex);
	(void)snprintf(text, KIT_UUID_SIZE, "%.8s-%.4s-%.4s-%.4s-%s", hex, hex + 8,
		       hex + 12, hex + 16, hex + 20);
	return text;
}

static int fill(struct kit *kit, const json_t *arguments, json_t *empty)
{
	json_t *meta = empty, *paths = empty;
	int r;

	kit->options = kit->inputs = kit->devices = kit->mounts = empty;
	kit->mounts_path = MOUNTS;
	kit->id = "";
	r = json_get_string(arguments, "tree", "arguments", &kit->tree_path, kit->err);
	if (r == 0)
		r = json_optional_object(arguments, "options", "arguments", &kit->options,
					 kit->err);
	if (r == 0)
		r = json_optional_object(arguments, "inputs", "arguments", &kit->inputs,
					 kit->err);
	if (r == 0)
		r = json_optional_object(arguments, "devices", "arguments", &kit->devices,
					 kit->err);
	if (r == 0)
		r = json_optional_object(arguments, "mounts", "arguments", &kit->mounts,
					 kit->err);
	if (r == 0)
		r = json_optional_object(arguments, "paths", "arguments", &paths,
					 kit->err);
	if (r == 0)
		r = json_optional_string(paths, "mounts", "paths", &kit->mounts_path,
					 kit->err);
	if (r == 0)
		r = json_optional_string(paths, "secrets", "paths", &kit->secrets_path,
					 kit->err);
	if (r == 0)
		r = json_optional_object(arguments, "meta", "arguments", &meta, kit->err);
	if (r == 0)
		r = json_optional_string(meta, "id", "meta", &kit->id, kit->err);
	if (r == 0)
		r = json_optional_integer(meta, "source-epoch", "meta",
					  &kit->source_epoch, kit->err);
	return r;
}

int kit_run(const struct kit_module *module, const json_t *arguments,
	    struct cop_error *err)
{
	auto_close int tree_fd = -EBADF;
	auto_json *empty = json_object();
	struct kit kit = {.name = module->name, .source_epoch = -1, .err = err};
	int r;

	if (!empty)
		return err_oom(err);
	r = fill(&kit, arguments, empty);
	if (r < 0)
		return r;
	tree_fd = open(kit.tree_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (tree_fd < 0)
		return err_errno(err, "open the tree '%s'", kit.tree_path);
	kit.tree_fd = tree_fd;
	return module->run(&kit);
}

static int read_arguments(json_t **ret_arguments, struct cop_error *err)
{
	auto_close int fd = open(ARGUMENTS, O_RDONLY | O_CLOEXEC);
	auto_buf text = {};
	int r;

	if (fd < 0)
		return err_errno(err, "open '%s'", ARGUMENTS);
	r = fs_read_all(fd, JSON_SIZE_MAX, &text, err);
	if (r == 0)
		r = json_read(buf_text(&text), text.size, ret_arguments, err);
	return r < 0 ? err_prefix(err, r, "arguments") : 0;
}

/* Names in messages need not be UTF-8; JSON must be. */
static json_t *message_text(const char *message)
{
	char text[COP_ERROR_MAX];
	json_t *json = json_string(message);

	if (json)
		return json;
	(void)snprintf(text, sizeof(text), "%s", message);
	for (char *c = text; *c; c++)
		if (*c & 0x80)
			*c = '?';
	return json_string(text);
}

/* In osbuild's shape.  A stage that cannot tell it has still written it to its log. */
static void send_exception(const struct kit_module *module, const struct cop_error *err)
{
	auto_close int socket = comm_connect(API_SOCKET, NULL);
	const char *type = strerrorname_np(-err->code);
	auto_json *message = NULL;

	if (socket < 0)
		return;
	message = json_pack("{s:s, s:{s:s, s:o, s:s}}", "method", "exception",
			    "exception", "type", type ? type : "Error", "value",
			    message_text(err->message), "traceback", module->name);
	if (message)
		(void)comm_send(socket, message, NULL, 0, NULL);
}

static const struct kit_module *find_module(const struct kit_module *modules,
					    size_t n_modules, const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;

	for (size_t i = 0; i < n_modules; i++)
		if (strcmp(modules[i].name, name) == 0)
			return &modules[i];
	return NULL;
}

int kit_main(const struct kit_module *modules, size_t n_modules, int argc, char **argv)
{
	const struct kit_module *module;
	auto_json *arguments = NULL;
	struct cop_error err = {};
	int r;

	(void)umask(022);
	if (argc > 1 && strcmp(argv[1], COMMAND_INSIDE) == 0)
		return command_inside(argc - 2, argv + 2);
	module = argc > 0 ? find_module(modules, n_modules, argv[0]) : NULL;
	if (!module) {
		(void)fprintf(stderr,
			      "this program is called by the name of a stage; it has:\n");
		for (size_t i = 0; i < n_modules; i++)
			(void)fprintf(stderr, "  %s\n", modules[i].name);
		return 2;
	}
	r = read_arguments(&arguments, &err);
	if (r == 0)
		r = kit_run(module, arguments, &err);
	if (r >= 0)
		return r;
	(void)fflush(stdout);
	(void)fprintf(stderr, "error: %s\n", err.message);
	send_exception(module, &err);
	return 1;
}
