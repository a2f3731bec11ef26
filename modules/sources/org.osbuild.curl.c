/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files from URLs: several at once, each tried again after a pause where that can help,
 * and given its name only when its checksum fits.
 */
#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

#include "base/monotonic.h"
#include "modules/sources/cache.h"
#include "modules/sources/sources.h"
#include "json/json.h"

#define PARALLEL     8
#define TRIES	     4
#define CONNECT_SEC  30L
#define STALL_SEC    30L
#define STALL_BYTES  100L
#define REDIRECTIONS 10L
#define POLL_MS	     500

/* struct transfer - one item; @due_ms: when it may be tried next */
struct transfer {
	struct download *download;
	const char *item, *url;
	const json_t *json;
	CURL *easy; /* while it is running */
	char reason[CURL_ERROR_SIZE];
	struct cache_file file;
	struct cop_error error;
	unsigned int n_tries;
	int64_t due_ms;
	bool is_done, was_there;
};

struct download {
	struct service_call *call;
	struct cache cache;
	CURLM *multi;
	struct transfer *transfers;
	size_t n_transfers, n_done, n_running;
	uint64_t n_bytes;
};

static void download_done(struct download *download)
{
	for (size_t i = 0; i < download->n_transfers; i++) {
		struct transfer *transfer = &download->transfers[i];

		if (transfer->easy) {
			(void)curl_multi_remove_handle(download->multi, transfer->easy);
			curl_easy_cleanup(transfer->easy);
		}
		cache_file_done(&transfer->file);
	}
	free(download->transfers);
	if (download->multi)
		(void)curl_multi_cleanup(download->multi);
	cache_done(&download->cache);
}

static size_t take_bytes(char *bytes, size_t size, size_t n, void *data)
{
	struct transfer *transfer = data;

	if (cache_file_write(&transfer->file, bytes, size * n, &transfer->error) < 0)
		return 0;
	transfer->download->n_bytes += size * n;
	return size * n;
}

static bool is_insecure(const json_t *json)
{
	return json_is_true(json_object_get(json, "insecure"));
}

/* Client certificates are the host's secret: the manifest only says that they are needed.
 */
static int set_secrets(CURL *easy, const json_t *json, struct cop_error *err)
{
	const json_t *secrets = json_object_get(json, "secrets");
	const char *name = json_string_value(json_object_get(secrets, "name"));
	const char *key = getenv("OSBUILD_SOURCES_CURL_SSL_CLIENT_KEY");
	const char *certificate = getenv("OSBUILD_SOURCES_CURL_SSL_CLIENT_CERT");
	const char *authority = getenv("OSBUILD_SOURCES_CURL_SSL_CA_CERT");

	if (!name)
		return 0;
	if (strcmp(name, "org.osbuild.mtls") != 0)
		return err_set(err, -EOPNOTSUPP, "there are no secrets '%.80s' here",
			       name);
	if (!key || !certificate)
		return err_set(err, -EINVAL,
			       "secrets '%s' need OSBUILD_SOURCES_CURL_SSL_CLIENT_KEY "
			       "and OSBUILD_SOURCES_CURL_SSL_CLIENT_CERT",
			       name);
	(void)curl_easy_setopt(easy, CURLOPT_SSLKEY, key);
	(void)curl_easy_setopt(easy, CURLOPT_SSLCERT, certificate);
	if (authority)
		(void)curl_easy_setopt(easy, CURLOPT_CAINFO, authority);
	return 0;
}

static void set_network(CURL *easy, const struct transfer *transfer)
{
	const char *proxy = getenv("OSBUILD_SOURCES_CURL_PROXY");
	const char *authorities = getenv("CURL_CA_BUNDLE");

	/* As the program curl does. */
	if (!authorities || !*authorities)
		authorities = getenv("SSL_CERT_FILE");
	if (authorities && *authorities)
		(void)curl_easy_setopt(easy, CURLOPT_CAINFO, authorities);
	if (proxy && *proxy)
		(void)curl_easy_setopt(easy, CURLOPT_PROXY, proxy);
	if (is_insecure(transfer->json)) {
		(void)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
		(void)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
	}
	(void)curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, CONNECT_SEC);
	(void)curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, STALL_SEC);
	(void)curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, STALL_BYTES);
}

