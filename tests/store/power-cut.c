/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The power fails between two steps of a commit: ext4 on a loop device, shut down by the
 * ioctl that drops what is not in the journal, while another process forces the journal,
 * so that names reach the disk before the data of files would.  Then the file system is
 * mounted again and judged, first by tests/oracle.py, then by the library.
 *
 * power-cut ORACLE.  Exit status 77: not root, or no loop devices.
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "base/process.h"
#include "store/commit.h"
#include "store/object.h"

#define EXT4_SHUTDOWN	   _IOR('X', 125, uint32_t)
#define EXT4_NO_LOG_FLUSH  2
#define SKIPPED		   77
#define N_FILES		   120
#define MOUNT_NOT_POSSIBLE 1

static char directory[] = "/tmp/coppice-power-XXXXXX";
static char image[128], mnt[128], store_path[160];
static atomic_uint *n_journal; /* shared: how often the journal was forced */

static const struct cut {
	const char *what;
	enum commit_step step;
	int skip;
	bool is_new;   /* the ref must be the new one afterwards */
	bool is_quiet; /* nobody else forces the journal: what is durable is our doing */
} cuts[] = {
	{"while a file is read", COMMIT_FILE_READ, 50, false, false},
	{"before the first barrier", COMMIT_STAGED, 0, false, false},
	{"after the first barrier", COMMIT_SYNCED, 0, false, false},
	{"after the first file", COMMIT_FILE_MOVED, 0, false, false},
	{"amid the files", COMMIT_FILE_MOVED, N_FILES / 2, false, false},
	{"after the last file", COMMIT_FILE_MOVED, N_FILES - 1, false, false},
	{"after publishing", COMMIT_PUBLISHED, 0, false, false},
	{"after the second barrier", COMMIT_BARRIER, 0, false, false},
	{"after the ref", COMMIT_REF_SET, 0, true, false},
	{"after the ref, all quiet", COMMIT_REF_SET, 0, true, true},
};

static void printf_like(1, 2) die(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)vfprintf(stderr, format, ap);
	va_end(ap);
	(void)fputc('\n', stderr);
	exit(1);
}

static void clean_up(void)
{
	if (*mnt)
		(void)umount2(mnt, MNT_DETACH);
	(void)fs_remove_all(AT_FDCWD, directory, false, NULL);
}

static void check(int r, const struct cop_error *err)
{
	if (r < 0)
		die("%s", err->message);
}

static int mount_image(struct cop_error *err)
{
	const char *const argv[] = {"mount", "-t",  "ext4", "-o",
				    "loop",  image, mnt,    NULL};

	return process_check(argv, NULL, NULL, err);
}

static void unmount(void)
{
	if (umount2(mnt, 0) < 0)
		die("umount: %m");
}

static int make_file_system(struct cop_error *err)
{
	const char *const argv[] = {"mkfs.ext4", "-q", "-F", image, "64m", NULL};

	(void)unlink(image);
	return process_check(argv, NULL, NULL, err);
}

/* Files of some blocks each: what a power cut leaves empty when nobody waits for it. */
static void fill(const char *path, unsigned int seed)
{
	static char data[24 * 1024];
	char name[256];

	if (mkdir(path, 0755) < 0)
		die("mkdir '%s': %m", path);
	for (unsigned int i = 0; i < N_FILES; i++) {
		size_t size = 100 + (i * 997 + seed) % (sizeof(data) - 100);
		int fd;

		for (size_t k = 0; k < size; k++)
			data[k] = (char)(k * 7 + k / 251 + i * 3 + seed);
		(void)snprintf(data, sizeof(data), "%u/%u", seed, i);
		(void)snprintf(name, sizeof(name), "%s/%u", path, i);
		fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
		if (fd < 0 || fs_write_all(fd, data, size) < 0 || close(fd) < 0)
			die("write '%s': %m", name);
	}
}

static int commit(const char *path, bool only_digest, struct cop_digest *ret_digest,
		  struct cop_error *err)
{
	const struct commit_directory_options options = {
		.class = REF_NAME,
		.name = "a",
		.source_epoch = 0,
		.only_digest = only_digest,
	};
	struct cop_store *store = NULL;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;

	if (!only_digest)
		r = cop_store_open(store_path, COP_STORE_CREATE, &store, err);
	if (r == 0)
		r = store_commit_directory(store, fd, &options, ret_digest, err);
	cop_store_close(store);
	(void)close(fd);
	return r;
}

static void force_journal_for_ever(void)
{
	char name[160];
	int fd;

	(void)snprintf(name, sizeof(name), "%s/noise", mnt);
	fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	for (unsigned int i = 0;; i++) {
		if (pwrite(fd, &i, sizeof(i), 0) < 0 || fsync(fd) < 0)
			_exit(0); /* the power is off */
		atomic_fetch_add(n_journal, 1);
	}
}

