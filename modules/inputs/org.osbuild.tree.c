/* SPDX-License-Identifier: Apache-2.0 */
/* The tree of another pipeline, read-only. */
#include <string.h>

#include "modules/inputs/inputs.h"
#include "modules/inputs/tree-store.h"
#include "json/json.h"

int input_tree(struct service_call *call, const char *method, json_t *arguments,
	       json_t **ret_reply, struct cop_error *err)
{
	auto_close int store = -EBADF;
	const char *target, *id;
	json_t *refs;
	int r;

	(void)call;
	if (strcmp(method, "map") != 0)
		return err_set(err, -EOPNOTSUPP, "there is no method '%.40s'", method);
	r = json_get_string(arguments, "target", "arguments", &target, err);
	if (r == 0)
		r = json_get_object(arguments, "refs", "arguments", &refs, err);
	if (r != 0)
		return r;
	if (json_object_size(refs) != 1)
		return err_set(err, -EINVAL, "a tree has one reference, not %zu",
			       json_object_size(refs));
	id = json_object_iter_key(json_object_iter(refs));
	/* A pipeline without stages has no id: its tree is empty, as is the target. */
	if (strcmp(id, "null") != 0) {
		store = store_connect(arguments, err);
		if (store < 0)
			return store;
		r = store_read_tree_at(store, id, target, "/", err);
		if (r == 0)
			return err_set(err, -ENOENT, "there is no tree '%s'", id);
		if (r < 0)
			return r;
	}
	*ret_reply = json_pack("{s:s}", "path", target);
	return *ret_reply ? 0 : err_oom(err);
}
