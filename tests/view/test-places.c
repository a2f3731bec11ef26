/* SPDX-License-Identifier: Apache-2.0 */
/* Overlay views in stores on all kinds of file systems, under all kinds of names, and by
 * all the ways that kernels have to mount them. */
#include "viewlib.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/process.h"
#include "view/mount.h"

/* The whole way: two commits, one over the other, and a look at the result. */
static void use(struct cop_store *store)
{
	struct cop_object *object = NULL;
	struct cop_reader *reader = NULL;
	struct cop_error err = {};
	const char *path;
	struct stat st;

	assert_ok(cop_object_new(store, NULL, &object, &err), &err);
	assert_ok(cop_object_write(object, &path, &err), &err);
	assert_int_equal(mkdir(join(path, "dir"), 0755), 0);
	write_file(path, "dir/large",
		   "this is more than what stands in the image itself, so it is read "
		   "through the pool");
	write_file(path, "small", "text");
	assert_ok(cop_object_write_end(object, &err), &err);
	assert_ok(cop_store_commit(store, object, "one", NULL, &err), &err);
	assert_ok(cop_object_write(object, &path, &err), &err);
	assert_int_equal(rename(join(path, "dir"), join(path, "moved")), 0);
	assert_int_equal(chmod(join(path, "moved/large"), 0600), 0);
	assert_ok(cop_object_write_end(object, &err), &err);
	assert_ok(cop_store_commit(store, object, "two", NULL, &err), &err);
	cop_object_free(object);

	assert_ok(cop_object_new(store, "two", &object, &err), &err);
	assert_ok(cop_object_read(object, &reader, &err), &err);
	path = cop_reader_path(reader);
	assert_int_equal(stat(join(path, "moved/large"), &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0600);
	{
		auto_close int fd = open(join(path, "moved/large"), O_RDONLY | O_CLOEXEC);
		char text[16] = {};

		assert_int_equal(read(fd, text, 4), 4);
		assert_string_equal(text, "this");
	}
	cop_reader_close(reader);
	cop_object_free(object);
}

static struct cop_store *open_store(const char *path)
{
	struct cop_store *store = NULL;
	struct cop_error err = {};

	assert_ok(cop_store_open(path, COP_STORE_CREATE, &store, &err), &err);
	return store;
}

static void a_store_behind_a_symlink(void **state)
{
	struct scratch *scratch = *state;
	struct cop_store *store;

	assert_int_equal(symlink("store", join(scratch->path, "link")), 0);
	store = open_store(join(scratch->path, "link"));
	use(store);
	cop_store_close(store);
}

static void a_store_of_any_name(void **state)
{
	static const char *const names[] = {
		"a:b",	    "a::b", "a,b",  "a\\b",
		"a\\:b",    "a b",  "a\nb", "lowerdir=x,upperdir=y",
		"\xff\xfe",
	};
	struct scratch *scratch = *state;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct cop_store *store = open_store(join(scratch->path, names[i]));

		use(store);
		cop_store_close(store);
	}
}

static void every_way_of_mounting(void **state)
{
	struct scratch *scratch = *state;

	for (int image = MOUNT_IMAGE_FILE; image <= MOUNT_IMAGE_LOOP; image++) {
		if (image == MOUNT_IMAGE_LOOP && access("/dev/loop-control", W_OK) < 0) {
			print_message("skipped: there are no loop devices\n");
			continue;
		}
		for (int way = MOUNT_OVERLAY_DETACHED; way <= MOUNT_OVERLAY_JOINED;
		     way++) {
			mount_set_ways((enum mount_image_way)image,
				       (enum mount_overlay_way)way);
			use(scratch->store);
			assert_int_equal(scratch_count(scratch, "tmp"), 0);
		}
	}
	mount_set_ways(MOUNT_IMAGE_FILE, MOUNT_OVERLAY_DETACHED);
}

