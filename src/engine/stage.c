/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One stage: its surroundings are laid out in a work directory, the services of its
 * inputs are started, the module runs in the sandbox, and all of it goes away again.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/fs.h"
#include "engine/run.h"
#include "engine/sandbox.h"
#include "engine/service.h"
#include "store/store.h"
#include "json/json.h"

#define LOG_SIZE       ((size_t)(1 * MIB))
#define META_SIZE      (16 * MIB)
#define SANDBOX_INPUTS "/run/osbuild/inputs"

/* Everything of a stage that has to be undone. */
struct stage {
	struct run *run;
	const struct manifest_stage *manifest;
	struct stage_outcome *outcome;
	char *name; /* of the directory in the run's work directory */
	char *work; /* its path */
	int work_fd;
	struct server *exceptions, *trees;
	struct service **services;
	size_t n_services;
	struct cop_reader **readers;
	size_t n_readers;
	struct sandbox_bind *binds;
	size_t n_binds;
	const char *root;
	json_t *inputs; /* for the arguments */
	bool hurry;
};

void stage_outcome_done(struct stage_outcome *outcome)
{
	buf_done(&outcome->log);
	free(outcome->exception);
	json_decref(outcome->metadata);
}

static void stage_done(struct stage *stage)
{
	while (stage->n_services > 0)
		(void)service_stop(stage->services[--stage->n_services], stage->hurry);
	free(stage->services);
	(void)server_free(stage->exceptions);
	(void)server_free(stage->trees);
	while (stage->n_readers > 0)
		(void)cop_reader_close(stage->readers[--stage->n_readers]);
	free(stage->readers);
	for (size_t i = 0; i < stage->n_binds; i++) {
		free(stage->binds[i].source);
		free(stage->binds[i].target);
	}
	free(stage->binds);
	closep(&stage->work_fd);
	if (stage->name)
		(void)fs_remove_all(workdir_fd(stage->run->workdir), stage->name, true,
				    NULL);
	json_decref(stage->inputs);
	free(stage->name);
	free(stage->work);
}

/* The last value wins; a message that is none takes the word back, as in osbuild. */
static int take_exception(void *data, const json_t *request, json_t **ret_reply,
			  struct cop_error *err)
{
	struct stage *stage = data;
	const char *method = json_string_value(json_object_get(request, "method"));
	const json_t *exception = json_object_get(request, "exception");
	const char *value = json_string_value(json_object_get(exception, "value"));
	const char *type = json_string_value(json_object_get(exception, "type"));

	(void)ret_reply;
	free(stage->outcome->exception);
	stage->outcome->exception = NULL;
	if (!method || strcmp(method, "exception") != 0)
		return 0;
	if (!value || !*value)
		value = type ? type : "an exception without a message";
	stage->outcome->exception = strdup(value);
	return stage->outcome->exception ? 0 : err_oom(err);
}

static int add_reader(struct stage *stage, const char *id, const char **ret_path,
		      struct cop_error *err)
{
	struct cop_reader **readers, *reader;
	int r;

	readers = reallocarray(stage->readers, stage->n_readers + 1, sizeof(*readers));
	if (!readers)
		return err_oom(err);
	stage->readers = readers;
	r = run_read_tree(stage->run, id, &reader, err);
	if (r < 0)
		return r;
	readers[stage->n_readers++] = reader;
	*ret_path = cop_reader_path(reader);
	return 0;
}

/* A path below the stage's inputs, as the sandbox sees it; NULL: it is elsewhere. */
static char *to_sandbox(const struct stage *stage, const char *path)
{
	size_t length = strlen(stage->work);
	char *inside = NULL;

	if (strncmp(path, stage->work, length) != 0 ||
	    strncmp(path + length, "/inputs/", 8) != 0 || strstr(path, "/../") ||
	    asprintf(&inside, "%s%s", SANDBOX_INPUTS, path + length + 7) < 0)
		return NULL;
	return inside;
}

/* Nothing is mounted now: the sandbox will bind it there. */
static int add_bind(struct stage *stage, const char *tree, const char *subtree,
		    const char *target, struct cop_error *err)
{
	struct sandbox_bind *binds, *bind;

	binds = reallocarray(stage->binds, stage->n_binds + 1, sizeof(*binds));
	if (!binds)
		return err_oom(err);
	stage->binds = binds;
	bind = &binds[stage->n_binds];
	*bind = (struct sandbox_bind){.target = to_sandbox(stage, target)};
	if (!bind->target)
		return err_set(err, -EINVAL, "'%s' is not below the inputs", target);
	if (asprintf(&bind->source, "%s/%s", tree, subtree) < 0) {
		free(bind->target);
		return err_oom(err);
	}
	stage->n_binds++;
	return 0;
}

