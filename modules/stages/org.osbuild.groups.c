/* SPDX-License-Identifier: Apache-2.0 */
/* New groups, as groupadd makes them. */
#include "modkit/options.h"
#include "modules/stages/accounts.h"
#include "modules/stages/stages.h"

static int add_group(struct kit *kit, struct accounts *accounts, const char *name,
		     const json_t *json, bool force)
{
	int64_t number = 0;
	const struct option options[] = {OPTION_INTEGER("gid", number)};
	uint64_t gid;
	int r = options_read(json, name, options, ARRAY_SIZE(options), kit->err);

	if (r == 0)
		r = accounts_check_name(name, "group", kit->err);
	if (r < 0)
		return r;
	if (accounts_find(accounts, ACCOUNT_GROUP, name) != ACCOUNT_NONE)
		return force ? 0
			     : err_set(kit->err, -EEXIST,
				       "group '%s' exists already ('force' lets it be)",
				       name);
	if (number < 0 || number > ACCOUNT_ID_MAX)
		return err_set(kit->err, -EINVAL, "group '%s': %lld is not a gid", name,
			       (long long)number);
	gid = (uint64_t)number;
	if (gid > 0 && accounts_find_id(accounts, ACCOUNT_GROUP, gid) != ACCOUNT_NONE) {
		if (!force)
			return err_set(kit->err, -EEXIST,
				       "group '%s': the gid %llu is taken", name,
				       (unsigned long long)gid);
		gid = 0;
	}
	if (gid == 0)
		r = accounts_next_id(accounts, ACCOUNT_GROUP, &gid);
	return r == 0 ? accounts_add_group(accounts, name, gid, "x") : r;
}

int stage_groups(struct kit *kit)
{
	json_t *groups = NULL, *group;
	bool force = false;
	const struct option options[] = {NEEDED_OBJECT("groups", groups),
					 OPTION_FLAG("force", force)};
	auto_ptr(accounts) accounts = NULL;
	const char *name;
	int r = options_only(kit->options, "options", options, ARRAY_SIZE(options),
			     kit->err);

	if (r == 0)
		r = accounts_open(kit, &accounts);
	if (r == 0 && !accounts_has(accounts, ACCOUNT_GROUP))
		r = err_set(kit->err, -ENOENT, "the tree has no etc/group");
	if (r < 0)
		return r;
	json_object_foreach (groups, name, group) {
		r = add_group(kit, accounts, name, group, force);
		if (r < 0)
			return r;
	}
	return accounts_save(accounts);
}
