/* SPDX-License-Identifier: Apache-2.0 */
/* `doctor`: what this machine allows, and what would provide the rest. */
#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "base/process.h"
#include "base/text.h"
#include "cli/cli.h"
#include "engine/sandbox.h"
#include "store/store.h"
#include "view/view.h"
#include "json/json.h"

#define SPECIAL_SESSION_KEYRING (-3)
#define GET_KEYRING_ID		0
/* Less than this is soon full. */
#define FREE_BYTES (2000ULL * 1000 * 1000)

struct doctor {
	struct cli *cli;
	struct cop_store *store;
	json_t *found;
};

/* @state: 1 yes, 0 no, negative: cannot be told */
static void tell(struct doctor *doctor, const char *check, int state, const char *detail,
		 const char *remedy)
{
	static const char *const words[] = {"unknown", "no", "yes"};
	const char *word = words[state < 0 ? 0 : state + 1];

	if (state > 0)
		remedy = NULL;
	if (doctor->found) {
		(void)json_array_append_new(doctor->found,
					    json_pack("{s:s, s:s, s:s, s:s?}", "check",
						      check, "state", word, "detail",
						      detail, "remedy", remedy));
		return;
	}
	(void)printf("%-8s %-17s %s\n", word, check, detail);
	if (remedy)
		(void)printf("%-8s %-17s %s\n", "", "", remedy);
}

/* In a child, as some of it cannot be undone. */
static int may_unshare(int flags)
{
	int status;
	pid_t pid = fork();

	if (pid < 0)
		return -1;
	if (pid == 0)
		_exit(unshare(flags) < 0);
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status) == 0;
}

static void look_at_kernel(struct doctor *doctor)
{
	unsigned int major = 0, minor = 0;
	struct utsname name;
	char detail[300];

	if (uname(&name) < 0 || sscanf(name.release, "%u.%u", &major, &minor) != 2) {
		tell(doctor, "kernel", -1, "its version cannot be read", "Linux 5.15");
		return;
	}
	(void)snprintf(detail, sizeof(detail), "Linux %s", name.release);
	tell(doctor, "kernel", major > 5 || (major == 5 && minor >= 15), detail,
	     "Linux 5.15 or later, as in Debian 12");
	(void)snprintf(detail, sizeof(detail),
		       major > 6 || (major == 6 && minor >= 12)
			       ? "trees are mounted without loop devices"
			       : "a loop device is taken for each mounted tree");
	tell(doctor, "erofs from files", major > 6 || (major == 6 && minor >= 12), detail,
	     "Linux 6.12; nothing is lost without it");
}

static void look_at_namespaces(struct doctor *doctor)
{
	tell(doctor, "mount namespaces", may_unshare(CLONE_NEWNS),
	     "to mount trees that nobody else sees",
	     "run as root, or in a container with CAP_SYS_ADMIN; trees are copied else");
	tell(doctor, "user namespaces", may_unshare(CLONE_NEWUSER),
	     "for the sandbox of plain users",
	     "sysctl kernel.unprivileged_userns_clone=1, user.max_user_namespaces above "
	     "0, kernel.apparmor_restrict_unprivileged_userns=0, or run as root");
	if (geteuid() != 0)
		tell(doctor, "subordinate ids", cli_has_subordinate_ids(),
		     "to build Debian trees without being root",
		     "apt install uidmap; as root: usermod --add-subuids 100000-165535 "
		     "--add-subgids 100000-165535 YOU");
}

static int file_has_word(const char *path, const char *word)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	auto_buf text = {};
	char *save = NULL;

	if (fd < 0 || fs_read_all(fd, MIB, &text, NULL) < 0 || !text.data)
		return -1;
	for (char *at = strtok_r(text.data, " \t\n", &save); at;
	     at = strtok_r(NULL, " \t\n", &save))
		if (strcmp(at, word) == 0)
			return 1;
	return 0;
}

static void look_at_file_systems(struct doctor *doctor)
{
	static const char *const options[] = {"metacopy", "redirect_dir", "index",
					      "xino_auto"};
	auto_buf detail = {};

	tell(doctor, "erofs", file_has_word("/proc/filesystems", "erofs"),
	     "trees are images of this kind",
	     "modprobe erofs; it is in Debian's kernels");
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		char path[128];

		(void)snprintf(path, sizeof(path), "/sys/module/overlay/parameters/%s",
			       options[i]);
		(void)buf_printf(&detail, "%s%s%s", i ? ", " : "",
				 access(path, F_OK) == 0 ? "" : "no ", options[i]);
	}
	tell(doctor, "overlayfs", file_has_word("/proc/filesystems", "overlay"),
	     buf_text(&detail), "modprobe overlay; it is in Debian's kernels");
}

static int may_open(const char *path)
{
	auto_close int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);

	return fd >= 0;
}

