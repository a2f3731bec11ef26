/* SPDX-License-Identifier: Apache-2.0 */
/* Remotes of a store, by name: adding, opening, looking for stage keys. */
#include "remote/remote.h"

#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "remote/private.h"
#include "store/store.h"
#include "json/json.h"

#define SETTINGS     "remote.json"
#define SETTINGS_MAX (1 * MIB)
#define KEYS_BATCH   ((size_t)64)

void remote_note(const struct remote *remote, const char *format, ...)
{
	char line[COP_ERROR_MAX];
	va_list ap;

	if (!remote->monitor.note)
		return;
	va_start(ap, format);
	(void)vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	remote->monitor.note(remote->monitor.data, line);
}

void remote_tell(const struct remote *remote, const char *what, uint64_t done,
		 uint64_t total, const char *unit)
{
	const struct cop_progress *progress = remote->monitor.progress;

	if (progress && progress->update)
		progress->update(progress->data, what, done, total, unit);
}

int remote_check_cancel(const struct remote *remote, struct cop_error *err)
{
	struct pollfd fd = {.fd = remote->transport->cancel_fd, .events = POLLIN};

	if (fd.fd <= 0 || poll(&fd, 1, 0) <= 0)
		return 0;
	return err_set(err, -EINTR, "interrupted");
}

int remote_forget_index(struct remote *remote, struct cop_error *err)
{
	struct catalogue *catalogue = catalogue_new(err);

	if (!catalogue)
		return -ENOMEM;
	(void)catalogue_free(remote->catalogue);
	remote->catalogue = catalogue;
	return 0;
}

const char *remote_name(const struct remote *remote)
{
	return remote->name;
}

const char *remote_url(const struct remote *remote)
{
	return remote->transport->url;
}

bool remote_is_writable(const struct remote *remote)
{
	return remote->transport->is_writable;
}

void remote_set_tries(struct remote *remote, unsigned int n)
{
	remote->transport->n_tries = n;
}

void remote_totals(const struct remote *remote, struct remote_totals *ret)
{
	*ret = remote->totals;
	ret->n_requests = remote->transport->totals.n_requests;
	ret->n_sent = remote->transport->totals.n_sent;
	ret->n_received = remote->transport->totals.n_received;
}

struct remote *remote_free(struct remote *remote)
{
	if (!remote)
		return NULL;
	(void)transport_free(remote->transport);
	catalogue_free(remote->catalogue);
	json_decref(remote->config);
	closep(&remote->dir_fd);
	free(remote->name);
	free(remote);
	return NULL;
}

static const char *setting(const json_t *config, const char *key)
{
	return json_string_value(json_object_get(config, key));
}

/* Takes @config over. */
static int make(struct cop_store *store, const char *name, json_t *config,
		const struct remote_monitor *monitor, int cancel_fd,
		struct remote **ret_remote, struct cop_error *err)
{
	auto_ptr(remote) remote = calloc(1, sizeof(*remote));
	struct transport_options options = {
		.url = setting(config, "url"),
		.endpoint = setting(config, "endpoint"),
		.region = setting(config, "region"),
		.profile = setting(config, "profile"),
		.path_style = json_is_true(json_object_get(config, "path-style")),
		.pause_ms = (unsigned int)json_integer_value(
			json_object_get(config, "pause-ms")),
		.cancel_fd = cancel_fd,
	};
	int r;

	if (!remote) {
		json_decref(config);
		return err_oom(err);
	}
	remote->dir_fd = -EBADF;
	remote->store = store;
	remote->config = config;
	remote->has_conditions = json_is_true(json_object_get(config, "conditions"));
	if (monitor)
		remote->monitor = *monitor;
	remote->name = strdup(name);
	remote->catalogue = catalogue_new(err);
	if (!remote->name || !remote->catalogue)
		return err_oom(err);
	if (!options.url)
		return err_set(err, -EBADMSG, "remote '%s' has no URL", name);
	r = transport_open(&options, &remote->transport, err);
	if (r < 0)
		return err_prefix(err, r, "remote '%s'", name);
	remote->transport->bare_etags =
		json_is_true(json_object_get(config, "bare-etags"));
	*ret_remote = TAKE_PTR(remote);
	return 0;
}

static int read_settings(int dir_fd, const char *name, json_t **ret_config,
			 struct cop_error *err)
{
	auto_buf text = {};
	int r = fs_read_file(dir_fd, SETTINGS, SETTINGS_MAX, &text, err);

	if (r == 0)
		r = json_read(buf_text(&text), text.size, ret_config, err);
	return r < 0 ? err_prefix(err, r, "remote '%s'", name) : 0;
}

int remote_open(struct cop_store *store, const char *name,
		const struct remote_monitor *monitor, int cancel_fd,
		struct remote **ret_remote, struct cop_error *err)
{
	auto_close int dir_fd = state_open(store, name, err);
	json_t *config = NULL;
	int r;

	if (dir_fd < 0)
		return dir_fd;
	r = read_settings(dir_fd, name, &config, err);
	if (r == 0)
		r = make(store, name, config, monitor, cancel_fd, ret_remote, err);
	if (r == 0)
		(*ret_remote)->dir_fd = TAKE_FD(dir_fd);
	return r;
}

