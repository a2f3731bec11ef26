/* SPDX-License-Identifier: Apache-2.0 */
/* The mount modules of the host program; each is as struct service_module says. */
#pragma once

#include "modkit/service.h"

/* org.osbuild.ext4, xfs, btrfs and fat */
int mount_filesystem(struct service_call *call, const char *method, json_t *arguments,
		     json_t **ret_reply, struct cop_error *err);
int mount_bind_directory(struct service_call *call, const char *method, json_t *arguments,
			 json_t **ret_reply, struct cop_error *err);
int mount_noop(struct service_call *call, const char *method, json_t *arguments,
	       json_t **ret_reply, struct cop_error *err);

/* mount_target() - an O_PATH fd of the directory below which mounts are made, and the
 * paths of that and of the mount, borrowed; or a negative errno */
int mount_target(const json_t *arguments, const char **ret_root, const char **ret_target,
		 struct cop_error *err);

/* mount_make_place() - the directory @target below @root_fd, resolved inside whatever is
 * mounted there, made where it is missing.  Return: an O_PATH fd, or a negative errno. */
int mount_make_place(int root_fd, const char *target, struct cop_error *err);

/* mount_keep() - attach @mount to @place and keep it for mount_undo(); takes @mount */
int mount_keep(struct service_call *call, int mount, int place, struct cop_error *err);

/* mount_undo() - the stop() of all of them: unmount what was kept and everything
 * below it; an error when that is still in use */
int mount_undo(struct service_call *call, struct cop_error *err);
