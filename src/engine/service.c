/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/service.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/monotonic.h"
#include "base/process.h"
#include "json/comm.h"
#include "json/json.h"

#define GRACE_MS       10000
#define HURRY_GRACE_MS 1000
#define LINE_MAX_SIZE  4096
#define SERVICES_MAX   256
/* The number that the module finds its socket at. */
#define SERVICE_FD 3

struct service {
	char *id;
	const struct service_listener *listener;
	pid_t pid;
	int pid_fd, socket, output;
	struct buf line;
	char last_line[256];
	bool waiting;
	json_t *reply;
	struct cop_error error; /* instead of a reply */
};

static void tell_line(struct service *service)
{
	const char *text = buf_text(&service->line);

	if (*text)
		(void)snprintf(service->last_line, sizeof(service->last_line), "%s",
			       text);
	if (*text && service->listener->line)
		service->listener->line(service->listener->data, service->id, text);
	buf_truncate(&service->line, 0);
}

/* Returns false at the end of the output. */
static bool take_output(struct service *service)
{
	char bytes[4096];
	ssize_t n = read(service->output, bytes, sizeof(bytes));

	if (n < 0)
		return errno == EINTR || errno == EAGAIN;
	for (ssize_t i = 0; i < n; i++) {
		if (bytes[i] == '\n' || service->line.size >= LINE_MAX_SIZE)
			tell_line(service);
		if (bytes[i] != '\n' && bytes[i] != '\0')
			(void)buf_append_char(&service->line, bytes[i]);
	}
	if (n == 0)
		tell_line(service);
	return n > 0;
}

static int make_environment(const char *libdir, char ***ret_environment)
{
	size_t n = 0, kept = 0;
	char **environment;

	while (environ[n])
		n++;
	environment = calloc(n + 3, sizeof(*environment));
	if (!environment)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		if (strncmp(environ[i], "PYTHONPATH=", 11) != 0 &&
		    strncmp(environ[i], "PYTHONUNBUFFERED=", 17) != 0)
			environment[2 + kept++] = environ[i];
	if (asprintf(&environment[0], "PYTHONPATH=%s", libdir) < 0) {
		free(environment);
		return -ENOMEM;
	}
	environment[1] = (char *)(uintptr_t) "PYTHONUNBUFFERED=1";
	*ret_environment = environment;
	return 0;
}

