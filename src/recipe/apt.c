/* SPDX-License-Identifier: Apache-2.0 */
#include "recipe/apt.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/process.h"
#include "base/text.h"

#define OUTPUT_MAX   (64 * MIB)
#define WORDS_MAX    600
#define LISTS_MAX    32
#define DEBIAN_KEYS  "/usr/share/keyrings/debian-archive-keyring.gpg"
#define LISTS	     "var/lib/apt/lists"
#define MAIN_SOURCES "etc/apt/sources.list.d/main.sources"
#define SAFE_SOURCES "etc/apt/sources.list.d/security.sources"

void apt_note(const struct lock_options *options, const char *format, ...)
{
	char line[1024];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (options->note)
		options->note(options->data, line);
}

struct apt *apt_free(struct apt *apt)
{
	if (!apt)
		return NULL;
	apt_root_close(apt);
	arena_free(apt->arena);
	free(apt->env);
	free(apt->root);
	free(apt);
	return NULL;
}

void apt_plan_done(struct apt_plan *plan)
{
	plan->arena = arena_free(plan->arena);
	free(plan->changes);
	*plan = (struct apt_plan){};
}

/* --- running --- */

static void take_output(void *data, const char *bytes, size_t size)
{
	struct buf *output = data;

	if (output->size < OUTPUT_MAX)
		(void)buf_append(output, bytes, size);
}

int apt_run(const struct apt *apt, const char *const *argv, struct buf *output,
	    struct cop_error *err)
{
	const struct process_options options = {
		.argv = argv,
		.env = (const char *const *)apt->env,
		.on_output = take_output,
		.data = output,
		.cancel_fd = apt->options->cancel_fd,
	};
	int status, r = process_run(&options, &status, err);

	if (r < 0)
		return r;
	if (output->failed)
		return err_oom(err);
	log_debug("%s %s: status %d, %zu bytes", argv[0], argv[1] ? argv[1] : "", status,
		  output->size);
	return status != 0;
}

static void add_words(struct buf *words, const char *text, size_t size,
		      const char *separator)
{
	while (size > 0 && *text == ' ') {
		text++;
		size--;
	}
	if (words->size >= WORDS_MAX)
		return;
	if (words->size > 0)
		(void)buf_append_text(words, separator);
	(void)buf_append(words, text, size);
}

void apt_words(const char *output, struct buf *words)
{
	bool in_error = false;

	for (const char *line = output; *line; line += *line == '\n') {
		size_t size = strcspn(line, "\n");

		/* " htop : Depends: libfoo but it is not installable"; since 3.0 an error
		 * goes on in lines that are indented. */
		if (strncmp(line, "E: ", 3) == 0)
			add_words(words, line + 3, size - 3, "; ");
		else if (*line == ' ' && in_error)
			add_words(words, line, size, " ");
		else if (*line == ' ' && memmem(line, size, " : ", 3))
			add_words(words, line, size, "; ");
		in_error = *line == 'E' || (in_error && *line == ' ');
		line += size;
	}
	if (words->size > WORDS_MAX)
		buf_truncate(words, WORDS_MAX);
}

int apt_write(const struct apt *apt, const char *path, const struct buf *text,
	      struct cop_error *err)
{
	auto_close int directory_fd = -EBADF;
	const char *slash = strrchr(path, '/');
	auto_free char *directory = NULL;

	if (text->failed)
		return err_oom(err);
	directory = slash ? strndup(path, (size_t)(slash - path)) : strdup(".");
	if (!directory)
		return err_oom(err);
	directory_fd =
		fs_open_plain(apt->root_fd, directory, O_RDONLY | O_DIRECTORY, 0, err);
	if (directory_fd < 0)
		return directory_fd;
	return fs_replace_at(directory_fd, slash ? slash + 1 : path, buf_text(text),
			     text->size, 0644, err);
}

/* --- configuration --- */