static void an_overlay_can_stand_on_a_view(void **state)
{
	struct scratch *scratch = *state;
	struct cop_object *object = NULL;
	struct cop_reader *reader = NULL;
	struct cop_error err = {};
	char options[600];
	char place[128];

	(void)snprintf(place, sizeof(place), "%s/place", scratch->path);
	commit_small(scratch, "base", "text");
	assert_ok(cop_object_new(scratch->store, "base", &object, &err), &err);
	assert_ok(cop_object_read(object, &reader, &err), &err);
	assert_int_equal(mkdir(join(scratch->path, "upper"), 0755), 0);
	assert_int_equal(mkdir(join(scratch->path, "work"), 0755), 0);
	assert_int_equal(mkdir(place, 0755), 0);
	(void)snprintf(options, sizeof(options), "lowerdir=%s,upperdir=%s,workdir=%s",
		       cop_reader_path(reader), join(scratch->path, "upper"),
		       join(scratch->path, "work"));
	assert_int_equal(mount("overlay", place, "overlay", 0, options), 0);
	write_file(place, "data", "changed");
	assert_int_equal(umount2(place, 0), 0);
	cop_reader_close(reader);
	cop_object_free(object);
}

/* Another file system at scratch/place. */
static const char *mount_at_place(struct scratch *scratch, const char *type,
				  const char *options)
{
	static char path[128];

	(void)snprintf(path, sizeof(path), "%s/place", scratch->path);
	if (mkdir(path, 0700) < 0)
		assert_int_equal(errno, EEXIST);
	assert_int_equal(mount(type, path, type, 0, options), 0);
	return path;
}

static const char *describe(struct cop_store *store, const char *wish)
{
	const char *text;

	if (wish)
		assert_int_equal(setenv("COPPICE_VIEW", wish, 1), 0);
	else
		assert_int_equal(unsetenv("COPPICE_VIEW"), 0);
	text = view_describe(store);
	assert_int_equal(setenv("COPPICE_VIEW", "overlay", 1), 0);
	return text;
}

static void a_store_on_tmpfs(void **state)
{
	struct scratch *scratch = *state;
	const char *path = mount_at_place(scratch, "tmpfs", "size=64m"), *text;
	struct cop_store *store = open_store(path);

	/* The kernel mounts images there through loop devices only. */
	text = describe(store, "overlay");
	if (strncmp(text, "overlay", 7) == 0)
		use(store);
	else
		assert_non_null(strstr(text, "the store is on tmpfs"));
	cop_store_close(store);
	assert_int_equal(umount2(path, 0), 0);
}

static const char *mount_overlay_place(struct scratch *scratch)
{
	char options[600];

	assert_int_equal(mkdir(join(scratch->path, "lower"), 0755), 0);
	assert_int_equal(mkdir(join(scratch->path, "upper"), 0755), 0);
	assert_int_equal(mkdir(join(scratch->path, "work"), 0755), 0);
	(void)snprintf(options, sizeof(options), "lowerdir=%s,upperdir=%s,workdir=%s",
		       join(scratch->path, "lower"), join(scratch->path, "upper"),
		       join(scratch->path, "work"));
	return mount_at_place(scratch, "overlay", options);
}

static void a_store_on_an_overlay_root_says_why_it_copies(void **state)
{
	struct scratch *scratch = *state;
	const char *path = mount_overlay_place(scratch), *text;
	struct cop_store *store = open_store(path);

	text = describe(store, NULL);
	assert_true(strncmp(text, "copy (", 6) == 0);
	assert_non_null(strstr(text, "the store is on overlayfs"));
	use(store);
	cop_store_close(store);
	assert_int_equal(umount2(path, 0), 0);
}

static void a_wish_that_cannot_be_granted_is_an_error(void **state)
{
	struct scratch *scratch = *state;
	const char *path = mount_overlay_place(scratch), *text;
	struct cop_store *store = open_store(path);
	struct cop_object *object = NULL;
	struct cop_error err = {};

	text = describe(store, "overlay");
	assert_true(strncmp(text, "none (", 6) == 0);
	assert_non_null(strstr(text, "the store is on overlayfs"));
	assert_ok(cop_object_new(store, NULL, &object, &err), &err);
	assert_true(cop_object_init(object, &err) < 0);
	assert_non_null(strstr(err.message, "COPPICE_VIEW asks for overlay"));
	assert_non_null(strstr(err.message, "the store is on overlayfs"));
	cop_object_free(object);
	cop_store_close(store);
	assert_int_equal(umount2(path, 0), 0);
}

