/* SPDX-License-Identifier: Apache-2.0 */
#include "modules/stages/owner.h"

#include "modkit/users.h"
#include "json/json.h"

/* One of the two; @ret_name stays NULL where it is a number. */
static int read_one(struct kit *kit, const json_t *json, const char *where,
		    const char *number_key, const char *name_key, int64_t *ret_number,
		    const char **ret_name)
{
	int r = json_optional_integer(json, number_key, where, ret_number, kit->err);

	if (r == 0)
		r = json_optional_string(json, name_key, where, ret_name, kit->err);
	if (r < 0)
		return r;
	if (*ret_name && json_object_get(json, number_key))
		return err_set(kit->err, -EINVAL, "'%s' has both %s and %s", where,
			       number_key, name_key);
	/* The last number is the kernel's word for "leave as it is". */
	if (*ret_number < 0 || *ret_number >= UINT32_MAX)
		return err_set(kit->err, -EINVAL, "%s %lld of '%s' is out of range",
			       number_key, (long long)*ret_number, where);
	return 0;
}

int owner_read(struct kit *kit, const json_t *json, const char *where,
	       struct owner *ret_owner)
{
	const char *user = NULL, *group = NULL;
	struct owner owner = {};
	int64_t uid = 0, gid = 0;
	gid_t main_group = 0;
	int r = read_one(kit, json, where, "uid", "user", &uid, &user);

	if (r == 0)
		r = read_one(kit, json, where, "gid", "group", &gid, &group);
	if (r < 0)
		return r;
	owner = (struct owner){(uid_t)uid, (gid_t)gid};
	if (user)
		r = users_find(kit->tree_fd, user, &owner.uid, &main_group, kit->err);
	if (r == 0 && group)
		r = users_find_group(kit->tree_fd, group, &owner.gid, kit->err);
	if (r < 0)
		return err_prefix(kit->err, r, "'%s'", where);
	*ret_owner = owner;
	return 0;
}
