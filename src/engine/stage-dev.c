/* SPDX-License-Identifier: Apache-2.0 */
/* Devices of the sandbox: its own /dev, and loop devices for modules that make disk
 * images by themselves. */
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/loop.h"
#include "base/mount.h"
#include "engine/stage.h"
#include "json/json.h"

/* How long what a module started may still use its loop devices. */
#define LOOP_TIMEOUT_MS 30000
#define LOOPS_MAX	256

struct stage_loop {
	int fd;
	unsigned int number;
};

static const struct {
	const char *name;
	unsigned int major, minor;
	bool where_host_has_it;
} nodes[] = {
	{"null", 1, 3, false},	 {"zero", 1, 5, false},	   {"full", 1, 7, false},
	{"random", 1, 8, false}, {"urandom", 1, 9, false}, {"tty", 5, 0, false},
	{"fuse", 10, 229, true},
};

static const struct {
	const char *name, *target;
} links[] = {
	{"fd", "/proc/self/fd"},       {"stdin", "/proc/self/fd/0"},
	{"stdout", "/proc/self/fd/1"}, {"stderr", "/proc/self/fd/2"},
	{"core", "/proc/kcore"},       {"ptmx", "pts/ptmx"},
};

static bool host_has(const char *name)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/dev/%s", name);
	return faccessat(AT_FDCWD, path, F_OK, 0) == 0;
}

static int mount_new(const char *type, const char *mode_key, const char *mode, int dir_fd,
		     const char *name, struct cop_error *err)
{
	auto_close int context = mount_open(type, err), mount = -EBADF;
	int r;

	if (context < 0)
		return context;
	r = mount_set_text(context, mode_key, mode, err);
	if (r < 0)
		return r;
	mount = mount_create(context, false, err);
	return mount < 0 ? mount : mount_attach(mount, dir_fd, name, err);
}

static int fill_dev(int dev, struct cop_error *err)
{
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(nodes) && r == 0; i++)
		if (!nodes[i].where_host_has_it || host_has(nodes[i].name))
			r = mount_device_node(dev, nodes[i].name, S_IFCHR | 0666,
					      makedev(nodes[i].major, nodes[i].minor),
					      err);
	for (size_t i = 0; i < ARRAY_SIZE(links) && r == 0; i++)
		if (symlinkat(links[i].target, dev, links[i].name) < 0)
			r = err_errno(err, "make '%s'", links[i].name);
	if (r == 0 && (mkdirat(dev, "shm", 01777) < 0 || mkdirat(dev, "pts", 0755) < 0))
		r = err_errno(err, "make a directory");
	return r < 0 ? r : mount_new("devpts", "ptmxmode", "0666", dev, "pts", err);
}

