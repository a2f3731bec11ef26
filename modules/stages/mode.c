/* SPDX-License-Identifier: Apache-2.0 */
#include "modules/stages/mode.h"

#include <string.h>

#define UMASK	 ((mode_t)022)
#define ALL_BITS ((mode_t)07777)
#define READ	 ((mode_t)0444)
#define WRITE	 ((mode_t)0222)
#define EXECUTE	 ((mode_t)0111)
#define SET_IDS	 ((mode_t)(S_ISUID | S_ISGID))

/* One operation: who, op, and what. */
struct clause {
	char op;
	mode_t who; /* 0: everybody, as far as the umask lets them */
	mode_t value;
	mode_t mentioned; /* bits that are named, so that a directory's go too */
	bool copies;	  /* value is the class to copy from */
	bool if_any_x;
};

static mode_t who_bits(char c)
{
	switch (c) {
	case 'u':
		return S_ISUID | 0700;
	case 'g':
		return S_ISGID | 0070;
	case 'o':
		return S_ISVTX | 0007;
	case 'a':
		return ALL_BITS;
	default:
		return 0;
	}
}

static const char *read_octal(const char *at, mode_t *ret)
{
	*ret = 0;
	while (*at >= '0' && *at <= '7' && *ret <= ALL_BITS)
		*ret = *ret * 8 + (mode_t)(*at++ - '0');
	return *ret <= ALL_BITS ? at : NULL;
}

static const char *read_permissions(const char *at, struct clause *clause)
{
	for (;; at++) {
		switch (*at) {
		case 'r':
			clause->value |= READ;
			break;
		case 'w':
			clause->value |= WRITE;
			break;
		case 'x':
			clause->value |= EXECUTE;
			break;
		case 'X':
			clause->if_any_x = true;
			break;
		case 's':
			clause->value |= SET_IDS;
			break;
		case 't':
			clause->value |= S_ISVTX;
			break;
		default:
			return at;
		}
	}
}

/* What stands behind the operator.  Return: behind it, or NULL. */
static const char *read_value(const char *at, struct clause *clause)
{
	if (*at >= '0' && *at <= '7') {
		at = read_octal(at, &clause->value);
		/* "u+7" is none, and nothing but a comma may follow. */
		if (!at || clause->who || (*at && *at != ','))
			return NULL;
		clause->who = clause->mentioned = ALL_BITS;
		return at;
	}
	if (*at && strchr("ugo", *at)) {
		clause->copies = true;
		clause->value = who_bits(*at++) & 0777;
	} else {
		at = read_permissions(at, clause);
	}
	clause->mentioned = clause->who ? clause->who & clause->value : clause->value;
	return at;
}

static mode_t copied(mode_t class_bits, mode_t mode)
{
	mode_t from = mode & class_bits;

	return (mode_t)((from & READ ? READ : 0) | (from & WRITE ? WRITE : 0) |
			(from & EXECUTE ? EXECUTE : 0));
}

static mode_t apply(const struct clause *clause, mode_t mode, bool is_dir)
{
	mode_t omitted = is_dir ? SET_IDS & ~clause->mentioned : 0;
	mode_t value = clause->copies ? copied(clause->value, mode) : clause->value;

	if (clause->if_any_x && (is_dir || mode & EXECUTE))
		value |= EXECUTE;
	value &= (clause->who ? clause->who : ~UMASK) & ~omitted;
	if (clause->op == '+')
		return mode | value;
	if (clause->op == '-')
		return mode & ~value;
	return (mode & ((clause->who ? ~clause->who : 0) | omitted)) | value;
}

/* Apply all clauses to *@mode.  Return: false when @text is no mode. */
static bool change(const char *text, mode_t *mode, bool is_dir)
{
	const char *at = text;

	if (*at >= '0' && *at <= '7') {
		struct clause whole = {.op = '=', .who = ALL_BITS};
		const char *end = read_octal(at, &whole.value);

		whole.mentioned = end && end - at < 5
					  ? (whole.value & (SET_IDS | S_ISVTX)) | 0777
					  : ALL_BITS;
		if (!end || *end)
			return false;
		*mode = apply(&whole, *mode, is_dir);
		return true;
	}
	for (;; at++) {
		mode_t who = 0;

		while (who_bits(*at))
			who |= who_bits(*at++);
		if (!*at || !strchr("+-=", *at))
			return false;
		while (*at && strchr("+-=", *at)) {
			struct clause clause = {.op = *at, .who = who};

			at = read_value(at + 1, &clause);
			if (!at)
				return false;
			*mode = apply(&clause, *mode, is_dir);
		}
		if (*at != ',')
			return !*at;
	}
}

int mode_check(const char *text, struct cop_error *err)
{
	mode_t mode = 0;

	if (change(text, &mode, false))
		return 0;
	return err_set(err, -EINVAL,
		       "'%s' is not a mode: octal digits or clauses like 'u+rwX,go=r'",
		       text);
}

mode_t mode_change(const char *text, mode_t old, bool is_dir)
{
	mode_t mode = old & ALL_BITS;

	(void)change(text, &mode, is_dir);
	return mode & ALL_BITS;
}
