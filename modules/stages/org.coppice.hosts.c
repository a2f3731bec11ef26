/* SPDX-License-Identifier: Apache-2.0 */
/*
 * etc/hosts: the names of this machine for itself, as Debian's installer writes them.
 * What a package or a person wrote there already is left alone; only a host name that
 * nothing stands for is added.
 */
#include <string.h>

#include "modkit/root.h"
#include "modules/stages/control.h"
#include "modules/stages/hostname.h"
#include "modules/stages/stages.h"
#include "json/json.h"

#define HOSTS	       "etc/hosts"
#define HOSTS_SIZE_MAX (16 * MIB)

static const char localhost[] = "::1\tlocalhost ip6-localhost ip6-loopback\n"
				"ff02::1\tip6-allnodes\n"
				"ff02::2\tip6-allrouters\n";

/* Is @name one of the words behind the address of a line? */
static bool stands_in(const char *text, const char *name)
{
	while (*text) {
		size_t size = strcspn(text, "\n");
		struct stanza line = {text, strcspn(text, "#\n")}, word;

		(void)word_next(&line, &word);
		while (word_next(&line, &word))
			if (word.size == strlen(name) &&
			    memcmp(word.text, name, word.size) == 0)
				return true;
		text += size;
		if (*text)
			text++;
	}
	return false;
}

/* Return: 1 when the tree has the file, 0, or a negative errno. */
static int read_hosts(struct kit *kit, struct buf *text)
{
	struct stat st;
	int r = root_stat(kit->tree_fd, HOSTS, &st, NULL);

	if (r == -ENOENT)
		return 0;
	r = root_read(kit->tree_fd, HOSTS, HOSTS_SIZE_MAX, text, kit->err);
	return r < 0 ? r : 1;
}

static int write_hosts(struct kit *kit, const char *name)
{
	auto_buf text = {};
	int r = read_hosts(kit, &text);
	bool is_new = r == 0;

	if (r < 0)
		return r;
	if (!is_new && (!name || stands_in(buf_text(&text), name)))
		return 0;
	if (is_new)
		(void)buf_append_text(&text, "127.0.0.1\tlocalhost\n");
	else if (text.size > 0 && text.data[text.size - 1] != '\n')
		(void)buf_append_char(&text, '\n');
	if (name)
		(void)buf_printf(&text, "127.0.1.1\t%s\n", name);
	if (is_new)
		(void)buf_append_text(&text, localhost);
	if (text.failed)
		return err_oom(kit->err);
	return root_replace(kit->tree_fd, HOSTS, buf_text(&text), text.size, 0644,
			    kit->err);
}

int stage_hosts(struct kit *kit)
{
	static const char *const keys[] = {"hostname", NULL};
	const char *name = NULL;
	int r = json_only_keys(kit->options, keys, "options", kit->err);

	if (r == 0)
		r = json_optional_string(kit->options, "hostname", "options", &name,
					 kit->err);
	if (r == 0 && name)
		r = hostname_check(name, kit->err);
	if (r == 0)
		r = root_make_dirs(kit->tree_fd, "etc", 0755, kit->err);
	return r == 0 ? write_hosts(kit, name) : r;
}