static int begin(struct transfer *transfer, struct cop_error *err)
{
	CURL *easy = curl_easy_init();
	int r;

	if (!easy)
		return err_oom(err);
	r = set_secrets(easy, transfer->json, err);
	if (r < 0) {
		curl_easy_cleanup(easy);
		return r;
	}
	transfer->reason[0] = '\0';
	(void)curl_easy_setopt(easy, CURLOPT_URL, transfer->url);
	(void)curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
	(void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_bytes);
	(void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
	(void)curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->reason);
	(void)curl_easy_setopt(easy, CURLOPT_FAILONERROR, 1L);
	(void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L);
	(void)curl_easy_setopt(easy, CURLOPT_MAXREDIRS, REDIRECTIONS);
	(void)curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https,file");
	/* A server must not lead us to files of this host. */
	(void)curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
	(void)curl_easy_setopt(easy, CURLOPT_USERAGENT, "coppice/" COP_VERSION);
	set_network(easy, transfer);
	if (curl_multi_add_handle(transfer->download->multi, easy) != CURLM_OK) {
		curl_easy_cleanup(easy);
		return err_oom(err);
	}
	transfer->easy = easy;
	transfer->n_tries++;
	transfer->download->n_running++;
	return 0;
}

static void settle(struct transfer *transfer)
{
	struct download *download = transfer->download;

	transfer->is_done = true;
	cache_file_done(&transfer->file);
	download->n_done++;
	service_progress(download->call, "downloading", download->n_done,
			 download->n_transfers, "files");
}

/* Would the same request be answered otherwise a little later? */
static bool may_pass(CURLcode code, long status)
{
	switch (code) {
	case CURLE_HTTP_RETURNED_ERROR:
		return status >= 500 || status == 408 || status == 429;
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
	case CURLE_COULDNT_CONNECT:
	case CURLE_PARTIAL_FILE:
	case CURLE_OPERATION_TIMEDOUT:
	case CURLE_GOT_NOTHING:
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_HTTP2:
	case CURLE_HTTP2_STREAM:
		return true;
	default:
		return false;
	}
}

static void end(struct transfer *transfer, CURLcode code)
{
	struct download *download = transfer->download;
	long status = 0;

	(void)curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
	(void)curl_multi_remove_handle(download->multi, transfer->easy);
	curl_easy_cleanup(transfer->easy);
	transfer->easy = NULL;
	download->n_running--;
	if (code == CURLE_OK) {
		(void)cache_file_keep(&transfer->file, transfer->url, &transfer->error);
	} else if (transfer->error.code == 0 && may_pass(code, status) &&
		   transfer->n_tries < TRIES &&
		   cache_file_restart(&transfer->file, &transfer->error) == 0) {
		/* 250 ms, then four times as long each time. */
		transfer->due_ms =
			monotonic_ms() + (INT64_C(250) << 2 * (transfer->n_tries - 1));
		return;
	} else if (transfer->error.code == 0) {
		(void)err_set(&transfer->error, -EREMOTEIO, "download '%.500s': %s%s",
			      transfer->url,
			      *transfer->reason ? transfer->reason
						: curl_easy_strerror(code),
			      transfer->n_tries > 1 ? ", tried several times" : "");
	}
	settle(transfer);
}

static void begin_some(struct download *download)
{
	int64_t now = monotonic_ms();

	for (size_t i = 0; i < download->n_transfers && download->n_running < PARALLEL;
	     i++) {
		struct transfer *transfer = &download->transfers[i];

		if (transfer->is_done || transfer->easy || transfer->due_ms > now)
			continue;
		if (!transfer->file.checksum &&
		    cache_file_open(&download->cache, transfer->item, &transfer->file,
				    &transfer->error) < 0)
			settle(transfer);
		else if (begin(transfer, &transfer->error) < 0)
			settle(transfer);
	}
}

