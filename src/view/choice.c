/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The choice of a kind of view: found out once per store and process, said to whoever
 * asks, and never made in silence against what the user asked for.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "store/settings.h"
#include "store/store.h"
#include "view/overlay.h"
#include "json/json.h"

enum wish { WISH_NONE, WISH_OVERLAY, WISH_COPY };

/* What is known of the store at a path. */
struct choice {
	struct choice *next;
	char *path;
	const struct view_ops *ops; /* NULL: the wish cannot be granted */
	struct cop_error error;
	char text[COP_ERROR_MAX + 64];
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct choice *choices; /* until the end of the process */

struct wished {
	enum wish wish;
	const char *by; /* who wishes */
};

/* The environment is for this run, the setting for the store. */
static int read_wish(struct cop_store *store, struct wished *ret, struct cop_error *err)
{
	auto_json *settings = NULL;
	const char *text = getenv("COPPICE_VIEW");
	int r;

	*ret = (struct wished){.by = "COPPICE_VIEW"};
	if (!text || !*text) {
		r = settings_read(store, &settings, err);
		if (r < 0)
			return r;
		text = settings_view(settings);
		ret->by = "the store's setting 'view'";
	}
	if (!text)
		return 0;
	if (strcmp(text, "overlay") == 0)
		ret->wish = WISH_OVERLAY;
	else if (strcmp(text, "copy") == 0)
		ret->wish = WISH_COPY;
	else
		return err_set(err, -EINVAL, "%s is '%s': it must be 'overlay' or 'copy'",
			       ret->by, text);
	return 0;
}

static void choose_copy(struct choice *choice, const char *why)
{
	choice->ops = &view_copy_ops;
	(void)snprintf(choice->text, sizeof(choice->text), "copy (%s)", why);
}

static void choose_none(struct choice *choice)
{
	(void)snprintf(choice->text, sizeof(choice->text), "none (%s)",
		       choice->error.message);
}

static void choose(struct choice *choice, struct cop_store *store)
{
	struct wished wished;
	char why[96];
	int r = read_wish(store, &wished, &choice->error);

	if (r < 0) {
		choose_none(choice);
		return;
	}
	if (wished.wish == WISH_COPY) {
		(void)snprintf(why, sizeof(why), "%s asks for it", wished.by);
		choose_copy(choice, why);
		return;
	}
	if (!overlay_is_known(store)) {
		r = overlay_probe(store, &choice->error);
		if (r == 0)
			overlay_remember(store);
	}
	if (r == 0) {
		choice->ops = &view_overlay_ops;
		(void)snprintf(
			choice->text, sizeof(choice->text),
			"overlay (a view costs nothing, a commit what was changed)");
		return;
	}
	if (wished.wish == WISH_NONE) {
		choose_copy(choice, choice->error.message);
		return;
	}
	(void)err_prefix(&choice->error, r, "%s asks for overlay views", wished.by);
	choose_none(choice);
}

/* NULL: out of memory */
static struct choice *get_choice(struct cop_store *store)
{
	const char *path = cop_store_path(store);
	struct choice *choice = choices;

	while (choice && strcmp(choice->path, path) != 0)
		choice = choice->next;
	if (choice)
		return choice;
	choice = calloc(1, sizeof(*choice));
	if (choice)
		choice->path = strdup(path);
	if (!choice || !choice->path) {
		free(choice);
		return NULL;
	}
	choose(choice, store);
	choice->next = choices;
	choices = choice;
	return choice;
}

int view_set_default(struct cop_store *store, const char *kind, struct cop_error *err)
{
	int r;

	if (strcmp(kind, "auto") == 0)
		return settings_set_view(store, NULL, err);
	if (strcmp(kind, "overlay") != 0 && strcmp(kind, "copy") != 0)
		return err_set(
			err, -EINVAL,
			"there is no kind of view '%s': it is 'overlay', 'copy' or "
			"'auto'",
			kind);
	if (strcmp(kind, "overlay") == 0) {
		r = overlay_probe(store, err);
		if (r < 0)
			return err_prefix(err, r, "use overlay views in store '%s'",
					  cop_store_path(store));
	}
	return settings_set_view(store, kind, err);
}

int view_choose(struct cop_store *store, const struct view_ops **ret_ops,
		struct cop_error *err)
{
	const struct choice *choice;

	(void)pthread_mutex_lock(&mutex);
	choice = get_choice(store);
	(void)pthread_mutex_unlock(&mutex);
	if (!choice)
		return err_oom(err);
	if (!choice->ops)
		return err_copy(err, &choice->error);
	*ret_ops = choice->ops;
	return 0;
}

const char *view_describe(struct cop_store *store)
{
	const struct choice *choice;

	(void)pthread_mutex_lock(&mutex);
	choice = get_choice(store);
	(void)pthread_mutex_unlock(&mutex);
	return choice ? choice->text : "none (out of memory)";
}
