/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz targets.  Each is one function for libFuzzer; replay.c is a main for those who
 * have none, which also makes seeds.
 */
#pragma once

#include <stdio.h>

#include "base/defs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* fuzz_check() - a claim that must hold for every input */
#define fuzz_check(claim)                                                                \
	do {                                                                             \
		if (!(claim)) {                                                          \
			(void)fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, \
				      #claim);                                           \
			abort();                                                         \
		}                                                                        \
	} while (0)
