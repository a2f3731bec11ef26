/* SPDX-License-Identifier: Apache-2.0 */
/* `boot`: a look at an image, in a virtual machine that does not write to it. */
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/wait.h>

#include "base/process.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/machine.h"

enum {
	OPTION_EXPECT,
	OPTION_TIMEOUT,
	OPTION_SSH,
	OPTION_PERSIST,
	OPTION_MEMORY,
	OPTION_CPUS,
	OPTION_FIRMWARE,
	OPTION_SECURE_BOOT,
	OPTION_NO_KVM,
};

/* Linux says so when it gives up; nothing comes after it. */
#define PANIC "---[ end Kernel panic"

/*
 * What the guest says on its serial line is shown, and searched for a text.
 * @tail: the end of it, as much as the text may have begun in
 */
struct console {
	struct cli *cli;
	const char *expected;
	struct buf tail;
	int found_fd; /* readable once there is nothing more to wait for */
	bool found, has_panicked;
	bool is_in_line; /* what was shown last did not end one */
};

static void take_output(void *data, const char *bytes, size_t size)
{
	struct console *console = data;
	size_t keep;

	/* What still comes is QEMU's word that we end it. */
	if (console->found || console->has_panicked)
		return;
	if (!console->cli->quiet) {
		(void)fwrite(bytes, 1, size, stdout);
		(void)fflush(stdout);
		console->is_in_line = size > 0 && bytes[size - 1] != '\n';
	}
	if (!console->expected)
		return;
	/* NULs would hide what follows. */
	for (size_t i = 0; i < size; i++)
		(void)buf_append_char(&console->tail, bytes[i] ? bytes[i] : ' ');
	console->found = strstr(buf_text(&console->tail), console->expected) != NULL;
	console->has_panicked = strstr(buf_text(&console->tail), PANIC) != NULL;
	if (console->found || console->has_panicked) {
		(void)eventfd_write(console->found_fd, 1);
		return;
	}
	keep = max_u64(strlen(console->expected), strlen(PANIC));
	if (console->tail.size > keep) {
		memmove(console->tail.data,
			console->tail.data + console->tail.size - keep, keep);
		buf_truncate(&console->tail, keep);
	}
}

/* One fd that is readable when either is. */
static int watch_both(int a, int b, struct cop_error *err)
{
	auto_close int fd = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = {.events = EPOLLIN};

	if (fd < 0 || epoll_ctl(fd, EPOLL_CTL_ADD, a, &event) < 0 ||
	    epoll_ctl(fd, EPOLL_CTL_ADD, b, &event) < 0)
		return err_errno(err, "watch the virtual machine");
	return TAKE_FD(fd);
}

static int told(int r, const struct console *console, const char *image,
		unsigned int seconds, struct cop_error *err)
{
	if (console->found)
		return 0;
	if (console->has_panicked)
		return err_set(
			err, -EIO,
			"boot '%s': the guest's kernel panicked before '%s' was seen",
			image, console->expected);
	if (r == -ENOENT)
		return err_set(err, r, "boot '%s': needs QEMU: install qemu-system-x86",
			       image);
	if (r == -ETIMEDOUT && console->expected)
		return err_set(err, r, "boot '%s': '%s' was not seen within %u s", image,
			       console->expected, seconds);
	if (r == -ETIMEDOUT)
		return err_set(err, r, "boot '%s': still running after %u s", image,
			       seconds);
	return r;
}

static int watch(struct cli *cli, const char *image, const char *const *argv,
		 unsigned int seconds, struct cop_error *err)
{
	auto_close int found_fd = eventfd(0, EFD_CLOEXEC), both_fd = -EBADF;
	struct console console = {.cli = cli, .found_fd = found_fd};
	char how[64];
	int status = 0, r;

	console.expected = cli->options[OPTION_EXPECT];
	if (found_fd < 0)
		return err_errno(err, "make an event");
	r = cli_catch_signals(cli, err);
	if (r < 0)
		return r;
	both_fd = watch_both(found_fd, cli->cancel_fd, err);
	if (both_fd < 0)
		return both_fd;
	r = process_run(
		&(struct process_options){
			.argv = argv,
			.on_output = take_output,
			.data = &console,
			.cancel_fd = both_fd,
			.timeout_ms = seconds * 1000,
		},
		&status, err);
	buf_done(&console.tail);
	if (console.is_in_line)
		(void)puts("");
	r = told(r, &console, image, seconds, err);
	if (r < 0 || console.found)
		return r;
	if (status != 0)
		return err_set(err, -ECHILD, "boot '%s': QEMU: %s", image,
			       process_describe(status, how, sizeof(how)));
	if (console.expected)
		return err_set(err, -ECHILD,
			       "boot '%s': the machine was switched off before '%s' was "
			       "seen",
			       image, console.expected);
	return 0;
}

static int interact(struct cli *cli, const char *image, const char *const *argv,
		    struct cop_error *err)
{
	static const struct process_fd terminal[] = {{0, 0}, {1, 1}, {2, 2}};
	int status = 0, r;

	cli_say(cli, "the terminal is the guest's now; ctrl-a x ends it");
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGQUIT, SIG_IGN);
	r = process_run(
		&(struct process_options){
			.argv = argv,
			.fds = terminal,
			.n_fds = ARRAY_SIZE(terminal),
			.foreground = true,
		},
		&status, err);
	if (r == -ENOENT)
		return err_set(err, r, "boot '%s': needs QEMU: install qemu-system-x86",
			       image);
	if (r == 0 && status != 0)
		cli->exit_status = 1;
	return r;
}

