/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inputs, devices and mounts: one service each.  All are started at once, as starting is
 * what takes their time; inputs and devices without a parent work at the same time,
 * devices after their parents, mounts one after the other, as one may lie in another.
 */
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mount.h"
#include "engine/stage.h"
#include "json/json.h"

/* To unmount may mean to write gigabytes. */
#define GRACE_MS       (15U * 60 * 1000)
#define HURRY_GRACE_MS 30000
/* An input has nothing to write. */
#define INPUT_GRACE_MS 10000

static struct service **input_service(const struct stage *stage, size_t i)
{
	return &stage->services[i];
}

static struct service **device_service(const struct stage *stage, size_t i)
{
	return &stage->services[stage->manifest->n_inputs + i];
}

static struct service **mount_service(const struct stage *stage, size_t i)
{
	return device_service(stage, stage->manifest->n_devices + i);
}

static int start_one(struct stage *stage, const struct module *module, const char *type,
		     const char *name, struct cop_error *err)
{
	auto_buf id = {};
	int r;

	if (!module)
		return err_set(err, -EOPNOTSUPP, "there is no module '%s' for '%s'", type,
			       name);
	if (buf_printf(&id, "%s/%s", module_class_name(module->class), name) < 0)
		return err_oom(err);
	r = service_start(module->path, id.data, module->libdir, &stage->listener,
			  &stage->services[stage->n_services], err);
	if (r == 0)
		stage->n_services++;
	return r;
}

static int start_all(struct stage *stage, struct cop_error *err)
{
	const struct manifest_stage *manifest = stage->manifest;
	int r = 0;

	for (size_t i = 0; i < manifest->n_inputs && r == 0; i++)
		r = start_one(stage, manifest->inputs[i].module, manifest->inputs[i].type,
			      manifest->inputs[i].name, err);
	for (size_t i = 0; i < manifest->n_devices && r == 0; i++)
		r = start_one(stage, manifest->devices[i].module,
			      manifest->devices[i].type, manifest->devices[i].name, err);
	for (size_t i = 0; i < manifest->n_mounts && r == 0; i++)
		r = start_one(stage, manifest->mounts[i].module, manifest->mounts[i].type,
			      manifest->mounts[i].name, err);
	return r;
}

static int wait_all(const struct stage *stage, struct cop_error *err)
{
	return services_wait(stage->services, stage->n_services, stage->trees,
			     stage->run->options->cancel_fd, err);
}

static json_t *options_of(json_t *options)
{
	return options ? json_incref(options) : json_object();
}

static int ask_input(struct stage *stage, size_t i, struct cop_error *err)
{
	const struct manifest_input *input = &stage->manifest->inputs[i];
	auto_free char *target = NULL;
	auto_json *arguments = NULL;

	if (asprintf(&target, "%s/inputs/%s", stage->work, input->name) < 0) {
		target = NULL;
		return err_oom(err);
	}
	arguments = json_pack("{s:s, s:O, s:s, s:o, s:{s:s}}", "origin", input->origin,
			      "refs", input->references, "target", target, "options",
			      options_of(input->options), "api", "store",
			      server_path(stage->trees));
	if (!arguments)
		return err_oom(err);
	if (mkdir(target, 0755) < 0)
		return err_errno(err, "make '%s'", target);
	return service_request(*input_service(stage, i), "map", arguments, err);
}

static int take_input(struct stage *stage, size_t i, struct cop_error *err)
{
	const char *name = stage->manifest->inputs[i].name, *path;
	auto_json *reply = NULL, *entry = NULL;
	auto_free char *inside = NULL;
	int r = service_reply(*input_service(stage, i), &reply, err);

	if (r < 0)
		return r;
	path = json_string_value(json_object_get(reply, "path"));
	if (path)
		inside = stage_to_sandbox(stage, "inputs", path);
	if (!inside)
		return err_set(err, -EBADMSG,
			       "input '%s': the module's answer has no path below '%s'",
			       name, stage->work);
	entry = json_copy(reply);
	if (!entry || json_object_set_new(entry, "path", json_string(inside)) < 0 ||
	    json_object_set(stage->inputs, name, entry) < 0)
		return err_oom(err);
	return 0;
}

