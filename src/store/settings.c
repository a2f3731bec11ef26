/* SPDX-License-Identifier: Apache-2.0 */
#include "store/settings.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/mutant.h"
#include "store/private.h"
#include "json/json.h"

#define SETTINGS     "settings.json"
#define SETTINGS_MAX (16 * MIB)

int settings_read(struct cop_store *store, json_t **ret_settings, struct cop_error *err)
{
	auto_json *settings = NULL;
	auto_buf text = {};
	int r = fs_read_file(store->fd, SETTINGS, SETTINGS_MAX, &text, err);

	if (r == -ENOENT) {
		*ret_settings = json_object();
		return *ret_settings ? 0 : err_oom(err);
	}
	if (r == 0)
		r = json_read(buf_text(&text), text.size, &settings, err);
	if (r == 0 && !json_is_object(settings))
		r = err_set(err, -EBADMSG, "it is not a JSON object");
	if (r < 0)
		return err_prefix(err, r, "read '" SETTINGS "' of store '%s'",
				  store->path);
	*ret_settings = TAKE_PTR(settings);
	return 0;
}

static int write_settings(struct cop_store *store, const json_t *settings,
			  struct cop_error *err)
{
	char random[FS_TEMPORARY_NAME], tmp[STORE_PATH_SIZE];
	auto_buf text = {};
	int r = json_write(settings, 2, &text, err);

	if (r == 0 && buf_append_char(&text, '\n') < 0)
		r = err_oom(err);
	if (r < 0)
		return r;
	/* In meta/, where a sweep finds what a kill leaves. */
	(void)snprintf(tmp, sizeof(tmp), "meta/%s", fs_temporary_name(random));
	r = fs_write_new(store->fd, tmp, text.data, text.size, 0600, err);
	if (r < 0)
		return r;
	r = mutant("settings-barrier") ? 0 : fs_sync_filesystem(store->fd, err);
	if (r == 0 && renameat(store->fd, tmp, store->fd, SETTINGS) < 0)
		r = err_errno(err, "rename '%s'", tmp);
	if (r < 0)
		(void)unlinkat(store->fd, tmp, 0);
	return r < 0 || mutant("settings-sync") ? r : fs_sync_directory(store->fd, err);
}

int settings_change(struct cop_store *store,
		    int (*change)(void *data, json_t *settings, struct cop_error *err),
		    void *data, struct cop_error *err)
{
	auto_json *settings = NULL;
	auto_lock *lock = NULL;
	int r = store_check_writable(store, err);

	if (r == 0)
		r = store_lock_take(store, STORE_LOCK_SHARED, &lock, err);
	if (r == 0)
		r = lock_refs(lock, err);
	if (r == 0)
		r = settings_read(store, &settings, err);
	if (r == 0)
		r = change(data, settings, err);
	if (r < 0)
		return r;
	r = write_settings(store, settings, err);
	return r < 0 ? err_prefix(err, r, "write '" SETTINGS "' of store '%s'",
				  store->path)
		     : 0;
}

uint64_t settings_max_size(const json_t *settings)
{
	json_int_t value = json_integer_value(json_object_get(settings, "max-size"));

	return value > 0 ? (uint64_t)value : 0;
}

static int change_max_size(void *data, json_t *settings, struct cop_error *err)
{
	uint64_t n_bytes = *(const uint64_t *)data;

	if (n_bytes == 0)
		(void)json_object_del(settings, "max-size");
	else if (json_object_set_new(settings, "max-size",
				     json_integer((json_int_t)n_bytes)) < 0)
		return err_oom(err);
	return 0;
}

int settings_set_max_size(struct cop_store *store, uint64_t n_bytes,
			  struct cop_error *err)
{
	return settings_change(store, change_max_size, &n_bytes, err);
}

const char *settings_view(const json_t *settings)
{
	return json_string_value(json_object_get(settings, "view"));
}

static int change_view(void *data, json_t *settings, struct cop_error *err)
{
	const char *view = data;

	if (!view)
		(void)json_object_del(settings, "view");
	else if (json_object_set_new(settings, "view", json_string(view)) < 0)
		return err_oom(err);
	return 0;
}

int settings_set_view(struct cop_store *store, const char *view, struct cop_error *err)
{
	return settings_change(store, change_view, (void *)view, err);
}

/* As people say it: NAME, stage/ID, failed/ID. */
struct pin {
	char text[REF_PATH_SIZE];
	bool pinned;
	bool changed;
};

static void pin_text(enum ref_class class, const char *name, char text[REF_PATH_SIZE])
{
	(void)snprintf(text, REF_PATH_SIZE, "%s%s%s",
		       class == REF_NAME ? "" : ref_class_name(class),
		       class == REF_NAME ? "" : "/", name);
}

static bool find_pin(const json_t *pins, const char *text, size_t *ret_index)
{
	json_t *value;
	size_t i;

	json_array_foreach ((json_t *)pins, i, value) {
		const char *pin = json_string_value(value);

		if (pin && strcmp(pin, text) == 0) {
			*ret_index = i;
			return true;
		}
	}
	return false;
}

bool settings_is_pinned(const json_t *settings, enum ref_class class, const char *name)
{
	char text[REF_PATH_SIZE];
	size_t i;

	pin_text(class, name, text);
	return find_pin(json_object_get(settings, "pins"), text, &i);
}

static int change_pin(void *data, json_t *settings, struct cop_error *err)
{
	json_t *pins = json_object_get(settings, "pins");
	struct pin *pin = data;
	size_t i = 0;
	bool found;

	if (!json_is_array(pins)) {
		pins = json_array();
		if (json_object_set_new(settings, "pins", pins) < 0)
			return err_oom(err);
	}
	found = find_pin(pins, pin->text, &i);
	pin->changed = found != pin->pinned;
	if (found && !pin->pinned)
		(void)json_array_remove(pins, i);
	else if (!found && pin->pinned &&
		 json_array_append_new(pins, json_string(pin->text)) < 0)
		return err_oom(err);
	return 0;
}

int settings_pin(struct cop_store *store, enum ref_class class, const char *name,
		 bool pinned, struct cop_error *err)
{
	struct pin pin = {.pinned = pinned};
	int r;

	pin_text(class, name, pin.text);
	r = settings_change(store, change_pin, &pin, err);
	return r < 0 ? r : pin.changed;
}

void store_note_write(struct cop_store *store, const char *name, json_t *note)
{
	auto_close int fd =
		fs_open_plain(store->fd, "meta", O_RDONLY | O_DIRECTORY, 0, NULL);
	char file[STORE_PATH_SIZE];
	auto_lock *lock = NULL;
	auto_buf text = {};

	/* The lock keeps a sweep away from our temporary file. */
	if (fd < 0 || json_object_set_new(note, "time", json_integer(time(NULL))) < 0 ||
	    json_write(note, 2, &text, NULL) < 0 || buf_append_char(&text, '\n') < 0 ||
	    store_lock_take(store, STORE_LOCK_SHARED, &lock, NULL) < 0)
		return;
	(void)snprintf(file, sizeof(file), "%s.json", name);
	(void)fs_replace_at(fd, file, text.data, text.size, 0600, NULL);
}

json_t *store_note_read(struct cop_store *store, const char *name)
{
	char path[STORE_PATH_SIZE];
	json_t *note = NULL;
	auto_buf text = {};

	(void)snprintf(path, sizeof(path), "meta/%s.json", name);
	if (fs_read_file(store->fd, path, MIB, &text, NULL) < 0 ||
	    json_read(buf_text(&text), text.size, &note, NULL) < 0)
		return NULL;
	return note;
}
