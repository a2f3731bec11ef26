/* SPDX-License-Identifier: Apache-2.0 */
/* The program: finds the verb, reads its options, runs it, and prints its error, once. */
#include <assert.h>
#include <fcntl.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mount.h>
#include <time.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/process.h"
#include "cli/cli.h"
#include "cli/progress.h"
#include "store/object.h"
#include "store/store.h"
#include "json/json.h"

#define OSBUILD "osbuild"

/* The most values that one option which repeats can have. */
#define LIST_MAX 256

static int signal_pipe[2] = {-EBADF, -EBADF};
static volatile sig_atomic_t caught_signal;
static bool is_usage_error;

struct arguments {
	const char *values[VERB_OPTIONS_MAX];
	const char *lists[VERB_OPTIONS_MAX][LIST_MAX + 1];
	const char *const *list_pointers[VERB_OPTIONS_MAX];
};

int cli_usage_error(struct cop_error *err, const char *format, ...)
{
	char text[COP_ERROR_MAX / 2];
	va_list ap;

	is_usage_error = true;
	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	return err_set(err, CLI_USAGE, "%s", text);
}

int cli_invalid(int r)
{
	if (r == -EINVAL)
		is_usage_error = true;
	return r;
}

static void on_signal(int number)
{
	int saved = errno;

	caught_signal = number;
	(void)!write(signal_pipe[1], "", 1);
	errno = saved;
}

int cli_private_mounts(struct cop_error *err)
{
	(void)process_own_path();
	if (unshare(CLONE_NEWNS) < 0) {
		/* Nor could we mount anything. */
		if (errno == EPERM)
			return 0;
		return err_errno(err, "make a mount namespace");
	}
	if (mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL) < 0)
		return err_errno(err, "keep mounts to ourselves");
	return 0;
}

int cli_catch_signals(struct cli *cli, struct cop_error *err)
{
	struct sigaction action = {.sa_handler = on_signal,
				   .sa_flags = (int)SA_RESETHAND};

	if (pipe2(signal_pipe, O_CLOEXEC | O_NONBLOCK) < 0)
		return err_errno(err, "make a pipe");
	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGTERM, &action, NULL);
	cli->cancel_fd = signal_pipe[0];
	return 0;
}

int cli_store(struct cli *cli, struct cop_store **ret_store, struct cop_error *err)
{
	int r;

	if (!cli->store) {
		r = cli->store_path ? cop_store_open(cli->store_path, COP_STORE_CREATE,
						     &cli->store, err)
				    : store_open_default(&cli->store, err);
		if (r < 0)
			return r;
		if (cli->no_verify)
			store_trust(cli->store);
	}
	*ret_store = cli->store;
	return 0;
}

int cli_workdir(struct cli *cli, struct workdir **ret_workdir, struct cop_error *err)
{
	struct cop_store *store;
	int r;

	if (!cli->workdir) {
		r = cli_store(cli, &store, err);
		if (r < 0)
			return r;
		r = workdir_new(store, "cli", NULL, &cli->workdir, err);
		if (r < 0)
			return r;
	}
	*ret_workdir = cli->workdir;
	return 0;
}

int cli_get(struct cli *cli, const char *id, struct cop_digest *ret_digest,
	    struct cop_error *err)
{
	struct workdir *workdir;
	struct cop_store *store;
	int r;

	r = cli_store(cli, &store, err);
	if (r < 0)
		return r;
	/* Nothing can be registered there, and no collector of ours may run either. */
	if (store_is_read_only(store))
		return cop_store_resolve(store, id, ret_digest, err);
	r = cli_workdir(cli, &workdir, err);
	if (r < 0)
		return r;
	return object_get(cli->store, workdir, id, ret_digest, err);
}

int cli_get_tree(struct cli *cli, const char *id, struct cop_digest *ret_digest,
		 struct tree **ret_tree, struct cop_error *err)
{
	struct cop_digest digest;
	int r;

