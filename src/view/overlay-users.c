/* SPDX-License-Identifier: Apache-2.0 */
/* Who uses a mounted view: a look through /proc, as far as it shows us anything. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/fs.h"
#include "base/text.h"
#include "view/overlay.h"

#define SHOWN_PATH_MAX 400
#define PROC_FILE_MAX  ((uint64_t)1 << 24)

struct search {
	const struct overlay_view *overlay;
	dev_t dev;
	bool writers;
	char file[SHOWN_PATH_MAX]; /* found */
};

/* By its device, or by its path where the file has that of a layer. */
static bool is_inside(struct search *search, int dir_fd, const char *name)
{
	const char *path = search->overlay->view.path;
	size_t size = strlen(path);
	struct stat st;
	ssize_t n = readlinkat(dir_fd, name, search->file, sizeof(search->file) - 1);

	if (n < 0)
		return false;
	search->file[n] = '\0';
	if (strncmp(search->file, path, size) == 0 &&
	    (search->file[size] == '/' || search->file[size] == '\0')) {
		(void)memmove(search->file, search->file + size, (size_t)n - size + 1);
		return true;
	}
	return search->dev != 0 && fstatat(dir_fd, name, &st, 0) == 0 &&
	       st.st_dev == search->dev;
}

static bool is_for_writing(int process_fd, const char *number)
{
	auto_buf text = {};
	char path[300];
	const char *flags;

	(void)snprintf(path, sizeof(path), "fdinfo/%s", number);
	if (fs_read_file(process_fd, path, PROC_FILE_MAX, &text, NULL) < 0)
		return false;
	flags = strstr(buf_text(&text), "flags:");
	return flags &&
	       (strtol(flags + strlen("flags:"), NULL, 8) & O_ACCMODE) != O_RDONLY;
}

static bool search_fds(struct search *search, int process_fd)
{
	auto_close int fd = openat(process_fd, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char **names = NULL;
	bool found = false;

	if (fd < 0 || fs_list(fd, &names, NULL, NULL) < 0)
		return false;
	for (char **name = names; !found && *name; name++)
		found = is_inside(search, fd, *name) &&
			(!search->writers || is_for_writing(process_fd, *name));
	fs_list_free(names);
	return found;
}

/* Files mapped into memory are open without any fd. */
static bool search_maps(struct search *search, int process_fd)
{
	auto_buf text = {};
	char *save = NULL;

	if (fs_read_file(process_fd, "maps", PROC_FILE_MAX, &text, NULL) < 0 ||
	    text.size == 0)
		return false;
	for (char *line = strtok_r(text.data, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		unsigned int dev_major, dev_minor;
		char access[8];
		int at = 0;

		if (sscanf(line, "%*s %7s %*s %x:%x %*s %n", access, &dev_major,
			   &dev_minor, &at) < 3 ||
		    search->dev == 0 || makedev(dev_major, dev_minor) != search->dev)
			continue;
		if (search->writers && strncmp(access, "rw-s", 4) != 0 &&
		    strncmp(access, "-w-s", 4) != 0)
			continue;
		(void)snprintf(search->file, sizeof(search->file), "%s",
			       at > 0 ? line + at : "");
		return true;
	}
	return false;
}

static bool search_process(struct search *search, int process_fd)
{
	if (!search->writers && (is_inside(search, process_fd, "cwd") ||
				 is_inside(search, process_fd, "root")))
		return true;
	return search_fds(search, process_fd) || search_maps(search, process_fd);
}

static void read_name(int process_fd, char name[64])
{
	auto_buf text = {};

	(void)snprintf(name, 64, "?");
	if (fs_read_file(process_fd, "comm", 4096, &text, NULL) < 0)
		return;
	(void)snprintf(name, 64, "%s", buf_text(&text));
	name[strcspn(name, "\n")] = '\0';
}

/* True: the message names a process. */
static bool blame_process(struct search *search, int proc_fd, const char *pid,
			  struct cop_error *err)
{
	auto_close int fd = openat(proc_fd, pid, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char name[64];

	if (fd < 0 || !search_process(search, fd))
		return false;
	read_name(fd, name);
	(void)err_set(err, -EBUSY, "the view is in use: process %s (%s) %s '%s'", pid,
		      name,
		      search->writers ? "has open for writing" : "is in or has open",
		      *search->file ? search->file : "/");
	return true;
}

int overlay_blame(const struct overlay_view *overlay, bool writers, struct cop_error *err)
{
	struct search search = {
		.overlay = overlay, .dev = overlay->dev, .writers = writers};
	auto_close int proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char **names = NULL;
	bool found = false;

	if (proc_fd >= 0 && fs_list(proc_fd, &names, NULL, NULL) == 0)
		for (char **name = names; !found && *name; name++)
			found = **name >= '0' && **name <= '9' &&
				blame_process(&search, proc_fd, *name, err);
	fs_list_free(names);
	if (found)
		return -EBUSY;
	return err_set(err, -EBUSY,
		       "the view is in use: a process that cannot be seen from here %s",
		       writers ? "writes to it" : "keeps it mounted");
}
