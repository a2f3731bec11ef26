/* SPDX-License-Identifier: Apache-2.0 */
/* How much room content needs, from names and sizes alone: never from what the file
 * system that it lies on makes of them. */
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/xattr.h>

#include "base/arena.h"
#include "base/map.h"
#include "modules/stages/disk.h"

#define BLOCK	     UINT64_C(4096)
#define DEPTH_MAX    256
#define FAT_RESERVED (32 * UINT64_C(512))
#define FAT_ENTRY    UINT64_C(32)
/* FAT32 has at least so many clusters; fewer would be FAT16. */
#define FAT_CLUSTERS_MIN UINT64_C(65525)

struct walk {
	struct kit *kit;
	struct disk_part *part;
	struct arena *arena;
	struct map *links;
	unsigned int cluster;
};

struct inode {
	dev_t dev;
	ino_t ino;
};

static uint64_t divide_up(uint64_t value, uint64_t by)
{
	return value / by + (value % by > 0);
}

/* Was it counted already, under another name? */
static int is_another_name(struct walk *walk, const struct stat *st)
{
	struct inode probe = {.dev = st->st_dev, .ino = st->st_ino}, *key;
	void **slot;

	if (st->st_nlink < 2)
		return 0;
	if (map_get(walk->links, &probe, sizeof(probe)))
		return 1;
	key = (struct inode *)arena_alloc(walk->arena, sizeof(*key));
	if (!key)
		return err_oom(walk->kit->err);
	key->dev = st->st_dev;
	key->ino = st->st_ino;
	slot = map_slot(walk->links, key, sizeof(*key));
	if (!slot)
		return err_oom(walk->kit->err);
	*slot = walk;
	return 0;
}

/* By the names themselves: the length alone would count those that overlayfs hides. */
static bool has_attributes(int fd)
{
	char names[4 * KIB];
	ssize_t n = flistxattr(fd, names, sizeof(names));

	return n > 0 || (n < 0 && errno == ERANGE);
}

static int count_file(struct walk *walk, int fd, const char *name, const struct stat *st)
{
	struct disk_content *content = &walk->part->content;
	const uint64_t size = S_ISREG(st->st_mode) ? (uint64_t)st->st_size : 0;
	int r = is_another_name(walk, st);

	if (r != 0)
		return r < 0 ? r : 0;
	content->n_inodes++;
	content->clusters += divide_up(size, walk->cluster);
	content->blocks += divide_up(size, BLOCK);
	/* Short targets lie in the inode. */
	if (S_ISLNK(st->st_mode) && st->st_size >= 60)
		content->blocks++;
	if (S_ISREG(st->st_mode)) {
		auto_close int file = openat(fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

		/* More than an inode may have room for; few have any. */
		if (file >= 0 && has_attributes(file))
			content->blocks++;
	}
	return 0;
}

static int walk_directory(struct walk *walk, int fd, unsigned int depth);

static int walk_entry(struct walk *walk, int fd, const char *name, unsigned int depth)
{
	auto_close int inner = -EBADF;
	struct stat st;

	if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_errno(walk->kit->err, "stat '%s'", name);
	if (!S_ISDIR(st.st_mode))
		return count_file(walk, fd, name, &st);
	if (depth == DEPTH_MAX)
		return err_set(walk->kit->err, -ELOOP, "'%s': more than %d levels deep",
			       name, DEPTH_MAX);
	inner = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (inner < 0)
		return err_errno(walk->kit->err, "open '%s'", name);
	return walk_directory(walk, inner, depth + 1);
}

static int walk_directory(struct walk *walk, int fd, unsigned int depth)
{
	struct disk_content *content = &walk->part->content;
	uint64_t bytes = 24, fat_bytes = 2 * FAT_ENTRY;
	size_t n = 0;
	char **names = NULL;
	int r = fs_list(fd, &names, &n, walk->kit->err);

	for (size_t i = 0; r == 0 && i < n; i++) {
		uint64_t length = strlen(names[i]);

		bytes += 8 + (length + 3) / 4 * 4;
		/* A short entry, and one for each 13 characters of the long name. */
		fat_bytes += FAT_ENTRY * (1 + divide_up(length, 13));
		r = walk_entry(walk, fd, names[i], depth);
	}
	(void)fs_list_free(names);
	content->n_inodes++;
	/* The last entry of a block cannot always be placed; an attribute block besides.
	 */
	content->blocks += divide_up(bytes, BLOCK - 300) + has_attributes(fd);
	content->clusters += divide_up(fat_bytes, walk->cluster);
	return r;
}

int disk_measure(struct kit *kit, struct disk_part *part)
{
	auto_ptr(arena) arena = arena_new();
	auto_ptr(map) links = map_new();
	struct walk walk = {.kit = kit, .part = part, .arena = arena, .links = links};
	auto_close int fd = open(part->source, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (!arena || !links)
		return err_oom(kit->err);
	if (fd < 0)
		return err_errno(kit->err, "open '%s'", part->source);
	walk.cluster = disk_fat_cluster((uint64_t)part->size);
	return walk_directory(&walk, fd, 0);
}

/* --- ext4 --- */

/* As mke2fs lays out blocks of 4 KiB, an inode for 16 KiB, and descriptors for growth to
 * the 1024-fold. */
static uint64_t ext4_overhead(uint64_t blocks)
{
	const uint64_t groups = divide_up(blocks, 32768);
	const uint64_t tables = divide_up(blocks, 64) + groups;
	const uint64_t descriptors =
		divide_up(groups * 64, BLOCK) +
		min_u64(divide_up(groups * 1024 * 64, BLOCK), BLOCK / 4);
	uint64_t copies = 2; /* groups 0 and 1, and powers of 3, 5 and 7 */

	for (uint64_t base = 3; base <= 7; base += 2)
		for (uint64_t group = base; group < groups; group *= base)
			copies++;
	return tables + 2 * groups + copies * (1 + descriptors);
}

uint64_t disk_ext4_journal(uint64_t size)
{
	if (size < 256 * MIB)
		return 4 * MIB;
	return size < 1024 * MIB ? 16 * MIB : size < 4096 * MIB ? 32 * MIB : 64 * MIB;
}

uint64_t disk_ext4_size(const struct disk_content *content, uint64_t free_bytes)
{
	/* lost+found; blocks of extents, of which only large files have any; and some
	 * for what nobody thought of. */
	const uint64_t data = content->blocks + divide_up(free_bytes, BLOCK) +
			      content->blocks / 200 + 256;
	uint64_t blocks = data;

	for (;;) {
		uint64_t needed = data + ext4_overhead(blocks) +
				  disk_ext4_journal(blocks * BLOCK) / BLOCK;

		needed = max_u64(needed, 4 * (content->n_inodes + 64));
		if (needed <= blocks)
			return divide_up(blocks * BLOCK, DISK_ALIGN) * DISK_ALIGN;
		blocks = needed;
	}
}

/* --- FAT --- */

unsigned int disk_fat_cluster(uint64_t size)
{
	return size >= 260 * MIB ? 4096 : 512;
}

uint64_t disk_fat_size(const struct disk_content *content, uint64_t size)
{
	const unsigned int cluster = disk_fat_cluster(size);
	const uint64_t clusters = max_u64(FAT_CLUSTERS_MIN, content->clusters) + 16;

	/* Two tables of four bytes each. */
	return divide_up(clusters * (cluster + 8) + FAT_RESERVED, DISK_ALIGN) *
	       DISK_ALIGN;
}
