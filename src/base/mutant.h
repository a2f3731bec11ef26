/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The test of the tests.  In a build with -Dmutants=true, COPPICE_MUTANT=NAME leaves out
 * the one sync, lock or check that is called so, and tests/torture/mutants.py shows that
 * a test notices.  In every other build there is nothing of this.
 */
#pragma once

#include "base/defs.h"

/* mutant() - is @name to be left out? */
static inline bool mutant(const char *name)
{
#ifdef COPPICE_MUTANTS
	const char *wanted = getenv("COPPICE_MUTANT");

	return wanted && strcmp(wanted, name) == 0;
#else
	(void)name;
	return false;
#endif
}