static void look_at_devices(struct doctor *doctor)
{
	tell(doctor, "loop devices", may_open("/dev/loop-control"),
	     "for kernels that mount no images from files",
	     "modprobe loop, and /dev/loop-control and /dev/loop* in a container");
	tell(doctor, "kvm", may_open("/dev/kvm"), "to start images and look at them",
	     "virtualisation in the firmware, modprobe kvm_intel or kvm_amd, and /dev/kvm "
	     "in a container; emulation is slow but works");
	tell(doctor, "kernel keyring",
	     syscall(SYS_keyctl, GET_KEYRING_ID, SPECIAL_SESSION_KEYRING, 0) >= 0,
	     "programs in the sandbox get none of it",
	     "a seccomp profile that allows keyctl; few programs ask for it");
}

/* A scratch file in the store says what its file system can do. */
static void look_at_store(struct doctor *doctor)
{
	auto_ptr(workdir) workdir = NULL;
	auto_close int from = -EBADF, to = -EBADF;
	struct statvfs st;
	char detail[96], size[32];
	int reflinks = -1, leases = -1;

	if (workdir_new(doctor->store, "doctor", NULL, &workdir, NULL) == 0 &&
	    fs_write_new(workdir_fd(workdir), "from", detail, sizeof(detail), 0600,
			 NULL) == 0) {
		from = openat(workdir_fd(workdir), "from", O_RDONLY | O_CLOEXEC);
		to = openat(workdir_fd(workdir), "to", O_RDWR | O_CREAT | O_CLOEXEC,
			    0600);
		reflinks = ioctl(to, FICLONE, from) == 0;
		leases = fcntl(from, F_SETLEASE, F_WRLCK) == 0;
	}
	tell(doctor, "reflinks", reflinks, "large files are shared instead of copied",
	     "a store on btrfs, or on xfs with reflink=1");
	tell(doctor, "leases", leases, "a collection sees trees that others have mounted",
	     "a store on a local file system of Linux");
	if (fstatvfs(store_fd(doctor->store), &st) < 0)
		return;
	(void)snprintf(detail, sizeof(detail), "%s for the store, %llu inodes",
		       text_size((uint64_t)st.f_bavail * st.f_frsize, size, sizeof(size)),
		       (unsigned long long)st.f_favail);
	tell(doctor, "free space",
	     (uint64_t)st.f_bavail * st.f_frsize >= FREE_BYTES &&
		     (st.f_files == 0 || st.f_favail > 100000),
	     detail, "coppice gc --max-size SIZE, or a store elsewhere");
}

static bool has_program(const char *name)
{
	auto_free char *path = process_find(name);

	return path != NULL;
}

static void look_for_programs(struct doctor *doctor, const char *check,
			      const char *const *names, const char *remedy)
{
	auto_buf lacking = {};

	for (; *names; names++)
		if (!has_program(*names))
			(void)buf_printf(&lacking, "%s%s", lacking.size ? ", " : "",
					 *names);
	if (lacking.size)
		(void)buf_append_text(&lacking, ": not found");
	tell(doctor, check, !lacking.size,
	     lacking.size ? buf_text(&lacking) : "all programs are there", remedy);
}

static void look_at_tools(struct doctor *doctor)
{
	static const char *const debian[] = {"apt-get", "dpkg-deb", "gpgv", NULL};
	static const char *const images[] = {"mkfs.ext4", "mkfs.vfat", "mcopy",
					     "sfdisk",	  "qemu-img",  NULL};
	const char *weak = sandbox_describe();

	tell(doctor, "sandbox", has_program("bwrap") && !weak, weak ? weak : "bubblewrap",
	     "apt-get install bubblewrap");
	look_for_programs(doctor, "solving Debian", debian, "apt-get install apt gpgv");
	tell(doctor, "archive keyring",
	     access("/usr/share/keyrings/debian-archive-keyring.gpg", R_OK) == 0,
	     "to trust Debian's archive",
	     "apt-get install debian-archive-keyring, or 'keyring:' in the recipe");
	look_for_programs(doctor, "disk images", images,
			  "apt-get install e2fsprogs dosfstools mtools fdisk qemu-utils; "
			  "a pipeline 'build' brings its own");
}

static int run_doctor(struct cli *cli, int argc, char **argv, struct cop_error *err)
{
	auto_json *found = cli->json ? json_array() : NULL;
	struct doctor doctor = {.cli = cli, .found = found};
	const char *view;
	int r;

	(void)argc;
	(void)argv;
	/* Forks, so comes before any thread. */
	look_at_kernel(&doctor);
	look_at_namespaces(&doctor);
	look_at_file_systems(&doctor);
	look_at_devices(&doctor);
	r = cli_store(cli, &doctor.store, err);
	if (r < 0)
		return r;
	view = view_describe(doctor.store);
	tell(&doctor, "view", text_starts_with(view, "overlay"), view,
	     "root (CAP_SYS_ADMIN), erofs and overlayfs; 'copy' works everywhere and "
	     "costs a copy");
	look_at_store(&doctor);
	look_at_tools(&doctor);
	return found ? cli_print_json(found, err) : 0;
}

const struct verb verb_doctor = {
	.name = "doctor",
	.arguments = "",
	.help = "What this machine allows, and what would provide the rest",
	.details =
		"Tries things out instead of guessing, with the store's own file system.  Nothing\n"
		"stays behind.",
	.min_args = 0,
	.max_args = 0,
	.run = run_doctor,
};
