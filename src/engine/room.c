/* SPDX-License-Identifier: Apache-2.0 */
/* What a run does when the disk is full. */
#include <sys/statvfs.h>
#include <time.h>

#include "base/fs.h"
#include "base/text.h"
#include "engine/run.h"
#include "store/gc.h"
#include "store/store.h"

bool run_make_room(struct run *run)
{
	struct cop_error reason = {};
	uint64_t n_bytes = 0;
	char size[32];
	int r;

	if (run->made_room)
		return false;
	run->made_room = true;
	r = store_make_room(run->store, &n_bytes, &reason);
	if (r < 0)
		run_note(run, "the disk is full, and nothing could be collected: %s",
			 reason.message);
	else if (n_bytes == 0)
		run_note(run, "the disk is full, and there is nothing to collect");
	else
		run_note(run, "the disk is full: collected %s of garbage and caches",
			 text_size(n_bytes, size, sizeof(size)));
	return n_bytes > 0;
}

/* The mounts of a process that has ended go a moment later, and with them what was
 * removed; journals give blocks back when they are written. */
void run_wait_for_room(struct run *run)
{
	struct cop_store *store = run->store;
	const struct timespec pause = {.tv_nsec = 20000000};
	struct statvfs before = {}, now = {};

	for (int i = 0; i < 25; i++) {
		(void)fs_sync_filesystem(store_fd(store), NULL);
		if (fstatvfs(store_fd(store), &now) < 0)
			return;
		if (i > 4 && now.f_bfree == before.f_bfree)
			return;
		before = now;
		(void)nanosleep(&pause, NULL);
	}
}
