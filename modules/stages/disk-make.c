/* SPDX-License-Identifier: Apache-2.0 */
/* File systems at their place in the image, with nothing in them that differs from one
 * build to the next. */
#include <endian.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "modkit/root.h"
#include "modkit/tool.h"
#include "modules/stages/disk.h"

#define SECTOR UINT64_C(512)

/* --- ext4 --- */

#define EXT4_SUPERBLOCK	    1024
#define EXT4_SUPER_SIZE	    1024
#define EXT4_MAGIC	    0x38
#define EXT4_KBYTES_WRITTEN 0x178
#define EXT4_CHECKSUM	    0x3fc
#define EXT4_ROOT	    2
#define EXT4_FIRST	    11
/* What every kernel and boot loader of a supported suite knows, instead of what a file of
 * the build root says. */
#define EXT4_FEATURES                                                             \
	"none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit," \
	"flex_bg,sparse_super,large_file,huge_file,dir_nlink,extra_isize,"        \
	"metadata_csum"

static int run_mke2fs(const struct disk *disk, const struct disk_part *part)
{
	const uint64_t size = (uint64_t)part->size;
	auto_words words = {};

	words_add(&words, "mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-I", "256",
		  "-i", "16384", "-m", "1", "-O", EXT4_FEATURES, NULL);
	words_add(&words, "-U", part->fs_uuid, "-L", part->label ? part->label : "",
		  NULL);
	words_add(&words, "-J", NULL);
	words_printf(&words, "size=%llu",
		     (unsigned long long)(disk_ext4_journal(size) / MIB));
	words_add(&words, "-E", NULL);
	/* The image is new, and its holes are zeros already. */
	words_printf(&words,
		     "offset=%llu,hash_seed=%s,nodiscard,assume_storage_prezeroed=1",
		     (unsigned long long)part->start, part->fs_uuid);
	words_add(&words, "-d", part->source, disk->path, NULL);
	words_printf(&words, "%lluk", (unsigned long long)(size / KIB));
	return tool_run_at_epoch(disk->kit, &words, "e2fsprogs");
}

/* Inodes in use: mke2fs takes them one after the other. */
static int count_inodes(const struct disk *disk, const struct disk_part *part,
			uint32_t *ret_n)
{
	auto_close int fd = open(disk->path, O_RDONLY | O_CLOEXEC);
	uint32_t head[5] = {};
	ssize_t n;

	if (fd < 0)
		return err_errno(disk->kit->err, "open '%s'", disk->filename);
	n = fs_pread_full(fd, head, sizeof(head), part->start + EXT4_SUPERBLOCK);
	if (n != (ssize_t)sizeof(head))
		return err_set(disk->kit->err, -EIO, "read the superblock of '%s'",
			       part->name);
	*ret_n = le32toh(head[0]) - le32toh(head[4]);
	return 0;
}

static void add_field(struct buf *commands, uint32_t inode, const char *field,
		      long long time)
{
	(void)buf_printf(commands, "sif <%u> %s @%lld\nsif <%u> %s_extra 0\n", inode,
			 field, time, inode, field);
}

/* mke2fs copies access and change times, which are the build's own; and it makes the
 * root directory itself. */
static int write_commands(const struct disk *disk, const struct disk_part *part,
			  const char *path)
{
	const long long time = (long long)tool_epoch(disk->kit);
	auto_close int fd = -EBADF;
	auto_buf commands = {};
	struct stat st;
	uint32_t n = 0;
	int r = count_inodes(disk, part, &n);

	if (r < 0)
		return r;
	if (stat(part->source, &st) < 0)
		return err_errno(disk->kit->err, "stat '%s'", part->source);
	(void)buf_printf(
		&commands, "sif <%d> mode 0%o\nsif <%d> uid %u\nsif <%d> gid %u\n",
		EXT4_ROOT, st.st_mode, EXT4_ROOT, st.st_uid, EXT4_ROOT, st.st_gid);
	add_field(&commands, EXT4_ROOT, "mtime", (long long)st.st_mtime);
	add_field(&commands, EXT4_ROOT, "atime", time);
	add_field(&commands, EXT4_ROOT, "ctime", time);
	for (uint32_t inode = EXT4_FIRST; inode <= n; inode++) {
		add_field(&commands, inode, "atime", time);
		add_field(&commands, inode, "ctime", time);
	}
	(void)buf_printf(&commands, "sif <%d> mtime @%lld\n", EXT4_FIRST, time);
	if (commands.failed)
		return err_oom(disk->kit->err);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_errno(disk->kit->err, "make '%s'", path);
	r = fs_write_all(fd, commands.data, commands.size);
	return r < 0 ? err_code(disk->kit->err, r, "write '%s'", path) : 0;
}

