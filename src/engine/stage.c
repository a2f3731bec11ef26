/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One stage: its surroundings are laid out in a work directory, the services of its
 * inputs, devices and mounts are started, the module runs in the sandbox, and all of it
 * goes away again, in reverse.
 */
#include <fcntl.h>
#include <fnmatch.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/monotonic.h"
#include "base/mount.h"
#include "engine/secrets.h"
#include "engine/stage.h"
#include "json/json.h"

#define LOG_SIZE  ((size_t)(1 * MIB))
#define META_SIZE (16 * MIB)

void stage_outcome_done(struct stage_outcome *outcome)
{
	buf_done(&outcome->log);
	free(outcome->exception);
	json_decref(outcome->error);
	json_decref(outcome->metadata);
}

static void stage_done(struct stage *stage)
{
	(void)stage_stop_parts(stage, NULL);
	(void)stage_close_loops(stage, NULL);
	free(stage->services);
	(void)server_free(stage->exceptions);
	(void)server_free(stage->trees);
	(void)server_free(stage->loops);
	if (stage->may_mount && stage->work)
		(void)mount_detach_below(stage->work, false, NULL);
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
	json_decref(stage->devices);
	json_decref(stage->mounts);
	free(stage->name);
	free(stage->work);
	if (stage->secrets.data)
		explicit_bzero(stage->secrets.data, stage->secrets.size);
	buf_done(&stage->secrets);
	buf_done(&stage->partial);
}

/* The texts of an exception, which a result document shows, without secrets. */
static json_t *clean_exception(const struct stage *stage, const json_t *exception)
{
	auto_json *clean = json_object();
	const char *key;
	json_t *value;

	if (!stage->redacts)
		return json_incref((json_t *)(uintptr_t)exception);
	json_object_foreach ((json_t *)(uintptr_t)exception, key, value) {
		auto_buf text = {};

		if (!json_is_text(value))
			continue;
		(void)buf_append_text(&text, json_string_value(value));
		if (text.failed || secrets_redact(stage->run->options, &text) < 0 ||
		    json_object_set_new(clean, key, json_string(buf_text(&text))) < 0)
			return NULL;
	}
	return TAKE_PTR(clean);
}

/* The last value wins; a message that is none takes the word back, as in osbuild. */
static int take_exception(void *data, const json_t *request, struct comm_fds *fds,
			  json_t **ret_reply, struct cop_error *err)
{
	struct stage *stage = data;
	const char *method = json_string_value(json_object_get(request, "method"));
	auto_json *exception =
		clean_exception(stage, json_object_get(request, "exception"));
	const char *value = json_string_value(json_object_get(exception, "value"));
	const char *type = json_string_value(json_object_get(exception, "type"));

	(void)fds;
	(void)ret_reply;
	free(stage->outcome->exception);
	json_decref(stage->outcome->error);
	stage->outcome->exception = NULL;
	stage->outcome->error = NULL;
	if (!method || strcmp(method, "exception") != 0)
		return 0;
	stage->outcome->error =
		json_pack("{s:s, s:O}", "type", "exception", "data", exception);
	if (!value || !*value)
		value = type ? type : "an exception without a message";
	stage->outcome->exception = strdup(value);
	return stage->outcome->exception ? 0 : err_oom(err);
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
	if (r == 0 && stage->may_mount)
		r = server_new(api, "remoteloop", stage_serve_loops, stage, &stage->loops,
			       err);
	if (r == 0 && stage->manifest->n_inputs > 0)
		r = server_new(stage->work, "store", stage_serve_store, stage,
			       &stage->trees, err);
	return r;
}

/* The module of "input/NAME", "device/NAME" or "mount/NAME". */
static const char *module_of_part(const struct manifest_stage *stage, const char *id)
{
	const char *name = strchr(id, '/') + 1;

	for (size_t i = 0; i < stage->n_inputs; i++)
		if (*id == 'i' && strcmp(stage->inputs[i].name, name) == 0)
			return stage->inputs[i].type;
	for (size_t i = 0; i < stage->n_devices; i++)
		if (*id == 'd' && strcmp(stage->devices[i].name, name) == 0)
			return stage->devices[i].type;
	for (size_t i = 0; i < stage->n_mounts; i++)
		if (*id == 'm' && strcmp(stage->mounts[i].name, name) == 0)
			return stage->mounts[i].type;
	return "";
}

