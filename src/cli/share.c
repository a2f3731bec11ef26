/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/share.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/work.h"
#include "remote/remote.h"
#include "json/json.h"

/* A build does not wait long for a cache. */
#define TRIES 3

struct sent_item {
	char *id, *key;
	json_t *meta;
};

struct share {
	struct cop_store *store;
	const char *name;
	const struct engine_monitor *monitor;
	struct remote *remote; /* of the thread that builds */
	struct remote *sender; /* of the thread that sends */
	struct work *work;
	bool is_away; /* and that was said */
	size_t n_added;
	_Atomic size_t n_sent;
	_Atomic bool failed;
	pthread_mutex_t mutex;	  /* guards the texts below */
	struct cop_error failure; /* of the thread that sends */
	struct buf notes;
};

static void printf_like(2, 3) say(const struct share *share, const char *format, ...)
{
	const struct engine_monitor *monitor = share->monitor;
	char line[COP_ERROR_MAX + 64];
	va_list ap;

	if (!monitor->note)
		return;
	va_start(ap, format);
	(void)vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	monitor->note(monitor->data, line);
}

static void note_at_once(void *data, const char *line)
{
	say(data, "%s", line);
}

/* From the thread that sends: told later, by the other. */
static void note_later(void *data, const char *line)
{
	struct share *share = data;

	(void)pthread_mutex_lock(&share->mutex);
	(void)buf_printf(&share->notes, "%s\n", line);
	(void)pthread_mutex_unlock(&share->mutex);
}

static void give_up(struct share *share, const char *why)
{
	if (!share->is_away)
		say(share, "%s; going on without remote '%s'", why, share->name);
	share->is_away = true;
}

static void item_free(void *data, void *argument)
{
	struct sent_item *item = argument;

	(void)data;
	free(item->id);
	free(item->key);
	json_decref(item->meta);
	free(item);
}

static int send_item(void *data, void *argument, struct cop_error *err)
{
	struct share *share = data;
	struct sent_item *item = argument;
	struct push_item pushed = {
		.id = item->id, .key = item->key, .stage = item->id, .meta = item->meta};
	struct cop_error failure = {};

	(void)err;
	if (!share->failed && remote_push(share->sender, &pushed, 1, &failure) < 0) {
		(void)pthread_mutex_lock(&share->mutex);
		share->failure = failure;
		(void)pthread_mutex_unlock(&share->mutex);
		share->failed = true;
	} else if (!share->failed) {
		share->n_sent++;
	}
	item_free(NULL, item);
	return 0;
}

/* A remote that is known but cannot be opened (no credentials) is away. */
static int open_remotes(struct share *share, int cancel_fd, struct cop_error *err)
{
	const struct remote_monitor monitor = {.note = note_at_once,
					       .data = share,
					       .progress = share->monitor->progress};
	const struct remote_monitor quiet = {.note = note_later, .data = share};
	struct cop_error why = {};
	int r = remote_open(share->store, share->name, &monitor, cancel_fd,
			    &share->remote, &why);

	if (r == 0 && remote_is_writable(share->remote))
		r = remote_open(share->store, share->name, &quiet, cancel_fd,
				&share->sender, &why);
	if (r == -ENOENT || r == -EINVAL || r == -ENOMEM)
		return err_copy(err, &why);
	if (r < 0)
		give_up(share, why.message);
	if (share->remote)
		remote_set_tries(share->remote, TRIES);
	return 0;
}

struct share *share_free(struct share *share)
{
	if (!share)
		return NULL;
	share->failed = true;
	work_free(share->work);
	remote_free(share->remote);
	remote_free(share->sender);
	buf_done(&share->notes);
	(void)pthread_mutex_destroy(&share->mutex);
	free(share);
	return NULL;
}

