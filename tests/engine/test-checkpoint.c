/* SPDX-License-Identifier: Apache-2.0 */
/* The policy `auto`, one rule after the other. */
#include "testlib.h"

#include "engine/checkpoint.h"

/* A pipeline of three stages of @type, asked about the one with @number. */
static bool wanted(const char *type, unsigned int number, double seconds,
		   uint64_t n_changed, uint64_t n_bytes, const char **why)
{
	struct manifest_pipeline pipeline = {.name = "p", .n_stages = 3};
	const struct manifest_stage stage = {
		.type = type, .number = number, .pipeline = &pipeline, .id = "0123"};
	const struct object_changes changes = {
		.n_entries = 5000, .n_changed = n_changed, .n_changed_bytes = n_bytes};
	const struct manifest manifest = {};
	struct checkpoint_policy policy;
	struct cop_error err = {};

	assert_ok(checkpoint_policy_init(&policy, NULL, &manifest, &err), &err);
	return checkpoint_wanted(&policy, &stage, seconds, &changes, why);
}

static void the_last_stage_is_kept(void **state)
{
	const char *why;

	(void)state;
	assert_true(wanted("org.osbuild.noop", 3, 0, 0, 0, &why));
	assert_string_equal(why, "last of its pipeline");
}

static void a_configured_layer_is_kept(void **state)
{
	const char *why;

	(void)state;
	assert_true(wanted("org.coppice.deb.configure", 1, 0, 0, 0, &why));
	assert_string_equal(why, "a package layer");
}

static void unpacked_packages_are_not_kept(void **state)
{
	const char *why;

	(void)state;
	assert_false(wanted("org.coppice.deb.unpack", 1, 1000, 100, 100, &why));
	assert_string_equal(why, "packages not configured yet");
}

static void a_disk_image_on_its_way_is_not_kept(void **state)
{
	const char *why;

	(void)state;
	assert_false(wanted("org.osbuild.sfdisk", 1, 1000, 1, 4 * GIB, &why));
	assert_string_equal(why, "one large file that the next stages write to");
}

static void a_quick_stage_is_not_kept(void **state)
{
	const char *why;

	(void)state;
	assert_false(wanted("org.osbuild.hostname", 1, 0.01, 1, 10, &why));
	assert_string_equal(why, "quick to make again");
}

static void a_slow_stage_is_kept(void **state)
{
	const char *why;

	(void)state;
	assert_true(wanted("org.coppice.run", 1, 20, 1000, 50 * MIB, &why));
	assert_string_equal(why, "cheap to keep");
}

static void a_slow_stage_with_very_much_data_is_not_kept(void **state)
{
	const char *why;

	(void)state;
	assert_false(wanted("org.coppice.run", 1, 20, 1000, 50 * GIB, &why));
}

static void a_costly_commit_makes_later_ones_rarer(void **state)
{
	struct manifest_pipeline pipeline = {.name = "p", .n_stages = 3};
	const struct manifest_stage stage = {
		.type = "x", .number = 1, .pipeline = &pipeline, .id = "0123"};
	const struct object_changes changes = {
		.n_entries = 5000, .n_changed = 1000, .n_changed_bytes = 50 * MIB};
	const struct manifest manifest = {};
	struct checkpoint_policy policy;
	struct cop_error err = {};
	const char *why;

	(void)state;
	assert_ok(checkpoint_policy_init(&policy, NULL, &manifest, &err), &err);
	assert_true(checkpoint_wanted(&policy, &stage, 5, &changes, &why));
	checkpoint_learn(&policy, &changes, 60);
	assert_false(checkpoint_wanted(&policy, &stage, 5, &changes, &why));
}

/* Of three stages: may something from @number on be kept when @word was asked for? */
static bool may_come(const char *word, unsigned int number)
{
	static const char *const ids[] = {"01", "02", "03"};
	const char *const words[] = {word, "none", NULL};
	struct manifest_stage stages[3] = {};
	struct manifest_pipeline pipeline = {
		.name = "p", .stages = stages, .n_stages = ARRAY_SIZE(stages)};
	const struct manifest manifest = {.pipelines = &pipeline, .n_pipelines = 1};
	struct checkpoint_policy policy;
	struct cop_error err = {};

	for (unsigned int i = 0; i < ARRAY_SIZE(stages); i++) {
		stages[i].number = i + 1;
		stages[i].pipeline = &pipeline;
		stages[i].type = "t";
		(void)snprintf(stages[i].id, sizeof(stages[i].id), "%s", ids[i]);
	}
	assert_ok(checkpoint_policy_init(&policy, words, &manifest, &err), &err);
	return checkpoint_may_come(&policy, &stages[number - 1]);
}

static void only_what_is_kept_is_worth_waiting_for(void **state)
{
	(void)state;
	assert_true(may_come("02", 1));
	assert_true(may_come("02", 2));
	assert_false(may_come("02", 3));
	assert_true(may_come("p", 3));
	assert_false(may_come("none", 1));
	assert_true(may_come("auto", 3));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_last_stage_is_kept),
		cmocka_unit_test(a_configured_layer_is_kept),
		cmocka_unit_test(unpacked_packages_are_not_kept),
		cmocka_unit_test(a_disk_image_on_its_way_is_not_kept),
		cmocka_unit_test(a_quick_stage_is_not_kept),
		cmocka_unit_test(a_slow_stage_is_kept),
		cmocka_unit_test(a_slow_stage_with_very_much_data_is_not_kept),
		cmocka_unit_test(only_what_is_kept_is_worth_waiting_for),
		cmocka_unit_test(a_costly_commit_makes_later_ones_rarer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