static int write_conf(struct apt *apt, struct cop_error *err)
{
	const char *root = apt->root, *architecture = apt->recipe->architecture;
	auto_buf conf = {};
	int r = host_settings(apt->options, &conf, err);

	if (r < 0)
		return r;
	(void)buf_printf(
		&conf,
		"Dir \"%s\";\nDir::State \"%s/var/lib/apt\";\n"
		"Dir::State::status \"%s/" APT_STATUS "\";\n"
		"Dir::Cache \"%s/var/cache/apt\";\n"
		"Dir::Cache::pkgcache \"\";\nDir::Cache::srcpkgcache \"\";\nDir::Etc \"%s/etc/apt\";\n"
		"Dir::Log \"%s/var/log/apt\";\n"
		"Dir::Etc::trusted \"/dev/null\";\n"
		"Dir::Etc::trustedparts \"%s/etc/apt/trusted.gpg.d\";\n",
		root, root, root, root, root, root, root);
	(void)buf_printf(&conf,
			 "APT::Architecture \"%s\";\nAPT::Architectures { \"%s\"; };\n",
			 architecture, architecture);
	(void)buf_append_text(
		&conf,
		"APT::Install-Recommends \"false\";\nAPT::Install-Suggests \"false\";\n"
		"APT::Get::Assume-Yes \"true\";\nAPT::Get::AllowUnauthenticated \"false\";\n"
		"APT::Update::Error-Mode \"any\";\nAPT::Sandbox::User \"root\";\n"
		"Debug::NoLocking \"true\";\nAcquire::Languages \"none\";\n"
		"Acquire::AllowInsecureRepositories \"false\";\n"
		"Acquire::AllowWeakRepositories \"false\";\n"
		"Acquire::AllowDowngradeToInsecureRepositories \"false\";\n"
		"Acquire::GzipIndexes \"false\";\nAcquire::PDiffs \"false\";\n"
		"Acquire::IndexTargets::deb::DEP-11::DefaultEnabled \"false\";\n"
		"Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled \"false\";\n");
	/* An old state of the archive is what was asked for. */
	if (apt->snapshot)
		(void)buf_append_text(&conf, "Acquire::Check-Valid-Until \"false\";\n");
	return apt_write(apt, "apt.conf", &conf, err);
}

/* Ours, with APT_CONFIG, and in a language that we can read. */
static int make_env(struct apt *apt, struct cop_error *err)
{
	static const char *const replaced[] = {
		"APT_CONFIG=", "LC_ALL=", "LANG=", "LANGUAGE=", "LC_MESSAGES="};
	auto_buf config = {};
	size_t n = 0, n_kept = 0;

	(void)buf_printf(&config, "APT_CONFIG=%s/apt.conf", apt->root);
	if (config.failed)
		return err_oom(err);
	while (environ[n])
		n++;
	apt->env = calloc(n + 3, sizeof(*apt->env));
	if (!apt->env)
		return err_oom(err);
	for (size_t i = 0; i < n; i++) {
		bool keep = true;

		for (size_t j = 0; j < ARRAY_SIZE(replaced) && keep; j++)
			keep = !text_starts_with(environ[i], replaced[j]);
		if (keep)
			apt->env[n_kept++] = environ[i];
	}
	apt->env[n_kept++] = arena_text(apt->arena, config.data);
	apt->env[n_kept] = arena_text(apt->arena, "LC_ALL=C.UTF-8");
	return apt->env[n_kept - 1] && apt->env[n_kept] ? 0 : err_oom(err);
}

static int find_keyring(struct apt *apt, struct cop_error *err)
{
	const char *wanted = apt->recipe->keyring;
	const char *slash = strrchr(apt->recipe->path, '/');
	auto_free char *real = NULL;
	auto_buf path = {};

	if (!wanted)
		(void)buf_append_text(&path, DEBIAN_KEYS);
	else if (*wanted == '/' || !slash)
		(void)buf_append_text(&path, wanted);
	else
		(void)buf_printf(&path, "%.*s/%s", (int)(slash - apt->recipe->path),
				 apt->recipe->path, wanted);
	if (path.failed)
		return err_oom(err);
	real = realpath(path.data, NULL);
	if (!real && wanted)
		return err_errno(err, "keyring '%s' of '%s'", wanted, apt->recipe->path);
	if (!real)
		return err_set(err, -ENOENT,
			       "the keys of the Debian archive are missing (" DEBIAN_KEYS
			       "): install the package debian-archive-keyring");
	if (strpbrk(real, " \t\n,[]"))
		return err_set(err, -EINVAL,
			       "keyring '%s': apt cannot have blanks or commas in it",
			       real);
	apt->keyring = arena_text(apt->arena, real);
	return apt->keyring ? 0 : err_oom(err);
}