	r = cli_get(cli, id, &digest, err);
	if (r < 0)
		return r;
	r = object_read_tree(cli->store, &digest, ret_tree, err);
	if (r < 0)
		return r;
	if (ret_digest)
		*ret_digest = digest;
	return 0;
}

void cli_say(struct cli *cli, const char *format, ...)
{
	va_list ap;

	if (cli->quiet)
		return;
	terminal_progress_clear();
	va_start(ap, format);
	(void)vfprintf(stderr, format, ap);
	va_end(ap);
	(void)fputc('\n', stderr);
}

int cli_read_text(const char *path, uint64_t limit, struct buf *text,
		  struct cop_error *err)
{
	auto_close int opened = -EBADF;
	int fd = STDIN_FILENO, r;

	if (strcmp(path, "-") != 0) {
		opened = open(path, O_RDONLY | O_CLOEXEC);
		if (opened < 0)
			return err_errno(err, "open '%s'", path);
		fd = opened;
	}
	r = fs_read_all(fd, limit, text, err);
	return r < 0 ? err_prefix(err, r, "'%s'", path) : 0;
}

char *cli_time(int64_t seconds, char text[CLI_TIME_SIZE])
{
	time_t when = (time_t)seconds;
	struct tm tm;

	if (!gmtime_r(&when, &tm) ||
	    strftime(text, CLI_TIME_SIZE, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
		(void)snprintf(text, CLI_TIME_SIZE, "%lld", (long long)seconds);
	return text;
}

int cli_print_json(const json_t *json, struct cop_error *err)
{
	auto_buf text = {};
	int r;

	if (!json)
		return err_oom(err);
	r = json_write(json, 2, &text, err);
	if (r < 0)
		return r;
	(void)printf("%s\n", buf_text(&text));
	return 0;
}

int cli_print_digest(struct cli *cli, const struct cop_digest *digest,
		     struct cop_error *err)
{
	char hex[COP_DIGEST_HEX + 1];
	auto_json *json = NULL;

	(void)cop_digest_to_hex(digest, hex);
	if (!cli->json) {
		(void)printf("%s\n", hex);
		return 0;
	}
	json = json_pack("{s:s}", "digest", hex);
	return cli_print_json(json, err);
}

const struct verb *cli_find_verb(int argc, char **argv, int *ret_words)
{
	char two[64];

	for (const struct verb *const *verb = cli_verbs; *verb; verb++) {
		if (argc >= 1 && strcmp((*verb)->name, argv[0]) == 0) {
			*ret_words = 1;
			return *verb;
		}
		if (argc < 2)
			continue;
		(void)snprintf(two, sizeof(two), "%s %s", argv[0], argv[1]);
		if (strcmp((*verb)->name, two) == 0) {
			*ret_words = 2;
			return *verb;
		}
	}
	return NULL;
}

enum {
	OPTION_FIRST = 1000,
	OPTION_HELP = 2000,
	OPTION_VERSION,
	OPTION_STORE,
	OPTION_NO_VERIFY,
	OPTION_JSON
};

static void fill_getopt(const struct verb *verb, struct option *longs, char *shorts)
{
	size_t n = 0;

	/* '-': arguments are handed out in order; see read_options() */
	*shorts++ = '-';
	*shorts++ = ':';
	*shorts++ = 'h';
	for (const struct verb_option *option = verb->options; option->name;
	     option++, n++) {
		longs[n] = (struct option){.name = option->name,
					   .has_arg = option->argument ? required_argument
								       : no_argument,
					   .val = OPTION_FIRST + (int)n};
		if (!option->letter)
			continue;
		*shorts++ = option->letter;
		if (option->argument)
			*shorts++ = ':';
	}
	longs[n++] = (struct option){.name = "help", .val = OPTION_HELP};
	longs[n] = (struct option){};
	*shorts = '\0';
}

static int option_index(const struct verb *verb, int c)
{
	if (c >= OPTION_FIRST && c < OPTION_FIRST + VERB_OPTIONS_MAX)
		return c - OPTION_FIRST;
	for (int i = 0; verb->options[i].name; i++)
		if (verb->options[i].letter && verb->options[i].letter == c)
			return i;
	return -1;
}

static int take_option(const struct verb *verb, struct arguments *arguments, int i,
		       struct cop_error *err)
{
	const char *value = verb->options[i].argument ? optarg : "";
	size_t n = 0;

	if (!verb->options[i].repeats && arguments->values[i] &&
	    verb->options[i].argument)
		return cli_usage_error(err, "--%s is given twice", verb->options[i].name);
	arguments->values[i] = value;
	while (arguments->lists[i][n])
		n++;
	if (n == LIST_MAX)
		return cli_usage_error(err, "--%s is given more than %d times",
				       verb->options[i].name, LIST_MAX);
	arguments->lists[i][n] = value;
	return 0;
}

/* Returns 1 when help was asked for and printed. */
static int take_letter(const struct verb *verb, struct arguments *arguments, int c,
		       char *const *argv, struct cop_error *err)
{
	int i;

	if (c == 'h' || c == OPTION_HELP) {
		cli_print_verb_help(stdout, verb);
		return 1;
	}
	if (c == ':')
		return cli_usage_error(err, "%s: '%s' needs a value", verb->name,
				       argv[optind - 1]);
	i = option_index(verb, c);
	if (i < 0)
		return cli_usage_error(err, "%s: unknown option '%s'", verb->name,
				       argv[optind - 1]);
	return take_option(verb, arguments, i, err);
}

/*
 * Options may stand before, between and behind the arguments.  A verb that takes a
 * command leaves everything from there on alone.  On success argv[1] and on are the
 * arguments.
 */
static int read_options(const struct verb *verb, int argc, char **argv,
			struct arguments *arguments, int *ret_n, struct cop_error *err)
{
	struct option longs[VERB_OPTIONS_MAX + 2];
	char shorts[2 * VERB_OPTIONS_MAX + 8];
	int c, r, n = 0;

	fill_getopt(verb, longs, shorts);
	optind = 0; /* GNU getopt: begin anew, with another argv */
	opterr = 0;
	while ((c = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		if (c != 1) {
			r = take_letter(verb, arguments, c, argv, err);
			if (r != 0)
				return r;
			continue;
		}
		if (verb->command_at > 0 && n == verb->command_at) {
			optind--;
			break;
		}
		argv[++n] = optarg;
	}
	while (optind < argc)
		argv[++n] = argv[optind++];
	argv[n + 1] = NULL;
	*ret_n = n;
	for (int i = 0; i < VERB_OPTIONS_MAX; i++)
		arguments->list_pointers[i] = arguments->lists[i];
	return 0;
}

static int run_verb(struct cli *cli, const struct verb *verb, int argc, char **argv,
		    struct cop_error *err)
{
	static struct arguments arguments;
	int r, n;

	if (verb->takes_all)
		return verb->run(cli, argc - 1, argv + 1, err);
	r = read_options(verb, argc, argv, &arguments, &n, err);
	if (r != 0)
		return r;
	if (n < verb->min_args || (verb->max_args >= 0 && n > verb->max_args))
		return cli_usage_error(
			err, "%s: takes %s; see 'coppice help %s'", verb->name,
			*verb->arguments ? verb->arguments : "no argument", verb->name);
	cli->options = arguments.values;
	cli->lists = arguments.list_pointers;
	return verb->run(cli, n, argv + 1, err);
}

/* Returns 1 when everything asked for was printed. */
static int read_global_options(struct cli *cli, int argc, char **argv,
			       struct cop_error *err)
{
	static const struct option longs[] = {
		{"store", required_argument, NULL, OPTION_STORE},
		{"json", no_argument, NULL, OPTION_JSON},
		{"no-verify", no_argument, NULL, OPTION_NO_VERIFY},
		{"quiet", no_argument, NULL, 'q'},
		{"verbose", no_argument, NULL, 'v'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, OPTION_VERSION},
		{},
	};
	int c, r;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "+:qvh", longs, NULL)) != -1) {
		switch (c) {
		case OPTION_STORE:
			cli->store_path = optarg;
			break;
		case OPTION_JSON:
			cli->json = true;
			break;
		case OPTION_NO_VERIFY:
			cli->no_verify = true;
			break;
		case 'q':
			cli->quiet = true;
			break;
		case 'v':
			cli->verbose = true;
			break;
		case 'h':
			r = cli_become_whole(argv, err);
			if (r < 0)
				return r;
			cli_print_help(stdout);
			return 1;
		case OPTION_VERSION:
			(void)printf("coppice %s\n", COP_VERSION);
			return 1;
		case ':':
			return cli_usage_error(err, "'%s' needs a value",
					       argv[optind - 1]);
		default:
			return cli_usage_error(err, "unknown option '%s'",
					       argv[optind - 1]);
		}
	}
	return 0;
}

