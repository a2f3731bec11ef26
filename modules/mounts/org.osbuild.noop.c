/* SPDX-License-Identifier: Apache-2.0 */
/* Mounts nothing: a directory where a mount would be. */
#include <string.h>

#include "modules/mounts/mounts.h"
#include "json/json.h"

int mount_noop(struct service_call *call, const char *method, json_t *arguments,
	       json_t **ret_reply, struct cop_error *err)
{
	auto_close int root_fd = -EBADF, place = -EBADF;
	const char *root, *target;

	(void)call;
	if (strcmp(method, "mount") != 0)
		return err_set(err, -EOPNOTSUPP, "there is no method '%.40s'", method);
	root_fd = mount_target(arguments, &root, &target, err);
	if (root_fd < 0)
		return root_fd;
	place = mount_make_place(root_fd, target, err);
	if (place < 0)
		return place;
	*ret_reply = json_pack("s++", root, "/", target + strspn(target, "/"));
	return *ret_reply ? 0 : err_oom(err);
}