static int take_number(const struct cli *cli, int option, const char *name,
		       unsigned int least, unsigned int most, unsigned int *ret,
		       struct cop_error *err)
{
	const char *text = cli->options[option];
	uint64_t value;

	if (!text)
		return 0;
	if (text_to_u64(text, &value) < 0 || value < least || value > most)
		return cli_usage_error(err,
				       "boot: --%s '%s' is not a number from %u to %u",
				       name, text, least, most);
	*ret = (unsigned int)value;
	return 0;
}

static int take_options(const struct cli *cli, struct machine *machine,
			unsigned int *seconds, struct cop_error *err)
{
	static const char *const words[] = {"auto", "uefi", "bios"};
	const char *firmware = cli->options[OPTION_FIRMWARE];
	size_t i = 0;
	int r = take_number(cli, OPTION_TIMEOUT, "timeout", 1, 1000000, seconds, err);

	if (r == 0)
		r = take_number(cli, OPTION_SSH, "ssh", 1, 65535, &machine->ssh_port,
				err);
	if (r == 0)
		r = take_number(cli, OPTION_MEMORY, "memory", 64, 1 << 20,
				&machine->memory_mib, err);
	if (r == 0)
		r = take_number(cli, OPTION_CPUS, "cpus", 1, 255, &machine->n_cpus, err);
	if (r < 0)
		return r;
	while (firmware && i < ARRAY_SIZE(words) && strcmp(words[i], firmware) != 0)
		i++;
	if (i == ARRAY_SIZE(words))
		return cli_usage_error(err, "boot: --firmware is auto, uefi or bios");
	machine->firmware = (enum machine_firmware)i;
	machine->persist = cli->options[OPTION_PERSIST] != NULL;
	machine->secure_boot = cli->options[OPTION_SECURE_BOOT] != NULL;
	if (machine->secure_boot && machine->firmware == MACHINE_BIOS)
		return cli_usage_error(err, "boot: --secure-boot is a matter of UEFI");
	if (machine->secure_boot)
		machine->firmware = MACHINE_UEFI;
	return 0;
}

static int run_boot(struct cli *cli, int argc, char **argv, struct cop_error *err)
{
	static const char *const names[] = {"", "UEFI", "BIOS", "its kernel directly"};
	cleanup_with(machine_done) struct machine machine = {.memory_mib = 1024,
							     .n_cpus = 2};
	auto_free const char **command = NULL;
	const char *reason = "--no-kvm";
	unsigned int seconds = 0;
	auto_words words = {};
	bool interactive;
	int r = take_options(cli, &machine, &seconds, err);

	(void)argc;
	if (r == 0)
		r = machine_look(&machine, argv[0], err);
	if (r < 0)
		return r;
	machine.with_kvm = !cli->options[OPTION_NO_KVM] && machine_probe_kvm(&reason);
	cli_say(cli, "%s: %s, booted by %s, %s%s%s%s", machine.image, machine.format,
		names[machine.firmware], machine.with_kvm ? "with KVM" : "without KVM (",
		machine.with_kvm ? "" : reason, machine.with_kvm ? "" : "): slow",
		machine.persist ? "" : "; nothing is written to it");
	interactive = !cli->options[OPTION_EXPECT] && seconds == 0 &&
		      isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
	r = machine_command(&machine, interactive, &words, err);
	if (r == 0)
		r = words_list(&words, &command, err);
	if (r < 0)
		return r;
	return interactive ? interact(cli, machine.image, command, err)
			   : watch(cli, machine.image, command, seconds, err);
}

const struct verb verb_boot = {
	.name = "boot",
	.arguments = "IMAGE|DIR",
	.help = "Start a disk image in QEMU, without writing to it",
	.details =
		"Shows the guest's serial line; at a terminal it can be typed at, and ctrl-a x "
		"ends it.\nDIR is an exported image; one with a kernel beside the disk is booted "
		"with that.",
	.options = {[OPTION_EXPECT] = {"expect", 0, "TEXT",
				       "end successfully as soon as the guest says it",
				       false},
		    [OPTION_TIMEOUT] = {"timeout", 0, "SECONDS", "fail after that time",
					false},
		    [OPTION_SSH] =
			    {"ssh", 0, "PORT",
			     "lead this port of the host's 127.0.0.1 to the guest's ssh",
			     false},
		    [OPTION_PERSIST] = {"persist", 0, NULL, "write to the image", false},
		    [OPTION_MEMORY] = {"memory", 0, "MIB", "of the guest (1024)", false},
		    [OPTION_CPUS] = {"cpus", 0, "N", "of the guest (2)", false},
		    [OPTION_FIRMWARE] = {"firmware", 0, "auto|uefi|bios",
					 "auto looks at the partitions", false},
		    [OPTION_SECURE_BOOT] = {"secure-boot", 0, NULL,
					    "firmware that starts signed loaders only",
					    false},
		    [OPTION_NO_KVM] = {"no-kvm", 0, NULL, "do not even try", false}},
	.min_args = 1,
	.max_args = 1,
	.run = run_boot,
};
