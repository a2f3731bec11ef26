/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk image from a tree, without loop devices: the file of the whole disk is there
 * first, sparse, and every file system is made at its place inside it by a program that
 * can fill it.  Sizes and places are in bytes.
 */
#pragma once

#include "modkit/kit.h"

#define DISK_ALIGN ((uint64_t)MIB)

/*
 * struct disk_content - what a directory takes up, the same on every file system that
 * holds it
 * @blocks:   of 4 KiB
 * @clusters: of the FAT that is to hold it
 */
struct disk_content {
	uint64_t n_inodes, blocks, clusters;
};

/*
 * struct disk_part - a partition; text is borrowed from the options
 * @type, @name, @uuid: as in the partition table
 * @filesystem: "ext4", "vfat" or NULL
 * @fs_uuid:    a UUID; of a vfat its 8 digits
 * @mount:      what of the tree is in it, "/" for what no other one has, or NULL
 * @embed:      what is written into it raw ("grub"), or NULL
 * @source:     a directory with just its content, see disk_split()
 * @size:       0: as large as it must be, or in the last what is left; a vfat has one
 * @free:       wanted beside the content, where the size is not given
 */
struct disk_part {
	const char *type, *name, *uuid;
	const char *filesystem, *fs_uuid, *label;
	const char *mount, *embed;
	char source[256];
	int64_t size, free;
	uint64_t start;
	struct disk_content content;
};

/*
 * struct disk
 * @path: of the image in the sandbox
 * @tree: that of the input
 * @size: 0: as large as it must be
 */
struct disk {
	struct kit *kit;
	const char *filename;
	char *path;
	const char *tree;
	const char *uuid;
	int64_t size;
	struct disk_part *parts;
	size_t n_parts;
	bool is_split;
};

/* disk_split() - fill disk_part.source: each partition's directory without what other
 * partitions hold, by mounts that nobody else sees */
int disk_split(struct disk *disk);
void disk_split_end(struct disk *disk);

/* disk_measure() - fill disk_part.content by walking its source */
int disk_measure(struct kit *kit, struct disk_part *part);

/* disk_ext4_size() - the least size of a file system for the content and so many free
 * bytes; disk_ext4_journal() - of the journal of one of that size */
uint64_t disk_ext4_size(const struct disk_content *content, uint64_t free_bytes);
uint64_t disk_ext4_journal(uint64_t size);

/* disk_fat_size() - the least size of a FAT for the content, with the clusters that one
 * of @size has; disk_fat_cluster() - bytes in these */
uint64_t disk_fat_size(const struct disk_content *content, uint64_t size);
unsigned int disk_fat_cluster(uint64_t size);

/* disk_make_ext4() / disk_make_fat() - the file system at its place, filled */
int disk_make_ext4(const struct disk *disk, const struct disk_part *part);
int disk_make_fat(const struct disk *disk, const struct disk_part *part);

/* disk_embed_grub() - the boot loader's first two parts, which the tree has in
 * boot/grub/i386-pc, into the first sector and into @part */
int disk_embed_grub(const struct disk *disk, const struct disk_part *part);
