/* SPDX-License-Identifier: Apache-2.0 */
#include "remote/http.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "base/monotonic.h"
#include "base/text.h"

#define ACTIVE_MAX    8
#define EXPLANATION   ((size_t)8192)
#define CONNECT_MS    10000L
#define SLOW_SECONDS  30L
#define REDIRECTS_MAX 5L
/* The pause is doubled after every attempt, up to so many times what it was. */
#define PAUSE_GROWTH 100
/* Longer than that nobody is asked to wait. */
#define RETRY_AFTER_MAX_MS 60000
/* A server that is not there is not asked for long. */
#define CONNECT_TRIES 4
/* After so many answers, one request more at once again. */
#define CALM_ANSWERS 16

struct transfer {
	struct transfer *next;
	struct http *http;
	struct request *request;
	CURL *easy;
	struct curl_slist *lines;
	unsigned int n_attempts;
	int64_t not_before_ms;
	size_t n_body_sent;
	uint64_t n_skip; /* of a whole body, where a range was asked for */
	bool has_enough, is_too_large;
	int64_t retry_after_ms;
	struct buf explanation;
	char why[CURL_ERROR_SIZE];
};

struct http {
	struct transport base;
	const struct http_backend *backend;
	void *data;
	CURLM *multi;
	struct transfer *waiting, *active;
	unsigned int n_active, max_active, n_calm;
};

static struct http *to_http(struct transport *transport)
{
	return (struct http *)transport;
}

void *http_data(struct transport *transport)
{
	return to_http(transport)->data;
}

int http_add_line(struct http_message *message, const char *format, ...)
{
	va_list ap;
	int n;

	if (message->n_lines == HTTP_LINES_MAX)
		return -E2BIG;
	va_start(ap, format);
	n = vasprintf(&message->lines[message->n_lines], format, ap);
	va_end(ap);
	if (n < 0)
		return -ENOMEM;
	message->n_lines++;
	return 0;
}

static void message_done(struct http_message *message)
{
	for (size_t i = 0; i < message->n_lines; i++)
		free(message->lines[i]);
	free(message->url);
}

/* --- one attempt --- */

static size_t take_line(char *line, size_t size, size_t n, void *data)
{
	struct transfer *transfer = data;
	struct request *request = transfer->request;
	char text[256];

	n *= size;
	(void)snprintf(text, sizeof(text), "%.*s",
		       (int)min_u64(strcspn(line, "\r\n"), min_u64(n, sizeof(text) - 1)),
		       line);
	/* A new status line: what an earlier answer (a redirection) said is void. */
	if (text_starts_with(text, "HTTP/")) {
		*request->etag = '\0';
		transfer->retry_after_ms = 0;
	} else if (strncasecmp(text, "etag: ", 6) == 0 &&
		   strlen(text + 6) < sizeof(request->etag)) {
		(void)snprintf(request->etag, sizeof(request->etag), "%.150s", text + 6);
	} else if (strncasecmp(text, "date: ", 6) == 0) {
		request->date = curl_getdate(text + 6, NULL);
	} else if (strncasecmp(text, "retry-after: ", 13) == 0) {
		uint64_t seconds;

		if (text_to_u64(text + 13, &seconds) == 0)
			transfer->retry_after_ms =
				(int64_t)min_u64(seconds * 1000, RETRY_AFTER_MAX_MS);
	}
	return n;
}

static size_t take_explanation(struct transfer *transfer, const char *bytes, size_t n)
{
	size_t room = EXPLANATION - min_u64(transfer->explanation.size, EXPLANATION);

	(void)buf_append(&transfer->explanation, bytes, n < room ? n : room);
	return n;
}

/* Of a whole answer to a ranged request only the range is taken. */
static size_t take_body(char *bytes, size_t size, size_t n, void *data)
{
	struct transfer *transfer = data;
	struct request *request = transfer->request;
	size_t given = n * size, at = 0, wanted;
	long status = 0;

	n = given;
	(void)curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status < 200 || status > 299)
		return take_explanation(transfer, bytes, n);
	transfer->http->base.totals.n_received += n;
	if (request->length && status == 200) {
		at = min_u64(transfer->n_skip, n);
		transfer->n_skip -= at;
	}
	wanted = n - at;
	if (request->length)
		wanted = min_u64(wanted, request->length - request->data.size);
	else if (request->data.size + n > request->limit)
		transfer->is_too_large = true;
	if (transfer->is_too_large)
		return 0;
	if (buf_append(&request->data, bytes + at, wanted) < 0)
		return 0;
	if (request->length && status == 200 && request->data.size == request->length) {
		transfer->has_enough = true;
		return wanted + at < given ? 0 : given;
	}
	return given;
}

