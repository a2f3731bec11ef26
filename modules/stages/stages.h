/* SPDX-License-Identifier: Apache-2.0 */
/* The stages of the static program; each is described in its NAME.meta.json and returns
 * as struct kit_module.run does. */
#pragma once

#include "modkit/kit.h"

int stage_apt_sources(struct kit *kit);
int stage_copy(struct kit *kit);
int stage_deb_configure(struct kit *kit);
int stage_deb_unpack(struct kit *kit);
int stage_error(struct kit *kit);
int stage_files(struct kit *kit);
int stage_hostname(struct kit *kit);
int stage_hosts(struct kit *kit);
int stage_mkdir(struct kit *kit);
int stage_noop(struct kit *kit);
int stage_run(struct kit *kit);
int stage_tar(struct kit *kit);