static void take_line(void *data, const char *id, const char *line)
{
	struct stage *stage = data;
	const struct engine_monitor *monitor = stage->run->monitor;
	auto_buf text = {}, entry = {};

	if (buf_append_text(&text, line) < 0 ||
	    (stage->redacts && secrets_redact(stage->run->options, &text) < 0))
		return;
	if (monitor->service_line) {
		monitor->service_line(monitor->data, id,
				      module_of_part(stage->manifest, id),
				      buf_text(&text));
		return;
	}
	if (buf_printf(&entry, "%s: %s\n", id, buf_text(&text)) < 0)
		return;
	(void)buf_append(&stage->outcome->log, entry.data, entry.size);
	if (stage->run->monitor->stage_output)
		stage->run->monitor->stage_output(stage->run->monitor->data, entry.data,
						  entry.size);
}

/* {name: the service's answer}, with the paths that the sandbox has. */
static json_t *describe_devices(const struct stage *stage)
{
	auto_json *devices = json_deep_copy(stage->devices);
	const char *name;
	json_t *device;

	json_object_foreach (devices, name, device) {
		const char *path = json_string_value(json_object_get(device, "path"));

		if (*path != '/' &&
		    json_object_set_new(device, "path", json_pack("s+", "/dev/", path)) <
			    0)
			return NULL;
	}
	return TAKE_PTR(devices);
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
	arguments = json_pack(
		"{s:s, s:{s:s, s:s, s:s}, s:o, s:O, s:O, s:o, s:O}", "tree",
		"/run/osbuild/tree", "paths", "devices", "/dev", "inputs", SANDBOX_INPUTS,
		"mounts", SANDBOX_MOUNTS, "devices", describe_devices(stage), "inputs",
		stage->inputs, "mounts", stage->mounts, "options",
		manifest->options ? json_incref(manifest->options) : json_object(),
		"meta", meta);
	if (!arguments)
		return err_oom(err);
	r = json_write(arguments, 0, &text, err);
	return r < 0 ? r
		     : fs_write_new(stage->work_fd, "api/arguments", text.data, text.size,
				    0444, err);
}

static void log_output(struct stage *stage, const char *bytes, size_t size)
{
	struct buf *log = &stage->outcome->log;

	(void)buf_append(log, bytes, size);
	if (log->size > 2 * LOG_SIZE) {
		memmove(log->data, log->data + log->size - LOG_SIZE, LOG_SIZE);
		buf_truncate(log, LOG_SIZE);
	}
	if (stage->run->monitor->stage_output)
		stage->run->monitor->stage_output(stage->run->monitor->data, bytes, size);
}

/* Whole lines, so that no secret is cut in two; one that does not end is cut all the
 * same. */
