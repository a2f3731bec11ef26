/* SPDX-License-Identifier: Apache-2.0 */
/* Collections: what goes, what stays, and what a kill or a writer between any two steps
 * changes about that. */
#include "teststore.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "base/fs.h"
#include "digest/verity.h"
#include "store/gc-private.h"
#include "store/settings.h"
#include "store/usage.h"
#include "json/json.h"

#define ID_A "aa112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define ID_B "bb112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define ID_C "cc112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static struct gc_result collect_with(const struct scratch *scratch,
				     const struct gc_request *request)
{
	struct gc_result result;
	struct cop_error err = {};

	assert_ok(store_gc(scratch->store, request, &result, &err), &err);
	return result;
}

static struct gc_result collect(const struct scratch *scratch)
{
	return collect_with(scratch, &(struct gc_request){});
}

static struct cop_digest commit(const struct scratch *scratch, const char *path,
				const char *name)
{
	struct cop_digest digest = {};
	struct cop_error err = {};

	assert_ok(scratch_commit(scratch, path, name, &digest, NULL, &err), &err);
	return digest;
}

static void forget(const struct scratch *scratch, const char *name)
{
	struct cop_error err = {};

	assert_ok(cop_ref_remove(scratch->store, name, &err), &err);
}

/* "a" stays, "b" is garbage; they share some files. */
static void fill(const struct scratch *scratch)
{
	if (!scratch_has(scratch, "a")) {
		scratch_fill(scratch, "a", 0);
		scratch_fill(scratch, "b", 0);
		scratch_fill(scratch, "b/more", 1);
	}
	(void)commit(scratch, "a", "a");
	(void)commit(scratch, "b", "b");
	forget(scratch, "b");
}

static void what_no_ref_needs_goes_and_the_rest_stays(void **state)
{
	struct scratch *scratch = *state;
	struct gc_result result;

	fill(scratch);
	result = collect(scratch);
	assert_int_equal(result.gone[GC_OBJECT].n, 1);
	assert_true(result.gone[GC_FILE].n > 0);
	scratch_check(scratch, false);
	assert_int_equal(scratch_count(scratch, "store/meta/files"), 1);
	assert_int_equal(scratch_count(scratch, "store/tmp"), 0);
	result = collect(scratch);
	assert_int_equal(gc_total(&result).n, 0);
}

static void a_dry_run_counts_the_same_and_removes_nothing(void **state)
{
	struct scratch *scratch = *state;
	struct gc_result dry, wet;

	fill(scratch);
	dry = collect_with(scratch, &(struct gc_request){.dry_run = true});
	assert_int_equal(scratch_count(scratch, "store/meta/files"), 2);
	wet = collect(scratch);
	for (int kind = GC_NAME; kind <= GC_FILE; kind++) {
		assert_int_equal(dry.gone[kind].n, wet.gone[kind].n);
		assert_int_equal(dry.gone[kind].n_bytes, wet.gone[kind].n_bytes);
	}
}

static void what_a_process_registered_stays_as_long_as_it_lives(void **state)
{
	struct scratch *scratch = *state;
	struct workdir *workdir = NULL;
	struct cop_digest digest = {};
	struct cop_error err = {};
	struct gc_result result;

	fill(scratch);
	(void)commit(scratch, "b", "b");
	assert_ok(workdir_new(scratch->store, NULL, NULL, &workdir, &err), &err);
	assert_ok(object_get(scratch->store, workdir, "b", &digest, &err), &err);
	forget(scratch, "b");
	result = collect(scratch);
	assert_int_equal(gc_total(&result).n, 0);
	workdir_free(workdir);
	result = collect(scratch);
	assert_int_equal(result.gone[GC_OBJECT].n, 1);
	scratch_check(scratch, false);
}

