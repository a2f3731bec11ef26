/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#include <stdio.h>
#include <string.h>

/* Every byte as two digits. */
#define ROW(d)                                                                          \
	d "0" d "1" d "2" d "3" d "4" d "5" d "6" d "7" d "8" d "9" d "a" d "b" d "c" d \
	  "d" d "e" d "f"
static const char pairs[] = ROW("0") ROW("1") ROW("2") ROW("3") ROW("4") ROW("5") ROW("6")
	ROW("7") ROW("8") ROW("9") ROW("a") ROW("b") ROW("c") ROW("d") ROW("e") ROW("f");

char *hex_encode(const void *data, size_t size, char *text)
{
	const uint8_t *bytes = data;

	for (size_t i = 0; i < size; i++)
		memcpy(text + 2 * i, pairs + 2 * (size_t)bytes[i], 2);
	text[2 * size] = '\0';
	return text;
}

bool hex_is(const char *text, const void *data, size_t size)
{
	const uint8_t *bytes = data;
	size_t i = 0;

	while (i < size && memcmp(text + 2 * i, pairs + 2 * (size_t)bytes[i], 2) == 0)
		i++;
	return i == size;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

int hex_decode(const char *text, void *data, size_t size)
{
	uint8_t *bytes = data;

	if (strnlen(text, 2 * size + 1) != 2 * size)
		return -EINVAL;
	for (size_t i = 0; i < 2 * size; i++)
		if (hex_value(text[i]) < 0)
			return -EINVAL;
	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(hex_value(text[2 * i]) << 4 |
				     hex_value(text[2 * i + 1]));
	return 0;
}

bool text_is_hex(const char *text)
{
	return *text && text[strspn(text, "0123456789abcdef")] == '\0';
}

int text_to_u64(const char *text, uint64_t *ret_value)
{
	uint64_t value = 0;

	if (!*text || text[strspn(text, "0123456789")] != '\0')
		return -EINVAL;
	for (; *text; text++)
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value))
			return -ERANGE;
	*ret_value = value;
	return 0;
}

int text_to_size(const char *text, uint64_t *ret_bytes)
{
	static const char letters[] = "kMGTP";
	size_t digits = strspn(text, "0123456789");
	const char *unit = text + digits, *letter;
	char number[32];
	uint64_t value, base = 1000;
	int r;

	if (digits >= sizeof(number))
		return -ERANGE;
	memcpy(number, text, digits);
	number[digits] = '\0';
	r = text_to_u64(number, &value);
	if (r < 0)
		return r;
	letter = *unit ? strchr(letters, *unit == 'K' ? 'k' : *unit) : NULL;
	if (letter)
		unit++;
	if (letter && *unit == 'i') {
		base = 1024;
		unit++;
	}
	if (strcmp(unit, "") != 0 && strcmp(unit, "B") != 0)
		return -EINVAL;
	for (; letter && letter >= letters; letter--)
		if (__builtin_mul_overflow(value, base, &value))
			return -ERANGE;
	*ret_bytes = value;
	return 0;
}

char *text_size(uint64_t bytes, char *text, size_t size)
{
	static const char *const units[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
	double value = (double)bytes / 1000;
	size_t unit = 0;

	if (bytes < 1000) {
		(void)snprintf(text, size, "%u B", (unsigned int)bytes);
		return text;
	}
	while (value >= 999.95 && unit + 1 < ARRAY_SIZE(units)) {
		value /= 1000;
		unit++;
	}
	(void)snprintf(text, size, "%.1f %s", value, units[unit]);
	return text;
}

bool text_starts_with(const char *text, const char *start)
{
	return strncmp(text, start, strlen(start)) == 0;
}

bool text_ends_with(const char *text, const char *end)
{
	size_t size = strlen(text), end_size = strlen(end);

	return size >= end_size && strcmp(text + size - end_size, end) == 0;
}