static size_t give_body(char *bytes, size_t size, size_t n, void *data)
{
	struct transfer *transfer = data;
	const struct request *request = transfer->request;
	size_t left = request->body_size - transfer->n_body_sent;

	n = min_u64(n * size, left);
	memcpy(bytes, (const char *)request->body + transfer->n_body_sent, n);
	transfer->n_body_sent += n;
	transfer->http->base.totals.n_sent += n;
	return n;
}

static int seek_body(void *data, curl_off_t offset, int origin)
{
	struct transfer *transfer = data;

	if (origin != SEEK_SET || offset < 0 ||
	    (uint64_t)offset > transfer->request->body_size)
		return CURL_SEEKFUNC_FAIL;
	transfer->n_body_sent = (size_t)offset;
	return CURL_SEEKFUNC_OK;
}

static int add_line(struct transfer *transfer, const char *line, struct cop_error *err)
{
	struct curl_slist *grown = curl_slist_append(transfer->lines, line);

	if (!grown)
		return err_oom(err);
	transfer->lines = grown;
	return 0;
}

static int add_conditions(struct transfer *transfer, struct cop_error *err)
{
	const struct request *request = transfer->request;
	char line[REQUEST_ETAG_SIZE + 32];
	/* A large body is sent at once: waiting for leave costs a round trip. */
	int r = add_line(transfer, "Expect:", err);

	if (r == 0 && request->length) {
		(void)snprintf(
			line, sizeof(line), "Range: bytes=%llu-%llu",
			(unsigned long long)request->offset,
			(unsigned long long)(request->offset + request->length - 1));
		r = add_line(transfer, line, err);
	}
	if (r == 0 && request->if_absent)
		r = add_line(transfer, "If-None-Match: *", err);
	if (r == 0 && request->if_match) {
		const char *etag = request->if_match;
		size_t size = strlen(etag);

		if (transfer->http->base.bare_etags && size > 2 && *etag == '"') {
			etag++;
			size -= 2;
		}
		(void)snprintf(line, sizeof(line), "If-Match: %.*s", (int)size, etag);
		r = add_line(transfer, line, err);
	}
	return r;
}

static void set_method(CURL *easy, struct transfer *transfer)
{
	const struct request *request = transfer->request;

	switch (request->method) {
	case REQUEST_GET:
		break;
	case REQUEST_HEAD:
		(void)curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
		break;
	case REQUEST_DELETE:
		(void)curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, "DELETE");
		break;
	case REQUEST_PUT:
		(void)curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
		(void)curl_easy_setopt(easy, CURLOPT_READFUNCTION, give_body);
		(void)curl_easy_setopt(easy, CURLOPT_READDATA, transfer);
		(void)curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, seek_body);
		(void)curl_easy_setopt(easy, CURLOPT_SEEKDATA, transfer);
		(void)curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE,
				       (curl_off_t)request->body_size);
		(void)curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, 512L * 1024);
		break;
	}
}

static void set_limits(CURL *easy, const struct http *http, const char *url)
{
	const char *bundle = getenv("CURL_CA_BUNDLE");
	bool secure = text_starts_with(url, "https:");

	if (!bundle || !*bundle)
		bundle = getenv("AWS_CA_BUNDLE");
	if (bundle && *bundle)
		(void)curl_easy_setopt(easy, CURLOPT_CAINFO, bundle);
	(void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	(void)curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR,
			       secure ? "https" : "http,https");
	(void)curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION,
			       http->backend->follow ? 1L : 0L);
	(void)curl_easy_setopt(easy, CURLOPT_MAXREDIRS, REDIRECTS_MAX);
	(void)curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
	(void)curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
	(void)curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, SLOW_SECONDS);
	(void)curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 256L * 1024);
	(void)curl_easy_setopt(easy, CURLOPT_USERAGENT, "coppice/" COP_VERSION);
}