static int spawn(struct service *service, const char *path, int theirs, int output,
		 char **environment)
{
	char fd_text[16];
	const char *const argv[] = {path,	    "--service-id", service->id,
				    "--service-fd", fd_text,	    NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, defaults;
	int r;

	(void)snprintf(fd_text, sizeof(fd_text), "%d", SERVICE_FD);
	(void)posix_spawn_file_actions_init(&actions);
	(void)posix_spawnattr_init(&attributes);
	(void)sigemptyset(&none);
	(void)sigemptyset(&defaults);
	(void)sigaddset(&defaults, SIGINT);
	(void)sigaddset(&defaults, SIGTERM);
	(void)sigaddset(&defaults, SIGPIPE);
	(void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK |
							    POSIX_SPAWN_SETSIGDEF |
							    POSIX_SPAWN_SETPGROUP);
	(void)posix_spawnattr_setsigmask(&attributes, &none);
	(void)posix_spawnattr_setsigdefault(&attributes, &defaults);
	r = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(&actions, output, 1);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(&actions, output, 2);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(&actions, theirs, SERVICE_FD);
	if (r == 0)
		r = posix_spawn(&service->pid, path, &actions, &attributes,
				(char *const *)(uintptr_t)argv, environment);
	(void)posix_spawnattr_destroy(&attributes);
	(void)posix_spawn_file_actions_destroy(&actions);
	return -r;
}

static int start(struct service *service, const char *path, const char *libdir,
		 struct cop_error *err)
{
	auto_close int theirs = -EBADF, output = -EBADF;
	auto_free char **environment = NULL;
	auto_free char *python_path = NULL;
	int pair[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(err, "make a socket pair");
	service->socket = pair[0];
	theirs = pair[1];
	if (pipe2(pair, O_CLOEXEC) < 0)
		return err_errno(err, "make a pipe");
	service->output = pair[0];
	output = pair[1];
	(void)fcntl(service->output, F_SETFL, O_NONBLOCK);
	if (make_environment(libdir, &environment) < 0)
		return err_oom(err);
	python_path = environment[0];
	r = spawn(service, path, theirs, output, environment);
	if (r < 0)
		return err_code(err, r, "start '%s'", path);
	service->pid_fd = (int)syscall(SYS_pidfd_open, service->pid, 0);
	if (service->pid_fd < 0)
		return err_errno(err, "watch '%s'", path);
	return 0;
}

int service_start(const char *path, const char *id, const char *libdir,
		  const struct service_listener *listener, struct service **ret_service,
		  struct cop_error *err)
{
	static const struct service_listener nobody;
	struct service *service = calloc(1, sizeof(*service));
	int r;

	if (!service)
		return err_oom(err);
	service->listener = listener ? listener : &nobody;
	service->pid_fd = -EBADF;
	service->socket = -EBADF;
	service->output = -EBADF;
	service->id = strdup(id);
	r = service->id ? start(service, path, libdir, err) : err_oom(err);
	if (r < 0) {
		(void)service_stop(service, true);
		return err_prefix(err, r, "%s", id);
	}
	*ret_service = service;
	return 0;
}

/* What it still prints is read, so that it cannot hang on a full pipe. */
static void await_end(struct service *service, int64_t deadline)
{
	for (int64_t left = deadline - monotonic_ms(); left > 0;
	     left = deadline - monotonic_ms()) {
		struct pollfd fds[] = {{.fd = service->pid_fd, .events = POLLIN},
				       {.fd = service->output, .events = POLLIN}};

		(void)poll(fds, 2, (int)left);
		if (fds[1].revents && !take_output(service)) {
			closep(&service->output);
			service->output = -EBADF;
		}
		if (fds[0].revents)
			return;
	}
}

static void take_last_words(struct service *service)
{
	struct pollfd fd = {.fd = service->output, .events = POLLIN};

	while (poll(&fd, 1, 0) > 0 && take_output(service))
		;
	tell_line(service);
}

/* How it ended; -ETIMEDOUT when it had to be killed. */
static int await_status(struct service *service, unsigned int grace_ms)
{
	siginfo_t info = {};
	int status = 0;
	bool ended;

	if (service->pid_fd >= 0)
		await_end(service, monotonic_ms() + grace_ms);
	ended = waitid(P_PID, (id_t)service->pid, &info, WEXITED | WNOHANG | WNOWAIT) ==
			0 &&
		info.si_pid == service->pid;
	/* Also what it may have left behind in its group, which bears its pid until we
	 * have waited for it. */
	(void)kill(-service->pid, SIGKILL);
	while (waitpid(service->pid, &status, 0) < 0 && errno == EINTR)
		;
	if (!ended)
		return -ETIMEDOUT;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EREMOTEIO;
}

int service_end(struct service *service, unsigned int grace_ms, struct cop_error *err)
{
	int r = 0;

	if (!service)
		return 0;
	closep(&service->socket);
	service->socket = -EBADF;
	if (service->pid > 0)
		r = await_status(service, grace_ms);
	if (r == -EREMOTEIO) {
		take_last_words(service);
		(void)err_set(err, r, "%s: %s", service->id,
			      *service->last_line ? service->last_line
						  : "failed when it was stopped");
	} else if (r < 0) {
		(void)err_set(err, r, "%s: did not stop within %u s", service->id,
			      grace_ms / 1000);
	}
	closep(&service->pid_fd);
	closep(&service->output);
	buf_done(&service->line);
	json_decref(service->reply);
	free(service->id);
	free(service);
	return r;
}

struct service *service_stop(struct service *service, bool hurry)
{
	(void)service_end(service, hurry ? HURRY_GRACE_MS : GRACE_MS, NULL);
	return NULL;
}

int service_request(struct service *service, const char *method, const json_t *arguments,
		    struct cop_error *err)
{
	auto_json *message =
		json_pack("{s:s, s:{s:s, s:O}}", "type", "method", "data", "name", method,
			  "args", (json_t *)(uintptr_t)arguments);
	int r;

	if (!message)
		return err_oom(err);
	service->error = (struct cop_error){};
	r = comm_send(service->socket, message, NULL, 0, err);
	if (r < 0)
		return err_prefix(err, r, "%s: call '%s'", service->id, method);
	service->waiting = true;
	return 0;
}

static void give_up(struct service *service, int code, const char *message)
{
	service->waiting = false;
	(void)err_set(&service->error, code, "%s: %s", service->id, message);
}

static void take_exception(struct service *service, const json_t *data)
{
	const char *value = json_string_value(json_object_get(data, "value"));
	const char *name = json_string_value(json_object_get(data, "name"));

	if (!value || !*value)
		value = name ? name : "failed without a message";
	give_up(service, -EREMOTEIO, value);
}

static void take_message(struct service *service, const json_t *message)
{
	const char *type = json_string_value(json_object_get(message, "type"));
	const json_t *data = json_object_get(message, "data");
	json_t *reply = json_object_get(data, "reply");

	if (type && strcmp(type, "signal") == 0) {
		if (service->listener->signal)
			service->listener->signal(service->listener->data, service->id,
						  reply);
	} else if (type && strcmp(type, "reply") == 0 && reply && service->waiting) {
		service->reply = json_incref(reply);
		service->waiting = false;
	} else if (type && strcmp(type, "exception") == 0) {
		take_exception(service, data);
	} else {
		give_up(service, -EBADMSG, "sent something that is no answer");
	}
}

static void receive(struct service *service)
{
	auto_json *message = NULL;
	struct cop_error reason = {};
	int r = comm_receive(service->socket, &message, NULL, &reason);

	if (r > 0) {
		take_message(service, message);
		return;
	}
	if (r < 0 && r != -ECONNRESET) {
		give_up(service, r, reason.message);
		return;
	}
	/* Its last words are why. */
	await_end(service, monotonic_ms() + HURRY_GRACE_MS);
	take_last_words(service);
	give_up(service, -EPIPE,
		*service->last_line ? service->last_line : "ended without an answer");
}

static int wait_once(struct service *const *services, size_t n_services,
		     struct server *server, int cancel_fd, struct cop_error *err)
{
	struct pollfd fds[2 * SERVICES_MAX + 2];
	nfds_t n = 0;

	fds[n++] =
		(struct pollfd){.fd = cancel_fd > 0 ? cancel_fd : -1, .events = POLLIN};
	fds[n++] =
		(struct pollfd){.fd = server ? server_fd(server) : -1, .events = POLLIN};
	for (size_t i = 0; i < n_services; i++) {
		fds[n++] = (struct pollfd){
			.fd = services[i]->waiting ? services[i]->socket : -1,
			.events = POLLIN};
		fds[n++] = (struct pollfd){.fd = services[i]->output, .events = POLLIN};
	}
	if (poll(fds, n, -1) < 0 && errno != EINTR)
		return err_errno(err, "wait for services");
	if (fds[0].revents)
		return err_set(err, -EINTR, "interrupted");
	for (size_t i = 0; i < n_services; i++) {
		if (fds[3 + 2 * i].revents && !take_output(services[i])) {
			closep(&services[i]->output);
			services[i]->output = -EBADF;
		}
		if (fds[2 + 2 * i].revents)
			receive(services[i]);
	}
	return fds[1].revents && server ? server_dispatch(server, err) : 0;
}

int services_wait(struct service *const *services, size_t n_services,
		  struct server *server, int cancel_fd, struct cop_error *err)
{
	if (n_services > SERVICES_MAX)
		return err_set(err, -E2BIG, "%zu services at once", n_services);
	for (;;) {
		bool waiting = false;
		int r;

		for (size_t i = 0; i < n_services; i++)
			waiting = waiting || services[i]->waiting;
		if (!waiting)
			return 0;
		r = wait_once(services, n_services, server, cancel_fd, err);
		if (r < 0)
			return r;
	}
}

int service_reply(struct service *service, json_t **ret_reply, struct cop_error *err)
{
	if (service->error.code < 0)
		return err_copy(err, &service->error);
	if (!service->reply)
		return err_set(err, -ENODATA, "%s: has not been asked", service->id);
	*ret_reply = TAKE_PTR(service->reply);
	return 0;
}