static int serve_tree(struct stage *stage, const json_t *request, json_t **ret_reply,
		      struct cop_error *err)
{
	const char *id = json_string_value(json_object_get(request, "object-id"));
	const char *target = json_string_value(json_object_get(request, "target"));
	const char *subtree = json_string_value(json_object_get(request, "subtree"));
	const char *path = NULL;
	int r;

	if (!id)
		return err_set(err, -EINVAL, "read-tree: 'object-id' is missing");
	r = add_reader(stage, id, &path, err);
	if (r < 0 && r != -ENOENT)
		return r;
	if (r == 0 && target) {
		r = add_bind(stage, path, subtree ? subtree : "/", target, err);
		if (r < 0)
			return r;
		path = target;
	}
	*ret_reply = json_pack("{s:s?}", "path", path);
	return *ret_reply ? 0 : err_oom(err);
}

static int serve_source(const struct stage *stage, const json_t *request,
			json_t **ret_reply, struct cop_error *err)
{
	const char *name = json_string_value(json_object_get(request, "name"));

	if (!name || strchr(name, '/') || *name == '.')
		return err_set(err, -EINVAL, "source: 'name' is missing or wrong");
	*ret_reply = json_pack("{s:s++}", "path", store_sources_path(stage->run->store),
			       "/", name);
	return *ret_reply ? 0 : err_oom(err);
}

static int make_directory(const struct stage *stage, json_t **ret_reply,
			  struct cop_error *err)
{
	auto_close int inputs = openat(stage->work_fd, "inputs", O_PATH | O_CLOEXEC);
	char name[FS_TEMPORARY_NAME];

	if (mkdirat(inputs, fs_temporary_name(name), 0700) < 0)
		return err_errno(err, "make a directory");
	*ret_reply = json_pack("{s:s++}", "path", stage->work, "/inputs/", name);
	return *ret_reply ? 0 : err_oom(err);
}

static int serve_store(void *data, const json_t *request, json_t **ret_reply,
		       struct cop_error *err)
{
	struct stage *stage = data;
	const char *method = json_string_value(json_object_get(request, "method"));

	if (method &&
	    (strcmp(method, "read-tree") == 0 || strcmp(method, "read-tree-at") == 0))
		return serve_tree(stage, request, ret_reply, err);
	if (method && strcmp(method, "source") == 0)
		return serve_source(stage, request, ret_reply, err);
	if (method && strcmp(method, "mkdtemp") == 0)
		return make_directory(stage, ret_reply, err);
	return err_set(err, -EINVAL, "the store has no method '%s'",
		       method ? method : "");
}