/* As the service called it: relative to /dev, as a rule. */
static const char *device_path(const struct stage *stage,
			       const struct manifest_device *device)
{
	const json_t *entry = json_object_get(stage->devices, device->name);

	return json_string_value(json_object_get(entry, "path"));
}

static int ask_device(struct stage *stage, size_t i, struct cop_error *err)
{
	const struct manifest_device *device = &stage->manifest->devices[i];
	auto_json *arguments =
		json_pack("{s:s++, s:s, s:s?, s:o}", "dev", stage->work, "/", "dev",
			  "tree", stage->tree, "parent",
			  device->parent ? device_path(stage, device->parent) : NULL,
			  "options", options_of(device->options));

	return arguments ? service_request(*device_service(stage, i), "open", arguments,
					   err)
			 : err_oom(err);
}

static int take_device(struct stage *stage, size_t i, struct cop_error *err)
{
	const struct manifest_device *device = &stage->manifest->devices[i];
	auto_json *reply = NULL;
	int r = service_reply(*device_service(stage, i), &reply, err);

	if (r < 0)
		return r;
	if (!json_is_text(json_object_get(reply, "path")))
		return err_set(err, -EBADMSG,
			       "device '%s': the module's answer has no path",
			       device->name);
	return json_object_set(stage->devices, device->name, reply) < 0 ? err_oom(err)
									: 0;
}

static bool is_open(const struct stage *stage, const struct manifest_device *device)
{
	return json_object_get(stage->devices, device->name);
}

/* What can be opened now: devices whose parent is open.  They come in that order. */
static int open_devices(struct stage *stage, size_t *done, struct cop_error *err)
{
	const struct manifest_stage *manifest = stage->manifest;
	size_t end = *done;
	int r = 0;

	for (; end < manifest->n_devices && r == 0; end++) {
		if (manifest->devices[end].parent &&
		    !is_open(stage, manifest->devices[end].parent))
			break;
		r = ask_device(stage, end, err);
	}
	if (r == 0)
		r = wait_all(stage, err);
	for (; *done < end && r == 0; ++*done)
		r = take_device(stage, *done, err);
	return r;
}

/* The node of the host where it has one: some tools look mounts up in /proc and expect to
 * find their sources in /dev. */
static int mount_source(const struct stage *stage, const struct manifest_mount *mount,
			char **ret_source, struct cop_error *err)
{
	const char *path = mount->source ? device_path(stage, mount->source) : NULL;
	double partition = json_number_value(mount->partition);
	auto_free char *host = NULL;
	char suffix[32] = "", *source;

	*ret_source = NULL;
	if (!path)
		return 0;
	if (asprintf(&host, "%s%s", *path == '/' ? "" : "/dev/", path) < 0) {
		host = NULL;
		return err_oom(err);
	}
	if (partition > 0 && partition < 1e9)
		(void)snprintf(suffix, sizeof(suffix), "p%.0f", floor(partition));
	if (*path == '/' || faccessat(AT_FDCWD, host, F_OK, 0) == 0) {
		if (asprintf(&source, "%s%s", host, suffix) < 0)
			return err_oom(err);
	} else if (asprintf(&source, "%s/dev/%s%s", stage->work, path, suffix) < 0) {
		return err_oom(err);
	}
	*ret_source = source;
	return 0;
}

