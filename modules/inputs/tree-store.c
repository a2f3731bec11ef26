/* SPDX-License-Identifier: Apache-2.0 */
#include "modules/inputs/tree-store.h"

#include <string.h>

#include "json/comm.h"
#include "json/json.h"

int store_connect(const json_t *arguments, struct cop_error *err)
{
	const char *path;
	json_t *api;
	int r = json_get_object(arguments, "api", "arguments", &api, err);

	if (r == 0)
		r = json_get_string(api, "store", "api", &path, err);
	return r < 0 ? r : comm_connect(path, err);
}

static int ask(int store_fd, json_t *request, json_t **ret_reply, struct cop_error *err)
{
	auto_json *owned = request, *reply = NULL;
	const char *error;
	int r;

	if (!owned)
		return err_oom(err);
	r = comm_send(store_fd, owned, NULL, 0, err);
	if (r == 0)
		r = comm_receive(store_fd, &reply, NULL, err);
	if (r == 0)
		return err_set(err, -EPIPE, "the engine's store is gone");
	if (r < 0)
		return r;
	error = json_string_value(json_object_get(reply, "error"));
	if (error)
		return err_set(err, -EREMOTEIO, "%s", error);
	*ret_reply = TAKE_PTR(reply);
	return 0;
}

int store_read_tree_at(int store_fd, const char *id, const char *target,
		       const char *subtree, struct cop_error *err)
{
	auto_json *reply = NULL;
	int r = ask(store_fd,
		    json_pack("{s:s, s:s, s:s, s:s}", "method", "read-tree-at",
			      "object-id", id, "target", target, "subtree", subtree),
		    &reply, err);

	if (r < 0)
		return err_prefix(err, r, "read tree '%s'", id);
	return json_is_text(json_object_get(reply, "path"));
}

int store_source(int store_fd, const char *kind, char **ret_path, struct cop_error *err)
{
	auto_json *reply = NULL;
	const char *path;
	int r = ask(store_fd, json_pack("{s:s, s:s}", "method", "source", "name", kind),
		    &reply, err);

	if (r == 0)
		r = json_get_string(reply, "path", "reply", &path, err);
	if (r != 0)
		return err_prefix(err, r, "look up source '%s'", kind);
	*ret_path = strdup(path);
	return *ret_path ? 0 : err_oom(err);
}
