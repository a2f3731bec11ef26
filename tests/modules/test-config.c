/* SPDX-License-Identifier: Apache-2.0 */
/* Stages that write a file of settings, and systemctl where the tree has none. */
#include "stagelib.h"

#include "modules/stages/stages.h"

static void fstab_has_a_line_for_each_file_system(void **state)
{
	struct world *world = *state;

	assert_ok(stage_with(world, stage_fstab,
			     "{'filesystems': ["
			     "{'uuid': 'u-1', 'path': '/', 'vfs_type': 'ext4',"
			     " 'options': 'defaults,ro', 'freq': 1, 'passno': 1.0},"
			     "{'label': 'ESP', 'path': '/efi'},"
			     "{'partlabel': 'p', 'path': '/p'},"
			     "{'device': '/dev/sda', 'uuid': '', 'path': '/d'}]}"),
		  &world->err);
	assert_text(world, "tree/etc/fstab",
		    "UUID=u-1\t/\text4\tdefaults,ro\t1\t1.0\n"
		    "LABEL=ESP\t/efi\tnone\tdefaults\t0\t0\n"
		    "PARTLABEL=p\t/p\tnone\tdefaults\t0\t0\n"
		    "/dev/sda\t/d\tnone\tdefaults\t0\t0\n");
	assert_ok(stage_with(world, stage_fstab, "{'filesystems': []}"), &world->err);
	assert_text(world, "tree/etc/fstab", "");
}

static void fstab_refuses_lines_in_lines_and_ostree(void **state)
{
	struct world *world = *state;

	assert_fails(stage_with(world, stage_fstab,
				"{'filesystems': [{'device': '/a\\n/b', 'path': '/'}]}"),
		     -EINVAL, &world->err);
	assert_fails(stage_with(world, stage_fstab, "{'filesystems': [{'path': '/'}]}"),
		     -EINVAL, &world->err);
	assert_fails(stage_with(world, stage_fstab,
				"{'filesystems': [], 'ostree': {'deployment': {}}}"),
		     -EOPNOTSUPP, &world->err);
	assert_absent(world, "tree/etc/fstab");
}

static void an_existing_file_keeps_its_mode_and_names(void **state)
{
	struct world *world = *state;

	put_dir(world, "tree/etc", 0755);
	put(world, "tree/etc/real", "old and longer");
	assert_int_equal(fchmodat(world->fd, "tree/etc/real", 0600, 0), 0);
	put_link(world, "tree/etc/fstab", "/etc/real");
	assert_ok(stage_with(world, stage_fstab,
			     "{'filesystems': [{'device': 'd', 'path': '/'}]}"),
		  &world->err);
	assert_text(world, "tree/etc/real", "d\t/\tnone\tdefaults\t0\t0\n");
	assert_int_equal(stat_of(world, "tree/etc/real").st_mode & 07777, 0600);
	assert_true(S_ISLNK(stat_of(world, "tree/etc/fstab").st_mode));
}

/* Each stage that writes below etc, with an etc that leads out of the tree. */
static void no_file_of_settings_is_written_outside(void **state)
{
	static const struct {
		int (*stage)(struct kit *kit);
		const char *options;
	} stages[] = {
		{stage_fstab, "{'filesystems': []}"},
		{stage_machine_id, "{'first-boot': 'yes'}"},
		{stage_kernel_cmdline, "{'kernel_opts': 'quiet'}"},
		{stage_systemd_unit_create,
		 "{'filename': 'a.mount', 'unit-path': 'etc', 'config': {'Mount': {}}}"},
		{stage_systemd, "{'masked_generators': ['a']}"},
	};
	struct world *world = *state;

	put_dir(world, "outside", 0755);
	put_link(world, "tree/etc", "../outside");
	for (size_t i = 0; i < ARRAY_SIZE(stages); i++)
		assert_true(stage_with(world, stages[i].stage, stages[i].options) < 0);
	assert_int_equal(stat_of(world, "outside").st_nlink, 2);
	assert_absent(world, "outside/fstab");
	assert_absent(world, "outside/machine-id");
}

static void a_device_node_is_never_written_to(void **state)
{
	struct world *world = *state;

	put_dir(world, "tree/etc", 0755);
	if (mknodat(world->tree_fd, "etc/machine-id", S_IFIFO | 0600, 0) < 0)
		fail();
	assert_fails(stage_with(world, stage_machine_id, "{'first-boot': 'no'}"), -EINVAL,
		     &world->err);
}

static void machine_id_is_what_the_next_boot_shall_find(void **state)
{
	struct world *world = *state;

	assert_fails(stage_with(world, stage_machine_id, "{'first-boot': 'preserve'}"),
		     -ENOENT, &world->err);
	assert_ok(stage_with(world, stage_machine_id, "{'first-boot': 'yes'}"),
		  &world->err);
	assert_text(world, "tree/etc/machine-id", "uninitialized\n");
	assert_ok(stage_with(world, stage_machine_id, "{'first-boot': 'preserve'}"),
		  &world->err);
	assert_text(world, "tree/etc/machine-id", "uninitialized\n");
	assert_ok(stage_with(world, stage_machine_id, "{'first-boot': 'no'}"),
		  &world->err);
	assert_text(world, "tree/etc/machine-id", "");
	assert_fails(stage_with(world, stage_machine_id, "{'first-boot': 'maybe'}"),
		     -EINVAL, &world->err);
	assert_fails(stage_with(world, stage_machine_id, "{}"), -EINVAL, &world->err);
}