static int make_work(struct stage *stage, struct cop_error *err)
{
	static const char *const directories[] = {"var", "var/tmp", "inputs", "mounts",
						  "api"};
	struct run *run = stage->run;
	int r = 0;

	if (asprintf(&stage->name, "stage-%u", run->n_work++) < 0 ||
	    asprintf(&stage->work, "%s/%s", workdir_path(run->workdir), stage->name) < 0)
		return err_oom(err);
	if (mkdirat(workdir_fd(run->workdir), stage->name, 0700) < 0)
		return err_errno(err, "make '%s'", stage->work);
	stage->work_fd = openat(workdir_fd(run->workdir), stage->name,
				O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (stage->work_fd < 0)
		return err_errno(err, "open '%s'", stage->work);
	for (size_t i = 0; i < ARRAY_SIZE(directories) && r == 0; i++)
		if (mkdirat(stage->work_fd, directories[i], 0755) < 0)
			r = err_errno(err, "make '%s/%s'", stage->work, directories[i]);
	/* Whatever the umask is. */
	if (r == 0 && (fchmodat(stage->work_fd, "var", 0755, 0) < 0 ||
		       fchmodat(stage->work_fd, "var/tmp", 01777, 0) < 0))
		r = err_errno(err, "set the mode of '%s/var'", stage->work);
	if (r == 0)
		r = fs_write_new(stage->work_fd, "meta", "", 0, 0600, err);
	if (r == 0)
		r = fs_write_new(stage->work_fd, "cmdline", "root=/dev/osbuild\n", 18,
				 0444, err);
	return r;
}

static int start_servers(struct stage *stage, struct cop_error *err)
{
	auto_free char *api = NULL;
	int r;

	if (asprintf(&api, "%s/api", stage->work) < 0) {
		api = NULL;
		return err_oom(err);
	}
	r = server_new(api, "osbuild", take_exception, stage, &stage->exceptions, err);
	if (r == 0 && stage->manifest->n_inputs > 0)
		r = server_new(stage->work, "store", serve_store, stage, &stage->trees,
			       err);
	return r;
}

static int ask_input(struct stage *stage, const struct manifest_input *input,
		     const struct service_listener *listener, struct cop_error *err)
{
	auto_free char *id = NULL, *target = NULL;
	auto_json *arguments = NULL;
	struct service *service;
	int r;

	if (asprintf(&id, "input/%s", input->name) < 0)
		id = NULL;
	if (asprintf(&target, "%s/inputs/%s", stage->work, input->name) < 0)
		target = NULL;
	arguments =
		json_pack("{s:s, s:O, s:s, s:o, s:{s:s}}", "origin", input->origin,
			  "refs", input->references, "target", target, "options",
			  input->options ? json_incref(input->options) : json_object(),
			  "api", "store", server_path(stage->trees));
	if (!id || !arguments)
		return err_oom(err);
	if (mkdir(target, 0755) < 0)
		return err_errno(err, "make '%s'", target);
	r = service_start(input->module->path, id, input->module->libdir, listener,
			  &service, err);
	if (r < 0)
		return r;
	stage->services[stage->n_services++] = service;
	return service_request(service, "map", arguments, err);
}

static int take_input(struct stage *stage, const struct manifest_input *input,
		      struct service *service, struct cop_error *err)
{
	auto_json *reply = NULL, *entry = NULL;
	auto_free char *inside = NULL;
	const char *path;
	int r = service_reply(service, &reply, err);

	if (r < 0)
		return r;
	path = json_string_value(json_object_get(reply, "path"));
	if (path)
		inside = to_sandbox(stage, path);
	if (!inside)
		return err_set(err, -EBADMSG,
			       "input '%s': the module's answer has no path below '%s'",
			       input->name, stage->work);
	entry = json_pack("{s:s, s:O*}", "path", inside, "data",
			  json_object_get(reply, "data"));
	if (!entry || json_object_set(stage->inputs, input->name, entry) < 0)
		return err_oom(err);
	return 0;
}

static void take_line(void *data, const char *id, const char *line)
{
	struct stage *stage = data;
	auto_buf text = {};

	if (buf_printf(&text, "%s: %s\n", id, line) < 0)
		return;
	(void)buf_append(&stage->outcome->log, text.data, text.size);
	if (stage->run->monitor->stage_output)
		stage->run->monitor->stage_output(stage->run->monitor->data, text.data,
						  text.size);
}

/* The services stay until the stage has ended. */
static int map_inputs(struct stage *stage, const struct service_listener *listener,
		      struct cop_error *err)
{
	const struct manifest_stage *manifest = stage->manifest;
	int r = 0;

	stage->inputs = json_object();
	stage->services = calloc(manifest->n_inputs + 1, sizeof(struct service *));
	if (!stage->inputs || !stage->services)
		return err_oom(err);
	for (size_t i = 0; i < manifest->n_inputs && r == 0; i++)
		r = ask_input(stage, &manifest->inputs[i], listener, err);
	if (r == 0)
		r = services_wait(stage->services, stage->n_services, stage->trees,
				  stage->run->options->cancel_fd, err);
	for (size_t i = 0; i < manifest->n_inputs && r == 0; i++)
		r = take_input(stage, &manifest->inputs[i], stage->services[i], err);
	return r;
}

static int write_arguments(const struct stage *stage, struct cop_error *err)
{
	const struct manifest_stage *manifest = stage->manifest;
	auto_json *meta = json_pack("{s:s}", "id", manifest->id);
	auto_json *arguments = NULL;
	auto_buf text = {};
	int r;

	if (manifest->pipeline->has_epoch &&
	    json_object_set_new(meta, "source-epoch",
				json_integer(manifest->pipeline->epoch)) < 0)
		return err_oom(err);
	arguments = json_pack("{s:s, s:{s:s, s:s, s:s}, s:{}, s:O, s:{}, s:o, s:O}",
			      "tree", "/run/osbuild/tree", "paths", "devices", "/dev",
			      "inputs", SANDBOX_INPUTS, "mounts", "/run/osbuild/mounts",
			      "devices", "inputs", stage->inputs, "mounts", "options",
			      manifest->options ? json_incref(manifest->options)
						: json_object(),
			      "meta", meta);
	if (!arguments)
		return err_oom(err);
	r = json_write(arguments, 0, &text, err);
	return r < 0 ? r
		     : fs_write_new(stage->work_fd, "api/arguments", text.data, text.size,
				    0444, err);
}

static void take_output(void *data, const char *bytes, size_t size)
{
	struct stage *stage = data;
	struct buf *log = &stage->outcome->log;

	(void)buf_append(log, bytes, size);
	if (log->size > 2 * LOG_SIZE) {
		memmove(log->data, log->data + log->size - LOG_SIZE, LOG_SIZE);
		buf_truncate(log, LOG_SIZE);
	}
	if (stage->run->monitor->stage_output)
		stage->run->monitor->stage_output(stage->run->monitor->data, bytes, size);
}

static int read_metadata(const struct stage *stage, struct cop_error *err)
{
	auto_buf text = {};
	int r = fs_read_file(stage->work_fd, "meta", META_SIZE, &text, err);

	if (r == 0 && text.size > 0)
		r = json_read(text.data, text.size, &stage->outcome->metadata, err);
	return r < 0 ? err_prefix(err, r, "metadata of the stage") : 0;
}

static uint64_t count_oom_kills(void)
{
	auto_buf text = {};
	auto_close int fd = open("/proc/vmstat", O_RDONLY | O_CLOEXEC);
	const char *line;

	if (fd < 0 || fs_read_all(fd, 1 * MIB, &text, NULL) < 0)
		return 0;
	line = strstr(buf_text(&text), "\noom_kill ");
	return line ? strtoull(line + 10, NULL, 10) : 0;
}

static double now(void)
{
	struct timespec time;

	(void)clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static int run_in_sandbox(struct stage *stage, const char *tree, struct cop_error *err)
{
	const struct manifest_stage *manifest = stage->manifest;
	const struct sandbox sandbox = {
		.root = stage->root,
		.tree = tree,
		.module = manifest->module->path,
		.name = manifest->module->name,
		.libdir = manifest->module->libdir,
		.work = stage->work,
		.binds = stage->binds,
		.n_binds = stage->n_binds,
		.capabilities = module_capabilities(manifest->module),
		.epoch =
			manifest->pipeline->has_epoch ? &manifest->pipeline->epoch : NULL,
		.on_output = take_output,
		.data = stage,
		.cancel_fd = stage->run->options->cancel_fd,
	};
	uint64_t oom_kills = count_oom_kills();
	double start = now();
	int r = sandbox_run(&sandbox, &stage->outcome->status, err);

	stage->outcome->seconds = now() - start;
	stage->outcome->out_of_memory = count_oom_kills() > oom_kills;
	if (r < 0)
		return r;
	r = server_dispatch(stage->exceptions, err);
	return r < 0 ? r : read_metadata(stage, err);
}

static int refuse_parts(const struct manifest_stage *stage, struct cop_error *err)
{
	if (stage->n_devices > 0)
		return err_set(err, -EOPNOTSUPP,
			       "device '%s': there is no module '%s' to open it",
			       stage->devices[0].name, stage->devices[0].type);
	if (stage->n_mounts > 0)
		return err_set(err, -EOPNOTSUPP,
			       "mount '%s': there is no module '%s' to mount it",
			       stage->mounts[0].name, stage->mounts[0].type);
	return 0;
}

static int prepare(struct stage *stage, const struct service_listener *listener,
		   struct cop_error *err)
{
	int r = refuse_parts(stage->manifest, err);

	if (r == 0)
		r = make_work(stage, err);
	stage->root = "/";
	if (r == 0 && stage->manifest->pipeline->build)
		r = add_reader(stage, stage->manifest->pipeline->build, &stage->root,
			       err);
	if (r == 0)
		r = start_servers(stage, err);
	if (r == 0)
		r = map_inputs(stage, listener, err);
	return r < 0 ? r : write_arguments(stage, err);
}

int stage_run(struct run *run, const struct manifest_stage *manifest,
	      struct cop_object *object, struct stage_outcome *outcome,
	      struct cop_error *err)
{
	cleanup_with(stage_done) struct stage stage = {
		.run = run,
		.manifest = manifest,
		.outcome = outcome,
		.work_fd = -EBADF,
	};
	const struct service_listener listener = {.line = take_line, .data = &stage};
	const char *tree;
	int r = prepare(&stage, &listener, err), ended;

	if (r == 0)
		r = cop_object_write(object, &tree, err);
	if (r < 0) {
		stage.hurry = r == -EINTR;
		return r;
	}
	r = run_in_sandbox(&stage, tree, err);
	stage.hurry = r == -EINTR;
	ended = cop_object_write_end(object, r < 0 ? NULL : err);
	return r < 0 ? r : ended;
}
