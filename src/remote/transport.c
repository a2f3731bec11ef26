/* SPDX-License-Identifier: Apache-2.0 */
#include "remote/transport.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/text.h"

#define DEFAULT_TRIES 8
#define PAUSE_MS      200
#define STEP_MS	      1000

void request_init(struct request *request, enum request_method method, const char *key,
		  ...)
{
	va_list ap;

	*request = (struct request){.method = method};
	va_start(ap, key);
	(void)vsnprintf(request->key, sizeof(request->key), key, ap);
	va_end(ap);
}

void request_done(struct request *request)
{
	buf_done(&request->data);
}

int transport_init(struct transport *transport, const struct transport_ops *ops,
		   const char *url, int cancel_fd, struct cop_error *err)
{
	transport->ops = ops;
	transport->cancel_fd = cancel_fd;
	transport->n_tries = DEFAULT_TRIES;
	transport->pause_ms = PAUSE_MS;
	transport->url = strdup(url);
	transport->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!transport->url)
		return err_oom(err);
	return transport->wake_fd < 0 ? err_errno(err, "make an eventfd") : 0;
}

void transport_fini(struct transport *transport)
{
	closep(&transport->wake_fd);
	free(transport->url);
}

int transport_open(const struct transport_options *options,
		   struct transport **ret_transport, struct cop_error *err)
{
	const char *url = options->url;

	if (text_starts_with(url, "file:///"))
		return file_transport_open(options, ret_transport, err);
	if (text_starts_with(url, "http://") || text_starts_with(url, "https://"))
		return http_transport_open(options, ret_transport, err);
	if (text_starts_with(url, "s3://"))
		return s3_transport_open(options, ret_transport, err);
	return err_set(err, -EINVAL,
		       "'%s' is no place for a remote: file:///DIRECTORY, "
		       "s3://BUCKET/PREFIX, or http(s)://HOST/PATH for reading",
		       url);
}

struct transport *transport_free(struct transport *transport)
{
	if (transport)
		transport->ops->free(transport);
	return NULL;
}

void transport_finish(struct request *request, int result)
{
	request->result = result;
	request->is_done = true;
	if (request->done)
		request->done(request);
}

int transport_start(struct transport *transport, struct request *request)
{
	request->is_done = false;
	if (request->method == REQUEST_PUT || request->method == REQUEST_DELETE) {
		if (!transport->is_writable) {
			transport_finish(request, err_set(&request->error, -EROFS,
							  "'%s' can only be read",
							  transport->url));
			return 0;
		}
	}
	return transport->ops->start(transport, request);
}

int transport_step(struct transport *transport, int timeout_ms, struct cop_error *err)
{
	return transport->ops->step(transport, timeout_ms, err);
}

void transport_wake(struct transport *transport)
{
	uint64_t one = 1;

	(void)!write(transport->wake_fd, &one, sizeof(one));
}

void transport_abort(struct transport *transport)
{
	if (transport->ops->abort)
		transport->ops->abort(transport);
}

int transport_wait_fds(struct transport *transport, int timeout_ms, struct cop_error *err)
{
	struct pollfd fds[2] = {
		{.fd = transport->wake_fd, .events = POLLIN},
		{.fd = transport->cancel_fd > 0 ? transport->cancel_fd : -1,
		 .events = POLLIN}};
	uint64_t count;

	(void)poll(fds, ARRAY_SIZE(fds), timeout_ms);
	if (fds[0].revents)
		(void)!read(transport->wake_fd, &count, sizeof(count));
	return fds[1].revents ? err_set(err, -EINTR, "interrupted") : 0;
}

static bool all_done(const struct request *requests, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!requests[i].is_done)
			return false;
	return true;
}

int transport_run(struct transport *transport, struct request *requests, size_t n,
		  struct cop_error *err)
{
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++)
		r = transport_start(transport, &requests[i]);
	while (r == 0 && !all_done(requests, n))
		r = transport_step(transport, STEP_MS, err);
	if (r < 0)
		transport_abort(transport);
	return r;
}

int transport_get(struct transport *transport, const char *key, uint64_t limit,
		  struct buf *body, char *ret_etag, struct cop_error *err)
{
	auto_request request;
	int r;

	request_init(&request, REQUEST_GET, "%s", key);
	request.limit = limit;
	r = transport_run(transport, &request, 1, err);
	if (r < 0)
		return r;
	if (request.result < 0)
		return err_copy(err, &request.error);
	if (buf_append(body, request.data.data ? request.data.data : "",
		       request.data.size) < 0)
		return err_oom(err);
	if (ret_etag)
		memcpy(ret_etag, request.etag, REQUEST_ETAG_SIZE);
	return 0;
}

int transport_put(struct transport *transport, const char *key, const void *body,
		  size_t size, bool if_absent, const char *if_match,
		  struct cop_error *err)
{
	auto_request request;
	int r;

	request_init(&request, REQUEST_PUT, "%s", key);
	request.body = body;
	request.body_size = size;
	request.if_absent = if_absent;
	request.if_match = if_match;
	r = transport_run(transport, &request, 1, err);
	if (r < 0)
		return r;
	return request.result < 0 ? err_copy(err, &request.error) : 0;
}

int transport_head(struct transport *transport, const char *key, struct cop_error *err)
{
	auto_request request;
	int r;

	request_init(&request, REQUEST_HEAD, "%s", key);
	request.limit = UINT64_MAX;
	r = transport_run(transport, &request, 1, err);
	if (r < 0)
		return r;
	return request.result < 0 ? err_copy(err, &request.error) : 0;
}

int transport_put_once(struct transport *transport, const char *key, const void *body,
		       size_t size, bool conditional, struct cop_error *err)
{
	int r = transport_put(transport, key, body, size, conditional, NULL, err);

	return r == -EEXIST ? transport_head(transport, key, err) : r;
}

int transport_delete(struct transport *transport, const char *key, struct cop_error *err)
{
	auto_request request;
	int r;

	request_init(&request, REQUEST_DELETE, "%s", key);
	r = transport_run(transport, &request, 1, err);
	if (r < 0)
		return r;
	if (request.result == -ENOENT)
		return 0;
	return request.result < 0 ? err_copy(err, &request.error) : 0;
}

int transport_list(struct transport *transport, const char *prefix,
		   int (*visit)(void *data, const struct listed *listed), void *data,
		   struct cop_error *err)
{
	if (!transport->ops->list)
		return err_set(err, -EOPNOTSUPP, "'%s' cannot be listed", transport->url);
	return transport->ops->list(transport, prefix, visit, data, err);
}