static void the_environment_chooses(void **state)
{
	struct scratch *scratch = *state;
	struct cop_store *copy = open_store(join(scratch->path, "copy"));
	struct cop_store *neither = open_store(join(scratch->path, "neither"));
	struct cop_object *object = NULL;
	struct cop_error err = {};

	assert_non_null(strstr(describe(copy, "copy"), "COPPICE_VIEW"));
	use(copy);
	assert_non_null(strstr(describe(neither, "loop"), "'loop'"));
	assert_ok(cop_object_new(neither, NULL, &object, &err), &err);
	assert_fails(cop_object_init(object, &err), -EINVAL, &err);
	assert_non_null(strstr(err.message, "'loop'"));
	cop_object_free(object);
	cop_store_close(copy);
	cop_store_close(neither);
}

/* A file system in a file; false, saying why, where that cannot be made. */
static bool mount_image_place(struct scratch *scratch, const char *type, uint64_t size,
			      char path[128])
{
	char program[32], image[128];
	const char *const make[] = {program, "-q", image, NULL};
	const char *const attach[] = {"mount", "-o", "loop", image, path, NULL};
	struct cop_error err = {};
	auto_close int fd = -EBADF;

	(void)snprintf(program, sizeof(program), "mkfs.%s", type);
	(void)snprintf(image, sizeof(image), "%s/%s.image", scratch->path, type);
	(void)snprintf(path, 128, "%s/%s", scratch->path, type);
	fd = open(image, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	if (process_check(make, NULL, NULL, &err) == 0 &&
	    process_check(attach, NULL, NULL, &err) == 0)
		return true;
	print_message("skipped: no %s here: %s\n", type, err.message);
	return false;
}

static void stores_on_other_file_systems(void **state)
{
	static const char *const types[] = {"ext4", "xfs", "btrfs"};
	struct scratch *scratch = *state;

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		struct cop_store *store;
		char path[128];

		if (!mount_image_place(scratch, types[i], 512 * MIB, path))
			continue;
		store = open_store(join(path, "store"));
		assert_string_equal(view_describe(store), view_describe(scratch->store));
		use(store);
		cop_store_close(store);
		assert_int_equal(umount2(path, 0), 0);
	}
}

static void a_full_disk_leaves_a_view_that_can_be_committed(void **state)
{
	struct scratch *scratch = *state;
	struct cop_store *store;
	struct cop_object *object = NULL;
	struct cop_error err = {};
	struct cop_digest digest;
	const char *path;
	char place[128];
	int fd;

	if (!mount_image_place(scratch, "ext4", 16 * MIB, place))
		skip_because("there is no file system to fill");
	store = open_store(join(place, "store"));
	assert_ok(cop_object_new(store, NULL, &object, &err), &err);
	assert_ok(cop_object_write(object, &path, &err), &err);
	for (int i = 0; i < 200; i++) {
		char name[64], text[128];

		(void)snprintf(name, sizeof(name), "a-long-enough-name-%040d", i);
		(void)snprintf(text, sizeof(text), "%0100d", i);
		write_file(path, name, text);
	}
	assert_ok(cop_object_write_end(object, &err), &err);
	fd = open(join(place, "filler"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	for (size_t size = 65536; size > 0; size /= 2) {
		static char zeros[65536];

		while (write(fd, zeros, size) == (ssize_t)size)
			continue;
	}
	assert_fails(cop_store_commit(store, object, "result", &digest, &err), -ENOSPC,
		     &err);
	assert_int_equal(cop_store_contains(store, "result", &err), 0);
	assert_int_equal(close(fd), 0);
	assert_int_equal(unlink(join(place, "filler")), 0);
	assert_ok(cop_object_write(object, &path, &err), &err);
	digest = directory_digest(scratch, path);
	assert_ok(cop_object_write_end(object, &err), &err);
	{
		struct cop_digest got;

		assert_ok(cop_store_commit(store, object, "result", &got, &err), &err);
		assert_digests_equal(got, digest);
	}
	cop_object_free(object);
	cop_store_close(store);
	assert_int_equal(umount2(place, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)
		TEST(a_store_behind_a_symlink),
		TEST(a_store_of_any_name),
		TEST(every_way_of_mounting),
		TEST(an_overlay_can_stand_on_a_view),
		TEST(a_store_on_tmpfs),
		TEST(a_store_on_an_overlay_root_says_why_it_copies),
		TEST(a_wish_that_cannot_be_granted_is_an_error),
		TEST(the_environment_chooses),
		TEST(stores_on_other_file_systems),
		TEST(a_full_disk_leaves_a_view_that_can_be_committed),
	};

	if (!overlay_works_here())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