static int save_settings(const struct remote *remote, struct cop_error *err)
{
	auto_buf text = {};
	int r = json_write(remote->config, 2, &text, err);

	(void)buf_append_char(&text, '\n');
	if (r == 0 && text.failed)
		r = err_oom(err);
	if (r == 0)
		r = fs_replace_at(remote->dir_fd, SETTINGS, text.data, text.size, 0600,
				  err);
	return r < 0 ? err_prefix(err, r, "keep remote '%s'", remote->name) : 0;
}

static json_t *describe(const struct remote_config *config)
{
	return json_pack("{s:s, s:s*, s:s*, s:s*, s:b, s:i, s:s*, s:s*, s:b}", "url",
			 config->url, "endpoint", config->endpoint, "region",
			 config->region, "profile", config->profile, "path-style",
			 config->path_style, "pause-ms", (int)config->pause_ms,
			 "sign-key", config->sign_key, "builder", config->builder,
			 "require-signatures", config->require_signatures);
}

/* BUILDER.pem, wherever it lies, is the key of BUILDER. */
static int keep_key(int dir_fd, const char *path, struct cop_error *err)
{
	const char *slash = strrchr(path, '/'), *file = slash ? slash + 1 : path;
	size_t size = strlen(file);
	auto_free char *builder = NULL;
	auto_close int fd = -EBADF;
	auto_buf pem = {};
	int r = sign_check_key(path, false, err);

	if (r < 0)
		return r;
	builder = strndup(file, size > 4 ? size - 4 : 0);
	if (!builder)
		return err_oom(err);
	if (!text_ends_with(file, ".pem") || !remote_name_is_valid(builder))
		return err_set(err, -EINVAL,
			       "the file of a trusted key is named BUILDER.pem, '%s' is "
			       "not",
			       path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, "open key '%s'", path);
	r = fs_read_all(fd, SETTINGS_MAX, &pem, err);
	return r < 0 ? r : fs_write_new(dir_fd, file, pem.data, pem.size, 0600, err);
}

static int keep_keys(const struct remote *remote, const struct remote_config *config,
		     struct cop_error *err)
{
	auto_close int fd = -EBADF;
	int r = 0;

	if (!config->trusted || !*config->trusted)
		return 0;
	if (mkdirat(remote->dir_fd, "keyring", 0700) < 0)
		return err_errno(err, "make a keyring");
	fd = openat(remote->dir_fd, "keyring", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, "open the keyring");
	for (const char *const *path = config->trusted; *path && r == 0; path++)
		r = keep_key(fd, *path, err);
	return r;
}

static int check_config(const struct remote_config *config, struct cop_error *err)
{
	if (config->sign_key && !config->builder)
		return err_set(err, -EINVAL,
			       "a key to sign with needs the name of the builder, too");
	if (config->builder && !remote_name_is_valid(config->builder))
		return err_set(err, -EINVAL, "'%s' is no name for a builder",
			       config->builder);
	if (config->require_signatures && (!config->trusted || !*config->trusted))
		return err_set(err, -EINVAL,
			       "to require signatures, name the keys that are trusted");
	return config->sign_key ? sign_check_key(config->sign_key, true, err) : 0;
}

static int begin(struct remote *remote, struct remote_abilities *abilities,
		 struct cop_error *err)
{
	int r = config_check(remote, err);

	if (r == -ENOENT && remote->transport->is_writable)
		r = config_begin(remote, err);
	return r < 0 ? r : remote_probe(remote, abilities, err);
}

int remote_add(struct cop_store *store, const char *name,
	       const struct remote_config *config, const struct remote_monitor *monitor,
	       int cancel_fd, struct remote_abilities *ret_abilities,
	       struct cop_error *err)
{
	auto_ptr(remote) remote = NULL;
	char tmp[FS_TEMPORARY_NAME];
	auto_close int remotes_fd = -EBADF;
	json_t *json;
	int r = check_config(config, err);

