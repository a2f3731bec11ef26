/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of osbuild, which a program that drives it must find as it is. */
#include <limits.h>
#include <string.h>

#include "base/text.h"
#include "cli/osbuild.h"

enum option_id {
	OPTION_CACHE,
	OPTION_LIBDIR,
	OPTION_CACHE_MAX_SIZE,
	OPTION_CHECKPOINT,
	OPTION_EXPORT,
	OPTION_IN_VM,
	OPTION_JSON,
	OPTION_OUTPUT_DIRECTORY,
	OPTION_INSPECT,
	OPTION_MONITOR,
	OPTION_MONITOR_FD,
	OPTION_STAGE_TIMEOUT,
	OPTION_VERSION,
	OPTION_BREAK,
	OPTION_RUNDIR,
	OPTION_QUIET,
	OPTION_HELP,
	OPTION_NATIVE,
};

static const struct option_word {
	const char *word, *argument, *help;
	enum option_id id;
} words[] = {
	{"--cache", "DIRECTORY", "the store (also --store; default .osbuild)",
	 OPTION_CACHE},
	{"--store", "DIRECTORY", NULL, OPTION_CACHE},
	{"--libdir", "DIRECTORY",
	 "look for modules there (also -l; may repeat; default " OSBUILD_LIBDIR ")",
	 OPTION_LIBDIR},
	{"-l", "DIRECTORY", NULL, OPTION_LIBDIR},
	{"--cache-max-size", "SIZE",
	 "keep the store below this: bytes, with kB, MiB and so on, or 'unlimited'; 0: keep "
	 "nothing",
	 OPTION_CACHE_MAX_SIZE},
	{"--checkpoint", "ID",
	 "keep the trees after these stages: a glob for pipelines, stage ids and types; may "
	 "repeat",
	 OPTION_CHECKPOINT},
	{"--export", "ID", "build this pipeline and export it; may repeat",
	 OPTION_EXPORT},
	{"--in-vm", "ID",
	 "accepted; the pipeline is built here, not in a virtual machine", OPTION_IN_VM},
	{"--json", NULL, "print the result as JSON", OPTION_JSON},
	{"--output-directory", "DIRECTORY", "where exports go", OPTION_OUTPUT_DIRECTORY},
	{"--inspect", NULL, "print the manifest with all ids and build nothing",
	 OPTION_INSPECT},
	{"--monitor", "NAME", "NullMonitor, LogMonitor or JSONSeqMonitor",
	 OPTION_MONITOR},
	{"--monitor-fd", "FD", "where the monitor writes to (default: standard output)",
	 OPTION_MONITOR_FD},
	{"--stage-timeout", "SECONDS", "end a stage that takes longer",
	 OPTION_STAGE_TIMEOUT},
	{"--version", NULL, "print the version", OPTION_VERSION},
	{"--break", "[STAGE]", "a shell before this stage: type, id or * (the default)",
	 OPTION_BREAK},
	{"--rundir", "DIRECTORY", "accepted; everything of a run is in the store",
	 OPTION_RUNDIR},
	{"--quiet", NULL, "print nothing (also -q)", OPTION_QUIET},
	{"-q", NULL, NULL, OPTION_QUIET},
	{"--native", "WHERE",
	 "modules that are part of coppice: first, last or never (default: first, with "
	 "--libdir last)",
	 OPTION_NATIVE},
	{"--help", NULL, "this text (also -h)", OPTION_HELP},
	{"-h", NULL, NULL, OPTION_HELP},
};

/* What was written of one option: its value may still be the next word. */
struct found {
	const struct option_word *option;
	const char *value; /* or NULL */
};

void osbuild_arguments_done(struct osbuild_arguments *arguments)
{
	free(arguments->libdirs);
	free(arguments->checkpoints);
	free(arguments->exports);
	free(arguments->in_vm);
}

static void print_help(void)
{
	(void)printf(
		"usage: osbuild [OPTION]... MANIFEST\n\n"
		"Build operating-system images from a manifest (a path, or - for "
		"standard input), as the\nosbuild command does; this is coppice " COP_VERSION
		".\n\n");
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (words[i].help)
			(void)printf("  %s%s%-*s %s\n", words[i].word,
				     words[i].argument ? " " : "",
				     (int)(28 - strlen(words[i].word)),
				     words[i].argument ? words[i].argument : "",
				     words[i].help);
}

static int add_to_list(const char ***list, const char *value, struct cop_error *err)
{
	const char **grown;
	size_t n = 0;

	while (*list && (*list)[n])
		n++;
	grown = reallocarray(*list, n + 2, sizeof(*grown));
	if (!grown)
		return err_oom(err);
	grown[n] = value;
	grown[n + 1] = NULL;
	*list = grown;
	return 0;
}

