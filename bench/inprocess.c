/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench-inprocess STORE BASE PATH ROUNDS: a writable view of BASE, one file PATH written
 * anew, committed, through the public headers only.  As lines of JSON, milliseconds:
 *
 *	{"kept": false, "open": 1.2, "commit": 34.5, "cpu": 30.1}
 *
 * First ROUNDS times with a new Object each, then ("kept") with one that stays, as in a
 * build of several stages, where the tree of the last commit is the next base.
 */
#include <coppice/object.h>
#include <coppice/store.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct run {
	struct cop_store *store;
	const char *base, *path;
	int number;
};

static double now(clockid_t clock)
{
	struct timespec time;

	(void)clock_gettime(clock, &time);
	return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

static void check(int r, const struct cop_error *err)
{
	if (r >= 0)
		return;
	(void)fprintf(stderr, "bench-inprocess: %s\n", err->message);
	exit(1);
}

static void write_file(const struct run *run, const char *root)
{
	char path[4096];
	FILE *out;

	(void)snprintf(path, sizeof(path), "%s/%s", root, run->path);
	(void)unlink(path);
	out = fopen(path, "w");
	if (!out || fprintf(out, "%d of process %d\n", run->number, (int)getpid()) < 0 ||
	    fclose(out) != 0) {
		perror(path);
		exit(1);
	}
}

static void change(struct run *run, struct cop_object *object, bool kept)
{
	struct cop_error err = {0};
	struct cop_digest digest;
	const char *root;
	char name[64];
	double start, opened, written, done, cpu;

	sync();
	run->number++;
	(void)snprintf(name, sizeof(name), "inprocess-%d", run->number);
	cpu = now(CLOCK_PROCESS_CPUTIME_ID);
	start = now(CLOCK_MONOTONIC);
	check(cop_object_write(object, &root, &err), &err);
	opened = now(CLOCK_MONOTONIC);
	write_file(run, root);
	written = now(CLOCK_MONOTONIC);
	check(cop_object_write_end(object, &err), &err);
	check(cop_store_commit(run->store, object, name, &digest, &err), &err);
	done = now(CLOCK_MONOTONIC);
	cpu = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	(void)printf("{\"kept\": %s, \"open\": %.3f, \"commit\": %.3f, \"cpu\": %.3f}\n",
		     kept ? "true" : "false", opened - start, done - written, cpu);
}

int main(int argc, char **argv)
{
	struct cop_object *object;
	struct cop_error err = {0};
	struct run run = {0};

	if (argc != 5) {
		(void)fprintf(stderr, "usage: bench-inprocess STORE BASE PATH ROUNDS\n");
		return 2;
	}
	run.base = argv[2];
	run.path = argv[3];
	check(cop_store_open(argv[1], 0, &run.store, &err), &err);
	for (int i = 0; i < atoi(argv[4]); i++) {
		check(cop_object_new(run.store, run.base, &object, &err), &err);
		change(&run, object, false);
		cop_object_free(object);
	}
	check(cop_object_new(run.store, run.base, &object, &err), &err);
	for (int i = 0; i < atoi(argv[4]); i++)
		change(&run, object, true);
	cop_object_free(object);
	cop_store_close(run.store);
	return 0;
}