	if (r == 0 && !remote_name_is_valid(name))
		r = state_open(store, name, err);
	if (r < 0)
		return r;
	json = describe(config);
	if (!json)
		return err_oom(err);
	r = make(store, name, json, monitor, cancel_fd, &remote, err);
	if (r < 0)
		return r;
	remotes_fd =
		fs_open_plain(store_fd(store), "remotes", O_RDONLY | O_DIRECTORY, 0, err);
	if (remotes_fd < 0)
		return remotes_fd;
	if (faccessat(remotes_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return err_set(err, -EEXIST,
			       "store '%s' has a remote '%s'; to change it, remove it "
			       "first: coppice remote rm %s",
			       cop_store_path(store), name, name);
	if (mkdirat(remotes_fd, fs_temporary_name(tmp), 0700) < 0)
		return err_errno(err, "make a directory for remote '%s'", name);
	remote->dir_fd = openat(remotes_fd, tmp, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = remote->dir_fd < 0 ? err_errno(err, "open '%s'", tmp) : 0;
	if (r == 0)
		r = keep_keys(remote, config, err);
	if (r == 0)
		r = begin(remote, ret_abilities, err);
	if (r == 0 && renameat(remotes_fd, tmp, remotes_fd, name) < 0)
		r = err_errno(err, "add remote '%s'", name);
	if (r == 0)
		return fs_sync_directory(remotes_fd, err);
	(void)fs_remove_all(remotes_fd, tmp, true, NULL);
	return err_prefix(err, r, "add remote '%s'", name);
}

int remote_remove(struct cop_store *store, const char *name, struct cop_error *err)
{
	char path[REQUEST_KEY_SIZE];
	int fd = state_open(store, name, err);

	if (fd < 0)
		return fd;
	(void)close(fd);
	(void)snprintf(path, sizeof(path), "remotes/%s", name);
	return fs_remove_all(store_fd(store), path, true, err);
}

int remote_list(struct cop_store *store,
		int (*visit)(void *data, const char *name, const json_t *config),
		void *data, struct cop_error *err)
{
	auto_close int fd =
		fs_open_plain(store_fd(store), "remotes", O_RDONLY | O_DIRECTORY, 0, err);
	char **names = NULL;
	size_t n = 0;
	int r;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	r = fs_list(fd, &names, &n, err);
	for (size_t i = 0; i < n && r == 0; i++) {
		auto_close int dir_fd = -EBADF;
		auto_json *config = NULL;

		if (*names[i] == '.')
			continue;
		dir_fd = state_open(store, names[i], err);
		r = dir_fd < 0 ? dir_fd : read_settings(dir_fd, names[i], &config, err);
		if (r == 0)
			r = visit(data, names[i], config);
	}
	fs_list_free(names);
	return r;
}

int remote_probe(struct remote *remote, struct remote_abilities *ret_abilities,
		 struct cop_error *err)
{
	int r = probe_run(remote, ret_abilities, err);

	if (r < 0)
		return err_prefix(err, r, "probe remote '%s'", remote->name);
	remote->has_conditions = ret_abilities->has_conditions;
	if (json_object_set_new(remote->config, "conditions",
				json_boolean(ret_abilities->has_conditions)) < 0 ||
	    json_object_set_new(remote->config, "bare-etags",
				json_boolean(remote->transport->bare_etags)) < 0)
		return err_oom(err);
	return save_settings(remote, err);
}

/* --- stage keys --- */

void remote_entry_done(struct remote_entry *entry)
{
	json_decref(entry->meta);
	entry->meta = NULL;
}

static int take_entry(struct remote *remote, const char *key, struct request *request,
		      struct remote_entry *ret_entry, struct cop_error *err)
{
	auto_entry entry = {.kind = "stage", .name = key};
	const json_t *meta;
	int r;

	if (request->result == -ENOENT)
		return 0;
	if (request->result < 0)
		return err_copy(err, &request->error);
	r = entry_parse(remote, &request->data, &entry, err);
	if (r == -EKEYREJECTED || r == -EBADMSG || r == -EPROTONOSUPPORT) {
		if (err)
			remote_note(remote, "%s", err->message);
		return 0;
	}
	if (r < 0)
		return r;
	meta = json_object_get(entry.json, "meta");
	ret_entry->digest = entry.object;
	ret_entry->meta = json_is_object(meta) ? json_deep_copy(meta) : json_object();
	return ret_entry->meta ? 1 : err_oom(err);
}

static int find_batch(struct remote *remote, const char *const *keys, size_t n,
		      size_t *ret_found, struct remote_entry *entry,
		      struct cop_error *err)
{
	struct request *requests = calloc(n, sizeof(*requests));
	int r, taken = 0;

	if (!requests)
		return err_oom(err);
	for (size_t i = 0; i < n; i++) {
		request_init(&requests[i], REQUEST_GET, "v1/k/%.2s/%s", keys[i], keys[i]);
		requests[i].limit = ENTRY_MAX;
	}
	r = transport_run(remote->transport, requests, n, err);
	for (size_t i = n; i > 0 && r == 0 && taken == 0; i--) {
		struct cop_error why = {};

		taken = take_entry(remote, keys[i - 1], &requests[i - 1], entry, &why);
		if (taken < 0)
			r = err_copy(err, &why);
		else if (taken > 0)
			*ret_found = i - 1;
	}
	for (size_t i = 0; i < n; i++)
		request_done(&requests[i]);
	free(requests);
	return r < 0 ? r : taken;
}

int remote_find_keys(struct remote *remote, const char *const *keys, size_t n,
		     size_t *ret_found, struct remote_entry *entry, struct cop_error *err)
{
	int r = config_check(remote, err);

	*entry = (struct remote_entry){};
	*ret_found = n;
	for (size_t end = n; end > 0 && r == 0;) {
		size_t size = end < KEYS_BATCH ? end : KEYS_BATCH, found = 0;

		end -= size;
		r = find_batch(remote, keys + end, size, &found, entry, err);
		if (r > 0)
			*ret_found = end + found;
	}
	return r < 0 ? err_prefix(err, r, "look into remote '%s'", remote->name) : 0;
}
