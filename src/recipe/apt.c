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
#include "recipe/repositories.h"

#define OUTPUT_MAX  (64 * MIB)
#define WORDS_MAX   600
#define DEBIAN_KEYS "/usr/share/keyrings/debian-archive-keyring.gpg"

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
		"Dir::Etc::sourcelist \"/dev/null\";\n"
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

static int add_repository(struct apt *apt, const char *id, const char *suite,
			  const char **components, struct cop_error *err)
{
	struct apt_repository *repository = &apt->repositories[apt->n_repositories++];
	struct apt_place *place = &apt->places[apt->n_places - 1];

	repository->lock.id = id;
	repository->lock.suite = suite;
	repository->lock.components = components;
	repository->place = place;
	place->end = apt->n_repositories;
	return id && suite ? 0 : err_oom(err);
}

static struct apt_place *add_place(struct apt *apt, const char *name)
{
	struct apt_place *place = &apt->places[apt->n_places++];

	place->name = name;
	place->keyring = apt->keyring;
	place->first = place->end = apt->n_repositories;
	return place;
}

static int add_debian(struct apt *apt, struct cop_error *err)
{
	static const char *const endings[APT_DEBIAN] = {"", "-updates", "-security"};
	int r = 0;

	for (size_t i = 0; i < APT_DEBIAN && r == 0; i++) {
		char name[128];
		const char *suite;

		(void)snprintf(name, sizeof(name), "%s%s", apt->recipe->suite,
			       endings[i]);
		suite = arena_text(apt->arena, name);
		if (i == 0)
			(void)add_place(apt, "main");
		else if (i == 2)
			(void)add_place(apt, "security");
		r = add_repository(apt, suite, suite, apt->recipe->components, err);
	}
	return r;
}

static int add_extra(struct apt *apt, const struct recipe_repository *extra,
		     struct cop_error *err)
{
	auto_buf name = {};
	struct apt_place *place;
	int r = 0;

	if (buf_printf(&name, "extra-%s", extra->id) < 0)
		return err_oom(err);
	place = add_place(apt, arena_text(apt->arena, name.data));
	if (!place->name)
		return err_oom(err);
	place->extra = extra;
	for (const char **suite = extra->suites; *suite && r == 0; suite++)
		r = add_repository(apt, repositories_lock_id(apt->arena, extra, *suite),
				   *suite, extra->components, err);
	return r;
}

static int name_repositories(struct apt *apt, struct cop_error *err)
{
	const struct recipe *recipe = apt->recipe;
	size_t n = APT_DEBIAN;
	int r;

	for (size_t i = 0; i < recipe->n_repositories; i++)
		for (const char **suite = recipe->repositories[i].suites; *suite; suite++)
			n++;
	apt->places =
		arena_alloc(apt->arena, (APT_DEBIAN_PLACES + recipe->n_repositories) *
						sizeof(*apt->places));
	apt->repositories = arena_alloc(apt->arena, n * sizeof(*apt->repositories));
	if (!apt->places || !apt->repositories)
		return err_oom(err);
	r = add_debian(apt, err);
	for (size_t i = 0; i < recipe->n_repositories && r == 0; i++)
		r = add_extra(apt, &recipe->repositories[i], err);
	return r;
}

/* The keys of a repository into the private root, each in a file that belongs to it. */
static int write_keyrings(struct apt *apt, struct cop_error *err)
{
	for (size_t i = APT_DEBIAN_PLACES; i < apt->n_places; i++) {
		const struct recipe_repository *extra = apt->places[i].extra;
		auto_buf list = {};

		for (size_t j = 0; j < extra->n_keys; j++) {
			const struct recipe_file *key = &extra->keys[j];
			const char *name = strrchr(key->path, '/');
			auto_buf path = {}, text = {};
			int r;

			(void)buf_printf(&path, "etc/apt/keyrings%s", name);
			(void)buf_append(&text, key->content, key->size);
			if (path.failed)
				return err_oom(err);
			r = apt_write(apt, path.data, &text, err);
			if (r < 0)
				return r;
			(void)buf_printf(&list, "%s%s/%s", j ? "," : "", apt->root,
					 path.data);
		}
		apt->places[i].keyring =
			list.failed ? NULL : arena_text(apt->arena, list.data);
		if (!apt->places[i].keyring)
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
		r = name_repositories(apt, err);
	if (r >= 0)
		r = apt_find_mirrors(apt, err);
	if (r >= 0)
		r = apt_root_open(apt, err);
	if (r >= 0)
		r = write_keyrings(apt, err);
	if (r >= 0)
		r = write_conf(apt, err);
	if (r >= 0)
		r = make_env(apt, err);
	if (r < 0)
		return r;
	*ret_apt = TAKE_PTR(apt);
	return 0;
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
	auto_buf output = {}, debian = {};
	size_t n_words = 0, n = 0;
	int r;

	while (words[n_words])
		n_words++;
	argv = calloc(n_words + 12, sizeof(*argv));
	if (!argv)
		return err_oom(err);
	for (size_t i = 0; i < ARRAY_SIZE(start); i++)
		argv[n++] = start[i];
	if (apt->extra) {
		argv[n++] = "--with-source";
		argv[n++] = apt->extra;
	}
	if (apt->only_extra || apt->only_debian)
		argv[n++] = "-oDir::Etc::sourceparts=/dev/null";
	if (apt->only_debian) {
		if (buf_printf(&debian, "-oDir::Etc::sourcelist=%s/" APT_DEBIAN_SOURCES,
			       apt->root) < 0)
			return err_oom(err);
		argv[n++] = debian.data;
	}
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