/* --- beginning --- */

static int name_repositories(struct apt *apt, struct cop_error *err)
{
	static const char *const endings[APT_REPOSITORIES] = {"", "-updates",
							      "-security"};

	for (size_t i = 0; i < APT_REPOSITORIES; i++) {
		struct lock_repository *lock = &apt->repositories[i].lock;
		char name[128];

		(void)snprintf(name, sizeof(name), "%s%s", apt->recipe->suite,
			       endings[i]);
		lock->id = lock->suite = arena_text(apt->arena, name);
		lock->components = apt->recipe->components;
		if (!lock->id)
			return err_oom(err);
	}
	return 0;
}

int apt_new(const struct recipe *recipe, const struct lock_options *options,
	    struct apt **ret_apt, struct cop_error *err)
{
	auto_ptr(apt) apt = calloc(1, sizeof(*apt));
	int r;

	if (!apt)
		return err_oom(err);
	apt->root_fd = -EBADF;
	apt->recipe = recipe;
	apt->options = options;
	apt->snapshot = options->snapshot;
	apt->arena = arena_new();
	if (!apt->arena)
		return err_oom(err);
	r = find_keyring(apt, err);
	if (r >= 0)
		r = apt_find_mirrors(apt, err);
	if (r >= 0)
		r = name_repositories(apt, err);
	if (r >= 0)
		r = apt_root_open(apt, err);
	if (r >= 0)
		r = write_conf(apt, err);
	if (r >= 0)
		r = make_env(apt, err);
	if (r < 0)
		return r;
	*ret_apt = TAKE_PTR(apt);
	return 0;
}

/* --- lists --- */

/* Nobody asks it anything while it has all lists. */
static const char *const update_argv[] = {
	"apt-get", "-q", "-opkgCacheFile::Generate=false", "update", NULL};

static int write_sources(const struct apt *apt, const char *path, const char *uri,
			 size_t first, size_t end, struct cop_error *err)
{
	auto_buf text = {};

	(void)buf_printf(&text, "Types: deb\nURIs: %s\nSuites:", uri);
	for (size_t i = first; i < end; i++)
		(void)buf_printf(&text, " %s", apt->repositories[i].lock.suite);
	(void)buf_append_text(&text, "\nComponents:");
	for (const char **component = apt->recipe->components; *component; component++)
		(void)buf_printf(&text, " %s", *component);
	(void)buf_printf(&text, "\nArchitectures: %s\nSigned-By: %s\n",
			 apt->recipe->architecture, apt->keyring);
	return apt_write(apt, path, &text, err);
}

/* Repositories @first to @end from the first of @uris that has them all, verified. */
static int update_from(struct apt *apt, const char *path, const char **uris, size_t first,
		       size_t end, struct cop_error *err)
{
	auto_buf words = {};

	for (size_t i = 0; uris[i]; i++) {
		auto_buf output = {};
		int r = write_sources(apt, path, uris[i], first, end, err);

		if (r >= 0)
			r = apt_run(apt, update_argv, &output, err);
		if (r < 0)
			return r;
		for (size_t j = first; r == 0 && j < end; j++)
			apt->repositories[j].uri = arena_text(apt->arena, uris[i]);
		if (r == 0)
			return 0;
		buf_truncate(&words, 0);
		apt_words(buf_text(&output), &words);
		if (uris[i + 1])
			apt_note(apt->options, "mirror '%s' failed, trying the next: %s",
				 uris[i], buf_text(&words));
	}
	return err_set(err, -EIO, "lock '%s': no mirror has %s: %s", apt->recipe->path,
		       apt->repositories[first].lock.suite, buf_text(&words));
}

/* "SUITE|FILE" of `apt-get indextargets` */
static int take_list(struct apt *apt, char *line, struct cop_error *err)
{
	const char *suite = strsep(&line, "|");
	struct apt_repository *repository = NULL;
	size_t n = 0;

	for (size_t i = 0; line && i < APT_REPOSITORIES; i++)
		if (strcmp(apt->repositories[i].lock.suite, suite) == 0)
			repository = &apt->repositories[i];
	if (!repository)
		return 0;
	while (repository->lists[n])
		n++;
	if (n == LISTS_MAX)
		return err_set(err, -E2BIG, "repository %s has too many lists", suite);
	repository->lists[n] = arena_text(apt->arena, line);
	return repository->lists[n] ? 0 : err_oom(err);
}

