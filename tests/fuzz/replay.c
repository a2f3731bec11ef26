/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a fuzz target over files, without libFuzzer.
 *
 *   replay FILE|DIRECTORY...	the files as they are, and each with some damage
 *   replay --images ...	the same with the images of those that are dumps
 *   replay --seeds TO ...	write these images into the directory TO, as a first
 * corpus
 */
#include "fuzz.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "image/image.h"
#include "tree/dump.h"

#define DAMAGES 24

struct replay {
	bool as_images;
	int seeds_fd;
	unsigned int n_inputs;
};

/* xorshift: the same damage every time */
static uint32_t next_random(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

static void run_damaged(const uint8_t *data, size_t size)
{
	auto_free uint8_t *copy = malloc(size + 1);
	uint32_t seed = 0x9e3779b9;

	fuzz_check(copy);
	for (unsigned int i = 0; size > 0 && i < DAMAGES; i++) {
		size_t shown = i % 8 == 7 ? next_random(&seed) % size : size;

		memcpy(copy, data, size);
		for (unsigned int k = 0; k <= i % 4; k++)
			copy[next_random(&seed) % size] =
				i % 2 ? (uint8_t)next_random(&seed)
				      : data[next_random(&seed) % size];
		(void)LLVMFuzzerTestOneInput(copy, shown);
	}
}

static void run_input(struct replay *replay, const char *name, const uint8_t *data,
		      size_t size)
{
	struct cop_error err = {};

	replay->n_inputs++;
	if (replay->seeds_fd >= 0) {
		char seed_name[300];

		(void)snprintf(seed_name, sizeof(seed_name), "%u-%s", replay->n_inputs,
			       name);
		fuzz_check(fs_write_new(replay->seeds_fd, seed_name, data, size, 0644,
					&err) == 0);
		return;
	}
	(void)LLVMFuzzerTestOneInput(data, size);
	run_damaged(data, size);
}

static void run_file(struct replay *replay, int dir_fd, const char *name)
{
	struct cop_error err = {};
	auto_buf text = {};

	fuzz_check(fs_read_file(dir_fd, name, 64 * MIB, &text, &err) == 0);
	if (!replay->as_images) {
		run_input(replay, name, (const uint8_t *)buf_text(&text), text.size);
		return;
	}
	for (unsigned int version = 0; version <= 1; version++) {
		auto_free uint8_t *data = NULL;
		auto_ptr(tree) tree = NULL;
		size_t size = 0;

		if (tree_from_dump(buf_text(&text), text.size, &tree, &err) < 0)
			return;
		fuzz_check(image_write(tree, version, &data, &size, &err) == 0);
		run_input(replay, name, data, size);
	}
}

static void run_path(struct replay *replay, const char *path)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct cop_error err = {};
	size_t n_names = 0;
	char **names = NULL;
	struct stat st;

	fuzz_check(fd >= 0 && fstat(fd, &st) == 0);
	if (!S_ISDIR(st.st_mode)) {
		const char *slash = strrchr(path, '/');
		auto_free char *dir = strndup(path, slash ? (size_t)(slash - path) : 0);
		auto_close int dir_fd = -EBADF;

		fuzz_check(dir);
		dir_fd = open(slash ? (*dir ? dir : "/") : ".",
			      O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		fuzz_check(dir_fd >= 0);
		run_file(replay, dir_fd, slash ? slash + 1 : path);
		return;
	}
	fuzz_check(fs_list(fd, &names, &n_names, &err) == 0);
	for (size_t i = 0; i < n_names; i++)
		run_file(replay, fd, names[i]);
	fs_list_free(names);
}

int main(int argc, char **argv)
{
	struct replay replay = {.seeds_fd = -EBADF};
	int i = 1;

	if (argc > 1 && strcmp(argv[1], "--images") == 0) {
		replay.as_images = true;
		i = 2;
	} else if (argc > 2 && strcmp(argv[1], "--seeds") == 0) {
		replay.as_images = true;
		replay.seeds_fd = open(argv[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		fuzz_check(replay.seeds_fd >= 0);
		i = 3;
	}
	for (; i < argc; i++)
		run_path(&replay, argv[i]);
	(void)printf("%u inputs\n", replay.n_inputs);
	closep(&replay.seeds_fd);
	return replay.n_inputs > 0 ? 0 : 1;
}