static int ask_mount(struct stage *stage, size_t i, struct cop_error *err)
{
	const struct manifest_mount *mount = &stage->manifest->mounts[i];
	auto_free char *source = NULL;
	auto_json *arguments = NULL;
	int r = mount_source(stage, mount, &source, err);

	if (r < 0)
		return r;
	arguments = json_pack("{s:s?, s:s?, s:s++, s:s, s:o}", "source", source, "target",
			      mount->target, "root", stage->work, "/", "mounts", "tree",
			      stage->tree, "options", options_of(mount->options));
	return arguments ? service_request(*mount_service(stage, i), "mount", arguments,
					   err)
			 : err_oom(err);
}

/* The answer is a path below the mounts, or nothing where there is none to speak of. */
static int take_mount(struct stage *stage, size_t i, struct cop_error *err)
{
	const char *name = stage->manifest->mounts[i].name, *path;
	auto_json *reply = NULL, *entry = NULL;
	auto_free char *inside = NULL;
	int r = service_reply(*mount_service(stage, i), &reply, err);

	if (r < 0)
		return r;
	path = json_string_value(reply);
	if (path && *path)
		inside = stage_to_sandbox(stage, "mounts", path);
	if (path ? *path && !inside : !json_is_null(reply))
		return err_set(err, -EBADMSG,
			       "mount '%s': the module's answer is no path below '%s'",
			       name, stage->work);
	entry = inside ? json_pack("{s:s}", "path", inside) : json_object();
	return !entry || json_object_set(stage->mounts, name, entry) < 0 ? err_oom(err)
									 : 0;
}

int stage_start_parts(struct stage *stage, struct cop_error *err)
{
	const struct manifest_stage *manifest = stage->manifest;
	size_t n = manifest->n_inputs + manifest->n_devices + manifest->n_mounts;
	size_t n_open = 0;
	int r;

	stage->inputs = json_object();
	stage->devices = json_object();
	stage->mounts = json_object();
	stage->services = calloc(n + 1, sizeof(struct service *));
	if (!stage->inputs || !stage->devices || !stage->mounts || !stage->services)
		return err_oom(err);
	if (n == 0)
		return 0;
	r = start_all(stage, err);
	for (size_t i = 0; i < manifest->n_inputs && r == 0; i++)
		r = ask_input(stage, i, err);
	if (r == 0)
		r = open_devices(stage, &n_open, err);
	for (size_t i = 0; i < manifest->n_inputs && r == 0; i++)
		r = take_input(stage, i, err);
	while (n_open < manifest->n_devices && r == 0)
		r = open_devices(stage, &n_open, err);
	for (size_t i = 0; i < manifest->n_mounts && r == 0; i++) {
		r = ask_mount(stage, i, err);
		if (r == 0)
			r = wait_all(stage, err);
		if (r == 0)
			r = take_mount(stage, i, err);
	}
	return r;
}

/* A service that was killed has left its mounts behind. */
static int unmount_rest(const struct stage *stage, struct cop_error *err)
{
	auto_free char *mounts = NULL;
	int r;

	if (asprintf(&mounts, "%s/mounts", stage->work) < 0) {
		mounts = NULL;
		return err_oom(err);
	}
	r = mount_detach_below(mounts, true, err);
	return r < 0 ? r : mount_detach_below(stage->tree, false, err);
}

int stage_stop_parts(struct stage *stage, struct cop_error *err)
{
	bool had_mounts = stage->n_services >
			  stage->manifest->n_inputs + stage->manifest->n_devices;
	int r = 0;

	while (stage->n_services > 0) {
		bool is_input = --stage->n_services < stage->manifest->n_inputs;
		unsigned int grace_ms = stage->hurry ? HURRY_GRACE_MS : GRACE_MS;
		int ended = service_end(stage->services[stage->n_services],
					is_input ? INPUT_GRACE_MS : grace_ms,
					r < 0 ? NULL : err);

		if (ended < 0 && r == 0)
			r = ended;
	}
	if (had_mounts && stage->may_mount) {
		int ended = unmount_rest(stage, r < 0 ? NULL : err);

		if (ended < 0 && r == 0)
			r = ended;
	}
	return r;
}