static int find_lists(struct apt *apt, struct cop_error *err)
{
	static const char *const argv[] = {"apt-get",
					   "indextargets",
					   "--format",
					   "$(RELEASE)|$(FILENAME)",
					   "Created-By: Packages",
					   NULL};
	auto_buf output = {};
	char *rest, *line;
	int r;

	for (size_t i = 0; i < APT_REPOSITORIES; i++) {
		apt->repositories[i].lists =
			arena_alloc(apt->arena, (LISTS_MAX + 1) * sizeof(char *));
		if (!apt->repositories[i].lists)
			return err_oom(err);
	}
	r = process_check(argv, (const char *const *)apt->env, &output, err);
	rest = output.data;
	while (r >= 0 && rest && (line = strsep(&rest, "\n")))
		r = *line ? take_list(apt, line, err) : 0;
	return r;
}

/* "HOST_PATH_dists_trixie_InRelease", or "..._Release" with its signature beside it */
static int find_release(struct apt *apt, char **names, struct apt_repository *repository,
			struct cop_error *err)
{
	static const char *const endings[] = {"InRelease", "Release"};

	for (size_t i = 0; i < ARRAY_SIZE(endings); i++) {
		auto_buf ending = {};

		(void)buf_printf(&ending, "_dists_%s_%s", repository->lock.suite,
				 endings[i]);
		if (ending.failed)
			return err_oom(err);
		for (char **name = names; *name; name++) {
			auto_buf path = {};

			if (!text_ends_with(*name, ending.data))
				continue;
			(void)buf_printf(&path, "%s/" LISTS "/%s", apt->root, *name);
			return path.failed
				       ? err_oom(err)
				       : release_read(apt, path.data, repository, err);
		}
	}
	return err_set(err, -ENOENT, "repository %s has no Release file",
		       repository->lock.suite);
}

static int read_releases(struct apt *apt, struct cop_error *err)
{
	auto_close int lists_fd =
		fs_open_plain(apt->root_fd, LISTS, O_RDONLY | O_DIRECTORY, 0, err);
	char **names = NULL;
	size_t n = 0;
	int r;

	if (lists_fd < 0)
		return lists_fd;
	r = fs_list(lists_fd, &names, &n, err);
	for (size_t i = 0; r >= 0 && i < APT_REPOSITORIES; i++)
		r = find_release(apt, names, &apt->repositories[i], err);
	fs_list_free(names);
	return r < 0 ? err_prefix(err, r, "lock '%s'", apt->recipe->path) : 0;
}

/* Everything from the first mirrors: what works nearly always, and quickest. */
static int update_at_once(struct apt *apt, struct buf *words, struct cop_error *err)
{
	auto_buf output = {};
	int r = write_sources(apt, MAIN_SOURCES, apt->mirrors[0], 0, 2, err);

	if (r >= 0)
		r = write_sources(apt, SAFE_SOURCES, apt->security_mirrors[0], 2,
				  APT_REPOSITORIES, err);
	if (r >= 0)
		r = apt_run(apt, update_argv, &output, err);
	if (r > 0)
		apt_words(buf_text(&output), words);
	for (size_t i = 0; r == 0 && i < APT_REPOSITORIES; i++) {
		const char **uris = i == 2 ? apt->security_mirrors : apt->mirrors;

		apt->repositories[i].uri = arena_text(apt->arena, uris[0]);
		if (!apt->repositories[i].uri)
			return err_oom(err);
	}
	return r;
}

int apt_update(struct apt *apt, struct cop_error *err)
{
	auto_buf words = {}, nothing = {};
	int r = update_at_once(apt, &words, err);

	if (r > 0 && !apt->mirrors[1] && !apt->security_mirrors[1])
		return err_set(err, -EIO, "lock '%s': read the archive of %s: %s",
			       apt->recipe->path, apt->recipe->suite, buf_text(&words));
	if (r > 0) {
		r = apt_write(apt, SAFE_SOURCES, &nothing, err);
		if (r >= 0)
			r = update_from(apt, MAIN_SOURCES, apt->mirrors, 0, 2, err);
		if (r >= 0)
			r = update_from(apt, SAFE_SOURCES, apt->security_mirrors, 2,
					APT_REPOSITORIES, err);
	}
	if (r >= 0)
		r = find_lists(apt, err);
	return r < 0 ? r : read_releases(apt, err);
}

