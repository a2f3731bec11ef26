/* SPDX-License-Identifier: Apache-2.0 */
#include "modules/stages/kernels.h"

#include <fcntl.h>
#include <string.h>

#include "base/process.h"
#include "base/text.h"
#include "modkit/command.h"

#define KERNEL "vmlinuz-"

/* Versions in order of their names as dpkg and people see them: 6.9 before 6.12. */
static int compare_versions(const void *a, const void *b)
{
	return strverscmp(*(const char *const *)a, *(const char *const *)b);
}

static int list(int tree_fd, char ***ret_names, size_t *ret_n, struct cop_error *err)
{
	auto_close int boot_fd =
		fs_open_in_root(tree_fd, "boot", O_RDONLY | O_DIRECTORY, 0, NULL);
	char **names = NULL;
	size_t n = 0, n_kernels = 0;
	int r = boot_fd < 0 ? 0 : fs_list(boot_fd, &names, &n, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		char *name = names[i];

		/* Those that are no kernels go to the end. */
		if (text_starts_with(name, KERNEL)) {
			names[i] = names[n_kernels];
			names[n_kernels++] = name;
		}
	}
	if (n_kernels == 0) {
		(void)fs_list_free(names);
		return err_set(err, -ENOENT,
			       "the tree has no kernel (boot/" KERNEL
			       "*): add a package such as linux-image-amd64");
	}
	qsort(names, n_kernels, sizeof(*names), compare_versions);
	*ret_names = names;
	*ret_n = n_kernels;
	return 0;
}

int kernels_each(struct kit *kit, int (*take)(struct kit *kit, const char *version))
{
	char **names = NULL;
	size_t n = 0;
	int r = list(kit->tree_fd, &names, &n, kit->err);

	for (size_t i = 0; r == 0 && i < n; i++)
		r = take(kit, names[i] + strlen(KERNEL));
	(void)fs_list_free(names);
	return r;
}

int kernels_newest(int tree_fd, char **ret_version, struct cop_error *err)
{
	char **names = NULL;
	size_t n = 0;
	int r = list(tree_fd, &names, &n, err);

	if (r < 0)
		return r;
	*ret_version = strdup(names[n - 1] + strlen(KERNEL));
	(void)fs_list_free(names);
	return *ret_version ? 0 : err_oom(err);
}

static void keep_output(void *data, const char *bytes, size_t size)
{
	command_log(NULL, bytes, size);
	process_keep_tail(data, bytes, size);
}

int kernels_run(struct kit *kit, const char *const *argv)
{
	auto_buf tail = {};
	const struct command command = {
		.argv = argv,
		.on_output = keep_output,
		.data = &tail,
	};
	char how[64], line[512];
	int status = 0, r = command_run(kit, &command, &status);

	if (r < 0 || status == 0)
		return r;
	return err_set(kit->err, -ECHILD, "'%s' of the tree: %s: %s", argv[0],
		       process_describe(status, how, sizeof(how)),
		       process_last_line(buf_text(&tail), line, sizeof(line)));
}
