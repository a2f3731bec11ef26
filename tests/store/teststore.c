/* SPDX-License-Identifier: Apache-2.0 */
#include "teststore.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#include "base/fs.h"
#include "digest/verity.h"

#define MTIME 1700000000

int scratch_setup(void **state)
{
	const char *tmp = getenv("TMPDIR");
	struct scratch *scratch = calloc(1, sizeof(*scratch));

	if (!scratch)
		return -1;
	(void)umask(022);
	(void)snprintf(scratch->path, sizeof(scratch->path), "%.30s/coppice-test-XXXXXX",
		       tmp && strlen(tmp) <= 30 ? tmp : "/tmp");
	if (!mkdtemp(scratch->path))
		return -1;
	scratch->fd = open(scratch->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	(void)snprintf(scratch->store_path, sizeof(scratch->store_path), "%s/store",
		       scratch->path);
	*state = scratch;
	scratch->store = scratch_open(scratch, COP_STORE_CREATE);
	return scratch->fd < 0 ? -1 : 0;
}

int scratch_teardown(void **state)
{
	struct scratch *scratch = *state;

	store_set_step_hook(NULL, NULL);
	cop_store_close(scratch->store);
	(void)close(scratch->fd);
	(void)fs_remove_all(AT_FDCWD, scratch->path, true, NULL);
	free(scratch);
	return 0;
}

struct cop_store *scratch_open(const struct scratch *scratch, unsigned int flags)
{
	struct cop_store *store = NULL;
	struct cop_error err = {};

	assert_ok(cop_store_open(scratch->store_path, flags, &store, &err), &err);
	return store;
}

void scratch_reopen(struct scratch *scratch)
{
	scratch->store = cop_store_close(scratch->store);
	scratch->store = scratch_open(scratch, 0);
}

static void set_time(const struct scratch *scratch, const char *path)
{
	const struct timespec times[2] = {{.tv_sec = MTIME}, {.tv_sec = MTIME}};

	assert_int_equal(utimensat(scratch->fd, path, times, AT_SYMLINK_NOFOLLOW), 0);
}

static void make_parent(const struct scratch *scratch, const char *path, char parent[256])
{
	const char *slash = strrchr(path, '/');
	struct cop_error err = {};

	(void)snprintf(parent, 256, "%.*s", slash ? (int)(slash - path) : 0, path);
	if (*parent)
		assert_ok(fs_make_dirs(scratch->fd, parent, 0755, &err), &err);
}

void scratch_write(const struct scratch *scratch, const char *path, const void *data,
		   size_t size)
{
	char parent[256];
	int fd;

	make_parent(scratch, path, parent);
	fd = openat(scratch->fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(fs_write_all(fd, data, size), 0);
	assert_int_equal(fchmod(fd, 0644), 0);
	(void)close(fd);
	set_time(scratch, path);
	if (*parent)
		set_time(scratch, parent);
}

void scratch_write_text(const struct scratch *scratch, const char *path, const char *text)
{
	scratch_write(scratch, path, text, strlen(text));
}

bool scratch_has(const struct scratch *scratch, const char *path)
{
	struct stat st;

	return fstatat(scratch->fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

size_t scratch_count(const struct scratch *scratch, const char *path)
{
	int fd = openat(scratch->fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct cop_error err = {};
	char **names = NULL;
	size_t n = 0;

	if (fd < 0)
		return 0;
	assert_ok(fs_list(fd, &names, &n, &err), &err);
	fs_list_free(names);
	(void)close(fd);
	return n;
}

static void write_at(const struct scratch *scratch, const char *path, const char *name,
		     const void *data, size_t size)
{
	char full[256];

	(void)snprintf(full, sizeof(full), "%s/%s", path, name);
	scratch_write(scratch, full, data, size);
}

void scratch_fill(const struct scratch *scratch, const char *path, unsigned int seed)
{
	static char zeros[65536], text[10000];
	char from[256], to[256];

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char)('a' + (i * 7 + i / 26 + seed) % 26);
	write_at(scratch, path, "empty", "", 0);
	write_at(scratch, path, "inline", text, 64);
	write_at(scratch, path, "etc/small", text, 65);
	write_at(scratch, path, "etc/pool", text, sizeof(text));
	write_at(scratch, path, "usr/same", text, sizeof(text));
	write_at(scratch, path, "usr/other", text + 1, sizeof(text) - 1);
	zeros[40000] = (char)(seed + 1);
	write_at(scratch, path, "usr/sparse", zeros, sizeof(zeros));
	(void)snprintf(from, sizeof(from), "%s/etc/pool", path);
	(void)snprintf(to, sizeof(to), "%s/etc/twin", path);
	assert_int_equal(linkat(scratch->fd, from, scratch->fd, to, 0), 0);
	(void)snprintf(to, sizeof(to), "%s/link", path);
	assert_int_equal(symlinkat("etc/pool", scratch->fd, to), 0);
	set_time(scratch, to);
	(void)snprintf(to, sizeof(to), "%s/etc", path);
	set_time(scratch, to);
	(void)snprintf(to, sizeof(to), "%s/usr", path);
	set_time(scratch, to);
	set_time(scratch, path);
}

int scratch_commit(const struct scratch *scratch, const char *path, const char *name,
		   struct cop_digest *ret_digest, struct staging_totals *ret_totals,
		   struct cop_error *err)
{
	const struct commit_directory_options options = {
		.class = REF_NAME,
		.name = name,
		.source_epoch = -1,
		.totals = ret_totals,
	};
	struct cop_digest digest = {};
	int fd = openat(scratch->fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r;

	assert_true(fd >= 0);
	r = store_commit_directory(scratch->store, fd, &options, &digest, err);
	(void)close(fd);
	if (r == 0 && ret_digest)
		*ret_digest = digest;
	return r;
}

struct cop_digest scratch_ref(const struct scratch *scratch, const char *name)
{
	struct cop_digest digest = {};
	struct cop_error err = {};
	int r = ref_get(scratch->store, REF_NAME, name, &digest, &err);

	if (r != -ENOENT)
		assert_ok(r, &err);
	return digest;
}

void assert_digest_equal(const struct cop_digest *a, const struct cop_digest *b)
{
	char x[COP_DIGEST_HEX + 1], y[COP_DIGEST_HEX + 1];

	assert_string_equal(cop_digest_to_hex(a, x), cop_digest_to_hex(b, y));
}

char *pool_file(const void *data, size_t size, char path[128])
{
	char payload[TREE_PAYLOAD_SIZE];
	struct cop_error err = {};
	struct cop_digest digest;

	assert_ok(verity_digest_bytes(data, size, &digest, &err), &err);
	(void)snprintf(path, 128, "store/files/%s", tree_payload(&digest, payload));
	return path;
}

/* Files and images whose name is not their digest, and what no ref needs. */
static void check_names(const struct scratch *scratch, const char *directory,
			struct cop_digest *found, size_t *n_found, size_t most)
{
	for (unsigned int shard = 0; shard < 256; shard++) {
		char path[160], hex[COP_DIGEST_HEX + 1];
		struct cop_digest name, content;
		struct cop_error err = {};
		char **names = NULL;
		size_t n = 0;
		int fd;

		(void)snprintf(path, sizeof(path), "store/%s/%02x", directory, shard);
		fd = openat(scratch->fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0)
			continue;
		assert_ok(fs_list(fd, &names, &n, &err), &err);
		for (size_t i = 0; i < n; i++) {
			int file = openat(fd, names[i], O_RDONLY | O_CLOEXEC);
			struct stat st;

			(void)snprintf(hex, sizeof(hex), "%02x%.62s", shard, names[i]);
			assert_int_equal(cop_digest_parse(hex, &name), 0);
			assert_int_equal(fstat(file, &st), 0);
			assert_int_equal(st.st_mode & 07777, 0444);
			assert_ok(verity_digest_fd(file, (uint64_t)st.st_size, 1,
						   &content, &err),
				  &err);
			assert_digest_equal(&name, &content);
			assert_true(*n_found < most);
			found[(*n_found)++] = name;
			(void)close(file);
		}
		fs_list_free(names);
		(void)close(fd);
	}
}

struct needed {
	const struct scratch *scratch;
	struct cop_digest files[1000], objects[100];
	size_t n_files, n_objects;
};

static void need(struct cop_digest *list, size_t *n, const struct cop_digest *digest)
{
	for (size_t i = 0; i < *n; i++)
		if (cop_digest_equal(&list[i], digest))
			return;
	list[(*n)++] = *digest;
}

static int check_ref(void *data, const char *name, const struct cop_digest *digest)
{
	struct needed *needed = data;
	struct cop_store *store = needed->scratch->store;
	struct cop_error err = {};
	struct tree *tree = NULL;

	(void)name;
	assert_int_equal(object_exists(store, digest, &err), 1);
	assert_ok(object_read_tree(store, digest, &tree, &err), &err);
	need(needed->objects, &needed->n_objects, digest);
	for (const struct tree_node *node = tree->root; node; node = tree_next(node)) {
		if (node->link || !node->digest)
			continue;
		assert_int_equal(pool_has_file(store, node->digest, node->size, &err), 1);
		need(needed->files, &needed->n_files, node->digest);
	}
	tree_free(tree);
	return 0;
}

void scratch_check(const struct scratch *scratch, bool garbage)
{
	struct needed *needed = calloc(1, sizeof(*needed));
	struct cop_digest *found = calloc(1000, sizeof(*found));
	struct cop_error err = {};
	size_t n_files = 0, n_objects = 0;

	assert_true(needed && found);
	needed->scratch = scratch;
	for (enum ref_class class = REF_NAME; class <= REF_FAILED; class ++)
		assert_ok(ref_list(scratch->store, class, NULL, check_ref, needed, &err),
			  &err);
	check_names(scratch, "files", found, &n_files, 1000);
	check_names(scratch, "objects", found, &n_objects, 1000);
	if (!garbage) {
		assert_int_equal(n_files, needed->n_files);
		assert_int_equal(n_objects, needed->n_objects);
	}
	free(needed);
	free(found);
}