/* --- solving and fetching --- */

/* "Inst NAME[:ARCH] [OLD] (NEW …)", "Remv NAME [OLD]" */
static int take_change(struct apt_plan *plan, const char *line, size_t room,
		       struct cop_error *err)
{
	struct apt_change *change = &plan->changes[plan->n_changes];
	const char *name = line + strlen("Inst ");
	size_t name_size = strcspn(name, " :\n");
	const char *next = name + strcspn(name, " \n");

	if (plan->n_changes == room)
		return err_set(err, -E2BIG, "apt says too much");
	*change = (struct apt_change){.removed = *line == 'R'};
	change->name = arena_memdup(plan->arena, name, name_size);
	if (strncmp(next, " [", 2) == 0) {
		next += 2;
		change->old = arena_memdup(plan->arena, next, strcspn(next, "]\n"));
		next += strcspn(next, "]\n");
		next += *next == ']';
	}
	if (strncmp(next, " (", 2) == 0) {
		next += 2;
		change->version = arena_memdup(plan->arena, next, strcspn(next, " )\n"));
	}
	if (!change->name || (!change->removed && !change->version))
		return err_set(err, -EBADMSG, "apt says what is not understood: '%.*s'",
			       (int)strcspn(line, "\n"), line);
	plan->n_changes++;
	return 0;
}

static int read_plan(const char *output, struct apt_plan *plan, struct cop_error *err)
{
	size_t room = 1;
	int r = 0;

	for (const char *p = output; *p; p++)
		room += *p == '\n';
	plan->arena = arena_new();
	plan->changes = calloc(room, sizeof(*plan->changes));
	if (!plan->arena || !plan->changes)
		return err_oom(err);
	for (const char *line = output; *line && r >= 0; line += *line == '\n') {
		if (strncmp(line, "Inst ", 5) == 0 || strncmp(line, "Remv ", 5) == 0)
			r = take_change(plan, line, room, err);
		line += strcspn(line, "\n");
	}
	return r;
}

int apt_simulate(const struct apt *apt, const char *const *words, struct apt_plan *plan,
		 struct cop_error *err)
{
	static const char *const start[] = {"apt-get", "-q", "-s"};
	auto_free const char **argv = NULL;
	auto_buf output = {};
	size_t n_words = 0, n = 0;
	int r;

	while (words[n_words])
		n_words++;
	argv = calloc(n_words + 10, sizeof(*argv));
	if (!argv)
		return err_oom(err);
	for (size_t i = 0; i < ARRAY_SIZE(start); i++)
		argv[n++] = start[i];
	if (apt->extra) {
		argv[n++] = "--with-source";
		argv[n++] = apt->extra;
	}
	if (apt->only_extra)
		argv[n++] = "-oDir::Etc::sourceparts=/dev/null";
	if (apt->recommends)
		argv[n++] = "-oAPT::Install-Recommends=true";
	if (apt->few)
		argv[n++] = "-oDir::State::Lists=few/";
	argv[n++] = "install";
	for (size_t i = 0; i < n_words; i++)
		argv[n++] = words[i];
	r = apt_run(apt, argv, &output, err);
	if (r < 0)
		return r;
	if (r > 0) {
		auto_buf text = {};

		apt_words(buf_text(&output), &text);
		return err_set(err, -ENOPKG, "%s",
			       text.size ? text.data : "apt gives no reason");
	}
	return read_plan(buf_text(&output), plan, err);
}

int apt_fetch(const struct apt *apt, const char *const *triples, struct buf *words,
	      struct cop_error *err)
{
	auto_free const char **argv = NULL;
	auto_buf output = {};
	size_t n = 0;
	int r;

	while (triples[n])
		n++;
	argv = calloc(n + 3, sizeof(*argv));
	if (!argv)
		return err_oom(err);
	argv[0] = "/usr/lib/apt/apt-helper";
	argv[1] = "download-file";
	for (size_t i = 0; i < n; i++)
		argv[i + 2] = triples[i];
	r = apt_run(apt, argv, &output, err);
	if (r > 0)
		apt_words(buf_text(&output), words);
	return r < 0 ? r : 0;
}