/* What is kept here with a checkpoint that came from elsewhere: its log did not come. */
static json_t *meta_of(const struct share *share, const struct remote_entry *entry,
		       const char *key)
{
	json_t *meta = json_deep_copy(entry->meta);

	if (!meta || json_object_set_new(meta, "key", json_string(key)) < 0 ||
	    json_object_set_new(meta, "log", json_false()) < 0 ||
	    json_object_set_new(meta, "remote", json_string(share->name)) < 0) {
		json_decref(meta);
		return NULL;
	}
	return meta;
}

static int bring(struct share *share, const char *id, const char *key,
		 const struct remote_entry *entry, struct cop_error *err)
{
	char hex[COP_DIGEST_HEX + 1];
	struct cop_digest digest;
	auto_json *meta = meta_of(share, entry, key);

	if (!meta)
		return err_oom(err);
	return remote_pull(share->remote, cop_digest_to_hex(&entry->digest, hex),
			   REF_STAGE, id, meta, &digest, err);
}

static int fetch(void *data, const char *const *ids, const char *const *keys, size_t n,
		 struct cop_error *err)
{
	struct share *share = data;
	struct remote_entry entry = {};
	struct cop_error why = {};
	size_t found = n;
	int r;

	if (share->is_away || n == 0)
		return 0;
	r = remote_find_keys(share->remote, keys, n, &found, &entry, &why);
	if (r == 0 && found < n)
		r = bring(share, ids[found], keys[found], &entry, &why);
	remote_entry_done(&entry);
	if (r == -EINTR || r == -ENOMEM)
		return err_copy(err, &why);
	/* One that is damaged or gone says nothing of the others. */
	if (r == -EBADMSG || r == -ENOENT)
		say(share, "%s; the stage is run instead", why.message);
	else if (r < 0)
		give_up(share, why.message);
	return r == 0 && found < n;
}

static void send_later(void *data, const char *id, const char *key, const json_t *meta)
{
	struct share *share = data;
	struct sent_item *item;

	if (!share->sender || share->is_away)
		return;
	item = calloc(1, sizeof(*item));
	if (!item)
		return;
	item->id = strdup(id);
	item->key = strdup(key);
	item->meta = json_deep_copy(meta);
	if (!item->id || !item->key || !item->meta) {
		item_free(NULL, item);
		return;
	}
	share->n_added++;
	(void)work_add(share->work, item);
	work_wake(share->work);
}

static void tell_notes(struct share *share)
{
	char *save = NULL;

	if (share->notes.size == 0)
		return;
	for (char *line = strtok_r(share->notes.data, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save))
		say(share, "%s", line);
	buf_truncate(&share->notes, 0);
}

static void finish(void *data)
{
	struct share *share = data;

	if (!share->work)
		return;
	if (share->n_sent < share->n_added && !share->failed)
		say(share, "sending what is left to remote '%s'", share->name);
	(void)work_finish(share->work, NULL);
	tell_notes(share);
	if (share->failed)
		give_up(share, share->failure.message);
	else if (share->n_added > 0)
		say(share, "sent %zu checkpoints to remote '%s'", share->n_added,
		    share->name);
}

int share_new(struct cop_store *store, const char *remote,
	      const struct engine_monitor *monitor, int cancel_fd,
	      struct share **ret_share, struct engine_share *ret_ops,
	      struct cop_error *err)
{
	static const struct work_ops ops = {.run = send_item, .drop = item_free};
	auto_ptr(share) share = calloc(1, sizeof(*share));
	int r;

	if (!share)
		return err_oom(err);
	share->store = store;
	share->name = remote;
	share->monitor = monitor;
	(void)pthread_mutex_init(&share->mutex, NULL);
	r = open_remotes(share, cancel_fd, err);
	if (r == 0 && share->sender)
		r = work_new(&ops, share, 1, &share->work, err);
	if (r < 0)
		return r;
	*ret_ops = (struct engine_share){
		.data = share, .fetch = fetch, .send = send_later, .finish = finish};
	*ret_share = TAKE_PTR(share);
	return 0;
}
