/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers as Python has them: floats as their shortest text, and an order over integers
 * of any length and floats together that never rounds.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "json/value.h"

/* Enough for the integer part of any double, sign and NUL included. */
#define WHOLE_TEXT 328

/* A finite float is DIGITS * 10^exponent. */
struct decimal {
	uint64_t digits;
	int exponent;
};

static bool reads_back(struct decimal decimal, double value)
{
	char text[JSON_FLOAT_TEXT];

	(void)snprintf(text, sizeof(text), "%" PRIu64 "e%d", decimal.digits,
		       decimal.exponent);
	return strtod(text, NULL) == value;
}

/*
 * The fewest digits that read back as @value (positive).  The nearest decimal of so many
 * digits nearly always decides; but below a power of two the doubles lie twice as close
 * as above it, so that there the next larger decimal may read back when the nearest does
 * not.
 */
static struct decimal shortest(double value)
{
	struct decimal decimal = {};

	for (int n = 1; n <= 17; n++) {
		char text[JSON_FLOAT_TEXT], *at;

		(void)snprintf(text, sizeof(text), "%.*e", n - 1, value);
		decimal.digits = 0;
		for (at = text; *at != 'e'; at++)
			if (*at >= '0' && *at <= '9')
				decimal.digits =
					decimal.digits * 10 + (uint64_t)(*at - '0');
		decimal.exponent = (int)strtol(at + 1, NULL, 10) - (n - 1);
		if (reads_back(decimal, value))
			break;
		decimal.digits++;
		if (reads_back(decimal, value))
			break;
	}
	while (decimal.digits % 10 == 0) {
		decimal.digits /= 10;
		decimal.exponent++;
	}
	return decimal;
}

char *json_float_text(double value, char text[JSON_FLOAT_TEXT])
{
	const char *sign = signbit(value) ? "-" : "";
	struct decimal decimal;
	char digits[24];
	int n, point;

	if (value == 0) {
		(void)snprintf(text, JSON_FLOAT_TEXT, "%s0.0", sign);
		return text;
	}
	decimal = shortest(fabs(value));
	n = snprintf(digits, sizeof(digits), "%" PRIu64, decimal.digits);
	point = n + decimal.exponent; /* where the decimal point stands in the digits */
	if (point < -3 || point > 16)
		(void)snprintf(text, JSON_FLOAT_TEXT, "%s%c%s%se%c%02d", sign, digits[0],
			       n > 1 ? "." : "", digits + 1, point > 0 ? '+' : '-',
			       abs(point - 1));
	else if (point <= 0)
		(void)snprintf(text, JSON_FLOAT_TEXT, "%s0.%.*s%s", sign, -point, "000",
			       digits);
	else if (point < n)
		(void)snprintf(text, JSON_FLOAT_TEXT, "%s%.*s.%s", sign, point, digits,
			       digits + point);
	else
		(void)snprintf(text, JSON_FLOAT_TEXT, "%s%s%.*s.0", sign, digits,
			       point - n, "0000000000000000");
	return text;
}

/* A number as the text of its integer part and the sign of what lies beyond it. */
struct whole {
	const char *digits;
	size_t n_digits;
	bool negative;
	int fraction;
	char text[WHOLE_TEXT];
};

static bool is_infinite(const json_t *json, double *ret)
{
	const char *name;

	*ret = 0;
	if (json_mark_of(json) != JSON_MARK_FLOAT)
		return false;
	name = json_string_value(json) + 2;
	if (strcmp(name, "NaN") == 0)
		*ret = NAN;
	else
		*ret = name[0] == '-' ? -INFINITY : INFINITY;
	return true;
}

static void split(const json_t *json, struct whole *whole)
{
	double value = json_real_value(json), integer = trunc(value);

	whole->fraction = (value > integer) - (value < integer);
	if (json_is_integer(json))
		(void)snprintf(whole->text, sizeof(whole->text), "%" JSON_INTEGER_FORMAT,
			       json_integer_value(json));
	else
		(void)snprintf(whole->text, sizeof(whole->text), "%.0f", integer);
	whole->digits = whole->text;
	if (json_is_string(json))
		whole->digits = json_string_value(json) + 2;
	whole->negative = whole->digits[0] == '-';
	whole->digits += whole->negative;
	whole->n_digits = strlen(whole->digits);
	if (strcmp(whole->digits, "0") == 0)
		whole->negative = false;
}

static int order_of(double a, double b)
{
	return (a > b) - (a < b);
}

bool json_number_compare(const json_t *a, const json_t *b, int *ret_order)
{
	bool infinite_a, infinite_b;
	struct whole x, y;
	double value_a, value_b;
	int order;

	infinite_a = is_infinite(a, &value_a);
	infinite_b = is_infinite(b, &value_b);
	if (isnan(value_a) || isnan(value_b))
		return false;
	if (json_is_real(a))
		value_a = json_real_value(a);
	if (json_is_real(b))
		value_b = json_real_value(b);
	if (infinite_a || infinite_b || (json_is_real(a) && json_is_real(b))) {
		*ret_order = order_of(value_a, value_b);
		return true;
	}
	split(a, &x);
	split(b, &y);
	if (x.negative != y.negative) {
		*ret_order = x.negative ? -1 : 1;
		return true;
	}
	order = order_of((double)x.n_digits, (double)y.n_digits);
	if (order == 0)
		order = memcmp(x.digits, y.digits, x.n_digits);
	if (x.negative)
		order = -order;
	*ret_order = order ? order : order_of(x.fraction, y.fraction);
	return true;
}
