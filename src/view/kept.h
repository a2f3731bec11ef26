/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Views that somebody mounts at a place of his own and that live until he ends them, over
 * the end of the process and over a restart of the machine: views/ID in the store.  They
 * need overlay views.  What is written to one is the user's: it is never swept, and its
 * base is never collected.
 *
 * A view has an id of 16 hexadecimal digits.  Not for use from several threads at once.
 */
#pragma once

#include <coppice/progress.h>
#include <coppice/store.h>

struct kept_view {
	const char *id;
	const char *target; /* absolute: where it was mounted last */
	struct cop_digest base;
	bool writable;
	bool mounted; /* as far as can be seen from our mount namespace */
};

/* kept_list() - all of them, by id; a negative return of @visit ends the list and is
 * returned */
int kept_list(struct cop_store *store,
	      int (*visit)(void *data, const struct kept_view *view), void *data,
	      struct cop_error *err);

/*
 * kept_mount() - mount @tree (a name, id or digest) at the directory @target
 * @ret_id: of the new view; freed by the caller
 *
 * Return: 0; -ENOENT; -EOPNOTSUPP: no overlay views here, and why; another negative
 * errno.
 */
int kept_mount(struct cop_store *store, const char *tree, const char *target,
	       bool writable, char **ret_id, struct cop_error *err);

/* kept_remount() - after a restart; @target NULL: where it was.  -EBUSY: it is mounted.
 */
int kept_remount(struct cop_store *store, const char *id, const char *target,
		 struct cop_error *err);

/* kept_find() - the id of the view that is, or was before a restart, mounted at @target;
 * freed by the caller.  -ENOENT. */
int kept_find(struct cop_store *store, const char *target, char **ret_id,
	      struct cop_error *err);

/*
 * struct kept_end - how a view ends
 * @commit:  the name to commit it as; NULL: it must be unchanged
 * @discard: drop the changes
 */
struct kept_end {
	const char *commit;
	bool discard;
	const struct cop_progress *progress;
};

/*
 * kept_umount() - unmount and end a view
 * @ret_digest: what was committed, else the base
 *
 * Return: 0; -EBUSY: somebody uses it, or it has changes and the options do not say what
 * to do with them; then it stays mounted and as it was.
 */
int kept_umount(struct cop_store *store, const char *id, const struct kept_end *options,
		struct cop_digest *ret_digest, struct cop_error *err);
