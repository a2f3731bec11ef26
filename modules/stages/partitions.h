/* SPDX-License-Identifier: Apache-2.0 */
/* Partition tables as sfdisk(8) makes them, the same in every run. */
#pragma once

#include "modkit/kit.h"

#define SECTOR 512

/*
 * struct partition - strings are borrowed from the options
 * @number:         0: the next one
 * @start_sectors:  0: the next free place; after partitions_write() where it is
 * @size_sectors:   0: what is left; after partitions_write() what it is
 * @attributes:     an array of numbers of bits, or NULL
 */
struct partition {
	const char *type, *name, *uuid;
	int64_t number, start_sectors, size_sectors;
	bool bootable;
	json_t *attributes;
};

struct partition_table {
	const char *label, *uuid;
	struct partition *partitions;
	size_t n;
};

/* partitions_read() - from an array of objects, of which further keys are ignored; NULL:
 * none */
int partitions_read(struct kit *kit, const json_t *array, struct partition_table *table);

/* partitions_write() - to a device or file, and read back where everything is now */
int partitions_write(struct kit *kit, struct partition_table *table, const char *device);

void partitions_done(struct partition_table *table);
