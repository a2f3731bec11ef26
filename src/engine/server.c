/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/server.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "json/comm.h"
#include "json/json.h"

#define CONNECTIONS_MAX 64
/* One dispatch serves at most so many requests, so that a babbling peer cannot hold us.
 */
#define REQUESTS_MAX 1000

struct server {
	server_handler handle;
	void *data;
	int epoll_fd, listen_fd, dir_fd;
	char *name;
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	int connections[CONNECTIONS_MAX];
};

struct server *server_free(struct server *server)
{
	if (!server)
		return NULL;
	for (size_t i = 0; i < CONNECTIONS_MAX; i++)
		closep(&server->connections[i]);
	if (server->listen_fd >= 0)
		(void)unlinkat(server->dir_fd, server->name, 0);
	closep(&server->listen_fd);
	closep(&server->epoll_fd);
	closep(&server->dir_fd);
	free(server->name);
	free(server);
	return NULL;
}

static int watch(const struct server *server, int fd, struct cop_error *err)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	if (epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		return err_errno(err, "watch a socket");
	return 0;
}

/* A socket's address is short, a store's path may be long: then the way leads through our
 * own fd of the directory, which any process of this user can follow. */
static void choose_path(struct server *server, const char *dir, const char *name)
{
	int n = snprintf(server->path, sizeof(server->path), "%s/%s", dir, name);

	if (n < 0 || (size_t)n >= sizeof(server->path))
		(void)snprintf(server->path, sizeof(server->path), "/proc/%d/fd/%d/%.40s",
			       (int)getpid(), server->dir_fd, name);
}

int server_new(const char *dir, const char *name, server_handler handle, void *data,
	       struct server **ret_server, struct cop_error *err)
{
	auto_ptr(server) server = calloc(1, sizeof(*server));
	int r;

	if (!server)
		return err_oom(err);
	server->handle = handle;
	server->data = data;
	server->listen_fd = -EBADF;
	server->epoll_fd = -EBADF;
	for (size_t i = 0; i < CONNECTIONS_MAX; i++)
		server->connections[i] = -EBADF;
	server->dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (server->dir_fd < 0)
		return err_errno(err, "open '%s'", dir);
	server->name = strdup(name);
	server->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (!server->name || server->epoll_fd < 0)
		return err_errno(err, "make a server");
	choose_path(server, dir, name);
	server->listen_fd = comm_listen(server->path, err);
	if (server->listen_fd < 0)
		return server->listen_fd;
	r = watch(server, server->listen_fd, err);
	if (r < 0)
		return r;
	*ret_server = TAKE_PTR(server);
	return 0;
}

int server_fd(const struct server *server)
{
	return server->epoll_fd;
}

const char *server_path(const struct server *server)
{
	return server->path;
}

static int accept_one(struct server *server, struct cop_error *err)
{
	auto_close int fd =
		accept4(server->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	int r;

	if (fd < 0)
		return errno == EAGAIN || errno == EINTR || errno == ECONNABORTED
			       ? 0
			       : err_errno(err, "accept on '%s'", server->path);
	for (size_t i = 0; i < CONNECTIONS_MAX; i++)
		if (server->connections[i] < 0) {
			r = watch(server, fd, err);
			if (r < 0)
				return r;
			server->connections[i] = TAKE_FD(fd);
			return 0;
		}
	return 0; /* too many: this one is turned away */
}

static void hang_up(struct server *server, int fd)
{
	for (size_t i = 0; i < CONNECTIONS_MAX; i++)
		if (server->connections[i] == fd) {
			closep(&server->connections[i]);
			server->connections[i] = -EBADF;
		}
}

static int serve(struct server *server, int fd, struct cop_error *err)
{
	auto_json *request = NULL, *reply = NULL;
	auto_comm_fds fds = {};
	struct cop_error reason = {};
	int r = comm_receive(fd, &request, &fds, &reason);

	if (r == -EAGAIN)
		return 0;
	if (r <= 0) {
		hang_up(server, fd);
		return r == -ENOMEM ? err_oom(err) : 0;
	}
	r = server->handle(server->data, request, &fds, &reply, &reason);
	if (r == -ENOMEM)
		return err_oom(err);
	if (r < 0 && !reply)
		reply = json_pack("{s:s}", "error", reason.message);
	if (reply && comm_send(fd, reply, NULL, 0, &reason) < 0)
		hang_up(server, fd);
	return 0;
}

int server_dispatch(struct server *server, struct cop_error *err)
{
	for (int served = 0; served < REQUESTS_MAX; served++) {
		struct epoll_event event;
		int n = epoll_wait(server->epoll_fd, &event, 1, 0), r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(err, "wait on '%s'", server->path);
		if (n == 0)
			break;
		r = event.data.fd == server->listen_fd
			    ? accept_one(server, err)
			    : serve(server, event.data.fd, err);
		if (r < 0)
			return r;
	}
	return 0;
}
