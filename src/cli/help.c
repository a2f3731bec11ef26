/* SPDX-License-Identifier: Apache-2.0 */
/* Help texts and the man page, both from the table of verbs. */
#include <string.h>

#include "cli/cli.h"

static const struct {
	const char *text;
	const char *help;
} global_options[] = {
	{"--store DIR",
	 "the store (else $COPPICE_STORE, else /var/lib/coppice for root and "
	 "~/.local/share/coppice for others)"},
	{"--json", "print one JSON document on standard output"},
	{"--no-verify", "print, export and build on trees without hashing them"},
	{"-q, --quiet", "no words, no progress"},
	{"-v, --verbose", "say more"},
	{"-h, --help", "this text, or that of a verb"},
	{"--version", "print the version"},
};

static const char tree_words[] =
	"TREE is a name, a stage id, a digest, or an unambiguous prefix of an id or digest (6 "
	"digits or more).";

static void option_text(const struct verb_option *option, char *text, size_t size)
{
	char letter[8] = "";

	if (option->letter)
		(void)snprintf(letter, sizeof(letter), "-%c, ", option->letter);
	(void)snprintf(text, size, "%s--%s%s%s", letter, option->name,
		       option->argument ? " " : "",
		       option->argument ? option->argument : "");
}

void cli_print_help(FILE *out)
{
	(void)fprintf(out, "usage: coppice [--store DIR] [--json] [-q|-v] VERB ...\n\n"
			   "A store of file-system trees, and images built on it.\n\n");
	for (const struct verb *const *verb = cli_verbs; *verb; verb++) {
		char left[128];

		(void)snprintf(left, sizeof(left), "%s %s", (*verb)->name,
			       (*verb)->arguments);
		(void)fprintf(out, "  %-34s %s\n", left, (*verb)->help);
	}
	(void)fprintf(out, "\noptions:\n");
	for (size_t i = 0; i < ARRAY_SIZE(global_options); i++)
		(void)fprintf(out, "  %-14s %s\n", global_options[i].text,
			      global_options[i].help);
	(void)fprintf(out, "\n%s\n`coppice help VERB` says more.\n", tree_words);
}

void cli_print_verb_help(FILE *out, const struct verb *verb)
{
	(void)fprintf(out, "usage: coppice %s%s %s\n\n%s\n", verb->name,
		      verb->options[0].name ? " [OPTION]..." : "", verb->arguments,
		      verb->help);
	if (verb->details)
		(void)fprintf(out, "\n%s\n", verb->details);
	for (const struct verb_option *option = verb->options; option->name; option++) {
		char text[64];

		option_text(option, text, sizeof(text));
		(void)fprintf(out, "%s  %-24s %s\n", option == verb->options ? "\n" : "",
			      text, option->help);
	}
}

/* Text for troff: backslashes and leading dots and quotes must not be read as commands.
 */
static void print_roff(FILE *out, const char *text)
{
	bool at_start = true;

	for (; *text; text++) {
		if (at_start && (*text == '.' || *text == '\''))
			(void)fputs("\\&", out);
		if (*text == '\\')
			(void)fputs("\\e", out);
		else if (*text == '-')
			(void)fputs("\\-", out);
		else
			(void)fputc(*text, out);
		at_start = *text == '\n';
	}
}

static void print_man_item(FILE *out, const char *term, const char *text)
{
	(void)fputs(".TP\n.B ", out);
	print_roff(out, term);
	(void)fputc('\n', out);
	print_roff(out, text);
	(void)fputc('\n', out);
}

static void print_man_verb(FILE *out, const struct verb *verb)
{
	char term[160];

	(void)snprintf(term, sizeof(term), "%s %s", verb->name, verb->arguments);
	print_man_item(out, term, verb->help);
	if (verb->details) {
		(void)fputs(".IP\n", out);
		print_roff(out, verb->details);
		(void)fputc('\n', out);
	}
	if (!verb->options[0].name)
		return;
	(void)fputs(".RS\n", out);
	for (const struct verb_option *option = verb->options; option->name; option++) {
		option_text(option, term, sizeof(term));
		print_man_item(out, term, option->help);
	}
	(void)fputs(".RE\n", out);
}

void cli_print_man(FILE *out)
{
	(void)fprintf(out, ".TH COPPICE 1 \"\" \"coppice %s\"\n", COP_VERSION);
	(void)fputs(
		".SH NAME\ncoppice \\- a store of file\\-system trees, and images built on "
		"it\n.SH SYNOPSIS\n.B coppice\n[\\-\\-store DIR] [\\-\\-json] [\\-q|\\-v] VERB "
		"...\n.SH DESCRIPTION\n",
		out);
	print_roff(out, tree_words);
	(void)fputs(
		"\nResults go to standard output, words to standard error.\n.SH OPTIONS\n",
		out);
	for (size_t i = 0; i < ARRAY_SIZE(global_options); i++)
		print_man_item(out, global_options[i].text, global_options[i].help);
	(void)fputs(".SH VERBS\n", out);
	for (const struct verb *const *verb = cli_verbs; *verb; verb++)
		print_man_verb(out, *verb);
	(void)fputs(
		".SH EXIT STATUS\n0: done. 1: failed. 2: wrong usage or an invalid manifest or "
		"recipe. 130, 143: interrupted. `run' gives the command's status, and 125 for "
		"errors of its own.\n",
		out);
}

static int run_help(struct cli *cli, int argc, char **argv, struct cop_error *err)
{
	const struct verb *verb;
	int words;

	if (cli->options[0]) {
		cli_print_man(stdout);
		return 0;
	}
	if (argc == 0) {
		cli_print_help(stdout);
		return 0;
	}
	verb = cli_find_verb(argc, argv, &words);
	if (!verb)
		return cli_usage_error(err, "there is no verb '%s'", argv[0]);
	cli_print_verb_help(stdout, verb);
	return 0;
}

const struct verb verb_help = {
	.name = "help",
	.arguments = "[VERB]",
	.help = "Explain a verb",
	.options = {{"man", 0, NULL, "print the man page (troff)", false}},
	.min_args = 0,
	.max_args = 2,
	.run = run_help,
};
