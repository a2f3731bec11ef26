/* SPDX-License-Identifier: Apache-2.0 */
#include "modkit/service.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include "base/monotonic.h"
#include "base/text.h"
#include "json/comm.h"
#include "json/json.h"

#define PROGRESS_MS 100

struct service_call {
	const struct service_module *module;
	int socket;
	int64_t told_ms;
	void *state;
};

const char *service_name(const struct service_call *call)
{
	return call->module->name;
}

void **service_state(struct service_call *call)
{
	return &call->state;
}

int service_cancel_fd(const struct service_call *call)
{
	return call->socket;
}

/* The engine sends nothing while it waits for an answer: anything that can be read means
 * that it is gone. */
bool service_is_over(const struct service_call *call)
{
	struct pollfd fd = {.fd = call->socket, .events = POLLIN};

	return poll(&fd, 1, 0) > 0;
}

void service_progress(struct service_call *call, const char *what, uint64_t done,
		      uint64_t total, const char *unit)
{
	auto_json *message = NULL;
	const int64_t now_ms = monotonic_ms();

	if (now_ms - call->told_ms < PROGRESS_MS && done != total)
		return;
	call->told_ms = now_ms;
	message = json_pack("{s:s, s:{s:{s:{s:s, s:I, s:I, s:s}}}}", "type", "signal",
			    "data", "reply", "progress", "what", what, "done",
			    (json_int_t)done, "total", (json_int_t)total, "unit", unit);
	/* Progress that does not arrive is no failure. */
	if (message)
		(void)comm_send(call->socket, message, NULL, 0, NULL);
}

static int answer(struct service_call *call, const json_t *message, struct cop_error *err)
{
	const json_t *data = json_object_get(message, "data");
	const char *method = json_string_value(json_object_get(data, "name"));
	json_t *arguments = json_object_get(data, "args");
	auto_json *reply = NULL, *envelope = NULL;
	struct cop_error reason = {};
	int r;

	if (!method)
		r = err_set(&reason, -EBADMSG, "a message that calls no method");
	else
		r = call->module->call(call, method, arguments, &reply, &reason);
	if (r == -EINTR)
		return r;
	if (r < 0)
		envelope = json_pack("{s:s, s:{s:s, s:s, s:s}}", "type", "exception",
				     "data", "name", "Error", "value", reason.message,
				     "backtrace", "");
	else
		envelope = json_pack("{s:s, s:{s:O?}}", "type", "reply", "data", "reply",
				     reply);
	if (!envelope)
		return err_oom(err);
	return comm_send(call->socket, envelope, NULL, 0, err);
}

static int serve(struct service_call *call, struct cop_error *err)
{
	for (;;) {
		auto_json *message = NULL;
		int r = comm_receive(call->socket, &message, NULL, err);

		if (r == 0)
			return 0;
		if (r > 0)
			r = answer(call, message, err);
		if (r == -EINTR || r == -EPIPE || r == -ECONNRESET)
			return 0;
		if (r < 0)
			return r;
	}
}

static const struct service_module *find(const struct service_module *modules,
					 size_t n_modules, const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;

	for (size_t i = 0; i < n_modules; i++)
		if (strcmp(modules[i].name, name) == 0)
			return &modules[i];
	return NULL;
}

static int find_socket(int argc, char **argv)
{
	uint64_t fd;

	for (int i = 1; i + 1 < argc; i++)
		if (strcmp(argv[i], "--service-fd") == 0 &&
		    text_to_u64(argv[i + 1], &fd) == 0 && fd < INT32_MAX)
			return (int)fd;
	return -EINVAL;
}

int service_main(const struct service_module *modules, size_t n_modules, int argc,
		 char **argv)
{
	struct service_call call = {
		.module = argc > 0 ? find(modules, n_modules, argv[0]) : NULL,
		.socket = find_socket(argc, argv),
	};
	struct cop_error err = {};
	int r;

	if (!call.module || call.socket < 0) {
		(void)fprintf(stderr,
			      "this is a module of coppice, started by the engine as "
			      "NAME --service-id ID --service-fd FD\n");
		return 2;
	}
	/* The socket's end tells us to go; signals meant for the engine do not.  Should
	 * the engine be killed in the middle of our work, so are we, unless there is
	 * something to undo. */
	(void)signal(SIGTERM, SIG_IGN);
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGPIPE, SIG_IGN);
	if (!call.module->stop)
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	r = serve(&call, &err);
	if (r < 0)
		(void)fprintf(stderr, "%s\n", err.message);
	if (call.module->stop && call.module->stop(&call, &err) < 0) {
		(void)fprintf(stderr, "%s\n", err.message);
		r = -EIO;
	}
	return r < 0;
}