static void the_kernels_command_line_is_one_line_without_an_end(void **state)
{
	struct world *world = *state;

	assert_ok(stage_with(world, stage_kernel_cmdline,
			     "{'root_fs_uuid': '6699-AFB5', 'kernel_opts': 'ro quiet'}"),
		  &world->err);
	assert_text(world, "tree/etc/kernel/cmdline", "root=UUID=6699-AFB5 ro quiet");
	assert_ok(stage_with(world, stage_kernel_cmdline, "{'kernel_opts': 'ro'}"),
		  &world->err);
	assert_text(world, "tree/etc/kernel/cmdline", "ro");
	assert_ok(stage_with(world, stage_kernel_cmdline, "{}"), &world->err);
	assert_text(world, "tree/etc/kernel/cmdline", "");
	assert_fails(stage_with(world, stage_kernel_cmdline,
				"{'kernel_opts': 'quiet', 'kernel_cmdline_size': 4}"),
		     -EINVAL, &world->err);
}

static void units_are_written_as_they_are_given(void **state)
{
	struct world *world = *state;

	assert_ok(stage_with(world, stage_systemd_unit_create,
			     "{'filename': 'x@.service', 'config': {"
			     "'Unit': {'Description': 'X', 'After': ['a', 'b', 'a'],"
			     " 'DefaultDependencies': false},"
			     "'Service': {'Type': 'oneshot', 'RemainAfterExit': true,"
			     " 'Environment': [{'key': 'K', 'value': 'v w'}],"
			     " 'ExecStart': ['/bin/true']},"
			     "'Install': {'WantedBy': ['multi-user.target']}}}"),
		  &world->err);
	assert_text(world, "tree/usr/lib/systemd/system/x@.service",
		    "[Unit]\nDescription=X\nAfter=a\nAfter=b\n"
		    "DefaultDependencies=False\n\n"
		    "[Service]\nType=oneshot\nRemainAfterExit=True\n"
		    "Environment=\"K=v w\"\nExecStart=/bin/true\n\n"
		    "[Install]\nWantedBy=multi-user.target\n\n");
	assert_ok(stage_with(world, stage_systemd_unit_create,
			     "{'filename': 's.swap', 'unit-path': 'etc',"
			     " 'unit-type': 'global',"
			     " 'config': {'Swap': {'What': '/s', 'Priority': 3}}}"),
		  &world->err);
	assert_text(world, "tree/etc/systemd/user/s.swap",
		    "[Swap]\nWhat=/s\nPriority=3\n\n");
}

static void a_unit_needs_the_section_of_its_ending(void **state)
{
	struct world *world = *state;

	assert_fails(stage_with(world, stage_systemd_unit_create,
				"{'filename': 'a.mount', 'config': {'Swap': {}}}"),
		     -EINVAL, &world->err);
	assert_fails(stage_with(world, stage_systemd_unit_create,
				"{'filename': '../a.swap', 'config': {'Swap': {}}}"),
		     -EINVAL, &world->err);
}

static void units_are_enabled_disabled_and_masked(void **state)
{
	struct world *world = *state;

	if (!has_program("systemctl"))
		return;
	for (int i = 0; i < 2; i++) {
		char options[256];

		(void)snprintf(options, sizeof(options),
			       "{'filename': '%c.service', 'config': {'Service': {},"
			       "'Unit': {}, 'Install': {'WantedBy': ['m.target']}}}",
			       'a' + i);
		assert_ok(stage_with(world, stage_systemd_unit_create, options),
			  &world->err);
	}
	put(world, "tree/usr/lib/systemd/system/m.target", "[Unit]\n");
	assert_ok(
		stage_with(world, stage_systemd,
			   "{'enabled_services': ['a.service', 'b.service'],"
			   " 'disabled_services': ['b.service'],"
			   " 'masked_services': ['c.service'],"
			   " 'masked_generators': ['g'], 'default_target': 'm.target'}"),
		&world->err);
	assert_true(
		S_ISLNK(stat_of(world, "tree/etc/systemd/system/m.target.wants/a.service")
				.st_mode));
	assert_absent(world, "tree/etc/systemd/system/m.target.wants/b.service");
	assert_true(S_ISLNK(stat_of(world, "tree/etc/systemd/system/c.service").st_mode));
	assert_true(
		S_ISLNK(stat_of(world, "tree/etc/systemd/system-generators/g").st_mode));
	assert_true(S_ISLNK(
		stat_of(world, "tree/etc/systemd/system/default.target").st_mode));
	assert_fails(stage_with(world, stage_systemd, "{'enabled_services': ['nope']}"),
		     -ECHILD, &world->err);
	assert_non_null(strstr(world->err.message, "enable unit 'nope'"));
}

#define T(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(fstab_has_a_line_for_each_file_system),
		T(fstab_refuses_lines_in_lines_and_ostree),
		T(an_existing_file_keeps_its_mode_and_names),
		T(no_file_of_settings_is_written_outside),
		T(a_device_node_is_never_written_to),
		T(machine_id_is_what_the_next_boot_shall_find),
		T(the_kernels_command_line_is_one_line_without_an_end),
		T(units_are_written_as_they_are_given),
		T(a_unit_needs_the_section_of_its_ending),
		T(units_are_enabled_disabled_and_masked),
	};

	return cmocka_run_group_tests_name("settings", tests, NULL, NULL);
}