static void reset(struct transfer *transfer)
{
	struct request *request = transfer->request;

	curl_slist_free_all(transfer->lines);
	transfer->lines = NULL;
	transfer->n_body_sent = 0;
	transfer->n_skip = request->offset;
	transfer->has_enough = transfer->is_too_large = false;
	transfer->retry_after_ms = 0;
	*transfer->why = '\0';
	*request->etag = '\0';
	buf_truncate(&transfer->explanation, 0);
	buf_truncate(&request->data, 0);
}

static int prepare(struct transfer *transfer, struct cop_error *err)
{
	cleanup_with(message_done) struct http_message message = {};
	struct http *http = transfer->http;
	int r;

	reset(transfer);
	if (!transfer->easy)
		transfer->easy = curl_easy_init();
	if (!transfer->easy)
		return err_oom(err);
	r = http->backend->prepare(http->data, transfer->request, &message, err);
	for (size_t i = 0; i < message.n_lines && r == 0; i++)
		r = add_line(transfer, message.lines[i], err);
	if (r == 0)
		r = add_conditions(transfer, err);
	if (r < 0)
		return r;
	curl_easy_reset(transfer->easy);
	set_method(transfer->easy, transfer);
	set_limits(transfer->easy, http, message.url);
	(void)curl_easy_setopt(transfer->easy, CURLOPT_URL, message.url);
	(void)curl_easy_setopt(transfer->easy, CURLOPT_HTTPHEADER, transfer->lines);
	(void)curl_easy_setopt(transfer->easy, CURLOPT_HEADERFUNCTION, take_line);
	(void)curl_easy_setopt(transfer->easy, CURLOPT_HEADERDATA, transfer);
	(void)curl_easy_setopt(transfer->easy, CURLOPT_WRITEFUNCTION, take_body);
	(void)curl_easy_setopt(transfer->easy, CURLOPT_WRITEDATA, transfer);
	(void)curl_easy_setopt(transfer->easy, CURLOPT_ERRORBUFFER, transfer->why);
	(void)curl_easy_setopt(transfer->easy, CURLOPT_PRIVATE, transfer);
	return 0;
}

/* --- what came of it --- */

static void transfer_free(struct transfer *transfer)
{
	curl_easy_cleanup(transfer->easy);
	curl_slist_free_all(transfer->lines);
	buf_done(&transfer->explanation);
	free(transfer);
}

static bool is_unreachable(CURLcode code)
{
	return code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST ||
	       code == CURLE_COULDNT_RESOLVE_PROXY;
}

static bool is_distrusted(CURLcode code)
{
	return code == CURLE_PEER_FAILED_VERIFICATION ||
	       code == CURLE_SSL_CACERT_BADFILE || code == CURLE_URL_MALFORMAT ||
	       code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_TOO_MANY_REDIRECTS;
}

static bool may_help(const struct transfer *transfer, CURLcode code, long status)
{
	unsigned int n_tries = transfer->http->base.n_tries;

	if (transfer->is_too_large || is_distrusted(code))
		return false;
	if (is_unreachable(code))
		return transfer->n_attempts < min_u64(CONNECT_TRIES, n_tries);
	if (transfer->n_attempts >= n_tries)
		return false;
	if (code != CURLE_OK && !transfer->has_enough)
		return true;
	/* 409: two conditions met; one of them is to be tried again. */
	return status == 408 || status == 409 || status == 429 ||
	       (status >= 500 && status != 501);
}

static int code_of_status(const struct request *request, long status)
{
	switch (status) {
	case 401:
	case 403:
		return -EACCES;
	case 404:
	case 410:
		return -ENOENT;
	case 412:
		return request->if_absent ? -EEXIST : -ESTALE;
	case 501:
		return -EOPNOTSUPP;
	default:
		return -EIO;
	}
}

static const char *verb_of(const struct request *request)
{
	static const char *const verbs[] = {"read", "look for", "write", "remove"};

	return verbs[request->method];
}

static int refused(struct transfer *transfer, long status)
{
	struct request *request = transfer->request;
	char text[300] = "";
	int r = 0;

	if (transfer->http->backend->explain)
		r = transfer->http->backend->explain(&transfer->explanation, text,
						     sizeof(text));
	if (r == 0)
		r = code_of_status(request, status);
	return err_set(&request->error, r, "%s '%s/%s': the server answers %ld%s%s",
		       verb_of(request), transfer->http->base.url, request->key, status,
		       *text ? ", " : "", text);
}

