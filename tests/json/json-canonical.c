/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For differential.py: reads documents from standard input, one per line, and prints a
 * line for each: its canonical text, its repr, and its text indented by two as one JSON
 * string, with tabs between; or "error" when it is not JSON.
 */
#include <stdio.h>
#include <string.h>

#include "json/json.h"
#include "json/repr.h"

static int show(const char *line, size_t size, struct cop_error *err)
{
	auto_buf canonical = {}, repr = {}, indented = {}, quoted = {};
	auto_json *json = NULL, *text = NULL;
	int r = json_read(line, size, &json, err);

	if (r == -EBADMSG) {
		printf("error\n");
		return 0;
	}
	if (r < 0)
		return r;
	r = json_canonical(json, &canonical, err);
	if (r == 0)
		r = json_repr(json, SIZE_MAX, &repr, err);
	if (r == 0)
		r = json_write(json, 2, &indented, err);
	if (r < 0)
		return r;
	text = json_stringn(indented.data, indented.size);
	r = text ? json_write(text, 0, &quoted, err) : err_oom(err);
	if (r < 0)
		return r;
	printf("%s\t%s\t%s\n", buf_text(&canonical), buf_text(&repr), buf_text(&quoted));
	return 0;
}

int main(void)
{
	struct cop_error err = {};
	auto_free char *line = NULL;
	size_t capacity = 0;
	ssize_t size;

	while ((size = getline(&line, &capacity, stdin)) > 0) {
		if (line[size - 1] == '\n')
			size--;
		if (show(line, (size_t)size, &err) < 0) {
			fprintf(stderr, "json-canonical: %s\n", err.message);
			return 1;
		}
	}
	return 0;
}