bool cli_is_osbuild(const char *program)
{
	const char *slash = strrchr(program, '/');

	return strcmp(slash ? slash + 1 : program, OSBUILD) == 0;
}

static int run_osbuild(struct cli *cli, int argc, char **argv, struct cop_error *err)
{
	char *name[] = {(char *)OSBUILD, NULL};
	int r, words;
	const struct verb *verb = cli_find_verb(1, name, &words);

	assert(verb);
	r = cli_go_rootless(cli, verb, argv, err);
	return r < 0 ? r : run_verb(cli, verb, argc, argv, err);
}

static int run_program(struct cli *cli, int argc, char **argv, struct cop_error *err)
{
	const struct verb *verb;
	char **all = argv;
	int r, words;

	if (cli_is_osbuild(argv[0]))
		return run_osbuild(cli, argc, argv, err);
	r = read_global_options(cli, argc, argv, err);
	if (r != 0)
		return r;
	argc -= optind;
	argv += optind;
	if (argc == 0)
		return cli_usage_error(err, "no verb given; see 'coppice --help'");
	verb = cli_find_verb(argc, argv, &words);
	if (!verb) {
		r = cli_become_whole(all, err);
		if (r < 0)
			return r;
		return cli_usage_error(err, "there is no verb '%s'; see 'coppice --help'",
				       argv[0]);
	}
	r = cli_go_rootless(cli, verb, all, err);
	if (r < 0)
		return r;
	cli->progress = cli->quiet ? NULL : terminal_progress();
	return run_verb(cli, verb, argc - words + 1, argv + words - 1, err);
}

static int exit_status(const struct cli *cli, int r)
{
	if (r == -EINTR && caught_signal)
		return 128 + caught_signal;
	if (r < 0 && cli->exit_status)
		return cli->exit_status;
	if (r < 0)
		return is_usage_error ? 2 : 1;
	return cli->exit_status;
}

static void print_debug(void *data, const char *text)
{
	(void)data;
	terminal_progress_clear();
	(void)fprintf(stderr, "debug: %s\n", text);
}

int main(int argc, char **argv)
{
	struct cop_error err = {};
	struct cli cli = {};
	int r;

	if (getenv("COPPICE_DEBUG"))
		log_set_sink(print_debug, NULL);
	r = run_program(&cli, argc, argv, &err);
	cli.workdir = workdir_free(cli.workdir);
	cli.store = cop_store_close(cli.store);
	terminal_progress_clear();
	if (r == 0 && (fflush(stdout) != 0 || ferror(stdout)))
		r = err_errno(&err, "write to standard output");
	if (r < 0)
		(void)fprintf(stderr, "coppice: %s\n", err.message);
	return exit_status(&cli, r > 0 ? 0 : r);
}