static uint32_t crc32c(const unsigned char *data, size_t size)
{
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < size; i++) {
		crc ^= data[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
	}
	return crc;
}

/* A superblock counts what was ever written, and how mke2fs writes depends on where the
 * holes of its sources were. */
static int forget_writes_at(const struct disk *disk, int fd, uint64_t offset)
{
	unsigned char super[EXT4_SUPER_SIZE];
	ssize_t n = fs_pread_full(fd, super, sizeof(super), offset);
	uint32_t checksum;

	if (n != (ssize_t)sizeof(super) || super[EXT4_MAGIC] != 0x53 ||
	    super[EXT4_MAGIC + 1] != 0xef)
		return err_set(disk->kit->err, -EBADMSG, "there is no superblock at %llu",
			       (unsigned long long)offset);
	memset(super + EXT4_KBYTES_WRITTEN, 0, 8);
	checksum = htole32(crc32c(super, EXT4_CHECKSUM));
	memcpy(super + EXT4_CHECKSUM, &checksum, sizeof(checksum));
	n = pwrite(fd, super, sizeof(super), (off_t)offset);
	return n == (ssize_t)sizeof(super)
		       ? 0
		       : err_errno(disk->kit->err, "write a superblock");
}

/* In the first group, and in the copies: groups 1 and powers of 3, 5 and 7. */
static int forget_writes(const struct disk *disk, const struct disk_part *part)
{
	const uint64_t group_size = UINT64_C(32768) * 4096;
	const uint64_t groups = ((uint64_t)part->size + group_size - 1) / group_size;
	auto_close int fd = open(disk->path, O_RDWR | O_CLOEXEC);
	int r;

	if (fd < 0)
		return err_errno(disk->kit->err, "open '%s'", disk->filename);
	r = forget_writes_at(disk, fd, part->start + EXT4_SUPERBLOCK);
	if (r == 0 && groups > 1)
		r = forget_writes_at(disk, fd, part->start + group_size);
	for (uint64_t base = 3; base <= 7 && r == 0; base += 2)
		for (uint64_t group = base; group < groups && r == 0; group *= base)
			r = forget_writes_at(disk, fd, part->start + group * group_size);
	return r;
}

int disk_make_ext4(const struct disk *disk, const struct disk_part *part)
{
	auto_words words = {};
	char path[sizeof(part->source) + 8];
	int r = run_mke2fs(disk, part);

	(void)snprintf(path, sizeof(path), "%s.debugfs", part->source);
	if (r == 0)
		r = write_commands(disk, part, path);
	if (r < 0)
		return r;
	/* It repeats every command: that is no log. */
	words_add(&words, "sh", "-c", "exec debugfs -w -f \"$1\" \"$2\" >/dev/null", "sh",
		  path, NULL);
	words_printf(&words, "%s?offset=%llu", disk->path,
		     (unsigned long long)part->start);
	r = tool_run_at_epoch(disk->kit, &words, "e2fsprogs");
	return r < 0 ? r : forget_writes(disk, part);
}

/* --- FAT --- */

