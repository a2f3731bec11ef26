/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The choice of a kind of view: found out once per store and process, said to whoever
 * asks, and never made in silence against what the user asked for.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "store/store.h"
#include "view/overlay.h"

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

static int read_wish(enum wish *ret_wish, struct cop_error *err)
{
	const char *text = getenv("COPPICE_VIEW");

	if (!text || !*text)
		*ret_wish = WISH_NONE;
	else if (strcmp(text, "overlay") == 0)
		*ret_wish = WISH_OVERLAY;
	else if (strcmp(text, "copy") == 0)
		*ret_wish = WISH_COPY;
	else
		return err_set(err, -EINVAL,
			       "COPPICE_VIEW is '%s': it must be 'overlay' or 'copy'",
			       text);
	return 0;
}

static void choose_copy(struct choice *choice, const char *why)
{
	choice->ops = &view_copy_ops;
	(void)snprintf(choice->text, sizeof(choice->text), "copy (%s)", why);
}

static void choose(struct choice *choice, struct cop_store *store)
{
	enum wish wish = WISH_NONE;
	int r = read_wish(&wish, &choice->error);

	if (r < 0) {
		(void)snprintf(choice->text, sizeof(choice->text), "none (%s)",
			       choice->error.message);
		return;
	}
	if (wish == WISH_COPY) {
		choose_copy(choice, "COPPICE_VIEW asks for it");
		return;
	}
	r = overlay_probe(store, &choice->error);
	if (r == 0) {
		choice->ops = &view_overlay_ops;
		(void)snprintf(
			choice->text, sizeof(choice->text),
			"overlay (a view costs nothing, a commit what was changed)");
		return;
	}
	if (wish == WISH_NONE) {
		choose_copy(choice, choice->error.message);
		return;
	}
	(void)err_prefix(&choice->error, r, "COPPICE_VIEW asks for overlay views");
	(void)snprintf(choice->text, sizeof(choice->text), "none (%s)",
		       choice->error.message);
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