static void cut_power(void *data, enum commit_step step)
{
	static atomic_int n_seen;
	const struct cut *cut = data;
	uint32_t flags = EXT4_NO_LOG_FLUSH;
	unsigned int n;
	int fd;

	if (step != cut->step || atomic_fetch_add(&n_seen, 1) != cut->skip)
		return;
	/* Two more: the second began after this step. */
	n = atomic_load(n_journal);
	for (int i = 0; !cut->is_quiet && atomic_load(n_journal) < n + 2; i++)
		if (i == 10000 || usleep(500) < 0)
			_exit(4);
	fd = open(mnt, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (ioctl(fd, EXT4_SHUTDOWN, &flags) < 0)
		_exit(2);
	_exit(0);
}

static void commit_and_cut(const struct cut *cut, const char *path)
{
	pid_t noise = -1, pid;
	int status = -1;

	if (!cut->is_quiet)
		noise = fork();
	if (noise == 0)
		force_journal_for_ever();
	pid = fork();
	if (pid == 0) {
		struct cop_digest digest;
		struct cop_error err = {};

		store_set_step_hook(cut_power, (void *)cut);
		if (commit(path, false, &digest, &err) < 0)
			(void)fprintf(stderr, "%s\n", err.message);
		_exit(3); /* the power was never cut */
	}
	if (waitpid(pid, &status, 0) != pid || status != 0)
		die("%s: the power was not cut (status %d)", cut->what, status);
	if (noise > 0) {
		(void)kill(noise, SIGKILL);
		(void)waitpid(noise, &status, 0);
	}
}

static void ask_oracle(const char *oracle, const struct cop_digest *digest, bool complete,
		       const char *when)
{
	char hex[COP_DIGEST_HEX + 1], ref[COP_DIGEST_HEX + 8];
	const char *const argv[] = {"python3", oracle, store_path,
				    "--ref",   ref,    complete ? "--complete" : NULL,
				    NULL};
	struct cop_error err = {};

	(void)snprintf(ref, sizeof(ref), "a=%s", cop_digest_to_hex(digest, hex));
	if (process_check(argv, NULL, NULL, &err) < 0)
		die("%s: %s", when, err.message);
}

static void ask_library(const struct cut *cut, const struct cop_digest *expected)
{
	struct cop_store *store = NULL;
	struct cop_digest found;
	struct cop_error err = {};
	struct tree *tree = NULL;
	char tmp[192];

	check(cop_store_open(store_path, 0, &store, &err), &err);
	check(cop_store_resolve(store, "a", &found, &err), &err);
	if (!cop_digest_equal(&found, expected))
		die("%s: the library sees another ref", cut->what);
	check(object_read_tree(store, &found, &tree, &err), &err);
	for (const struct tree_node *node = tree->root; node; node = tree_next(node))
		if (node->digest &&
		    pool_has_file(store, node->digest, node->size, &err) != 1)
			die("%s: a file is missing: %s", cut->what, err.message);
	tree_free(tree);
	cop_store_close(store);
	(void)snprintf(tmp, sizeof(tmp), "%s/tmp", store_path);
	if (rmdir(tmp) < 0)
		die("%s: something was left in tmp", cut->what);
}

static void try_cut(const struct cut *cut, const char *oracle, const char *old_path,
		    const char *new_path)
{
	struct cop_digest old_digest, new_digest, digest;
	const struct cop_digest *expected = cut->is_new ? &new_digest : &old_digest;
	struct cop_error err = {};

	check(make_file_system(&err), &err);
	check(mount_image(&err), &err);
	check(commit(new_path, true, &new_digest, &err), &err);
	check(commit(old_path, false, &old_digest, &err), &err);
	commit_and_cut(cut, new_path);
	unmount();
	check(mount_image(&err), &err);
	ask_oracle(oracle, expected, false, cut->what);
	ask_library(cut, expected);
	check(commit(new_path, false, &digest, &err), &err);
	ask_oracle(oracle, &new_digest, false, cut->what);
	unmount();
}

/* Mounts of our own, which end with us. */
static int prepare(void)
{
	struct cop_error err = {};

	if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return MOUNT_NOT_POSSIBLE;
	(void)snprintf(image, sizeof(image), "%s/image", directory);
	(void)snprintf(mnt, sizeof(mnt), "%s/mnt", directory);
	(void)snprintf(store_path, sizeof(store_path), "%s/store", mnt);
	if (mkdir(mnt, 0700) < 0)
		die("mkdir '%s': %m", mnt);
	n_journal = mmap(NULL, sizeof(*n_journal), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (n_journal == MAP_FAILED)
		die("mmap: %m");
	if (make_file_system(&err) < 0 || mount_image(&err) < 0) {
		(void)fprintf(stderr, "%s\n", err.message);
		return MOUNT_NOT_POSSIBLE;
	}
	unmount();
	return 0;
}

int main(int argc, char **argv)
{
	char old_path[64], new_path[64];

	if (argc != 2 || !mkdtemp(directory))
		die("power-cut ORACLE");
	(void)atexit(clean_up);
	if (prepare() != 0) {
		(void)fprintf(stderr, "SKIPPED: cutting the power needs root, mkfs.ext4 "
				      "and loop devices\n");
		return SKIPPED;
	}
	(void)snprintf(old_path, sizeof(old_path), "%s/old", directory);
	(void)snprintf(new_path, sizeof(new_path), "%s/new", directory);
	fill(old_path, 1);
	fill(new_path, 2);
	for (size_t i = 0; i < ARRAY_SIZE(cuts); i++) {
		(void)printf("power cut %s\n", cuts[i].what);
		(void)fflush(stdout);
		try_cut(&cuts[i], argv[1], old_path, new_path);
	}
	return 0;
}
