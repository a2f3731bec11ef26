/* SPDX-License-Identifier: Apache-2.0 */
#include "modules/stages/renumber.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/map.h"
#include "base/text.h"
#include "modules/stages/walk.h"
#include "modules/stages/xattr.h"

#define CAPABILITY "security.capability"
#define ACL_PREFIX "system.posix_acl_"

/* An ACL in an attribute: four bytes of version, then entries, all little-endian. */
#define ACL_HEAD  4
#define ACL_ENTRY 8
#define ACL_ID	  4 /* in an entry */
#define ACL_USER  0x02
#define ACL_GROUP 0x08

struct inode {
	dev_t dev;
	ino_t ino;
};

struct walk {
	const struct renumber *map;
	struct arena *arena;
	struct map *seen; /* those with several names */
};

/* An inode's attributes while it is changed. */
struct owned {
	const struct renumber *map;
	int fd;
	struct buf capability;
};

static uint32_t lookup(const uint32_t *numbers, uint32_t old)
{
	return old < RENUMBER_END && numbers[old] ? numbers[old] : old;
}

static int keep_capability(void *data, const char *name, const void *value, size_t size,
			   struct cop_error *err)
{
	struct owned *owned = data;

	if (strcmp(name, CAPABILITY) != 0)
		return 0;
	return buf_append(&owned->capability, value, size) < 0 ? err_oom(err) : 0;
}

/* The kernel takes set-id bits and capabilities away with the owner. */
static int change_owner(struct owned *owned, int parent_fd, const char *name,
			const struct stat *st, uid_t uid, gid_t gid,
			struct cop_error *err)
{
	int r = S_ISREG(st->st_mode) ? xattr_each(owned->fd, keep_capability, owned, err)
				     : 0;

	if (r < 0)
		return r;
	if (fchownat(parent_fd, name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
		return err_errno(err, "change the owner of '%s'", name);
	if (S_ISREG(st->st_mode) && (st->st_mode & (S_ISUID | S_ISGID)) &&
	    fchmodat(parent_fd, name, st->st_mode & 07777, 0) < 0)
		return err_errno(err, "set the mode of '%s' again", name);
	return owned->capability.size
		       ? xattr_set(owned->fd, CAPABILITY, owned->capability.data,
				   owned->capability.size, err)
		       : 0;
}

static uint32_t read_le(const unsigned char *bytes, size_t size)
{
	uint32_t value = 0;

	for (size_t i = 0; i < size; i++)
		value |= (uint32_t)bytes[i] << (8 * i);
	return value;
}

static int change_acl(void *data, const char *name, const void *value, size_t size,
		      struct cop_error *err)
{
	struct owned *owned = data;
	auto_buf copy = {};
	bool changed = false;

	if (!text_starts_with(name, ACL_PREFIX))
		return 0;
	if (buf_append(&copy, value, size) < 0)
		return err_oom(err);
	for (size_t at = ACL_HEAD; at + ACL_ENTRY <= size; at += ACL_ENTRY) {
		unsigned char *entry = (unsigned char *)copy.data + at;
		uint32_t tag = read_le(entry, 2), old = read_le(entry + ACL_ID, 4), new;

		if (tag != ACL_USER && tag != ACL_GROUP)
			continue;
		new = lookup(tag == ACL_USER ? owned->map->users : owned->map->groups,
			     old);
		changed |= new != old;
		for (size_t i = 0; i < 4; i++)
			entry[ACL_ID + i] = (unsigned char)(new >> (8 * i));
	}
	return changed ? xattr_set(owned->fd, name, copy.data, size, err) : 0;
}

/* Return: 1 the first time that an inode is met, 0 for another of its names. */
static int is_first(struct walk *walk, const struct stat *st, struct cop_error *err)
{
	const struct inode inode = {st->st_dev, st->st_ino};
	char *key;
	void **slot;

	if (S_ISDIR(st->st_mode) || st->st_nlink < 2)
		return 1;
	key = arena_memdup(walk->arena, &inode, sizeof(inode));
	slot = key ? map_slot(walk->seen, key, sizeof(inode)) : NULL;
	if (!slot)
		return err_oom(err);
	if (*slot)
		return 0;
	*slot = walk;
	return 1;
}

static int visit(void *data, int parent_fd, const char *name, const struct stat *st,
		 struct cop_error *err)
{
	struct walk *walk = data;
	struct owned owned = {.map = walk->map, .fd = -EBADF};
	const uid_t uid = lookup(walk->map->users, st->st_uid);
	const gid_t gid = lookup(walk->map->groups, st->st_gid);
	int r = is_first(walk, st, err);

	if (r <= 0)
		return r;
	owned.fd = openat(parent_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (owned.fd < 0)
		return err_errno(err, "open '%s'", name);
	r = 0;
	if (uid != st->st_uid || gid != st->st_gid)
		r = change_owner(&owned, parent_fd, name, st, uid, gid, err);
	if (r == 0 && !S_ISLNK(st->st_mode))
		r = xattr_each(owned.fd, change_acl, &owned, err);
	buf_done(&owned.capability);
	closep(&owned.fd);
	return r;
}

int renumber_tree(int tree_fd, const struct renumber *map, struct cop_error *err)
{
	auto_ptr(arena) arena = arena_new();
	auto_ptr(map) seen = map_new();
	struct walk walk = {map, arena, seen};

	if (!arena || !seen)
		return err_oom(err);
	return walk_below(tree_fd, &(struct walk_ops){.visit = visit, .data = &walk},
			  err);
}