/* 0, or why not, in the request's error; -EAGAIN: cut short */
static int judge(struct transfer *transfer, CURLcode code, long status)
{
	struct request *request = transfer->request;
	const char *url = transfer->http->base.url;

	if (transfer->is_too_large)
		return err_set(&request->error, -EFBIG,
			       "read '%s/%s': it is larger than it may be", url,
			       request->key);
	if (code != CURLE_OK && !transfer->has_enough)
		return err_set(&request->error,
			       is_unreachable(code)  ? -ENOTCONN
			       : is_distrusted(code) ? -EACCES
						     : -EIO,
			       "%s '%s/%s': %s", verb_of(request), url, request->key,
			       *transfer->why ? transfer->why : curl_easy_strerror(code));
	if (status == 416)
		return err_set(&request->error, -EIO,
			       "read '%s/%s': it is shorter than it should be", url,
			       request->key);
	if (status < 200 || status > 299)
		return refused(transfer, status);
	if (request->data.failed)
		return err_oom(&request->error);
	if (request->method == REQUEST_GET && request->length &&
	    request->data.size != request->length)
		return err_set(&request->error, -EIO,
			       "read '%s/%s': %zu bytes came instead of %llu", url,
			       request->key, request->data.size,
			       (unsigned long long)request->length);
	return 0;
}

static int64_t backoff_ms(const struct transfer *transfer)
{
	uint64_t growth =
		min_u64(UINT64_C(1) << min_u64(transfer->n_attempts, 16), PAUSE_GROWTH);
	uint64_t most = max_u64(transfer->http->base.pause_ms, 1) * growth;
	uint32_t random = 0;

	(void)!getrandom(&random, sizeof(random), 0);
	return (int64_t)max_u64(random % most, (uint64_t)transfer->retry_after_ms);
}

/* A server that has too much is asked less at once, until it has calmed down. */
static void adapt(struct http *http, long status)
{
	if (status == 503 || status == 429) {
		http->max_active = (http->max_active + 1) / 2;
		http->n_calm = 0;
	} else if (++http->n_calm >= CALM_ANSWERS && http->max_active < ACTIVE_MAX) {
		http->max_active++;
		http->n_calm = 0;
	}
}

static void remove_active(struct http *http, const struct transfer *transfer)
{
	for (struct transfer **at = &http->active; *at; at = &(*at)->next)
		if (*at == transfer) {
			*at = transfer->next;
			break;
		}
	(void)curl_multi_remove_handle(http->multi, transfer->easy);
	http->n_active--;
}

static void enqueue(struct http *http, struct transfer *transfer)
{
	struct transfer **at = &http->waiting;

	while (*at)
		at = &(*at)->next;
	transfer->next = NULL;
	*at = transfer;
}

static void end(struct transfer *transfer, int result)
{
	struct request *request = transfer->request;

	transfer_free(transfer);
	transport_finish(request, result);
}

static void settle(struct transfer *transfer, CURLcode code)
{
	struct http *http = transfer->http;
	long status = 0;
	bool retry;
	int r;

	(void)curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
	remove_active(http, transfer);
	transfer->n_attempts++;
	adapt(http, status);
	r = judge(transfer, code, status);
	retry = r < 0 && may_help(transfer, code, status);
	/* A cut body that nobody called cut. */
	if (r == -EIO && code == CURLE_OK && (status == 200 || status == 206))
		retry = transfer->n_attempts < http->base.n_tries;
	if (!retry) {
		end(transfer, r);
		return;
	}
	transfer->not_before_ms = monotonic_ms() + backoff_ms(transfer);
	enqueue(http, transfer);
}

/* --- the loop --- */

static int http_start(struct transport *transport, struct request *request)
{
	struct http *http = to_http(transport);
	struct transfer *transfer = calloc(1, sizeof(*transfer));

	if (!transfer) {
		transport_finish(request, err_oom(&request->error));
		return 0;
	}
	transfer->http = http;
	transfer->request = request;
	enqueue(http, transfer);
	return 0;
}

static void begin(struct http *http, struct transfer *transfer)
{
	struct cop_error *err = &transfer->request->error;
	int r = prepare(transfer, err);

	if (r == 0 && curl_multi_add_handle(http->multi, transfer->easy) != CURLM_OK)
		r = err_oom(err);
	if (r < 0) {
		end(transfer, r);
		return;
	}
	transfer->next = http->active;
	http->active = transfer;
	http->n_active++;
	http->base.totals.n_requests++;
}