/* How long nothing can happen but on a socket. */
static int wait_ms(const struct download *download)
{
	int64_t now = monotonic_ms(), wait = POLL_MS;

	for (size_t i = 0; i < download->n_transfers; i++) {
		const struct transfer *transfer = &download->transfers[i];

		if (!transfer->is_done && !transfer->easy &&
		    transfer->due_ms - now < wait && download->n_running < PARALLEL)
			wait = transfer->due_ms - now;
	}
	return wait > 0 ? (int)wait : 0;
}

static int step(struct download *download, struct cop_error *err)
{
	struct curl_waitfd cancel = {
		.fd = service_cancel_fd(download->call),
		.events = CURL_WAIT_POLLIN,
	};
	CURLMsg *message;
	int left;

	if (curl_multi_perform(download->multi, &left) != CURLM_OK)
		return err_set(err, -EIO, "download: libcurl failed");
	while ((message = curl_multi_info_read(download->multi, &left))) {
		CURLcode code = message->data.result;
		char *transfer;

		if (message->msg != CURLMSG_DONE)
			continue;
		(void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE,
					&transfer);
		end((struct transfer *)(void *)transfer, code);
	}
	if (download->n_done == download->n_transfers)
		return 0;
	if (curl_multi_poll(download->multi, &cancel, 1, wait_ms(download), NULL) !=
	    CURLM_OK)
		return err_set(err, -EIO, "download: libcurl failed");
	if (service_is_over(download->call))
		return err_set(err, -EINTR, "interrupted");
	return 0;
}

static int plan(struct download *download, const json_t *items, struct cop_error *err)
{
	const char *item;
	json_t *json;

	download->transfers =
		calloc(json_object_size(items) + 1, sizeof(*download->transfers));
	download->multi = curl_multi_init();
	if (!download->transfers || !download->multi)
		return err_oom(err);
	json_object_foreach ((json_t *)(uintptr_t)items, item, json) {
		struct transfer *transfer = &download->transfers[download->n_transfers++];
		const json_t *url =
			json_is_object(json) ? json_object_get(json, "url") : json;

		*transfer = (struct transfer){.download = download,
					      .item = item,
					      .json = json,
					      .file = {.fd = -EBADF}};
		if (!json_is_text(url))
			return err_set(err, -EINVAL, "item %s has no URL", item);
		transfer->url = json_string_value(url);
		transfer->was_there = cache_has(&download->cache, item);
		if (transfer->was_there)
			settle(transfer);
	}
	return 0;
}

int source_curl(struct service_call *call, const char *method, json_t *arguments,
		json_t **ret_reply, struct cop_error *err)
{
	cleanup_with(download_done) struct download download = {.call = call,
								.cache = {.fd = -EBADF}};
	json_t *results, *items;
	int r;

	if (strcmp(method, "download") != 0)
		return err_set(err, -EOPNOTSUPP, "there is no method '%.40s'", method);
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
		return err_set(err, -EIO, "start libcurl");
	r = json_get_object(arguments, "items", "arguments", &items, err);
	if (r == 0)
		r = cache_open(arguments, &download.cache, err);
	if (r == 0)
		r = plan(&download, items, err);
	while (r == 0 && download.n_done < download.n_transfers) {
		begin_some(&download);
		r = step(&download, err);
	}
	if (r < 0)
		return r;
	results = json_array();
	for (size_t i = 0; i < download.n_transfers; i++) {
		const struct transfer *transfer = &download.transfers[i];

		(void)json_array_append_new(
			results, source_result(transfer->item, transfer->was_there,
					       transfer->error.code < 0 ? &transfer->error
									: NULL));
	}
	return source_reply(call, results, ret_reply, err);
}
