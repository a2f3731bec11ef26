/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What people set for a store (STORE/settings.json), and what was noted of its care.  Any
 * member that this version does not know is kept.
 */
#pragma once

#include <jansson.h>

#include "store/ref.h"

/* settings_read() - a JSON object, empty when nothing is set; a new reference */
int settings_read(struct cop_store *store, json_t **ret_settings, struct cop_error *err);

/* settings_change() - read, let @change edit, write durably; processes take turns.  Takes
 * the shared lock. */
int settings_change(struct cop_store *store,
		    int (*change)(void *data, json_t *settings, struct cop_error *err),
		    void *data, struct cop_error *err);

/* settings_max_size() - the cap of objects, files and sources in bytes; 0: none */
uint64_t settings_max_size(const json_t *settings);
int settings_set_max_size(struct cop_store *store, uint64_t n_bytes,
			  struct cop_error *err);

/* settings_view() - the kind of view that the store was made for; NULL: what works */
const char *settings_view(const json_t *settings);
/* settings_set_view() - @view: NULL forgets it.  view/view.h knows the kinds. */
int settings_set_view(struct cop_store *store, const char *view, struct cop_error *err);

/* settings_is_pinned() - no cap takes this ref */
bool settings_is_pinned(const json_t *settings, enum ref_class class, const char *name);
/* settings_pin() - Return: 1 when that was a change, else 0, or a negative errno */
int settings_pin(struct cop_store *store, enum ref_class class, const char *name,
		 bool pinned, struct cop_error *err);

/* store_note_write() - keep a JSON object as meta/@name.json; "time" is added.  Failures
 * do not matter: a full disk is no reason to stop caring.  Takes the shared lock. */
void store_note_write(struct cop_store *store, const char *name, json_t *note);
/* store_note_read() - a new reference; NULL: there is none */
json_t *store_note_read(struct cop_store *store, const char *name);