int stage_make_dev(struct stage *stage, struct cop_error *err)
{
	auto_close int dev = -EBADF;
	int r;

	if (mkdirat(stage->work_fd, "dev", 0755) < 0)
		return err_errno(err, "make '%s/dev'", stage->work);
	r = mount_new("tmpfs", "mode", "0755", stage->work_fd, "dev", err);
	if (r == 0) {
		dev = openat(stage->work_fd, "dev", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = dev < 0 ? err_errno(err, "open '%s/dev'", stage->work)
			    : fill_dev(dev, err);
	}
	return r < 0 ? err_prefix(err, r, "make /dev of the sandbox") : 0;
}

/* One of the fds that came with a request, which names them by their place. */
static int get_fd(const json_t *request, const char *key, const struct comm_fds *fds,
		  struct cop_error *err)
{
	const json_t *index = json_object_get(request, key);
	json_int_t i = json_integer_value(index);

	if (!json_is_integer(index) || i < 0 || (size_t)i >= fds->n)
		return err_set(err, -EINVAL, "'%s' is no file that came along", key);
	return fds->fds[i];
}

static int get_number(const json_t *request, const char *key, uint64_t *ret,
		      struct cop_error *err)
{
	const json_t *value = json_object_get(request, key);
	double number = json_number_value(value);

	if (!value || json_is_null(value))
		return 0;
	if (!json_is_number(value) || !(number >= 0) || number > 0x1p52 ||
	    floor(number) != number)
		return err_set(err, -EINVAL, "'%s' is no number of bytes", key);
	*ret = (uint64_t)number;
	return 0;
}

static int read_request(const json_t *request, struct loop_options *options,
			struct cop_error *err)
{
	uint64_t sector_size = 512;
	int r = get_number(request, "offset", &options->offset_bytes, err);

	if (r == 0)
		r = get_number(request, "sizelimit", &options->size_bytes, err);
	if (r == 0)
		r = get_number(request, "sector_size", &sector_size, err);
	if (r < 0)
		return r;
	if (sector_size > 65536)
		return err_set(err, -EINVAL, "'sector_size' is no size of sectors");
	options->sector_size = (uint32_t)sector_size;
	options->lock = json_is_true(json_object_get(request, "lock"));
	options->scan = json_is_true(json_object_get(request, "partscan"));
	options->read_only = json_is_true(json_object_get(request, "read_only"));
	return 0;
}

static int make_loop(struct stage *stage, const json_t *request,
		     const struct comm_fds *fds, struct stage_loop *loop,
		     struct cop_error *err)
{
	struct loop_options options = {};
	int file = get_fd(request, "fd", fds, err), dir, r;
	struct stat st;

	if (file < 0)
		return file;
	dir = get_fd(request, "dir_fd", fds, err);
	if (dir < 0)
		return dir;
	r = read_request(request, &options, err);
	if (r < 0)
		return r;
	/* A device of the host would be handed out, too. */
	if (fstat(file, &st) < 0 || !S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "only files can be loop devices");
	if (stage->n_loop_devices == LOOPS_MAX)
		return err_set(err, -EMFILE, "%d loop devices are open already",
			       LOOPS_MAX);
	loop->fd = loop_open(file, &options, &loop->number, err);
	if (loop->fd < 0)
		return loop->fd;
	r = loop_make_node(dir, loop->number, err);
	if (r < 0)
		(void)close(loop->fd);
	return r;
}

/* The Python library looks for an exception in the shape in which modules send theirs. */
static json_t *exception(const struct cop_error *err)
{
	return json_pack("{s:s, s:{s:s, s:s, s:s}}", "method", "exception", "exception",
			 "type", "OSError", "value", err->message, "traceback", "");
}

int stage_serve_loops(void *data, const json_t *request, struct comm_fds *fds,
		      json_t **ret_reply, struct cop_error *err)
{
	struct stage *stage = data;
	struct stage_loop *loops, loop;
	struct cop_error reason = {};

	loops = reallocarray(stage->loop_devices, stage->n_loop_devices + 1,
			     sizeof(*loops));
	if (!loops)
		return err_oom(err);
	stage->loop_devices = loops;
	if (make_loop(stage, request, fds, &loop, &reason) < 0) {
		*ret_reply = exception(&reason);
	} else {
		char name[32];

		(void)snprintf(name, sizeof(name), "loop%u", loop.number);
		loops[stage->n_loop_devices++] = loop;
		*ret_reply = json_pack("{s:s}", "devname", name);
	}
	return *ret_reply ? 0 : err_oom(err);
}

int stage_close_loops(struct stage *stage, struct cop_error *err)
{
	int r = 0;

	while (stage->n_loop_devices > 0) {
		const struct stage_loop *loop =
			&stage->loop_devices[--stage->n_loop_devices];
		int closed = loop_close(loop->fd, loop->number, LOOP_TIMEOUT_MS,
					r < 0 ? NULL : err);

		if (closed < 0 && r == 0)
			r = closed;
	}
	free(stage->loop_devices);
	stage->loop_devices = NULL;
	return r;
}
