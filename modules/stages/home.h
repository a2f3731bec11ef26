/* SPDX-License-Identifier: Apache-2.0 */
/* Home directories of users. */
#pragma once

#include "modules/stages/accounts.h"

/* home_make() - from the tree's skeleton, all of it @uid's; one that exists is left alone
 */
int home_make(struct kit *kit, struct accounts *accounts, const char *home, uid_t uid,
	      gid_t gid);

/* home_add_keys() - append to .ssh/authorized_keys each of @keys (an array or NULL), then
 * @key (or NULL) */
int home_add_keys(struct kit *kit, const char *home, const json_t *keys, const char *key,
		  uid_t uid, gid_t gid);