/* A negative number is no option, nor is what has a space in it. */
static bool looks_positional(const char *word)
{
	const char *rest = word + 1;

	if (*word != '-' || !*rest)
		return true;
	rest += strspn(rest, "0123456789");
	if (*rest == '.')
		rest += 1 + strspn(rest + 1, "0123456789");
	return !*rest || strchr(word, ' ');
}

static int ambiguous(const char *word, size_t length, struct cop_error *err)
{
	auto_buf list = {};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (strncmp(words[i].word, word, length) == 0)
			(void)buf_printf(&list, "%s%s", list.size ? ", " : "",
					 words[i].word);
	return cli_usage_error(err, "ambiguous option: %.*s could match %s", (int)length,
			       word, buf_text(&list));
}

/* Return: 1 found, 0 no option. */
static int find_long(const char *word, struct found *found, struct cop_error *err)
{
	size_t length = strcspn(word, "="), n = 0;

	*found = (struct found){.value = word[length] ? word + length + 1 : NULL};
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strncmp(words[i].word, word, length) != 0 || words[i].word[1] != '-')
			continue;
		found->option = &words[i];
		if (strlen(words[i].word) == length)
			return 1;
		n++;
	}
	if (n > 1)
		return ambiguous(word, length, err);
	if (n == 0 && looks_positional(word))
		return 0;
	return n ? 1 : cli_usage_error(err, "unrecognized arguments: %s", word);
}

static const struct option_word *find_letter(char letter)
{
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (words[i].word[1] == letter && !words[i].word[2])
			return &words[i];
	return NULL;
}

static int read_number(const char *name, const char *value, unsigned int max,
		       unsigned int *ret, struct cop_error *err)
{
	uint64_t number;

	if (text_to_u64(value, &number) < 0 || number > max)
		return cli_usage_error(err, "argument %s: invalid int value: '%s'", name,
				       value);
	*ret = (unsigned int)number;
	return 0;
}

static int read_size(const char *value, struct osbuild_arguments *arguments,
		     struct cop_error *err)
{
	static const struct {
		const char *unit;
		uint64_t bytes;
	} units[] = {{"", 1},
		     {"kB", 1000},
		     {"KiB", KIB},
		     {"MB", 1000 * 1000},
		     {"MiB", MIB},
		     {"GB", 1000 * 1000 * 1000},
		     {"GiB", GIB},
		     {"TB", 1000 * 1000 * 1000 * (uint64_t)1000},
		     {"TiB", 1024 * GIB}};
	const char *digits = value + strspn(value, " \t"), *unit;
	auto_free char *number = NULL;
	uint64_t count;

	arguments->has_cache_size = true;
	arguments->cache_size = UINT64_MAX;
	if (strcmp(value, "unlimited") == 0)
		return 0;
	unit = digits + strspn(digits, "0123456789");
	number = strndup(digits, (size_t)(unit - digits));
	if (!number)
		return err_oom(err);
	unit += strspn(unit, " \t");
	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		if (strcmp(units[i].unit, unit) == 0 &&
		    text_to_u64(number, &count) == 0 &&
		    !__builtin_mul_overflow(count, units[i].bytes,
					    &arguments->cache_size))
			return 0;
	return cli_usage_error(err, "argument --cache-max-size: invalid size: '%s'",
			       value);
}

static int read_native(const char *value, struct osbuild_arguments *arguments,
		       struct cop_error *err)
{
	static const char *const places[] = {"first", "last", "never"};

	for (unsigned int i = 0; i < ARRAY_SIZE(places); i++)
		if (strcmp(value, places[i]) == 0) {
			arguments->native = OSBUILD_NATIVE_FIRST + i;
			return 0;
		}
	return cli_usage_error(err, "argument --native: '%s' is not first, last or never",
			       value);
}

static int take_flag(enum option_id id, struct osbuild_arguments *arguments)
{
	switch (id) {
	case OPTION_JSON:
		arguments->json = true;
		return 0;
	case OPTION_INSPECT:
		arguments->inspect = true;
		return 0;
	case OPTION_QUIET:
		arguments->quiet = true;
		return 0;
	case OPTION_VERSION:
		(void)printf("osbuild %s\n", OSBUILD_VERSION);
		return 1;
	default:
		print_help();
		return 1;
	}
}

static int take_value(const struct option_word *option, const char *value,
		      struct osbuild_arguments *arguments, struct cop_error *err)
{
	unsigned int fd = 0;
	int r;

