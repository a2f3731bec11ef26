/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tmp/ID/moves: what a commit is about to publish.  It gets this name only after the
 * first barrier, so whoever finds it knows that all it lists is on disk.
 *
 *	coppice-moves 1
 *	object DIGEST SIZE
 *	ref CLASS NAME		where a ref is to be set
 *	file DIGEST SIZE PATH	for each new file; PATH below tmp/ID, with %XX for
 *				bytes up to space, '%' and 7f
 *	end
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "store/private.h"

#define MOVES_LINE	  "coppice-moves 1"
#define MOVES_SIZE_MAX	  (2 * GIB)
#define ENCODED_PATH_SIZE (3 * MOVE_PATH_SIZE)

void moves_done(struct moves *moves)
{
	free(moves->list);
	free(moves->name);
	buf_done(&moves->text);
	*moves = (struct moves){};
}

const char *move_path(const struct move *move, char text[STORE_PATH_SIZE])
{
	return move->path ? move->path : pool_path(&move->digest, text);
}

static void append_encoded(struct buf *buf, const char *path)
{
	for (; *path; path++) {
		unsigned char c = (unsigned char)*path;

		if (c <= ' ' || c == '%' || c == 0x7f)
			(void)buf_printf(buf, "%%%02x", c);
		else
			(void)buf_append_char(buf, *path);
	}
}

int moves_write(const struct moves *moves, int workdir_fd, const char *name,
		struct cop_error *err)
{
	char hex[COP_DIGEST_HEX + 1], text[STORE_PATH_SIZE];
	auto_buf buf = {};

	(void)buf_printf(&buf, MOVES_LINE "\nobject %s %llu\n",
			 cop_digest_to_hex(&moves->object, hex),
			 (unsigned long long)moves->image_size);
	if (moves->name)
		(void)buf_printf(&buf, "ref %s %s\n", ref_class_name(moves->class),
				 moves->name);
	for (size_t i = 0; i < moves->n; i++) {
		const struct move *move = &moves->list[i];

		(void)buf_printf(&buf, "file %s %llu ",
				 cop_digest_to_hex(&move->digest, hex),
				 (unsigned long long)move->size);
		append_encoded(&buf, move_path(move, text));
		(void)buf_append_char(&buf, '\n');
	}
	if (buf_append_text(&buf, "end\n") < 0)
		return err_oom(err);
	return fs_write_new(workdir_fd, name, buf.data, buf.size, 0600, err);
}

/* In place, as what is decoded is never longer. */
static int decode_path(char *text)
{
	char *end = text;

	for (; *text; text++) {
		char digits[3] = {};

		if (*text != '%') {
			*end++ = *text;
			continue;
		}
		digits[0] = text[1];
		digits[1] = digits[0] ? text[2] : '\0';
		if (hex_decode(digits, end, 1) < 0 || *end == '\0')
			return -EBADMSG;
		end++;
		text += 2;
	}
	*end = '\0';
	return 0;
}

/* "DIGEST SIZE", and what follows after a further space */
static int parse_content(char *text, struct cop_digest *ret_digest, uint64_t *ret_size,
			 char **ret_rest)
{
	char *save = NULL, *hex = strtok_r(text, " ", &save);
	char *size = strtok_r(NULL, " ", &save);

	if (!hex || !size || cop_digest_parse(hex, ret_digest) < 0 ||
	    text_to_u64(size, ret_size) < 0)
		return -EBADMSG;
	*ret_rest = strtok_r(NULL, "", &save);
	return 0;
}

static int parse_ref(struct moves *moves, char *text)
{
	char *name = strchr(text, ' ');

	if (!name || moves->name)
		return -EBADMSG;
	*name++ = '\0';
	for (enum ref_class class = REF_NAME; class <= REF_FAILED; class ++) {
		if (strcmp(text, ref_class_name(class)) != 0)
			continue;
		if (!ref_name_is_valid(class, name))
			return -EBADMSG;
		moves->class = class;
		moves->name = strdup(name);
		return moves->name ? 0 : -ENOMEM;
	}
	return -EBADMSG;
}

static int parse_file(struct moves *moves, char *text)
{
	struct move move = {};
	char *rest = NULL;
	int r;

	if ((moves->n & (moves->n + 1)) == 0) {
		struct move *grown =
			reallocarray(moves->list, 2 * moves->n + 1, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		moves->list = grown;
	}
	r = parse_content(text, &move.digest, &move.size, &rest);
	if (r < 0 || !rest)
		return -EBADMSG;
	r = decode_path(rest);
	move.path = rest;
	if (r == 0)
		moves->list[moves->n++] = move;
	return r;
}

static int parse_line(struct moves *moves, char *line, bool *ended)
{
	char *rest = NULL;
	int r;

	if (*ended)
		return -EBADMSG;
	if (text_starts_with(line, "file "))
		return parse_file(moves, line + strlen("file "));
	if (text_starts_with(line, "ref "))
		return parse_ref(moves, line + strlen("ref "));
	if (text_starts_with(line, "object ")) {
		r = parse_content(line + strlen("object "), &moves->object,
				  &moves->image_size, &rest);
		return r < 0 || rest ? -EBADMSG : 0;
	}
	*ended = strcmp(line, "end") == 0;
	return *ended ? 0 : -EBADMSG;
}

static int parse(struct moves *moves, char *text)
{
	char *save = NULL, *line = strtok_r(text, "\n", &save);
	bool ended = false;
	int r = line && strcmp(line, MOVES_LINE) == 0 ? 0 : -EBADMSG;

	while (r == 0 && (line = strtok_r(NULL, "\n", &save)) != NULL)
		r = parse_line(moves, line, &ended);
	if (r == 0 && (!ended || cop_digest_is_null(&moves->object)))
		r = -EBADMSG;
	return r;
}

int moves_read(int workdir_fd, struct moves *moves, struct cop_error *err)
{
	int r;

	r = fs_read_file(workdir_fd, "moves", MOVES_SIZE_MAX, &moves->text, err);
	if (r < 0)
		return r;
	r = buf_append_char(&moves->text, '\n');
	if (r == 0)
		r = parse(moves, moves->text.data);
	if (r == -EBADMSG)
		return err_set(err, r, "read 'moves': it is damaged");
	return r < 0 ? err_oom(err) : 0;
}