/* Return: milliseconds until one that waits may begin; -1: none waits for time. */
static int64_t begin_waiting(struct http *http)
{
	int64_t now = monotonic_ms(), soonest = -1;
	struct transfer **at = &http->waiting;

	while (*at && http->n_active < http->max_active) {
		struct transfer *transfer = *at;

		if (transfer->not_before_ms > now) {
			if (soonest < 0 || transfer->not_before_ms - now < soonest)
				soonest = transfer->not_before_ms - now;
			at = &transfer->next;
			continue;
		}
		*at = transfer->next;
		begin(http, transfer);
	}
	return soonest;
}

static bool take_messages(struct http *http)
{
	struct CURLMsg *message;
	bool any = false;
	int n_left;

	while ((message = curl_multi_info_read(http->multi, &n_left)) != NULL) {
		char *private = NULL;

		if (message->msg != CURLMSG_DONE)
			continue;
		(void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);
		settle((struct transfer *)(void *)private, message->data.result);
		any = true;
	}
	return any;
}

static int http_step(struct transport *transport, int timeout_ms, struct cop_error *err)
{
	struct http *http = to_http(transport);
	struct curl_waitfd fds[2] = {
		{.fd = transport->wake_fd, .events = CURL_WAIT_POLLIN},
		{.fd = transport->cancel_fd, .events = CURL_WAIT_POLLIN}};
	unsigned int n_fds = transport->cancel_fd > 0 ? 2 : 1;
	int64_t soonest = begin_waiting(http);
	int n_running = 0;

	if (curl_multi_perform(http->multi, &n_running) != CURLM_OK)
		return err_set(err, -EIO, "libcurl refuses to work");
	if (take_messages(http))
		return transport_wait_fds(transport, 0, err);
	if (soonest >= 0 && soonest < timeout_ms)
		timeout_ms = (int)soonest + 1;
	(void)curl_multi_poll(http->multi, fds, n_fds, timeout_ms, NULL);
	(void)curl_multi_perform(http->multi, &n_running);
	(void)take_messages(http);
	return transport_wait_fds(transport, 0, err);
}

static void http_abort(struct transport *transport)
{
	struct http *http = to_http(transport);

	while (http->active) {
		struct transfer *transfer = http->active;

		remove_active(http, transfer);
		transfer_free(transfer);
	}
	while (http->waiting) {
		struct transfer *next = http->waiting->next;

		transfer_free(http->waiting);
		http->waiting = next;
	}
}

static void http_free(struct transport *transport)
{
	struct http *http = to_http(transport);

	http_abort(transport);
	(void)curl_multi_cleanup(http->multi);
	if (http->backend->free)
		http->backend->free(http->data);
	transport_fini(transport);
	free(http);
}

static void init_curl(void)
{
	(void)curl_global_init(CURL_GLOBAL_DEFAULT);
}

static int http_list(struct transport *transport, const char *prefix,
		     int (*visit)(void *data, const struct listed *listed), void *data,
		     struct cop_error *err)
{
	struct http *http = to_http(transport);

	if (!http->backend->list)
		return err_set(err, -EOPNOTSUPP, "'%s' cannot be listed", transport->url);
	return http->backend->list(transport, prefix, visit, data, err);
}

int http_new(const struct http_backend *backend, void *data,
	     const struct transport_options *options, bool is_writable,
	     struct transport **ret_transport, struct cop_error *err)
{
	static const struct transport_ops ops = {
		.start = http_start,
		.step = http_step,
		.abort = http_abort,
		.list = http_list,
		.free = http_free,
	};
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	auto_ptr(transport) transport = NULL;
	struct http *http = calloc(1, sizeof(*http));
	int r;

	(void)pthread_once(&once, init_curl);
	if (!http) {
		if (backend->free)
			backend->free(data);
		return err_oom(err);
	}
	transport = &http->base;
	http->backend = backend;
	http->data = data;
	http->max_active = ACTIVE_MAX;
	r = transport_init(transport, &ops, options->url, options->cancel_fd, err);
	if (r < 0)
		return r;
	transport->is_writable = is_writable;
	if (options->pause_ms > 0)
		transport->pause_ms = options->pause_ms;
	http->multi = curl_multi_init();
	if (!http->multi)
		return err_oom(err);
	(void)curl_multi_setopt(http->multi, CURLMOPT_MAX_HOST_CONNECTIONS,
				(long)ACTIVE_MAX);
	*ret_transport = TAKE_PTR(transport);
	return 0;
}