	switch (option->id) {
	case OPTION_CACHE:
		arguments->store = value;
		return 0;
	case OPTION_LIBDIR:
		return add_to_list(&arguments->libdirs, value, err);
	case OPTION_CACHE_MAX_SIZE:
		return read_size(value, arguments, err);
	case OPTION_CHECKPOINT:
		return add_to_list(&arguments->checkpoints, value, err);
	case OPTION_EXPORT:
		return add_to_list(&arguments->exports, value, err);
	case OPTION_IN_VM:
		return add_to_list(&arguments->in_vm, value, err);
	case OPTION_OUTPUT_DIRECTORY:
		arguments->output_directory = value;
		return 0;
	case OPTION_MONITOR:
		arguments->monitor = value;
		return 0;
	case OPTION_MONITOR_FD:
		r = read_number("--monitor-fd", value, INT_MAX, &fd, err);
		arguments->monitor_fd = (int)fd;
		return r;
	case OPTION_STAGE_TIMEOUT:
		return read_number("--stage-timeout", value, INT_MAX / 1000,
				   &arguments->stage_timeout, err);
	case OPTION_BREAK:
		arguments->break_at = value;
		return 0;
	case OPTION_NATIVE:
		return read_native(value, arguments, err);
	default: /* --rundir */
		return 0;
	}
}

/* @argv: behind the option's word; *@used counts those that are its value. */
static int take_option(const struct found *found, char **argv, int *used,
		       struct osbuild_arguments *arguments, struct cop_error *err)
{
	const struct option_word *option = found->option;
	const char *value = found->value;

	if (!option->argument) {
		if (value)
			return cli_usage_error(err,
					       "argument %s: ignored explicit argument "
					       "'%s'",
					       option->word, value);
		return take_flag(option->id, arguments);
	}
	if (!value && *argv && strcmp(*argv, "--") != 0 && looks_positional(*argv)) {
		value = *argv;
		(*used)++;
	}
	if (!value && option->id == OPTION_BREAK)
		value = "*";
	if (!value)
		return cli_usage_error(err, "argument %s: expected one argument",
				       option->word);
	return take_value(option, value, arguments, err);
}

static int take_positional(const char *word, struct osbuild_arguments *arguments,
			   struct cop_error *err)
{
	if (arguments->manifest)
		return cli_usage_error(err, "unrecognized arguments: %s", word);
	arguments->manifest = word;
	return 0;
}

/* "-l DIR", "-lDIR", "-l=DIR" and "-qlDIR" */
static int take_letters(char **argv, int *used, struct osbuild_arguments *arguments,
			struct cop_error *err)
{
	for (const char *letter = *argv + 1; *letter; letter++) {
		struct found found = {.option = find_letter(*letter)};
		int r;

		if (!found.option && letter == *argv + 1 && looks_positional(*argv))
			return take_positional(*argv, arguments, err);
		if (!found.option)
			return cli_usage_error(err, "unrecognized arguments: %s", *argv);
		if (found.option->argument && letter[1])
			found.value = letter + 1 + (letter[1] == '=');
		r = take_option(&found, argv + 1, used, arguments, err);
		if (r != 0 || found.option->argument)
			return r;
	}
	return 0;
}

/* One word, and what belongs to it; *@used is how many words that were. */
static int take_word(char **argv, int *used, struct osbuild_arguments *arguments,
		     struct cop_error *err)
{
	struct found found;
	int r;

	*used = 1;
	if (argv[0][0] != '-' || !argv[0][1])
		return take_positional(*argv, arguments, err);
	if (argv[0][1] != '-')
		return take_letters(argv, used, arguments, err);
	r = find_long(*argv, &found, err);
	if (r == 0)
		return take_positional(*argv, arguments, err);
	return r < 0 ? r : take_option(&found, argv + 1, used, arguments, err);
}

int osbuild_parse(int argc, char **argv, struct osbuild_arguments *arguments,
		  struct cop_error *err)
{
	int i = 0, r = 0, used;

	*arguments = (struct osbuild_arguments){.store = ".osbuild",
						.monitor_fd = STDOUT_FILENO};
	while (i < argc && r == 0 && strcmp(argv[i], "--") != 0) {
		r = take_word(argv + i, &used, arguments, err);
		i += used;
	}
	for (i++; i < argc && r == 0; i++)
		r = take_positional(argv[i], arguments, err);
	if (r == 0 && !arguments->manifest)
		r = cli_usage_error(err,
				    "the following arguments are required: MANIFEST; see "
				    "osbuild --help");
	if (arguments->native == OSBUILD_NATIVE_DEFAULT)
		arguments->native =
			arguments->libdirs ? OSBUILD_NATIVE_LAST : OSBUILD_NATIVE_FIRST;
	return r;
}
