/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a probe found stays true until the machine starts again, for processes that may do
 * the same: so it is written down in the store as meta/overlay.json.  Only that overlays
 * work; why they do not is found out each time.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/fs.h"
#include "base/text.h"
#include "store/settings.h"
#include "store/store.h"
#include "view/mount.h"
#include "view/overlay.h"
#include "json/json.h"

#define NOTE	  "overlay"
#define PROC_MAX  65536
#define LINK_SIZE 64

/* Lines of /proc/self/status that decide what a process may mount. */
static const char *const status_lines[] = {"Uid:", "CapEff:", "NoNewPrivs:", "Seccomp:"};

static int append_file(struct buf *key, const char *path)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fs_read_all(fd, PROC_MAX, key, NULL);
}

static int append_status(struct buf *key)
{
	auto_buf status = {};
	int r = append_file(&status, "/proc/self/status");

	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(status_lines); i++) {
		const char *line = strstr(buf_text(&status), status_lines[i]);
		size_t size = line ? strcspn(line, "\n") + 1 : 0;

		if (line && buf_append(key, line, size) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* This start of this machine, this file system, and what we may do; negative where that
 * cannot be told. */
static int make_key(struct cop_store *store, struct buf *key)
{
	char user[LINK_SIZE] = "";
	struct stat st;
	int r;

	if (fstat(store_fd(store), &st) < 0 ||
	    readlink("/proc/self/ns/user", user, sizeof(user) - 1) < 0)
		return -errno;
	r = append_file(key, "/proc/sys/kernel/random/boot_id");
	if (r == 0)
		r = append_status(key);
	if (r == 0)
		r = buf_printf(key, "%s %u:%u " COP_VERSION "\n", user, major(st.st_dev),
			       minor(st.st_dev));
	if (r == 0)
		(void)append_file(key, "/proc/self/attr/current");
	return r;
}

bool overlay_is_known(struct cop_store *store)
{
	auto_json *note = store_note_read(store, NOTE);
	const char *known = json_string_value(json_object_get(note, "where"));
	json_int_t image = json_integer_value(json_object_get(note, "image"));
	json_int_t overlay = json_integer_value(json_object_get(note, "overlay"));
	auto_buf key = {};

	if (!known || make_key(store, &key) < 0 || strcmp(known, buf_text(&key)) != 0 ||
	    image < MOUNT_IMAGE_FILE || image > MOUNT_IMAGE_LOOP ||
	    overlay < MOUNT_OVERLAY_DETACHED || overlay > MOUNT_OVERLAY_JOINED)
		return false;
	mount_set_ways((enum mount_image_way)image, (enum mount_overlay_way)overlay);
	return true;
}

void overlay_remember(struct cop_store *store)
{
	enum mount_overlay_way overlay;
	enum mount_image_way image;
	auto_json *note = NULL;
	auto_buf key = {};

	if (make_key(store, &key) < 0)
		return;
	mount_get_ways(&image, &overlay);
	note = json_pack("{s:s, s:i, s:i}", "where", buf_text(&key), "image", (int)image,
			 "overlay", (int)overlay);
	if (note)
		store_note_write(store, NOTE, note);
}

void overlay_forget(struct cop_store *store)
{
	(void)unlinkat(store_fd(store), "meta/" NOTE ".json", 0);
}