/* A mount keeps the image open, in whatever mount namespace it is. */
static void an_image_that_somebody_has_open_stays_with_its_files(void **state)
{
	char payload[TREE_PAYLOAD_SIZE], path[128];
	struct scratch *scratch = *state;
	struct cop_digest digest;
	struct gc_result result;
	int fd;

	fill(scratch);
	digest = commit(scratch, "b", "b");
	forget(scratch, "b");
	(void)snprintf(path, sizeof(path), "store/objects/%s",
		       tree_payload(&digest, payload));
	fd = openat(scratch->fd, path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	result = collect(scratch);
	assert_int_equal(gc_total(&result).n, 0);
	(void)close(fd);
	result = collect(scratch);
	assert_int_equal(result.gone[GC_OBJECT].n, 1);
	scratch_check(scratch, false);
}

/* The one who asks would be killed by the usual signal, the other one be turned away. */
static void who_opens_an_image_while_it_is_asked_for_hurts_nobody(void **state)
{
	struct scratch *scratch = *state;
	struct cop_digest digest;
	struct cop_error err = {};
	int lease, status;
	pid_t pid;

	fill(scratch);
	digest = scratch_ref(scratch, "a");
	lease = object_lease(scratch->store, &digest);
	if (lease == -EOPNOTSUPP)
		skip();
	assert_true(lease >= 0);
	pid = fork();
	if (pid == 0) {
		/* Inherited: what it waits for would be its own, and that for 45 seconds.
		 */
		(void)close(lease);
		_exit(object_open_image(scratch->store, &digest, &err) < 0);
	}
	/* The lock of a lease lasts for seconds, unless we let go. */
	(void)usleep(100000);
	(void)close(lease);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* ---- side lists */

static void list_name(const struct cop_digest *digest, char path[128])
{
	char hex[COP_DIGEST_HEX + 1];

	(void)snprintf(path, 128, "store/meta/files/%s", cop_digest_to_hex(digest, hex));
}

static size_t read_bytes(const struct scratch *scratch, const char *path, uint8_t *bytes,
			 size_t size)
{
	int fd = openat(scratch->fd, path, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, bytes, size);

	assert_true(fd >= 0 && n >= 0);
	(void)close(fd);
	return (size_t)n;
}

static void write_bytes(const struct scratch *scratch, const char *path,
			const uint8_t *bytes, size_t size)
{
	(void)unlinkat(scratch->fd, path, 0);
	scratch_write(scratch, path, bytes, size);
}

static void a_side_list_that_is_not_whole_is_made_from_the_image(void **state)
{
	struct scratch *scratch = *state;
	uint8_t good[1024], bad[1024], again[1024];
	struct cop_digest digest;
	struct gc_result result;
	char path[128];
	size_t size;

	fill(scratch);
	digest = scratch_ref(scratch, "a");
	list_name(&digest, path);
	size = read_bytes(scratch, path, good, sizeof(good));
	assert_true(size > 24);
	for (int damage = 0; damage < 5; damage++) {
		size_t bad_size = size;

		(void)commit(scratch, "b", "b");
		forget(scratch, "b");
		memcpy(bad, good, size);
		if (damage == 0)
			bad[5] ^= 1;
		else if (damage == 1)
			bad_size = 0;
		else if (damage == 2) /* an entry is lost */
			memmove(bad + 8, bad + 16, bad_size -= 8);
		else if (damage == 3)
			bad_size = size - 3;
		write_bytes(scratch, path, bad, bad_size);
		if (damage == 4)
			assert_int_equal(unlinkat(scratch->fd, path, 0), 0);
		result = collect(scratch);
		assert_int_equal(result.gone[GC_OBJECT].n, 1);
		scratch_check(scratch, false);
		assert_int_equal(read_bytes(scratch, path, again, sizeof(again)), size);
		assert_memory_equal(good, again, size);
	}
}

static void ruin_image(const struct scratch *scratch, const struct cop_digest *digest)
{
	char payload[TREE_PAYLOAD_SIZE], path[128];

	(void)snprintf(path, sizeof(path), "store/objects/%s",
		       tree_payload(digest, payload));
	write_bytes(scratch, path, (const uint8_t *)"ruin", 4);
	list_name(digest, path);
	write_bytes(scratch, path, (const uint8_t *)"ruin", 4);
}

static void no_file_goes_while_nobody_knows_what_a_name_needs(void **state)
{
	struct scratch *scratch = *state;
	struct cop_digest digest;
	struct gc_result result;

	fill(scratch);
	digest = scratch_ref(scratch, "a");
	ruin_image(scratch, &digest);
	result = collect(scratch);
	assert_int_equal(result.gone[GC_OBJECT].n, 1);
	assert_int_equal(result.gone[GC_FILE].n, 0);
	assert_true(*result.blocked);
	/* The tree once more, and all is well. */
	(void)commit(scratch, "a", "a");
	result = collect(scratch);
	assert_false(*result.blocked);
	assert_true(result.gone[GC_FILE].n > 0);
	scratch_check(scratch, false);
}

/* ---- the cap */

static void set_stage(const struct scratch *scratch, enum ref_class class, const char *id,
		      const char *tree, int64_t last_use)
{
	const struct timespec times[2] = {{.tv_sec = last_use}, {.tv_sec = last_use}};
	struct cop_digest digest = commit(scratch, tree, NULL);
	struct cop_error err = {};
	char path[160];

	assert_ok(ref_set(scratch->store, class, id, &digest, NULL, &err), &err);
	(void)snprintf(path, sizeof(path), "store/meta/refs/%s/%s", ref_class_name(class),
		       id);
	assert_int_equal(utimensat(scratch->fd, path, times, 0), 0);
}

static void write_blob(const struct scratch *scratch, const char *tree, uint8_t seed)
{
	static uint8_t bytes[200000];
	char path[128];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(seed + i % 251);
	(void)snprintf(path, sizeof(path), "%s/blob", tree);
	scratch_write(scratch, path, bytes, sizeof(bytes));
}

static bool has_ref(const struct scratch *scratch, enum ref_class class, const char *name)
{
	struct cop_digest digest;

	return ref_get(scratch->store, class, name, &digest, NULL) == 0;
}

/* Five trees of 200 kB; the name was used first of all. */
static void fill_five(const struct scratch *scratch)
{
	for (uint8_t i = 0; i < 5; i++)
		write_blob(scratch, (const char *[]){"n", "x", "y", "z", "f"}[i], i);
	set_stage(scratch, REF_NAME, "name", "n", 1000);
	set_stage(scratch, REF_STAGE, ID_A, "x", 3000);
	set_stage(scratch, REF_STAGE, ID_B, "y", 2000);
	set_stage(scratch, REF_STAGE, ID_C, "z", 4000);
	set_stage(scratch, REF_FAILED, ID_A, "f", 5000);
}

static uint64_t kept(const struct gc_result *result)
{
	return result->objects_bytes + result->files_bytes + result->sources_bytes;
}

/* Room for @n of the five trees. */
static uint64_t room_for(const struct scratch *scratch, unsigned int n)
{
	struct gc_result now =
		collect_with(scratch, &(struct gc_request){.dry_run = true});

	return kept(&now) - (5 - n) * 200000ULL - 30000;
}

static void a_cap_takes_failed_stages_then_old_checkpoints_then_names(void **state)
{
	struct scratch *scratch = *state;
	struct gc_request request = {};
	struct gc_result result;

	fill_five(scratch);
	request.max_size = room_for(scratch, 4);
	result = collect_with(scratch, &request);
	assert_true(kept(&result) <= request.max_size);
	/* One had to go, but for so little the next in line would have been kept. */
	assert_false(has_ref(scratch, REF_FAILED, ID_A));
	assert_false(has_ref(scratch, REF_STAGE, ID_B));
	assert_true(has_ref(scratch, REF_STAGE, ID_A));
	assert_true(has_ref(scratch, REF_STAGE, ID_C));
	assert_true(has_ref(scratch, REF_NAME, "name"));
	scratch_check(scratch, false);
	request.max_size -= 450000;
	result = collect_with(scratch, &request);
	assert_false(has_ref(scratch, REF_STAGE, ID_A));
	assert_false(has_ref(scratch, REF_STAGE, ID_C));
	assert_true(has_ref(scratch, REF_NAME, "name"));
	scratch_check(scratch, false);
	request.max_size = 1;
	request.keep_names = true;
	result = collect_with(scratch, &request);
	assert_true(has_ref(scratch, REF_NAME, "name") && result.over_cap);
	request.keep_names = false;
	(void)collect_with(scratch, &request);
	assert_false(has_ref(scratch, REF_NAME, "name"));
	assert_int_equal(scratch_count(scratch, "store/meta/files"), 0);
}

static void a_pin_outlasts_any_cap(void **state)
{
	const struct gc_request request = {.max_size = 1};
	struct scratch *scratch = *state;
	struct cop_error err = {};
	struct gc_result result;

	fill_five(scratch);
	assert_int_equal(settings_pin(scratch->store, REF_STAGE, ID_B, true, &err), 1);
	assert_int_equal(settings_pin(scratch->store, REF_STAGE, ID_B, true, &err), 0);
	result = collect_with(scratch, &request);
	assert_true(result.over_cap);
	assert_true(has_ref(scratch, REF_STAGE, ID_B));
	assert_false(has_ref(scratch, REF_NAME, "name"));
	scratch_check(scratch, false);
	assert_int_equal(settings_pin(scratch->store, REF_STAGE, ID_B, false, &err), 1);
	(void)collect_with(scratch, &request);
	assert_false(has_ref(scratch, REF_STAGE, ID_B));
}

static void sources_share_the_cap_with_checkpoints(void **state)
{
	const struct timespec old[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
	struct scratch *scratch = *state;
	struct workdir *workdir = NULL;
	struct gc_request request = {};
	struct cop_error err = {};
	struct gc_result result;

	fill_five(scratch);
	write_blob(scratch, "store/sources/org.osbuild.files", 9);
	assert_int_equal(
		utimensat(scratch->fd, "store/sources/org.osbuild.files/blob", old, 0),
		0);
	assert_ok(workdir_new(scratch->store, NULL, NULL, &workdir, &err), &err);
	assert_ok(workdir_register_source(workdir, "blob", &err), &err);
	request.max_size = room_for(scratch, 4);
	result = collect_with(scratch, &request);
	assert_int_equal(result.gone[GC_SOURCE].n, 0);
	workdir_free(workdir);
	request.max_size -= 230000;
	result = collect_with(scratch, &request);
	assert_int_equal(result.gone[GC_SOURCE].n, 1);
	assert_true(has_ref(scratch, REF_STAGE, ID_C));
}

/* ---- sizes */

static uint64_t du(const struct scratch *scratch, const char *parts)
{
	char command[400];
	unsigned long long bytes = 0, total = 0;
	FILE *out;

	(void)snprintf(command, sizeof(command), "cd %s/store && du -s -B1 %s",
		       scratch->path, parts);
	out = popen(command, "r");
	assert_non_null(out);
	while (fscanf(out, "%llu %*s", &bytes) == 1)
		total += bytes;
	assert_int_equal(pclose(out), 0);
	return total;
}

static void sizes_are_those_of_du(void **state)
{
	struct scratch *scratch = *state;
	struct usage usage[USAGE_PARTS];
	struct cop_error err = {};
	struct gc_result result;
	uint64_t total = 0;

	fill(scratch);
	write_blob(scratch, "store/sources/org.osbuild.files", 9);
	/* With a second name, as a tool that copies by links leaves it. */
	assert_int_equal(linkat(scratch->fd, "store/sources/org.osbuild.files/blob",
				scratch->fd, "store/sources/twin", 0),
			 0);
	assert_ok(store_usage(scratch->store, usage, &err), &err);
	for (int i = 0; i < USAGE_PARTS; i++)
		total += usage[i].n_bytes;
	assert_int_equal(total, du(scratch, "."));
	assert_int_equal(unlinkat(scratch->fd, "store/sources/twin", 0), 0);
	result = collect(scratch);
	assert_int_equal(result.objects_bytes, du(scratch, "objects"));
	assert_int_equal(result.files_bytes, du(scratch, "files"));
	assert_int_equal(result.sources_bytes, du(scratch, "sources"));
}

/* ---- kills and writers */

struct moment {
	const struct scratch *scratch;
	enum commit_step step;
	int countdown;
	bool kill;
	bool forget;		  /* what was committed meanwhile */
	struct cop_digest digest; /* of that */
};

static void at_step(void *data, enum commit_step step)
{
	struct moment *moment = data;

	if (step != moment->step || moment->countdown-- != 0)
		return;
	if (moment->kill)
		(void)raise(SIGKILL);
	store_set_step_hook(NULL, NULL);
	if (step == GC_PLANNED) {
		moment->digest = commit(moment->scratch, "b", "b");
		if (moment->forget)
			forget(moment->scratch, "b");
	} else
		(void)collect(moment->scratch);
}

static void what_is_published_after_the_plan_stays(void **state)
{
	struct scratch *scratch = *state;
	struct moment moment = {.scratch = scratch, .step = GC_PLANNED};

	fill(scratch);
	store_set_step_hook(at_step, &moment);
	(void)collect(scratch);
	scratch_check(scratch, false);
	assert_true(has_ref(scratch, REF_NAME, "b"));
}

/* Nobody needs it any more, but as it stays till the next time, so must its files: there
 * was another one like it when the picture was taken, and that went. */
static void what_is_published_after_the_plan_is_whole_or_gone(void **state)
{
	struct scratch *scratch = *state;
	struct moment moment = {.scratch = scratch, .step = GC_PLANNED, .forget = true};
	struct cop_error err = {};

	scratch_fill(scratch, "a/more", 1);
	(void)commit(scratch, "a", "a");
	scratch_fill(scratch, "b", 1);
	forget(scratch, "a");
	store_set_step_hook(at_step, &moment);
	(void)collect(scratch);
	assert_int_equal(scratch_count(scratch, "store/meta/files"), 1);
	assert_ok(cop_ref_set(scratch->store, "b", &moment.digest, &err), &err);
	scratch_check(scratch, false);
}

static void a_file_that_goes_under_a_writer_is_written_again(void **state)
{
	struct scratch *scratch = *state;
	struct moment moment = {.scratch = scratch, .step = COMMIT_STAGED};

	fill(scratch);
	/* Shares its pool files with garbage, and they go after it has found them. */
	scratch_fill(scratch, "c/more", 1);
	store_set_step_hook(at_step, &moment);
	(void)commit(scratch, "c", "c");
	assert_int_equal(moment.countdown, -1);
	scratch_check(scratch, false);
}

static void look_slowly(void *data, enum commit_step step)
{
	if (step != GC_LOOKED)
		return;
	(*(int *)data)++;
	(void)usleep(150000);
}

/* Longer than a turn may take: many names, or a busy machine. */
static void a_collection_that_looks_for_long_ends(void **state)
{
	struct scratch *scratch = *state;
	struct gc_result result;
	int n_looks = 0;

	fill(scratch);
	fill_five(scratch);
	(void)commit(scratch, "b", "b");
	forget(scratch, "b");
	store_set_step_hook(look_slowly, &n_looks);
	result = collect(scratch);
	store_set_step_hook(NULL, NULL);
	assert_int_equal(result.gone[GC_OBJECT].n, 1);
	assert_in_range(n_looks, 1, 20);
	scratch_check(scratch, false);
}

static void collect_and_die(const struct scratch *scratch, struct moment *moment)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		const struct gc_request request = {.max_size = 500000};
		struct cop_store *store = NULL;
		struct gc_result result;

		store_set_step_hook(at_step, moment);
		if (cop_store_open(scratch->store_path, 0, &store, NULL) == 0)
			(void)store_gc(store, &request, &result, NULL);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	moment->countdown = WIFSIGNALED(status) ? 0 : -1;
}

static void a_killed_collection_leaves_nothing_for_the_next_but_garbage(void **state)
{
	static const enum commit_step steps[] = {GC_PLANNED, GC_EVICTED, GC_REMOVED};
	struct scratch *scratch = *state;

	for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
		for (int n = 0;; n += 1 + n) {
			struct moment moment = {
				.step = steps[i], .countdown = n, .kill = true};

			fill(scratch);
			fill_five(scratch);
			collect_and_die(scratch, &moment);
			scratch_reopen(scratch);
			scratch_check(scratch, true);
			(void)collect(scratch);
			scratch_check(scratch, false);
			assert_int_equal(scratch_count(scratch, "store/tmp"), 0);
			if (moment.countdown < 0)
				break;
		}
}

static void what_speaks_of_nothing_goes(void **state)
{
	struct scratch *scratch = *state;
	struct store_lock *lock = NULL;
	struct cop_error err = {};
	struct gc_result result;

	fill(scratch);
	scratch_write_text(scratch, "store/meta/refs/name/gone/deep", "{}");
	scratch_write_text(scratch, "store/meta/damaged/" ID_A, "");
	scratch_write_text(scratch, "store/meta/files/" ID_A, "");
	scratch_write_text(scratch, "store/meta/log/" ID_A, "log");
	scratch_write_text(scratch, "store/meta/log/" ID_B, "log");
	/* Its stage runs, and its tree will come. */
	assert_ok(store_lock_stage(scratch->store, ID_B, -1, NULL, NULL, &lock, &err),
		  &err);
	result = collect(scratch);
	assert_int_equal(result.gone[GC_REST].n, 4);
	assert_true(scratch_has(scratch, "store/meta/log/" ID_B));
	assert_int_equal(scratch_count(scratch, "store/meta/damaged"), 0);
	store_lock_drop(lock);
	result = collect(scratch);
	assert_int_equal(result.gone[GC_REST].n, 1);
}

/* Published into the pool, while the view that it came from is not settled yet. */
static void files_of_an_unsettled_commit_stay(void **state)
{
	static const char text[500] = "only here";
	struct scratch *scratch = *state;
	char path[128], hex[COP_DIGEST_HEX + 1], moves[400];
	struct cop_digest digest;
	struct cop_error err = {};

	fill(scratch);
	(void)collect(scratch);
	assert_ok(verity_digest_bytes(text, sizeof(text), &digest, &err), &err);
	(void)cop_digest_to_hex(&digest, hex);
	(void)pool_file(text, sizeof(text), path);
	scratch_write(scratch, path, text, sizeof(text));
	(void)snprintf(moves, sizeof(moves),
		       "coppice-moves 1\nobject " ID_A
		       " 4096\nfile %s %zu upper/file\nend\n",
		       hex, sizeof(text));
	scratch_write_text(scratch, "store/views/0123456789abcdef/moves", moves);
	(void)collect(scratch);
	assert_true(scratch_has(scratch, path));
	assert_int_equal(unlinkat(scratch->fd, "store/views/0123456789abcdef/moves", 0),
			 0);
	(void)collect(scratch);
	assert_false(scratch_has(scratch, path));
}

/* ---- settings */

static int add_foreign(void *data, json_t *settings, struct cop_error *err)
{
	(void)data;
	(void)err;
	return json_object_set_new(settings, "of-tomorrow", json_true());
}

static void settings_keep_what_they_do_not_know(void **state)
{
	struct scratch *scratch = *state;
	struct cop_error err = {};
	json_t *settings = NULL;

	assert_ok(settings_change(scratch->store, add_foreign, NULL, &err), &err);
	assert_ok(settings_set_max_size(scratch->store, 12345, &err), &err);
	assert_int_equal(settings_pin(scratch->store, REF_NAME, "a/b", true, &err), 1);
	assert_ok(settings_read(scratch->store, &settings, &err), &err);
	assert_true(json_is_true(json_object_get(settings, "of-tomorrow")));
	assert_int_equal(settings_max_size(settings), 12345);
	assert_true(settings_is_pinned(settings, REF_NAME, "a/b"));
	assert_false(settings_is_pinned(settings, REF_NAME, "a"));
	json_decref(settings);
	scratch_write_text(scratch, "store/settings.json", "[]");
	assert_fails(settings_read(scratch->store, &settings, &err), -EBADMSG, &err);
}

#define test(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		test(what_no_ref_needs_goes_and_the_rest_stays),
		test(a_dry_run_counts_the_same_and_removes_nothing),
		test(what_a_process_registered_stays_as_long_as_it_lives),
		test(an_image_that_somebody_has_open_stays_with_its_files),
		test(who_opens_an_image_while_it_is_asked_for_hurts_nobody),
		test(a_side_list_that_is_not_whole_is_made_from_the_image),
		test(no_file_goes_while_nobody_knows_what_a_name_needs),
		test(a_cap_takes_failed_stages_then_old_checkpoints_then_names),
		test(a_pin_outlasts_any_cap),
		test(sources_share_the_cap_with_checkpoints),
		test(sizes_are_those_of_du),
		test(what_is_published_after_the_plan_stays),
		test(what_is_published_after_the_plan_is_whole_or_gone),
		test(a_file_that_goes_under_a_writer_is_written_again),
		test(a_collection_that_looks_for_long_ends),
		test(a_killed_collection_leaves_nothing_for_the_next_but_garbage),
		test(what_speaks_of_nothing_goes),
		test(files_of_an_unsettled_commit_stay),
		test(settings_keep_what_they_do_not_know),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