static void take_output(void *data, const char *bytes, size_t size)
{
	struct stage *stage = data;
	struct buf *partial = &stage->partial;
	auto_buf text = {};
	const char *end;

	if (!stage->redacts) {
		log_output(stage, bytes, size);
		return;
	}
	(void)buf_append(partial, bytes, size);
	end = memrchr(buf_text(partial), '\n', partial->size);
	if (!end && partial->size < LOG_SIZE && size > 0)
		return;
	size = end && size > 0 ? (size_t)(end + 1 - partial->data) : partial->size;
	(void)buf_append(&text, buf_text(partial), size);
	memmove(partial->data, partial->data + size, partial->size - size);
	buf_truncate(partial, partial->size - size);
	if (!text.failed && secrets_redact(stage->run->options, &text) == 0)
		log_output(stage, buf_text(&text), text.size);
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

static int serve_loops(void *data, struct cop_error *err)
{
	return server_dispatch(((struct stage *)data)->loops, err);
}

static void describe_sandbox(struct stage *stage, struct sandbox *sandbox)
{
	const struct manifest_stage *manifest = stage->manifest;

	*sandbox = (struct sandbox){
		.root = stage->root,
		.tree = stage->tree,
		.module = manifest->module,
		.runner = manifest->pipeline->runner.module,
		.store = cop_store_path(stage->run->store),
		.work = stage->work,
		.has_dev = stage->may_mount,
		.lacking = stage->run->lacking,
		.binds = stage->binds,
		.n_binds = stage->n_binds,
		.secrets = stage->secrets.size ? &stage->secrets : NULL,
		.epoch =
			manifest->pipeline->has_epoch ? &manifest->pipeline->epoch : NULL,
		.on_output = take_output,
		.data = stage,
		.cancel_fd = stage->run->options->cancel_fd,
		.timeout_ms = stage->run->options->stage_timeout * 1000,
		.serve_fd = stage->loops ? server_fd(stage->loops) : -EBADF,
		.serve = serve_loops,
	};
}

static bool breaks_here(const struct stage *stage)
{
	const char *where = stage->run->options->break_at;

	return where &&
	       (strcmp(where, "*") == 0 || strcmp(where, stage->manifest->type) == 0 ||
		strcmp(where, stage->manifest->id) == 0);
}

/* A person looks around before the stage runs. */
static int break_in(const struct sandbox *sandbox, struct cop_error *err)
{
	int status = 0, r = sandbox_shell(sandbox, &status, err);

	if (r == 0 && status != 0)
		r = err_set(err, -ECANCELED, "the shell before the stage said no");
	return r;
}

static int run_module(struct stage *stage, const struct sandbox *sandbox,
		      struct cop_error *err)
{
	struct stage_outcome *outcome = stage->outcome;
	struct cop_error reason = {};
	int r = sandbox_run(sandbox, &outcome->status, &reason);

	if (r == -EPERM && !stage->run->options->allow_weak_sandbox)
		return err_set(err, r,
			       "%.800s (--allow-weak-sandbox runs stages without what "
			       "cannot be isolated here)",
			       reason.message);
	if (r != -ETIMEDOUT)
		return r < 0 ? err_copy(err, &reason) : 0;
	outcome->status = SIGKILL;
	outcome->timed_out = true;
	return 0;
}

static int run_in_sandbox(struct stage *stage, struct cop_error *err)
{
	struct sandbox sandbox;
	uint64_t oom_kills;
	double start;
	int r = 0;

	describe_sandbox(stage, &sandbox);
	if (breaks_here(stage))
		r = break_in(&sandbox, err);
	oom_kills = count_oom_kills();
	start = monotonic_seconds();
	if (r == 0)
		r = run_module(stage, &sandbox, err);
	if (stage->partial.size)
		take_output(stage, "", 0);
	stage->outcome->seconds = monotonic_seconds() - start;
	stage->outcome->out_of_memory = count_oom_kills() > oom_kills;
	if (r == 0)
		r = server_dispatch(stage->exceptions, err);
	return r < 0 ? r : read_metadata(stage, err);
}

static int prepare(struct stage *stage, struct cop_error *err)
{
	int r = make_work(stage, err);

	stage->root = "/";
	if (r == 0 && stage->manifest->pipeline->build)
		r = stage_add_reader(stage, stage->manifest->pipeline->build,
				     &stage->root, err);
	if (r == 0 && stage->may_mount)
		r = stage_make_dev(stage, err);
	if (r == 0 && secrets_of_stage(stage->manifest))
		r = secrets_document(stage->run, stage->manifest, &stage->secrets, err);
	if (r == 0)
		r = start_servers(stage, err);
	if (r == 0)
		r = stage_start_parts(stage, err);
	return r < 0 ? r : write_arguments(stage, err);
}

/* Whatever has the tree open must be gone before its writing can end. */
static int run_with_tree(struct stage *stage, struct cop_error *err)
{
	int r = prepare(stage, err), stopped;

	if (r == 0)
		r = run_in_sandbox(stage, err);
	stage->hurry = r == -EINTR;
	stopped = stage_stop_parts(stage, r < 0 ? NULL : err);
	if (r == 0 && stage->outcome->status == 0)
		r = stopped;
	stopped = stage_close_loops(stage, r < 0 ? NULL : err);
	if (r == 0 && stage->outcome->status == 0)
		r = stopped;
	return r;
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
		.may_mount = !sandbox_describe(),
		.listener = {.line = take_line, .data = &stage},
		.redacts = run->options->n_secrets > 0 && run_is_private(run, manifest),
	};
	int r = cop_object_write(object, &stage.tree, err), ended;

	if (r < 0)
		return r;
	r = run_with_tree(&stage, err);
	ended = cop_object_write_end(object, r < 0 ? NULL : err);
	return r < 0 ? r : ended;
}