static int run_mkfs_fat(const struct disk *disk, const struct disk_part *part)
{
	const uint64_t size = (uint64_t)part->size;
	auto_words words = {};

	/* Fixes the time of the label, and the id too, until -i says it once more. */
	words_add(&words, "mkfs.fat", "--invariant", "-F", "32", "-S", "512", "-s", NULL);
	words_printf(&words, "%u", disk_fat_cluster(size) / 512);
	words_add(&words, "-i", part->fs_uuid, "-n",
		  part->label ? part->label : "NO NAME", "-h", NULL);
	words_printf(&words, "%llu", (unsigned long long)(part->start / SECTOR));
	words_add(&words, "--offset", NULL);
	words_printf(&words, "%llu", (unsigned long long)(part->start / SECTOR));
	words_add(&words, disk->path, NULL);
	words_printf(&words, "%llu", (unsigned long long)(size / KIB));
	return tool_run_at_epoch(disk->kit, &words, "dosfstools");
}

struct fat {
	const struct disk *disk;
	const struct disk_part *part;
	char image[512];
};

/* One call of mtools for all of @names in a directory. */
static int run_mtools(const struct fat *fat, char *const *names, const char *directory,
		      const bool *is_directory, bool directories)
{
	auto_words words = {};
	bool any = false;

	if (directories)
		words_add(&words, "mmd", "-D", "s", "-i", fat->image, NULL);
	else
		words_add(&words, "mcopy", "-m", "-D", "s", "-i", fat->image, NULL);
	for (size_t i = 0; names[i]; i++) {
		if (is_directory[i] != directories)
			continue;
		any = true;
		if (directories)
			words_printf(&words, "::%s/%s", directory, names[i]);
		else
			words_printf(&words, "%s%s/%s", fat->part->source, directory,
				     names[i]);
	}
	if (!any)
		return 0;
	if (!directories)
		words_printf(&words, "::%s/", directory);
	return tool_run_at_epoch(fat->disk->kit, &words, "mtools");
}

static int fill_fat(const struct fat *fat, int fd, const char *directory);

static int fill_inner(const struct fat *fat, int fd, const char *directory,
		      char *const *names, const bool *is_directory)
{
	int r = 0;

	for (size_t i = 0; names[i] && r == 0; i++) {
		auto_close int inner = -EBADF;
		auto_buf path = {};

		if (!is_directory[i])
			continue;
		inner = openat(fd, names[i],
			       O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (inner < 0)
			return err_errno(fat->disk->kit->err, "open '%s'", names[i]);
		if (buf_printf(&path, "%s/%s", directory, names[i]) < 0)
			return err_oom(fat->disk->kit->err);
		r = fill_fat(fat, inner, path.data);
	}
	return r;
}

/* Sorted, since a FAT keeps the order in which it was filled. */
static int fill_fat(const struct fat *fat, int fd, const char *directory)
{
	struct cop_error *err = fat->disk->kit->err;
	auto_free bool *is_directory = NULL;
	char **names = NULL;
	size_t n = 0;
	int r = fs_list(fd, &names, &n, err);

	if (r < 0)
		return r;
	is_directory = calloc(n + 1, sizeof(*is_directory));
	if (!is_directory)
		r = err_oom(err);
	for (size_t i = 0; i < n && r == 0; i++) {
		struct stat st;

		if (fstatat(fd, names[i], &st, AT_SYMLINK_NOFOLLOW) < 0)
			r = err_errno(err, "stat '%s/%s'", directory, names[i]);
		else if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
			r = err_set(err, -EINVAL,
				    "'%s/%s': a FAT holds files and directories only",
				    directory, names[i]);
		else
			is_directory[i] = S_ISDIR(st.st_mode);
	}
	if (r == 0)
		r = run_mtools(fat, names, directory, is_directory, true);
	if (r == 0)
		r = run_mtools(fat, names, directory, is_directory, false);
	if (r == 0)
		r = fill_inner(fat, fd, directory, names, is_directory);
	(void)fs_list_free(names);
	return r;
}

int disk_make_fat(const struct disk *disk, const struct disk_part *part)
{
	struct fat fat = {.disk = disk, .part = part};
	auto_close int fd = -EBADF;
	int r = run_mkfs_fat(disk, part);

	if (r < 0 || !part->mount)
		return r;
	(void)snprintf(fat.image, sizeof(fat.image), "%s@@%llu", disk->path,
		       (unsigned long long)part->start);
	fd = open(part->source, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(disk->kit->err, "open '%s'", part->source);
	return fill_fat(&fat, fd, "");
}
