/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests to a place that keeps bytes under keys: a directory, a static web server, an
 * S3 bucket.  All rooms above speak of keys and conditions only.
 *
 * A transport belongs to one thread; transport_wake() alone may be called from others.
 */
#pragma once

#include "base/buf.h"
#include "base/defs.h"
#include "base/error.h"

struct transport;

enum request_method { REQUEST_GET, REQUEST_HEAD, REQUEST_PUT, REQUEST_DELETE };

/* Longest key, with its NUL. */
#define REQUEST_KEY_SIZE  1280
#define REQUEST_ETAG_SIZE 160

/*
 * struct request - one request and what came of it
 * @key:    below the place; segments of [A-Za-z0-9._:+@~-] joined by '/'
 * @query:  for S3 only: sorted and percent-encoded; borrowed
 * @offset, @length: of a ranged GET; length 0: the whole
 * @limit:  a body of a whole GET may have so many bytes (-EFBIG)
 * @body:   of a PUT, borrowed until it is done; @body_sha256: its SHA-256 in hexadecimal
 *          digits where the caller knows it, else ""
 * @if_absent, @if_match: conditions of a PUT; @if_match is an ETag, borrowed
 * @done:   called from transport_step() once; may be NULL
 *
 * Afterwards: @result 0 or a negative errno with @error: -ENOENT (no such key), -EEXIST
 * (@if_absent), -ESTALE (@if_match), -EACCES (refused), -EFBIG, -EINTR, -ENOTCONN (the
 * place cannot be reached), -EIO; @data has the body of a GET; @etag what was sent with
 * it, "" for none; @date: the server's clock, 0: not told.
 */
struct request {
	enum request_method method;
	char key[REQUEST_KEY_SIZE];
	const char *query;
	uint64_t offset, length, limit;
	const void *body;
	size_t body_size;
	char body_sha256[65];
	bool if_absent;
	const char *if_match;
	void (*done)(struct request *request);
	void *owner;

	bool is_done;
	int result;
	struct buf data;
	char etag[REQUEST_ETAG_SIZE];
	int64_t date;
	struct cop_error error;
	struct request *next; /* the transport's own */
};

/* request_init() - the key as printf(3) makes it */
void request_init(struct request *request, enum request_method method, const char *key,
		  ...) printf_like(3, 4);
void request_done(struct request *request);
#define auto_request cleanup_with(request_done) struct request

/* struct listed - a key that a listing found; @age_seconds by the clock of the place */
struct listed {
	const char *key;
	uint64_t size;
	int64_t age_seconds;
};

struct transport_totals {
	uint64_t n_requests, n_sent, n_received; /* attempts; bytes of bodies */
};

/*
 * struct transport_ops - what a kind of place can do
 * @start: begin; may finish at once
 * @step:  make progress, at most @timeout_ms; returns early when something happened
 * @abort: forget all requests that are not done; they never will be
 * @list:  NULL: cannot be listed
 */
struct transport_ops {
	int (*start)(struct transport *transport, struct request *request);
	int (*step)(struct transport *transport, int timeout_ms, struct cop_error *err);
	void (*abort)(struct transport *transport);
	int (*list)(struct transport *transport, const char *prefix,
		    int (*visit)(void *data, const struct listed *listed), void *data,
		    struct cop_error *err);
	void (*free)(struct transport *transport);
};

/*
 * struct transport - the part that all kinds share
 * @url: for messages
 * @wake_fd: an eventfd that ends a step
 * @cancel_fd: readable: every request ends with -EINTR; 0 or less: none
 * @n_tries: how often a request is sent at most
 * @pause_ms: about how long before the second time; longer before each that follows
 * @bare_etags: conditions name ETags without their quotes, as some servers want it
 */
struct transport {
	const struct transport_ops *ops;
	char *url;
	bool is_writable, bare_etags;
	int wake_fd, cancel_fd;
	unsigned int n_tries, pause_ms;
	struct transport_totals totals;
};

/*
 * struct transport_options - where, and as whom
 * @url: file:///PATH, http(s)://HOST/PATH, s3://BUCKET/PREFIX
 * @endpoint, @region, @profile: of S3; NULL: as the environment and the shared files say
 * @pause_ms: of the transport; 0: as usual
 * @path_style: BUCKET is the first part of the path, not of the host's name
 */
struct transport_options {
	const char *url;
	const char *endpoint, *region, *profile;
	bool path_style;
	unsigned int pause_ms;
	int cancel_fd;
};

/* transport_open() - nothing is sent yet.  -EINVAL: not a URL of a known kind. */
int transport_open(const struct transport_options *options,
		   struct transport **ret_transport, struct cop_error *err);
struct transport *transport_free(struct transport *transport);
DEFINE_AUTO_PTR(transport)

/* transport_init() / transport_fini() - for the kinds */
int transport_init(struct transport *transport, const struct transport_ops *ops,
		   const char *url, int cancel_fd, struct cop_error *err);
void transport_fini(struct transport *transport);

/* transport_finish() - for the kinds: @request is done */
void transport_finish(struct request *request, int result);

int transport_start(struct transport *transport, struct request *request);
int transport_step(struct transport *transport, int timeout_ms, struct cop_error *err);
void transport_wake(struct transport *transport);
/* transport_abort() - whoever started requests may free them now */
void transport_abort(struct transport *transport);

/* transport_run() - start all and wait until all are done.  Return: 0, also when some
 * failed, or -EINTR. */
int transport_run(struct transport *transport, struct request *requests, size_t n,
		  struct cop_error *err);

/* transport_get() - a whole small body; @ret_etag (REQUEST_ETAG_SIZE) may be NULL */
int transport_get(struct transport *transport, const char *key, uint64_t limit,
		  struct buf *body, char *ret_etag, struct cop_error *err);

/* transport_put() - @if_match NULL and not @if_absent: whatever is there */
int transport_put(struct transport *transport, const char *key, const void *body,
		  size_t size, bool if_absent, const char *if_match,
		  struct cop_error *err);

/* transport_put_once() - what never changes; with @conditional, 0 too when it is there
 * already, which is looked at */
int transport_put_once(struct transport *transport, const char *key, const void *body,
		       size_t size, bool conditional, struct cop_error *err);

/* transport_head() - 0 when there is such a key; -ENOENT */
int transport_head(struct transport *transport, const char *key, struct cop_error *err);

/* transport_delete() - gone is gone, whether it was there or not */
int transport_delete(struct transport *transport, const char *key, struct cop_error *err);

/* transport_list() - every key that begins with @prefix (which ends with '/'), in no
 * order; -EOPNOTSUPP where that cannot be asked */
int transport_list(struct transport *transport, const char *prefix,
		   int (*visit)(void *data, const struct listed *listed), void *data,
		   struct cop_error *err);

/* transport_wait_fds() - sleep until a wake, a cancel or the end of @timeout_ms; for the
 * kinds that have nothing else to wait for.  Return: 0, or -EINTR when cancelled. */
int transport_wait_fds(struct transport *transport, int timeout_ms,
		       struct cop_error *err);

/* file_transport_open(), http_transport_open(), s3_transport_open() - by kind */
int file_transport_open(const struct transport_options *options,
			struct transport **ret_transport, struct cop_error *err);
int http_transport_open(const struct transport_options *options,
			struct transport **ret_transport, struct cop_error *err);
int s3_transport_open(const struct transport_options *options,
		      struct transport **ret_transport, struct cop_error *err);
